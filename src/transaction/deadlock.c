/*
 * deadlock.c
 *
 * Finds deadlocks between sessions of fronts.  A waiter needs all that it waits for,
 * so every cycle of the wait graph is a deadlock, if its edges exist at the same time:
 * a cycle counts when a second query finds the same waits, which began before the
 * first.
 *
 * All members of a cycle find the same one, and agree on the session that ends it: the
 * greatest of those that wait on a node, since they check, too.  Should that one not end
 * it (its front cannot query all nodes), the next greatest does, somewhat later.
 *
 * Each check has a memory context, and connections that are closed at its end.
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
 * Pauses between checks grow from one deadlock_timeout to so many; to fewer where this
 * session may be in a deadlock, since the one that is to end it must find it soon.
 */
#define MAX_PAUSE 8
#define MAX_BLOCKED_PAUSE 2

/* How often the greatest of a cycle gets the chance to end it, before the next one does. */
#define MAX_YIELDS 2

/* How often a server gets the chance to end a deadlock that its own detector finds. */
#define MAX_SERVER_YIELDS 8

/* How often a session goes on waiting for a lock without being able to query all nodes. */
#define MAX_BLIND_CHECKS 8

/* Which edges a search may use. */
typedef enum SearchRule
{
	EDGES_OF_NODES,				/* without the front's own waits */
	ALL_EDGES
} SearchRule;

static void
collect_in_xact(NodeConn *conn, void *arg)
{
	List	  **conns = arg;

	if (plshard_xact_is_open(conn))
		*conns = lappend(*conns, conn);
}

/* Adds the edges of all nodes that have not been queried. */
static void
complete(WaitGraph *graph, NodeConn *waiting, const List *in_xact, Deadline limit)
{
	ListCell   *cell;

	graph->nodes[0].sql = NULL;	/* was queried alone */
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

/* Whether the waiter of an edge can end a deadlock: it waits on a node. */
static bool
may_end_it(const WaitGraph *graph, const Edge *edge, SearchRule rule)
{
	return edge->on_behalf &&
		(rule == EDGES_OF_NODES || edge->waiter.server == graph->me.server);
}

/*
 * Returns a shortest cycle through this session, as a list of edges, its own first; NIL
 * if there is none.  With "greatest" only a cycle that this session is to end: no other
 * member that may end it is greater.  The edges are sorted.
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
				break;			/* this waiter was visited */
			edge->seen = true;
			if (edge->blocker.pid == 0 ||
				(rule == EDGES_OF_NODES && edge->place == FRONT_ITSELF) ||
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

/* Whether a cycle is of processes of one server, which has a deadlock detector of its own. */
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

/* Whether the same waits still exist. */
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
 * Whether it is this session's turn to end a deadlock: the others that come first have
 * had the time to end it.
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

/* ---- ending one ---- */

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

/* Describes a cycle for the error's detail, one wait a line; palloc'd. */
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

/* Cancels what this session's connections wait for; true where one was cancelled. */
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
 * Ends the deadlock that this session is in, and returns its description; NULL where there
 * is none, or another session ends it.
 */
static char *
find_deadlock(WaitGraph *graph, LockWait *wait, Deadline limit)
{
	SearchRule	rule = EDGES_OF_NODES;
	WaitGraph	later = *graph;
	List	   *cycle;
	List	   *ours;

	plshard_graph_sort(graph);
	cycle = find_cycle(graph, rule, false);
	if (cycle == NIL)
	{
		rule = ALL_EDGES;
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

	/* the edges of different servers need not have existed at one time: query them again */
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
 * Gives up where a node that cannot be queried hides for too long whether this is a
 * deadlock.  The pid makes it unlikely that all its members give up at once.
 */
static void
give_up_if_blind(const WaitGraph *graph, LockWait *wait, const NodeConn *conn)
{
	if (graph->silent == NULL || !plshard_conn_waits_for_lock(conn))
		wait->blind = 0;
	else if (++wait->blind > MAX_BLIND_CHECKS + MyProcPid % 4)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_DEADLOCK_DETECTED),
				 errmsg("gave up waiting for a lock on node \"%s\"", conn->node_name),
				 errdetail("Whether this is a deadlock is not known: the lock waits on node \"%s\" cannot be read.",
						   graph->silent),
				 errhint("Roll back and try the transaction again.")));
}

/*
 * PROTOCOL rule 12: this session waits for a prepared transaction, which its own session
 * may not end any more; it is resolved.
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

/* One check; sets *max_pause to how many deadlock_timeouts may pass until the next one. */
static char *
check_once(WaitGraph *graph, LockWait *wait, NodeConn *conn, Deadline limit, int *max_pause)
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

	/* does this session hold elsewhere what others may wait for? */
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
plshard_check_deadlock(LockWait *wait, NodeConn *conn, Deadline limit)
{
	Deadline	patience = (Deadline) plshard_deadlock_timeout * 1000;
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context;
	WaitGraph	graph = {0};
	char	   *volatile description = NULL;
	int			max_pause;

	if (wait->next_check == NO_DEADLINE)
		wait->next_check = plshard_clock() + patience;
	wait->next_check = Max(wait->next_check, conn->io.last_heard + patience);
	if (!deadline_passed(wait->next_check))
		return NULL;

	context = AllocSetContextCreate(caller, "plshard deadlock", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		description = check_once(&graph, wait, conn, limit, &max_pause);
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

	wait->next_check = plshard_clock() + patience * Min(1 << Min(wait->checks, 10), max_pause);
	wait->checks++;
	return description;
}
