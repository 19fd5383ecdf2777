/*
 * route.c
 *
 * The targets of a call: the shards that RUN ON gives.  They are made in the
 * call's context.
 */
#include "postgres.h"

#include "language/route.h"
#include "language/run_on.h"
#include "language/split.h"

/* Adds a target; there is room for it. */
static void
add_target(PlshardCall *call, int shard, bool has_key, uint32 key_hash)
{
	CallTarget *target = &call->targets[call->ntargets++];

	target->shard = shard;
	target->has_key = has_key;
	target->is_stored = false;
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

/* Allocates the array of targets. */
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
			plshard_check_run_on(map, function->run_on, function->run_on_shard);
			make_room(call, 1);
			add_target(call, function->run_on == RUN_ON_SHARD ? (int) function->run_on_shard : 0,
					   false, 0);
			break;
	}
}
