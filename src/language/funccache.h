/*
 * funccache.h
 *
 * The compiled functions of this session.
 */
#ifndef PLSHARD_FUNCCACHE_H
#define PLSHARD_FUNCCACHE_H

#include "language/function.h"

#include "fmgr.h"

/*
 * The compiled function for a call, compiled now where there is none that is
 * valid; as plshard_compile throws.  It stays as long as plshard_begin_call and
 * plshard_end_call say that it is used.
 */
extern PlshardFunction *plshard_function_for_call(FunctionCallInfo fcinfo);

/* Ends a use of it; frees it if it is forgotten. */
extern void plshard_release_function(PlshardFunction *function);

#endif							/* PLSHARD_FUNCCACHE_H */
