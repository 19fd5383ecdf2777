/*
 * cluster_static.h
 *
 * Makes the maps of static clusters, which have one placement for each shard, from
 * their partitions' conninfos: what the providers of such clusters have in common.
 */
#ifndef PLSHARD_CLUSTER_STATIC_H
#define PLSHARD_CLUSTER_STATIC_H

#include "cluster/session_cluster.h"

/*
 * Checks that n > 0 partitions make a cluster.  Errors: 22023 if their number cannot
 * be mapped to hashes, and those of plshard_validate_conninfo.
 */
extern void plshard_check_static(ClusterKind kind, int n, const char *const *conninfos,
								 bool modular_mapping);

/*
 * Makes a map of n partitions in "context"; copies all arguments.  Equal conninfos are
 * one node.  Errors as plshard_check_static.
 */
extern ClusterMap *plshard_static_map(ClusterKind kind, ClusterRef ref, const char *name,
									  const ClusterOptions *options,
									  int n, const char *const *conninfos, MemoryContext context);

/* The map of a CONNECT statement, with the wrapper's options.  Errors as plshard_static_map. */
extern ClusterMap *plshard_connect_load(SessionCluster *cluster, MemoryContext context);

#endif							/* PLSHARD_CLUSTER_STATIC_H */
