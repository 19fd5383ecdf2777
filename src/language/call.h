/*
 * call.h
 *
 * One call of a function: from its arguments to what execute.c takes.
 */
#ifndef PLSHARD_CALL_H
#define PLSHARD_CALL_H

#include "language/function.h"

/*
 * Begins a call, as long as the CurrentMemoryContext is the caller's, and makes
 * the call's own the current one.  "call" is the caller's variable; args are
 * those of the function's nargs values.  plshard_end_call must follow, also
 * after an error.
 */
extern void plshard_begin_call(PlshardCall *call, PlshardFunction *function,
							   const NullableDatum *args);

/* Frees what the call made; the caller's memory context is the current one again. */
extern void plshard_end_call(PlshardCall *call);

/*
 * Evaluates LETs, destination clause and keys, looks up the cluster's map and finds the
 * targets; encodes the parameters.  Throws what expressions throw, 22004 for a
 * NULL key or destination, 55000 for a cluster without shards, and as
 * plshard_cluster_find, plshard_cluster_map, plshard_connect_map,
 * plshard_check_connect and plshard_route_split.
 */
extern void plshard_prepare_call(PlshardCall *call);

#endif							/* PLSHARD_CALL_H */
