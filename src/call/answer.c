/*
 * answer.c
 *
 * Matches answers to the steps of a task.  Results that outlive their handling are owned by
 * the current memory context, the call's.
 */
#include "postgres.h"

#include "call/answer.h"
#include "call/watch.h"
#include "call/write_locks.h"
#include "cluster/node_schema.h"
#include "connection/receive.h"
#include "connection/remote_error.h"
#include "connection/remote_result.h"
#include "connection/statements.h"
#include "miscadmin.h"
#include "transaction/remote_xact.h"

/* The step that a command belongs to.  That its statement is prepared is no answer to it. */
static StepKind
step_of(const Pending *pending)
{
	if (pending->kind == PENDING_PREPARE)
		return STEP_NONE;
	if (pending->copies)
		return STEP_COPY;
	return (StepKind) pending->number;
}

/* ---- rows ---- */

/* The place of a task, for the context of an error. */
static RemoteErrorContext
where_of(const Execution *e, const Task *task)
{
	RemoteErrorContext where = {0};

	where.function_name = e->function_name;
	where.node_name = e->map->nodes[task->node].name;
	where.has_shard = task->shard >= 0;
	if (where.has_shard)
		where.shard_id = e->map->shards[task->shard].id;
	where.sql = task->copy_sql ? task->copy_sql : e->query ? e->query->sql : NULL;
	where.is_call = e->request && e->request->query->is_call;
	return where;
}

/* The context of errors that a result causes. */
typedef struct DeliverErrors
{
	ErrorContextCallback callback;
	const Execution *execution;
	const Task *task;
} DeliverErrors;

/* Adds node, shard and function to an error that comes from a row. */
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
		task->result = plshard_own_result(plshard_conn_take_result(task->conn));
	}
}

/* Rows of a call, or of its stored result. */
static void
take_rows(Execution *e, Task *task, PGresult *result)
{
	if (!e->is_write)
	{
		plshard_deliver(e, task, result);
		return;
	}
	task->called = true;
	/* of several results the last need not have the number */
	if (PQcmdTuples(result)[0] != '\0')
		task->affected = strtoull(PQcmdTuples(result), NULL, 10);
	for (int row = 0; row < PQntuples(result); row++)
		plshard_digest_row(&task->digest, result, row);
	keep_result(task, result);
}

/* ---- steps ---- */

/* Compares the command tag.  A failed transaction answers COMMIT and PREPARE with ROLLBACK, which is no error. */
static bool
tag_is(const PGresult *result, const char *tag)
{
	return strcmp(PQcmdStatus(unconstify(PGresult *, result)), tag) == 0;
}

/* A command of a step has succeeded, or sent some of its rows. */
static void
step_done(Execution *e, Task *task, const Pending *pending, PGresult *result)
{
	switch (step_of(pending))
	{
		case STEP_COMMIT:
			task->committed = tag_is(result, "COMMIT");
			if (!task->committed && !tag_is(result, "ROLLBACK"))
				plshard_conn_violated(task->conn, "a wrong answer to COMMIT");
			return;
		case STEP_PREPARE:
			task->prepared = tag_is(result, "PREPARE TRANSACTION");
			if (!task->prepared && !tag_is(result, "ROLLBACK"))
				plshard_conn_violated(task->conn, "a wrong answer to PREPARE TRANSACTION");
			return;
		case STEP_COPY:
			if (task->state == TASK_SENT)
				plshard_copy_end(&task->copied);	/* the rows have come before */
			return;
		case STEP_CALL:
		case STEP_LOCKED_CALL:
		case STEP_FETCH:
			if (task->state == TASK_SENT)
				take_rows(e, task, result);
			return;
		default:
			return;
	}
}

/* What an error of a step makes of its task. */
static TaskState
failed_state(StepKind step, const PGresult *error, int sqlstate)
{
	if (sqlstate == ERRCODE_IN_FAILED_SQL_TRANSACTION)
		return TASK_NOT_RUN;
	switch (step)
	{
		case STEP_LOCKS:
			return sqlstate == SQLSTATE_LOCK_NOT_TAKEN ? TASK_LOCKED_OUT :
				sqlstate == SQLSTATE_EPOCH_IS_OLD ? TASK_OLD_EPOCH : TASK_ERROR;
		case STEP_LOOKUP:
		case STEP_STORE:
			return sqlstate == SQLSTATE_CALL_IS_KNOWN ? TASK_CALL_KNOWN : TASK_ERROR;
		case STEP_LOCKED_CALL:
			/* an old epoch is found by the statements that then wait */
			if (plshard_locks_refused(error))
				return TASK_LOCKED_OUT;
			/* FALLTHROUGH */
		case STEP_CALL:
			return sqlstate == SQLSTATE_OUT_OF_IDS ? TASK_OUT_OF_IDS : TASK_ERROR;
		default:
			return TASK_ERROR;
	}
}

/* True where a prepared statement has been broken, by a change of its objects or by a pooler. */
static bool
plan_is_stale(StepKind step, const Pending *pending, const PGresult *error, int sqlstate)
{
	const char *message = PQresultErrorField(error, PG_DIAG_MESSAGE_PRIMARY);

	if ((step != STEP_CALL && step != STEP_LOCKED_CALL && step != STEP_FETCH) || !pending->reused)
		return false;
	return sqlstate == ERRCODE_UNDEFINED_PSTATEMENT ||
		(sqlstate == ERRCODE_FEATURE_NOT_SUPPORTED && plshard_error_is_from(error, "RevalidateCachedQuery")) ||
		/* a type in it was dropped: that invalidates no plan */
		(sqlstate == ERRCODE_INTERNAL_ERROR && message &&
		 strncmp(message, "cache lookup failed", 19) == 0);
}

/* Forgets it; true where the task can run again. */
static bool
drop_stale_plan(const Execution *e, const Task *task, StepKind step)
{
	uint64		id = e->query->id + (step == STEP_LOCKED_CALL ? 1 : 0);

	plshard_conn_forget_statement(task->conn, id, plshard_task_path(e, task));
	/* without a savepoint to go back to it remains an error */
	return e->is_write || !task->conn->xact.read_only || !plshard_xact_is_open(task->conn);
}

/* The remote function returns a set, which a one-shot call cannot: see REMOTE_ONE_VALUE. */
static bool
form_is_refused(const Execution *e, const PGresult *error, int sqlstate)
{
	return e->request != NULL && e->query == e->request->one_shot &&
		sqlstate == ERRCODE_FEATURE_NOT_SUPPORTED &&
		plshard_error_is_from(error, "transformCoalesceExpr");
}

/* A command of a step has failed: decides the state of its task. */
static void
step_failed(Execution *e, Task *task, const Pending *pending, PGresult *error)
{
	StepKind	step = step_of(pending);
	int			sqlstate = plshard_result_sqlstate(error);

	if (task->state != TASK_SENT)
		return;					/* the errors behind the first are only its consequences */
	task->state = failed_state(step, error, sqlstate);
	if (task->state != TASK_ERROR && task->state != TASK_OUT_OF_IDS)
		return;
	if (pending->kind == PENDING_CALL)
		task->called = false;
	task->error = plshard_own_result(plshard_conn_take_result(task->conn));
	if (form_is_refused(e, error, sqlstate))
	{
		e->one_shot_refused = true;
		task->state = TASK_STALE_PLAN;
	}
	else if (task->nrows == 0 && plan_is_stale(step, pending, error, sqlstate) &&
			 drop_stale_plan(e, task, step))
		task->state = TASK_STALE_PLAN;
}

/* All that was queued has been answered. */
static void
batch_done(Task *task)
{
	bool		ran = task->state == TASK_SENT;

	if (ran && task->plan.nqueued < task->plan.nsteps)
	{
		task->state = TASK_READY;	/* for the other steps */
		return;
	}
	if (ran && plshard_last_step(&task->plan) == STEP_COMMIT)
	{
		if (!task->committed)
			elog(ERROR, "node \"%s\" did not commit", task->conn->node_name);
		plshard_xact_forget(task->conn);
	}
	if (ran)
		task->state = TASK_DONE;
	task->synced = true;
}

void
plshard_take_answer(NodeConn *conn, Pending *pending, PGresult *result, void *arg)
{
	Execution  *e = arg;
	Task	   *task = pending->owner;

	switch (PQresultStatus(result))
	{
		case PGRES_COMMAND_OK:
		case PGRES_TUPLES_OK:
		case PLSHARD_SOME_ROWS:
			step_done(e, task, pending, result);
			break;
		case PGRES_COPY_OUT:
			if (task->state == TASK_SENT)
				deliver_copied(e, task);
			break;
		case PGRES_FATAL_ERROR:
			step_failed(e, task, pending, result);
			break;
		case PGRES_PIPELINE_ABORTED:
			/* an error of a command without an owner came before it */
			if (task->state == TASK_SENT)
				task->state = TASK_NOT_RUN;
			break;
		case PGRES_PIPELINE_SYNC:
			batch_done(task);
			break;
		default:
			if (e->request != NULL)
			{
				plshard_conn_violated(conn, "no answer to a statement");
				break;
			}
			/* deploy's text is the caller's */
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("node \"%s\" answered a call with %s", conn->node_name,
							PQresStatus(PQresultStatus(result)))));
	}
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
