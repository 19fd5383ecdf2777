/*
 * task_conn.c
 *
 * Which connections the tasks of a call use.
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/settings.h"
#include "call/task_conn.h"
#include "connection/connection.h"
#include "connection/receive.h"
#include "transaction/remote_xact.h"

/* The connection's place among those that are waited for; -1 if it is not. */
static int
find_conn(const Execution *e, const NodeConn *conn)
{
	for (int i = 0; i < e->nconns; i++)
	{
		if (e->conns[i] == conn)
			return i;
	}
	return -1;
}

ConnWatch *
plshard_conn_watch(const Execution *e, const NodeConn *conn)
{
	return &e->watches[find_conn(e, conn)];
}

/* Adds a connection to those that are waited for, and marks it as in use. */
static void
add_conn(Execution *e, NodeConn *conn)
{
	if (find_conn(e, conn) >= 0)
		return;
	if (e->conns == NULL)
	{
		e->conns = e->few_conns;
		e->watches = e->few_watches;
		e->conns_size = FEW_CONNS;
	}
	if (e->nconns == e->conns_size)
	{
		NodeConn  **conns = palloc(e->conns_size * 4 * sizeof(NodeConn *));
		ConnWatch  *watches = palloc(e->conns_size * 4 * sizeof(ConnWatch));

		memcpy(conns, e->conns, e->nconns * sizeof(NodeConn *));
		memcpy(watches, e->watches, e->nconns * sizeof(ConnWatch));
		e->conns = conns;
		e->watches = watches;
		e->conns_size *= 4;
	}
	e->conns[e->nconns] = conn;
	memset(&e->watches[e->nconns], 0, sizeof(ConnWatch));
	e->watches[e->nconns].probe_at = NO_DEADLINE;
	e->nconns++;
	plshard_conn_set_in_use(conn, GetCurrentTransactionNestLevel());
}

/* True where an outer call uses it, among the rows of which this one is made. */
static bool
taken(const Execution *e, const NodeConn *conn)
{
	return conn->in_use != 0 && find_conn(e, conn) < 0;
}

/*
 * A write, and a read on a node that the transaction already uses, take the
 * connection with the transaction; other reads any that is free.
 */
void
plshard_assign_conn(Execution *e, Task *task)
{
	NodeConn   *conn = plshard_conn_get(e->map, task->node, 0);
	const char *node_name = e->map->nodes[task->node].name;

	if (plshard_xact_is_lost(conn))
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_FAILURE),
				 errmsg("this transaction's connection to node \"%s\" was lost", node_name),
				 errhint("Roll back and try the transaction again.")));

	if (!e->is_write && !plshard_xact_is_open(conn) && !plshard_reads_in_xact(e))
	{
		int			slots = plshard_max_connections_per_node;

		if (slots > 1)
			conn = plshard_conn_get(e->map, task->node, task->target % slots);
		for (int slot = slots; taken(e, conn); slot++)
			conn = plshard_conn_get(e->map, task->node, slot);
	}
	else if (taken(e, conn))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot use node \"%s\" in this transaction while another call is reading from it",
						node_name)));

	task->conn = conn;
	if (find_conn(e, conn) < 0 && (e->end != END_WITH_CALLER || plshard_writes_alone(e, conn)))
		plshard_conn_look(conn);
	add_conn(e, conn);
	if (conn->io.state == CONN_READY)
		plshard_conn_set_used_before(conn, true);
	else if (conn->io.state == CONN_CLOSED || conn->io.state == CONN_LOST)
		plshard_conn_start(conn, e->map, task->node);
}

bool
plshard_renew_conn(Execution *e, Task *task)
{
	NodeConn   *conn = task->conn;
	bool		lost_work = plshard_xact_is_lost(conn);

	if (!conn->io.used_before || task->renewed ||
		(lost_work && conn->xact.begin_call != e->number))
		return false;
	for (int i = 0; i < e->ntasks; i++)
	{
		const Task *other = &e->tasks[i];

		/* it may have been done, and nothing would undo it */
		if (other->conn == conn && other->state == TASK_LOST && other->sent &&
			plshard_commits_with_call(e, conn))
			return false;
		/* rows of a snapshot that is gone cannot be mixed with a newer one's */
		if (other->conn == conn && !e->is_write &&
			(other->nrows > 0 || (lost_work && other->state == TASK_DONE)))
			return false;
	}

	plshard_xact_forget(conn);
	if (conn->io.state != CONN_CONNECTING)
		plshard_conn_start(conn, e->map, task->node);
	for (int i = 0; i < e->ntasks; i++)
	{
		Task	   *other = &e->tasks[i];

		if (other->conn != conn || other->state == TASK_HELD ||
			(!lost_work && other->state != TASK_LOST && other->state != TASK_READY))
			continue;
		plshard_reset_task(other, TASK_READY);
		other->renewed = true;
		other->wait_locks = false;
	}
	return true;
}
