/*
 * remote_commit.c
 *
 * Commit is 'fast': COMMIT goes to all participants at once; a node that fails
 * while another replica of its shards has committed is evicted.  Everything
 * here is allocated in the caller's memory context, which the end of the
 * transaction frees.
 *
 * Once a COMMIT has been sent nothing is cancelled, and whatever goes wrong in
 * our own code is reported as an unknown outcome, never as a plain failure.
 */
#include "postgres.h"

#include "health.h"
#include "inject.h"
#include "miscadmin.h"
#include "pump.h"
#include "remote_commit.h"
#include "remote_error.h"
#include "session.h"
#include "utils/inval.h"

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
	ClusterMap *map;			/* as it was before the first COMMIT */
	CommitState state;
	bool		answered;		/* with the command's own tag */
	PGresult   *error;			/* owned by the current memory context, or NULL */
	Deadline	probe_at;
} Participant;

typedef struct Participants
{
	int			n;
	int			size;
	Participant *list;
	const char *tag;			/* what success answers */
	bool		settled;		/* an error that is thrown tells the outcome */
} Participants;

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
		plshard_xact_release_call(conn, NULL);
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

/* ---- what the shards say of an outcome ---- */

static bool
has_active(const ClusterMap *map, int shard, int32 node_id)
{
	for (int i = 0; shard >= 0 && i < map->shards[shard].nactive; i++)
	{
		if (map->nodes[plshard_placement(map, shard, i)->node].id == node_id)
			return true;
	}
	return false;
}

/*
 * True where it matters what becomes of the transaction on a node: it still has
 * an active placement of a shard that was written, or holds what no repair
 * would bring back.
 */
static bool
node_matters(const NodeConn *conn, const ClusterMap *map, HTAB *written)
{
	HASH_SEQ_STATUS status;
	WrittenShard *w;
	bool		matters = conn->xact_must_commit;

	if (written == NULL)
		return matters;
	hash_seq_init(&status, written);
	while ((w = hash_seq_search(&status)) != NULL)
	{
		if (!matters && w->key.cluster == conn->key.cluster)
			matters = has_active(map, plshard_cluster_shard_index(map, w->key.shard_id),
								 conn->key.node_id);
	}
	return matters;
}

/* Whether some active placement of each written shard has committed. */
static bool
all_shards_committed(const Participants *participants, HTAB *written)
{
	HASH_SEQ_STATUS status;
	WrittenShard *w;
	bool		all = true;

	if (written == NULL)
		return true;
	hash_seq_init(&status, written);
	while ((w = hash_seq_search(&status)) != NULL)
	{
		bool		done = false;

		for (int i = 0; i < participants->n; i++)
		{
			const Participant *p = &participants->list[i];

			if (p->state == COMMIT_DONE && p->conn->key.cluster == w->key.cluster)
				done |= has_active(p->map, plshard_cluster_shard_index(p->map, w->key.shard_id),
								   p->conn->key.node_id);
		}
		all &= done;
	}
	return all;
}

/* ---- one command to all participants ---- */

static void
handle_result(NodeConn *conn, Pending *pending, PGresult *result, void *arg)
{
	const Participants *participants = arg;
	Participant *p = pending->owner;

	switch (PQresultStatus(result))
	{
		case PGRES_COMMAND_OK:
			/* a COMMIT in a failed transaction answers ROLLBACK, no error */
			if (pending->kind == PENDING_XACT)
				p->answered = strcmp(PQcmdStatus(result), participants->tag) == 0;
			break;
		case PGRES_PIPELINE_SYNC:
			p->state = p->answered && p->error == NULL ? COMMIT_DONE : COMMIT_REFUSED;
			break;
		case PGRES_FATAL_ERROR:
			if (p->error == NULL)
			{
				conn->result = NULL;	/* ours now */
				p->error = plshard_own_result(result);
			}
			break;
		default:
			break;
	}
}

/* A participant that has not answered yet: lost, silent, or worth waiting for. */
static void
look_after(Participant *p)
{
	int			node;

	if (p->conn->state != CONN_READY)
	{
		p->state = COMMIT_UNKNOWN;
		return;
	}
	if (ProcDiePending)
	{
		/* nobody waits for ever for a node that answers probes but no COMMIT */
		plshard_conn_set_lost(p->conn, 0, "the session was terminated");
		p->state = COMMIT_UNKNOWN;
		return;
	}
	if (!deadline_passed(p->probe_at))
		return;
	node = plshard_cluster_node_by_id(p->map, p->conn->key.node_id);
	if (node < 0 || !plshard_node_answers(p->map, node, p->conn->key.userid, NO_DEADLINE))
	{
		plshard_conn_set_lost(p->conn, 0, "the node does not answer");
		p->state = COMMIT_UNKNOWN;
		return;
	}
	p->probe_at = deadline_in(p->map->options.node_timeout);
}

static void
run_everywhere(Participants *participants, const char *sql, const char *tag)
{
	NodeConn  **conns = palloc(participants->n * sizeof(NodeConn *));

	participants->tag = tag;
	for (int i = 0; i < participants->n; i++)
	{
		Participant *p = &participants->list[i];

		conns[i] = p->conn;
		p->state = COMMIT_WAITING;
		p->answered = false;
		p->probe_at = deadline_in(p->map->options.node_timeout);
		plshard_xact_release_call(p->conn, NULL);
		plshard_conn_send_plain(p->conn, sql, PENDING_XACT, p, 0, false);
		plshard_conn_send_sync(p->conn, p);
	}

	for (;;)
	{
		Deadline	wake = deadline_in(1000);	/* to see that the session is to end */
		bool		waiting = false;

		for (int i = 0; i < participants->n; i++)
		{
			Participant *p = &participants->list[i];

			if (p->state == COMMIT_WAITING)
				look_after(p);
			if (p->state != COMMIT_WAITING)
				continue;
			waiting = true;
			wake = deadline_min(wake, p->probe_at);
		}
		if (!waiting)
			break;
		plshard_pump(conns, participants->n, handle_result, participants, wake);
	}
	pfree(conns);
}

/* ---- errors ---- */

static void
throw_refusal(Participants *participants)
{
	RemoteErrorContext where = {0};

	participants->settled = true;
	for (int i = 0; i < participants->n; i++)
	{
		const Participant *p = &participants->list[i];

		if (p->state != COMMIT_REFUSED)
			continue;
		where.node_name = p->conn->node_name;
		if (p->error)
			plshard_report_result(ERROR, p->error, &where);
		ereport(ERROR,
				(errcode(ERRCODE_TRANSACTION_ROLLBACK),
				 errmsg("node \"%s\" rolled back instead of committing", p->conn->node_name)));
	}
}

static void
throw_lost(const NodeConn *conn)
{
	ereport(ERROR,
			(errcode(ERRCODE_CONNECTION_FAILURE),
			 errmsg("this transaction's connection to node \"%s\" was lost before commit",
					conn->node_name),
			 conn->message ? errdetail_internal("%s", conn->message) : 0,
			 errhint("Nothing was written. Try the transaction again.")));
}

static void
throw_unknown(Participants *participants, const char *detail, const char *cluster)
{
	participants->settled = true;
	ereport(ERROR,
			(errcode(ERRCODE_TRANSACTION_RESOLUTION_UNKNOWN),
			 errmsg("whether the transaction was committed is not known"),
			 errdetail_internal("%s", detail),
			 cluster ?
			 errhint("Read back what it wrote before trying it again, and run SELECT * FROM plshard.verify('%s').",
					 cluster) :
			 errhint("Read back what it wrote before trying it again.")));
}

/* ---- the phases ---- */

/*
 * A connection that was lost before the first COMMIT.  Nothing is lost with it if
 * the replicas have the work as well: a dead node is evicted, if others have not
 * done that, and the rest commits.  A session that its node has ended leaves the
 * node as it is, and the transaction undone.
 */
static void
leave_or_throw(Participants *participants, int i, HTAB *written)
{
	const Participant *p = &participants->list[i];
	NodeConn   *conn = p->conn;
	char	   *message;

	if (node_matters(conn, p->map, written) &&
		(conn->xact_must_commit || conn->refused ||
		 plshard_judge_node(p->map, plshard_cluster_node_by_id(p->map, conn->key.node_id),
							conn->key.userid, conn->condemned ? NODE_SILENT : NODE_SUSPECT,
							NO_DEADLINE, &message) != NODE_EVICTED))
		throw_lost(conn);
	conn->xact_lost = false;
	participants->list[i] = participants->list[--participants->n];
}

static void
check_connections(Participants *participants, HTAB *written)
{
	AcceptInvalidationMessages();
	for (int i = 0; i < participants->n;)
	{
		Participant *p = &participants->list[i];
		NodeConn   *conn = p->conn;

		/* a session that the node has ended is seen now: its last words, then the end */
		plshard_conn_advance(conn, handle_result, participants);
		plshard_conn_advance(conn, handle_result, participants);

		p->map = plshard_cluster_map_unchecked(conn->key.cluster);
		if (conn->xact_lost || conn->xact_depth == 0)
			leave_or_throw(participants, i, written);
		else
			i++;
	}
}

/*
 * Shards that commit one by one must not fail one by one: deferred constraints
 * speak while everything can still be rolled back.
 */
static void
check_constraints(Participants *participants, HTAB *written)
{
	run_everywhere(participants, "SET CONSTRAINTS ALL IMMEDIATE", "SET CONSTRAINTS");
	throw_refusal(participants);
	for (int i = 0; i < participants->n;)
	{
		if (participants->list[i].state == COMMIT_UNKNOWN)
			leave_or_throw(participants, i, written);
		else
			i++;
	}
}

/* Evicts the nodes that have failed, or says that the outcome is not known. */
static void
judge_outcome(Participants *participants, HTAB *written)
{
	bool		failed = false;
	bool		unknown = false;
	bool		done = false;

	AcceptInvalidationMessages();
	for (int i = 0; i < participants->n; i++)
	{
		Participant *p = &participants->list[i];

		p->map = plshard_cluster_map_unchecked(p->conn->key.cluster);
		if (!node_matters(p->conn, p->map, written))
			continue;
		done |= p->state == COMMIT_DONE;
		failed |= p->state != COMMIT_DONE;
		unknown |= p->state == COMMIT_UNKNOWN;
	}
	if (!failed)
		return;
	if (!done && !unknown)
		throw_refusal(participants);

	for (int i = 0; i < participants->n; i++)
	{
		Participant *p = &participants->list[i];
		char	   *message;

		if (p->state == COMMIT_DONE || !node_matters(p->conn, p->map, written))
			continue;
		if (p->conn->xact_must_commit || !all_shards_committed(participants, written))
			throw_unknown(participants, psprintf(done ? "Node \"%s\" did not commit what other nodes committed." :
								   "The connection to node \"%s\" was lost during commit.",
								   p->conn->node_name),
						  done && !plshard_is_static(p->map) ? p->map->name : NULL);
		if (plshard_judge_node(p->map, plshard_cluster_node_by_id(p->map, p->conn->key.node_id),
							   p->conn->key.userid, NODE_FAILED, NO_DEADLINE, &message) != NODE_EVICTED)
			throw_unknown(participants, psprintf("Node \"%s\" did not commit what other nodes committed, and could not be evicted. %s",
								   p->conn->node_name, message ? message : ""), p->map->name);
	}
}

void
plshard_commit_remote(HTAB *written)
{
	Participants participants = {0};
	MemoryContext context = CurrentMemoryContext;

	plshard_conn_each(collect_participant, &participants);
	if (participants.n == 0)
		return;
	check_connections(&participants, written);
	if (participants.n == 0)
		return;
	if (participants.n > 1 && written && hash_get_num_entries(written) > 1)
		check_constraints(&participants, written);

	HOLD_INTERRUPTS();
	PG_TRY();
	{
		run_everywhere(&participants, "COMMIT", "COMMIT");
		plshard_inject("committed");
		for (int i = 0; i < participants.n; i++)
		{
			participants.list[i].conn->xact_depth = 0;
			participants.list[i].conn->xact_lost = false;
		}
		judge_outcome(&participants, written);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (participants.settled)
			PG_RE_THROW();
		FlushErrorState();
		throw_unknown(&participants, error->message, NULL);
	}
	PG_END_TRY();
	RESUME_INTERRUPTS();
}
