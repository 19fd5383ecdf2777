/*
 * plan.h
 *
 * What is sent for a task, as a plan of steps.  read.c or write.c makes the plan when the
 * task's connection is up, since it depends on what the connection has: its transaction, its
 * encoding, its node's objects.  send.c queues the steps, in one batch that ends with a Sync;
 * answer.c matches answers to them.
 *
 *	what									steps
 *
 *	read									SETTINGS READ_ONLY CALL
 *	read in a transaction on the node		OPEN GUARD SETTINGS CALL UNGUARD
 *	long read								SETTINGS_ALONE COPY
 *	write									BEGIN SETTINGS LOCKS VALUES CALL
 *		locks as parameters					BEGIN SETTINGS LOCKS_TO_PARSE VALUES LOCKED_CALL
 *		with an id							BEGIN SETTINGS LOCKS LOOKUP VALUES CALL
 *			when all replicas agree			STORE
 *			whose result is stored			BEGIN SETTINGS LOCKS FETCH
 *		one-shot, a procedure				BEGIN SETTINGS LOCKS VALUES CALL COMMIT
 *		one-shot, a function				READ_WRITE SETTINGS LOCKS VALUES CALL
 *		early prepare, deciding node		BEGIN SETTINGS LOCKS VALUES CALL CONSTRAINTS
 *		early prepare, the other node		BEGIN SETTINGS LOCKS VALUES CALL PREPARE
 *		with autocommit						SETTINGS VALUES CALL
 *	administration							BEGIN SETTINGS LOCKS STATEMENTS
 *
 * LOCKS and VALUES are left out on clusters without them, READ_WRITE where the session may
 * write already.  A step sends nothing where the connection has what it would set.
 */
#ifndef PLSHARD_PLAN_H
#define PLSHARD_PLAN_H

/*
 * The number of a Pending (node_conn.h) is the step that it belongs to, or STEP_NONE where
 * only its error matters.
 */
typedef enum StepKind
{
	STEP_NONE,
	STEP_OPEN,					/* a read takes part in the node's transaction ... */
	STEP_GUARD,					/* ... in which it may not write */
	STEP_UNGUARD,
	STEP_READ_WRITE,			/* a write without BEGIN, in a session that reads */
	STEP_BEGIN,					/* of a write: BEGIN and savepoints, or the call's savepoint */
	STEP_SETTINGS,				/* search_path and the like: node_settings.h */
	STEP_SETTINGS_ALONE,		/* the next step waits until the node has answered to them */
	STEP_READ_ONLY,				/* a read without BEGIN, while SETTINGS are on their way */
	STEP_LOCKS,					/* the shard's and the key's lock, and the epoch: write_locks.h */
	STEP_LOCKS_TO_PARSE,		/* only where the call's statement has to be prepared */
	STEP_LOOKUP,				/* is a result stored under the call's id? */
	STEP_FETCH,					/* the stored result, in place of the call */
	STEP_VALUES,				/* of plshard_node.now() and unique_id(): node_values.h */
	STEP_CALL,
	STEP_LOCKED_CALL,			/* with locks and epoch as parameters */
	STEP_COPY,					/* the call's rows by COPY: copy_rows.h */
	STEP_STORE,					/* the result under the call's id */
	STEP_COMMIT,
	STEP_CONSTRAINTS,			/* what the deciding node does while the other prepares */
	STEP_PREPARE,
	STEP_STATEMENTS				/* administration's; their rows are not read */
} StepKind;

#define MAX_STEPS 8

typedef struct TaskPlan
{
	uint8		nsteps;
	uint8		nqueued;		/* the first ones, that have been queued */
	bool		may_write;		/* SETTINGS: a command outside a transaction may write */
	bool		settings_apart; /* SETTINGS have a batch of their own, which is not waited for */
	uint8		steps[MAX_STEPS];	/* StepKind */
} TaskPlan;

static inline void
plshard_init_plan(TaskPlan *plan)
{
	plan->nsteps = 0;
	plan->nqueued = 0;
	plan->may_write = false;
	plan->settings_apart = false;
}

static inline void
plshard_add_step(TaskPlan *plan, StepKind step)
{
	Assert(plan->nsteps < MAX_STEPS);
	plan->steps[plan->nsteps++] = step;
}

/* The step that ends a plan. */
static inline StepKind
plshard_last_step(const TaskPlan *plan)
{
	return plan->nsteps > 0 ? plan->steps[plan->nsteps - 1] : STEP_NONE;
}

#endif							/* PLSHARD_PLAN_H */
