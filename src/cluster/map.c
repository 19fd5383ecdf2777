/*
 * map.c
 *
 * Look-ups in a cluster's map.
 */
#include "postgres.h"

#include "cluster/map.h"
#include "fmgr.h"
#include "utils/builtins.h"

/* MAPPING_RANGES: the shard whose range has a hash, by binary search. */
static int
shard_by_range(const ClusterMap *map, int32 hash)
{
	int			low = 0;
	int			high = map->nshards - 1;

	/* exact where all ranges are equal; else the search starts there */
	int			guess = ((uint64) ((int64) hash - PG_INT32_MIN) * map->nshards) >> 32;

	for (;;)
	{
		if (hash < map->shards[guess].min_value)
			high = guess - 1;
		else if (hash > map->shards[guess].max_value)
			low = guess + 1;
		else
			return guess;
		guess = low + (high - low) / 2;
	}
}

int
plshard_cluster_shard_of_hash(const ClusterMap *map, int64 hash)
{
	if (map->nshards == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cluster \"%s\" has no shards yet", map->name),
				 errhint("Create them by plshard.create_shards.")));

	switch (map->mapping)
	{
		case MAPPING_RANGES:
			if (hash < PG_INT32_MIN || hash > PG_INT32_MAX)
				ereport(ERROR,
						(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
						 errmsg("hash value " INT64_FORMAT " is out of range for type integer",
								hash)));
			return shard_by_range(map, (int32) hash);
		case MAPPING_MASK:
			return (int) (hash & (map->nshards - 1));
		case MAPPING_MODULUS:
			return abs((int) (hash % map->nshards));
	}
	elog(ERROR, "unexpected mapping %d", (int) map->mapping);
}

int
plshard_cluster_shard_index(const ClusterMap *map, int64 shard_id)
{
	if (map->nshards > 0)
	{
		/* shards that were made together have consecutive ids */
		int64		guess = shard_id - map->shards[0].id;

		if (guess >= 0 && guess < map->nshards && map->shards[guess].id == shard_id)
			return guess;
	}
	for (int i = 0; i < map->nshards; i++)
	{
		if (map->shards[i].id == shard_id)
			return i;
	}
	return -1;
}

int
plshard_cluster_node_index(const ClusterMap *map, const char *name)
{
	for (int i = 0; i < map->nnodes; i++)
	{
		if (strcmp(map->nodes[i].name, name) == 0)
			return i;
	}
	return -1;
}

int
plshard_cluster_node_by_id(const ClusterMap *map, int32 node_id)
{
	int			low = 0;
	int			high = map->nnodes - 1;

	/* the order in which they were added is that of their ids */
	while (low <= high)
	{
		int			middle = low + (high - low) / 2;

		if (map->nodes[middle].id == node_id)
			return middle;
		if (map->nodes[middle].id < node_id)
			low = middle + 1;
		else
			high = middle - 1;
	}
	return -1;
}

bool
plshard_cluster_has_active(const ClusterMap *map, int64 shard_id, int32 node_id)
{
	int			shard = plshard_cluster_shard_index(map, shard_id);

	for (int i = 0; shard >= 0 && i < map->shards[shard].nactive; i++)
	{
		if (map->nodes[plshard_placement(map, shard, i)->node].id == node_id)
			return true;
	}
	return false;
}

char *
plshard_cluster_id_text(const ClusterMap *map)
{
	return DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&map->cluster_id)));
}
