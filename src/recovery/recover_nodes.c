/*
 * recover_nodes.c
 *
 * Connections to the nodes of a cluster, for recovery.  Each step of each connection
 * is guarded by a subtransaction of its own, since a node that fails must not
 * end the work on the others.  Connections and messages about nodes live in the context
 * in which plshard_recovery_nodes was called, results in the current one.
 */
#include "postgres.h"

#include "base/guard.h"
#include "connection/remote_error.h"
#include "connection/remote_result.h"
#include "recovery/recover_nodes.h"
#include "utils/memutils.h"

/* How much longer than node_timeout a node may take for a command (ms): it may wait for a lock. */
#define PATIENCE 10000

/* One connection's turn: what is to be done, and what came of it. */
typedef struct Turn
{
	RecoveryNodes *nodes;
	RecoveryNode *node;
	PGresult   *result;
	bool		done;
} Turn;

RecoveryNode *
plshard_recovery_node(RecoveryNodes *nodes, int32 id)
{
	for (int i = 0; i < nodes->n; i++)
	{
		if (nodes->list[i].id == id)
			return &nodes->list[i];
	}
	return NULL;
}

/* Notes which nodes the map has not evicted. */
static void
find_current(RecoveryNodes *nodes)
{
	const ClusterMap *map = nodes->map;
	MemoryContext caller = MemoryContextSwitchTo(nodes->context);
	Bitmapset  *active = NULL;
	Bitmapset  *placed = NULL;

	for (int shard = 0; shard < map->nshards; shard++)
	{
		for (int i = 0; i < map->shards[shard].nplacements; i++)
		{
			int32		id = map->nodes[plshard_placement(map, shard, i)->node].id;

			placed = bms_add_member(placed, id);
			if (i < map->shards[shard].nactive)
				active = bms_add_member(active, id);
		}
	}
	for (int node = 0; node < map->nnodes; node++)
	{
		if (!bms_is_member(map->nodes[node].id, placed))
			active = bms_add_member(active, map->nodes[node].id);
	}
	nodes->current = active;
	MemoryContextSwitchTo(caller);
}

RecoveryNodes *
plshard_recovery_nodes(ClusterMap *map)
{
	RecoveryNodes *nodes = palloc0(sizeof(RecoveryNodes));

	nodes->map = map;
	nodes->context = CurrentMemoryContext;
	nodes->n = map->nnodes;
	nodes->list = palloc0(map->nnodes * sizeof(RecoveryNode));
	for (int i = 0; i < map->nnodes; i++)
	{
		nodes->list[i].id = map->nodes[i].id;
		nodes->list[i].name = map->nodes[i].name;
	}
	find_current(nodes);
	return nodes;
}

void
plshard_recovery_reload(RecoveryNodes *nodes)
{
	nodes->map = plshard_cluster_reload(nodes->map->server_oid);
	find_current(nodes);
}

static void
disconnect(RecoveryNode *node)
{
	if (node->conn != NULL)
		plshard_admin_close(node->conn);
	node->conn = NULL;
}

/* Calls a step of a connection; what it throws is noted as the node's. */
static bool
guarded(void (*step) (void *arg), Turn *turn)
{
	RecoveryNode *node = turn->node;
	ErrorData  *error = plshard_guard(step, turn);
	MemoryContext caller;

	if (error == NULL)
		return true;
	disconnect(node);
	if (plshard_is_cancel(error))
		plshard_rethrow(error);
	caller = MemoryContextSwitchTo(turn->nodes->context);
	node->sqlstate = error->sqlerrcode;
	node->message = error->detail == NULL ? pstrdup(error->message) :
		psprintf("%s: %s", error->message, error->detail);
	MemoryContextSwitchTo(caller);
	FreeErrorData(error);
	return false;
}

static void
start(void *arg)
{
	Turn	   *turn = arg;
	int			node = plshard_cluster_node_by_id(turn->nodes->map, turn->node->id);
	MemoryContext caller;

	if (node < 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("node \"%s\" is not in the cluster any more", turn->node->name)));
	/* the connection is closed with the context that it is started in */
	caller = MemoryContextSwitchTo(turn->nodes->context);
	turn->node->conn = plshard_admin_start(turn->nodes->map, node);
	turn->node->conn->connect_deadline = deadline_min(turn->nodes->deadline,
														 turn->node->conn->connect_deadline);
	MemoryContextSwitchTo(caller);
}

static void
send(void *arg)
{
	Turn	   *turn = arg;
	AdminConnection *conn = turn->node->conn;

	conn->deadline = deadline_min(turn->nodes->deadline,
									 deadline_in(turn->nodes->map->options.node_timeout + PATIENCE));
	plshard_admin_send(conn, turn->node->sql);
}

static void
poll(void *arg)
{
	Turn	   *turn = arg;

	bool		done = plshard_admin_poll(turn->node->conn, &turn->result);

	/* a server that ends reports that as an error like others */
	if (done && PQstatus(turn->node->conn->pg) == CONNECTION_BAD)
		plshard_admin_lost(turn->node->conn);
	turn->done = done;
}

/* Goes on with the connections of "busy" (ids) until each has answered or failed. */
static void
finish(RecoveryNodes *nodes, Bitmapset *busy)
{
	AdminConnection **conns = palloc(nodes->n * sizeof(AdminConnection *));

	for (;;)
	{
		int			nconns = 0;

		for (int i = 0; i < nodes->n; i++)
		{
			Turn		turn = {.nodes = nodes, .node = &nodes->list[i]};

			if (!bms_is_member(turn.node->id, busy))
				continue;
			if (!guarded(poll, &turn) || turn.done)
				busy = bms_del_member(busy, turn.node->id);
			else
				conns[nconns++] = turn.node->conn;
			if (turn.done)
				turn.node->result = turn.result;
		}
		if (nconns == 0)
			break;
		plshard_admin_wait(conns, nconns);
	}
	pfree(conns);
}

void
plshard_recovery_connect(RecoveryNodes *nodes, const Bitmapset *ids)
{
	Bitmapset  *busy = NULL;

	for (int i = 0; i < nodes->n; i++)
	{
		Turn		turn = {.nodes = nodes, .node = &nodes->list[i]};

		if (turn.node->conn != NULL || (ids != NULL && !bms_is_member(turn.node->id, ids)))
			continue;
		turn.node->sqlstate = 0;
		if (guarded(start, &turn))
			busy = bms_add_member(busy, turn.node->id);
	}
	finish(nodes, busy);
}

void
plshard_recovery_run(RecoveryNodes *nodes)
{
	Bitmapset  *busy = NULL;

	for (int i = 0; i < nodes->n; i++)
	{
		Turn		turn = {.nodes = nodes, .node = &nodes->list[i]};

		turn.node->result = NULL;
		if (turn.node->sql == NULL || turn.node->conn == NULL)
			continue;
		turn.node->sqlstate = 0;
		if (guarded(send, &turn))
			busy = bms_add_member(busy, turn.node->id);
	}
	finish(nodes, busy);
	for (int i = 0; i < nodes->n; i++)
		nodes->list[i].sql = NULL;
}

const PGresult *
plshard_recovery_ask(RecoveryNodes *nodes, RecoveryNode *node, const char *sql)
{
	node->sql = sql;
	plshard_recovery_run(nodes);
	return node->result;
}

bool
plshard_recovery_has_rows(RecoveryNode *node, int nrows, int ncolumns, uint32 nullable)
{
	if (PQresultStatus(node->result) != PGRES_TUPLES_OK)
		return false;
	if (plshard_has_shape(node->result, nrows, ncolumns, nullable))
		return true;
	disconnect(node);
	node->sqlstate = ERRCODE_PROTOCOL_VIOLATION;
	node->message = "it returned a result of an unexpected shape";
	node->result = NULL;
	return false;
}

char *
plshard_recovery_reason(const RecoveryNode *node)
{
	const char *message = node->result ?
		plshard_result_text(node->result, PG_DIAG_MESSAGE_PRIMARY) : NULL;

	if (message != NULL)
		return psprintf("Node \"%s\" reports: %s.", node->name, message);
	if (node->sqlstate == 0)
		return psprintf("Node \"%s\" has not answered.", node->name);
	return psprintf("Node \"%s\" cannot be asked: %s.", node->name, node->message);
}

void
plshard_recovery_close(RecoveryNodes *nodes)
{
	for (int i = 0; i < nodes->n; i++)
		disconnect(&nodes->list[i]);
}
