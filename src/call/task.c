/*
 * task.c
 *
 * Sends tasks, watches them, takes in their results.  A task's commands travel
 * in one batch, so it costs one round trip; results come back in order, and a
 * task has ended when its Sync has come.
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/inject.h"
#include "base/settings.h"
#include "call/call_id.h"
#include "call/early_prepare.h"
#include "call/node_values.h"
#include "call/task.h"
#include "call/task_conn.h"
#include "call/watch.h"
#include "call/write_locks.h"
#include "cluster/node_schema.h"
#include "connection/admin_connection.h"
#include "connection/connection.h"
#include "connection/node_settings.h"
#include "connection/pipeline.h"
#include "connection/pump.h"
#include "connection/remote_error.h"
#include "connection/statements.h"
#include "miscadmin.h"
#include "transaction/remote_xact.h"

#define OTHER_SERVER "the server is not the one that it was: a backup was restored, or a standby server promoted (plshard.accept_node accepts it if no data is missing)"

/* Pending.number of the COMMIT or PREPARE that travels with a call; of a call with locks. */
#define ONE_SHOT_COMMIT 1
#define EARLY_PREPARE 2
#define CALL_WITH_LOCKS (-1)

/* ---- sending ---- */

/* The shard whose schema comes first in the search_path, or PATH_BASE if none does. */
static int64
path_of(const Execution *e, const Task *task)
{
	return task->shard < 0 || !e->map->has_shard_schemas ? PATH_BASE : e->map->shards[task->shard].id;
}

static const RemoteQuery *
query_of(const Execution *e)
{
	return e->one_shot || e->prepares ? e->request->one_shot : e->request->query;
}

/* Whether a task's rows are to be copied: see copy_rows.h. */
static bool
is_copy(const Execution *e, const Task *task)
{
	return e->request && e->request->by_copy && e->sink->copied_row &&
		e->request->query->result_format == 1 &&
		task->conn->xact.depth == 0 && !plshard_reads_in_xact(e) && !task->conn->session.pooled;
}

/*
 * Nobody else may wait for an answer on the connection.  Settings travel before it, in a batch
 * of their own; a Sync also where what nobody waits for is still on its way.
 */
static void
send_copy_task(Execution *e, Task *task)
{
	NodeConn   *conn = task->conn;
	ConnWatch  *watch = plshard_conn_watch(e, conn);

	conn->session.writes_in_a_row = 0;
	task->state = TASK_SENT;
	task->sent = true;
	watch->probe_at = deadline_in(e->map->options.node_timeout);
	memset(&watch->lock_wait, 0, sizeof(LockWait));
	task->setting_up = plshard_conn_send_settings(conn, path_of(e, task), e->timeout, false, task) ||
		conn->io.npending > 0;
	if (task->setting_up)
	{
		plshard_conn_send_sync(conn, task);
		return;
	}
	memset(&task->copied, 0, sizeof(task->copied));
	task->copy_sql = plshard_copy_sql(e->request->query, e->request->targets[task->target].params);
	plshard_conn_send_copy(conn, task->copy_sql, task, e->function_name);
}

static void
send_task(Execution *e, Task *task)
{
	NodeConn   *conn = task->conn;
	bool		guard = false;
	bool		in_block = false;
	bool		alone = plshard_writes_alone(e, conn);
	bool		may_write = alone;
	int64		shard_id = path_of(e, task);
	ConnWatch  *watch = plshard_conn_watch(e, conn);
	bool		set;
	bool		with_locks = false;

	if (e->one_shot && e->request->one_shot->returns_text && !conn->session.same_encoding)
		e->one_shot = false;
	if (!e->is_write)
		conn->session.writes_in_a_row = 0;
	task->state = TASK_SENT;
	task->synced = false;
	task->sent = true;
	watch->probe_at = deadline_in(e->map->options.node_timeout);
	memset(&watch->lock_wait, 0, sizeof(LockWait));
	if (e->recording)
	{
		plshard_send_call_record(e, task);
		plshard_conn_send_sync(conn, task);
		return;
	}

	if (alone)
		task->savepoint = 0;
	else if (e->one_shot && !e->request->one_shot->is_procedure)
	{
		/* without BEGIN it is a transaction all the same, up to the Sync */
		may_write = plshard_conn_stays_writable(conn);
		if (!may_write)
			plshard_conn_send_prepared(conn, QUERY_READ_WRITE, 0, "SET transaction_read_only = off",
									   0, NULL, NULL, 0, PENDING_SETTING, task, 0, false);
		task->savepoint = 0;
	}
	else if (e->is_write)
	{
		in_block = true;
		task->savepoint = plshard_xact_begin_call(conn, e->number, task);
		if (task->shard < 0)
		{
			/* it is about to be so */
			conn->session.has_schema = true;
			conn->session.other_server = false;
			plshard_conn_outdate(conn);
		}
		if (task->shard < 0 || !e->map->can_evict)
			conn->xact.must_commit = true;
	}
	else if (conn->xact.depth > 0 || plshard_reads_in_xact(e))
	{
		/* a read in a transaction that may write: it may not */
		plshard_xact_open(conn, false, e->number, task);
		guard = !conn->xact.read_only;
		if (guard)
		{
			plshard_conn_send_plain(conn, "SAVEPOINT plshard_read", PENDING_XACT, task, 0, false);
			plshard_conn_send_plain(conn, "SET LOCAL transaction_read_only = on", PENDING_XACT,
									task, 0, false);
		}
	}

	/*
	 * An error in a batch undoes the settings in it, so those that a later
	 * batch on its way relies on have a batch of their own.  So have those
	 * before a write that is to be the only statement of its transaction.
	 */
	set = plshard_conn_send_settings(conn, shard_id, e->timeout, may_write, task);
	if (set && (e->ntasks > 1 || alone) && conn->xact.depth == 0)
		plshard_conn_send_sync(conn, NULL);
	if (!e->is_write && conn->xact.depth == 0 && conn->session.read_only == READ_ONLY_SENT)
		plshard_conn_send_prepared(conn, QUERY_READ_ONLY, 0, "SET transaction_read_only = on",
								   0, NULL, NULL, 0, PENDING_SETTING, task, 0, false);

	if (e->is_write && !alone && e->map->has_locks &&
		(e->admin ? e->admin[task->target].lock_shard : task->shard >= 0))
		with_locks = plshard_send_locks(e, task, e->request ? query_of(e) : NULL);
	if (e->request && e->request->targets[task->target].recorded)
		plshard_send_call_fetch(e, task);
	else if (e->request)
	{
		const RemoteQuery *query = query_of(e);
		const RemoteParams *params = e->request->targets[task->target].params;

		if (with_locks)
			plshard_add_locks(e, task, &query, &params);
		if (e->request->call_id)
			plshard_send_call_lookup(e, task);
		if (e->is_write && e->map->has_node_schema)
			plshard_send_node_values(e, task);
		plshard_conn_send_prepared(conn, query->id, shard_id, query->sql, query->nparams,
								   query->param_types, params,
								   e->map->options.disable_binary ? 0 : query->result_format,
								   PENDING_CALL, task, with_locks ? CALL_WITH_LOCKS : 0,
								   e->sink->streaming && !(e->is_write && task->deliver));
		if (task->deliver)
			plshard_conn_pass_notices(conn, e->function_name);
	}
	else
	{
		for (int i = 0; i < e->nstatements; i++)
			plshard_conn_send_plain(conn, e->statements[i], PENDING_CALL, task, i, false);
		plshard_conn_forget_settings(conn);	/* they may have changed them */
	}
	if (guard)
		plshard_conn_send_plain(conn, "RELEASE SAVEPOINT plshard_read", PENDING_XACT, task, 0, false);
	if (e->one_shot && in_block)
		plshard_conn_send_prepared(conn, QUERY_COMMIT, 0, "COMMIT", 0, NULL, NULL, 0,
								   PENDING_XACT, task, ONE_SHOT_COMMIT, false);
	if (e->early)
		plshard_early_send(e, task, EARLY_PREPARE);
	plshard_conn_send_sync(conn, task);
}

/* ---- results ---- */

/* A prepared statement that a change of its objects, or a pooler, has broken. */
static bool
plan_is_stale(const Pending *pending, const PGresult *error, int sqlstate)
{
	const char *message = PQresultErrorField(error, PG_DIAG_MESSAGE_PRIMARY);

	if (pending->kind != PENDING_CALL || !pending->reused)
		return false;
	return sqlstate == ERRCODE_UNDEFINED_PSTATEMENT ||
		(sqlstate == ERRCODE_FEATURE_NOT_SUPPORTED && plshard_error_is_from(error, "RevalidateCachedQuery")) ||
		/* a type in it was dropped: nothing else tells its plans */
		(sqlstate == ERRCODE_INTERNAL_ERROR && message &&
		 strncmp(message, "cache lookup failed", 19) == 0);
}

static void
task_failed(Execution *e, Task *task, Pending *pending, PGresult *error)
{
	int			sqlstate = plshard_result_sqlstate(error);
	bool		with_locks = pending->kind == PENDING_CALL && pending->number == CALL_WITH_LOCKS;

	if (task->state != TASK_SENT)
		return;					/* only the first error tells something */
	if (pending->kind == PENDING_LOCK && sqlstate == SQLSTATE_LOCK_NOT_TAKEN)
		task->state = TASK_LOCKED_OUT;
	else if (pending->kind == PENDING_LOCK && sqlstate == SQLSTATE_EPOCH_IS_OLD)
		task->state = TASK_OLD_EPOCH;
	else if (with_locks && plshard_locks_refused(error))
		task->state = TASK_LOCKED_OUT;	/* that the epoch is old, the statements that wait will say */
	else if (pending->kind == PENDING_RECORD && sqlstate == SQLSTATE_CALL_IS_KNOWN)
		task->state = TASK_CALL_KNOWN;
	else if (sqlstate == ERRCODE_IN_FAILED_SQL_TRANSACTION)
		task->state = TASK_NOT_RUN;
	else
	{
		task->state = pending->kind == PENDING_CALL && sqlstate == SQLSTATE_OUT_OF_IDS ?
			TASK_OUT_OF_IDS : TASK_ERROR;
		task->called &= pending->kind != PENDING_CALL;
		task->conn->io.result = NULL;	/* ours now */
		task->error = plshard_own_result(error);
		if ((e->one_shot || e->prepares) && sqlstate == ERRCODE_FEATURE_NOT_SUPPORTED &&
			plshard_error_is_from(error, "transformCoalesceExpr"))
		{
			/* the remote function returns a set: see REMOTE_ONE_VALUE */
			e->one_shot_refused = true;
			task->state = TASK_STALE_PLAN;
			return;
		}
		if (e->request && task->nrows == 0 && plan_is_stale(pending, error, sqlstate))
		{
			plshard_conn_forget_statement(task->conn, query_of(e)->id + with_locks, path_of(e, task));
			/* without a savepoint to go back to it remains an error */
			if (e->is_write || !task->conn->xact.read_only || task->conn->xact.depth == 0)
				task->state = TASK_STALE_PLAN;
		}
	}
}

static RemoteErrorContext
where_of(const Execution *e, const Task *task)
{
	RemoteErrorContext where = {0};

	where.function_name = e->function_name;
	where.node_name = e->map->nodes[task->node].name;
	where.has_shard = task->shard >= 0;
	if (where.has_shard)
		where.shard_id = e->map->shards[task->shard].id;
	where.sql = task->copy_sql ? task->copy_sql : e->request ? query_of(e)->sql : NULL;
	where.is_call = e->request && e->request->query->is_call;
	return where;
}

/* What is wrong with a result is said with the place that it came from. */
typedef struct DeliverErrors
{
	ErrorContextCallback callback;
	const Execution *execution;
	const Task *task;
} DeliverErrors;

static void
deliver_error_callback(void *arg)
{
	const DeliverErrors *errors = arg;
	RemoteErrorContext where = where_of(errors->execution, errors->task);

	plshard_remote_errcontext(&where);
}

static void
begin_delivery(DeliverErrors *errors, const Execution *e, const Task *task)
{
	errors->callback.previous = error_context_stack;
	errors->callback.callback = deliver_error_callback;
	errors->callback.arg = errors;
	errors->execution = e;
	errors->task = task;
	error_context_stack = &errors->callback;
}

void
plshard_deliver(Execution *e, Task *task, const PGresult *result)
{
	int			nrows = PQntuples(result);
	DeliverErrors errors;

	begin_delivery(&errors, e, task);
	if (!task->described)
	{
		task->described = true;
		if (e->sink->describe)
			e->sink->describe(e->sink, result);
	}
	for (int row = 0; row < nrows; row++)
	{
		task->nrows++;
		e->sink->row(e->sink, result, row);
	}
	error_context_stack = errors.callback.previous;
}

/* Gives the rows of a message of COPY to the sink. */
static void
deliver_copied(Execution *e, Task *task)
{
	int			ncolumns = e->sink->decoder->ncolumns;
	DeliverErrors errors;

	begin_delivery(&errors, e, task);
	if (e->copied_fields == NULL)
		e->copied_fields = palloc(sizeof(WireField) * (ncolumns + 1));
	plshard_copy_message(&task->copied, task->conn->io.copied, task->conn->io.copied_length);
	while (plshard_copy_next_row(&task->copied, ncolumns, e->copied_fields))
	{
		task->nrows++;
		e->sink->copied_row(e->sink, e->copied_fields);
	}
	error_context_stack = errors.callback.previous;
}

/* Adds some rows of a result to those that are kept. */
static void
keep_rows(Task *task, PGresult *rows)
{
	if (task->result == NULL)
	{
		PGresult   *empty = PQcopyResult(rows, PG_COPYRES_ATTRS);

		if (empty == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_OUT_OF_MEMORY),
					 errmsg("out of memory")));
		task->result = plshard_own_result(empty);
	}
	if (PQntuples(task->result) + PQntuples(rows) < task->digest.nrows)
		return;					/* some are left out already */
	for (int row = 0; row < PQntuples(rows); row++)
	{
		int			n = PQntuples(task->result);

		if (PQresultMemorySize(task->result) > work_mem * (size_t) 1024)
			return;
		for (int i = 0; i < PQnfields(rows); i++)
		{
			bool		isnull = PQgetisnull(rows, row, i);

			if (!PQsetvalue(task->result, n, i, PQgetvalue(rows, row, i),
							isnull ? -1 : PQgetlength(rows, row, i)))
				ereport(ERROR,
						(errcode(ERRCODE_OUT_OF_MEMORY),
						 errmsg("out of memory")));
		}
	}
}

/*
 * Keeps a write's rows until all replicas agree.  Those that are not to be
 * delivered may come one by one; then as many as work_mem has room for.
 */
static void
keep_result(Task *task, PGresult *result)
{
	if (PQresultStatus(result) == PLSHARD_SOME_ROWS)
		keep_rows(task, result);
	else if (task->result == NULL)
	{
		task->conn->io.result = NULL;
		task->result = plshard_own_result(result);
	}
}

static void
call_result(Execution *e, Task *task, Pending *pending, PGresult *result)
{
	if (e->request == NULL)
		return;					/* rows of administrative statements are not read */
	if (!e->is_write)
		plshard_deliver(e, task, result);
	else
	{
		task->called = true;
		/* the last of several results need not be the one that says it */
		if (PQcmdTuples(result)[0] != '\0')
			task->affected = strtoull(PQcmdTuples(result), NULL, 10);
		for (int row = 0; row < PQntuples(result); row++)
			plshard_digest_row(&task->digest, result, row);
		keep_result(task, result);
	}
}

static void
handle_result(NodeConn *conn, Pending *pending, PGresult *result, void *arg)
{
	Execution  *e = arg;
	Task	   *task = pending->owner;

	switch (PQresultStatus(result))
	{
		case PGRES_COMMAND_OK:
		case PGRES_TUPLES_OK:
		case PLSHARD_SOME_ROWS:
			if (pending->copies)
			{
				if (task->state == TASK_SENT)
					plshard_copy_end(&task->copied);	/* the rows have come before */
			}
			else if (pending->kind == PENDING_CALL && task->state == TASK_SENT)
				call_result(e, task, pending, result);
			else if (pending->kind == PENDING_XACT && pending->number == ONE_SHOT_COMMIT)
				task->committed = strcmp(PQcmdStatus(result), "COMMIT") == 0;
			else if (pending->kind == PENDING_XACT && pending->number == EARLY_PREPARE)
				task->prepared = strcmp(PQcmdStatus(result), "PREPARE TRANSACTION") == 0;
			break;
		case PGRES_COPY_OUT:
			if (task->state == TASK_SENT)
				deliver_copied(e, task);
			break;
		case PGRES_FATAL_ERROR:
			task_failed(e, task, pending, result);
			break;
		case PGRES_PIPELINE_ABORTED:
			/* an error of a command that nobody owns came before it */
			if (task->state == TASK_SENT)
				task->state = TASK_NOT_RUN;
			break;
		case PGRES_PIPELINE_SYNC:
			if (task->setting_up && task->state == TASK_SENT)
			{
				task->setting_up = false;
				task->state = TASK_READY;
				break;
			}
			if (task->state == TASK_SENT && task->conn->xact.depth > 0 && e->one_shot)
			{
				if (!task->committed)
					elog(ERROR, "node \"%s\" did not commit", conn->node_name);
				conn->xact.depth = 0;
			}
			if (task->state == TASK_SENT)
				task->state = TASK_DONE;
			task->synced = true;
			break;
		default:
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("node \"%s\" answered a call with %s", conn->node_name,
							PQresStatus(PQresultStatus(result)))));
	}
}

/* ---- the loop ---- */

/* Tasks on connections that are gone. */
static void
note_lost(Execution *e)
{
	for (int i = 0; i < e->ntasks; i++)
	{
		Task	   *task = &e->tasks[i];

		if (plshard_task_is_open(task) &&
			(task->conn->io.state == CONN_LOST || task->conn->io.state == CONN_CLOSED))
		{
			task->state = TASK_LOST;
			task->synced = true;
		}
	}
}

/*
 * A server in a node's place that is not the one it was: the node has lost its data, or
 * what was written last (PROTOCOL rule 18), and another replica has it.
 */
static bool
is_other_node(const Execution *e, const Task *task)
{
	const NodeConn *conn = task->conn;

	return task->shard >= 0 &&
		(!conn->session.has_schema || (conn->session.other_server && e->map->shards[task->shard].nactive > 1));
}

/* Other shards may have nothing else to read: reads of theirs go on. */
static void
reject_node(const Execution *e, Task *task)
{
	NodeConn   *conn = task->conn;

	if (conn->session.has_schema && !e->is_write)
	{
		task->rejected = task->synced = true;
		task->state = TASK_LOST;
		return;
	}
	if (!conn->session.has_schema)
		plshard_conn_set_lost(conn, ERRCODE_INVALID_SCHEMA_NAME,
							  "the server has nothing of this cluster: the node's data is lost");
	else
		plshard_conn_set_lost(conn, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, OTHER_SERVER);
	conn->io.condemned = true;
}

/* Somebody has to give up in a deadlock, and it is us: our waits have been cancelled. */
static void
end_deadlock(Execution *e)
{
	for (int i = 0; i < e->ntasks; i++)
	{
		const Task *task = &e->tasks[i];

		if (task->state == TASK_ERROR && plshard_result_sqlstate(task->error) == ERRCODE_QUERY_CANCELED)
			plshard_throw_deadlock(e->deadlock);
	}
	e->deadlock = NULL;			/* it was over before */
}

/* Runs all tasks that are not held until each has ended. */
static void
drive_all(Execution *e)
{
	for (;;)
	{
		Deadline	wake;
		bool		open = false;

		note_lost(e);
		for (int i = 0; i < e->ntasks; i++)
		{
			Task	   *task = &e->tasks[i];

			if (task->state == TASK_READY && task->conn->io.state == CONN_READY)
			{
				if (is_other_node(e, task))
					reject_node(e, task);
				else if (!is_copy(e, task))
					send_task(e, task);
				else if (!plshard_conn_awaited(task->conn))
					send_copy_task(e, task);
			}
			open |= plshard_task_is_open(task);
		}
		if (e->early)
			plshard_inject("early_sent");
		if (!open)
			return;
		wake = plshard_watch_clock(e);
		note_lost(e);
		open = false;
		for (int i = 0; i < e->ntasks && !open; i++)
			open = plshard_task_is_open(&e->tasks[i]);
		if (!open)
			return;
		plshard_pump(e->conns, e->nconns, handle_result, e, wake);
	}
}

void
plshard_drive(Execution *e)
{
	drive_all(e);
	if (e->deadlock)
		end_deadlock(e);
}

void
plshard_throw_task_error(const Execution *e, const Task *task)
{
	RemoteErrorContext where = where_of(e, task);

	/* the node may be the first to see that the call's TIMEOUT is over */
	if (plshard_result_sqlstate(task->error) == ERRCODE_QUERY_CANCELED &&
		deadline_passed(e->deadline))
		plshard_throw_timeout(e);
	plshard_report_result(ERROR, task->error, &where);
	pg_unreachable();
}

void
plshard_throw_lost(const Execution *e, const Task *task, const char *hint)
{
	const NodeConn *conn = task->conn;
	const char *node_name = e->map->nodes[task->node].name;
	const char *message = task->rejected ? OTHER_SERVER : conn->io.message;

	ereport(ERROR,
			(errcode(task->rejected ? ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE :
					 conn->io.sqlstate ? conn->io.sqlstate : ERRCODE_CONNECTION_FAILURE),
			 task->shard < 0 ?
			 errmsg("could not reach node \"%s\"", node_name) :
			 errmsg("could not reach shard " INT64_FORMAT " on node \"%s\"",
					e->map->shards[task->shard].id, node_name),
			 message ? errdetail_internal("%s", message) : 0,
			 hint ? errhint("%s", hint) : 0,
			 e->function_name ? errcontext("plshard function %s", e->function_name) : 0));
}
