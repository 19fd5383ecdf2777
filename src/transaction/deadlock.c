/*
 * deadlock.c
 *
 * Finds deadlocks between sessions of fronts.  A waiter needs all that it waits for,
 * so every cycle of the wait graph is a deadlock, if its edges exist at the same time:
 * a cycle counts when a second look finds the same waits, which began before the
 * first.
 *
 * All members of a cycle see the same one, and agree on who ends it: the greatest
 * of those that wait on a node, since they look, too.  Should that one not do it
 * (its front cannot ask all nodes), the next greatest does, somewhat later.
 *
 * Each look has a memory context, and connections that are closed when it is done.
 */
#include "postgres.h"

#include "base/settings.h"
#include "connection/connection.h"
#include "connection/session_key.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "recovery/recover.h"
#include "transaction/deadlock.h"
#include "transaction/wait_graph.h"
#include "utils/memutils.h"

/*
 * Pauses between looks grow from one deadlock_timeout to so many; to fewer where we
 * may be in a deadlock, since who is to end one must see it soon.
 */
#define MAX_PAUSE 8
#define MAX_BLOCKED_PAUSE 2

/* How often the greatest of a cycle gets the chance to end it, before the next one does. */
#define MAX_YIELDS 2

/* How often a server gets the chance to end a deadlock that it sees itself. */
#define MAX_SERVER_YIELDS 8

/* How often we go on waiting for a lock without being able to ask all nodes. */
#define MAX_BLIND_LOOKS 8

/* Which edges a search may use. */
typedef enum SearchRule
{
	AS_ALL_SEE_IT,				/* without the front's own waits */
	AS_FRONT_SEES_IT
} SearchRule;

static void
collect_in_xact(NodeConn *conn, void *arg)
{
	List	  **conns = arg;

	if (plshard_xact_is_open(conn))
		*conns = lappend(*conns, conn);
}

/* Asks all nodes that have not been asked, and the front. */
static void
complete(WaitGraph *graph, NodeConn *waiting, const List *in_xact, Deadline limit)
{
	ListCell   *cell;

	graph->nodes[0].sql = NULL;	/* has been asked alone */
	for (int i = 0; i < graph->nodes[0].map->nnodes; i++)
		plshard_graph_add_node(graph, graph->nodes[0].map, i, waiting->key.userid);
	foreach(cell, in_xact)
	{
		NodeConn   *conn = lfirst(cell);
		const ClusterMap *map = plshard_cluster_map_unchecked(conn->key.cluster);

		for (int i = 0; i < map->nnodes; i++)
			plshard_graph_add_node(graph, map, i, conn->key.userid);
	}
	plshard_graph_ask(graph, limit);
}

/* ---- searching ---- */

/* Those that can end a deadlock that everybody sees wait on nodes. */
static bool
may_end_it(const WaitGraph *graph, const Edge *edge, SearchRule rule)
{
	return edge->on_behalf &&
		(rule == AS_ALL_SEE_IT || edge->waiter.server == graph->me.server);
}

/*
 * A shortest cycle through this session, as a list of edges, the first one ours;
 * NIL if there is none.  With "greatest" only one that we are to end: of which
 * nobody else who may do so is greater.  The edges are sorted.
 */
static List *
find_cycle(WaitGraph *graph, SearchRule rule, bool greatest)
{
	int		   *queue = palloc(graph->nedges * sizeof(int));
	int			head = 0;
	int			tail = 0;
	Session		from = graph->me;
	int			parent = -1;
	List	   *cycle = NIL;

	for (int i = 0; i < graph->nedges; i++)
		graph->edges[i].seen = false;
	for (;;)
	{
		for (int i = plshard_graph_first_edge(graph, from);
			 i < graph->nedges && same_session(graph->edges[i].waiter, from); i++)
		{
			Edge	   *edge = &graph->edges[i];

			if (edge->seen)
				break;			/* has been here */
			edge->seen = true;
			if (edge->blocker.pid == 0 ||
				(rule == AS_ALL_SEE_IT && edge->place == FRONT_ITSELF) ||
				(greatest && may_end_it(graph, edge, rule) &&
				 compare_sessions(edge->waiter, graph->me) > 0))
				continue;
			edge->parent = parent;
			queue[tail++] = i;
		}
		if (head == tail)
			break;
		parent = queue[head++];
		from = graph->edges[parent].blocker;
		if (same_session(from, graph->me))
		{
			for (int i = parent; i >= 0; i = graph->edges[i].parent)
				cycle = lcons(&graph->edges[i], cycle);
			break;
		}
	}
	pfree(queue);
	return cycle;
}

/* A cycle of processes of one server: it has a deadlock detector of its own. */
static bool
server_sees_it(const List *cycle)
{
	const Edge *before = llast(cycle);
	ListCell   *cell;

	foreach(cell, cycle)
	{
		const Edge *edge = lfirst(cell);

		if (edge->server != before->server || edge->waiter_pid != before->blocker_pid)
			return false;
		before = edge;
	}
	return true;
}

/* The same waits are still there. */
static bool
still_there(const List *cycle, const WaitGraph *later)
{
	ListCell   *cell;

	foreach(cell, cycle)
	{
		const Edge *edge = lfirst(cell);
		bool		found = false;

		for (int i = plshard_graph_first_edge(later, edge->waiter);
			 i < later->nedges && same_session(later->edges[i].waiter, edge->waiter) && !found; i++)
		{
			const Edge *other = &later->edges[i];

			found = other->place == edge->place && other->waiter_pid == edge->waiter_pid &&
				other->blocker_pid == edge->blocker_pid &&
				other->since == edge->since && edge->since != 0;
		}
		if (!found)
			return false;
	}
	return true;
}

/*
 * Whether it is our turn to end a deadlock, which others should have ended if
 * they saw it.
 */
static bool
is_our_turn(const WaitGraph *graph, const List *cycle, SearchRule rule, LockWait *wait)
{
	int			patience = 0;
	ListCell   *cell;

	if (server_sees_it(cycle))
		patience = MAX_SERVER_YIELDS;
	else
	{
		foreach(cell, cycle)
		{
			const Edge *edge = lfirst(cell);

			if (may_end_it(graph, edge, rule) && compare_sessions(edge->waiter, graph->me) > 0)
				patience += MAX_YIELDS;
		}
	}
	return wait->yields++ >= patience;
}

/* ---- what is done about it ---- */

static void
append_session(StringInfo text, const WaitGraph *graph, Session session, bool is_front)
{
	if (session.server == graph->me.server)
		appendStringInfo(text, "session %d of this front", session.pid);
	else if (is_front)
		appendStringInfo(text, "session %d of front %08x", session.pid, (uint32) session.server);
	else
		appendStringInfo(text, "process %d of the node", session.pid);
}

static char *
describe(const WaitGraph *graph, const List *cycle)
{
	StringInfoData text;
	ListCell   *cell;

	initStringInfo(&text);
	foreach(cell, cycle)
	{
		const Edge *edge = lfirst(cell);
		bool		blocker_is_front = edge->blocker.server != edge->server ||
			edge->blocker.pid != edge->blocker_pid;

		if (text.len > 0)
			appendStringInfoChar(&text, '\n');
		if (edge->place == FRONT_ITSELF)
			appendStringInfoString(&text, "On the front, ");
		else
			appendStringInfo(&text, "On node \"%s\", ", graph->nodes[edge->place].conn->node_name);
		append_session(&text, graph, edge->waiter, edge->on_behalf);
		appendStringInfoString(&text, " waits for ");
		append_session(&text, graph, edge->blocker, blocker_is_front);
		appendStringInfoChar(&text, '.');
	}
	return text.data;
}

/* Ends what our connections wait for, by a cancel request; true where there was something. */
static bool
cancel_waits(WaitGraph *graph, Deadline limit)
{
	for (int node = 0; node < graph->nnodes; node++)
	{
		StringInfoData pids;

		graph->nodes[node].sql = NULL;
		initStringInfo(&pids);
		for (int i = plshard_graph_first_edge(graph, graph->me);
			 i < graph->nedges && same_session(graph->edges[i].waiter, graph->me); i++)
		{
			const Edge *edge = &graph->edges[i];

			if (edge->place == node && edge->on_behalf)
				appendStringInfo(&pids, "%s%d", pids.len > 0 ? ", " : "", edge->waiter_pid);
		}
		if (pids.len > 0)
			graph->nodes[node].sql = psprintf("SELECT pg_catalog.bool_or(pg_catalog.pg_cancel_backend(pid)) "
											 "FROM (SELECT DISTINCT pg_catalog.unnest(ARRAY[%s]) AS pid) p",
											 pids.data);
	}
	plshard_graph_ask(graph, limit);
	return graph->cancelled;
}

void
plshard_throw_deadlock(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_DEADLOCK_DETECTED),
			 errmsg("deadlock detected"),
			 errdetail_internal("%s", detail),
			 errhint("Roll back and try the transaction again.")));
}

/*
 * The deadlock that this session is in and has to end, or NULL: there is none, or
 * another one ends it.
 */
static char *
find_deadlock(WaitGraph *graph, LockWait *wait, Deadline limit)
{
	SearchRule	rule = AS_ALL_SEE_IT;
	WaitGraph	later = *graph;
	List	   *cycle;
	List	   *ours;

	plshard_graph_sort(graph);
	cycle = find_cycle(graph, rule, false);
	if (cycle == NIL)
	{
		rule = AS_FRONT_SEES_IT;
		cycle = find_cycle(graph, rule, false);
	}
	if (cycle == NIL)
	{
		wait->yields = 0;
		return NULL;
	}
	ours = find_cycle(graph, rule, true);
	if (ours != NIL)
		cycle = ours;

	/* what was gathered here and there need not have been true at one time: look again */
	later.edges = NULL;
	later.nedges = later.edges_size = 0;
	for (int i = 0; i < graph->nnodes; i++)
		graph->nodes[i].sql = graph->nodes[i].answered ? plshard_edges_sql : NULL;
	plshard_graph_ask(&later, limit);
	plshard_graph_add_front(&later);
	plshard_graph_sort(&later);
	if (!still_there(cycle, &later) || !is_our_turn(graph, cycle, rule, wait))
		return NULL;

	if (!cancel_waits(&later, limit))
		plshard_throw_deadlock(describe(graph, cycle));
	return describe(graph, cycle);
}

/*
 * We cannot see whether we are in a deadlock.  The pid makes it unlikely that all of
 * its members give up at once.
 */
static void
give_up_if_blind(const WaitGraph *graph, LockWait *wait, const NodeConn *conn)
{
	if (graph->silent == NULL || !plshard_conn_waits_for_lock(conn))
		wait->blind = 0;
	else if (++wait->blind > MAX_BLIND_LOOKS + MyProcPid % 4)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_DEADLOCK_DETECTED),
				 errmsg("gave up waiting for a lock on node \"%s\"", conn->node_name),
				 errdetail("Whether this is a deadlock is not known: the lock waits on node \"%s\" cannot be read.",
						   graph->silent),
				 errhint("Roll back and try the transaction again.")));
}

/*
 * PROTOCOL rule 12: we wait behind a prepared transaction, which its own session may
 * not end any more.
 */
static void
resolve_prepared(const ClusterMap *map, int node, LockWait *wait)
{
	char	   *message;

	if (!map->has_node_schema || plshard_recover_node(map, node, false, NO_DEADLINE, &message) ||
		message == NULL || wait->warned)
		return;
	ereport(WARNING,
			(errmsg("a call waits for a transaction in doubt on node \"%s\"", map->nodes[node].name),
			 errdetail_internal("%s", message)));
	wait->warned = true;
}

/* One look; sets *max_pause to how many deadlock_timeouts may pass until the next one. */
static char *
look_once(WaitGraph *graph, LockWait *wait, NodeConn *conn, Deadline limit, int *max_pause)
{
	const ClusterMap *map = plshard_cluster_map_unchecked(conn->key.cluster);
	int			node = plshard_cluster_node_by_id(map, conn->key.node_id);
	List	   *in_xact = NIL;
	bool		blocked;
	bool		blocking = false;
	bool		behind_prepared = false;

	*max_pause = MAX_PAUSE;
	if (node < 0)
		return NULL;
	graph->me = (Session) {plshard_front_key(), MyProcPid};

	plshard_graph_add_node(graph, map, node, conn->key.userid);
	plshard_graph_ask(graph, limit);
	blocked = graph->silent != NULL && plshard_conn_waits_for_lock(conn);
	for (int i = 0; i < graph->nedges; i++)
	{
		const Edge *edge = &graph->edges[i];

		if (!same_session(edge->waiter, graph->me))
			continue;
		blocked = true;
		behind_prepared |= edge->blocker_pid == 0;
	}
	if (!blocked)
		return NULL;
	if (behind_prepared)
	{
		*max_pause = MAX_BLOCKED_PAUSE;
		resolve_prepared(map, node, wait);
	}

	/* do we hold what others may wait for, elsewhere? */
	plshard_conn_each(collect_in_xact, &in_xact);
	in_xact = list_delete_ptr(in_xact, conn);
	plshard_graph_add_front(graph);
	for (int i = 0; i < graph->nedges; i++)
		blocking |= graph->edges[i].place == FRONT_ITSELF && same_session(graph->edges[i].blocker, graph->me);
	if (in_xact == NIL && !blocking)
		return NULL;

	*max_pause = MAX_BLOCKED_PAUSE;
	complete(graph, conn, in_xact, limit);
	give_up_if_blind(graph, wait, conn);
	return find_deadlock(graph, wait, limit);
}

char *
plshard_look_for_deadlock(LockWait *wait, NodeConn *conn, Deadline limit)
{
	Deadline	patience = (Deadline) plshard_deadlock_timeout * 1000;
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context;
	WaitGraph	graph = {0};
	char	   *volatile description = NULL;
	int			max_pause;

	if (wait->look_at == NO_DEADLINE)
		wait->look_at = plshard_clock() + patience;
	wait->look_at = Max(wait->look_at, conn->io.last_heard + patience);
	if (!deadline_passed(wait->look_at))
		return NULL;

	context = AllocSetContextCreate(caller, "plshard deadlock", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		description = look_once(&graph, wait, conn, limit, &max_pause);
	}
	PG_CATCH();
	{
		plshard_graph_close(&graph);
		PG_RE_THROW();
	}
	PG_END_TRY();
	plshard_graph_close(&graph);
	MemoryContextSwitchTo(caller);
	if (description)
		description = pstrdup(description);
	MemoryContextDelete(context);

	wait->look_at = plshard_clock() + patience * Min(1 << Min(wait->looks, 10), max_pause);
	wait->looks++;
	return description;
}
