/*
 * recorded_ddl.h
 *
 * What deploy and distribute_table have run on a cluster's placements.
 */
#ifndef PLSHARD_RECORDED_DDL_H
#define PLSHARD_RECORDED_DDL_H

#include "cluster/map.h"
#include "nodes/pg_list.h"

/* The recorded commands of a cluster (char *), in order, as of now.  palloc'd. */
extern List *plshard_recorded_ddl(const ClusterMap *map);

/* The values of node_values.h that they use, as bits; allocates nothing that stays. */
extern int	plshard_recorded_node_values(const ClusterMap *map);

#endif							/* PLSHARD_RECORDED_DDL_H */
