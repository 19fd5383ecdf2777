/*
 * wait_graph.h
 *
 * Which sessions wait for which, on the nodes of clusters and on this front.  A process
 * that holds the key of a front's session (session_key.h) stands for that session, any
 * other one for itself, so that the edges of all servers make one graph.
 */
#ifndef PLSHARD_WAIT_GRAPH_H
#define PLSHARD_WAIT_GRAPH_H

#include "connection/node_conn.h"

/* A session of a front or another process of a server: the server's key, the process id. */
typedef struct Session
{
	int32		server;
	int32		pid;
} Session;

#define FRONT_ITSELF (-1)

typedef struct Edge
{
	Session		waiter;
	Session		blocker;
	bool		on_behalf;		/* the waiter waits through a connection of its front's */
	int			place;			/* index of the node that was queried, or FRONT_ITSELF */
	int32		server;			/* the key of that server */
	int			waiter_pid;		/* the processes there */
	int			blocker_pid;	/* 0: a prepared transaction */
	int64		since;			/* when it began to wait, in us; 0: unknown */
	bool		seen;			/* by the search that is under way */
	int			parent;			/* the edge that led to it, or -1 */
} Edge;

typedef struct AskedNode
{
	NodeConn   *conn;
	const ClusterMap *map;
	int			node;
	const char *sql;			/* of the next query; NULL: none */
	bool		answered;		/* the last query */
	bool		sent;			/* of wait_graph.c alone, like the next */
	bool		done;			/* its answer is complete */
} AskedNode;

/* The waits that one query of the servers has found; in the current memory context. */
typedef struct WaitGraph
{
	Session		me;
	int			nnodes;
	int			nodes_size;
	AskedNode  *nodes;
	int			nedges;
	int			edges_size;
	Edge	   *edges;
	const char *silent;			/* the name of a node that did not answer, or NULL */
	bool		cancelled;		/* a query other than for edges has returned true */
} WaitGraph;

static inline bool
same_session(Session a, Session b)
{
	return a.server == b.server && a.pid == b.pid;
}

static inline int
compare_sessions(Session a, Session b)
{
	if (a.server != b.server)
		return a.server < b.server ? -1 : 1;
	return a.pid < b.pid ? -1 : a.pid > b.pid;
}

/* The query that returns a node's edges. */
extern const char plshard_edges_sql[];

/* Adds a node, to be queried for its edges next, unless it was added before. */
extern void plshard_graph_add_node(WaitGraph *graph, const ClusterMap *map, int node, Oid userid);

/*
 * Runs the query of each node that has one, all at once, each on a connection of its own,
 * for at most node_timeout and until "limit".  Adds edges to the graph.  A node that does
 * not answer, or that the user cannot connect to, is no error.  Raises a cancel.
 */
extern void plshard_graph_ask(WaitGraph *graph, Deadline limit);

/* Adds the front's own edges. */
extern void plshard_graph_add_front(WaitGraph *graph);

/* Sorts the edges by waiter; then returns the first one of a session, nedges where it has none. */
extern void plshard_graph_sort(WaitGraph *graph);
extern int	plshard_graph_first_edge(const WaitGraph *graph, Session waiter);

/* Closes the connections; also to be called after an error. */
extern void plshard_graph_close(const WaitGraph *graph);

#endif							/* PLSHARD_WAIT_GRAPH_H */
