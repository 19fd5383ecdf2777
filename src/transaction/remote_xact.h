/*
 * remote_xact.h
 *
 * The caller's transaction on the nodes: begin, savepoints, commit and abort
 * follow the front's, through its transaction callbacks.
 */
#ifndef PLSHARD_REMOTE_XACT_H
#define PLSHARD_REMOTE_XACT_H

#include "connection/node_conn.h"
#include "transaction/remote_commit.h"

/* Registers the transaction callbacks; called once by _PG_init. */
extern void plshard_remote_xact_init(void);

/*
 * True where this session's current transaction has written on some node:
 * repair and the like refuse to run then, they would wait for its locks.
 */
extern bool plshard_remote_xact_has_writes(void);

/*
 * True where the current transaction may have one on some node, whether it has written
 * there or not.
 */
extern bool plshard_remote_xact_is_open(void);

/*
 * Queues what brings the connection's remote transaction to the front's
 * nesting level: BEGIN, SAVEPOINTs.  "call" numbers the calls of a session, so
 * that a call knows which transactions it has begun itself.  Errors: 08006 where the transaction was
 * begun before and the connection has been lost since.
 */
extern void plshard_xact_open(NodeConn *conn, bool write, uint64 call, void *owner);

/*
 * A savepoint before one call's work, and the way back to it.  The number 0
 * stands for a transaction that this call has begun itself: undo rolls it back.
 */
extern int	plshard_xact_begin_call(NodeConn *conn, uint64 call, void *owner);
extern void plshard_xact_undo_call(NodeConn *conn, int savepoint);
extern void plshard_xact_end_call(NodeConn *conn, int savepoint);

/*
 * The transaction has written on the active placements of a shard.  Returns all that were
 * written so far ("written" of remote_commit.h).
 */
extern HTAB *plshard_xact_wrote(const ClusterMap *map, int shard);

/*
 * The nodes have committed within the call that is all of the transaction: from here to
 * its end no cancel makes a failure of it.
 */
extern void plshard_xact_committed_by_call(void);

/*
 * To be called before waiting for a lock in a shard: errors 0A000 where this
 * transaction has written there as another role, so that it may hold the lock
 * itself.
 */
extern void plshard_xact_refuse_own_locks(const ClusterMap *map, int shard);

/* Queues ROLLBACK where there is a transaction, without waiting for it. */
extern void plshard_xact_rollback(NodeConn *conn);

/* Leaves a node that has been evicted out of the transaction. */
extern void plshard_xact_leave(NodeConn *conn);

#endif							/* PLSHARD_REMOTE_XACT_H */
