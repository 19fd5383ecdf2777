/*
 * watch.c
 *
 * Limits how long a call waits, while its tasks run.  Allocates nothing that stays.
 */
#include "postgres.h"

#include "call/watch.h"
#include "connection/health.h"
#include "connection/node_conn.h"
#include "utils/inval.h"

/* How often a write that waits for a lock sees whether the node has been evicted, in milliseconds. */
#define EVICTION_POLL 1000

void
plshard_throw_timeout(const Execution *e)
{
	ereport(ERROR,
			(errcode(ERRCODE_QUERY_CANCELED),
			 errmsg("canceling call of %s due to its TIMEOUT of %d ms",
					e->function_name, e->timeout)));
}

/* Drops a connection that is too slow; trying it again would not help. */
static void
give_up(NodeConn *conn, const char *message)
{
	plshard_conn_set_used_before(conn, false);
	plshard_conn_set_lost(conn, 0, message);
}

bool
plshard_task_is_evicted(const Execution *e, const Task *task)
{
	const ClusterMap *map;

	if (!e->map->can_evict || task->shard < 0)
		return false;
	AcceptInvalidationMessages();
	map = plshard_map_is_current(e->map) ? e->map : plshard_cluster_map_unchecked(e->map->ref);
	return !plshard_cluster_has_active(map, e->map->shards[task->shard].id,
									   e->map->nodes[task->node].id);
}

/*
 * A write that waits for a lock on a node that has been evicted might wait until the
 * node's repair (protocol rule 25).
 */
static Deadline
leave_evicted(Execution *e)
{
	Deadline	again = NO_DEADLINE;

	for (int i = 0; i < e->ntasks; i++)
	{
		Task	   *task = &e->tasks[i];

		if (task->state != TASK_SENT || !task->wait_locks || task->conn->io.state != CONN_READY ||
			!plshard_conn_waits_for_lock(task->conn))
			continue;
		if (e->request != NULL && plshard_task_is_evicted(e, task))
			give_up(task->conn, "the node was evicted");
		else
			again = deadline_in(EVICTION_POLL);
	}
	return again;
}

Deadline
plshard_watch_clock(Execution *e)
{
	Deadline	wake = e->deadline;

	if (deadline_passed(e->deadline))
	{
		if (e->is_write || !e->request->skip_failures)
			plshard_throw_timeout(e);
		e->expired = true;
		for (int i = 0; i < e->ntasks; i++)
		{
			if (plshard_task_is_open(&e->tasks[i]))
				give_up(e->tasks[i].conn, "the call's time is over");
		}
		return plshard_clock();
	}

	for (int i = 0; i < e->ntasks; i++)
	{
		Task	   *task = &e->tasks[i];

		if (!plshard_task_is_open(task) || task->conn->io.state == CONN_LOST || task->deadline == NO_DEADLINE)
			continue;
		if (deadline_passed(task->deadline))
			give_up(task->conn, "the node did not answer in time");
		else
			wake = deadline_min(wake, task->deadline);
	}
	if (e->is_write)
		wake = deadline_min(wake, leave_evicted(e));

	for (int i = 0; i < e->nconns; i++)
	{
		NodeConn   *conn = e->conns[i];
		ConnWatch  *watch = &e->watches[i];
		Deadline	suspicious;
		const char *description;
		int			node;

		if (conn->io.state == CONN_CONNECTING)
		{
			Deadline	limit = conn->io.last_heard + (Deadline) conn->io.connect_timeout * 1000;

			if (deadline_passed(limit))
			{
				give_up(conn, "timeout expired");
				if (conn->io.connect_timeout >= e->map->options.node_timeout)
					plshard_conn_condemn(conn);
			}
			else
				wake = deadline_min(wake, limit);
		}
		if (conn->io.state != CONN_READY || !plshard_conn_awaited(conn))
			continue;

		description = plshard_check_deadlock(&watch->lock_wait, conn, e->deadline);
		if (description)
			e->deadlock = description;
		wake = deadline_min(wake, watch->lock_wait.next_check);

		/* a read with a TIMEOUT leaves a placement in time for the next one by itself */
		if (!e->is_write && e->timeout > 0 && !e->request->any_shard)
			continue;

		suspicious = watch->probe_at;
		if (conn->io.last_heard + (Deadline) e->map->options.node_timeout * 1000 > suspicious)
			suspicious = conn->io.last_heard + (Deadline) e->map->options.node_timeout * 1000;
		if (!deadline_passed(suspicious))
		{
			wake = deadline_min(wake, suspicious);
			continue;
		}
		node = plshard_cluster_node_by_id(e->map, conn->key.node_id);
		if (!plshard_node_answers(e->map, node, conn->key.userid, e->deadline))
		{
			if (deadline_passed(e->deadline))
				return plshard_clock();
			give_up(conn, "the node does not answer");
			plshard_conn_condemn(conn);
			continue;
		}
		/* the node answers, so the query is slow: probe less often */
		watch->silences++;
		watch->probe_at = deadline_in(e->map->options.node_timeout << Min(watch->silences, 4));
		wake = deadline_min(wake, watch->probe_at);
	}
	return wake;
}
