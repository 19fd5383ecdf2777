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

#include "utils/uuid.h"

#define PLSHARD_FDW_NAME "plshard"
#define PLSHARD_SCHEMA "plshard"

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
	char	   *conninfo;		/* as registered: without passwords */
} ClusterNode;

typedef struct ClusterPlacement
{
	uint16		node;			/* index into ClusterMap.nodes */
	uint8		state;			/* PlacementState */
} ClusterPlacement;

typedef struct ClusterShard
{
	int64		id;
	int32		min_value;
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
	Oid			server_oid;
	char	   *name;			/* of the foreign server */
	pg_uuid_t	cluster_id;
	int64		epoch;

	/* options of the server, defaults filled in; times in milliseconds */
	int			node_timeout;	/* how long a node may take to answer a probe */
	int			connect_timeout;	/* how long one connection attempt may take */

	int			nnodes;
	ClusterNode *nodes;			/* in the order in which they were added */
	int			nshards;
	ClusterShard *shards;		/* by min_value */
	ClusterPlacement *placements;
} ClusterMap;

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
 * The current map.  The caller has called AcceptInvalidationMessages() if it
 * must not miss what others have committed.  Errors: 42501 where the current
 * user lacks USAGE on the server; 42704 where the server is gone; 0A000 where
 * it is no catalog cluster; 55000 where the registry does not know it; XX001
 * where its rows contradict each other.
 */
extern ClusterMap *plshard_cluster_map(Oid server_oid);

/*
 * The same without the check of USAGE: for work that follows from a call that
 * was checked, such as its commit, when the current user may be another.
 */
extern ClusterMap *plshard_cluster_map_unchecked(Oid server_oid);

/*
 * The current map, read anew whatever the cache believes: for one that a node
 * has called outdated, or that the caller has had changed (registry.h).  The
 * caller had a map already, so USAGE is not checked again.
 */
extern ClusterMap *plshard_cluster_reload(Oid server_oid);

/*
 * The map of one node and one shard that a CONNECT statement stands for; the
 * same text gives the same map for the rest of the session.  Errors: as
 * plshard_validate_conninfo's for a text that no static cluster may have.
 */
extern ClusterMap *plshard_connect_map(const char *conninfo);

/*
 * The index of the shard whose range holds a hash.  Errors: 55000 where the
 * cluster has no shards yet.
 */
extern int	plshard_cluster_shard_of_hash(const ClusterMap *map, int32 hash);

/* The index of a shard id, -1 if there is none; of a node name or id likewise. */
extern int	plshard_cluster_shard_index(const ClusterMap *map, int64 shard_id);
extern int	plshard_cluster_node_index(const ClusterMap *map, const char *name);
extern int	plshard_cluster_node_by_id(const ClusterMap *map, int32 node_id);

/* Tells this and (at commit) all other sessions that a cluster's rows changed. */
extern void plshard_cluster_invalidate(void);

/*
 * Provider: reads a catalog cluster into "context" with a fresh snapshot.
 * Errors as plshard_cluster_map.
 */
extern ClusterMap *plshard_catalog_load(Oid server_oid, MemoryContext context);

/* Is this one of the relations that the catalog provider has read from? */
extern bool plshard_catalog_uses(Oid relation);

#endif							/* PLSHARD_CLUSTER_H */
