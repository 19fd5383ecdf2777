/*
 * split.c
 *
 * SPLIT: arrays of a call, spread over the shards element by element.
 *
 * What routing finds lives in the call's context until the parameters are
 * encoded.  What evaluating one element leaves behind, and the arrays of one
 * shard, live in a context that is emptied for the next one.
 */
#include "postgres.h"

#include "language/encode.h"
#include "language/expr.h"
#include "language/run_on.h"
#include "language/split.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

/* An element that goes to a shard. */
typedef struct Assignment
{
	int			shard;
	int			element;
} Assignment;

/* The elements that go to one shard. */
typedef struct ShardSlice
{
	uint64		first;			/* in SplitCall.order */
	int			count;
	int			last;			/* element */
	bool		one_hash;		/* all elements have the same: hash */
	uint32		hash;
} ShardSlice;

typedef struct SplitCall
{
	int			nelements;
	Datum	  **elements;		/* of each split value */
	bool	  **nulls;

	ShardSlice *slices;			/* of each shard of the map */
	uint64		nassignments;
	uint64		room;
	Assignment *assignments;	/* by element */
	int		   *order;			/* elements by shard, then position */
} SplitCall;

/* ---- compilation ---- */

/* The element type of an array or of a domain over one; else InvalidOid. */
static Oid
element_type(Oid type)
{
	Oid			base = getBaseType(type);
	Oid			element = get_element_type(base);

	/* int2vector and oidvector have elements, but are not made of any number of them */
	return OidIsValid(element) && get_array_type(element) == base ? element : InvalidOid;
}

bool
plshard_can_split(Oid type)
{
	return OidIsValid(element_type(type));
}

/* The name of a value for messages. */
static const char *
value_name(const PlshardFunction *function, int value)
{
	const char *name = function->values[value].name;

	return name ? psprintf("\"%s\"", name) : psprintf("$%d", value + 1);
}

/* How a value is split; NULL if it is not. */
static const SplitValue *
find_split(const PlshardFunction *function, int value)
{
	for (int i = 0; i < function->nsplits; i++)
	{
		if (function->splits[i].value == value)
			return &function->splits[i];
	}
	return NULL;
}

void
plshard_add_split(PlshardFunction *function, int value, int location)
{
	Oid			type = function->values[value].type;
	SplitValue *split = &function->splits[function->nsplits];

	if (!plshard_can_split(type))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("SPLIT needs arrays, but %s is of type %s",
						value_name(function, value), format_type_be(type)),
				 plshard_errposition(function->source, location)));
	if (find_split(function, value) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_FUNCTION_DEFINITION),
				 errmsg("%s is split already", value_name(function, value)),
				 plshard_errposition(function->source, location)));
	split->value = value;
	split->type = element_type(type);
	get_typlenbyvalalign(split->type, &split->length, &split->by_value, &split->align);
	function->nsplits++;
}

ValueScope *
plshard_element_scope(const PlshardFunction *function)
{
	const ValueScope *whole = function->scope;
	ValueScope *scope = MemoryContextAlloc(function->context, sizeof(ValueScope));
	FunctionValue *values = MemoryContextAlloc(function->context,
											   whole->nvalues * sizeof(FunctionValue));

	memcpy(values, whole->values, whole->nvalues * sizeof(FunctionValue));
	for (int i = 0; i < function->nsplits; i++)
	{
		FunctionValue *value = &values[function->splits[i].value];

		value->type = function->splits[i].type;
		value->is_row = type_is_rowtype(value->type);
	}
	*scope = *whole;
	scope->values = values;
	return scope;
}

/* ---- arrays to elements ---- */

/* The length of the arrays, which is that of all of them. */
static int
check_arrays(const PlshardCall *call)
{
	const PlshardFunction *function = call->function;
	int			length = 0;

	for (int i = 0; i < function->nsplits; i++)
	{
		int			value = function->splits[i].value;
		int			n = 0;

		if (!call->values[value].isnull)
		{
			AnyArrayType *array = DatumGetAnyArrayP(call->values[value].value);

			if (AARR_NDIM(array) > 1)
				ereport(ERROR,
						(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
						 errmsg("SPLIT needs arrays of one dimension"),
						 errdetail("%s has %d dimensions.", value_name(function, value),
								   AARR_NDIM(array))));
			n = ArrayGetNItems(AARR_NDIM(array), AARR_DIMS(array));
		}
		if (i > 0 && n != length)
			ereport(ERROR,
					(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
					 errmsg("SPLIT needs arrays of one length"),
					 errdetail("The length of %s is %d, that of %s is %d.",
							   value_name(function, function->splits[0].value), length,
							   value_name(function, value), n)));
		length = n;
	}
	return length;
}

/* Takes the arrays apart into their elements. */
static SplitCall *
take_apart(const PlshardCall *call, int nelements)
{
	const PlshardFunction *function = call->function;
	SplitCall  *split = palloc0(sizeof(SplitCall));

	split->nelements = nelements;
	split->elements = palloc(function->nsplits * sizeof(Datum *));
	split->nulls = palloc(function->nsplits * sizeof(bool *));
	for (int i = 0; i < function->nsplits; i++)
	{
		const SplitValue *value = &function->splits[i];

		deconstruct_array(DatumGetArrayTypeP(call->values[value->value].value), value->type,
						  value->length, value->by_value, value->align,
						  &split->elements[i], &split->nulls[i], &nelements);
	}
	return split;
}

/* ---- elements to shards ---- */

/* Makes a copy of the call that takes the values of one element after the other. */
static void
begin_elements(const PlshardCall *call, PlshardCall *element)
{
	const PlshardFunction *function = call->function;
	int			nvalues = function->nargs + function->nlets;

	*element = *call;
	element->context = AllocSetContextCreate(call->context, "plshard element",
											 ALLOCSET_DEFAULT_SIZES);
	element->values = palloc(nvalues * sizeof(NullableDatum));
	memcpy(element->values, call->values, nvalues * sizeof(NullableDatum));
	if (call->params != NULL)
	{
		element->params = makeParamList(nvalues);
		memcpy(element->params->params, call->params->params, nvalues * sizeof(ParamExternData));
		for (int i = 0; i < function->nsplits; i++)
			element->params->params[function->splits[i].value].ptype = function->splits[i].type;
	}
}

/* Sets the values of the n-th element. */
static void
set_element(PlshardCall *element, const SplitCall *split, int n)
{
	const PlshardFunction *function = element->function;

	for (int i = 0; i < function->nsplits; i++)
	{
		int			value = function->splits[i].value;

		element->values[value].value = split->elements[i][n];
		element->values[value].isnull = split->nulls[i][n];
		if (element->params != NULL)
		{
			element->params->params[value].value = split->elements[i][n];
			element->params->params[value].isnull = split->nulls[i][n];
		}
	}
}

/* The n-th element goes to a shard, once; elements come in order. */
static void
assign(SplitCall *split, int n, int shard, bool has_hash, uint32 hash)
{
	ShardSlice *slice = &split->slices[shard];

	if (slice->count == 0)
	{
		slice->one_hash = has_hash;
		slice->hash = hash;
	}
	else if (slice->hash != hash)
		slice->one_hash = false;
	if (slice->count > 0 && slice->last == n)
		return;
	slice->last = n;
	slice->count++;

	if (split->nassignments == split->room)
	{
		split->room *= 2;
		split->assignments = repalloc_huge(split->assignments,
										   split->room * sizeof(Assignment));
	}
	split->assignments[split->nassignments++] = (Assignment) {shard, n};
}

static void
element_error_callback(void *arg)
{
	errcontext("element %d of the arrays of SPLIT", *(int *) arg + 1);
}

/* Finds the shards of all elements. */
static void
assign_elements(PlshardCall *call, SplitCall *split)
{
	const ClusterMap *map = call->map;
	RunOnKind	run_on = plshard_run_on(call->function, map);
	PlshardCall element;
	MemoryContext old;
	ErrorContextCallback callback;
	int			n;

	begin_elements(call, &element);
	callback.callback = element_error_callback;
	callback.arg = &n;
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	old = MemoryContextSwitchTo(element.context);
	for (n = 0; n < split->nelements; n++)
	{
		int64	   *hashes;
		uint64		nhashes;

		CHECK_FOR_INTERRUPTS();
		if (run_on == RUN_ON_ANY)
		{
			assign(split, n, plshard_draw_shard(map), false, 0);
			continue;
		}
		MemoryContextReset(element.context);
		set_element(&element, split, n);
		hashes = plshard_eval_hashes(&element, &nhashes);
		for (uint64 i = 0; i < nhashes; i++)
			assign(split, n, plshard_cluster_shard_of_hash(map, hashes[i]), true,
				   (uint32) hashes[i]);
	}
	MemoryContextSwitchTo(old);
	error_context_stack = callback.previous;
	MemoryContextDelete(element.context);
}

/* Puts the elements in order by shard, and makes targets of the shards that have some. */
static void
make_targets(PlshardCall *call, SplitCall *split)
{
	uint64		first = 0;

	call->targets = palloc(call->map->nshards * sizeof(CallTarget));
	for (int i = 0; i < call->map->nshards; i++)
	{
		ShardSlice *slice = &split->slices[i];

		slice->first = first;
		first += slice->count;
		if (slice->count > 0)
		{
			CallTarget *target = &call->targets[call->ntargets++];

			target->shard = i;
			target->has_key = slice->one_hash;	/* of several keys: the whole shard */
			target->key_hash = slice->hash;
			target->params = NULL;
			target->is_stored = false;
		}
		slice->count = 0;
	}

	split->order = MemoryContextAllocHuge(call->context, Max(first, 1) * sizeof(int));
	for (uint64 i = 0; i < split->nassignments; i++)
	{
		ShardSlice *slice = &split->slices[split->assignments[i].shard];

		split->order[slice->first + slice->count++] = split->assignments[i].element;
	}
	pfree(split->assignments);
}

bool
plshard_route_split(PlshardCall *call)
{
	int			nelements = check_arrays(call);
	SplitCall  *split;

	if (nelements == 0)
		return true;			/* no elements: no targets */
	switch (plshard_run_on(call->function, call->map))
	{
		case RUN_ON_NONE:
		case RUN_ON_SHARD:
		case RUN_ON_ALL:
			return false;
		case RUN_ON_HASH:
		case RUN_ON_FUNCTION:
		case RUN_ON_ARG:
		case RUN_ON_ANY:
			break;
	}

	split = take_apart(call, nelements);
	split->slices = palloc0(call->map->nshards * sizeof(ShardSlice));
	split->room = nelements;
	split->assignments = MemoryContextAllocHuge(call->context, split->room * sizeof(Assignment));
	assign_elements(call, split);
	make_targets(call, split);
	call->split = split;
	return true;
}

/* ---- slices of the arrays ---- */

/* The array of a shard's elements. */
static Datum
build_array(const SplitCall *split, const SplitValue *value, int n, const ShardSlice *slice)
{
	Datum	   *elements = palloc(slice->count * sizeof(Datum));
	bool	   *nulls = palloc(slice->count * sizeof(bool));
	int			count = slice->count;
	int			lower_bound = 1;

	for (int i = 0; i < count; i++)
	{
		int			element = split->order[slice->first + i];

		elements[i] = split->elements[n][element];
		nulls[i] = split->nulls[n][element];
	}
	return PointerGetDatum(construct_md_array(elements, nulls, 1, &count, &lower_bound,
											  value->type, value->length, value->by_value,
											  value->align));
}

void
plshard_encode_split(PlshardCall *call)
{
	const PlshardFunction *function = call->function;
	const SplitCall *split = call->split;
	int			nparams = function->query.nparams;
	NullableDatum *args = palloc((nparams + 1) * sizeof(NullableDatum));
	MemoryContext arrays = AllocSetContextCreate(call->context, "plshard split arrays",
												 ALLOCSET_DEFAULT_SIZES);

	for (int t = 0; t < call->ntargets; t++)
	{
		const ShardSlice *slice = &split->slices[call->targets[t].shard];
		RemoteParams *params = palloc(sizeof(RemoteParams));
		MemoryContext old = MemoryContextSwitchTo(arrays);

		for (int i = 0; i < nparams; i++)
		{
			int			value = function->param_values[i];
			const SplitValue *found = find_split(function, value);

			args[i] = call->values[value];
			if (found != NULL)
			{
				args[i].value = build_array(split, found, found - function->splits, slice);
				args[i].isnull = false;
			}
		}
		MemoryContextSwitchTo(old);

		/* arrays are never sent as they lie in memory, so nothing points to them then */
		plshard_encode_args(call, args, params);
		call->targets[t].params = params;
		MemoryContextReset(arrays);
	}
	MemoryContextDelete(arrays);
}
