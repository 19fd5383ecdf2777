/*
 * locks.h
 *
 * The advisory lock keys of PROTOCOL rule 1.  They depend on the cluster's id,
 * since clusters may share a node, and are the same on every front.
 */
#ifndef PLSHARD_LOCKS_H
#define PLSHARD_LOCKS_H

#include "cluster/map.h"

/* The 64-bit advisory lock key of a whole shard, and of one key of it. */
extern int64 plshard_shard_lock_key(const ClusterMap *map, int64 shard_id);
extern int64 plshard_key_lock_key(const ClusterMap *map, int64 shard_id, uint32 key_hash);

#endif							/* PLSHARD_LOCKS_H */
