/*
 * admin_connection.c
 *
 * A connection of its own to a node, for administration.  A connection lives in
 * the memory context that was current when it was started, and is closed with
 * it; a result lives in the context that was current when it was fetched.
 */
#include "postgres.h"

#include "base/settings.h"
#include "connection/admin_connection.h"
#include "connection/connect.h"
#include "connection/health.h"
#include "connection/remote_error.h"
#include "connection/remote_result.h"
#include "connection/session_settings.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

/* Warnings of a node that go to the log, of each connection. */
#define LOGGED_NOTICES 100

/* The node's warnings go to the server log. */
static void
log_notice(void *arg, const PGresult *notice)
{
	AdminConnection *conn = arg;
	const char *message;

	/*
	 * libpq's own complaints, which have no SQLSTATE, may come from a result whose
	 * connection has gone; and no node may fill the disk.
	 */
	if (PQresultErrorField(notice, PG_DIAG_SQLSTATE) == NULL || conn->nnotices >= LOGGED_NOTICES)
		return;
	conn->nnotices++;
	message = plshard_result_text(notice, PG_DIAG_MESSAGE_PRIMARY);
	ereport(LOG,
			(errmsg_internal("node \"%s\": %s", conn->node_name,
							 message ? message : "notice without a message")));
}

/* Reset callback of the connection's memory context. */
static void
close_connection(void *arg)
{
	AdminConnection *conn = arg;

	PQclear(conn->result);
	conn->result = NULL;
	plshard_connect_end(&conn->pg, &conn->fd);
}

void
plshard_admin_close(AdminConnection *conn)
{
	close_connection(conn);
}

void
plshard_admin_lost(AdminConnection *conn)
{
	ereport(ERROR,
			(errcode(ERRCODE_CONNECTION_FAILURE),
			 errmsg("connection to node \"%s\" is lost", conn->node_name),
			 errdetail_internal("%s", plshard_connection_message(conn->pg))));
}

/* Raises that the connection could not be made, with libpq's reason. */
pg_noreturn static void
not_connected(AdminConnection *conn)
{
	int			sqlstate = plshard_connection_sqlstate(conn->pg);

	ereport(ERROR,
			(errcode(sqlstate ? sqlstate : ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION),
			 errmsg("could not connect to node \"%s\"", conn->node_name),
			 errdetail_internal("%s", plshard_connection_message(conn->pg))));
}

AdminConnection *
plshard_admin_start(const ClusterMap *map, int node)
{
	AdminConnection *conn = palloc0(sizeof(AdminConnection));
	MemoryContextCallback *callback = palloc0(sizeof(MemoryContextCallback));

	conn->context = CurrentMemoryContext;
	conn->fd = PGINVALID_SOCKET;
	conn->map = map;
	conn->node = node;
	conn->node_name = pstrdup(map->nodes[node].name);
	conn->conninfo = palloc0(sizeof(NodeConninfo));
	plshard_build_conninfo(map, node, GetUserId(), conn->conninfo);

	callback->func = close_connection;
	callback->arg = conn;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);

	conn->pg = plshard_connect_start(conn->conninfo, conn->node_name);
	PQsetNoticeReceiver(conn->pg, log_notice, conn);
	if (PQstatus(conn->pg) == CONNECTION_BAD)
		not_connected(conn);
	conn->state = ADMIN_CONNECTING;
	conn->events = WL_SOCKET_WRITEABLE;
	conn->connect_deadline = deadline_in(plshard_connect_timeout(&map->options));
	return conn;
}

/* Hands a statement to libpq; its result is polled for. */
static void
send_now(AdminConnection *conn, const char *sql, int nparams, const char *const *values)
{
	int			sent;

	Assert(conn->result == NULL);
	if (plshard_log_remote_commands && conn->state == ADMIN_BUSY)
		ereport(NOTICE, (errmsg_internal("node %s: %s", conn->node_name, sql)));
	sent = nparams == 0 ? PQsendQuery(conn->pg, sql) :
		PQsendQueryParams(conn->pg, sql, nparams, NULL, values, NULL, NULL, 0);
	if (!sent)
		plshard_admin_lost(conn);
	conn->ready = 0;
	conn->silent_at = NO_DEADLINE;
	conn->events = WL_SOCKET_READABLE | WL_SOCKET_WRITEABLE;
}

void
plshard_admin_send(AdminConnection *conn, const char *sql)
{
	if (conn->state == ADMIN_IDLE)
	{
		conn->state = ADMIN_BUSY;
		send_now(conn, sql, 0, NULL);
		return;
	}
	if (conn->state == ADMIN_COPYING || conn->state == ADMIN_BUSY ||
		conn->queued != NULL)
		elog(ERROR, "connection to node \"%s\" is busy", conn->node_name);
	conn->queued = MemoryContextStrdup(conn->context, sql);
}

/*
 * What gives the session its settings.  Each commit waits for the disk, whatever the
 * server defaults to.
 */
static char *
setup_command(const AdminConnection *conn)
{
	int			nsettings;

	return psprintf("SELECT pg_catalog.set_config('client_encoding', %s, false), %s;"
					"SELECT pg_catalog.set_config(name, 'on', false) FROM pg_catalog.pg_settings"
					" WHERE name OPERATOR(pg_catalog.=) 'synchronous_commit'"
					" AND setting OPERATOR(pg_catalog.=) ANY ('{off,local}')",
					quote_literal_cstr(GetDatabaseEncodingName()),
					plshard_session_settings(SESSION_FOR_ADMIN, PQserverVersion(conn->pg), &nsettings));
}

/* One step of connecting; true when it is done, and the set-up is sent. */
static bool
poll_connect(AdminConnection *conn)
{
	if (conn->ready == 0)
		return false;
	conn->ready = 0;
	switch (plshard_connect_step(conn->pg, conn->conninfo->password_required, &conn->events))
	{
		case CONNECT_WAITS:
			return false;
		case CONNECT_UP:
			break;
		case CONNECT_INSECURE:
			plshard_refuse_connection();
		case CONNECT_FAILED:
			not_connected(conn);
	}
	conn->state = ADMIN_SETTING_UP;
	send_now(conn, setup_command(conn), 0, NULL);
	return true;
}

/*
 * Moves bytes of the query under way; true when its outcome, or the beginning
 * of a COPY, is in conn->result.
 */
static bool
poll_query(AdminConnection *conn)
{
	int			unsent;

	if ((conn->ready & WL_SOCKET_READABLE) && !PQconsumeInput(conn->pg))
		plshard_admin_lost(conn);
	conn->ready = 0;
	unsent = PQflush(conn->pg);
	if (unsent < 0)
		plshard_admin_lost(conn);

	while (!PQisBusy(conn->pg))
	{
		PGresult   *result = PQgetResult(conn->pg);
		ExecStatusType status = PQresultStatus(result);

		if (result == NULL)
			return true;
		if (conn->result != NULL && PQresultStatus(conn->result) == PGRES_FATAL_ERROR)
			PQclear(result);	/* the first error is the one that counts */
		else
		{
			PQclear(conn->result);
			conn->result = result;
		}
		if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT)
			return true;
	}
	conn->events = WL_SOCKET_READABLE | (unsent ? WL_SOCKET_WRITEABLE : 0);
	return false;
}

/* Hands the result over to the current memory context. */
static PGresult *
take_result(AdminConnection *conn)
{
	PGresult   *result = conn->result;

	conn->result = NULL;
	return plshard_own_result(result);
}

/* When what is under way takes too long. */
static Deadline
current_deadline(const AdminConnection *conn)
{
	if (conn->state == ADMIN_CONNECTING || conn->state == ADMIN_SETTING_UP)
		return conn->connect_deadline;
	return conn->state == ADMIN_IDLE ? NO_DEADLINE : conn->deadline;
}

void
plshard_admin_check_silence(AdminConnection *conn)
{
	if (conn->ready != 0 || !deadline_passed(conn->silent_at))
		return;
	conn->silent_at = NO_DEADLINE;
	if (!plshard_node_answers(conn->map, conn->node, GetUserId(), NO_DEADLINE))
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_FAILURE),
				 errmsg("node \"%s\" does not answer", conn->node_name)));
}

bool
plshard_admin_poll(AdminConnection *conn, PGresult **result)
{
	*result = NULL;
	plshard_admin_check_silence(conn);
	if (conn->ready == 0 && deadline_passed(current_deadline(conn)))
		ereport(ERROR,
				(conn->state == ADMIN_BUSY ?
				 errcode(ERRCODE_CONNECTION_FAILURE) :
				 errcode(ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION),
				 errmsg("node \"%s\" did not answer in time", conn->node_name)));

	if (conn->state == ADMIN_CONNECTING && !poll_connect(conn))
		return false;
	if (conn->state == ADMIN_SETTING_UP)
	{
		if (!poll_query(conn))
			return false;
		plshard_admin_check(conn, take_result(conn));
		conn->events = 0;
		conn->state = ADMIN_IDLE;
		if (conn->queued != NULL)
		{
			char	   *sql = conn->queued;

			conn->queued = NULL;
			plshard_admin_send(conn, sql);
			pfree(sql);
		}
	}
	if (conn->state == ADMIN_BUSY)
	{
		ExecStatusType status;

		if (!poll_query(conn))
			return false;
		status = PQresultStatus(conn->result);
		conn->events = 0;
		conn->state = status == PGRES_COPY_IN || status == PGRES_COPY_OUT ?
			ADMIN_COPYING : ADMIN_IDLE;
		*result = take_result(conn);
	}
	return true;
}

void
plshard_admin_copied(AdminConnection *conn)
{
	Assert(conn->state == ADMIN_COPYING);
	conn->state = ADMIN_BUSY;
	conn->events = WL_SOCKET_READABLE | WL_SOCKET_WRITEABLE;
}

void
plshard_admin_wait(AdminConnection **conns, int nconns)
{
	WaitSocket *sockets = palloc(nconns * sizeof(WaitSocket));
	AdminConnection **waiting = palloc(nconns * sizeof(AdminConnection *));
	Deadline	deadline = NO_DEADLINE;
	int			n = 0;
	int			i;

	for (i = 0; i < nconns; i++)
	{
		if (conns[i]->events == 0)
		{
			conns[i]->silent_at = NO_DEADLINE;
			continue;
		}
		/* connecting has a deadline of its own */
		if (conns[i]->silent_at == NO_DEADLINE && conns[i]->state != ADMIN_CONNECTING)
			conns[i]->silent_at = deadline_in(conns[i]->map->options.node_timeout);
		sockets[n].fd = conns[i]->fd = PQsocket(conns[i]->pg);
		sockets[n].events = conns[i]->events;
		sockets[n].passing = conns[i]->state == ADMIN_CONNECTING;
		sockets[n].ready = 0;
		deadline = deadline_min(deadline, current_deadline(conns[i]));
		deadline = deadline_min(deadline, conns[i]->silent_at);
		waiting[n++] = conns[i];
	}
	plshard_wait(sockets, n, deadline);
	for (i = 0; i < n; i++)
	{
		waiting[i]->ready |= sockets[i].ready;
		if (sockets[i].ready != 0)
			waiting[i]->silent_at = NO_DEADLINE;
	}
	pfree(sockets);
	pfree(waiting);
}

void
plshard_admin_check(AdminConnection *conn, const PGresult *result)
{
	RemoteErrorContext where = {.node_name = conn->node_name};

	switch (PQresultStatus(result))
	{
		case PGRES_COMMAND_OK:
		case PGRES_TUPLES_OK:
		case PGRES_EMPTY_QUERY:
		case PGRES_COPY_IN:
		case PGRES_COPY_OUT:
			return;
		default:
			if (PQstatus(conn->pg) == CONNECTION_BAD &&
				(result == NULL || PQresultErrorField(result, PG_DIAG_SQLSTATE) == NULL))
				plshard_admin_lost(conn);
			plshard_report_result(ERROR, result, &where);
	}
}

/* Waits for the end of what is under way. */
static PGresult *
wait_for_result(AdminConnection *conn)
{
	PGresult   *result;

	while (!plshard_admin_poll(conn, &result))
		plshard_admin_wait(&conn, 1);
	return result;
}

AdminConnection *
plshard_admin_open(const ClusterMap *map, int node)
{
	AdminConnection *conn = plshard_admin_start(map, node);

	wait_for_result(conn);
	return conn;
}

PGresult *
plshard_admin_try(AdminConnection *conn, const char *sql,
					int nparams, const char *const *values)
{
	Assert(conn->state == ADMIN_IDLE);
	conn->state = ADMIN_BUSY;
	send_now(conn, sql, nparams, values);
	return wait_for_result(conn);
}

PGresult *
plshard_admin_query(AdminConnection *conn, const char *sql,
					  int nparams, const char *const *values)
{
	PGresult   *result = plshard_admin_try(conn, sql, nparams, values);

	plshard_admin_check(conn, result);
	return result;
}

void
plshard_admin_query_all(AdminConnection **conns, int nconns, const char *sql,
					   int timeout, PGresult **results)
{
	bool	   *done = palloc0(nconns * sizeof(bool));
	int			left = nconns;
	int			i;

	for (i = 0; i < nconns; i++)
	{
		conns[i]->deadline = deadline_in(timeout);
		plshard_admin_send(conns[i], sql);
	}
	for (;;)
	{
		for (i = 0; i < nconns; i++)
		{
			if (done[i] || !plshard_admin_poll(conns[i], &results[i]))
				continue;
			plshard_admin_check(conns[i], results[i]);
			conns[i]->deadline = NO_DEADLINE;
			done[i] = true;
			left--;
		}
		if (left == 0)
			break;
		plshard_admin_wait(conns, nconns);
	}
	pfree(done);
}
