/*
 * cluster_catalog.h
 *
 * The provider for clusters of the registry.
 */
#ifndef PLSHARD_CLUSTER_CATALOG_H
#define PLSHARD_CLUSTER_CATALOG_H

#include "cluster/map.h"

/*
 * Reads the map of a foreign server's cluster with a new snapshot, into "context".
 * Errors: 55000 if the registry has no such cluster, XX001 if its rows contradict each
 * other, 42P01 if the registry's tables do not exist.
 */
extern ClusterMap *plshard_catalog_load(Oid server_oid, MemoryContext context);

/* True for the tables that plshard_catalog_load has read: a change of one outdates maps. */
extern bool plshard_catalog_uses(Oid relation);

/* Outdates all maps of the registry: in this session now, in all others at commit. */
extern void plshard_cluster_invalidate(void);

#endif							/* PLSHARD_CLUSTER_CATALOG_H */
