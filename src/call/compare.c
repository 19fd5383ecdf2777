/*
 * compare.c
 *
 * Compares the rows of two replicas by what they mean: 1.0 is 1.00, 0 is -0, NaN
 * is NaN however its bits are set, and a nondeterministic collation determines which
 * strings are equal.  Which of several equal values a query returns (DISTINCT,
 * max) may depend on where rows lie on disk, and that is not the same on replicas.
 *
 * Works in a memory context of its own, gone when it returns.
 */
#include "postgres.h"

#include "call/compare.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

/* Bytes of a row that an error shows. */
#define SHOWN_ROW 200

typedef struct ComparedColumn
{
	int			column;
	int			attribute;		/* in a row's values */
	Oid			type;
	bool		ordered;		/* the type has a btree operator class: */
	FmgrInfo	compare;
	Oid			collation;
} ComparedColumn;

typedef struct Comparison
{
	int			ncolumns;
	ComparedColumn *columns;
} Comparison;

/* The rows of one replica. */
typedef struct ReplicaRows
{
	const Comparison *comparison;
	DecodedRows rows;
	int		   *order;			/* sorted */
} ReplicaRows;

/* Looks up how each column's values are compared. */
static void
init_comparison(Comparison *c, const RowDecoder *decoder)
{
	c->ncolumns = decoder->ncolumns;
	c->columns = palloc0(sizeof(ComparedColumn) * Max(c->ncolumns, 1));
	for (int i = 0; i < c->ncolumns; i++)
	{
		ComparedColumn *column = &c->columns[i];
		TypeCacheEntry *cache;

		column->column = i;
		column->attribute = decoder->attributes[i];
		column->type = decoder->columns[i].type;
		cache = lookup_type_cache(column->type, TYPECACHE_CMP_PROC_FINFO);
		if (OidIsValid(cache->cmp_proc_finfo.fn_oid))
		{
			column->ordered = true;
			fmgr_info_copy(&column->compare, &cache->cmp_proc_finfo, CurrentMemoryContext);
		}
		column->collation = decoder->desc ?
			TupleDescAttr(decoder->desc, column->attribute)->attcollation :
			get_typcollation(column->type);
	}
}

/* Compares two values of a column by length and bytes, as memcmp does. */
static int
compare_bytes(const ComparedColumn *column, const DecodedRows *a, int i, const DecodedRows *b, int j)
{
	int			x = a->map ? a->map[column->column] : column->column;
	int			y = b->map ? b->map[column->column] : column->column;
	int			length_a = PQgetlength(a->result, i, x);
	int			length_b = PQgetlength(b->result, j, y);

	if (length_a != length_b)
		return length_a < length_b ? -1 : 1;
	return memcmp(PQgetvalue(a->result, i, x), PQgetvalue(b->result, j, y), length_a);
}

/* A total order of rows, of any two replicas. */
static int
compare_rows(const Comparison *c, const DecodedRows *a, int i, const DecodedRows *b, int j)
{
	for (int k = 0; k < c->ncolumns; k++)
	{
		const ComparedColumn *column = &c->columns[k];
		Size		x = (Size) i * a->width + column->attribute;
		Size		y = (Size) j * b->width + column->attribute;
		int			order;

		if (a->isnull[x] || b->isnull[y])
			order = (int) b->isnull[y] - (int) a->isnull[x];
		else if (!column->ordered)
			order = compare_bytes(column, a, i, b, j);
		else
			order = DatumGetInt32(FunctionCall2Coll(&c->columns[k].compare, column->collation,
													a->values[x], b->values[y]));
		if (order != 0)
			return order;
	}
	return 0;
}

/* qsort_arg comparator of the row numbers of one replica. */
static int
compare_own_rows(const void *a, const void *b, void *arg)
{
	const ReplicaRows *replica = arg;

	return compare_rows(replica->comparison, &replica->rows, *(const int *) a,
						&replica->rows, *(const int *) b);
}

/* Decodes a replica's rows and sorts them. */
static void
read_replica(ReplicaRows *replica, const Comparison *c, RowDecoder *decoder, RemoteQuery *query,
			 const Task *task)
{
	replica->comparison = c;
	plshard_decode_rows(decoder, query, task->result, &replica->rows);
	replica->order = palloc_extended(Max(replica->rows.nrows, 1) * sizeof(int), MCXT_ALLOC_HUGE);
	for (int i = 0; i < replica->rows.nrows; i++)
		replica->order[i] = i;
	qsort_arg(replica->order, replica->rows.nrows, sizeof(int), compare_own_rows, replica);
}

/* A row as an error shows it. */
static char *
show_row(const Comparison *c, const DecodedRows *rows, int row)
{
	StringInfoData text;

	initStringInfo(&text);
	for (int i = 0; i < c->ncolumns && text.len <= SHOWN_ROW; i++)
	{
		const ComparedColumn *column = &c->columns[i];
		Size		at = (Size) row * rows->width + column->attribute;
		Oid			output;
		bool		is_varlena;

		appendStringInfoString(&text, i > 0 ? ", " : "");
		getTypeOutputInfo(column->type, &output, &is_varlena);
		appendStringInfoString(&text, rows->isnull[at] ? "null" :
							   OidOutputFunctionCall(output, rows->values[at]));
	}
	if (text.len > SHOWN_ROW)
	{
		text.len = pg_mbcliplen(text.data, text.len, SHOWN_ROW);
		text.data[text.len] = '\0';
		appendStringInfoString(&text, "...");
	}
	return text.data;
}

/* The sentence about a replica's n-th row in order, which the other one lacks. */
static char *
describe_row(const ReplicaRows *replica, int n, const char *node_name)
{
	const Comparison *c = replica->comparison;
	const DecodedRows *rows = &replica->rows;
	bool		again = n > 0 && compare_rows(c, rows, replica->order[n - 1],
											  rows, replica->order[n]) == 0;

	return psprintf(again ? "Row (%s) came more often from node \"%s\"." :
					"Row (%s) came from node \"%s\" only.",
					show_row(c, rows, replica->order[n]), node_name);
}

/* Merges the sorted rows of two replicas; describes the first that only one has, or returns NULL. */
static char *
compare_kept_rows(const Execution *e, const Task *a, const Task *b)
{
	RowDecoder *decoder = e->sink->decoder;
	Comparison	comparison;
	ReplicaRows x;
	ReplicaRows y;
	int			i = 0;
	int			j = 0;

	if (decoder == NULL)
		decoder = plshard_derive_decoder(a->result, CurrentMemoryContext);
	init_comparison(&comparison, decoder);
	read_replica(&x, &comparison, decoder, e->sink->query, a);
	read_replica(&y, &comparison, decoder, e->sink->query, b);
	while (i < x.rows.nrows && j < y.rows.nrows)
	{
		int			order = compare_rows(&comparison, &x.rows, x.order[i], &y.rows, y.order[j]);

		if (order < 0)
			break;
		if (order > 0)
			return describe_row(&y, j, e->map->nodes[b->node].name);
		i++;
		j++;
	}
	if (i < x.rows.nrows)
		return describe_row(&x, i, e->map->nodes[a->node].name);
	if (j < y.rows.nrows)
		return describe_row(&y, j, e->map->nodes[b->node].name);
	return NULL;
}

/* plshard_find_difference, in a memory context that its garbage may stay in. */
static char *
find_difference(const Execution *e, const Task *a, const Task *b)
{
	const char *node_a = e->map->nodes[a->node].name;
	const char *node_b = e->map->nodes[b->node].name;

	if (e->request->targets[a->target].is_stored)
		return plshard_digest_equal(&a->digest, &b->digest) ? NULL :
			pstrdup("It is what they have kept under the call's id.");
	if (PQnfields(a->result) != PQnfields(b->result))
		return psprintf("Columns: %d from node \"%s\", %d from node \"%s\".",
						PQnfields(a->result), node_a, PQnfields(b->result), node_b);
	if (PQntuples(a->result) == a->digest.nrows && PQntuples(b->result) == b->digest.nrows)
	{
		char	   *difference = compare_kept_rows(e, a, b);

		if (difference != NULL)
			return difference;
	}
	else if (!plshard_digest_equal(&a->digest, &b->digest))
		return psprintf("Rows: " UINT64_FORMAT " from node \"%s\", " UINT64_FORMAT
						" from node \"%s\". They need more than work_mem, so the first that differs is not known.",
						a->digest.nrows, node_a, b->digest.nrows, node_b);
	if (a->affected != b->affected)
		return psprintf("Rows changed: " UINT64_FORMAT " on node \"%s\", " UINT64_FORMAT " on node \"%s\".",
						a->affected, node_a, b->affected, node_b);
	return NULL;
}

char *
plshard_find_difference(const Execution *e, const Task *a, const Task *b)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "plshard comparison",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	char	   *difference = find_difference(e, a, b);

	MemoryContextSwitchTo(caller);
	if (difference != NULL)
		difference = pstrdup(difference);
	MemoryContextDelete(context);
	return difference;
}
