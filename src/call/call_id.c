/*
 * call_id.c
 *
 * The stored results of calls with an id, in table plshard_node."calls_<cluster id>" of the
 * nodes (node_schema.h), and the statements that write and read them.  All are sent
 * under the locks of the call, so that a repetition waits for the first call and then
 * sees its result; each is a statement of its own, with a snapshot of its own.
 *
 * A stored result is that of the first placement, column by column and row by row, and the
 * same bytes on all replicas.  Times are the front's, also the same on all of them.
 *
 * The ids that this transaction has used are in TopTransactionContext; everything else is
 * allocated in the call's context.
 */
#include "postgres.h"

#include "access/xact.h"
#include "call/call_id.h"
#include "catalog/pg_type_d.h"
#include "cluster/node_schema.h"
#include "connection/pipeline.h"
#include "connection/remote_result.h"
#include "connection/statements.h"
#include "lib/stringinfo.h"
#include "libpq/pqformat.h"
#include "mb/pg_wchar.h"
#include "port/pg_bswap.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* The layout of stored results. */
#define STORED_VERSION 1

/* Bytes that a stored result may have. */
#define MAX_STORED (1024 * 1024)

/*
 * Seconds for which a result stays stored after it has expired, since fronts' clocks differ;
 * and how many of the older ones a call removes.
 */
#define GRACE 3600
#define REMOVED_AT_ONCE "100"

#define OF_CALL "shard_id = $1 AND call_id = $2 AND function = $3 AND role = current_user"

static const char lookup_sql[] =
"SELECT CASE WHEN EXISTS (SELECT FROM %s WHERE " OF_CALL " AND expires > $4)"
" THEN plshard_node.call_is_known() ELSE true END";
static const char fetch_sql[] =
"SELECT arguments, result FROM %s WHERE " OF_CALL " AND expires > $4";
static const char store_sql[] =
"WITH recorded AS (INSERT INTO %s AS known (shard_id, call_id, function, role, arguments, result, expires)"
" VALUES ($1, $2, $3, current_user, $5, $6, $7)"
" ON CONFLICT (shard_id, call_id, function, role) DO UPDATE"
" SET arguments = excluded.arguments, result = excluded.result, expires = excluded.expires"
" WHERE known.expires <= $4 RETURNING true)"
" SELECT CASE WHEN EXISTS (SELECT FROM recorded) THEN true ELSE plshard_node.call_is_known() END";
static const char remove_sql[] =
"DELETE FROM %s WHERE ctid = ANY (ARRAY(SELECT ctid FROM %s"
" WHERE shard_id = $1 AND expires < $2 ORDER BY expires LIMIT " REMOVED_AT_ONCE
" FOR UPDATE SKIP LOCKED))";

/* ---- the ids that this transaction has used ---- */

typedef struct UsedId
{
	struct UsedId *next;
	int			level;			/* nesting level of the transaction */
	const char *id;
	const char *function;
	uint8		arguments[PG_SHA256_DIGEST_LENGTH];
} UsedId;

static UsedId *used_ids = NULL;

void
plshard_call_id_xact_event(XactEvent event)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		used_ids = NULL;
}

void
plshard_call_id_subxact_event(SubXactEvent event)
{
	int			level = GetCurrentTransactionNestLevel();

	/* the list is newest first, so its levels do not rise */
	if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		while (used_ids != NULL && used_ids->level >= level)
			used_ids = used_ids->next;
	}
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
	{
		for (UsedId *used = used_ids; used != NULL && used->level >= level; used = used->next)
			used->level = level - 1;
	}
}

/* Throws 22023. */
static void
throw_other_arguments(const CallId *call_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s was called with other arguments under the id \"%s\"",
					call_id->name, call_id->id),
			 errhint("Give each call of a function an id of its own; repeat a call with the same arguments.")));
}

void
plshard_note_call_id(const CallId *call_id)
{
	MemoryContext old;
	UsedId	   *used;

	for (used = used_ids; used != NULL; used = used->next)
	{
		if (strcmp(used->id, call_id->id) != 0 || strcmp(used->function, call_id->function) != 0)
			continue;
		if (memcmp(used->arguments, call_id->arguments, PG_SHA256_DIGEST_LENGTH) != 0)
			throw_other_arguments(call_id);
		return;
	}
	old = MemoryContextSwitchTo(TopTransactionContext);
	used = palloc(sizeof(UsedId));
	used->id = pstrdup(call_id->id);
	used->function = pstrdup(call_id->function);
	MemoryContextSwitchTo(old);
	memcpy(used->arguments, call_id->arguments, PG_SHA256_DIGEST_LENGTH);
	used->level = GetCurrentTransactionNestLevel();
	used->next = used_ids;
	used_ids = used;
}

/* ---- statements ---- */

#define MAX_CALL_PARAMS 7

/* Sends one of the statements about a task's call; %s in it is the table. */
static void
send_statement(const Execution *e, Task *task, BuiltinQuery query, const char *format, int nparams,
			   PendingKind kind, StepKind step)
{
	static const Oid types[MAX_CALL_PARAMS] = {
		INT8OID, TEXTOID, TEXTOID, TIMESTAMPTZOID, BYTEAOID, BYTEAOID, TIMESTAMPTZOID
	};
	static const int formats[MAX_CALL_PARAMS] = {1, 0, 0, 1, 1, 1, 1};
	const CallId *call_id = e->request->call_id;
	const StringInfo stored = call_id->stored[task->target];
	uint64		shard_id = pg_hton64((uint64) e->map->shards[task->shard].id);
	uint64		now = pg_hton64((uint64) call_id->now);
	uint64		expires = pg_hton64((uint64) call_id->expires);
	const char *values[MAX_CALL_PARAMS] = {
		(const char *) &shard_id, call_id->id, call_id->function, (const char *) &now,
		(const char *) call_id->arguments, stored ? stored->data : NULL, (const char *) &expires
	};
	const int	lengths[MAX_CALL_PARAMS] = {
		sizeof(uint64), 0, 0, sizeof(uint64), PG_SHA256_DIGEST_LENGTH, stored ? stored->len : 0,
		sizeof(uint64)
	};
	const RemoteParams params = {values, lengths, formats};
	char	   *sql = psprintf(format, plshard_calls_table(e->map));

	plshard_conn_send_prepared(task->conn, query, 0, sql, nparams, types, &params, 1, kind,
							   task, step, false);
	pfree(sql);
}

void
plshard_send_result_lookup(const Execution *e, Task *task)
{
	send_statement(e, task, QUERY_CALL_LOOKUP, lookup_sql, 4, PENDING_STORED, STEP_LOOKUP);
}

void
plshard_send_result_fetch(const Execution *e, Task *task)
{
	send_statement(e, task, QUERY_CALL_FETCH, fetch_sql, 4, PENDING_CALL, STEP_FETCH);
}

void
plshard_send_result_store(const Execution *e, Task *task)
{
	static const Oid types[2] = {INT8OID, TIMESTAMPTZOID};
	static const int formats[2] = {1, 1};
	static const int lengths[2] = {sizeof(uint64), sizeof(uint64)};
	uint64		shard_id = pg_hton64((uint64) e->map->shards[task->shard].id);
	uint64		limit = pg_hton64((uint64) (e->request->call_id->now - GRACE * USECS_PER_SEC));
	const char *values[2] = {(const char *) &shard_id, (const char *) &limit};
	const RemoteParams params = {values, lengths, formats};
	char	   *table = plshard_calls_table(e->map);
	char	   *sql = psprintf(remove_sql, table, table);

	send_statement(e, task, QUERY_CALL_STORE, store_sql, MAX_CALL_PARAMS, PENDING_STORED, STEP_STORE);
	plshard_conn_send_prepared(task->conn, QUERY_CALL_REMOVE, 0, sql, 2, types, &params, 1,
							   PENDING_STORED, task, STEP_STORE, false);
	pfree(sql);
}

/* ---- stored results ---- */

void
plshard_add_field(StringInfo bytes, const char *data, int length)
{
	appendBinaryStringInfo(bytes, (const char *) &(uint32) {pg_hton32((uint32) length)},
						   sizeof(uint32));
	if (length > 0)
		appendBinaryStringInfo(bytes, data, length);
}

void
plshard_make_stored_result(const Execution *e, const Task *task)
{
	const PGresult *result = task->result;
	StringInfo	stored = makeStringInfo();

	pq_sendint32(stored, STORED_VERSION);
	pq_sendint32(stored, GetDatabaseEncoding());
	pq_sendint32(stored, PQnfields(result));
	for (int i = 0; i < PQnfields(result); i++)
	{
		plshard_add_field(stored, PQfname(result, i), strlen(PQfname(result, i)));
		pq_sendint32(stored, PQftype(result, i));
		pq_sendint32(stored, PQfmod(result, i));
		pq_sendint32(stored, PQfformat(result, i));
	}
	pq_sendint32(stored, PQntuples(result));
	for (int row = 0; row < PQntuples(result) && stored->len <= MAX_STORED; row++)
	{
		for (int i = 0; i < PQnfields(result) && stored->len <= MAX_STORED; i++)
			plshard_add_field(stored, PQgetvalue(result, row, i),
					  PQgetisnull(result, row, i) ? -1 : PQgetlength(result, row, i));
	}
	if (stored->len > MAX_STORED)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("the result of %s is too large for a call with an id", e->function_name),
				 errdetail("At most %d bytes of a shard's rows can be kept.", MAX_STORED),
				 errhint("Nothing was written. Let the function return less, or call it without an id.")));
	e->request->call_id->stored[task->target] = stored;
}

/* Throws 53200, where libpq could not allocate. */
static void
out_of_memory(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_OUT_OF_MEMORY),
			 errmsg("out of memory")));
}

/* Reads what describes the columns, and gives it to the result. */
static void
read_columns(StringInfo stored, PGresult *result)
{
	int			ncolumns = pq_getmsgint(stored, 4);
	PGresAttDesc *columns = palloc0((ncolumns + 1) * sizeof(PGresAttDesc));

	for (int i = 0; i < ncolumns; i++)
	{
		int			length = pq_getmsgint(stored, 4);

		columns[i].name = pnstrdup(pq_getmsgbytes(stored, length), length);
		columns[i].typid = pq_getmsgint(stored, 4);
		columns[i].atttypmod = pq_getmsgint(stored, 4);
		columns[i].format = pq_getmsgint(stored, 4);
		columns[i].typlen = -1;
	}
	if (!PQsetResultAttrs(result, ncolumns, columns))
		out_of_memory();
}

/* Reads the rows into the result, which has its columns. */
static void
read_rows(StringInfo stored, PGresult *result)
{
	int			nrows = pq_getmsgint(stored, 4);

	for (int row = 0; row < nrows; row++)
	{
		for (int i = 0; i < PQnfields(result); i++)
		{
			int			length = (int) pq_getmsgint(stored, 4);
			const char *value = length < 0 ? NULL : pq_getmsgbytes(stored, length);

			if (!PQsetvalue(result, row, i, unconstify(char *, value), length))
				out_of_memory();
		}
	}
}

PGresult *
plshard_read_stored_result(const Execution *e, const Task *task)
{
	const CallId *call_id = e->request->call_id;
	const PGresult *fetched = task->result;
	StringInfoData stored = {0};
	PGresult   *result;

	if (PQntuples(fetched) == 0)
		return NULL;
	plshard_check_shape(fetched, task->conn->node_name, 1, 2, 0);
	if (PQgetlength(fetched, 0, 0) != PG_SHA256_DIGEST_LENGTH ||
		memcmp(PQgetvalue(fetched, 0, 0), call_id->arguments, PG_SHA256_DIGEST_LENGTH) != 0)
		throw_other_arguments(call_id);

	stored.data = PQgetvalue(fetched, 0, 1);
	stored.len = PQgetlength(fetched, 0, 1);
	if (pq_getmsgint(&stored, 4) != STORED_VERSION || pq_getmsgint(&stored, 4) != GetDatabaseEncoding())
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("the result that is known under the id \"%s\" cannot be read here", call_id->id),
				 errdetail("A front with another version of plshard, or another encoding, has left it.")));
	result = plshard_own_result(PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK));
	if (result == NULL)
		out_of_memory();
	read_columns(&stored, result);
	read_rows(&stored, result);
	pq_getmsgend(&stored);
	return result;
}

void
plshard_throw_call_id_used(const CallId *call_id)
{
	throw_other_arguments(call_id);
	pg_unreachable();
}
