/*
 * node_settings.c
 *
 * Sets what a call needs set in its session on a node, and nothing that is set
 * already, as the connection's ConnSession has it.  On a pooled connection the next transaction may
 * be in another session, and this one be another front's next: there everything is
 * set anew in each transaction, for that transaction only.
 */
#include "postgres.h"

#include "connection/node_settings.h"
#include "connection/pipeline.h"
#include "connection/session_key.h"
#include "connection/session_settings.h"
#include "connection/statements.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "utils/builtins.h"

/* Sends search_path, prepared where there is room for the statement. */
static void
send_path(NodeConn *conn, int64 shard_id, void *owner)
{
	const char *rest = conn->session.base_path;
	char	   *sql = NULL;

	if (plshard_conn_needs_text(conn, QUERY_PATH, shard_id))
	{
		if (shard_id == PATH_BASE)
			sql = psprintf("SET search_path = %s", rest[0] ? rest : "''");
		else
			sql = psprintf("SET search_path = plshard_" INT64_FORMAT "%s%s",
						   shard_id, rest[0] ? ", " : "", rest);
		/* other than statements of calls, it cannot be shared by several shards */
		if (plshard_conn_is_full(conn))
		{
			plshard_conn_send_plain(conn, sql, PENDING_SETTING, owner, 0, false);
			return;
		}
	}
	plshard_conn_send_prepared(conn, QUERY_PATH, shard_id, sql, 0, NULL, NULL, 0,
							   PENDING_SETTING, owner, 0, false);
}

const char *
plshard_date_order_name(int order)
{
	return order == DATEORDER_YMD ? "YMD" : order == DATEORDER_DMY ? "DMY" : "MDY";
}

/*
 * All at once, with the session's lock (session_key.h) in a transaction that lasts.
 * Outside of one they are in an implicit one with the command that follows in the
 * same batch.
 */
static void
send_local_settings(NodeConn *conn, int timeout, bool may_write, void *owner)
{
	bool		in_xact = plshard_xact_is_open(conn);
	StringInfoData sql;
	int			nsettings;

	if (in_xact && conn->session.timezone == session_timezone && conn->session.date_order == DateOrder &&
		conn->session.statement_timeout == timeout)
		return;
	if (in_xact && timeout == 0 && conn->session.statement_timeout != 0)
		plshard_conn_send_plain(conn, "SET LOCAL statement_timeout = DEFAULT", PENDING_SETTING,
								owner, 0, false);
	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT pg_catalog.set_config('datestyle', 'ISO, %s', true), %s, "
					 "pg_catalog.set_config('timezone', %s, true)",
					 plshard_date_order_name(DateOrder),
					 plshard_session_settings(SESSION_POOLED, PQserverVersion(conn->io.pg), &nsettings),
					 quote_literal_cstr(pg_get_timezone_name(session_timezone)));
	if (timeout > 0)
		appendStringInfo(&sql, ", pg_catalog.set_config('statement_timeout', '%d', true)", timeout);
	if (in_xact)
		appendStringInfo(&sql, ", %s", plshard_session_key_sql(true));
	else if (!may_write)
		appendStringInfoString(&sql, ", pg_catalog.set_config('transaction_read_only', 'on', true)");
	plshard_conn_send_plain(conn, sql.data, PENDING_SETTING, owner, 0, false);
	pfree(sql.data);
	conn->session.timezone = session_timezone;
	conn->session.date_order = DateOrder;
	conn->session.statement_timeout = timeout;
}

/* So many one-shot writes without a read between them, and the next are expected, too. */
#define WRITES_IN_A_ROW 8

bool
plshard_conn_stays_writable(NodeConn *conn)
{
	return conn->session.read_only != READ_ONLY_ON || ++conn->session.writes_in_a_row > WRITES_IN_A_ROW;
}

void
plshard_conn_note_read(NodeConn *conn)
{
	conn->session.writes_in_a_row = 0;
}

void
plshard_conn_note_defaults(NodeConn *conn)
{
	plshard_conn_forget_settings(conn);
	conn->session.statement_timeout = 0;
}

/* In a batch of its own, since it is for the next transaction. */
static void
send_default_read_only(NodeConn *conn, bool may_write, void *owner)
{
	if (may_write ? conn->session.read_only == READ_ONLY_OFF : conn->session.read_only >= READ_ONLY_SENT)
		return;
	plshard_conn_send_plain(conn, may_write ? "SET default_transaction_read_only = off" :
							"SET default_transaction_read_only = on",
							PENDING_SETTING, owner, 0, false);
	plshard_conn_send_sync(conn, NULL);
	conn->session.read_only = may_write ? READ_ONLY_OFF : READ_ONLY_SENT;
	conn->session.was_writable |= may_write;
}

bool
plshard_conn_begins_writable(NodeConn *conn, void *owner)
{
	if (conn->session.pooled || !plshard_conn_stays_writable(conn))
		return false;
	send_default_read_only(conn, true, owner);
	return true;
}

bool
plshard_conn_send_settings(NodeConn *conn, int64 shard_id, int timeout, bool may_write, void *owner)
{
	int			before = conn->io.npending;

	if (conn->session.pooled)
	{
		Assert(shard_id == PATH_BASE);
		send_local_settings(conn, timeout, may_write, owner);
		return false;
	}

	/* a transaction is READ ONLY by its BEGIN; this setting is for the next one */
	if (conn->session.read_only == READ_ONLY_SENT && before == 0)
		conn->session.read_only = READ_ONLY_ON; /* an error would have made it unknown */
	if (!plshard_xact_is_open(conn))
		send_default_read_only(conn, may_write, owner);
	if (conn->session.timezone != session_timezone)
	{
		char	   *sql = psprintf("SET timezone = %s",
								   quote_literal_cstr(pg_get_timezone_name(session_timezone)));

		plshard_conn_send_plain(conn, sql, PENDING_SETTING, owner, 0, false);
		pfree(sql);
		conn->session.timezone = session_timezone;
	}
	if (conn->session.date_order != DateOrder)
	{
		char	   *sql = psprintf("SET datestyle = 'ISO, %s'", plshard_date_order_name(DateOrder));

		plshard_conn_send_plain(conn, sql, PENDING_SETTING, owner, 0, false);
		pfree(sql);
		conn->session.date_order = DateOrder;
		conn->session.changed_date_order = true;
	}
	if (conn->session.statement_timeout != timeout)
	{
		char		sql[64];

		if (timeout > 0)
			snprintf(sql, sizeof(sql), "SET statement_timeout = %d", timeout);
		else
			snprintf(sql, sizeof(sql), "SET statement_timeout = DEFAULT");
		plshard_conn_send_plain(conn, sql, PENDING_SETTING, owner, 0, false);
		conn->session.statement_timeout = timeout;
	}
	if (conn->session.path_shard != shard_id && conn->io.state == CONN_READY)
	{
		send_path(conn, shard_id, owner);
		conn->session.path_shard = shard_id;
	}
	return conn->io.npending > before;
}
