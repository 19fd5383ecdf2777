/*
 * any_shard.c
 *
 * RUN ON ANY.  Allocates in the current memory context, the call's.
 */
#include "postgres.h"

#include "call/any_shard.h"
#include "common/pg_prng.h"
#include "connection/health.h"

typedef enum ShardPromise
{
	SHARD_TRIED,				/* or it has no active placement */
	SHARD_LOOKS_DEAD,
	SHARD_LOOKS_ALIVE
} ShardPromise;

/* Looks at all active placements of a shard. */
static ShardPromise
promise_of(const ClusterMap *map, int shard, const Bitmapset *tried)
{
	ShardPromise promise = SHARD_TRIED;

	for (int i = 0; i < map->shards[shard].nactive; i++)
	{
		int			node = plshard_placement(map, shard, i)->node;

		if (bms_is_member(node, tried))
			continue;
		if (!plshard_node_looks_dead(map, node))
			return SHARD_LOOKS_ALIVE;
		promise = SHARD_LOOKS_DEAD;
	}
	return promise;
}

/* A random number below n. */
static uint64
draw(uint64 n)
{
	return pg_prng_uint64_range(&pg_global_prng_state, 0, n - 1);
}

int
plshard_any_shard(const ClusterMap *map, const Bitmapset *tried)
{
	int			best = (int) draw(map->nshards);
	ShardPromise promise = promise_of(map, best, tried);
	uint64		equals = 0;

	if (promise == SHARD_LOOKS_ALIVE)
		return best;
	for (int i = 0; i < map->nshards; i++)
	{
		ShardPromise this = promise_of(map, i, tried);

		if (this < promise)
			continue;
		if (this > promise)
			equals = 0;
		promise = this;
		/* reservoir sampling: all equally good ones have the same chance */
		if (draw(++equals) == 0)
			best = i;
	}
	return promise == SHARD_TRIED ? -1 : best;
}

bool
plshard_try_any_other(const Execution *e, Task *task)
{
	int			shard;

	if (e->request == NULL || !e->request->any_shard)
		return false;
	task->tried_nodes = bms_add_member(task->tried_nodes, task->node);
	shard = plshard_any_shard(e->map, task->tried_nodes);
	if (shard < 0)
		return false;
	task->shard = shard;
	task->tried = 0;
	return true;
}
