/*
 * shard_lock.h
 *
 * Blocks the writers of one shard from outside of calls: repair and
 * verify lock the shard on its active placements, one after the other in
 * placement order, and check afterwards that those still are the active ones.
 */
#ifndef PLSHARD_SHARD_LOCK_H
#define PLSHARD_SHARD_LOCK_H

#include "base/compat.h"
#include "cluster/cluster.h"

/* How often the placements may change between the read of the map and the locks. */
#define SHARD_LOCK_ATTEMPTS 20

/*
 * The commands that begin a read-only transaction on a node, wait for a
 * shard's lock (exclusive) and read the node's epoch: the result.  palloc'd.
 */
extern char *plshard_lock_shard_command(const ClusterMap *map, int64 shard_id);

/* Whether the shard has the same active placements, in the same order, in both maps. */
extern bool plshard_same_active_placements(const ClusterMap *a, const ClusterMap *b,
										   int64 shard_id);

/* Throws 55000: the placements of a shard change too often. */
pg_noreturn extern void plshard_shard_restless(int64 shard_id);

#endif							/* PLSHARD_SHARD_LOCK_H */
