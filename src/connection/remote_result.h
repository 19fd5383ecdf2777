/*
 * remote_result.h
 *
 * Results of nodes: the memory that they are in, and the shape of those of plshard's own
 * statements.
 */
#ifndef PLSHARD_REMOTE_RESULT_H
#define PLSHARD_REMOTE_RESULT_H

#include "libpq-fe.h"

/* Gives a result to the current memory context, which clears it.  NULL stays NULL. */
extern PGresult *plshard_own_result(PGresult *result);

/* In place of a number of rows. */
#define ANY_ROWS (-1)

/* The columns of a result that may be NULL, as bits. */
#define NULLABLE(column) (UINT32_C(1) << (column))

/*
 * Whether the result of a statement of plshard's own has the shape that the statement
 * promises: "nrows" rows (or ANY_ROWS) of "ncolumns" columns, where only the columns of
 * "nullable" may be NULL.  PQgetvalue is safe on such a result only.
 */
extern bool plshard_has_shape(const PGresult *result, int nrows, int ncolumns, uint32 nullable);

/* Raises the node's error where there is one, and 08P01 where the shape is another. */
extern void plshard_check_shape(const PGresult *result, const char *node_name,
								int nrows, int ncolumns, uint32 nullable);

#endif							/* PLSHARD_REMOTE_RESULT_H */
