/*
 * cluster.h
 *
 * The map of a cluster: nodes, shards and placements, built by a provider and
 * cached until an invalidation message says that it changed.
 *
 * A map returned here is never changed.  It stays allocated until the end of
 * the current top-level transaction, also when it is replaced meanwhile, so
 * callers keep plain pointers and nobody counts references.
 */
#ifndef PLSHARD_CLUSTER_H
#define PLSHARD_CLUSTER_H

#include "postgres.h"

#include "cluster/options.h"

#define PLSHARD_FDW_NAME "plshard"
#define PLSHARD_SCHEMA "plshard"

/*
 * What a cluster is in this session: the oid of its foreign server, or, where it
 * has none (callback functions, CONNECT), a number that the session gave it.
 */
typedef uint64 ClusterRef;

#define FIRST_SESSION_CLUSTER ((ClusterRef) PG_UINT32_MAX + 1)

/*
 * Where a map comes from.  All but the first make static clusters: these have one
 * placement a shard, and nothing of ours on their nodes.
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
	MAPPING_RANGES,				/* each shard has one */
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
	char	   *conninfo;		/* as registered; what it may say: conninfo.h */
	uint64		identity;		/* tells it from all nodes of all clusters */
	int64		evicted_epoch;	/* the epoch that its last eviction has made; 0: none has */
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
	bool		valid;			/* false once an invalidation has hit it */
	ClusterKind kind;
	ClusterRef	ref;
	Oid			server_oid;		/* InvalidOid: it has no foreign server */
	char	   *name;
	pg_uuid_t	cluster_id;		/* CLUSTER_CATALOG */
	int64		epoch;			/* likewise */
	ClusterOptions options;

	/* What it can do, as its provider has set it; all false for a static cluster but the last. */
	bool		in_registry;	/* its nodes, shards and placements are rows of the registry's tables */
	bool		has_node_schema;	/* its nodes have schema plshard_node (node_schema.h) */
	bool		has_shard_schemas;	/* each shard is a schema on its nodes */
	bool		has_locks;		/* writes lock their shards and keys (locks.h) */
	bool		has_epoch;		/* its nodes know the epoch, and refuse writes by an older map */
	bool		can_evict;		/* a dead node's placements can be made inactive */
	bool		runs_anywhere;	/* a function without RUN ON runs on any shard, as in PL/Proxy */

	int			nnodes;
	ClusterNode *nodes;			/* by id, which is the order in which they were added */
	ShardMapping mapping;
	int			nshards;
	ClusterShard *shards;		/* by min_value, or number */
	ClusterPlacement *placements;
	int			node_values;	/* that the recorded DDL uses, see node_values.h */
} ClusterMap;

/* Has some shard more than one placement? */
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
 * Registers the invalidation and transaction callbacks; called once by
 * _PG_init, before plshard_remote_xact_init: transaction callbacks run newest
 * first, and the one registered here frees the outdated maps.
 */
extern void plshard_cluster_init(void);

/*
 * The oid of the foreign server of a cluster.  Errors: 42704 if there is no
 * such server, or it is not one of the wrapper plshard; InvalidOid instead
 * with missing_ok.
 */
extern Oid	plshard_cluster_oid(const char *name, bool missing_ok);

/*
 * The cluster of that name: the foreign server's or else, where the callback
 * functions exist, what they say of it (looked at by plshard_cluster_map).  The
 * answer is good until the next invalidation of foreign servers.  Errors: 42704.
 */
extern ClusterRef plshard_cluster_find(const char *name);

/*
 * The current map.  The caller has called AcceptInvalidationMessages() if it
 * must not miss what others have committed.  Errors: 42501 where the current
 * user lacks USAGE on the server, or EXECUTE on the callback functions; 42704
 * where the server is gone, or has no callback functions any more; 55000 where
 * the registry does not know it, or it has no partitions; XX001 where the
 * registry's rows contradict each other; for callback functions 22004, 22023,
 * and whatever they throw.
 */
extern ClusterMap *plshard_cluster_map(ClusterRef cluster);

/*
 * False once it is known that what the map was read from has changed: by an
 * invalidation message (the caller has called AcceptInvalidationMessages() if it must
 * not miss one), or, for callback functions, by their version.  Errors: those of the
 * callback functions.
 */
extern bool plshard_map_is_current(const ClusterMap *map);

/*
 * The same for what only a cluster of the registry has.  Errors: also 0A000
 * where it is a static one.
 */
extern ClusterMap *plshard_catalog_map(Oid server_oid);

/*
 * The same as plshard_cluster_map without the check of USAGE: for work that
 * follows from a call that was checked, such as its commit, when the current user
 * may be another.  Of a static cluster, the map that the transaction used last.
 */
extern ClusterMap *plshard_cluster_map_unchecked(ClusterRef cluster);

/*
 * The current map of a catalog cluster, read anew whatever the cache believes: for
 * one that a node has called outdated, or that the caller has had changed
 * (registry.h).  The caller had a map already, so USAGE is not checked again.
 */
extern ClusterMap *plshard_cluster_reload(Oid server_oid);

/*
 * The map of one node and one shard that a CONNECT statement stands for; the
 * same text gives the same map for the rest of the session.  Errors: as
 * plshard_validate_conninfo's for a text that no static cluster may have.
 */
extern ClusterMap *plshard_connect_map(const char *conninfo);

/*
 * The index of the shard that a hash leads to.  Errors: 55000 where the cluster has
 * no shards yet; 22003 where it is no int4, unless the cluster is static.
 */
extern int	plshard_cluster_shard_of_hash(const ClusterMap *map, int64 hash);

/* The index of a shard id, -1 if there is none; of a node name or id likewise. */
extern int	plshard_cluster_shard_index(const ClusterMap *map, int64 shard_id);
extern int	plshard_cluster_node_index(const ClusterMap *map, const char *name);
extern int	plshard_cluster_node_by_id(const ClusterMap *map, int32 node_id);

/* Whether a node has an active placement of a shard (ids; false also where they are unknown). */
extern bool plshard_cluster_has_active(const ClusterMap *map, int64 shard_id, int32 node_id);

/* Tells this and (at commit) all other sessions that a cluster's rows changed. */
extern void plshard_cluster_invalidate(void);

/* ---- providers: each makes a map in "context", and knows what outdates it ---- */

/*
 * Reads a catalog cluster with a fresh snapshot.  Errors as plshard_cluster_map.
 */
extern ClusterMap *plshard_catalog_load(Oid server_oid, MemoryContext context);

/* Is this one of the relations that the catalog provider has read from? */
extern bool plshard_catalog_uses(Oid relation);

/* Reads a static cluster from its server's options. */
extern ClusterMap *plshard_server_load(Oid server_oid, MemoryContext context);

#endif							/* PLSHARD_CLUSTER_H */
