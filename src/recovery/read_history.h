/*
 * read_history.h
 *
 * Reads that move from one placement of a shard to another (PROTOCOL rule 23).
 */
#ifndef PLSHARD_READ_HISTORY_H
#define PLSHARD_READ_HISTORY_H

#include "base/wait.h"
#include "cluster/map.h"

/*
 * To be called before a shard is read from a node.  Where this session has read the
 * shard from another node before, resolves what is in doubt on this one, for half of the
 * time until the deadline (if any) at most: else it might see the state before a
 * transaction whose effects it has seen.  Where that is not possible the read goes on.
 */
extern void plshard_before_read(const ClusterMap *map, int shard, int node, Deadline deadline);

/* Notes from which node a shard has been read. */
extern void plshard_note_read(const ClusterMap *map, int shard, int node);

#endif							/* PLSHARD_READ_HISTORY_H */
