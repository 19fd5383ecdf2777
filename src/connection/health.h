/*
 * health.h
 *
 * Whether nodes answer: what all sessions of this front have seen lately, and
 * a fresh look where that must be known.
 */
#ifndef PLSHARD_HEALTH_H
#define PLSHARD_HEALTH_H

#include "base/wait.h"
#include "cluster/cluster.h"

/* True where some session found the node dead, and it is not yet time to try it again. */
extern bool plshard_node_looks_dead(const ClusterMap *map, int node);

/*
 * To be called before a node that does not look dead is tried: if it did before,
 * it does again for the others, until somebody says what he has seen.
 */
extern void plshard_node_try(const ClusterMap *map, int node);

/* Says what a session has just seen. */
extern void plshard_node_seen(const ClusterMap *map, int node, bool alive);

typedef enum NodeSuspicion
{
	NODE_SUSPECT,				/* to be probed */
	NODE_SILENT,				/* has failed a probe just now */
	NODE_FAILED					/* has failed alone: no probe can excuse that */
} NodeSuspicion;

typedef enum NodeVerdict
{
	NODE_ANSWERS,
	NODE_EVICTED,				/* its placements are inactive now */
	NODE_IS_LAST,				/* dead, but holds the last active placement of a shard */
	NODE_NOT_EVICTED,			/* dead, but no other node answers, or the registry failed */
	NODE_UNDECIDED				/* the caller's deadline came first */
} NodeVerdict;

/*
 * PROTOCOL rule 17: a new connection as the user, and SELECT 1, within
 * node_timeout, or until the caller's deadline; a server that refuses the user
 * still answers.
 */
extern bool plshard_node_answers(const ClusterMap *map, int node, Oid userid, Deadline deadline);

/*
 * What becomes of a node that failed in a write: evicted where it fails a probe
 * while another node answers.  Emits a WARNING when it is evicted.  *message
 * (palloc'd, or NULL) is a sentence that says why it was not.
 */
extern NodeVerdict plshard_judge_node(const ClusterMap *map, int node, Oid userid,
									  NodeSuspicion suspicion, Deadline deadline,
									  char **message);

#endif							/* PLSHARD_HEALTH_H */
