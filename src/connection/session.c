/*
 * session.c
 *
 * A connection of its own to a node, for administration.  A session lives in
 * the memory context that was current when it was started, and is closed with
 * it; a result lives in the context that was current when it was fetched.
 */
#include "postgres.h"

#include "base/settings.h"
#include "cluster/conninfo.h"
#include "connection/health.h"
#include "connection/remote_error.h"
#include "connection/session.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

/*
 * What every session is set to.  Values must be read back as they were
 * written, whatever the two servers default to; nothing may end a session that
 * waits for others; a lost front must be noticed soon, because its session may
 * hold locks.  Settings that a server does not know are left out.
 */
static const char *const set_up =
	"SET search_path = pg_catalog;"
	"SET client_encoding = %s;"
	"SELECT set_config(name, value, false) FROM (VALUES"
	" ('DateStyle', 'ISO, YMD'), ('IntervalStyle', 'postgres'), ('TimeZone', 'UTC'),"
	" ('extra_float_digits', '3'), ('bytea_output', 'hex'), ('lc_monetary', 'C'),"
	" ('xmloption', 'content'), ('standard_conforming_strings', 'on'),"
	" ('quote_all_identifiers', 'off'), ('row_security', 'off'),"
	" ('client_min_messages', 'warning'),"
	" ('statement_timeout', '0'), ('lock_timeout', '0'), ('transaction_timeout', '0'),"
	" ('idle_in_transaction_session_timeout', '0'), ('idle_session_timeout', '0'),"
	" ('client_connection_check_interval', '500ms'), ('tcp_keepalives_idle', '10'),"
	" ('tcp_keepalives_interval', '5'), ('tcp_keepalives_count', '3'), ('tcp_user_timeout', '30000'),"
	" ('default_transaction_isolation', 'read committed'),"
	" ('default_transaction_read_only', 'off'), ('default_transaction_deferrable', 'off')"
	") v(name, value)"
	" WHERE lower(name) IN (SELECT lower(s.name) FROM pg_settings s);"
	"SELECT set_config(name, 'on', false) FROM pg_settings"
	" WHERE name = 'synchronous_commit' AND setting IN ('off', 'local')";

/* libpq's notices and the node's warnings go to the server log. */
static void
log_notice(void *arg, const PGresult *notice)
{
	NodeSession *session = arg;
	const char *message = PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY);

	ereport(LOG,
			(errmsg_internal("node \"%s\": %s", session->node_name,
							 message ? message : "notice without a message")));
}

static void
close_connection(void *arg)
{
	NodeSession *session = arg;

	PQclear(session->result);
	session->result = NULL;
	if (session->conn != NULL)
	{
		plshard_wait_forget(session->fd);
		PQfinish(session->conn);
		session->conn = NULL;
		ReleaseExternalFD();
	}
}

void
plshard_session_close(NodeSession *session)
{
	close_connection(session);
}

void
plshard_session_lost(NodeSession *session)
{
	ereport(ERROR,
			(errcode(ERRCODE_CONNECTION_FAILURE),
			 errmsg("connection to node \"%s\" is lost", session->node_name),
			 errdetail_internal("%s", plshard_connection_message(session->conn))));
}

static void
not_connected(NodeSession *session)
{
	int			sqlstate = plshard_connection_sqlstate(session->conn);

	ereport(ERROR,
			(errcode(sqlstate ? sqlstate : ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION),
			 errmsg("could not connect to node \"%s\"", session->node_name),
			 errdetail_internal("%s", plshard_connection_message(session->conn))));
}

NodeSession *
plshard_session_start(const ClusterMap *map, int node)
{
	NodeSession *session = palloc0(sizeof(NodeSession));
	MemoryContextCallback *callback = palloc0(sizeof(MemoryContextCallback));

	session->context = CurrentMemoryContext;
	session->fd = PGINVALID_SOCKET;
	session->map = map;
	session->node = node;
	session->node_name = pstrdup(map->nodes[node].name);
	session->conninfo = palloc0(sizeof(NodeConninfo));
	plshard_build_conninfo(map, node, GetUserId(), session->conninfo);

	callback->func = close_connection;
	callback->arg = session;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);

	if (!AcquireExternalFD())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("could not connect to node \"%s\"", session->node_name),
				 errdetail("There are too many open files.")));
	session->conn = PQconnectStartParams(session->conninfo->keywords,
										 session->conninfo->values, false);
	if (session->conn == NULL)
	{
		ReleaseExternalFD();
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	}
	PQsetErrorVerbosity(session->conn, PQERRORS_VERBOSE);
	PQsetNoticeReceiver(session->conn, log_notice, session);
	if (PQstatus(session->conn) == CONNECTION_BAD)
		not_connected(session);
	session->state = SESSION_CONNECTING;
	session->events = WL_SOCKET_WRITEABLE;
	session->connect_deadline = deadline_in(plshard_connect_timeout(&map->options));
	return session;
}

static void
send_now(NodeSession *session, const char *sql, int nparams, const char *const *values)
{
	int			sent;

	Assert(session->result == NULL);
	if (plshard_log_remote_commands && session->state == SESSION_BUSY)
		ereport(NOTICE, (errmsg_internal("node %s: %s", session->node_name, sql)));
	sent = nparams == 0 ? PQsendQuery(session->conn, sql) :
		PQsendQueryParams(session->conn, sql, nparams, NULL, values, NULL, NULL, 0);
	if (!sent)
		plshard_session_lost(session);
	session->ready = 0;
	session->silent_at = NO_DEADLINE;
	session->events = WL_SOCKET_READABLE | WL_SOCKET_WRITEABLE;
}

void
plshard_session_send(NodeSession *session, const char *sql)
{
	if (session->state == SESSION_IDLE)
	{
		session->state = SESSION_BUSY;
		send_now(session, sql, 0, NULL);
		return;
	}
	if (session->state == SESSION_COPYING || session->state == SESSION_BUSY ||
		session->queued != NULL)
		elog(ERROR, "session on node \"%s\" is busy", session->node_name);
	session->queued = MemoryContextStrdup(session->context, sql);
}

/* One step of connecting; true when it is done, and the set-up is sent. */
static bool
poll_connect(NodeSession *session)
{
	if (session->ready == 0)
		return false;
	session->ready = 0;
	switch (PQconnectPoll(session->conn))
	{
		case PGRES_POLLING_OK:
			break;
		case PGRES_POLLING_READING:
			session->events = WL_SOCKET_READABLE;
			return false;
		case PGRES_POLLING_WRITING:
			session->events = WL_SOCKET_WRITEABLE;
			return false;
		default:
			not_connected(session);
	}
	plshard_check_connection_security(session->conn, session->conninfo);
	if (PQsetnonblocking(session->conn, 1) != 0)
		plshard_session_lost(session);
	session->state = SESSION_SETTING_UP;
	send_now(session,
			 psprintf(set_up, quote_literal_cstr(GetDatabaseEncodingName())), 0, NULL);
	return true;
}

/*
 * Moves bytes of the query under way; true when its outcome, or the beginning
 * of a COPY, is in session->result.
 */
static bool
poll_query(NodeSession *session)
{
	int			unsent;

	if ((session->ready & WL_SOCKET_READABLE) && !PQconsumeInput(session->conn))
		plshard_session_lost(session);
	session->ready = 0;
	unsent = PQflush(session->conn);
	if (unsent < 0)
		plshard_session_lost(session);

	while (!PQisBusy(session->conn))
	{
		PGresult   *result = PQgetResult(session->conn);
		ExecStatusType status = PQresultStatus(result);

		if (result == NULL)
			return true;
		if (session->result != NULL && PQresultStatus(session->result) == PGRES_FATAL_ERROR)
			PQclear(result);	/* the first error is the one that counts */
		else
		{
			PQclear(session->result);
			session->result = result;
		}
		if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT)
			return true;
	}
	session->events = WL_SOCKET_READABLE | (unsent ? WL_SOCKET_WRITEABLE : 0);
	return false;
}

/* Hands the result over to the current memory context. */
static PGresult *
take_result(NodeSession *session)
{
	PGresult   *result = session->result;

	session->result = NULL;
	return plshard_own_result(result);
}

/* When what is under way takes too long. */
static Deadline
current_deadline(const NodeSession *session)
{
	if (session->state == SESSION_CONNECTING || session->state == SESSION_SETTING_UP)
		return session->connect_deadline;
	return session->state == SESSION_IDLE ? NO_DEADLINE : session->deadline;
}

void
plshard_session_check_silence(NodeSession *session)
{
	if (session->ready != 0 || !deadline_passed(session->silent_at))
		return;
	session->silent_at = NO_DEADLINE;
	if (!plshard_node_answers(session->map, session->node, GetUserId(), NO_DEADLINE))
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_FAILURE),
				 errmsg("node \"%s\" does not answer", session->node_name)));
}

bool
plshard_session_poll(NodeSession *session, PGresult **result)
{
	*result = NULL;
	plshard_session_check_silence(session);
	if (session->ready == 0 && deadline_passed(current_deadline(session)))
		ereport(ERROR,
				(session->state == SESSION_BUSY ?
				 errcode(ERRCODE_CONNECTION_FAILURE) :
				 errcode(ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION),
				 errmsg("node \"%s\" did not answer in time", session->node_name)));

	if (session->state == SESSION_CONNECTING && !poll_connect(session))
		return false;
	if (session->state == SESSION_SETTING_UP)
	{
		if (!poll_query(session))
			return false;
		plshard_session_check(session, take_result(session));
		session->events = 0;
		session->state = SESSION_IDLE;
		if (session->queued != NULL)
		{
			char	   *sql = session->queued;

			session->queued = NULL;
			plshard_session_send(session, sql);
			pfree(sql);
		}
	}
	if (session->state == SESSION_BUSY)
	{
		ExecStatusType status;

		if (!poll_query(session))
			return false;
		status = PQresultStatus(session->result);
		session->events = 0;
		session->state = status == PGRES_COPY_IN || status == PGRES_COPY_OUT ?
			SESSION_COPYING : SESSION_IDLE;
		*result = take_result(session);
	}
	return true;
}

void
plshard_session_copied(NodeSession *session)
{
	Assert(session->state == SESSION_COPYING);
	session->state = SESSION_BUSY;
	session->events = WL_SOCKET_READABLE | WL_SOCKET_WRITEABLE;
}

void
plshard_session_wait(NodeSession **sessions, int nsessions)
{
	WaitSocket *sockets = palloc(nsessions * sizeof(WaitSocket));
	NodeSession **waiting = palloc(nsessions * sizeof(NodeSession *));
	Deadline	deadline = NO_DEADLINE;
	int			n = 0;
	int			i;

	for (i = 0; i < nsessions; i++)
	{
		if (sessions[i]->events == 0)
		{
			sessions[i]->silent_at = NO_DEADLINE;
			continue;
		}
		/* connecting has a deadline of its own */
		if (sessions[i]->silent_at == NO_DEADLINE && sessions[i]->state != SESSION_CONNECTING)
			sessions[i]->silent_at = deadline_in(sessions[i]->map->options.node_timeout);
		sockets[n].fd = sessions[i]->fd = PQsocket(sessions[i]->conn);
		sockets[n].events = sessions[i]->events;
		sockets[n].passing = sessions[i]->state == SESSION_CONNECTING;
		sockets[n].ready = 0;
		deadline = deadline_min(deadline, current_deadline(sessions[i]));
		deadline = deadline_min(deadline, sessions[i]->silent_at);
		waiting[n++] = sessions[i];
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
plshard_session_check(NodeSession *session, const PGresult *result)
{
	RemoteErrorContext where = {.node_name = session->node_name};

	switch (PQresultStatus(result))
	{
		case PGRES_COMMAND_OK:
		case PGRES_TUPLES_OK:
		case PGRES_EMPTY_QUERY:
		case PGRES_COPY_IN:
		case PGRES_COPY_OUT:
			return;
		default:
			if (PQstatus(session->conn) == CONNECTION_BAD &&
				(result == NULL || PQresultErrorField(result, PG_DIAG_SQLSTATE) == NULL))
				plshard_session_lost(session);
			plshard_report_result(ERROR, result, &where);
	}
}

/* Waits for the end of what is under way. */
static PGresult *
wait_for_result(NodeSession *session)
{
	PGresult   *result;

	while (!plshard_session_poll(session, &result))
		plshard_session_wait(&session, 1);
	return result;
}

NodeSession *
plshard_session_open(const ClusterMap *map, int node)
{
	NodeSession *session = plshard_session_start(map, node);

	wait_for_result(session);
	return session;
}

PGresult *
plshard_session_try(NodeSession *session, const char *sql,
					int nparams, const char *const *values)
{
	Assert(session->state == SESSION_IDLE);
	session->state = SESSION_BUSY;
	send_now(session, sql, nparams, values);
	return wait_for_result(session);
}

PGresult *
plshard_session_query(NodeSession *session, const char *sql,
					  int nparams, const char *const *values)
{
	PGresult   *result = plshard_session_try(session, sql, nparams, values);

	plshard_session_check(session, result);
	return result;
}

void
plshard_sessions_query(NodeSession **sessions, int nsessions, const char *sql,
					   int timeout, PGresult **results)
{
	bool	   *done = palloc0(nsessions * sizeof(bool));
	int			left = nsessions;
	int			i;

	for (i = 0; i < nsessions; i++)
	{
		sessions[i]->deadline = deadline_in(timeout);
		plshard_session_send(sessions[i], sql);
	}
	for (;;)
	{
		for (i = 0; i < nsessions; i++)
		{
			if (done[i] || !plshard_session_poll(sessions[i], &results[i]))
				continue;
			plshard_session_check(sessions[i], results[i]);
			sessions[i]->deadline = NO_DEADLINE;
			done[i] = true;
			left--;
		}
		if (left == 0)
			break;
		plshard_session_wait(sessions, nsessions);
	}
	pfree(done);
}

static void
clear_result(void *arg)
{
	PQclear((PGresult *) arg);
}

PGresult *
plshard_own_result(PGresult *result)
{
	MemoryContextCallback *callback;

	if (result == NULL)
		return NULL;
	callback = MemoryContextAllocExtended(CurrentMemoryContext,
										  sizeof(MemoryContextCallback),
										  MCXT_ALLOC_NO_OOM);
	if (callback == NULL)
	{
		PQclear(result);
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	}
	callback->func = clear_result;
	callback->arg = result;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
	return result;
}
