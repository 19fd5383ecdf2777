/*
 * request.c
 *
 * The shards of a call, on one map and on the next.  Allocates nothing.
 */
#include "postgres.h"

#include "call/request.h"

void
plshard_check_active(const ClusterMap *map, int shard)
{
	if (map->shards[shard].nactive == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("shard " INT64_FORMAT " of cluster \"%s\" has no active placement",
						map->shards[shard].id, map->name)));
}

void
plshard_move_to_map(CallRequest *request, ClusterMap *map)
{
	for (int i = 0; i < request->ntargets; i++)
	{
		int64		id = request->map->shards[request->targets[i].shard].id;
		int			shard = plshard_cluster_shard_index(map, id);

		if (shard < 0)
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("shard " INT64_FORMAT " of cluster \"%s\" was dropped during a call of %s",
							id, map->name, request->function_name)));
		request->targets[i].shard = shard;
	}
	request->map = map;
}
