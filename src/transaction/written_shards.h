/*
 * written_shards.h
 *
 * The shards that the current transaction has written: what its commit must keep on
 * some active placement of each.
 */
#ifndef PLSHARD_WRITTEN_SHARDS_H
#define PLSHARD_WRITTEN_SHARDS_H

#include "connection/node_conn.h"
#include "utils/hsearch.h"

typedef struct WrittenShardKey
{
	ClusterRef	cluster;
	int64		shard_id;
} WrittenShardKey;

/* An entry of the table of written shards. */
typedef struct WrittenShard
{
	WrittenShardKey key;
	Oid			userid;			/* the role that wrote; InvalidOid: several did */
	int			number;			/* in the order in which shards were written first */
	int64		epoch;			/* of the map with which it was written first */
} WrittenShard;

/*
 * Notes that the transaction has written on the active placements of a shard (an index
 * into the map).  Returns the table of all written shards.
 */
extern HTAB *plshard_xact_wrote(const ClusterMap *map, int shard);

/* The table, in TopTransactionContext; NULL where nothing was written. */
extern HTAB *plshard_written_shards(void);

/* The transaction has ended. */
extern void plshard_forget_written_shards(void);

/*
 * To be called before waiting for a lock in a shard.  Raises 0A000 where this
 * transaction has written there as another role, since it may hold the lock itself.
 */
extern void plshard_xact_refuse_own_locks(const ClusterMap *map, int shard);

/*
 * True where the transaction's end on a node matters: the node has an active placement
 * of a shard that was written, or holds changes that no repair could restore.
 */
extern bool plshard_node_matters(const NodeConn *conn, const ClusterMap *map, HTAB *written);

#endif							/* PLSHARD_WRITTEN_SHARDS_H */
