/*
 * compare.h
 *
 * Whether two replicas have answered a write alike, where their answers are not
 * the same bytes.
 */
#ifndef PLSHARD_COMPARE_H
#define PLSHARD_COMPARE_H

#include "call/execution.h"

/*
 * Looks for what two replicas' answers differ in: the number of rows that were
 * changed, the number of columns, or the rows, as a multiset.  Values are the same
 * where the type's default btree operator class has them equal, under the column's
 * collation; values of a type without one where their bytes are.
 *
 * Returns NULL where there is no difference, else a sentence or two for an error's
 * detail, palloc'd.  Rows beyond work_mem are not kept, so that rows of unequal bytes
 * are a difference then.  Errors: whatever decoding a value throws.
 */
extern char *plshard_find_difference(const Execution *e, const Task *a, const Task *b);

#endif							/* PLSHARD_COMPARE_H */
