/*
 * pipeline.c
 *
 * What travels on a connection: commands are sent in batches that end with a Sync, and
 * leave an entry in the connection's ring, in whose order results come back.  A
 * result that is being handled is kept in the connection, so an error thrown by
 * the handler leaks nothing.
 */
#include "postgres.h"

#include <sys/socket.h>

#include "base/compat.h"
#include "base/settings.h"
#include "connection/pipeline.h"
#include "connection/remote_error.h"
#include "connection/statements.h"
#include "utils/memutils.h"

static void
log_command(const NodeConn *conn, const char *sql)
{
	if (plshard_log_remote_commands)
		ereport(NOTICE, (errmsg_internal("node %s: %s", conn->node_name, sql)));
}

static void
report_notices(NodeConn *conn)
{
	while (conn->io.notices)
	{
		RemoteNotice *notice = conn->io.notices;

		conn->io.notices = notice->next;
		plshard_report_notice(notice, conn->node_name);
	}
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

static void
pop_pending(NodeConn *conn)
{
	Assert(conn->io.npending > 0);
	conn->io.pending_head = (conn->io.pending_head + 1) % conn->io.pending_size;
	conn->io.npending--;
}

bool
plshard_conn_awaited(const NodeConn *conn)
{
	for (int i = 0; i < conn->io.npending; i++)
	{
		if (conn->io.pending[(conn->io.pending_head + i) % conn->io.pending_size].owner)
			return true;
	}
	return false;
}

bool
plshard_conn_waits_for_lock(const NodeConn *conn)
{
	for (int i = 0; i < conn->io.npending; i++)
	{
		if (conn->io.pending[(conn->io.pending_head + i) % conn->io.pending_size].kind == PENDING_LOCK_WAIT)
			return true;
	}
	return false;
}

void
plshard_conn_pass_notices(NodeConn *conn, const char *function_name)
{
	if (conn->io.npending > 0)
		conn->io.pending[(conn->io.pending_head + conn->io.npending - 1) % conn->io.pending_size].notices_for =
			function_name;
}

static void
ignore_result(NodeConn *conn, Pending *pending, PGresult *result, void *arg)
{
}

void
plshard_conn_drain(NodeConn *conn)
{
	for (int i = 0; i < conn->io.npending; i++)
		conn->io.pending[(conn->io.pending_head + i) % conn->io.pending_size].notices_for = NULL;
	conn->io.notices = NULL;
	if (conn->io.state == CONN_READY && plshard_conn_awaited(conn))
		plshard_conn_advance(conn, ignore_result, NULL);
	if (conn->io.state == CONN_CONNECTING ||
		(conn->io.state == CONN_READY && plshard_conn_awaited(conn)))
		plshard_conn_close(conn);
	conn->in_use = 0;
}

/* An error result whose connection ends with it. */
static bool
is_fatal(const PGresult *result)
{
	const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);

	return severity && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0);
}

static void
free_copied(NodeConn *conn)
{
	if (conn->io.copied)
		PQfreemem(conn->io.copied);
	conn->io.copied = NULL;
}

/* What has come of a COPY; true where its end has, or the connection's. */
static bool
receive_copied(NodeConn *conn, Pending *p, ResultHandler handler, void *arg)
{
	for (;;)
	{
		free_copied(conn);		/* the last one, or what an error in the handler left */
		conn->io.copied_length = PQgetCopyData(conn->io.pg, &conn->io.copied, true);
		if (conn->io.copied_length == -2)
			plshard_conn_lost_by_libpq(conn);
		if (conn->io.copied_length <= 0)
			return conn->io.copied_length < 0;
		if (p->owner)
			handler(conn, p, conn->io.result, arg);
		if (conn->io.state != CONN_READY)
			return true;
	}
}

/* A COPY has been answered: back to pipeline mode, and as if a Sync had been, too. */
static PGresult *
end_copy(NodeConn *conn)
{
	pop_pending(conn);
	if (!PQenterPipelineMode(conn->io.pg))
		return NULL;
	return PQmakeEmptyPGresult(conn->io.pg, PGRES_PIPELINE_SYNC);
}

static void
receive(NodeConn *conn, ResultHandler handler, void *arg)
{
	/* what a node said last may still be in libpq's buffer: read on */
	bool		broken = !PQconsumeInput(conn->io.pg);

	conn->io.last_heard = plshard_clock();
	while (conn->io.npending > 0)
	{
		Pending    *p = &conn->io.pending[conn->io.pending_head];
		ExecStatusType status;

		if (p->row_mode && !p->row_mode_set)
		{
			plshard_set_row_mode(conn->io.pg);
			p->row_mode_set = true;
		}
		if (PQisBusy(conn->io.pg))
		{
			if (broken)
				plshard_conn_lost_by_libpq(conn);
			return;
		}

		conn->io.result = PQgetResult(conn->io.pg);
		if (conn->io.result == NULL && p->copies && p->answered)
		{
			conn->io.result = end_copy(conn);
			p = &conn->io.pending[conn->io.pending_head];
			if (conn->io.result == NULL)
			{
				plshard_conn_lost_by_libpq(conn);
				return;
			}
		}
		if (conn->io.result == NULL)
		{
			if (!p->answered)
			{
				plshard_conn_lost_by_libpq(conn);
				return;
			}
			if (p->kind == PENDING_SYNC)
				p->answered = false;	/* what failed at the very end comes before it */
			else
				pop_pending(conn);
			continue;
		}
		status = PQresultStatus(conn->io.result);
		report_notices(conn);

		if (status == PGRES_FATAL_ERROR && is_fatal(conn->io.result))
		{
			char	   *message = pstrdup(PQresultErrorField(conn->io.result, PG_DIAG_MESSAGE_PRIMARY));

			plshard_conn_set_lost(conn, plshard_result_sqlstate(conn->io.result), message);
			pfree(message);
			return;
		}
		if (PQstatus(conn->io.pg) == CONNECTION_BAD)
		{
			plshard_conn_lost_by_libpq(conn);
			return;
		}

		if (status == PGRES_FATAL_ERROR)
			plshard_conn_forget_settings(conn);
		if (p->kind == PENDING_SETUP)
		{
			plshard_conn_finish_setup(conn, conn->io.result);
			if (conn->io.state == CONN_LOST)
				return;
		}
		if (p->kind == PENDING_PREPARE && p->statement)
		{
			plshard_statement_answered(conn, p->statement, status == PGRES_COMMAND_OK);
			p->statement = NULL;
		}

		if (status == PGRES_PIPELINE_SYNC)
		{
			Pending		sync = *p;

			Assert(p->kind == PENDING_SYNC);
			pop_pending(conn);	/* no NULL follows */
			if (sync.owner)
				handler(conn, &sync, conn->io.result, arg);
		}
		else if (status == PGRES_COPY_OUT && p->copies)
		{
			bool		ended = receive_copied(conn, p, handler, arg);

			if (!ended)
			{
				PQclear(conn->io.result);	/* it comes again */
				conn->io.result = NULL;
				if (broken)
					plshard_conn_lost_by_libpq(conn);
				return;
			}
		}
		else if (status == PGRES_COPY_OUT || status == PGRES_COPY_IN || status == PGRES_COPY_BOTH)
		{
			/* libpq would give this answer again and again */
			plshard_conn_set_lost(conn, ERRCODE_PROTOCOL_VIOLATION, "unexpected COPY");
			return;
		}
		else
		{
			p->answered = true;
			if (p->owner)
				handler(conn, p, conn->io.result, arg);
		}
		/* the handler may have closed the connection */
		if (conn->io.result)
		{
			PQclear(conn->io.result);
			conn->io.result = NULL;
		}
		if (conn->io.state != CONN_READY && conn->io.state != CONN_CONNECTING)
			return;
	}
	if (broken)
		plshard_conn_lost_by_libpq(conn);
}

void
plshard_conn_advance(NodeConn *conn, ResultHandler handler, void *arg)
{
	if (conn->io.state == CONN_CONNECTING && conn->io.poll_events != 0)
	{
		switch (PQconnectPoll(conn->io.pg))
		{
			case PGRES_POLLING_READING:
				conn->io.poll_events = WL_SOCKET_READABLE;
				return;
			case PGRES_POLLING_WRITING:
				conn->io.poll_events = WL_SOCKET_WRITEABLE;
				return;
			case PGRES_POLLING_OK:
				plshard_conn_begin_setup(conn);
				return;
			default:
				plshard_conn_lost_by_libpq(conn);
				return;
		}
	}
	if (conn->io.state != CONN_READY && conn->io.state != CONN_CONNECTING)
		return;

	if (conn->io.result)
	{
		/* left by an error in the handler */
		PQclear(conn->io.result);
		conn->io.result = NULL;
	}
	if (conn->io.unsent)
	{
		int			rc = PQflush(conn->io.pg);

		if (rc < 0)
		{
			plshard_conn_lost_by_libpq(conn);
			return;
		}
		conn->io.unsent = rc > 0;
	}
	receive(conn, handler, arg);
}

void
plshard_conn_look(NodeConn *conn)
{
	char		byte;

	if (conn->io.state != CONN_READY ||
		(recv(PQsocket(conn->io.pg), &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
		 (errno == EAGAIN || errno == EWOULDBLOCK)))
		return;
	/* its last words, then the end */
	plshard_conn_advance(conn, ignore_result, NULL);
	plshard_conn_advance(conn, ignore_result, NULL);
}

uint32
plshard_conn_events(NodeConn *conn)
{
	if (conn->io.state == CONN_CONNECTING && conn->io.poll_events != 0)
		return conn->io.poll_events;
	if (conn->io.state != CONN_READY && conn->io.state != CONN_CONNECTING)
		return 0;
	return (conn->io.npending > 0 ? WL_SOCKET_READABLE : 0) |
		(conn->io.unsent ? WL_SOCKET_WRITEABLE : 0);
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

	/* our own few come before all else in a transaction, where DEALLOCATE may not */
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
	if (kind != PENDING_SETUP && kind != PENDING_LOOK)
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
