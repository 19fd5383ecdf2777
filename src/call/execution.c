/*
 * execution.c
 *
 * The states of an execution and of its tasks.  Allocates nothing.
 */
#include "postgres.h"

#include "access/xact.h"
#include "call/execution.h"

static uint64 call_number = 0;

bool
plshard_reads_in_xact(const Execution *e)
{
	return IsolationUsesXactSnapshot() && !e->map->options.autocommit;
}

void
plshard_begin_execution(Execution *e, ClusterMap *map)
{
	e->map = map;
	e->number = ++call_number;
	e->old_epoch_node = -1;
	e->first_ids = NULL;
}

void
plshard_end_execution(Execution *e)
{
	for (int i = 0; i < e->nconns; i++)
		plshard_conn_set_in_use(e->conns[i], 0);
	e->nconns = 0;
}

int64
plshard_task_path(const Execution *e, const Task *task)
{
	return task->shard < 0 || !e->map->has_shard_schemas ? PATH_BASE : e->map->shards[task->shard].id;
}

void
plshard_reset_task(Task *task, TaskState state)
{
	task->state = state;
	task->synced = false;
	task->sent = false;
	task->described = false;
	task->nrows = 0;
	task->affected = 0;
	memset(&task->digest, 0, sizeof(task->digest));
	task->result = NULL;
	task->error = NULL;
	task->called = false;
	task->prepared = false;
	task->committed = false;
	task->rejected = false;
	task->copy_sql = NULL;
}
