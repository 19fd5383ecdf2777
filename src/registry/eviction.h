/*
 * eviction.h
 *
 * The eviction of nodes that fail.
 */
#ifndef PLSHARD_EVICTION_H
#define PLSHARD_EVICTION_H

#include "base/wait.h"
#include "cluster/cluster.h"

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
 * What becomes of a node that failed in a write: evicted where it fails a probe
 * while another node answers.  Emits a WARNING when it is evicted.  *message
 * (palloc'd, or NULL) is a sentence with the reason why it was not.
 */
extern NodeVerdict plshard_judge_node(const ClusterMap *map, int node, Oid userid,
									  NodeSuspicion suspicion, Deadline deadline,
									  char **message);

#endif							/* PLSHARD_EVICTION_H */
