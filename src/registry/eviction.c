/*
 * eviction.c
 *
 * Decides about a node that failed in a write.
 */
#include "postgres.h"

#include "connection/health.h"
#include "registry/eviction.h"
#include "registry/registry.h"

NodeVerdict
plshard_judge_node(const ClusterMap *map, int node, Oid userid,
				   NodeSuspicion suspicion, Deadline deadline, char **message)
{
	*message = NULL;
	if (suspicion != NODE_FAILED)
	{
		bool		other_answers = false;

		if (plshard_probe_node(map, node, userid, suspicion == NODE_SILENT, deadline, &other_answers))
			return NODE_ANSWERS;
		if (deadline_passed(deadline))
			return NODE_UNDECIDED;
		if (!other_answers)
		{
			*message = pstrdup(map->nnodes > 1 ?
							   "No other node of the cluster answers either." :
							   "It is the only node of the cluster.");
			return NODE_NOT_EVICTED;
		}
	}

	switch (plshard_registry_evict(map, node, message))
	{
		case REGISTRY_DONE:
			ereport(WARNING,
					(errmsg("node \"%s\" of cluster \"%s\" failed: its placements are now inactive",
							map->nodes[node].name, map->name),
					 errhint("When the node is back, run SELECT plshard.repair_cluster('%s').",
							 map->name)));
			return NODE_EVICTED;
		case REGISTRY_REFUSED:
			return NODE_IS_LAST;
		default:
			return NODE_NOT_EVICTED;
	}
}
