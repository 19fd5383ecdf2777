/*
 * route.c
 *
 * RUN ON: values to shards.  Targets are made in the call's context.
 */
#include "postgres.h"

#include "call/any_shard.h"
#include "language/expr.h"
#include "language/route.h"
#include "language/split.h"

#include "catalog/pg_type.h"

void
plshard_check_route(const ClusterMap *map, RunOnKind run_on, int64 run_on_shard)
{
	if (run_on == RUN_ON_NONE && map->nshards > 1 && !map->runs_anywhere)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_FUNCTION_DEFINITION),
				 errmsg("cluster \"%s\" has %d shards, but the function does not say on which to run",
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
	/* where none has an active placement, any of them says so */
	return Max(plshard_any_shard(map, NULL), 0);
}

static void
add_target(PlshardCall *call, int shard, bool has_key, uint32 key_hash)
{
	CallTarget *target = &call->targets[call->ntargets++];

	target->shard = shard;
	target->has_key = has_key;
	target->recorded = false;
	target->key_hash = key_hash;
	target->params = &call->remote_params;
}

static int
compare_targets(const void *a, const void *b)
{
	return ((const CallTarget *) a)->shard - ((const CallTarget *) b)->shard;
}

/* Orders targets and makes one of those that share a shard. */
static void
fold_targets(PlshardCall *call)
{
	int			n = 0;

	qsort(call->targets, call->ntargets, sizeof(CallTarget), compare_targets);
	for (int i = 0; i < call->ntargets; i++)
	{
		CallTarget *target = &call->targets[i];
		CallTarget *last = n > 0 ? &call->targets[n - 1] : NULL;

		if (last == NULL || last->shard != target->shard)
			call->targets[n++] = *target;
		else if (last->key_hash != target->key_hash)
			last->has_key = false;	/* of several keys: the whole shard */
	}
	call->ntargets = n;
}

static void
make_room(PlshardCall *call, uint64 ntargets)
{
	call->targets = MemoryContextAllocHuge(call->context,
										   Max(ntargets, 1) * sizeof(CallTarget));
}

void
plshard_route(PlshardCall *call)
{
	PlshardFunction *function = call->function;
	ClusterMap *map = call->map;
	int64	   *hashes;
	uint64		nhashes;

	if (map->nshards == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cluster \"%s\" has no shards yet", map->name),
				 errhint("Create them by plshard.create_shards.")));

	if (function->nsplits > 0 && plshard_route_split(call))
		return;

	switch (plshard_run_on(function, map))
	{
		case RUN_ON_HASH:
		case RUN_ON_FUNCTION:
		case RUN_ON_ARG:
			hashes = plshard_eval_hashes(call, &nhashes);
			make_room(call, nhashes);
			for (uint64 i = 0; i < nhashes; i++)
				add_target(call, plshard_cluster_shard_of_hash(map, hashes[i]), true,
						   (uint32) hashes[i]);
			if (nhashes > 1)
				fold_targets(call);
			break;

		case RUN_ON_ALL:
			make_room(call, map->nshards);
			for (int i = 0; i < map->nshards; i++)
				add_target(call, i, false, 0);
			break;

		case RUN_ON_ANY:
			make_room(call, 1);
			add_target(call, plshard_draw_shard(map), false, 0);
			break;

		case RUN_ON_NONE:
		case RUN_ON_SHARD:
			plshard_check_route(map, function->run_on, function->run_on_shard);
			make_room(call, 1);
			add_target(call, function->run_on == RUN_ON_SHARD ? (int) function->run_on_shard : 0,
					   false, 0);
			break;
	}
}
