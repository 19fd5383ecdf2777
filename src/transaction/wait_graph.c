/*
 * wait_graph.c
 *
 * Queries nodes, and the front itself, for which of their processes wait for which
 * (pg_locks, pg_blocking_pids).  Everything is allocated in the current memory context;
 * connections are the session's, in a slot of their own (DEADLOCK_SLOT).
 */
#include "postgres.h"

#include "base/guard.h"
#include "catalog/pg_type_d.h"
#include "cluster/gid.h"
#include "connection/connection.h"
#include "connection/pipeline.h"
#include "connection/pump.h"
#include "connection/remote_result.h"
#include "connection/session_key.h"
#include "storage/lock.h"
#include "transaction/wait_graph.h"
#include "utils/array.h"
#include "utils/builtins.h"

/*
 * The waits on a server, and the sessions of fronts for which their processes stand.  A
 * prepared transaction stands for its session, too, which its gid names.
 */
const char plshard_edges_sql[] =
"WITH held AS MATERIALIZED (SELECT * FROM pg_catalog.pg_locks), "
"waiting AS (SELECT pid, pg_catalog.min(waitstart) AS since FROM held"
" WHERE NOT granted AND pid IS NOT NULL GROUP BY pid), "
"prepared AS MATERIALIZED (SELECT h.virtualtransaction AS holder,"
" ('x' || pg_catalog.split_part(p.gid, '_', 4))::bit(32)::pg_catalog.int8 AS front,"
" pg_catalog.split_part(p.gid, '_', 5)::pg_catalog.int8 AS id"
" FROM held h JOIN pg_catalog.pg_prepared_xacts p ON p.transaction = h.transactionid"
" WHERE h.pid IS NULL AND h.locktype = 'transactionid' AND p.gid ~ '^" PLSHARD_GID_PREFIX "[0-9a-f]+_[0-9a-f]+_[0-9a-f]{8}_[0-9]+_'), "
"edge AS MATERIALIZED (SELECT w.pid AS waiter, w.since, b.blocker FROM waiting w,"
" LATERAL (SELECT DISTINCT pg_catalog.unnest(pg_catalog.pg_blocking_pids(w.pid)) AS blocker) b), "
"session AS MATERIALIZED (SELECT pid, pg_catalog.min(classid::pg_catalog.int8)::pg_catalog.int8 AS front,"
" pg_catalog.min(objid::pg_catalog.int8) AS id FROM held JOIN pg_catalog.pg_stat_activity a USING (pid)"
" WHERE a.application_name = 'plshard' AND locktype = 'advisory' AND objsubid = 2"
" AND mode = 'ShareLock' AND granted GROUP BY pid HAVING pg_catalog.count(*) = 1) "
"SELECT c.system_identifier,"
" (EXTRACT(epoch FROM pg_catalog.pg_postmaster_start_time()) * 1000000)::pg_catalog.int8,"
" e.waiter, e.blocker,"
" (EXTRACT(epoch FROM e.since) * 1000000)::pg_catalog.int8,"
" w.front, w.id, COALESCE(b.front, p.front), COALESCE(b.id, p.id) "
"FROM pg_catalog.pg_control_system() c, edge e"
" LEFT JOIN session w ON w.pid = e.waiter LEFT JOIN session b ON b.pid = e.blocker"
" LEFT JOIN LATERAL (SELECT DISTINCT q.front, q.id FROM held t"
" JOIN held h ON (h.locktype, h.database, h.relation, h.page, h.tuple, h.virtualxid, h.transactionid, h.classid, h.objid, h.objsubid)"
" IS NOT DISTINCT FROM (t.locktype, t.database, t.relation, t.page, t.tuple, t.virtualxid, t.transactionid, t.classid, t.objid, t.objsubid)"
" JOIN prepared q ON q.holder = h.virtualtransaction"
" WHERE t.pid = e.waiter AND NOT t.granted AND h.granted AND h.pid IS NULL) p ON e.blocker = 0";

static Edge *
add_edge(WaitGraph *graph)
{
	if (graph->nedges == graph->edges_size)
	{
		graph->edges_size = Max(64, graph->edges_size * 2);
		graph->edges = graph->edges ?
			repalloc_huge(graph->edges, graph->edges_size * sizeof(Edge)) :
			palloc(graph->edges_size * sizeof(Edge));
	}
	memset(&graph->edges[graph->nedges], 0, sizeof(Edge));
	return &graph->edges[graph->nedges++];
}

static int64
int_field(const PGresult *result, int row, int column)
{
	return strtoll(PQgetvalue(result, row, column), NULL, 10);
}

/* Returns the session that a process stands for, in two columns; by default the process itself. */
static Session
session_of(const PGresult *result, int row, int column, int32 server, int pid)
{
	Session		session = {server, pid};

	if (!PQgetisnull(result, row, column))
	{
		session.server = (int32) int_field(result, row, column);
		session.pid = (int32) int_field(result, row, column + 1);
	}
	return session;
}

/* Columns of plshard_edges_sql: since when, and the two sessions. */
#define EDGE_NULLABLE (NULLABLE(4) | NULLABLE(5) | NULLABLE(6) | NULLABLE(7) | NULLABLE(8))

/* Adds the edges that a node has returned. */
static void
take_edges(WaitGraph *graph, int place, const PGresult *result)
{
	for (int row = 0; row < PQntuples(result); row++)
	{
		Edge	   *edge = add_edge(graph);

		edge->place = place;
		edge->server = plshard_server_key(strtoull(PQgetvalue(result, row, 0), NULL, 10),
										  int_field(result, row, 1));
		edge->waiter_pid = (int) int_field(result, row, 2);
		edge->blocker_pid = (int) int_field(result, row, 3);
		edge->since = int_field(result, row, 4);
		edge->waiter = session_of(result, row, 5, edge->server, edge->waiter_pid);
		edge->blocker = session_of(result, row, 7, edge->server, edge->blocker_pid);
		edge->on_behalf = !PQgetisnull(result, row, 5);
	}
}

/* Takes in what a node returns.  A result of another shape is no answer. */
static void
handle_result(NodeConn *conn, Pending *pending, PGresult *result, void *arg)
{
	WaitGraph  *graph = arg;
	AskedNode  *asked = pending->owner;

	if (PQresultStatus(result) == PGRES_PIPELINE_SYNC)
		asked->done = true;
	else if (asked->sql == plshard_edges_sql)
	{
		if (!plshard_has_shape(result, ANY_ROWS, 9, EDGE_NULLABLE))
			return;
		take_edges(graph, asked - graph->nodes, result);
		asked->answered = true;
	}
	else if (plshard_has_shape(result, 1, 1, NULLABLE(0)))
	{
		graph->cancelled |= PQgetvalue(result, 0, 0)[0] == 't';
		asked->answered = true;
	}
}

/* A step of asking the nodes, which plshard_guard runs. */
typedef struct Step
{
	WaitGraph  *graph;
	AskedNode  *asked;
	NodeConn  **conns;
	int			nconns;
	Deadline	deadline;
} Step;

static void
start(void *arg)
{
	AskedNode  *asked = ((Step *) arg)->asked;

	plshard_conn_close(asked->conn);
	plshard_conn_start(asked->conn, asked->map, asked->node);
}

static void
receive(void *arg)
{
	Step	   *step = arg;

	plshard_pump(step->conns, step->nconns, handle_result, step->graph, step->deadline);
}

/*
 * Runs a step.  Where the current user may not connect to a node, or has too many
 * connections, that node is not asked; any other error is thrown.
 */
static void
run_step(void (*function) (void *arg), Step *step)
{
	ErrorData  *error = plshard_guard(function, step);

	if (error == NULL)
		return;
	if (error->sqlerrcode != ERRCODE_S_R_E_PROHIBITED_SQL_STATEMENT_ATTEMPTED &&
		error->sqlerrcode != ERRCODE_INSUFFICIENT_RESOURCES)
		plshard_rethrow(error);
	FreeErrorData(error);
}

void
plshard_graph_ask(WaitGraph *graph, Deadline limit)
{
	NodeConn  **conns = palloc(graph->nnodes * sizeof(NodeConn *));
	Deadline	deadline = deadline_min(limit, deadline_in(graph->nodes[0].map->options.node_timeout));
	int			n;

	for (int i = 0; i < graph->nnodes; i++)
	{
		AskedNode  *asked = &graph->nodes[i];

		if (asked->sql == NULL)
			continue;
		asked->sent = asked->done = asked->answered = false;
		if (asked->conn->io.state != CONN_READY)
			run_step(start, &(Step) {.asked = asked});
	}
	do
	{
		n = 0;
		for (int i = 0; i < graph->nnodes; i++)
		{
			AskedNode  *asked = &graph->nodes[i];
			NodeConn   *conn = asked->conn;

			if (asked->sql == NULL || asked->done)
				continue;
			if (conn->io.state == CONN_READY && !asked->sent)
			{
				asked->sent = true;
				plshard_conn_send_plain(conn, asked->sql, PENDING_WAITS, asked, 0, false);
				plshard_conn_send_sync(conn, asked);
			}
			if (conn->io.state == CONN_READY || conn->io.state == CONN_CONNECTING)
				conns[n++] = conn;
		}
		if (n > 0)
			run_step(receive, &(Step) {.graph = graph, .conns = conns, .nconns = n,
				.deadline = deadline});
	} while (n > 0 && !deadline_passed(deadline));

	for (int i = 0; i < graph->nnodes; i++)
	{
		AskedNode  *asked = &graph->nodes[i];

		if (asked->sql == NULL || asked->answered)
			continue;
		graph->silent = asked->map->nodes[asked->node].name;
		plshard_conn_close(asked->conn);	/* its answer may still come */
	}
	pfree(conns);
}

void
plshard_graph_add_node(WaitGraph *graph, const ClusterMap *map, int node, Oid userid)
{
	AskedNode  *asked;

	for (int i = 0; i < graph->nnodes; i++)
	{
		const NodeConnKey *key = &graph->nodes[i].conn->key;

		if (key->cluster == map->ref && key->node_id == map->nodes[node].id)
			return;
	}
	if (graph->nnodes == graph->nodes_size)
	{
		graph->nodes_size = Max(8, graph->nodes_size * 2);
		graph->nodes = graph->nodes ? repalloc(graph->nodes, graph->nodes_size * sizeof(AskedNode)) :
			palloc(graph->nodes_size * sizeof(AskedNode));
	}
	asked = &graph->nodes[graph->nnodes++];
	memset(asked, 0, sizeof(AskedNode));
	asked->conn = plshard_conn_get_as(map, node, userid, DEADLOCK_SLOT);
	asked->map = map;
	asked->node = node;
	asked->sql = plshard_edges_sql;
}

void
plshard_graph_add_front(WaitGraph *graph)
{
	LockData   *data = GetLockStatusData();

	for (int i = 0; i < data->nelements; i++)
	{
		const LockInstanceData *lock = &data->locks[i];
		Datum	   *blockers;
		int			n;

		if (lock->waitLockMode == NoLock)
			continue;
		deconstruct_array(DatumGetArrayTypeP(DirectFunctionCall1(pg_blocking_pids,
																 Int32GetDatum(lock->pid))),
						  INT4OID, sizeof(int32), true, TYPALIGN_INT, &blockers, NULL, &n);
		for (int j = 0; j < n; j++)
		{
			Edge	   *edge = add_edge(graph);

			edge->place = FRONT_ITSELF;
			edge->server = graph->me.server;
			edge->waiter_pid = lock->pid;
			edge->blocker_pid = DatumGetInt32(blockers[j]);
			edge->since = lock->waitStart;
			edge->waiter = (Session) {edge->server, lock->leaderPid};
			edge->blocker = (Session) {edge->server, edge->blocker_pid};
		}
	}
}

int
plshard_graph_first_edge(const WaitGraph *graph, Session waiter)
{
	int			low = 0;
	int			high = graph->nedges;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (compare_sessions(graph->edges[middle].waiter, waiter) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int
compare_edges(const void *a, const void *b)
{
	return compare_sessions(((const Edge *) a)->waiter, ((const Edge *) b)->waiter);
}

void
plshard_graph_sort(WaitGraph *graph)
{
	if (graph->nedges > 0)
		qsort(graph->edges, graph->nedges, sizeof(Edge), compare_edges);
}

void
plshard_graph_close(const WaitGraph *graph)
{
	for (int i = 0; i < graph->nnodes; i++)
		plshard_conn_close(graph->nodes[i].conn);
}
