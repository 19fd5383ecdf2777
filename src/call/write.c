/*
 * write.c
 *
 * A write: every active placement of its shards, in the order of PROTOCOL rules
 * 1 to 3, and without the nodes that have to be evicted (rules 16 and 17).
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/settings.h"
#include "call/answer.h"
#include "call/any_shard.h"
#include "call/call_id.h"
#include "call/compare.h"
#include "call/early_prepare.h"
#include "call/node_values.h"
#include "call/task.h"
#include "call/task_conn.h"
#include "call/watch.h"
#include "call/write.h"
#include "call/write_locks.h"
#include "cluster/node_schema.h"
#include "connection/admin_connection.h"
#include "connection/health.h"
#include "connection/node_settings.h"
#include "connection/remote_error.h"
#include "connection/remote_result.h"
#include "miscadmin.h"
#include "registry/eviction.h"
#include "registry/registry.h"
#include "transaction/front_xact.h"
#include "transaction/remote_xact.h"
#include "transaction/written_shards.h"
#include "utils/inval.h"

/* How often a write is started anew before that is an error. */
#define MAX_RESTARTS 20

/* Milliseconds that a running repair gets to write the nodes' epoch in the registry. */
#define EPOCH_PATIENCE 1000
#define EPOCH_POLL 20

/* ---- plans ---- */

/* Sets how the write ends, and with that what is sent. */
static void
set_end(Execution *e, WriteEnd end)
{
	e->end = end;
	e->query = end == END_WITH_CALLER ? e->request->query : e->request->one_shot;
}

/* How the batch of a write begins. */
static void
plan_beginning(Execution *e, Task *task)
{
	TaskPlan	   *plan = &task->plan;

	task->savepoint = 0;
	if (plshard_writes_alone(e, task->conn))
		plan->may_write = plan->settings_apart = true;
	else if (e->end == END_WITH_CALL && !e->query->is_procedure)
	{
		/* without BEGIN it is a transaction all the same, up to the Sync */
		plan->may_write = plshard_conn_stays_writable(task->conn);
		if (!plan->may_write)
			plshard_add_step(plan, STEP_READ_WRITE);
	}
	else
		plshard_add_step(plan, STEP_BEGIN);
	plshard_add_step(plan, STEP_SETTINGS);
}

/* What ends the transaction on its node, or prepares that. */
static void
plan_tail(Execution *e, Task *task)
{
	if (e->end == END_WITH_CALL && e->query->is_procedure)
		plshard_add_step(&task->plan, STEP_COMMIT);
	else if (e->early)
		plshard_add_step(&task->plan, task == &e->tasks[0] ? STEP_CONSTRAINTS : STEP_PREPARE);
}

/* Makes a write's plan: see plan.h. */
static void
plan_write(Execution *e, Task *task)
{
	TaskPlan	   *plan = &task->plan;
	bool		with_locks = e->map->has_locks && !plshard_writes_alone(e, task->conn);
	bool		takes_locks = with_locks && plshard_call_takes_locks(e, task);

	/* to convert its text could fail when it has been committed */
	if (e->end == END_WITH_CALL && e->query->returns_text && !task->conn->session.same_encoding)
		set_end(e, END_WITH_CALLER);
	plan_beginning(e, task);
	if (with_locks)
		plshard_add_step(plan, takes_locks ? STEP_LOCKS_TO_PARSE : STEP_LOCKS);
	if (e->request->targets[task->target].is_stored)
	{
		plshard_add_step(plan, STEP_FETCH);
		return;
	}
	if (e->request->call_id)
		plshard_add_step(plan, STEP_LOOKUP);
	if (e->map->has_node_schema)
		plshard_add_step(plan, STEP_VALUES);
	plshard_add_step(plan, takes_locks ? STEP_LOCKED_CALL : STEP_CALL);
	plan_tail(e, task);
}

static void
plan_store(Execution *e, Task *task)
{
	plshard_add_step(&task->plan, STEP_STORE);
}

static void
plan_admin(Execution *e, Task *task)
{
	plan_beginning(e, task);
	if (e->map->has_locks && e->admin[task->target].lock_shard && !plshard_writes_alone(e, task->conn))
		plshard_add_step(&task->plan, STEP_LOCKS);
	plshard_add_step(&task->plan, STEP_STATEMENTS);
}

/* ---- failures ---- */

/* Rolls back the work and the locks of all tasks from the first-th on. */
static void
undo_from(Execution *e, int first)
{
	for (int i = 0; i < e->nconns; i++)
	{
		for (int j = first; j < e->ntasks; j++)
		{
			Task	   *task = &e->tasks[j];

			if (task->conn == e->conns[i] && task->sent)
			{
				plshard_xact_undo_call(task->conn, task->savepoint);
				break;			/* undoes the later ones on it, too */
			}
		}
	}
	for (int j = first; j < e->ntasks; j++)
		plshard_reset_task(&e->tasks[j], TASK_HELD);
}

/* PROTOCOL rule 17: what a node alone among the replicas may not fail with. */
static bool
is_node_trouble(int sqlstate)
{
	int			class = ERRCODE_TO_CATEGORY(sqlstate);

	return class == ERRCODE_TO_CATEGORY(ERRCODE_INSUFFICIENT_RESOURCES) ||
		class == ERRCODE_TO_CATEGORY(ERRCODE_SYSTEM_ERROR) ||
		class == ERRCODE_TO_CATEGORY(ERRCODE_INTERNAL_ERROR) ||
		sqlstate == ERRCODE_ADMIN_SHUTDOWN || sqlstate == ERRCODE_CRASH_SHUTDOWN ||
		sqlstate == ERRCODE_CANNOT_CONNECT_NOW || sqlstate == ERRCODE_READ_ONLY_SQL_TRANSACTION;
}

/* True where all other replicas of the task's shard have done the call. */
static bool
failed_alone(const Execution *e, const Task *task)
{
	int			done = 0;

	for (int i = 0; i < e->ntasks; i++)
	{
		if (e->tasks[i].target != task->target || &e->tasks[i] == task)
			continue;
		if (e->tasks[i].state != TASK_DONE)
			return false;
		done++;
	}
	return done > 0;
}

/* Throws 08007: a write that commits by itself was sent, and its answer has not come. */
pg_noreturn static void
throw_cut_off(const Execution *e, const Task *task, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_TRANSACTION_RESOLUTION_UNKNOWN),
			 errmsg("whether node \"%s\" has committed a write is not known",
					e->map->nodes[task->node].name),
			 detail ? errdetail_internal("%s", detail) : 0,
			 errhint("Read back whether it was done before trying it again."),
			 errcontext("plshard function %s", e->function_name)));
}

/* Throws that a task's node is lost, where no replica can replace it. */
static void
throw_unreplaceable(const Execution *e, const Task *task)
{
	if (!task->sent || !plshard_commits_with_call(e, task->conn))
		plshard_throw_lost(e, task, NULL);
	throw_cut_off(e, task, task->conn->io.message);
}

/*
 * A node failed, not the call: evicts it if it may be evicted, so that the call
 * can start anew without it; throws otherwise.
 */
static void
evict_or_throw(Execution *e, Task *task, bool failed)
{
	char	   *message;
	NodeConn   *conn = task->conn;
	NodeVerdict verdict;

	if (e->request == NULL || !e->map->can_evict || (e->end == END_WITH_CALL && task->sent))
		throw_unreplaceable(e, task);
	if (plshard_task_is_evicted(e, task))
	{
		/* by another session: the node may well be there again */
		plshard_xact_leave(conn);
		return;
	}
	verdict = conn->io.refused ? NODE_ANSWERS :
		plshard_judge_node(e->map, task->node, conn->key.userid,
						   failed ? NODE_FAILED : conn->io.condemned ? NODE_SILENT : NODE_SUSPECT,
						   e->deadline, &message);
	switch (verdict)
	{
		case NODE_EVICTED:
			plshard_xact_leave(conn);
			return;
		case NODE_UNDECIDED:
			plshard_throw_timeout(e);
			break;
		case NODE_ANSWERS:
			plshard_throw_lost(e, task, conn->io.sqlstate ? NULL :
							   "The node answers again: try the transaction again.");
			break;
		case NODE_IS_LAST:
		case NODE_NOT_EVICTED:
			if (task->error)
				plshard_throw_task_error(e, task);
			plshard_throw_lost(e, task, message);
			break;
	}
}

/*
 * RUN ON ANY, and the node could not even be connected to: on another shard's.  Not
 * where replicas have taken locks, in the order of the tasks.
 */
static bool
write_elsewhere(Execution *e, Task *task)
{
	if (task->shard < 0 || task->sent || plshard_xact_is_lost(task->conn) || e->map->shards[task->shard].nactive > 1 ||
		(e->ntasks > 1 && e->map->has_locks))
		return false;
	if (!task->conn->io.refused)
		plshard_node_seen(e->map, task->node, false);
	if (!plshard_try_any_other(e, task))
		return false;
	task->node = plshard_placement(e->map, task->shard, 0)->node;
	plshard_reset_task(task, TASK_READY);
	plshard_node_try(e->map, task->node);
	plshard_assign_conn(e, task);
	return true;
}

typedef enum WriteVerdict
{
	WRITE_DONE,
	WRITE_GO_ON,				/* some tasks are ready to run (again) */
	WRITE_RESTART				/* with a fresh map */
} WriteVerdict;

/* The replicas of each shard must have returned the same rows, and changed as many. */
static bool
replicas_agree(const Execution *e)
{
	if (e->request == NULL || !plshard_compare_results)
		return true;
	for (int i = 1; i < e->ntasks; i++)
	{
		const Task *task = &e->tasks[i];
		const Task *first = &e->tasks[i - 1];
		char	   *difference;

		if (task->target != first->target ||
			(plshard_digest_equal(&task->digest, &first->digest) &&
			 task->affected == first->affected))
			continue;
		difference = plshard_find_difference(e, first, task);
		if (difference == NULL)
			continue;

		/* a placement that was evicted while we waited for a lock has missed something */
		AcceptInvalidationMessages();
		if (!plshard_map_is_current(e->map))
			return false;
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("nodes \"%s\" and \"%s\" returned different results for shard " INT64_FORMAT,
						e->map->nodes[first->node].name, e->map->nodes[task->node].name,
						e->map->shards[task->shard].id),
				 errdetail_internal("%s", difference),
				 errhint("Nothing was written. A replicated write may depend only on its arguments and on rows of its key: pass now(), random() and the like as arguments or by LET."),
				 errcontext("plshard function %s", e->function_name)));
	}
	return true;
}

/*
 * Results that are known under the call's id become those of the call.  False where
 * one has gone.
 */
static bool
take_known_results(Execution *e)
{
	for (int i = 0; i < e->ntasks; i++)
	{
		Task	   *task = &e->tasks[i];
		CallTarget *target = &e->request->targets[task->target];

		if (!target->is_stored)
			continue;
		task->result = plshard_read_stored_result(e, task);
		if (task->result == NULL)
		{
			target->is_stored = false;
			return false;
		}
	}
	return true;
}

/* Keeps the results of a call with an id on all replicas; WRITE_DONE, or WRITE_RESTART. */
static WriteVerdict
store_results(Execution *e)
{
	if (!take_known_results(e))
		return WRITE_RESTART;
	for (int i = 0; i < e->ntasks; i++)
	{
		Task	   *task = &e->tasks[i];

		if (e->request->targets[task->target].is_stored)
			continue;
		if (task->deliver)
			plshard_make_stored_result(e, task);
		task->state = TASK_READY;
		task->synced = false;
	}
	e->plan = plan_store;
	plshard_drive(e);
	e->plan = plan_write;

	for (int i = 0; i < e->ntasks; i++)
	{
		Task	   *task = &e->tasks[i];

		switch (task->state)
		{
			case TASK_DONE:
				continue;
			case TASK_CALL_KNOWN:
				plshard_throw_call_id_used(e->request->call_id);
				break;
			case TASK_LOST:
				evict_or_throw(e, task, false);
				return WRITE_RESTART;
			case TASK_ERROR:
				if (!is_node_trouble(plshard_result_sqlstate(task->error)) || !failed_alone(e, task))
					plshard_throw_task_error(e, task);
				evict_or_throw(e, task, true);
				return WRITE_RESTART;
			default:
				elog(ERROR, "unexpected state %d of a stored result", (int) task->state);
		}
	}
	return WRITE_DONE;
}

/* Gives the rows of each shard to the sink. */
static void
deliver_results(Execution *e)
{
	for (int i = 0; i < e->ntasks; i++)
	{
		if (e->tasks[i].deliver && e->tasks[i].result)
			plshard_deliver(e, &e->tasks[i], e->tasks[i].result);
	}
}

/*
 * Commits a call whose second replica has prepared, where all is well: true.  Else nothing
 * is prepared any more, and it is finished as other writes are; but *restart means that
 * it has to start anew, though all its tasks are done.
 */
static bool
finish_early(Execution *e, bool *restart)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool agree = false;

	for (int i = 0; i < e->ntasks; i++)
	{
		if (e->tasks[i].state == TASK_DONE)
			continue;
		if (plshard_early_is_open(e))
			plshard_early_take_back(e);
		e->early = NULL;
		*restart = plshard_early_refused(e);
		return false;
	}
	PG_TRY();
	{
		agree = replicas_agree(e);
		if (agree)
			deliver_results(e);
	}
	PG_CATCH();
	{
		plshard_early_fail(e, context);
	}
	PG_END_TRY();
	if (agree)
		plshard_early_commit(e);
	else
		plshard_early_take_back(e);
	*restart = !agree;
	return agree;
}

/* Decides, when all tasks have ended, how the write goes on. */
static WriteVerdict
finish_tasks(Execution *e)
{
	bool		known = false;
	bool		restart = false;

	if (e->early && finish_early(e, &restart))
		return WRITE_DONE;
	if (restart)
		return WRITE_RESTART;
	for (int i = 0; i < e->ntasks; i++)
	{
		Task	   *task = &e->tasks[i];

		if (task->state != TASK_LOST)
			continue;
		if (plshard_renew_conn(e, task) || write_elsewhere(e, task))
			return e->end == END_PREPARED ? WRITE_RESTART : WRITE_GO_ON; /* the others are rolled back */
		evict_or_throw(e, task, false);
		return WRITE_RESTART;
	}
	for (int i = 0; i < e->ntasks; i++)
	{
		if (e->tasks[i].state == TASK_OLD_EPOCH)
		{
			e->old_epoch_node = e->tasks[i].node;
			return WRITE_RESTART;
		}
		if (e->tasks[i].state == TASK_OUT_OF_IDS)
		{
			if (!plshard_raise_id_limit(e))
				plshard_throw_task_error(e, &e->tasks[i]);
			return WRITE_RESTART;
		}
		if (e->tasks[i].state == TASK_CALL_KNOWN)
		{
			e->request->targets[e->tasks[i].target].is_stored = true;
			known = true;
		}
	}
	if (known)
		return WRITE_RESTART;

	/* in the lock order, the first that is not done decides */
	for (int i = 0; i < e->ntasks; i++)
	{
		Task	   *task = &e->tasks[i];

		switch (task->state)
		{
			case TASK_DONE:
				continue;
			case TASK_STALE_PLAN:
				if (!plshard_writes_alone(e, task->conn))
					return WRITE_RESTART;
				/* what others have done stays done */
				plshard_reset_task(task, TASK_READY);
				return WRITE_GO_ON;
			case TASK_ERROR:
				if (is_node_trouble(plshard_result_sqlstate(task->error)) &&
					e->request && failed_alone(e, task))
				{
					evict_or_throw(e, task, true);
					return WRITE_RESTART;
				}
				plshard_throw_task_error(e, task);
				break;
			case TASK_LOCKED_OUT:
			case TASK_NOT_RUN:
				if (task->wait_locks)
					elog(ERROR, "the transaction on node \"%s\" is in a failed state",
						 e->map->nodes[task->node].name);
				/* from here on one by one, waiting: PROTOCOL rule 2 */
				if (e->end == END_WITH_CALL)
					set_end(e, END_WITH_CALLER);
				undo_from(e, i);
				/* FALLTHROUGH */
			case TASK_HELD:
				if (task->shard >= 0)
					plshard_xact_refuse_own_locks(e->map, task->shard);
				task->wait_locks = true;
				task->state = TASK_READY;
				return WRITE_GO_ON;
			default:
				elog(ERROR, "unexpected state %d of a write", (int) task->state);
		}
	}
	if (!replicas_agree(e))
		return WRITE_RESTART;
	return e->request && e->request->call_id ? store_results(e) : WRITE_DONE;
}

/* All replicas have done the call: it is part of the transaction now. */
static void
finish_write(Execution *e)
{
	/* backwards: the oldest savepoint of each connection remains */
	for (int i = e->ntasks - 1; i >= 0; i--)
		plshard_xact_end_call(e->tasks[i].conn, e->tasks[i].savepoint);
	for (int i = 0; i < e->ntasks; i++)
	{
		plshard_node_seen(e->map, e->tasks[i].node, true);
		/* also where the connection was lost behind the last answer: the commit must miss it */
		if (e->tasks[i].shard >= 0 && e->tasks[i].conn->xact.depth > 0)
			plshard_xact_wrote(e->map, e->tasks[i].shard);
	}
	plshard_end_execution(e);
}

/* Throws 0A000 above READ COMMITTED (PROTOCOL rule 4). */
static void
check_may_write(const ClusterMap *map, int shard)
{
	if (IsolationUsesXactSnapshot() && map->shards[shard].nactive > 1)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot write to replicated shards in a transaction above READ COMMITTED"),
				 errhint("Use BEGIN ISOLATION LEVEL READ COMMITTED.")));
}

/*
 * A one-shot call cannot be rolled back once it is on its way: where a cancel or the end of its
 * time cuts it off, its outcome is unknown (PROTOCOL rule 15).
 */
static void
drive_one_shot(Execution *e)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		plshard_drive(e);
	}
	PG_CATCH();
	{
		const Task *task = &e->tasks[0];
		ErrorData  *error;

		if (!task->sent || task->state != TASK_SENT)
			PG_RE_THROW();
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		throw_cut_off(e, task, error->message);
	}
	PG_END_TRY();
}

/* One try of a write with one map; false where it must start anew. */
static bool
try_write(Execution *e)
{
	for (int i = 0; i < e->ntasks; i++)
		plshard_assign_conn(e, &e->tasks[i]);
	if (e->end == END_PREPARED && !plshard_early_begin(e))
		set_end(e, END_WITH_CALLER);
	for (;;)
	{
		bool		early = e->early != NULL;

		if (e->end == END_WITH_CALL)
			drive_one_shot(e);
		else if (early)
			plshard_early_drive(e);
		else
			plshard_drive(e);
		switch (finish_tasks(e))
		{
			case WRITE_DONE:
				finish_write(e);
				if (e->end == END_WITH_CALL || early)
					plshard_xact_committed_by_call();
				if (!early)
					deliver_results(e);
				return true;
			case WRITE_RESTART:
				undo_from(e, 0);
				plshard_end_execution(e);
				return false;
			case WRITE_GO_ON:
				break;
		}
	}
}

/* The newest epoch that a node has seen. */
static int64
epoch_of_node(const ClusterMap *map, int node)
{
	AdminConnection *conn = plshard_admin_open(map, node);
	PGresult   *result = plshard_admin_query(conn,
											 psprintf("SELECT last_value FROM %s",
														plshard_epoch_sequence(map)), 0, NULL);
	int64		epoch;

	plshard_check_shape(result, conn->node_name, 1, 1, 0);
	epoch = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
	plshard_admin_close(conn);
	return epoch;
}

/*
 * A map with which a write can go on after a node has refused an outdated one.  A
 * repair that is under way raises the registry's epoch right after the nodes'.  One that
 * died in between never does: then it is raised here.
 */
static ClusterMap *
newer_map(const Execution *e)
{
	const ClusterMap *old = e->map;
	Deadline	patience = deadline_in(EPOCH_PATIENCE);
	ClusterMap *map;
	char	   *message;

	for (;;)
	{
		map = plshard_cluster_reload(old->server_oid);
		if (map->epoch != old->epoch)
			return map;
		if (deadline_passed(e->deadline))
			plshard_throw_timeout(e);
		if (deadline_passed(patience))
			break;
		plshard_wait(NULL, 0, deadline_min(e->deadline, deadline_in(EPOCH_POLL)));
	}

	if (plshard_registry_advance(old, epoch_of_node(old, e->old_epoch_node),
								 &message) == REGISTRY_FAILED)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("could not raise the epoch of cluster \"%s\" to that of its nodes", old->name),
				 message ? errdetail_internal("%s", message) : 0));
	return plshard_cluster_reload(old->server_oid);
}

/* One task for each active placement, in the lock order. */
static void
make_tasks(Execution *e, const CallRequest *request)
{
	int			n = 0;

	for (int i = 0; i < request->ntargets; i++)
	{
		plshard_check_active(e->map, request->targets[i].shard);
		check_may_write(e->map, request->targets[i].shard);
		n += e->map->shards[request->targets[i].shard].nactive;
	}
	e->ntasks = n;
	e->tasks = palloc0(sizeof(Task) * n);
	n = 0;
	for (int i = 0; i < request->ntargets; i++)
	{
		int			shard = request->targets[i].shard;

		for (int j = 0; j < e->map->shards[shard].nactive; j++)
		{
			Task	   *task = &e->tasks[n++];

			task->target = i;
			task->shard = shard;
			task->node = plshard_placement(e->map, shard, j)->node;
			task->deliver = j == 0;
		}
	}
}

/* Whether the call's only node can commit with it, so far as the front can decide that. */
static bool
one_shot_applies(const Execution *e)
{
	const RemoteQuery *one_shot = e->request->one_shot;

	return one_shot != NULL && !e->one_shot_refused && e->ntasks == 1 &&
		!e->map->options.autocommit && !plshard_remote_xact_is_open() &&
		!(e->map->options.disable_binary && one_shot->result_format == 1);
}

void
plshard_run_write(CallRequest *request, Execution *e)
{
	PreventCommandIfReadOnly("a plshard write");
	e->plan = plan_write;

	for (int restarts = 0;; restarts++)
	{
		if (restarts > MAX_RESTARTS)
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("cluster \"%s\" changes too often for a write of %s",
							request->map->name, request->function_name)));
		plshard_begin_execution(e, request->map);
		make_tasks(e, request);
		set_end(e, one_shot_applies(e) ? END_WITH_CALL :
				plshard_early_applies(e) ? END_PREPARED : END_WITH_CALLER);
		if (try_write(e))
		{
			if (e->one_shot_refused)
				request->one_shot = NULL;
			return;
		}
		AcceptInvalidationMessages();
		plshard_move_to_map(request, e->old_epoch_node >= 0 ? newer_map(e) :
							plshard_cluster_map_unchecked(request->map->ref));
	}
}

void
plshard_run_admin(Execution *e)
{
	PreventCommandIfReadOnly("a change of a plshard cluster");
	e->plan = plan_admin;
	plshard_begin_execution(e, e->map);
	if (!try_write(e))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("cluster \"%s\" was changed by another session", e->map->name),
				 errhint("Try again.")));
}
