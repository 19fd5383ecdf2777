/*
 * remote_xact.c
 *
 * The remote transaction of a connection.  Only this file writes conn->xact.
 *
 * Rolling back never waits: ROLLBACK is queued, and its result read before the next
 * call's.
 */
#include "postgres.h"

#include "access/xact.h"
#include "connection/node_settings.h"
#include "connection/pipeline.h"
#include "connection/statements.h"
#include "transaction/remote_xact.h"

static bool any_open = false;	/* some connection may have a transaction */
static int	call_counter = 0;	/* of savepoints of calls, in the session */

bool
plshard_remote_xact_is_open(void)
{
	return any_open;
}

void
plshard_remote_xact_reset(void)
{
	any_open = false;
}

/* ---- beginning, and savepoints of calls ---- */

/* BEGIN with the characteristics of the front's transaction. */
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

/* Queues BEGIN. */
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
	if (plshard_xact_is_open(conn))
	{
		snprintf(sql, sizeof(sql), "RELEASE SAVEPOINT plshard_call_%d", conn->xact.release_call);
		plshard_conn_send_plain(conn, sql, PENDING_XACT, owner, 0, false);
	}
	conn->xact.release_call = 0;
}

void
plshard_xact_open(NodeConn *conn, bool write, uint64 call, void *owner)
{
	int			level = GetCurrentTransactionNestLevel();

	if (plshard_xact_is_lost(conn))
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_FAILURE),
				 errmsg("this transaction's connection to node \"%s\" was lost", conn->node_name),
				 errhint("Roll back and try the transaction again.")));

	any_open = true;
	plshard_xact_release_call(conn, owner);
	if (!plshard_xact_is_open(conn))
	{
		uint32		incarnation = conn->io.incarnation;

		send_begin(conn, write, owner);
		conn->xact.depth = 1;
		conn->xact.incarnation = incarnation;
		conn->xact.begin_level = level;
		conn->xact.begin_call = call;
		conn->xact.read_only = XactReadOnly && IsolationUsesXactSnapshot();
		conn->xact.wrote = false;
		conn->xact.must_commit = false;
		conn->xact.nkey_locks = 0;
		if (conn->session.pooled)
			plshard_conn_note_defaults(conn);
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
	bool		fresh = !plshard_xact_is_open(conn);
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

	if (conn->io.state != CONN_READY || !plshard_xact_is_open(conn))
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
plshard_xact_must_commit(NodeConn *conn)
{
	conn->xact.must_commit = true;
}

int
plshard_xact_count_key_lock(NodeConn *conn)
{
	return conn->xact.nkey_locks++;
}

/* ---- the end ---- */

void
plshard_xact_forget(NodeConn *conn)
{
	conn->xact.depth = 0;
	conn->xact.release_call = 0;
}

void
plshard_xact_leave(NodeConn *conn)
{
	plshard_conn_close(conn);
	plshard_xact_forget(conn);
}

void
plshard_xact_commit(NodeConn *conn)
{
	plshard_xact_release_call(conn, NULL);
	plshard_conn_send_plain(conn, "COMMIT", PENDING_XACT, NULL, 0, false);
	plshard_conn_send_sync(conn, NULL);
	plshard_xact_forget(conn);
}

void
plshard_xact_rollback(NodeConn *conn)
{
	if (plshard_xact_is_open(conn))
	{
		plshard_conn_send_plain(conn, "ROLLBACK", PENDING_XACT, NULL, 0, false);
		plshard_conn_send_sync(conn, NULL);
		plshard_conn_forget_settings(conn);
	}
	plshard_xact_forget(conn);
}

/* ---- subtransactions ---- */

void
plshard_xact_commit_level(NodeConn *conn, int level)
{
	char		sql[64];

	/* what was begun in the subtransaction is its parent's now */
	conn->xact.begin_level = Min(conn->xact.begin_level, level - 1);
	if (plshard_xact_depth(conn) < level)
		return;
	snprintf(sql, sizeof(sql), "RELEASE SAVEPOINT plshard_%d", level);
	plshard_conn_send_plain(conn, sql, PENDING_XACT, NULL, 0, false);
	plshard_conn_send_sync(conn, NULL);
	conn->xact.depth = level - 1;
	conn->xact.release_call = 0;
}

void
plshard_xact_abort_level(NodeConn *conn, int level)
{
	char		sql[128];

	if (plshard_xact_is_lost(conn) && conn->xact.begin_level >= level)
		plshard_xact_forget(conn);	/* nothing of an outer level was in it */
	if (plshard_xact_depth(conn) < level)
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
