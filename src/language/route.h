/*
 * route.h
 *
 * The targets of a call.
 */
#ifndef PLSHARD_ROUTE_H
#define PLSHARD_ROUTE_H

#include "language/function.h"

/*
 * Fills call->targets from its values and map: shards ascending, each once; with
 * the call's remote_params, or as split.h describes.  Expressions are being evaluated.
 * Errors: 22004 for a NULL key, 22003 for a hash value that is no int4, 22023 for a shard
 * number that is none, 55000 for a cluster without shards, 42P13 where RUN ON is
 * missing and a catalog cluster has several.
 */
extern void plshard_route(PlshardCall *call);

#endif							/* PLSHARD_ROUTE_H */
