/*
 * remote_xact.c
 *
 * The caller's transaction on the nodes.  Rolling back never waits: ROLLBACK
 * is queued and its result read before the next call's; a connection that is
 * in the middle of something is dropped, which rolls back as well.
 *
 * Commit is 'fast': everywhere at once; a node that fails while another has
 * committed is evicted.
 *
 * What was written is remembered in TopTransactionContext.
 */
#include "postgres.h"

#include "access/xact.h"
#include "health.h"
#include "miscadmin.h"
#include "pump.h"
#include "remote_error.h"
#include "remote_xact.h"
#include "session.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"

typedef struct WrittenShardKey
{
	Oid			server_oid;
	int64		shard_id;
} WrittenShardKey;

/* A shard that the current transaction has written. */
typedef struct WrittenShard
{
	WrittenShardKey key;
	Oid			userid;			/* as whom; InvalidOid: as several */
} WrittenShard;

static HTAB *written = NULL;
static bool any_open = false;	/* some connection may have a transaction */
static int	call_counter = 0;

typedef enum CommitState
{
	COMMIT_WAITING,
	COMMIT_DONE,
	COMMIT_REFUSED,				/* the node rolled back: "error" says why */
	COMMIT_UNKNOWN				/* the connection was lost */
} CommitState;

typedef struct Participant
{
	NodeConn   *conn;
	CommitState state;
	PGresult   *error;			/* owned by the current memory context; NULL if it
								 * answered ROLLBACK */
	Deadline	probe_at;
} Participant;

typedef struct Participants
{
	int			n;
	int			size;
	Participant *list;
} Participants;

bool
plshard_remote_xact_has_writes(void)
{
	return written != NULL;
}

/* ---- beginning, and savepoints of calls ---- */

static const char *
begin_sql(void)
{
	if (XactIsoLevel == XACT_SERIALIZABLE)
		return XactReadOnly ? "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY" :
			"BEGIN ISOLATION LEVEL SERIALIZABLE READ WRITE";
	if (IsolationUsesXactSnapshot())
		return XactReadOnly ? "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" :
			"BEGIN ISOLATION LEVEL REPEATABLE READ READ WRITE";
	return "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
}

static void
release_call(NodeConn *conn, void *owner)
{
	char		sql[64];

	if (conn->release_call == 0)
		return;
	snprintf(sql, sizeof(sql), "RELEASE SAVEPOINT plshard_call_%d", conn->release_call);
	plshard_conn_send_plain(conn, sql, PENDING_XACT, owner, 0, false);
	conn->release_call = 0;
}

void
plshard_xact_open(NodeConn *conn, bool write, void *owner)
{
	int			level = GetCurrentTransactionNestLevel();

	if (conn->xact_lost)
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_FAILURE),
				 errmsg("this transaction's connection to node \"%s\" was lost", conn->node_name),
				 errhint("Roll back and try the transaction again.")));

	any_open = true;
	release_call(conn, owner);
	if (conn->xact_depth == 0)
	{
		plshard_conn_send_plain(conn, begin_sql(), PENDING_XACT, owner, 0, false);
		conn->xact_depth = 1;
		conn->xact_begin_level = level;
		conn->xact_read_only = XactReadOnly && IsolationUsesXactSnapshot();
		conn->xact_wrote = false;
		conn->nkey_locks = 0;
	}
	while (conn->xact_depth < level)
	{
		char		sql[64];

		conn->xact_depth++;
		snprintf(sql, sizeof(sql), "SAVEPOINT plshard_%d", conn->xact_depth);
		plshard_conn_send_plain(conn, sql, PENDING_XACT, owner, 0, false);
	}
	if (write)
		conn->xact_wrote = true;
}

int
plshard_xact_begin_call(NodeConn *conn, void *owner)
{
	bool		fresh = conn->xact_depth == 0;
	char		sql[64];

	plshard_xact_open(conn, true, owner);
	if (fresh)
		return 0;
	snprintf(sql, sizeof(sql), "SAVEPOINT plshard_call_%d", ++call_counter);
	plshard_conn_send_plain(conn, sql, PENDING_XACT, owner, 0, false);
	return call_counter;
}

void
plshard_xact_undo_call(NodeConn *conn, int savepoint)
{
	char		sql[64];

	if (conn->state != CONN_READY || conn->xact_depth == 0)
		return;
	if (savepoint == 0)
	{
		plshard_conn_send_plain(conn, "ROLLBACK", PENDING_XACT, NULL, 0, false);
		conn->xact_depth = 0;
	}
	else
	{
		snprintf(sql, sizeof(sql), "ROLLBACK TO SAVEPOINT plshard_call_%d", savepoint);
		plshard_conn_send_plain(conn, sql, PENDING_XACT, NULL, 0, false);
		snprintf(sql, sizeof(sql), "RELEASE SAVEPOINT plshard_call_%d", savepoint);
		plshard_conn_send_plain(conn, sql, PENDING_XACT, NULL, 0, false);
	}
	plshard_conn_send_sync(conn, NULL);
	plshard_conn_forget_settings(conn);
}

void
plshard_xact_end_call(NodeConn *conn, int savepoint)
{
	conn->release_call = savepoint;
}

void
plshard_xact_leave(NodeConn *conn)
{
	plshard_conn_close(conn);
	conn->xact_lost = false;
}

void
plshard_xact_wrote(const ClusterMap *map, int shard)
{
	WrittenShardKey key;
	WrittenShard *entry;
	bool		found;

	if (written == NULL)
	{
		HASHCTL		ctl = {0};

		ctl.keysize = sizeof(WrittenShardKey);
		ctl.entrysize = sizeof(WrittenShard);
		ctl.hcxt = TopTransactionContext;
		written = hash_create("plshard written shards", 16, &ctl,
							  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	memset(&key, 0, sizeof(key));
	key.server_oid = map->server_oid;
	key.shard_id = map->shards[shard].id;
	entry = hash_search(written, &key, HASH_ENTER, &found);
	if (!found)
		entry->userid = GetUserId();
	else if (entry->userid != GetUserId())
		entry->userid = InvalidOid;
}

void
plshard_xact_refuse_own_locks(const ClusterMap *map, int shard)
{
	WrittenShardKey key;
	WrittenShard *entry;

	if (written == NULL)
		return;
	memset(&key, 0, sizeof(key));
	key.server_oid = map->server_oid;
	key.shard_id = map->shards[shard].id;
	entry = hash_search(written, &key, HASH_FIND, NULL);
	if (entry != NULL && entry->userid != GetUserId())
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("role \"%s\" cannot write what another role has written in this transaction",
						GetUserNameFromId(GetUserId(), false)),
				 errdetail("Each role has its own connections to the nodes, and would wait for the other's locks on shard " INT64_FORMAT ".",
						   key.shard_id),
				 errhint("Write the same key as one role, or commit first.")));
}

/* ---- commit ---- */

static void
collect_participant(NodeConn *conn, void *arg)
{
	Participants *p = arg;

	if (conn->xact_depth == 0 && !conn->xact_lost)
		return;
	if (!conn->xact_wrote)
	{
		/* it only read: nobody waits for its end */
		conn->xact_lost = false;
		release_call(conn, NULL);
		plshard_conn_send_plain(conn, "COMMIT", PENDING_XACT, NULL, 0, false);
		plshard_conn_send_sync(conn, NULL);
		conn->xact_depth = 0;
		return;
	}
	if (p->n == p->size)
	{
		p->size = Max(8, p->size * 2);
		p->list = p->list ? repalloc(p->list, p->size * sizeof(Participant)) :
			palloc(p->size * sizeof(Participant));
	}
	memset(&p->list[p->n], 0, sizeof(Participant));
	p->list[p->n++].conn = conn;
}

/*
 * True where the node still has an active placement of a shard that was
 * written: only then does it matter what becomes of the transaction there.
 */
static bool
node_matters(NodeConn *conn)
{
	ClusterMap *map = plshard_cluster_reload(conn->key.server_oid);
	int			node = plshard_cluster_node_by_id(map, conn->key.node_id);
	HASH_SEQ_STATUS status;
	WrittenShard *w;
	bool		matters = false;

	if (node < 0 || written == NULL)
		return false;
	hash_seq_init(&status, written);
	while ((w = hash_seq_search(&status)) != NULL)
	{
		int			shard;

		if (matters || w->key.server_oid != conn->key.server_oid)
			continue;
		shard = plshard_cluster_shard_index(map, w->key.shard_id);
		for (int i = 0; shard >= 0 && i < map->shards[shard].nactive; i++)
			matters |= plshard_placement(map, shard, i)->node == node;
	}
	return matters;
}

static void
commit_result(NodeConn *conn, Pending *pending, PGresult *result, void *arg)
{
	Participant *p = pending->owner;

	switch (PQresultStatus(result))
	{
		case PGRES_COMMAND_OK:
			/* a COMMIT in a failed transaction answers ROLLBACK, no error */
			if (pending->kind == PENDING_XACT && p->state == COMMIT_WAITING && p->error == NULL &&
				pending->number == 1)
				p->state = strcmp(PQcmdStatus(result), "COMMIT") == 0 ? COMMIT_DONE : COMMIT_REFUSED;
			break;
		case PGRES_PIPELINE_SYNC:
			if (p->state == COMMIT_WAITING)
				p->state = p->error ? COMMIT_REFUSED : COMMIT_DONE;
			break;
		case PGRES_FATAL_ERROR:
			if (p->error == NULL)
			{
				conn->result = NULL;
				p->error = plshard_own_result(result);
			}
			break;
		default:
			break;
	}
}

/* Sends a command to all participants and waits until each has answered. */
static void
run_everywhere(Participants *participants, const char *sql, bool is_commit)
{
	NodeConn  **conns = palloc(participants->n * sizeof(NodeConn *));

	for (int i = 0; i < participants->n; i++)
	{
		Participant *p = &participants->list[i];
		ClusterMap *map = plshard_cluster_map_unchecked(p->conn->key.server_oid);

		conns[i] = p->conn;
		p->state = COMMIT_WAITING;
		p->probe_at = deadline_in(map->node_timeout);
		release_call(p->conn, NULL);
		plshard_conn_send_plain(p->conn, sql, PENDING_XACT, p, is_commit ? 1 : 0, false);
		plshard_conn_send_sync(p->conn, p);
	}

	for (;;)
	{
		Deadline	wake = NO_DEADLINE;
		bool		waiting = false;

		for (int i = 0; i < participants->n; i++)
		{
			Participant *p = &participants->list[i];

			if (p->state != COMMIT_WAITING)
				continue;
			if (p->conn->state != CONN_READY)
			{
				p->state = COMMIT_UNKNOWN;
				continue;
			}
			if (deadline_passed(p->probe_at))
			{
				ClusterMap *map = plshard_cluster_map_unchecked(p->conn->key.server_oid);
				int			node = plshard_cluster_node_by_id(map, p->conn->key.node_id);

				if (node < 0 || !plshard_node_answers(map, node, p->conn->key.userid))
				{
					plshard_conn_set_lost(p->conn, 0, "the node does not answer");
					p->state = COMMIT_UNKNOWN;
					continue;
				}
				p->probe_at = deadline_in(map->node_timeout);
			}
			waiting = true;
			wake = deadline_min(wake, p->probe_at);
		}
		if (!waiting)
			break;
		plshard_pump(conns, participants->n, commit_result, NULL, wake);
	}
	pfree(conns);
}

static void
throw_refusal(const Participant *p)
{
	RemoteErrorContext where = {0};

	where.node_name = p->conn->node_name;
	if (p->error)
		plshard_report_result(ERROR, p->error, &where);
	ereport(ERROR,
			(errcode(ERRCODE_TRANSACTION_ROLLBACK),
			 errmsg("node \"%s\" rolled back instead of committing", p->conn->node_name)));
}

static void
commit_remote(void)
{
	Participants participants = {0};
	int			ndone = 0;
	const Participant *refused = NULL;
	const Participant *unknown = NULL;

	plshard_conn_each(collect_participant, &participants);

	/* leave out whom others have evicted meanwhile */
	AcceptInvalidationMessages();
	for (int i = 0; i < participants.n;)
	{
		NodeConn   *conn = participants.list[i].conn;

		if (conn->xact_lost && node_matters(conn))
			ereport(ERROR,
					(errcode(ERRCODE_CONNECTION_FAILURE),
					 errmsg("this transaction's connection to node \"%s\" was lost", conn->node_name),
					 errhint("Try the transaction again.")));
		if (conn->xact_lost)
		{
			conn->xact_lost = false;
			participants.list[i] = participants.list[--participants.n];
		}
		else
			i++;
	}
	if (participants.n == 0)
		return;

	/*
	 * Shards that commit one by one must not fail one by one: let deferred
	 * constraints speak while everything can still be rolled back.
	 */
	if (participants.n > 1 && written && hash_get_num_entries(written) > 1)
	{
		run_everywhere(&participants, "SET CONSTRAINTS ALL IMMEDIATE", false);
		for (int i = 0; i < participants.n; i++)
		{
			Participant *p = &participants.list[i];

			if (p->state == COMMIT_REFUSED)
				throw_refusal(p);
			if (p->state == COMMIT_UNKNOWN)
				ereport(ERROR,
						(errcode(ERRCODE_CONNECTION_FAILURE),
						 errmsg("the connection to node \"%s\" was lost before commit", p->conn->node_name),
						 errdetail("%s", p->conn->message),
						 errhint("Try the transaction again.")));
		}
	}

	/* from here on nothing is cancelled */
	HOLD_INTERRUPTS();
	run_everywhere(&participants, "COMMIT", true);
	for (int i = 0; i < participants.n; i++)
	{
		Participant *p = &participants.list[i];

		p->conn->xact_depth = 0;
		p->conn->xact_lost = false;
		if (p->state == COMMIT_DONE)
			ndone++;
		else if (p->state == COMMIT_REFUSED)
			refused = p;
		else
			unknown = p;
	}
	if (ndone == 0 && unknown == NULL)
		throw_refusal(refused);
	if (ndone == 0)
		ereport(ERROR,
				(errcode(ERRCODE_TRANSACTION_RESOLUTION_UNKNOWN),
				 errmsg("the connection to node \"%s\" was lost during commit", unknown->conn->node_name),
				 errdetail("Whether the transaction was committed is not known."),
				 errhint("Read back what it wrote before trying it again.")));
	for (int i = 0; i < participants.n; i++)
	{
		Participant *p = &participants.list[i];
		ClusterMap *map;
		char	   *message;

		if (p->state == COMMIT_DONE || !node_matters(p->conn))
			continue;
		map = plshard_cluster_reload(p->conn->key.server_oid);
		if (plshard_judge_node(map, plshard_cluster_node_by_id(map, p->conn->key.node_id),
							   p->conn->key.userid, NODE_FAILED, &message) != NODE_EVICTED)
			ereport(ERROR,
					(errcode(ERRCODE_TRANSACTION_RESOLUTION_UNKNOWN),
					 errmsg("node \"%s\" did not commit what other nodes committed, and could not be evicted",
							p->conn->node_name),
					 message ? errdetail_internal("%s", message) : 0,
					 errhint("Run SELECT * FROM plshard.verify('%s').", map->name)));
	}
	RESUME_INTERRUPTS();
}

/* ---- rollback ---- */

static void
ignore_result(NodeConn *conn, Pending *pending, PGresult *result, void *arg)
{
}

/*
 * After an error, at the end of a (sub)transaction: takes in what has already
 * come; a connection that is still in the middle of something is closed.
 */
static void
settle_connection(NodeConn *conn)
{
	if (conn->state == CONN_READY && plshard_conn_awaited(conn))
	{
		plshard_conn_advance(conn, ignore_result, NULL);
		if (conn->state == CONN_READY && plshard_conn_awaited(conn))
			plshard_conn_close(conn);
	}
}

static void
abort_connection(NodeConn *conn, void *arg)
{
	settle_connection(conn);
	if (conn->xact_depth > 0)
	{
		plshard_conn_send_plain(conn, "ROLLBACK", PENDING_XACT, NULL, 0, false);
		plshard_conn_send_sync(conn, NULL);
		plshard_conn_forget_settings(conn);
	}
	conn->xact_depth = 0;
	conn->xact_lost = false;
	conn->release_call = 0;
}

static void
end_of_xact(NodeConn *conn, void *arg)
{
	Assert(conn->xact_depth == 0);
	conn->xact_lost = false;
	conn->release_call = 0;
}

static void
xact_callback(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			if (any_open)
				commit_remote();
			break;
		case XACT_EVENT_PRE_PREPARE:
			if (any_open)
				ereport(ERROR,
						(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						 errmsg("cannot PREPARE a transaction that has used plshard functions")));
			break;
		case XACT_EVENT_COMMIT:
			if (any_open)
				plshard_conn_each(end_of_xact, NULL);
			any_open = false;
			written = NULL;
			break;
		case XACT_EVENT_ABORT:
			plshard_conn_each(abort_connection, NULL);
			any_open = false;
			written = NULL;
			break;
		default:
			break;
	}
}

static void
subcommit_connection(NodeConn *conn, void *arg)
{
	int			level = GetCurrentTransactionNestLevel();
	char		sql[64];

	/* what was begun in the subtransaction is its parent's now */
	conn->xact_begin_level = Min(conn->xact_begin_level, level - 1);
	if (conn->xact_depth < level)
		return;
	snprintf(sql, sizeof(sql), "RELEASE SAVEPOINT plshard_%d", level);
	plshard_conn_send_plain(conn, sql, PENDING_XACT, NULL, 0, false);
	plshard_conn_send_sync(conn, NULL);
	conn->xact_depth = level - 1;
	conn->release_call = 0;
}

static void
subabort_connection(NodeConn *conn, void *arg)
{
	int			level = GetCurrentTransactionNestLevel();
	char		sql[128];

	settle_connection(conn);
	if (conn->xact_lost && conn->xact_begin_level >= level)
		conn->xact_lost = false;	/* nothing of an outer level was in it */
	if (conn->xact_depth < level)
		return;
	if (conn->xact_begin_level >= level)
	{
		plshard_conn_send_plain(conn, "ROLLBACK", PENDING_XACT, NULL, 0, false);
		conn->xact_depth = 0;
	}
	else
	{
		snprintf(sql, sizeof(sql), "ROLLBACK TO SAVEPOINT plshard_%d", level);
		plshard_conn_send_plain(conn, sql, PENDING_XACT, NULL, 0, false);
		snprintf(sql, sizeof(sql), "RELEASE SAVEPOINT plshard_%d", level);
		plshard_conn_send_plain(conn, sql, PENDING_XACT, NULL, 0, false);
		conn->xact_depth = level - 1;
	}
	plshard_conn_send_sync(conn, NULL);
	plshard_conn_forget_settings(conn);
	conn->release_call = 0;
}

static void
subxact_callback(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_PRE_COMMIT_SUB && any_open)
		plshard_conn_each(subcommit_connection, NULL);
	else if (event == SUBXACT_EVENT_ABORT_SUB)
		plshard_conn_each(subabort_connection, NULL);
}

void
plshard_remote_xact_init(void)
{
	RegisterXactCallback(xact_callback, NULL);
	RegisterSubXactCallback(subxact_callback, NULL);
}
