/*
 * reduce.h
 *
 * REDUCE: a local query over the gathered rows of a call.
 */
#ifndef PLSHARD_REDUCE_H
#define PLSHARD_REDUCE_H

#include "language/function.h"

/*
 * Prepares the query of a function for gathered rows of "columns", if it is
 * not prepared for them already.  Throws what the query has wrong, with the
 * position in the body; 42804 where its columns do not fit the function's result.
 */
extern void plshard_reduce_prepare(PlshardFunction *function, TupleDesc columns);

/* The syntax only: one SELECT.  Throws 42601 with the position in the body. */
extern void plshard_reduce_check(const char *source, SourceSpan span);

/* The column list after REDUCE; positions in errors.  In the current context. */
extern TupleDesc plshard_reduce_columns(const char *source, SourceSpan span);

/*
 * Runs the query over "gathered".  Its rows go to "store" or, where that is NULL,
 * the first becomes *value (in "context").  Returns the number of rows.
 */
extern uint64 plshard_reduce(PlshardCall *call, Tuplestorestate *gathered, TupleDesc columns,
							 Tuplestorestate *store, MemoryContext context,
							 Datum *value, bool *isnull);

#endif							/* PLSHARD_REDUCE_H */
