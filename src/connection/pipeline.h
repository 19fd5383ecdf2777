/*
 * pipeline.h
 *
 * Commands to nodes and their results.  Commands are queued with plshard_conn_send_*;
 * each leaves a Pending entry, and results come back in that order through
 * plshard_conn_advance.  Nothing here waits or decides: callers wait with wait.h,
 * and what a failure means is execute.c's and remote_xact.c's business.
 */
#ifndef PLSHARD_PIPELINE_H
#define PLSHARD_PIPELINE_H

#include "connection/connection.h"

/*
 * Called for each result of a command that has an owner; the result is cleared
 * afterwards.  May throw: the connection stays consistent.
 */
typedef void (*ResultHandler) (NodeConn *conn, Pending *pending, PGresult *result, void *arg);

/*
 * Goes on with whatever the socket allows: handshake, sending, receiving.
 * Results are given to the handler.  State CONN_LOST afterwards where the
 * connection failed.
 */
extern void plshard_conn_advance(NodeConn *conn, ResultHandler handler, void *arg);

/*
 * Sees whether the node has ended an idle connection.  What is sent on it and not
 * answered may have been done: where that cannot be undone, look before.
 */
extern void plshard_conn_look(NodeConn *conn);

/* What it waits for, 0 where for nothing. */
extern uint32 plshard_conn_events(NodeConn *conn);

/* True where results are due that somebody waits for. */
extern bool plshard_conn_awaited(const NodeConn *conn);

/* True where the node has not given us yet a lock of ours that we wait for. */
extern bool plshard_conn_waits_for_lock(const NodeConn *conn);

/*
 * Sends a statement that is prepared on first use; one prepared statement for
 * each (id, shard), under an LRU.  The text must be the same for all shards: once
 * there are too many, the rest of them share one.  "sql" may be NULL where
 * plshard_conn_needs_text says so.  On a pooled connection nothing is kept prepared.
 */
extern void plshard_conn_send_prepared(NodeConn *conn, uint64 id, int64 shard_id, const char *sql,
									   int nparams, const Oid *types, const RemoteParams *params,
									   int result_format, PendingKind kind,
									   void *owner, int number, bool row_mode);

/* False where a statement is prepared for just this shard and nobody wants to see its text. */
extern bool plshard_conn_needs_text(NodeConn *conn, uint64 id, int64 shard_id);

/* Sends a statement as it is. */
extern void plshard_conn_send_plain(NodeConn *conn, const char *sql, PendingKind kind,
									void *owner, int number, bool row_mode);

/*
 * Sends a COPY ... TO STDOUT, which is a batch of its own: for the owner its end is
 * the answer to a Sync.  Each message is given to the handler by conn->io.copied, with a
 * result PGRES_COPY_OUT.  Notices are passed on as that function's.  libpq has no COPY
 * in pipeline mode, so nothing else may be on its way (npending 0) or be sent until it
 * has ended.
 */
extern void plshard_conn_send_copy(NodeConn *conn, const char *sql, void *owner,
								   const char *notices_for);

/* Makes the node answer what it has done so far, before the batch ends. */
extern void plshard_conn_send_flush(NodeConn *conn);

/* Ends a batch: an error skips everything up to here. */
extern void plshard_conn_send_sync(NodeConn *conn, void *owner);

/*
 * Notices of the command that was sent last are passed on to the client as the
 * function's; those of all others are dropped.
 */
extern void plshard_conn_pass_notices(NodeConn *conn, const char *function_name);

/*
 * After an error: takes in what has come, whatever it is, and closes the
 * connection if it is still in the middle of something.  Never waits or throws.
 */
extern void plshard_conn_drain(NodeConn *conn);

#endif							/* PLSHARD_PIPELINE_H */
