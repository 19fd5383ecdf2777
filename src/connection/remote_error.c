/*
 * remote_error.c
 *
 * Turns error results and failed connections into reports of the front.  All
 * strings are copied by ereport; nothing here owns a result.
 */
#include "postgres.h"

#include "connection/remote_error.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/memutils.h"

int
plshard_result_sqlstate(const PGresult *result)
{
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	if (sqlstate == NULL || strlen(sqlstate) != 5)
		return ERRCODE_CONNECTION_FAILURE;
	return MAKE_SQLSTATE(sqlstate[0], sqlstate[1], sqlstate[2], sqlstate[3], sqlstate[4]);
}

bool
plshard_error_is_from(const PGresult *error, const char *function)
{
	const char *where = PQresultErrorField(error, PG_DIAG_SOURCE_FUNCTION);

	return where != NULL && strcmp(where, function) == 0;
}

/* The line of context that says where a remote report comes from. */
static char *
where_line(const RemoteErrorContext *where)
{
	StringInfoData line;

	initStringInfo(&line);
	if (where->function_name)
		appendStringInfo(&line, "plshard function %s", where->function_name);
	if (where->has_shard)
		appendStringInfo(&line, "%s shard " INT64_FORMAT,
						 line.len ? " on" : "on", where->shard_id);
	if (where->node_name)
		appendStringInfo(&line, "%s node %s", line.len ? " at" : "at", where->node_name);
	return line.data;
}

void
plshard_remote_errcontext(const RemoteErrorContext *where)
{
	errcontext("%s", where_line(where));
}

void
plshard_report_result(int elevel, const PGresult *result, const RemoteErrorContext *where)
{
	const char *primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	const char *detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
	const char *hint = PQresultErrorField(result, PG_DIAG_MESSAGE_HINT);
	const char *context = PQresultErrorField(result, PG_DIAG_CONTEXT);
	const char *position = PQresultErrorField(result, PG_DIAG_STATEMENT_POSITION);
	const char *schema = PQresultErrorField(result, PG_DIAG_SCHEMA_NAME);
	const char *table = PQresultErrorField(result, PG_DIAG_TABLE_NAME);
	const char *column = PQresultErrorField(result, PG_DIAG_COLUMN_NAME);
	const char *datatype = PQresultErrorField(result, PG_DIAG_DATATYPE_NAME);
	const char *constraint = PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME);
	/* with a position: it is the function that we called, not one that it calls */
	bool		lacks_function = where->is_call && position != NULL &&
		plshard_result_sqlstate(result) == ERRCODE_UNDEFINED_FUNCTION;

	ereport(elevel,
			(errcode(plshard_result_sqlstate(result)),
			 primary ? errmsg_internal("%s", primary) :
			 errmsg("node \"%s\" reported an error without a message",
					where->node_name ? where->node_name : ""),
			 detail ? errdetail_internal("%s", detail) : 0,
			 lacks_function ?
			 errhint("A function of that name and these argument types must be on the nodes; plshard.deploy creates it there.") :
			 hint ? errhint("%s", hint) : 0,
			 context ? errcontext("%s", context) : 0,
			 errcontext("%s", where_line(where)),
			 position && where->sql ? internalerrquery(where->sql) : 0,
			 position && where->sql ? internalerrposition(atoi(position)) : 0,
			 schema ? err_generic_string(PG_DIAG_SCHEMA_NAME, schema) : 0,
			 table ? err_generic_string(PG_DIAG_TABLE_NAME, table) : 0,
			 column ? err_generic_string(PG_DIAG_COLUMN_NAME, column) : 0,
			 datatype ? err_generic_string(PG_DIAG_DATATYPE_NAME, datatype) : 0,
			 constraint ? err_generic_string(PG_DIAG_CONSTRAINT_NAME, constraint) : 0));
}

static char *
copy_field(MemoryContext context, const PGresult *notice, int field)
{
	const char *value = PQresultErrorField(notice, field);
	size_t		size = value ? strlen(value) + 1 : 0;
	char	   *copy = value ? MemoryContextAllocExtended(context, size, MCXT_ALLOC_NO_OOM) : NULL;

	if (copy)
		memcpy(copy, value, size);
	return copy;
}

RemoteNotice *
plshard_copy_notice(MemoryContext context, const PGresult *notice, const char *function_name)
{
	const char *severity = PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
	const char *sqlstate = PQresultErrorField(notice, PG_DIAG_SQLSTATE);
	RemoteNotice *copy;

	if (severity == NULL || sqlstate == NULL || strncmp(sqlstate, "57P", 3) == 0)
		return NULL;
	copy = MemoryContextAllocExtended(context, sizeof(RemoteNotice), MCXT_ALLOC_NO_OOM);
	if (copy == NULL)
		return NULL;
	copy->next = NULL;
	copy->elevel = strcmp(severity, "WARNING") == 0 ? WARNING :
		strcmp(severity, "NOTICE") == 0 ? NOTICE :
		strcmp(severity, "INFO") == 0 ? INFO : DEBUG1;
	copy->sqlstate = plshard_result_sqlstate(notice);
	copy->function_name = function_name;
	copy->message = copy_field(context, notice, PG_DIAG_MESSAGE_PRIMARY);
	copy->detail = copy_field(context, notice, PG_DIAG_MESSAGE_DETAIL);
	copy->hint = copy_field(context, notice, PG_DIAG_MESSAGE_HINT);
	copy->context = copy_field(context, notice, PG_DIAG_CONTEXT);
	return copy;
}

void
plshard_report_notice(RemoteNotice *notice, const char *node_name)
{
	RemoteErrorContext where = {.function_name = notice->function_name, .node_name = node_name};

	ereport(notice->elevel,
			(errcode(notice->sqlstate),
			 errmsg_internal("%s", notice->message ? notice->message : ""),
			 notice->detail ? errdetail_internal("%s", notice->detail) : 0,
			 notice->hint ? errhint("%s", notice->hint) : 0,
			 notice->context ? errcontext("%s", notice->context) : 0,
			 errcontext("%s", where_line(&where))));
	if (notice->message)
		pfree(notice->message);
	if (notice->detail)
		pfree(notice->detail);
	if (notice->hint)
		pfree(notice->hint);
	if (notice->context)
		pfree(notice->context);
	pfree(notice);
}

/*
 * Where the SQLSTATE stands in libpq's verbose message of a refused connection,
 * "FATAL:  28P01: password authentication failed ...": there is no other way to
 * get it.  NULL where the server did not answer.
 */
static const char *
find_sqlstate(const char *message)
{
	for (const char *p = strstr(message, ":  "); p; p = strstr(p + 1, ":  "))
	{
		const char *code = p + 3;

		if (strspn(code, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 5 &&
			code[5] == ':' && code[6] == ' ')
			return code;
	}
	return NULL;
}

bool
plshard_server_answered(PGconn *conn)
{
	int			sqlstate = plshard_connection_sqlstate(conn);
	int			class = ERRCODE_TO_CATEGORY(sqlstate);

	if (sqlstate == 0)
		return conn && (PQconnectionNeedsPassword(conn) || PQsslInUse(conn));
	return sqlstate != ERRCODE_CANNOT_CONNECT_NOW && sqlstate != ERRCODE_ADMIN_SHUTDOWN &&
		sqlstate != ERRCODE_CRASH_SHUTDOWN &&
		class != ERRCODE_TO_CATEGORY(ERRCODE_SYSTEM_ERROR) &&
		class != ERRCODE_TO_CATEGORY(ERRCODE_INTERNAL_ERROR);
}

int
plshard_connection_sqlstate(PGconn *conn)
{
	const char *code = conn ? find_sqlstate(PQerrorMessage(conn)) : NULL;

	return code ? MAKE_SQLSTATE(code[0], code[1], code[2], code[3], code[4]) : 0;
}

/*
 * What a server with translated messages says before the session's encoding is
 * set may hold bytes that are no characters here: they become question marks.
 */
static const char *
as_text(const char *string)
{
	int			encoding = GetDatabaseEncoding();
	int			left = strlen(string);
	char	   *copy;

	if (pg_verify_mbstr(encoding, string, left, true))
		return string;
	copy = pstrdup(string);
	for (char *p = copy; left > 0;)
	{
		int			length = pg_encoding_verifymbchar(encoding, p, left);

		if (length < 0)
		{
			*p = '?';
			length = 1;
		}
		p += length;
		left -= length;
	}
	return copy;
}

/*
 * libpq says "connection to server at "host", port n failed: reason".  The
 * reason is what an application may see; the rest is the operator's.
 */
char *
plshard_connection_message(PGconn *conn)
{
	const char *message = conn ? as_text(PQerrorMessage(conn)) : "out of memory";
	const char *code = find_sqlstate(message);
	const char *reason = strstr(message, " failed: ");
	char	   *copy;
	char	   *end;

	if (code)
		copy = pstrdup(code + strlen("00000: "));
	else
		copy = pstrdup(reason ? reason + strlen(" failed: ") : message);

	/* the first line only: what follows are libpq's questions to the reader */
	end = strchr(copy, '\n');
	if (end)
		*end = '\0';
	return copy;
}
