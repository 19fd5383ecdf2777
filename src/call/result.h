/*
 * result.h
 *
 * Rows of remote results into Datums and tuplestores, and the digest by which
 * the rows of replicas are compared.
 */
#ifndef PLSHARD_RESULT_H
#define PLSHARD_RESULT_H

#include "access/tupdesc.h"
#include "call/request.h"
#include "call/typeio.h"
#include "utils/tuplestore.h"

/*
 * How a result's rows are read; made once for a function and cached with it.
 * The columns of the result are found by the names of the expected ones, in
 * any order; where one is expected, the only column is taken, whatever its name.
 */
typedef struct RowDecoder
{
	TupleDesc	desc;			/* own copy, blessed; NULL: a scalar */
	int			ncolumns;		/* without the dropped ones */
	int		   *attributes;		/* column -> index into desc */
	ColumnDecoder *columns;
	Oid			domain;			/* over the composite type: checked; or InvalidOid */
	void	   *domain_cache;
	MemoryContext context;		/* everything above lives here */
} RowDecoder;

/* For one column of a type; "name" is used in errors. */
extern RowDecoder *plshard_make_scalar_decoder(Oid type, int32 typmod, const char *name,
											   MemoryContext context);

/* For rows of a descriptor (dropped columns become NULL); "domain": see above. */
extern RowDecoder *plshard_make_row_decoder(TupleDesc desc, Oid domain, MemoryContext context);

/* Whether values of all columns' types can be read in binary. */
extern bool plshard_decodes_binary(const RowDecoder *decoder);

/*
 * All sinks check a result once, before its rows: 42804 if its columns are not
 * the expected ones (the detail names missing and surplus ones) or, in binary,
 * of a type that cannot be read; and 42804 if two targets' columns come in a
 * different order.  In the query they note the format to ask for the next time:
 * binary if all columns have the expected types.
 */

/* The first row of a result, as a Datum; more rows are only counted. */
typedef struct SingleSink
{
	RowSink		sink;			/* first: give &single.sink to execute; decoder NULL: void,
								 * columns are not looked at */
	MemoryContext context;
	bool		described;
	int		   *map;			/* column -> the result's column; NULL: in order */
	uint64		nrows;			/* too few or too many are for the caller to report */
	Datum		value;			/* valid if nrows > 0, in "context" */
	bool		isnull;
} SingleSink;

/*
 * Initializes a sink of the caller's (it may be a local variable).  The value
 * (of a row decoder: a composite Datum) is made in "context", which should be
 * short-lived since conversion leaves garbage.  Owns nothing else.
 */
extern void plshard_init_single_sink(SingleSink *single, RowDecoder *decoder, RemoteQuery *query,
									 MemoryContext context);

/* All rows, into a tuplestore. */
typedef struct TupleSink
{
	RowSink		sink;			/* first: give &tuples.sink to execute; decoder: never
								 * scalar; NULL until the first result if it was to be
								 * derived */
	bool		derived;
	Tuplestorestate *store;
	MemoryContext context;
	MemoryContext row_context;	/* reset for each row */
	bool		described;
	int		   *map;
	Datum	   *values;
	bool	   *isnull;
} TupleSink;

/*
 * Initializes a sink that puts rows into "store" (the caller's).  With decoder
 * NULL it is made from the first result's columns: a type that is the same on
 * every server is itself, all others are text; find the descriptor in
 * sink->sink.decoder->desc afterwards (decoder stays NULL if no target answered).
 * Working memory is a child of "context" and ends with it.
 */
extern void plshard_init_tuple_sink(TupleSink *tuples, RowDecoder *decoder, RemoteQuery *query,
									Tuplestorestate *store, MemoryContext context);

/* A decoder of a result's own columns, found as plshard_init_tuple_sink does. */
extern RowDecoder *plshard_derive_decoder(const PGresult *result, MemoryContext context);

/* All rows of a result, decoded. */
typedef struct DecodedRows
{
	const PGresult *result;
	int			nrows;
	int			width;			/* of a row */
	const int  *map;			/* column -> the result's column; NULL: in order */
	Datum	   *values;			/* of column i in row r: [r * width + decoder->attributes[i]] */
	bool	   *isnull;
} DecodedRows;

/*
 * Decodes all rows of the query, in the current memory context.  Errors: 42804
 * where the columns are not those of the decoder; whatever decoding a value throws.
 */
extern void plshard_decode_rows(RowDecoder *decoder, RemoteQuery *query, const PGresult *result,
								DecodedRows *rows);

/*
 * A digest of a multiset of rows: rows of equal bytes in any order have equal
 * digests, and different ones do not, but for a collision of two 64-bit hashes at once
 * (they are not cryptographic).  Zero it to begin.
 */
typedef struct RowDigest
{
	uint64		nrows;
	uint64		sums[2];
} RowDigest;

/* Adds a row: lengths, NULLs and bytes of all its fields. */
extern void plshard_digest_row(RowDigest *digest, const PGresult *result, int row);

static inline bool
plshard_digest_equal(const RowDigest *a, const RowDigest *b)
{
	return a->nrows == b->nrows && a->sums[0] == b->sums[0] && a->sums[1] == b->sums[1];
}

#endif							/* PLSHARD_RESULT_H */
