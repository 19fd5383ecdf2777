/*
 * route.h
 *
 * RUN ON: values to shards.
 */
#ifndef PLSHARD_ROUTE_H
#define PLSHARD_ROUTE_H

#include "language/function.h"

/*
 * Fills call->targets from its values and map: shards ascending, each once; with
 * the call's remote_params, or as split.h says.  Expressions are being evaluated.
 * Errors: 22004 for a NULL key, 22003 for a hash value that is no int4, 22023 for a shard
 * number that is none, 55000 for a cluster without shards, 42P13 where RUN ON is
 * missing and a cluster of the registry has several.
 */
extern void plshard_route(PlshardCall *call);

/*
 * The hash values of RUN ON hash(...), function(...) or an argument, in the
 * current memory context: int4 values, unless the cluster is static.  Expressions are
 * being evaluated.  Errors: the first of those above.
 */
extern int64 *plshard_eval_hashes(PlshardCall *call, uint64 *nhashes);

/* RUN ON as it counts on a map: left out, it means ANY on a cluster of partitions. */
extern RunOnKind plshard_run_on(const PlshardFunction *function, const ClusterMap *map);

/* A shard for RUN ON ANY. */
extern int	plshard_draw_shard(const ClusterMap *map);

/* The last two of those errors' checks, as far as they need no values. */
extern void plshard_check_route(const ClusterMap *map, RunOnKind run_on, int64 run_on_shard);

#endif							/* PLSHARD_ROUTE_H */
