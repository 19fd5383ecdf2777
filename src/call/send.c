/*
 * send.c
 *
 * Queues the steps of a task's plan.  They travel in one batch, so a task costs one round
 * trip.  Texts are made in the current memory context, the call's.
 */
#include "postgres.h"

#include "base/inject.h"
#include "call/call_id.h"
#include "call/node_values.h"
#include "call/send.h"
#include "call/task_conn.h"
#include "call/write_locks.h"
#include "connection/connection.h"
#include "connection/node_settings.h"
#include "connection/pipeline.h"
#include "connection/setup.h"
#include "connection/statements.h"
#include "transaction/remote_xact.h"

/* A write's transaction, and its savepoint there. */
static void
send_begin(Execution *e, Task *task)
{
	task->savepoint = plshard_xact_begin_call(task->conn, e->number, task);
	if (task->shard < 0 || !e->map->can_evict)
		plshard_xact_must_commit(task->conn);
}

/* A read in a transaction that may write: it may not. */
static void
send_guard(Task *task)
{
	NodeConn   *conn = task->conn;

	if (conn->xact.read_only)
		return;
	plshard_conn_send_plain(conn, "SAVEPOINT plshard_read", PENDING_XACT, task, STEP_GUARD, false);
	plshard_conn_send_plain(conn, "SET LOCAL transaction_read_only = on", PENDING_XACT,
							task, STEP_GUARD, false);
}

/*
 * An error in a batch undoes the settings in it, so those that a later batch on its way
 * relies on have a batch of their own.  So have those before a write that is to be
 * the only statement of its transaction.
 */
static bool
send_settings(Execution *e, Task *task)
{
	bool		sent = plshard_conn_send_settings(task->conn, plshard_task_path(e, task), e->timeout,
												  task->plan.may_write, task);

	if (sent && task->plan.settings_apart)
		plshard_conn_send_sync(task->conn, NULL);
	return sent;
}

/* The call's statement. */
static void
send_call(Execution *e, Task *task, StepKind step)
{
	const RemoteQuery *query = e->query;
	const RemoteParams *params = e->request->targets[task->target].params;

	if (step == STEP_LOCKED_CALL)
		plshard_add_locks(e, task, &query, &params);
	plshard_conn_send_prepared(task->conn, query->id, plshard_task_path(e, task), query->sql, query->nparams,
							   query->param_types, params,
							   e->map->options.disable_binary ? 0 : query->result_format,
							   PENDING_CALL, task, step,
							   e->sink->streaming && !(e->is_write && task->deliver));
	if (task->deliver)
		plshard_conn_pass_notices(task->conn, e->function_name);
}

/* The call's statement, as COPY. */
static void
send_copy(Execution *e, Task *task)
{
	memset(&task->copied, 0, sizeof(task->copied));
	task->copy_sql = plshard_copy_sql(e->query, e->request->targets[task->target].params);
	plshard_conn_send_copy(task->conn, task->copy_sql, task, e->function_name);
}

/* Administration's statements. */
static void
send_statements(Execution *e, Task *task)
{
	NodeConn   *conn = task->conn;

	for (int i = 0; i < e->nstatements; i++)
		plshard_conn_send_plain(conn, e->statements[i], PENDING_CALL, task, STEP_STATEMENTS, false);
	plshard_conn_forget_settings(conn);	/* they may have changed them */
	if (task->shard < 0)
	{
		plshard_conn_expect_schema(conn);
		plshard_conn_outdate(conn);
	}
}

/* False where the next step has to wait for the answer to this one. */
static bool
queue_step(Execution *e, Task *task, StepKind step)
{
	NodeConn   *conn = task->conn;

	switch (step)
	{
		case STEP_OPEN:
			plshard_xact_open(conn, false, e->number, task);
			break;
		case STEP_GUARD:
			send_guard(task);
			break;
		case STEP_UNGUARD:
			if (!conn->xact.read_only)
				plshard_conn_send_plain(conn, "RELEASE SAVEPOINT plshard_read", PENDING_XACT, task, step, false);
			break;
		case STEP_READ_WRITE:
			plshard_conn_send_prepared(conn, QUERY_READ_WRITE, 0, "SET transaction_read_only = off",
									   0, NULL, NULL, 0, PENDING_SETTING, task, step, false);
			break;
		case STEP_BEGIN:
			send_begin(e, task);
			break;
		case STEP_SETTINGS:
			send_settings(e, task);
			break;
		case STEP_SETTINGS_ALONE:
			/* nor may anything else be on its way before COPY */
			return !send_settings(e, task) && conn->io.npending == 0;
		case STEP_READ_ONLY:
			if (conn->session.read_only == READ_ONLY_SENT)
				plshard_conn_send_prepared(conn, QUERY_READ_ONLY, 0, "SET transaction_read_only = on",
										   0, NULL, NULL, 0, PENDING_SETTING, task, step, false);
			break;
		case STEP_LOCKS:
			plshard_send_locks(e, task);
			break;
		case STEP_LOCKS_TO_PARSE:
			if (!plshard_has_statement(conn, e->query->id + 1, plshard_task_path(e, task)))
				plshard_send_locks(e, task);
			break;
		case STEP_LOOKUP:
			plshard_send_result_lookup(e, task);
			break;
		case STEP_FETCH:
			plshard_send_result_fetch(e, task);
			break;
		case STEP_VALUES:
			plshard_send_node_values(e, task);
			break;
		case STEP_CALL:
		case STEP_LOCKED_CALL:
			send_call(e, task, step);
			break;
		case STEP_COPY:
			send_copy(e, task);
			break;
		case STEP_STORE:
			plshard_send_result_store(e, task);
			break;
		case STEP_COMMIT:
			plshard_conn_send_prepared(conn, QUERY_COMMIT, 0, "COMMIT", 0, NULL, NULL, 0,
									   PENDING_XACT, task, step, false);
			break;
		case STEP_CONSTRAINTS:
		case STEP_PREPARE:
			plshard_atomic_send_with_call(e->early->commit, conn, task, step);
			break;
		case STEP_STATEMENTS:
			send_statements(e, task);
			break;
		case STEP_NONE:
			break;
	}
	return true;
}

void
plshard_send_task(Execution *e, Task *task)
{
	NodeConn   *conn = task->conn;
	TaskPlan	   *plan = &task->plan;
	ConnWatch  *watch = plshard_conn_watch(e, conn);
	StepKind	last;

	plshard_init_plan(plan);
	e->plan(e, task);
	last = plshard_last_step(plan);
	if (last == STEP_COPY && plshard_conn_awaited(conn))
		return;

	task->state = TASK_SENT;
	task->synced = false;
	task->sent = true;
	watch->probe_at = deadline_in(e->map->options.node_timeout);
	memset(&watch->lock_wait, 0, sizeof(LockWait));
	while (plan->nqueued < plan->nsteps &&
		   queue_step(e, task, plan->steps[plan->nqueued++]))
		;
	/* COPY ends its batch itself */
	if (last != STEP_COPY || plan->nqueued < plan->nsteps)
		plshard_conn_send_sync(conn, task);
	if (last == STEP_PREPARE)
		plshard_inject("early_sent");
}
