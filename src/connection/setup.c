/*
 * setup.c
 *
 * What happens between libpq's handshake and the first command: the connection
 * enters pipeline mode, its session gets its settings, and the front reads what the node has.
 */
#include "postgres.h"

#include "cluster/node_schema.h"
#include "connection/node_settings.h"
#include "connection/pipeline.h"
#include "connection/remote_error.h"
#include "connection/remote_result.h"
#include "connection/session_key.h"
#include "connection/session_settings.h"
#include "connection/setup.h"
#include "connection/statements.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

/* Columns of the answer to the set-up command; the settings follow. */
enum
{
	SETUP_PATH,					/* the session's own search_path */
	SETUP_HAS_SCHEMA,			/* the node has the cluster's objects; without them it has lost its data */
	SETUP_SAME_SERVER,			/* the server is the one that it was; NULL where that is not known */
	SETUP_LOCK_TYPES,			/* two columns, of ConnSession.lock_types; or NULL */
	SETUP_SESSION_KEY = SETUP_LOCK_TYPES + 2,
	SETUP_DATE_STYLE,
	SETUP_SETTINGS
};

/* Bytes of a search_path: it is sent and kept with each of its uses. */
#define MAX_PATH_LENGTH 16384

/* The statement that reads and sets what a new session needs, in one round trip.  palloc'd. */
static char *
setup_command(const NodeConn *conn)
{
	const char *has_schema = "true";
	const char *same_server = "true";
	const char *types = "NULL, NULL";
	int			nsettings;

	if (conn->session.epoch_sequence != NULL)
	{
		const char *sequence = quote_literal_cstr(conn->session.epoch_sequence);

		has_schema = psprintf("pg_catalog.to_regclass(%s) IS NOT NULL", sequence);
		same_server = psprintf("pg_catalog.obj_description(pg_catalog.to_regclass(%s), 'pg_class')"
							   " OPERATOR(pg_catalog.=) (" PLSHARD_SERVER_SQL ")", sequence);
		types = psprintf("pg_catalog.to_regtype('plshard_node.shard_lock')::pg_catalog.oid, "
						 "pg_catalog.to_regtype(%s)::pg_catalog.oid", sequence);
	}
	return psprintf("SELECT pg_catalog.current_setting('search_path'), %s, %s, %s, %s, "
					"pg_catalog.set_config('datestyle', 'ISO, %s', false), %s",
					has_schema, same_server, types, plshard_session_key_sql(false),
					plshard_date_order_name(DateOrder),
					plshard_session_settings(SESSION_FOR_CALLS, PQserverVersion(conn->io.pg), &nsettings));
}

/* Whether the answer has the columns above, and one for each setting. */
static bool
has_expected_shape(const NodeConn *conn, const PGresult *result)
{
	int			nsettings;

	(void) plshard_session_settings(SESSION_FOR_CALLS, PQserverVersion(conn->io.pg), &nsettings);
	return plshard_has_shape(result, 1, SETUP_SETTINGS + nsettings,
							 NULLABLE(SETUP_SAME_SERVER) | NULLABLE(SETUP_LOCK_TYPES) |
							 NULLABLE(SETUP_LOCK_TYPES + 1));
}

/* The session is set up, or a pooled one needs no set-up. */
static void
become_ready(NodeConn *conn)
{
	const char *encoding = PQparameterStatus(conn->io.pg, "server_encoding");

	conn->session.same_encoding = encoding && strcmp(encoding, GetDatabaseEncodingName()) == 0;
	plshard_init_statements(conn);
	conn->io.state = CONN_READY;
}

void
plshard_conn_begin_setup(NodeConn *conn)
{
	char	   *sql;

	if (!PQenterPipelineMode(conn->io.pg))
	{
		plshard_conn_lost_by_libpq(conn);
		return;
	}
	if (conn->session.pooled)
	{
		plshard_conn_expect_schema(conn);	/* only static clusters are, and they need none */
		become_ready(conn);
		return;
	}
	sql = setup_command(conn);
	conn->session.date_order = DateOrder;
	conn->session.changed_date_order = false;
	plshard_conn_send_plain(conn, sql, PENDING_SETUP, NULL, 0, false);
	pfree(sql);
	plshard_conn_send_sync(conn, NULL);
}

void
plshard_conn_finish_setup(NodeConn *conn, const PGresult *result)
{
	if (!has_expected_shape(conn, result))
	{
		const char *message = plshard_result_text(result, PG_DIAG_MESSAGE_PRIMARY);

		if (PQresultStatus(result) == PGRES_FATAL_ERROR)
			plshard_conn_set_lost(conn, plshard_result_sqlstate(result),
								  message ? message : "could not set up the session");
		else
			plshard_conn_violated(conn, "an unexpected answer to the set-up of the session");
		return;
	}
	if (PQgetlength(result, 0, SETUP_PATH) > MAX_PATH_LENGTH)
	{
		plshard_conn_violated(conn, "the search_path is too long");
		return;
	}
	conn->session.base_path = MemoryContextStrdup(conn->context, PQgetvalue(result, 0, SETUP_PATH));
	conn->session.has_schema = PQgetvalue(result, 0, SETUP_HAS_SCHEMA)[0] == 't';
	conn->session.other_server = PQgetvalue(result, 0, SETUP_SAME_SERVER)[0] == 'f';	/* not where it is not known */
	conn->session.lock_types[0] = atooid(PQgetvalue(result, 0, SETUP_LOCK_TYPES));
	conn->session.lock_types[1] = atooid(PQgetvalue(result, 0, SETUP_LOCK_TYPES + 1));
	plshard_conn_forget_settings(conn);
	conn->session.path_shard = PATH_BASE;
	conn->session.statement_timeout = 0;
	conn->session.read_only = READ_ONLY_ON;
	conn->session.was_writable = false;
	conn->session.writes_in_a_row = 0;
	become_ready(conn);
}

void
plshard_conn_expect_schema(NodeConn *conn)
{
	conn->session.has_schema = true;
	conn->session.other_server = false;
}
