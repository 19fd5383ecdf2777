/*
 * pipeline.h
 *
 * Commands to nodes.  They are queued with plshard_conn_send_*; each leaves a Pending
 * entry in the connection's ring, and results come back in that order through receive.h.
 * Where the connection fails, it is lost and nothing else is sent.
 */
#ifndef PLSHARD_PIPELINE_H
#define PLSHARD_PIPELINE_H

#include "connection/node_conn.h"
#include "connection/remote_query.h"

/*
 * Sends a statement that is prepared on first use; one prepared statement for
 * each (id, shard), under an LRU.  The text must be the same for all shards: once
 * there are too many, the rest of them share one.  "sql" may be NULL where
 * plshard_conn_needs_text is false.  On a pooled connection nothing is kept prepared.
 */
extern void plshard_conn_send_prepared(NodeConn *conn, uint64 id, int64 shard_id, const char *sql,
									   int nparams, const Oid *types, const RemoteParams *params,
									   int result_format, PendingKind kind,
									   void *owner, int number, bool row_mode);

/* False where a statement is prepared for just this shard and remote commands are not logged. */
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

#endif							/* PLSHARD_PIPELINE_H */
