/*
 * cluster_server.h
 *
 * The provider for clusters whose partitions are options of their foreign server.
 */
#ifndef PLSHARD_CLUSTER_SERVER_H
#define PLSHARD_CLUSTER_SERVER_H

#include "cluster/map.h"

/*
 * Makes the map of a foreign server's cluster in "context".  Errors: 55000 if the
 * server has no partitions; those of plshard_partitions and plshard_static_map.
 */
extern ClusterMap *plshard_server_load(Oid server_oid, MemoryContext context);

#endif							/* PLSHARD_CLUSTER_SERVER_H */
