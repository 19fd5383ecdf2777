/*
 * funccache.h
 *
 * The compiled functions of this session.
 */
#ifndef PLSHARD_FUNCCACHE_H
#define PLSHARD_FUNCCACHE_H

#include "fmgr.h"
#include "language/function.h"

/*
 * The compiled function for a call, compiled now where there is none that is
 * valid; as plshard_compile throws.  It stays as long as a call uses it
 * (plshard_use_function).
 */
extern PlshardFunction *plshard_function_for_call(FunctionCallInfo fcinfo);

#endif							/* PLSHARD_FUNCCACHE_H */
