/*
 * compile_route.h
 *
 * The compiler's part for where a call goes; functions in the order in which they
 * must be called.
 */
#ifndef PLSHARD_COMPILE_ROUTE_H
#define PLSHARD_COMPILE_ROUTE_H

#include "language/compiler.h"

/* CLUSTER and CONNECT, as far as they name a constant. */
extern void plshard_compile_destination(Compiler *c);

/* CLUSTER or CONNECT by an expression, which must be of type text; sees all values. */
extern void plshard_compile_destination_expr(Compiler *c);

/* RUN ON and SPLIT. */
extern void plshard_compile_run_on(Compiler *c);

/*
 * For the validator.  Throws 42804 where the function hashes one key, the cluster
 * has distributed tables, and none of their key columns hashes like it.
 */
extern void plshard_check_key_family(const ClusterMap *map, const PlshardFunction *function);

#endif							/* PLSHARD_COMPILE_ROUTE_H */
