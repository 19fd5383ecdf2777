/*
 * copy_rows.h
 *
 * Long results of reads by COPY (SELECT ...) TO STDOUT in binary.  In libpq's
 * single-row mode each row has a copy of the result's description; what COPY sends
 * is only the rows.  It takes no parameters, and is not prepared: for a few rows
 * it costs more.  It sends no types, so it is for statements that cast all their
 * columns.  A result is long from some thousand rows of each shard on, as declared (ROWS) or as
 * counted in the last call.
 */
#ifndef PLSHARD_COPY_ROWS_H
#define PLSHARD_COPY_ROWS_H

#include "call/request.h"

/* Whether so many rows of so many shards are expected that COPY pays. */
extern bool plshard_expects_long_result(const RemoteQuery *query, int ntargets);

/*
 * The statement that COPYs the rows of a query that has parameter positions, in binary, with its
 * parameters' values, which are text.  palloc'd.
 */
extern char *plshard_copy_sql(const RemoteQuery *query, const RemoteParams *params);

/* What is read of one COPY. */
typedef struct CopyReader
{
	bool		began;			/* the header has come */
	bool		ended;			/* so has the trailer */
	char	   *data;			/* of the message, and how much of it is left */
	int			length;
} CopyReader;

/* Gives the reader a message of COPY, which must stay until its rows are read. */
extern void plshard_copy_message(CopyReader *reader, char *data, int length);

/*
 * The next row of the message, nfields long, pointing into it; false where there
 * is none.  Errors: 08P01 for what is no such row.
 */
extern bool plshard_copy_next_row(CopyReader *reader, int nfields, WireField *fields);

/* COPY has ended.  Errors: 08P01 where some of it is missing. */
extern void plshard_copy_end(const CopyReader *reader);

#endif							/* PLSHARD_COPY_ROWS_H */
