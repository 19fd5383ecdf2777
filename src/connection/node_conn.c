/*
 * node_conn.c
 *
 * The state of a connection to a node, and its end.  libpq's memory is malloc'ed and
 * freed by plshard_conn_close; what else goes with a connection lives in its context.
 */
#include "postgres.h"

#include "connection/connect.h"
#include "connection/node_conn.h"
#include "connection/remote_error.h"
#include "utils/memutils.h"

/* Frees what libpq holds; the entry's own fields are left to the caller. */
static void
release_pg(NodeConn *conn)
{
	if (conn->io.result)
	{
		PQclear(conn->io.result);
		conn->io.result = NULL;
	}
	if (conn->io.copied)
	{
		PQfreemem(conn->io.copied);
		conn->io.copied = NULL;
	}
	plshard_connect_end(&conn->io.pg, &conn->io.fd);
	conn->io.npending = 0;
	conn->io.pending_head = 0;
	conn->io.unsent = false;
	conn->io.notices = NULL;
	conn->io.surplus = 0;
	conn->session.statements = NULL;	/* went with the context, or will */
	conn->session.nstatements = 0;
	conn->session.last_found = NULL;
	dlist_init(&conn->session.lru);
	conn->io.incarnation++;
	plshard_conn_forget_settings(conn);
}

void
plshard_conn_close(NodeConn *conn)
{
	release_pg(conn);
	conn->io.state = CONN_CLOSED;
}

void
plshard_conn_set_lost(NodeConn *conn, int sqlstate, const char *message)
{
	char	   *copy = MemoryContextStrdup(conn->context, message);

	release_pg(conn);
	conn->io.state = CONN_LOST;
	conn->io.sqlstate = sqlstate;
	conn->io.message = copy;
}

void
plshard_conn_violated(NodeConn *conn, const char *message)
{
	plshard_conn_set_lost(conn, ERRCODE_PROTOCOL_VIOLATION, message);
}

void
plshard_conn_lost_by_libpq(NodeConn *conn)
{
	char	   *message = plshard_connection_message(conn->io.pg);

	if (conn->io.state == CONN_CONNECTING)
	{
		/* a new connection that fails without an answer is as good as a probe */
		conn->io.refused = plshard_server_answered(conn->io.pg);
		conn->io.condemned = !conn->io.refused && plshard_connection_sqlstate(conn->io.pg) == 0;
	}
	plshard_conn_set_lost(conn, plshard_connection_sqlstate(conn->io.pg), message);
	pfree(message);
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
