/*
 * result.c
 *
 * Rows of remote results into Datums and tuplestores, and the digest of rows.
 * Decoders live in a function's context.  A sink belongs to one call: the
 * single one converts in the context that its value is wanted in, the other in
 * a context that is reset for each row.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "base/compat.h"
#include "call/result.h"
#include "call/wire_types.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

/* Allocates a decoder; its columns are to be filled in. */
static RowDecoder *
make_decoder(int ncolumns, MemoryContext context)
{
	RowDecoder *decoder = MemoryContextAllocZero(context, sizeof(RowDecoder));

	decoder->ncolumns = ncolumns;
	decoder->attributes = MemoryContextAllocZero(context, sizeof(int) * ncolumns);
	decoder->columns = MemoryContextAllocZero(context, sizeof(ColumnDecoder) * ncolumns);
	decoder->context = context;
	return decoder;
}

RowDecoder *
plshard_make_scalar_decoder(Oid type, int32 typmod, const char *name, MemoryContext context)
{
	RowDecoder *decoder = make_decoder(1, context);

	plshard_init_decoder(&decoder->columns[0], type, typmod, name, context);
	return decoder;
}

RowDecoder *
plshard_make_row_decoder(TupleDesc desc, Oid domain, MemoryContext context)
{
	RowDecoder *decoder;
	MemoryContext old_context;
	int			ncolumns = 0;

	for (int i = 0; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped)
			ncolumns++;

	decoder = make_decoder(ncolumns, context);
	decoder->domain = domain;

	old_context = MemoryContextSwitchTo(context);
	decoder->desc = BlessTupleDesc(CreateTupleDescCopy(desc));
	MemoryContextSwitchTo(old_context);

	for (int i = 0, column = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(decoder->desc, i);

		if (attribute->attisdropped)
			continue;
		decoder->attributes[column] = i;
		plshard_init_decoder(&decoder->columns[column], attribute->atttypid,
							 attribute->atttypmod, NameStr(attribute->attname), context);
		column++;
	}
	return decoder;
}

/* A decoder for whatever a result has. */
RowDecoder *
plshard_derive_decoder(const PGresult *result, MemoryContext context)
{
	TupleDesc	desc;
	RowDecoder *decoder;

	if (PQnfields(result) > MaxTupleAttributeNumber)
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("remote result has %d columns", PQnfields(result)),
				 errdetail("At most %d are possible.", MaxTupleAttributeNumber)));
	desc = CreateTemplateTupleDesc(PQnfields(result));
	for (int i = 0; i < desc->natts; i++)
	{
		Oid			type = PQftype(result, i);

		TupleDescInitEntry(desc, i + 1, PQfname(result, i),
						   plshard_is_common_type(type) ? type : TEXTOID, -1, 0);
	}
	decoder = plshard_make_row_decoder(desc, InvalidOid, context);
	FreeTupleDesc(desc);
	return decoder;
}

bool
plshard_decodes_binary(const RowDecoder *decoder)
{
	for (int i = 0; i < decoder->ncolumns; i++)
		if (!OidIsValid(decoder->columns[i].wire_type))
			return false;
	return true;
}

/*
 * Columns of results
 */

/* Appends a quoted name to a list. */
static void
append_name(StringInfo names, const char *name)
{
	appendStringInfo(names, names->len > 0 ? ", \"%s\"" : "\"%s\"", name);
}

/* The first result column of that name that is still free; -1 if there is none. */
static int
find_field(const PGresult *result, const char *name, const bool *taken)
{
	for (int i = 0; i < PQnfields(result); i++)
		if (!taken[i] && strcmp(PQfname(result, i), name) == 0)
			return i;
	return -1;
}

/*
 * Finds the result column of each expected one.  Returns NULL if they come in
 * order, else an array in the current memory context.
 */
static int *
map_columns(const RowDecoder *decoder, const PGresult *result)
{
	int			nfields = PQnfields(result);
	int			nequal = 0;
	int		   *map;
	bool	   *taken;
	StringInfoData missing;
	StringInfoData surplus;

	if (decoder->desc == NULL)
	{
		if (nfields != 1)
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("remote result has %d columns instead of one", nfields),
					 nfields == 0 ?
					 errhint("Add RETURNING, or declare that the function returns void.") : 0));
		return NULL;
	}

	if (nfields == 1 && decoder->ncolumns == 1)
		return NULL;

	while (nequal < Min(nfields, decoder->ncolumns) &&
		   strcmp(PQfname(result, nequal), decoder->columns[nequal].name) == 0)
		nequal++;
	if (nequal == nfields && nequal == decoder->ncolumns)
		return NULL;

	map = palloc(sizeof(int) * decoder->ncolumns);
	taken = palloc0(sizeof(bool) * nfields);
	initStringInfo(&missing);
	initStringInfo(&surplus);
	for (int i = 0; i < decoder->ncolumns; i++)
	{
		map[i] = find_field(result, decoder->columns[i].name, taken);
		if (map[i] < 0)
			append_name(&missing, decoder->columns[i].name);
		else
			taken[map[i]] = true;
	}
	for (int i = 0; i < nfields; i++)
		if (!taken[i])
			append_name(&surplus, PQfname(result, i));

	if (missing.len > 0 || surplus.len > 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("remote result has other columns than the function expects"),
				 surplus.len == 0 ? errdetail("Missing columns: %s.", missing.data) :
				 missing.len == 0 ? errdetail("Surplus columns: %s.", surplus.data) :
				 errdetail("Missing columns: %s; surplus columns: %s.",
						   missing.data, surplus.data),
				 errhint("Columns are found by their names.")));
	return map;
}

static bool
same_map(const int *a, const int *b, int ncolumns)
{
	if (a == NULL || b == NULL)
		return a == b;
	return memcmp(a, b, sizeof(int) * ncolumns) == 0;
}

/*
 * Makes the decoder ready for a result.  A binary one that cannot be read makes
 * the query ask for text from now on.
 */
static void
open_columns(RowDecoder *decoder, RemoteQuery *query, const PGresult *result, const int *map)
{
	for (int i = 0; i < decoder->ncolumns; i++)
	{
		if (plshard_open_column(&decoder->columns[i], result, map ? map[i] : i))
			continue;
		query->text_only = true;
		query->result_format = 0;
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of the remote result has changed its type",
						decoder->columns[i].name),
				 errdetail("The node returned a type of its own in place of one that travels in binary."),
				 errhint("Call the function again: its results will travel as text.")));
	}
}

/*
 * Checks the columns of one target's result.  The first one's map serves all, since
 * a row does not show its target.  Notes in which format to ask for the next.
 */
static void
check_columns(RowSink *sink, const PGresult *result, bool *described, int **map)
{
	RowDecoder *decoder = sink->decoder;
	int		   *new_map = map_columns(decoder, result);
	bool		binary = !sink->query->text_only && (!*described || sink->query->result_format == 1);

	open_columns(decoder, sink->query, result, new_map);
	for (int i = 0; i < decoder->ncolumns; i++)
		binary &= plshard_reads_binary(&decoder->columns[i], result, new_map ? new_map[i] : i);
	sink->query->result_format = binary ? 1 : 0;

	if (*described && !same_map(*map, new_map, decoder->ncolumns))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("shards return the columns in different orders"),
				 errhint("Name the columns in the remote statement.")));
	*map = new_map;
	*described = true;
}

/*
 * Rows
 */

/* Adds the column to an error that comes from its value. */
static void
add_column_context(void *arg)
{
	const ColumnDecoder *column = *(const ColumnDecoder **) arg;

	if (column)
		errcontext("column \"%s\" of the remote result", column->name);
}

/*
 * Decodes a row of a result, or one that was copied, in the current memory context,
 * leaving dropped columns alone.
 */
static inline void
decode_row(const RowDecoder *decoder, const int *map, const PGresult *result, int row,
		   const WireField *copied, Datum *values, bool *isnull)
{
	ColumnDecoder *column = NULL;
	ErrorContextCallback callback;

	callback.callback = add_column_context;
	callback.arg = &column;
	callback.previous = error_context_stack;
	error_context_stack = &callback;

	for (int i = 0; i < decoder->ncolumns; i++)
	{
		int			attribute = decoder->attributes[i];

		column = &decoder->columns[i];
		values[attribute] = copied ?
			plshard_decode_bytes(column, copied[i].bytes, copied[i].length, &isnull[attribute]) :
			plshard_decode_column(column, result, row, map ? map[i] : i, &isnull[attribute]);
	}

	error_context_stack = callback.previous;
}

/* decode_row for a result's row. */
static void
decode_columns(const RowDecoder *decoder, const int *map, const PGresult *result, int row,
			   Datum *values, bool *isnull)
{
	decode_row(decoder, map, result, row, NULL, values, isnull);
}

/* Makes room for a row; columns are NULL until decoded. */
static void
make_row(const RowDecoder *decoder, Datum **values, bool **isnull)
{
	int			natts = decoder->desc->natts;

	*values = palloc0(sizeof(Datum) * natts);
	*isnull = palloc(sizeof(bool) * natts);
	memset(*isnull, true, sizeof(bool) * natts);
}

/* The composite Datum of a decoded row, of the domain if there is one. */
static Datum
make_composite(RowDecoder *decoder, Datum *values, bool *isnull)
{
	Datum		row = HeapTupleGetDatum(heap_form_tuple(decoder->desc, values, isnull));

	if (OidIsValid(decoder->domain))
		domain_check(row, false, decoder->domain, &decoder->domain_cache, decoder->context);
	return row;
}

void
plshard_decode_rows(RowDecoder *decoder, RemoteQuery *query, const PGresult *result,
					DecodedRows *rows)
{
	rows->result = result;
	rows->nrows = PQntuples(result);
	rows->width = decoder->desc ? decoder->desc->natts : 1;
	rows->map = map_columns(decoder, result);
	open_columns(decoder, query, result, rows->map);
	rows->values = palloc_extended(Max((Size) rows->nrows * rows->width, 1) * sizeof(Datum),
								   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	rows->isnull = palloc_extended(Max((Size) rows->nrows * rows->width, 1), MCXT_ALLOC_HUGE);
	for (int row = 0; row < rows->nrows; row++)
		decode_columns(decoder, rows->map, result, row, rows->values + (Size) row * rows->width,
					   rows->isnull + (Size) row * rows->width);
}

/*
 * SingleSink
 */

static void
single_describe(RowSink *sink, const PGresult *result)
{
	SingleSink *single = (SingleSink *) sink;
	MemoryContext old_context;

	if (single->sink.decoder == NULL)
		return;
	old_context = MemoryContextSwitchTo(single->context);
	check_columns(sink, result, &single->described, &single->map);
	MemoryContextSwitchTo(old_context);
}

static void
single_row(RowSink *sink, const PGresult *result, int row)
{
	SingleSink *single = (SingleSink *) sink;
	RowDecoder *decoder = single->sink.decoder;
	MemoryContext old_context;

	if (single->nrows++ > 0 || decoder == NULL)
		return;

	Assert(single->described);
	old_context = MemoryContextSwitchTo(single->context);
	if (decoder->desc == NULL)
		decode_columns(decoder, single->map, result, row, &single->value, &single->isnull);
	else
	{
		Datum	   *values;
		bool	   *isnull;

		make_row(decoder, &values, &isnull);
		decode_columns(decoder, single->map, result, row, values, isnull);
		single->value = make_composite(decoder, values, isnull);
		single->isnull = false;
	}
	MemoryContextSwitchTo(old_context);
}

static void
single_reset(RowSink *sink)
{
	SingleSink *single = (SingleSink *) sink;

	single->described = false;
	single->map = NULL;
	single->nrows = 0;
	single->value = (Datum) 0;
	single->isnull = true;
}

void
plshard_init_single_sink(SingleSink *single, RowDecoder *decoder, RemoteQuery *query,
						 MemoryContext context)
{
	single->sink.streaming = false;
	single->sink.row = single_row;
	single->sink.copied_row = NULL;
	single->sink.reset = single_reset;
	single->sink.describe = single_describe;
	single->sink.decoder = decoder;
	single->sink.query = query;
	single->context = context;
	single_reset(&single->sink);
}

/*
 * TupleSink
 */

static void
tuples_describe(RowSink *sink, const PGresult *result)
{
	TupleSink  *tuples = (TupleSink *) sink;
	bool		first = !tuples->described;
	MemoryContext old_context = MemoryContextSwitchTo(tuples->context);

	if (tuples->sink.decoder == NULL)
		tuples->sink.decoder = plshard_derive_decoder(result, tuples->context);
	check_columns(sink, result, &tuples->described, &tuples->map);
	if (first)
		make_row(tuples->sink.decoder, &tuples->values, &tuples->isnull);
	MemoryContextSwitchTo(old_context);
}

/* A row of a result, or a copied one. */
static inline void
put_row(TupleSink *tuples, const PGresult *result, int row, const WireField *copied)
{
	RowDecoder *decoder = tuples->sink.decoder;
	MemoryContext old_context;

	old_context = MemoryContextSwitchTo(tuples->row_context);
	decode_row(decoder, tuples->map, result, row, copied, tuples->values, tuples->isnull);
	if (OidIsValid(decoder->domain))
		(void) make_composite(decoder, tuples->values, tuples->isnull);
	tuplestore_putvalues(tuples->store, decoder->desc, tuples->values, tuples->isnull);
	MemoryContextSwitchTo(old_context);
	MemoryContextReset(tuples->row_context);
}

static void
tuples_row(RowSink *sink, const PGresult *result, int row)
{
	Assert(((TupleSink *) sink)->described);
	put_row((TupleSink *) sink, result, row, NULL);
}

static void
tuples_copied_row(RowSink *sink, const WireField *fields)
{
	TupleSink  *tuples = (TupleSink *) sink;

	if (tuples->values == NULL)
	{
		MemoryContext old_context = MemoryContextSwitchTo(tuples->context);

		make_row(tuples->sink.decoder, &tuples->values, &tuples->isnull);
		MemoryContextSwitchTo(old_context);
	}
	put_row(tuples, NULL, 0, fields);
}

static void
tuples_reset(RowSink *sink)
{
	TupleSink  *tuples = (TupleSink *) sink;

	tuplestore_clear(tuples->store);
	if (tuples->derived)
		tuples->sink.decoder = NULL;
	tuples->described = false;
	tuples->map = NULL;
}

void
plshard_init_tuple_sink(TupleSink *tuples, RowDecoder *decoder, RemoteQuery *query,
						Tuplestorestate *store, MemoryContext context)
{
	tuples->sink.streaming = true;
	tuples->sink.row = tuples_row;
	tuples->sink.copied_row = decoder ? tuples_copied_row : NULL;
	tuples->sink.reset = tuples_reset;
	tuples->sink.describe = tuples_describe;
	tuples->sink.decoder = decoder;
	tuples->derived = decoder == NULL;
	tuples->sink.query = query;
	tuples->store = store;
	tuples->context = context;
	tuples->row_context = AllocSetContextCreate(context, "plshard row", ALLOCSET_DEFAULT_SIZES);
	tuples->described = false;
	tuples->map = NULL;
	tuples->values = NULL;
	tuples->isnull = NULL;
}

/*
 * Digests
 */

void
plshard_digest_row(RowDigest *digest, const PGresult *result, int row)
{
	/* any two different numbers */
	uint64		hashes[2] = {UINT64CONST(0x9e3779b97f4a7c15), UINT64CONST(0xc2b2ae3d27d4eb4f)};

	for (int column = 0; column < PQnfields(result); column++)
	{
		bool		isnull = PQgetisnull(result, row, column);
		int			length = isnull ? -1 : PQgetlength(result, row, column);
		const unsigned char *bytes = (unsigned char *) PQgetvalue(result, row, column);

		for (int i = 0; i < 2; i++)
		{
			hashes[i] = hash_bytes_extended((unsigned char *) &length, sizeof(length), hashes[i]);
			if (length > 0)
				hashes[i] = hash_bytes_extended(bytes, length, hashes[i]);
		}
	}

	digest->nrows++;
	digest->sums[0] += hashes[0];
	digest->sums[1] += hashes[1];
}
