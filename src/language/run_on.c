/*
 * run_on.c
 *
 * RUN ON: values to hash values, and what it means on a map.
 */
#include "postgres.h"

#include "call/any_shard.h"
#include "catalog/pg_type.h"
#include "language/expr.h"
#include "language/run_on.h"

void
plshard_check_run_on(const ClusterMap *map, RunOnKind run_on, int64 run_on_shard)
{
	if (run_on == RUN_ON_NONE && map->nshards > 1 && !map->runs_anywhere)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_FUNCTION_DEFINITION),
				 errmsg("cluster \"%s\" has %d shards, but the function has no RUN ON",
						map->name, map->nshards),
				 errhint("Add a RUN ON statement.")));
	if (run_on == RUN_ON_SHARD && map->nshards > 0 && run_on_shard >= map->nshards)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("there is no shard number " INT64_FORMAT " in cluster \"%s\"",
						run_on_shard, map->name),
				 errdetail_plural("The cluster has %d shard; numbers start from 0.",
								  "The cluster has %d shards; numbers start from 0.",
								  map->nshards, map->nshards)));
}

/* Throws 22004 for a NULL key. */
static void
null_key_error(PlshardCall *call, int key)
{
	PlshardFunction *function = call->function;
	int			value = function->keys->exprs[key].value;

	ereport(ERROR,
			(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
			 errmsg("NULL is not allowed as a shard key"),
			 value >= 0 && function->values[value].name != NULL ?
			 errdetail("\"%s\" is null.", function->values[value].name) :
			 value >= 0 ? errdetail("$%d is null.", value + 1) :
			 function->keys->nexprs > 1 ? errdetail("Key %d is null.", key + 1) : 0));
}

/* The hash of the values of RUN ON hash(...). */
static uint32
hash_keys(PlshardCall *call)
{
	PlshardFunction *function = call->function;
	ExprList   *keys = function->keys;
	NullableDatum *values;
	uint64		nrows;
	uint32		hash = 0;

	values = plshard_eval_rows(call, keys, &nrows);
	Assert(nrows == 1);
	for (int i = 0; i < keys->nexprs; i++)
	{
		uint32		key_hash;

		if (values[i].isnull)
			null_key_error(call, i);
		key_hash = plshard_shard_hash(&function->hashes[i], values[i].value);
		hash = i == 0 ? key_hash : plshard_shard_hash_combine(hash, key_hash);
	}
	return hash;
}

/* A hash value that the user gave as some integer type. */
static int64
integer_hash(PlshardCall *call, NullableDatum value)
{
	if (value.isnull)
		null_key_error(call, 0);
	switch (call->function->hash_type)
	{
		case INT2OID:
			return DatumGetInt16(value.value);
		case INT4OID:
			return DatumGetInt32(value.value);
		default:
			return DatumGetInt64(value.value);
	}
}

int64 *
plshard_eval_hashes(PlshardCall *call, uint64 *nhashes)
{
	PlshardFunction *function = call->function;
	NullableDatum *values;
	int64	   *hashes;

	if (function->run_on == RUN_ON_HASH)
	{
		hashes = palloc(sizeof(int64));
		*hashes = (int32) hash_keys(call);
		*nhashes = 1;
		return hashes;
	}
	values = plshard_eval_rows(call, function->keys, nhashes);
	hashes = palloc_extended(Max(*nhashes, 1) * sizeof(int64), MCXT_ALLOC_HUGE);
	for (uint64 i = 0; i < *nhashes; i++)
		hashes[i] = integer_hash(call, values[i]);
	return hashes;
}

RunOnKind
plshard_run_on(const PlshardFunction *function, const ClusterMap *map)
{
	if (function->run_on == RUN_ON_NONE && !function->connects && map->runs_anywhere)
		return RUN_ON_ANY;
	return function->run_on;
}

int
plshard_draw_shard(const ClusterMap *map)
{
	/* where none has an active placement, any of them raises the error */
	return Max(plshard_any_shard(map, NULL), 0);
}
