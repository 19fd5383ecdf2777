/*
 * receive.c
 *
 * Moves a connection on as its socket allows: handshake, sending what libpq holds, and
 * receiving.  Results are matched to the entries of the connection's ring, in order.  A
 * result that is being handled is kept in the connection, so an error thrown by
 * the handler leaks nothing.
 */
#include "postgres.h"

#include <sys/socket.h>

#include "access/htup_details.h"
#include "base/compat.h"
#include "connection/connect.h"
#include "connection/receive.h"
#include "connection/remote_error.h"
#include "connection/setup.h"
#include "connection/statements.h"

/* Passes the notices on that have come, oldest first. */
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

/* Drops the oldest entry of the ring. */
static void
pop_pending(NodeConn *conn)
{
	Assert(conn->io.npending > 0);
	conn->io.pending_head = (conn->io.pending_head + 1) % conn->io.pending_size;
	conn->io.npending--;
}

/* A ResultHandler. */
static void
ignore_result(NodeConn *conn, Pending *pending, PGresult *result, void *arg)
{
}

/* Lost with the node's last words. */
static void
end_by_node(NodeConn *conn, const PGresult *error)
{
	const char *message = plshard_result_text(error, PG_DIAG_MESSAGE_PRIMARY);

	plshard_conn_set_lost(conn, plshard_result_sqlstate(error),
						  message ? message : "the node ended the session without a message");
}

/*
 * What is wrong with a result as the answer to that command; NULL if nothing is.  An error
 * without a SQLSTATE is libpq's: it has not understood the node, and may have missed
 * what would end the wait.
 */
static const char *
find_violation(const NodeConn *conn, const Pending *p, PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);
	bool		has_tag = PQcmdStatus(result)[0] != '\0';

	if (status == PGRES_FATAL_ERROR)
		return PQresultErrorField(result, PG_DIAG_SQLSTATE) ? NULL : plshard_connection_message(conn->io.pg);
	if (status == PGRES_PIPELINE_ABORTED)
		return NULL;
	if ((status == PGRES_PIPELINE_SYNC) != (p->kind == PENDING_SYNC))
		return p->kind == PENDING_SYNC ? "an answer to no command" : "the end of a batch before the answer to a command";
	if (status == PGRES_PIPELINE_SYNC)
		return NULL;
	if (p->kind == PENDING_PREPARE)
		return status != PGRES_COMMAND_OK || has_tag ? "an unexpected answer to Parse" : NULL;
	if (p->kind == PENDING_XACT && status != PGRES_COMMAND_OK)
		return "rows in answer to a transaction command";
	if ((status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) && !has_tag)
		return "an answer without a command tag";
	if (PQnfields(result) > MaxTupleAttributeNumber)
		return "rows of too many columns";
	return NULL;
}

/*
 * All is answered: there must be nothing left in libpq's buffer, which the next command
 * would take for its answer.  libpq reports what it finds while it is idle as a notice.
 */
static void
look_for_surplus(NodeConn *conn)
{
	if (!PQexitPipelineMode(conn->io.pg))
	{
		plshard_conn_lost_by_libpq(conn);
		return;
	}
	(void) PQisBusy(conn->io.pg);
	if (conn->io.surplus == ERRCODE_PROTOCOL_VIOLATION)
		plshard_conn_violated(conn, "an answer to no command");
	else if (conn->io.surplus)
		plshard_conn_set_lost(conn, conn->io.surplus, "the node ended the session");
	else if (!PQenterPipelineMode(conn->io.pg))
		plshard_conn_lost_by_libpq(conn);
}

/* Frees the message of COPY that was handled last. */
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

/*
 * Notes what the result that is being handled means for the connection.  Returns false where
 * the connection is lost by it.
 */
static bool
take_result(NodeConn *conn, Pending *p)
{
	ExecStatusType status = PQresultStatus(conn->io.result);
	const char *violation;

	if (status == PGRES_FATAL_ERROR && plshard_error_is_fatal(conn->io.result))
	{
		end_by_node(conn, conn->io.result);
		return false;
	}
	if (PQstatus(conn->io.pg) == CONNECTION_BAD)
	{
		plshard_conn_lost_by_libpq(conn);
		return false;
	}
	violation = find_violation(conn, p, conn->io.result);
	if (violation)
	{
		plshard_conn_violated(conn, violation);
		return false;
	}
	if (status == PGRES_FATAL_ERROR)
		plshard_conn_forget_settings(conn);
	if (p->kind == PENDING_SETUP)
	{
		plshard_conn_finish_setup(conn, conn->io.result);
		if (conn->io.state == CONN_LOST)
			return false;
	}
	if (p->kind == PENDING_PREPARE && p->statement)
	{
		plshard_statement_answered(conn, p->statement, status == PGRES_COMMAND_OK);
		p->statement = NULL;
	}
	return true;
}

/* Takes in all results that have come, and gives them to the handler. */
static void
receive(NodeConn *conn, ResultHandler handler, void *arg)
{
	/* where the connection is broken, the last messages may still be in libpq's buffer */
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
		if (!take_result(conn, p))
			return;

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
			plshard_conn_violated(conn, "unexpected COPY");
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
	else if (conn->io.state == CONN_READY)
		look_for_surplus(conn);
}

void
plshard_conn_advance(NodeConn *conn, ResultHandler handler, void *arg)
{
	if (conn->io.state == CONN_CONNECTING && conn->io.poll_events != 0)
	{
		switch (plshard_connect_step(conn->io.pg, conn->io.password_required, &conn->io.poll_events))
		{
			case CONNECT_WAITS:
				return;
			case CONNECT_UP:
				plshard_conn_begin_setup(conn);
				return;
			case CONNECT_INSECURE:
				plshard_conn_close(conn);
				plshard_refuse_connection();
			case CONNECT_FAILED:
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
	/* its last message, then the end of the stream */
	plshard_conn_advance(conn, ignore_result, NULL);
	plshard_conn_advance(conn, ignore_result, NULL);
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
	plshard_conn_set_in_use(conn, 0);
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
