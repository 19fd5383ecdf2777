/*
 * early_prepare.c
 *
 * PREPARE in the batch of the call.  Its state lives in the context of the call.
 */
#include "postgres.h"

#include "base/inject.h"
#include "call/early_prepare.h"
#include "call/task.h"
#include "connection/remote_error.h"
#include "miscadmin.h"
#include "transaction/atomic_commit.h"
#include "transaction/participants.h"
#include "transaction/remote_xact.h"
#include "transaction/written_shards.h"
#include "utils/memutils.h"

/*
 * Where a key's lock was not free on the deciding node, but was on the other one, the rollback of
 * what is prepared costs a round trip before the wait can begin; where the node has no room for
 * one more prepared transaction, the call has to be made again.  After either, the session makes
 * so many of its calls without early prepare.
 */
#define CALLS_AFTER_CONTENTION 16

static int	calls_to_skip = 0;

bool
plshard_early_applies(const Execution *e)
{
	const ClusterMap *map = e->map;

	if (e->request->one_shot == NULL || e->one_shot_refused || e->request->ntargets != 1 ||
		e->ntasks != 2 || map->options.commit != COMMIT_ATOMIC ||
		plshard_remote_xact_is_open())
		return false;
	if (calls_to_skip > 0)
	{
		calls_to_skip--;
		return false;
	}
	return true;
}

bool
plshard_early_begin(Execution *e)
{
	EarlyPrepare *early;

	if (e->tasks[0].conn->io.state != CONN_READY || e->tasks[1].conn->io.state != CONN_READY)
		return false;
	early = palloc0(sizeof(EarlyPrepare));
	for (int i = 0; i < e->ntasks; i++)
	{
		Participant *p = plshard_add_participant(&early->participants);

		p->conn = e->tasks[i].conn;
		p->map = e->map;
	}
	early->commit = plshard_atomic_begin(&early->participants,
										 plshard_xact_wrote(e->map, e->tasks[0].shard));
	e->early = early;
	return true;
}

/* ---- the ends ---- */

/* Commits or rolls back, as "way" does.  An error in it means that the outcome is unknown. */
static void
end_by(Execution *e, void (*way) (AtomicCommit *commit))
{
	EarlyPrepare *early = e->early;
	MemoryContext context = CurrentMemoryContext;

	e->early = NULL;
	HOLD_INTERRUPTS();
	PG_TRY();
	{
		way(early->commit);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		if (early->participants.outcome_known)
			PG_RE_THROW();
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		plshard_throw_unknown(&early->participants, error->message, NULL);
	}
	PG_END_TRY();
	RESUME_INTERRUPTS();
}

/* Whether the second replica has prepared, as far as its answers show. */
static CommandState
batch_state(const Task *task)
{
	if (task->prepared)
		return COMMAND_DONE;
	if (!task->sent || (task->synced && task->state != TASK_LOST))
		return COMMAND_NONE;	/* an error, of this command or an earlier one, has skipped PREPARE */
	return COMMAND_UNKNOWN;
}

bool
plshard_early_is_open(const Execution *e)
{
	return batch_state(&e->tasks[1]) != COMMAND_NONE;
}

void
plshard_early_take_back(Execution *e)
{
	Task	   *task = &e->tasks[1];

	if (e->tasks[0].state == TASK_LOCKED_OUT)
		calls_to_skip = CALLS_AFTER_CONTENTION;
	/* its batch is not answered yet: recovery finds out how it ends */
	if (batch_state(task) == COMMAND_UNKNOWN && task->conn->io.state == CONN_READY)
		plshard_conn_set_lost(task->conn, 0, "the call was given up");
	plshard_atomic_note(e->early->commit, task->conn, batch_state(task));
	end_by(e, plshard_atomic_undo);
}

void
plshard_early_fail(Execution *e, MemoryContext context)
{
	ErrorData  *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	plshard_early_take_back(e);
	ReThrowError(error);
}

void
plshard_early_commit(Execution *e)
{
	if (plshard_atomic_note(e->early->commit, e->tasks[1].conn, batch_state(&e->tasks[1])))
		end_by(e, plshard_atomic_decide);
	else
	{
		EarlyPrepare *early = e->early;

		plshard_early_take_back(e);
		plshard_throw_refused(&early->participants, &early->participants.list[1]);
	}
}

void
plshard_early_drive(Execution *e)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		plshard_drive(e);
		plshard_inject("early_prepared");
	}
	PG_CATCH();
	{
		if (!plshard_early_is_open(e))
			PG_RE_THROW();
		plshard_early_fail(e, context);
	}
	PG_END_TRY();
}

/*
 * Here a slot of max_prepared_transactions is held while the other node works; in an ordinary
 * commit only for moments.
 */
static bool
no_slot_is_free(const PGresult *error)
{
	return plshard_result_sqlstate(error) == ERRCODE_OUT_OF_MEMORY &&
		plshard_error_is_from(error, "MarkAsPreparing");
}

bool
plshard_early_refused(const Execution *e)
{
	for (int i = 0; i < e->ntasks; i++)
	{
		Participants participants = {0};
		Participant failed = {.conn = e->tasks[i].conn, .map = e->map, .error = e->tasks[i].error};

		if (e->tasks[i].state != TASK_ERROR || !e->tasks[i].called)
			continue;
		if (!no_slot_is_free(failed.error))
			plshard_throw_refused(&participants, &failed);
		calls_to_skip = CALLS_AFTER_CONTENTION;
		return true;
	}
	return false;
}
