/*
 * map.h
 *
 * The map of a cluster: nodes, shards and placements, and look-ups in it.
 *
 * A map is made by a provider, and its content never changes afterwards (only "valid"
 * does); see cluster.h for how a caller gets one, and how long it lives.
 */
#ifndef PLSHARD_MAP_H
#define PLSHARD_MAP_H

#include "cluster/options.h"
#include "utils/uuid.h"

/* The schema of the extension's objects on the front. */
#define PLSHARD_SCHEMA "plshard"

/*
 * Identifies a cluster in this session: the OID of its foreign server, or, for a
 * cluster without one (callback functions, CONNECT), a number from
 * FIRST_SESSION_CLUSTER on that is assigned at its first use.
 */
typedef uint64 ClusterRef;

#define FIRST_SESSION_CLUSTER ((ClusterRef) PG_UINT32_MAX + 1)

/*
 * Where a map is read from.  All but the first make static clusters: these have one
 * placement for each shard, and no objects of plshard on their nodes.
 */
typedef enum ClusterKind
{
	CLUSTER_CATALOG,			/* the registry's tables */
	CLUSTER_SERVER,				/* partitions among the server's options */
	CLUSTER_CALLBACKS,			/* plshard.get_cluster_...() */
	CLUSTER_CONNECT				/* the conninfo of a CONNECT statement */
} ClusterKind;

/* How a hash leads to a shard. */
typedef enum ShardMapping
{
	MAPPING_RANGES,				/* each shard has a range of hash values */
	MAPPING_MASK,				/* hash & (n - 1) */
	MAPPING_MODULUS				/* abs(hash % n) */
} ShardMapping;

typedef enum PlacementState
{
	PLACEMENT_ACTIVE,
	PLACEMENT_INACTIVE,
	PLACEMENT_COPYING
} PlacementState;

typedef struct ClusterNode
{
	int32		id;
	char	   *name;
	char	   *conninfo;		/* as registered; conninfo.h has what it may contain */
	uint64		identity;		/* distinguishes it from all nodes of all clusters; never 0 */
	int64		evicted_epoch;	/* the epoch that its last eviction has made; 0: never evicted */
} ClusterNode;

typedef struct ClusterPlacement
{
	uint16		node;			/* index into ClusterMap.nodes */
	uint8		state;			/* PlacementState */
	uint32		active_since;	/* the epoch that its last activation has made */
} ClusterPlacement;

typedef struct ClusterShard
{
	int64		id;				/* static: its number, from 0 */
	int32		min_value;		/* MAPPING_RANGES */
	int32		max_value;
	uint32		first_placement;	/* index into ClusterMap.placements */
	uint16		nplacements;
	uint16		nactive;		/* the active ones stand first, in placement
								 * order; the very first is the primary */
} ClusterShard;

typedef struct ClusterMap
{
	MemoryContext context;
	bool		valid;			/* cluster.c's: see plshard_map_is_current */
	ClusterKind kind;
	ClusterRef	ref;
	Oid			server_oid;		/* InvalidOid: it has no foreign server */
	char	   *name;
	pg_uuid_t	cluster_id;		/* CLUSTER_CATALOG */
	int64		epoch;			/* CLUSTER_CATALOG; CLUSTER_CALLBACKS: the version */
	ClusterOptions options;

	/* What it can do, as its provider has set it; static clusters have the last one only. */
	bool		in_registry;	/* its nodes, shards and placements are rows of the registry's tables */
	bool		has_node_schema;	/* its nodes have schema plshard_node (node_schema.h) */
	bool		has_shard_schemas;	/* each shard is a schema on its nodes */
	bool		has_locks;		/* writes lock their shards and keys (locks.h) */
	bool		has_epoch;		/* its nodes have the epoch, and refuse writes by an older map */
	bool		can_evict;		/* a dead node's placements can be made inactive */
	bool		runs_anywhere;	/* a function without RUN ON runs on any shard, as in PL/Proxy */

	int			nnodes;
	ClusterNode *nodes;			/* by id, which is the order in which they were added */
	ShardMapping mapping;
	int			nshards;
	ClusterShard *shards;		/* by min_value, or number */
	ClusterPlacement *placements;
	int			node_values;	/* NODE_VALUE_... bits (node_schema.h) that the recorded DDL uses */
} ClusterMap;

/* True if some shard has more than one placement. */
static inline bool
plshard_is_replicated(const ClusterMap *map)
{
	for (int shard = 0; shard < map->nshards; shard++)
	{
		if (map->shards[shard].nplacements > 1)
			return true;
	}
	return false;
}

/* The i-th placement of a shard, active ones first. */
#define plshard_placement(map, shard, i) \
	(&(map)->placements[(map)->shards[shard].first_placement + (i)])

/*
 * The index of the shard that a hash leads to.  Errors: 55000 if the cluster has no
 * shards yet; 22003 if the hash is not in the range of int4 (MAPPING_RANGES only).
 */
extern int	plshard_cluster_shard_of_hash(const ClusterMap *map, int64 hash);

/* The index of the shard with that id, -1 if there is none. */
extern int	plshard_cluster_shard_index(const ClusterMap *map, int64 shard_id);

/* The index of the node with that name, or that id; -1 if there is none. */
extern int	plshard_cluster_node_index(const ClusterMap *map, const char *name);
extern int	plshard_cluster_node_by_id(const ClusterMap *map, int32 node_id);

/* True if a node has an active placement of a shard; false also for unknown ids. */
extern bool plshard_cluster_has_active(const ClusterMap *map, int64 shard_id, int32 node_id);

/* The cluster_id as text.  palloc'd. */
extern char *plshard_cluster_id_text(const ClusterMap *map);

#endif							/* PLSHARD_MAP_H */
