/*
 * any_shard.h
 *
 * RUN ON ANY: which shard, and which one next where its nodes do not answer.
 */
#ifndef PLSHARD_ANY_SHARD_H
#define PLSHARD_ANY_SHARD_H

#include "call/execution.h"
#include "nodes/bitmapset.h"

/*
 * A shard drawn at random from those that have an active placement on a node which
 * is not in "tried" (indexes into the map), as long as there is one from those with
 * a node that does not look dead; -1 where there is none.
 */
extern int	plshard_any_shard(const ClusterMap *map, const Bitmapset *tried);

/*
 * For a task that has failed on its node: puts it on another shard, to be sent from
 * the beginning.  False where the call is not one of RUN ON ANY, or all have failed.
 */
extern bool plshard_try_any_other(const Execution *e, Task *task);

#endif							/* PLSHARD_ANY_SHARD_H */
