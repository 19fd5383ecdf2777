/*
 * recover_nodes.h
 *
 * The nodes of a cluster as recovery sees them: a connection to each, connected
 * and queried side by side, where one that fails does not keep the others from
 * answering.  Every step is bounded in time by the cluster's node_timeout.
 */
#ifndef PLSHARD_RECOVER_NODES_H
#define PLSHARD_RECOVER_NODES_H

#include "connection/admin_connection.h"
#include "nodes/bitmapset.h"

typedef struct RecoveryNode
{
	int32		id;
	const char *name;
	AdminConnection *conn;		/* NULL: not connected (any more) */
	int			sqlstate;		/* of the last attempt to reach it, 0 if that went well, */
	const char *message;		/* and why it failed */
	const char *sql;			/* to be set for plshard_recovery_run */
	const PGresult *result;		/* what it answered, also an error; NULL: lost, or not queried;
								 * owned by the context that was current when it was queried */
} RecoveryNode;

typedef struct RecoveryNodes
{
	ClusterMap *map;			/* the newest that was read */
	MemoryContext context;
	Deadline	deadline;		/* of all that is done with them; the caller may set one */
	Bitmapset  *current;		/* ids of the nodes that count, see below */
	int			n;
	RecoveryNode *list;			/* by id, like the map's */
} RecoveryNodes;

/* The nodes of a map, none connected yet; everything in the current memory context. */
extern RecoveryNodes *plshard_recovery_nodes(ClusterMap *map);

/*
 * Reads the map anew.  "current" are the nodes that have not been evicted: they
 * hold an active placement, or none at all.
 */
extern void plshard_recovery_reload(RecoveryNodes *nodes);

/* The node of an id; NULL where the cluster has (or had, at the beginning) no such node. */
extern RecoveryNode *plshard_recovery_node(RecoveryNodes *nodes, int32 id);

/*
 * Connects to those of the nodes (ids; NULL: all) that are not connected, at once.
 * Raises only a cancel: a node that cannot be reached has its "sqlstate" set.
 */
extern void plshard_recovery_connect(RecoveryNodes *nodes, const Bitmapset *ids);

/*
 * Sends each connected node its "sql" and waits for the answers; then no node has
 * any.  Raises only a cancel; a node whose connection is lost is disconnected.
 */
extern void plshard_recovery_run(RecoveryNodes *nodes);

/* The same for one node; its answer. */
extern const PGresult *plshard_recovery_ask(RecoveryNodes *nodes, RecoveryNode *node,
											const char *sql);

/*
 * Whether a node's answer is rows of the shape of plshard_has_shape.  Rows of another shape
 * are no answer: the node counts as lost, and is disconnected.
 */
extern bool plshard_recovery_has_rows(RecoveryNode *node, int nrows, int ncolumns, uint32 nullable);

/* Why a node has not done what was sent, as far as it is known: a sentence, palloc'd. */
extern char *plshard_recovery_reason(const RecoveryNode *node);

extern void plshard_recovery_close(RecoveryNodes *nodes);

#endif							/* PLSHARD_RECOVER_NODES_H */
