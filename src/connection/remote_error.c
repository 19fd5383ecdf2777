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

/* True where it begins with a SQLSTATE. */
static bool
is_sqlstate(const char *text)
{
	return strspn(text, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") >= 5;
}

/* The SQLSTATE of an error; 08P01 where it is that of success, of a warning or of no data. */
static int
error_sqlstate(const char *text)
{
	if (text[0] == '0' && text[1] >= '0' && text[1] <= '2')
		return ERRCODE_PROTOCOL_VIOLATION;
	return MAKE_SQLSTATE(text[0], text[1], text[2], text[3], text[4]);
}

int
plshard_result_sqlstate(const PGresult *result)
{
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	if (sqlstate == NULL)
		return ERRCODE_CONNECTION_FAILURE;
	return is_sqlstate(sqlstate) && sqlstate[5] == '\0' ? error_sqlstate(sqlstate) :
		ERRCODE_PROTOCOL_VIOLATION;
}

bool
plshard_error_is_fatal(const PGresult *result)
{
	const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);

	return severity && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0);
}

/* Where it does not fit, the length that whole characters of it have; else all of it. */
static int
length_of_text(const char *text)
{
	size_t		length = strnlen(text, REPORT_FIELD_LIMIT + 1);

	return length <= REPORT_FIELD_LIMIT ? (int) length :
		pg_mbcliplen(text, (int) length, REPORT_FIELD_LIMIT);
}

/* Bytes that are no characters here become question marks. */
static void
make_valid(char *text, int left)
{
	int			encoding = GetDatabaseEncoding();

	if (pg_verify_mbstr(encoding, text, left, true))
		return;
	while (left > 0)
	{
		int			length = pg_encoding_verifymbchar(encoding, text, left);

		if (length < 0)
		{
			*text = '?';
			length = 1;
		}
		text += length;
		left -= length;
	}
}

/*
 * A server's message, as text: it may be in no encoding, or in another one before the
 * session's is set.
 */
static const char *
as_text(const char *string)
{
	int			length = length_of_text(string);
	char	   *copy;

	if (string[length] == '\0' && pg_verify_mbstr(GetDatabaseEncoding(), string, length, true))
		return string;
	copy = pnstrdup(string, length);
	make_valid(copy, length);
	return copy;
}

const char *
plshard_result_text(const PGresult *result, int field)
{
	const char *value = PQresultErrorField(result, field);

	return value ? as_text(value) : NULL;
}

bool
plshard_error_is_from(const PGresult *error, const char *function)
{
	const char *where = PQresultErrorField(error, PG_DIAG_SOURCE_FUNCTION);

	return where != NULL && strcmp(where, function) == 0;
}

/* The line of context with the origin of a remote report. */
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
	const char *primary = plshard_result_text(result, PG_DIAG_MESSAGE_PRIMARY);
	const char *detail = plshard_result_text(result, PG_DIAG_MESSAGE_DETAIL);
	const char *hint = plshard_result_text(result, PG_DIAG_MESSAGE_HINT);
	const char *context = plshard_result_text(result, PG_DIAG_CONTEXT);
	const char *position = PQresultErrorField(result, PG_DIAG_STATEMENT_POSITION);
	const char *schema = plshard_result_text(result, PG_DIAG_SCHEMA_NAME);
	const char *table = plshard_result_text(result, PG_DIAG_TABLE_NAME);
	const char *column = plshard_result_text(result, PG_DIAG_COLUMN_NAME);
	const char *datatype = plshard_result_text(result, PG_DIAG_DATATYPE_NAME);
	const char *constraint = plshard_result_text(result, PG_DIAG_CONSTRAINT_NAME);
	/* with a position: it is the function of the call, not one that it calls */
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
			 position && where->sql ? internalerrposition(Max(atoi(position), 0)) : 0,
			 schema ? err_generic_string(PG_DIAG_SCHEMA_NAME, schema) : 0,
			 table ? err_generic_string(PG_DIAG_TABLE_NAME, table) : 0,
			 column ? err_generic_string(PG_DIAG_COLUMN_NAME, column) : 0,
			 datatype ? err_generic_string(PG_DIAG_DATATYPE_NAME, datatype) : 0,
			 constraint ? err_generic_string(PG_DIAG_CONSTRAINT_NAME, constraint) : 0));
}

/* The same as plshard_result_text, copied, and without an error where memory is short. */
static char *
copy_field(MemoryContext context, const PGresult *notice, int field, Size *size)
{
	const char *value = PQresultErrorField(notice, field);
	int			length = value ? length_of_text(value) : 0;
	char	   *copy = value ? MemoryContextAllocExtended(context, length + 1, MCXT_ALLOC_NO_OOM) : NULL;

	if (copy)
	{
		memcpy(copy, value, length);
		copy[length] = '\0';
		make_valid(copy, length);
		*size += length + 1;
	}
	return copy;
}

/* A notice's SQLSTATE, which need not be that of an error. */
static int
notice_sqlstate(const char *sqlstate)
{
	return is_sqlstate(sqlstate) ?
		MAKE_SQLSTATE(sqlstate[0], sqlstate[1], sqlstate[2], sqlstate[3], sqlstate[4]) :
		ERRCODE_WARNING;
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
	copy->sqlstate = notice_sqlstate(sqlstate);
	copy->function_name = function_name;
	copy->size = sizeof(RemoteNotice);
	copy->message = copy_field(context, notice, PG_DIAG_MESSAGE_PRIMARY, &copy->size);
	copy->detail = copy_field(context, notice, PG_DIAG_MESSAGE_DETAIL, &copy->size);
	copy->hint = copy_field(context, notice, PG_DIAG_MESSAGE_HINT, &copy->size);
	copy->context = copy_field(context, notice, PG_DIAG_CONTEXT, &copy->size);
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

	return code ? error_sqlstate(code) : 0;
}

/*
 * libpq's text is "connection to server at "host", port n failed: reason".  The
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
