/*
 * cluster_callbacks.h
 *
 * The provider for clusters that are defined by the user's functions
 * plshard.get_cluster_version, get_cluster_partitions and get_cluster_config.
 */
#ifndef PLSHARD_CLUSTER_CALLBACKS_H
#define PLSHARD_CLUSTER_CALLBACKS_H

#include "cluster/session_cluster.h"

/* Registers "changed", which is called whenever one of the functions may have changed. */
extern void plshard_callbacks_init(void (*changed) (void));

/* True if the functions exist (get_cluster_config need not). */
extern bool plshard_callbacks_exist(void);

/* Errors: 42501 if a user may not execute the functions; 42704 if they do not exist. */
extern void plshard_callbacks_check_usage(const SessionCluster *cluster, Oid userid);

/*
 * True if a map is of the version that get_cluster_version returns, which is called as
 * seldom as its volatility allows.  Errors: as plshard_cluster_map.
 */
extern bool plshard_callbacks_current(const ClusterMap *map);

/* Makes a map in "context" of what the functions return.  Errors: as plshard_cluster_map. */
extern ClusterMap *plshard_callbacks_load(SessionCluster *cluster, MemoryContext context);

#endif							/* PLSHARD_CLUSTER_CALLBACKS_H */
