/*
 * recorded_ddl.h
 *
 * The DDL that deploy and distribute_table have run on a cluster's placements.
 */
#ifndef PLSHARD_RECORDED_DDL_H
#define PLSHARD_RECORDED_DDL_H

#include "cluster/map.h"
#include "nodes/pg_list.h"

/* The recorded commands of a cluster (char *) in order, with the newest snapshot.  palloc'd. */
extern List *plshard_recorded_ddl(const ClusterMap *map);

/* The node values that they use: NODE_VALUE_... bits of node_schema.h. */
extern int	plshard_recorded_node_values(const ClusterMap *map);

#endif							/* PLSHARD_RECORDED_DDL_H */
