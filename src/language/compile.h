/*
 * compile.h
 *
 * A pg_proc row, or the text of a DO, made a PlshardFunction.
 */
#ifndef PLSHARD_COMPILE_H
#define PLSHARD_COMPILE_H

#include "access/htup.h"
#include "fmgr.h"
#include "language/function.h"

/*
 * The syntax tree of a body, in the current memory context.  Throws 42601,
 * with the position in the body; with missing_ok returns NULL instead.
 */
extern AstBody *plshard_parse_body(const char *source, bool missing_ok);

/*
 * Compiles a function for the argument types, collation and column list of a
 * call.  The result lives in a context of its own below CacheMemoryContext.
 * Throws all that can be wrong with a definition, with the position in the body.
 */
extern PlshardFunction *plshard_compile(HeapTuple proc_tuple, FunctionCallInfo fcinfo);

/* The same for a DO; the result lives below the current memory context. */
extern PlshardFunction *plshard_compile_inline(const char *source);

/* Checks a definition as far as that can be done without a call. */
extern void plshard_check_definition(HeapTuple proc_tuple);

#endif							/* PLSHARD_COMPILE_H */
