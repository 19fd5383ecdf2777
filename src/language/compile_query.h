/*
 * compile_query.h
 *
 * The compiler's part for the remote statement.
 */
#ifndef PLSHARD_COMPILE_QUERY_H
#define PLSHARD_COMPILE_QUERY_H

#include "language/compiler.h"

/*
 * Compiles the remote statement of the body, the decoders of its rows, and REDUCE:
 * what the nodes return is the function's result, or what REDUCE gathers.  Called
 * when the function has its scope.  Errors: 42P13, 42601, and as
 * plshard_body_sql and reduce.h.
 */
extern void plshard_compile_rows(Compiler *c);

#endif							/* PLSHARD_COMPILE_QUERY_H */
