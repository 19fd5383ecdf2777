/*
 * run_on.h
 *
 * RUN ON: values to hash values, and what it means on a map.
 */
#ifndef PLSHARD_RUN_ON_H
#define PLSHARD_RUN_ON_H

#include "language/function.h"

/* RUN ON as it counts on a map: left out, it means ANY on a cluster of partitions. */
extern RunOnKind plshard_run_on(const PlshardFunction *function, const ClusterMap *map);

/*
 * The hash values of RUN ON hash(...), function(...) or an argument, in the
 * current memory context: int4 values, unless the cluster is static.  Expressions are
 * being evaluated.  Errors: 22004 for a NULL key.
 */
extern int64 *plshard_eval_hashes(PlshardCall *call, uint64 *nhashes);

/* A shard for RUN ON ANY. */
extern int	plshard_draw_shard(const ClusterMap *map);

/*
 * Errors: 22023 for a shard number that the map does not have, 42P13 where RUN ON is
 * missing and a catalog cluster has several shards.
 */
extern void plshard_check_run_on(const ClusterMap *map, RunOnKind run_on, int64 run_on_shard);

#endif							/* PLSHARD_RUN_ON_H */
