/*
 * read.c
 *
 * A read: one placement of each shard, going on to the next where one fails.
 */
#include "postgres.h"

#include "access/xact.h"
#include "call/answer.h"
#include "call/any_shard.h"
#include "call/read.h"
#include "call/task.h"
#include "call/task_conn.h"
#include "call/watch.h"
#include "common/hashfn.h"
#include "connection/health.h"
#include "connection/node_settings.h"
#include "connection/pipeline.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "recovery/read_history.h"
#include "utils/inval.h"

/* Placements of a shard that a read can go through: bits of Task.tried. */
#define MAX_TRIED 32

/* How often a read is started anew before that is an error. */
#define MAX_RESTARTS 20

/*
 * The placement a read goes to: the highest of a hash of session, shard and
 * node, so that a session sticks to a placement, sessions are spread, and a
 * placement that comes or goes moves only those that must.  Nodes that look
 * dead come last.  -1 where all have been tried.
 */
static int
choose_placement(const ClusterMap *map, int shard, uint32 tried)
{
	int			best = -1;
	bool		best_dead = true;
	uint32		best_score = 0;

	if (map->shards[shard].nactive <= 1)
		return tried || map->shards[shard].nactive == 0 ? -1 : 0;
	for (int i = 0; i < map->shards[shard].nactive && i < MAX_TRIED; i++)
	{
		int			node = plshard_placement(map, shard, i)->node;
		uint32		score;
		bool		dead;

		if (tried & ((uint32) 1 << i))
			continue;
		score = hash_combine(hash_combine(murmurhash32(MyProcPid), murmurhash32(map->nodes[node].id)),
							 murmurhash32((uint32) map->shards[shard].id));
		dead = plshard_node_looks_dead(map, node);
		if (best < 0 || (best_dead && !dead) || (best_dead == dead && score > best_score))
		{
			best = i;
			best_dead = dead;
			best_score = score;
		}
	}
	return best;
}

int
plshard_read_node(const ClusterMap *map, int shard)
{
	int			placement = choose_placement(map, shard, 0);

	return placement < 0 ? -1 : plshard_placement(map, shard, placement)->node;
}

/* Whether a task's rows are to be copied: see copy_rows.h. */
static bool
is_copied(const Execution *e, const NodeConn *conn)
{
	return e->request->by_copy && e->sink->copied_row && e->query->result_format == 1 &&
		!plshard_xact_is_open(conn) && !plshard_reads_in_xact(e) && !conn->session.pooled;
}

/* Makes a read's plan: see plan.h. */
static void
plan_read(Execution *e, Task *task)
{
	NodeConn   *conn = task->conn;
	TaskPlan	   *plan = &task->plan;

	plshard_conn_note_read(conn);
	if (is_copied(e, conn))
	{
		plshard_add_step(plan, STEP_SETTINGS_ALONE);
		plshard_add_step(plan, STEP_COPY);
	}
	else if (plshard_xact_is_open(conn) || plshard_reads_in_xact(e))
	{
		plshard_add_step(plan, STEP_OPEN);
		plshard_add_step(plan, STEP_GUARD);
		plshard_add_step(plan, STEP_SETTINGS);
		plshard_add_step(plan, STEP_CALL);
		plshard_add_step(plan, STEP_UNGUARD);
	}
	else
	{
		plan->settings_apart = e->ntasks > 1;
		plshard_add_step(plan, STEP_SETTINGS);
		plshard_add_step(plan, STEP_READ_ONLY);
		plshard_add_step(plan, STEP_CALL);
	}
}

/* Puts a task on the next placement of its shard, to be sent. */
static void
start_read(Execution *e, Task *task)
{
	const ClusterShard *shard = &e->map->shards[task->shard];
	int			placement;

	plshard_check_active(e->map, task->shard);
	placement = choose_placement(e->map, task->shard, task->tried);
	task->tried |= (uint32) 1 << placement;
	task->node = plshard_placement(e->map, task->shard, placement)->node;
	plshard_reset_task(task, TASK_READY);
	plshard_node_try(e->map, task->node);
	plshard_assign_conn(e, task);
	if (e->deadline != NO_DEADLINE)
	{
		int			left = shard->nactive - pg_popcount32(task->tried);
		Deadline	now = plshard_clock();

		/* an equal share of the time for each placement that is left */
		task->deadline = left > 0 ? now + (e->deadline - now) / (left + 1) : NO_DEADLINE;
	}
	plshard_before_read(e->map, task->shard, task->node, deadline_min(task->deadline, e->deadline));
}

/* ON FAILURE SKIP: the shard is left out, with a warning. */
static void
skip_shard(Execution *e, Task *task)
{
	task->state = TASK_SKIPPED;
	ereport(WARNING,
			(errcode(ERRCODE_CONNECTION_FAILURE),
			 errmsg("shard " INT64_FORMAT " was left out: no placement of it answers",
					e->map->shards[task->shard].id),
			 task->conn && task->conn->io.message ?
			 errdetail_internal("%s", task->conn->io.message) : 0));
}

/*
 * Other reads avoid for a while a node that could not be reached, or has not answered in
 * its share of the time.  A node that has refused the user is not avoided.
 */
static void
note_failure(const Execution *e, const Task *task)
{
	if (!task->conn->io.refused && !task->rejected && !e->expired)
		plshard_node_seen(e->map, task->node, false);
}

/* A plan that went stale in a transaction: back to before the read. */
static void
undo_read(const Task *task)
{
	if (!plshard_xact_is_open(task->conn))
		return;
	plshard_conn_send_plain(task->conn, "ROLLBACK TO SAVEPOINT plshard_read", PENDING_XACT, NULL, 0, false);
	plshard_conn_send_sync(task->conn, NULL);
	plshard_conn_forget_settings(task->conn);
}

/* Tasks that an earlier one's error kept from running: again, if that one runs again. */
static void
finish_not_run(Execution *e)
{
	for (int i = 0; i < e->ntasks; i++)
	{
		Task	   *task = &e->tasks[i];
		bool		again = false;

		if (task->state != TASK_NOT_RUN)
			continue;
		for (int j = 0; j < e->ntasks; j++)
		{
			if (e->tasks[j].conn != task->conn)
				continue;
			if (e->tasks[j].state == TASK_ERROR)
				plshard_throw_task_error(e, &e->tasks[j]);
			again |= e->tasks[j].state == TASK_STALE_PLAN;
		}
		if (!again)
			elog(ERROR, "the transaction on node \"%s\" is in a failed state",
				 e->map->nodes[task->node].name);
		plshard_reset_task(task, TASK_READY);
	}
}

typedef enum ReadVerdict
{
	READ_DONE,
	READ_GO_ON,					/* some tasks are ready to run (again) */
	READ_RESTART				/* rows that have been delivered must be forgotten */
} ReadVerdict;

/* A task has lost its connection: again, elsewhere, or an error. */
static ReadVerdict
finish_lost(Execution *e, Task *task)
{
	if (!e->expired && !task->rejected && plshard_renew_conn(e, task))
		return READ_GO_ON;
	if (plshard_xact_is_lost(task->conn))
		plshard_throw_lost(e, task, "Roll back and try the transaction again.");
	note_failure(e, task);
	if (task->nrows > 0)
	{
		/* its rows cannot be separated from those of others */
		if (e->expired)
			plshard_throw_timeout(e);
		return READ_RESTART;
	}
	if (!e->expired && (choose_placement(e->map, task->shard, task->tried) >= 0 ||
						plshard_try_any_other(e, task)))
	{
		start_read(e, task);
		return READ_GO_ON;
	}
	if (!e->request->skip_failures)
		plshard_throw_lost(e, task, e->map->shards[task->shard].nactive > 1 ?
						   "No other placement of the shard answers." : NULL);
	skip_shard(e, task);
	return READ_DONE;
}

/* Decides, when all tasks have ended, how the read goes on. */
static ReadVerdict
finish_tasks(Execution *e)
{
	ReadVerdict verdict = READ_DONE;
	bool		answered = false;

	finish_not_run(e);
	for (int i = 0; i < e->ntasks; i++)
	{
		Task	   *task = &e->tasks[i];
		ReadVerdict one;

		switch (task->state)
		{
			case TASK_DONE:
				answered = true;
				break;
			case TASK_SKIPPED:
				break;
			case TASK_READY:	/* with another one of its connection */
				verdict = READ_GO_ON;
				break;
			case TASK_ERROR:
				plshard_throw_task_error(e, task);
				break;
			case TASK_STALE_PLAN:
				undo_read(task);
				plshard_reset_task(task, TASK_READY);
				verdict = READ_GO_ON;
				break;
			case TASK_LOST:
				one = finish_lost(e, task);
				if (one == READ_RESTART)
					return one;
				if (one == READ_GO_ON)
					verdict = one;
				break;
			default:
				elog(ERROR, "unexpected state %d of a read", (int) task->state);
		}
	}
	if (verdict == READ_DONE && e->expired && !answered)
		plshard_throw_timeout(e);
	return verdict;
}

/*
 * PROTOCOL rule 22: a placement that was evicted while we read from it may have
 * missed a write that was acknowledged meanwhile.
 */
static bool
read_is_current(Execution *e, ClusterMap **current)
{
	AcceptInvalidationMessages();
	if (!e->map->can_evict || plshard_map_is_current(e->map))
		return true;
	*current = plshard_cluster_map(e->map->ref);
	for (int i = 0; i < e->ntasks; i++)
	{
		const Task *task = &e->tasks[i];
		int			shard;
		bool		active = false;

		if (task->state != TASK_DONE)
			continue;
		shard = plshard_cluster_shard_index(*current, e->map->shards[task->shard].id);
		for (int j = 0; shard >= 0 && j < (*current)->shards[shard].nactive; j++)
		{
			int			node = plshard_placement(*current, shard, j)->node;

			active |= (*current)->nodes[node].id == e->map->nodes[task->node].id;
		}
		if (!active)
			return false;
	}
	return true;
}

/* One try of a read with one map; false where it must start anew. */
static bool
try_read(Execution *e, CallRequest *request)
{
	ReadVerdict verdict;

	e->ntasks = request->ntargets;
	memset(e->tasks, 0, sizeof(Task) * e->ntasks);
	for (int i = 0; i < e->ntasks; i++)
	{
		Task	   *task = &e->tasks[i];

		task->target = i;
		task->shard = request->targets[i].shard;
		task->deliver = true;
		if (request->skip_failures && e->map->shards[task->shard].nactive == 0)
			skip_shard(e, task);
		else
			start_read(e, task);
	}
	do
	{
		plshard_drive(e);
		verdict = finish_tasks(e);
	} while (verdict == READ_GO_ON);
	return verdict == READ_DONE;
}

void
plshard_run_read(CallRequest *request, Execution *e)
{
	uint64		nrows = 0;

	e->plan = plan_read;
	for (int restarts = 0;; restarts++)
	{
		ClusterMap *current = request->map;

		if (restarts > MAX_RESTARTS)
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("cluster \"%s\" changes too often for a read of %s",
							request->map->name, request->function_name)));
		plshard_begin_execution(e, request->map);
		if (try_read(e, request) && read_is_current(e, &current))
			break;
		for (int i = 0; i < e->nconns; i++)
		{
			/* other shards' rows may still be coming */
			if (plshard_conn_awaited(e->conns[i]))
				plshard_conn_close(e->conns[i]);
		}
		plshard_end_execution(e);
		e->sink->reset(e->sink);
		plshard_move_to_map(request, current);
	}
	for (int i = 0; i < e->ntasks; i++)
	{
		if (e->tasks[i].state != TASK_DONE)
			continue;
		nrows += e->tasks[i].nrows;
		plshard_node_seen(e->map, e->tasks[i].node, true);
		plshard_note_read(e->map, e->tasks[i].shard, e->tasks[i].node);
	}
	if (request->sink->query)
		request->sink->query->last_rows = (double) nrows;
	plshard_end_execution(e);
}
