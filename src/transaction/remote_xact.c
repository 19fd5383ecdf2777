/*
 * remote_xact.c
 *
 * The caller's transaction on the nodes.  Rolling back never waits: ROLLBACK
 * is queued and its result read before the next call's; a connection that is
 * in the middle of something is dropped, which rolls back as well.
 *
 * What was written is remembered in TopTransactionContext.
 */
#include "postgres.h"

#include "access/xact.h"
#include "cluster/conninfo.h"
#include "commands/tablecmds.h"
#include "connection/connection.h"
#include "connection/node_settings.h"
#include "connection/pipeline.h"
#include "connection/receive.h"
#include "connection/statements.h"
#include "miscadmin.h"
#include "transaction/atomic_commit.h"
#include "transaction/remote_commit.h"
#include "transaction/remote_xact.h"
#include "utils/memutils.h"
#include "utils/timeout.h"

static HTAB *written = NULL;
static bool any_open = false;	/* some connection may have a transaction */
static bool committed = false;	/* the nodes have committed, or the front will decide it */
static bool cancels_held = false;	/* plshard_xact_committed_by_call */
static int	call_counter = 0;

bool
plshard_remote_xact_has_writes(void)
{
	return written != NULL;
}

bool
plshard_remote_xact_is_open(void)
{
	return any_open;
}

/* ---- beginning, and savepoints of calls ---- */

static const char *
begin_sql(void)
{
	if (XactIsoLevel == XACT_SERIALIZABLE)
		return XactReadOnly && XactDeferrable ? "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE" :
			XactReadOnly ? "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY" :
			"BEGIN ISOLATION LEVEL SERIALIZABLE READ WRITE";
	if (IsolationUsesXactSnapshot())
		return XactReadOnly ? "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" :
			"BEGIN ISOLATION LEVEL REPEATABLE READ READ WRITE";
	return "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
}

static void
send_begin(NodeConn *conn, bool write, void *owner)
{
	uint64		id = QUERY_BEGIN + XactIsoLevel * 4 + XactReadOnly * 2 + XactDeferrable;
	const char *sql = begin_sql();

	/* without options it is cheaper: each is a setting to be undone */
	if (write && !IsolationUsesXactSnapshot() && plshard_conn_begins_writable(conn, owner))
	{
		id = QUERY_BEGIN_WRITE;
		sql = "BEGIN";
	}
	plshard_conn_send_prepared(conn, id, 0, sql, 0, NULL, NULL, 0, PENDING_XACT, owner, 0, false);
}

void
plshard_xact_release_call(NodeConn *conn, void *owner)
{
	char		sql[64];

	if (conn->xact.release_call == 0)
		return;
	snprintf(sql, sizeof(sql), "RELEASE SAVEPOINT plshard_call_%d", conn->xact.release_call);
	plshard_conn_send_plain(conn, sql, PENDING_XACT, owner, 0, false);
	conn->xact.release_call = 0;
}

void
plshard_xact_open(NodeConn *conn, bool write, uint64 call, void *owner)
{
	int			level = GetCurrentTransactionNestLevel();

	if (conn->xact.lost)
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_FAILURE),
				 errmsg("this transaction's connection to node \"%s\" was lost", conn->node_name),
				 errhint("Roll back and try the transaction again.")));

	any_open = true;
	plshard_xact_release_call(conn, owner);
	if (conn->xact.depth == 0)
	{
		send_begin(conn, write, owner);
		conn->xact.depth = 1;
		conn->xact.begin_level = level;
		conn->xact.begin_call = call;
		conn->xact.read_only = XactReadOnly && IsolationUsesXactSnapshot();
		conn->xact.wrote = false;
		conn->xact.must_commit = false;
		conn->xact.nkey_locks = 0;
		if (conn->session.pooled)
		{
			/* nobody knows which session's it will be, but its settings are the defaults */
			plshard_conn_forget_settings(conn);
			conn->session.statement_timeout = 0;
		}
	}
	while (conn->xact.depth < level && conn->io.state == CONN_READY)
	{
		char		sql[64];

		conn->xact.depth++;
		snprintf(sql, sizeof(sql), "SAVEPOINT plshard_%d", conn->xact.depth);
		plshard_conn_send_plain(conn, sql, PENDING_XACT, owner, 0, false);
	}
	if (write)
		conn->xact.wrote = true;
}

int
plshard_xact_begin_call(NodeConn *conn, uint64 call, void *owner)
{
	bool		fresh = conn->xact.depth == 0;
	char		sql[64];

	plshard_xact_open(conn, true, call, owner);
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

	if (conn->io.state != CONN_READY || conn->xact.depth == 0)
		return;
	if (savepoint == 0)
	{
		plshard_conn_send_plain(conn, "ROLLBACK", PENDING_XACT, NULL, 0, false);
		conn->xact.depth = 0;
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
	conn->xact.release_call = savepoint;
}

void
plshard_xact_leave(NodeConn *conn)
{
	plshard_conn_close(conn);
	conn->xact.lost = false;
}

HTAB *
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
	key.cluster = map->ref;
	key.shard_id = map->shards[shard].id;
	entry = hash_search(written, &key, HASH_ENTER, &found);
	if (!found)
	{
		entry->userid = plshard_connection_role(map);
		entry->number = hash_get_num_entries(written);
		entry->epoch = map->epoch;
	}
	else if (entry->userid != plshard_connection_role(map))
		entry->userid = InvalidOid;
	return written;
}

void
plshard_xact_refuse_own_locks(const ClusterMap *map, int shard)
{
	WrittenShardKey key;
	WrittenShard *entry;

	if (written == NULL)
		return;
	memset(&key, 0, sizeof(key));
	key.cluster = map->ref;
	key.shard_id = map->shards[shard].id;
	entry = hash_search(written, &key, HASH_FIND, NULL);
	if (entry != NULL && entry->userid != plshard_connection_role(map))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("role \"%s\" cannot write what another role has written in this transaction",
						GetUserNameFromId(plshard_connection_role(map), false)),
				 errdetail("Each role has its own connections to the nodes, and would wait for the other's locks on shard " INT64_FORMAT ".",
						   key.shard_id),
				 errhint("Write the same key as one role, or commit first.")));
}

void
plshard_xact_committed_by_call(void)
{
	committed = true;
	if (cancels_held)
		return;
	HOLD_CANCEL_INTERRUPTS();
	cancels_held = true;
}

/* ---- rollback ---- */

void
plshard_xact_rollback(NodeConn *conn)
{
	if (conn->xact.depth > 0)
	{
		plshard_conn_send_plain(conn, "ROLLBACK", PENDING_XACT, NULL, 0, false);
		plshard_conn_send_sync(conn, NULL);
		plshard_conn_forget_settings(conn);
	}
	conn->xact.depth = 0;
	conn->xact.lost = false;
	conn->xact.release_call = 0;
}

static void
abort_connection(NodeConn *conn, void *arg)
{
	plshard_conn_drain(conn);
	plshard_xact_rollback(conn);
}

static void
end_of_xact(NodeConn *conn, void *arg)
{
	Assert(conn->xact.depth == 0);
	conn->xact.lost = false;
	conn->xact.release_call = 0;
}

static void
forget_xact(void)
{
	any_open = false;
	committed = false;
	written = NULL;
	if (cancels_held)
	{
		/* one that has come too late must not end what the session does next */
		QueryCancelPending = false;
		(void) get_timeout_indicator(STATEMENT_TIMEOUT, true);
		/* an error has let go of it already */
		if (QueryCancelHoldoffCount > 0)
			RESUME_CANCEL_INTERRUPTS();
	}
	cancels_held = false;
}

static void
xact_callback(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			if (any_open)
			{
				/* what they may fail with must come before the nodes commit */
				PreCommit_on_commit_actions();
				plshard_commit_remote(written);
				committed = true;
			}
			break;
		case XACT_EVENT_PRE_PREPARE:
			if (any_open)
				ereport(ERROR,
						(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						 errmsg("cannot PREPARE a transaction that has used plshard functions")));
			break;
		case XACT_EVENT_COMMIT:
			if (any_open)
			{
				RESUME_INTERRUPTS();	/* commit holds them itself */
				plshard_atomic_front_committed();
				plshard_conn_each(end_of_xact, NULL);
			}
			forget_xact();
			break;
		case XACT_EVENT_ABORT:
			if (!plshard_atomic_front_aborted() && committed)
				ereport(WARNING,
						(errcode(ERRCODE_TRANSACTION_RESOLUTION_UNKNOWN),
						 errmsg("the transaction failed here after the nodes had committed"),
						 errdetail("What it has written on the nodes stays.")));
			plshard_conn_each(abort_connection, NULL);
			forget_xact();
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
	conn->xact.begin_level = Min(conn->xact.begin_level, level - 1);
	if (conn->xact.depth < level)
		return;
	snprintf(sql, sizeof(sql), "RELEASE SAVEPOINT plshard_%d", level);
	plshard_conn_send_plain(conn, sql, PENDING_XACT, NULL, 0, false);
	plshard_conn_send_sync(conn, NULL);
	conn->xact.depth = level - 1;
	conn->xact.release_call = 0;
}

static void
subabort_connection(NodeConn *conn, void *arg)
{
	int			level = GetCurrentTransactionNestLevel();
	char		sql[128];

	/* a call of an outer level may be in the middle of its rows: leave it alone */
	if (conn->in_use >= level)
		plshard_conn_drain(conn);
	if (conn->xact.lost && conn->xact.begin_level >= level)
		conn->xact.lost = false;	/* nothing of an outer level was in it */
	if (conn->xact.depth < level)
		return;
	if (conn->xact.begin_level >= level)
	{
		plshard_conn_send_plain(conn, "ROLLBACK", PENDING_XACT, NULL, 0, false);
		conn->xact.depth = 0;
	}
	else
	{
		snprintf(sql, sizeof(sql), "ROLLBACK TO SAVEPOINT plshard_%d", level);
		plshard_conn_send_plain(conn, sql, PENDING_XACT, NULL, 0, false);
		snprintf(sql, sizeof(sql), "RELEASE SAVEPOINT plshard_%d", level);
		plshard_conn_send_plain(conn, sql, PENDING_XACT, NULL, 0, false);
		conn->xact.depth = level - 1;
	}
	plshard_conn_send_sync(conn, NULL);
	plshard_conn_forget_settings(conn);
	conn->xact.release_call = 0;
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
