/*
 * pipeline.c
 *
 * Sends commands, in batches that end with a Sync; each leaves an entry in the connection's
 * ring.
 */
#include "postgres.h"

#include "base/compat.h"
#include "base/settings.h"
#include "connection/pipeline.h"
#include "connection/remote_error.h"
#include "connection/statements.h"
#include "utils/memutils.h"

/* Shows a command to the user where plshard.log_remote_commands is on. */
static void
log_command(const NodeConn *conn, const char *sql)
{
	if (plshard_log_remote_commands)
		ereport(NOTICE, (errmsg_internal("node %s: %s", conn->node_name, sql)));
}

/* Makes room for the entries of the commands that are sent next: it may throw. */
static void
reserve_pending(NodeConn *conn, int n)
{
	int			size = Max(conn->io.pending_size * 2, 16);
	Pending    *ring;

	if (conn->io.npending + n <= conn->io.pending_size)
		return;
	ring = MemoryContextAlloc(conn->context, size * sizeof(Pending));
	for (int i = 0; i < conn->io.npending; i++)
		ring[i] = conn->io.pending[(conn->io.pending_head + i) % conn->io.pending_size];
	if (conn->io.pending)
		pfree(conn->io.pending);
	conn->io.pending = ring;
	conn->io.pending_size = size;
	conn->io.pending_head = 0;
}

/* Adds the entry of a command that was sent; reserve_pending has made room. */
static Pending *
push_pending(NodeConn *conn, PendingKind kind, void *owner, int number, bool row_mode)
{
	Pending    *p;

	Assert(conn->io.npending < conn->io.pending_size);
	p = &conn->io.pending[(conn->io.pending_head + conn->io.npending) % conn->io.pending_size];
	memset(p, 0, sizeof(*p));
	p->kind = kind;
	p->owner = owner;
	p->number = number;
	p->row_mode = row_mode;
	conn->io.npending++;
	return p;
}

void
plshard_conn_pass_notices(NodeConn *conn, const char *function_name)
{
	if (conn->io.npending > 0)
		conn->io.pending[(conn->io.pending_head + conn->io.npending - 1) % conn->io.pending_size].notices_for =
			function_name;
}

bool
plshard_conn_needs_text(NodeConn *conn, uint64 id, int64 shard_id)
{
	return plshard_log_remote_commands || plshard_find_statement(conn, id, shard_id) == NULL;
}

/*
 * Makes room for one more prepared statement by deallocating the oldest.  Those
 * that are on their way stay: there may be more than the limit until they are
 * known.
 */
static void
make_room(NodeConn *conn)
{
	while (conn->session.nstatements >= plshard_max_prepared_statements && conn->io.state == CONN_READY)
	{
		PreparedStatement *oldest = plshard_oldest_statement(conn);
		char		sql[64];

		if (!oldest->prepared)
			return;
		snprintf(sql, sizeof(sql), "DEALLOCATE %s", oldest->name);
		plshard_remove_statement(conn, oldest);
		plshard_conn_send_plain(conn, sql, PENDING_SETTING, NULL, 0, false);
	}
}

/* Queues that a statement be prepared; NULL where the connection is lost. */
static PreparedStatement *
prepare(NodeConn *conn, uint64 id, int64 shard_id, const char *sql,
		int nparams, const Oid *types, void *owner, int number)
{
	PreparedStatement *statement;

	/* plshard's own few come before all else in a transaction, where DEALLOCATE may not */
	if (id >= FIRST_FUNCTION_QUERY || shard_id != NO_SHARD)
		make_room(conn);
	if (conn->io.state != CONN_READY)
		return NULL;
	reserve_pending(conn, 1);
	statement = plshard_enter_statement(conn, id, shard_id);
	if (!PQsendPrepare(conn->io.pg, statement->name, sql, nparams, types))
	{
		plshard_conn_lost_by_libpq(conn);
		return NULL;
	}
	push_pending(conn, PENDING_PREPARE, owner, number, false)->statement = statement;
	return statement;
}

/* Sends a statement in the protocol's unnamed prepared statement. */
static void
send_unnamed(NodeConn *conn, const char *sql, int nparams, const Oid *types,
			 const RemoteParams *params, int result_format, PendingKind kind,
			 void *owner, int number, bool row_mode)
{
	reserve_pending(conn, 1);
	if (!PQsendQueryParams(conn->io.pg, sql, nparams, types,
						   params ? params->values : NULL,
						   params ? params->lengths : NULL,
						   params ? params->formats : NULL,
						   result_format))
	{
		plshard_conn_lost_by_libpq(conn);
		return;
	}
	push_pending(conn, kind, owner, number, row_mode);
}

void
plshard_conn_send_prepared(NodeConn *conn, uint64 id, int64 shard_id, const char *sql,
						   int nparams, const Oid *types, const RemoteParams *params,
						   int result_format, PendingKind kind,
						   void *owner, int number, bool row_mode)
{
	PreparedStatement *statement;
	bool		reused;

	if (conn->io.state != CONN_READY)
		return;
	log_command(conn, sql);
	if (conn->session.pooled)
	{
		send_unnamed(conn, sql, nparams, types, params, result_format, kind, owner, number, row_mode);
		return;
	}

	statement = plshard_find_statement(conn, id, shard_id);
	if (statement == NULL && shard_id != NO_SHARD && plshard_conn_is_full(conn))
	{
		shard_id = NO_SHARD;
		statement = plshard_find_statement(conn, id, shard_id);
	}
	reused = statement != NULL;
	if (statement == NULL)
	{
		statement = prepare(conn, id, shard_id, sql, nparams, types, owner, number);
		if (statement == NULL)
			return;
	}
	plshard_use_statement(conn, statement);

	reserve_pending(conn, 1);
	if (!PQsendQueryPrepared(conn->io.pg, statement->name, nparams,
							 params ? params->values : NULL,
							 params ? params->lengths : NULL,
							 params ? params->formats : NULL,
							 result_format))
	{
		plshard_conn_lost_by_libpq(conn);
		return;
	}
	push_pending(conn, kind, owner, number, row_mode)->reused = reused;
}

void
plshard_conn_send_plain(NodeConn *conn, const char *sql, PendingKind kind,
						void *owner, int number, bool row_mode)
{
	if (conn->io.state != CONN_READY && conn->io.state != CONN_CONNECTING)
		return;
	if (kind != PENDING_SETUP && kind != PENDING_WAITS)
		log_command(conn, sql);
	send_unnamed(conn, sql, 0, NULL, NULL, 0, kind, owner, number, row_mode);
}

void
plshard_conn_send_copy(NodeConn *conn, const char *sql, void *owner, const char *notices_for)
{
	Pending    *copy;
	int			rc;

	Assert(conn->io.npending == 0);
	if (conn->io.state != CONN_READY)
		return;
	log_command(conn, sql);
	reserve_pending(conn, 2);
	if (!PQexitPipelineMode(conn->io.pg) || !PQsendQuery(conn->io.pg, sql) ||
		(rc = PQflush(conn->io.pg)) < 0)
	{
		plshard_conn_lost_by_libpq(conn);
		return;
	}
	conn->io.unsent = rc > 0;
	copy = push_pending(conn, PENDING_CALL, owner, 0, false);
	copy->copies = true;
	copy->notices_for = notices_for;
	push_pending(conn, PENDING_SYNC, owner, 0, false);
}

void
plshard_conn_send_flush(NodeConn *conn)
{
	/* goes out with what follows it */
	if (conn->io.state == CONN_READY && !PQsendFlushRequest(conn->io.pg))
		plshard_conn_lost_by_libpq(conn);
}

void
plshard_conn_send_sync(NodeConn *conn, void *owner)
{
	int			rc;

	if (conn->io.state != CONN_READY && conn->io.state != CONN_CONNECTING)
		return;
	reserve_pending(conn, 1);
	if (!PQpipelineSync(conn->io.pg) || (rc = PQflush(conn->io.pg)) < 0)
	{
		plshard_conn_lost_by_libpq(conn);
		return;
	}
	conn->io.unsent = rc > 0;
	push_pending(conn, PENDING_SYNC, owner, 0, false);
}
