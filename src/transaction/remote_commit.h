/*
 * remote_commit.h
 *
 * The end of the caller's transaction on the nodes.
 */
#ifndef PLSHARD_REMOTE_COMMIT_H
#define PLSHARD_REMOTE_COMMIT_H

#include "connection/node_conn.h"
#include "utils/hsearch.h"

typedef struct WrittenShardKey
{
	ClusterRef	cluster;
	int64		shard_id;
} WrittenShardKey;

/* A shard that the current transaction has written: an entry of "written" below. */
typedef struct WrittenShard
{
	WrittenShardKey key;
	Oid			userid;			/* as whom; InvalidOid: as several */
	int			number;			/* in the order in which shards were written first */
	int64		epoch;			/* of the map with which it was written first */
} WrittenShard;

/* Queues RELEASE for the savepoint of the connection's last call, if it has one. */
extern void plshard_xact_release_call(NodeConn *conn, void *owner);

/*
 * Commits the remote transactions of all connections, before the front's own
 * commit: atomically (atomic_commit.h), or 'fast', everywhere at once.  After it
 * interrupts are held: a cancel must not undo on the front what the nodes have
 * committed.  Errors: the node's own where nothing was committed anywhere; 08006
 * where a connection was lost before; 08007 where the outcome is not known, or
 * nodes differ and cannot be evicted.
 */
extern void plshard_commit_remote(HTAB *written);

#endif							/* PLSHARD_REMOTE_COMMIT_H */
