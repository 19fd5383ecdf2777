/*
 * task.c
 *
 * Drives tasks to their ends: each is sent when its connection is up, and watched until its
 * Sync has come or its connection is lost.  Allocates nothing.
 */
#include "postgres.h"

#include "call/answer.h"
#include "call/send.h"
#include "call/task.h"
#include "call/watch.h"
#include "connection/pump.h"
#include "connection/remote_error.h"

#define OTHER_SERVER "the server is not the one that it was: a backup was restored, or a standby server promoted (plshard.accept_node accepts it if no data is missing)"

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

/*
 * A read leaves the connection alone, since other shards' reads may have no other placement;
 * a write loses it.
 */
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
	plshard_conn_condemn(conn);
}

/* This session ends the deadlock: its waits have been cancelled, and their errors become 40P01. */
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
				else
					plshard_send_task(e, task);
			}
			open |= plshard_task_is_open(task);
		}
		if (!open)
			return;
		wake = plshard_watch_clock(e);
		note_lost(e);
		open = false;
		for (int i = 0; i < e->ntasks && !open; i++)
			open = plshard_task_is_open(&e->tasks[i]);
		if (!open)
			return;
		plshard_pump(e->conns, e->nconns, plshard_take_answer, e, wake);
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
