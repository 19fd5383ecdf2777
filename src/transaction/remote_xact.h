/*
 * remote_xact.h
 *
 * The remote transaction of a connection: begun by the first call that needs it, with
 * a savepoint for each nesting level of the front's transaction and for each write.
 * All functions queue commands and do not wait.
 */
#ifndef PLSHARD_REMOTE_XACT_H
#define PLSHARD_REMOTE_XACT_H

#include "connection/node_conn.h"

/*
 * True where the front's current transaction may have a remote one on some node, whether
 * it has written there or not.
 */
extern bool plshard_remote_xact_is_open(void);

/* The front's transaction has ended, and with it all remote ones. */
extern void plshard_remote_xact_reset(void);

/*
 * Brings the connection's remote transaction to the front's nesting level: BEGIN,
 * SAVEPOINTs.  "call" numbers the calls of a session, so that a call recognizes the
 * transactions that it has begun itself.  Raises 08006 where the connection was lost since the
 * transaction was begun.
 */
extern void plshard_xact_open(NodeConn *conn, bool write, uint64 call, void *owner);

/*
 * Sets a savepoint before one call's work, and returns its number; rolls back to it;
 * keeps the work.  The number 0 stands for a transaction that this call has begun itself:
 * undo rolls it back.
 */
extern int	plshard_xact_begin_call(NodeConn *conn, uint64 call, void *owner);
extern void plshard_xact_undo_call(NodeConn *conn, int savepoint);
extern void plshard_xact_end_call(NodeConn *conn, int savepoint);

/* Queues RELEASE for the savepoint of the connection's last call, if it has one. */
extern void plshard_xact_release_call(NodeConn *conn, void *owner);

/* Notes that the transaction holds changes that no repair could restore. */
extern void plshard_xact_must_commit(NodeConn *conn);

/* Counts a key's lock; returns how many were asked for before in this transaction. */
extern int	plshard_xact_count_key_lock(NodeConn *conn);

/*
 * Notes that the remote transaction is over: it has been committed or prepared, or its
 * loss does not matter.
 */
extern void plshard_xact_forget(NodeConn *conn);

/* Queues COMMIT of a transaction that has only read. */
extern void plshard_xact_commit(NodeConn *conn);

/* Queues ROLLBACK where there is a transaction. */
extern void plshard_xact_rollback(NodeConn *conn);

/* Leaves a node that has been evicted out of the transaction; closes the connection. */
extern void plshard_xact_leave(NodeConn *conn);

/* A subtransaction of the front, of this nesting level, commits or aborts. */
extern void plshard_xact_commit_level(NodeConn *conn, int level);
extern void plshard_xact_abort_level(NodeConn *conn, int level);

#endif							/* PLSHARD_REMOTE_XACT_H */
