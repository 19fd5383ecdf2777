/*
 * node_settings.h
 *
 * The settings of a session on a node that differ from call to call.
 */
#ifndef PLSHARD_NODE_SETTINGS_H
#define PLSHARD_NODE_SETTINGS_H

#include "connection/node_conn.h"
#include "connection/pipeline.h"

/*
 * Queues search_path (a shard's, or PATH_BASE), statement_timeout (ms, 0: the
 * session's own), TimeZone, the order of dates, and whether a command outside a
 * transaction may write, each only where it differs from what is set.  True where
 * something was sent that may stand in a batch of its own; on a pooled connection it
 * must not.
 */
extern bool plshard_conn_send_settings(NodeConn *conn, int64 shard_id, int timeout, bool may_write,
									   void *owner);

/*
 * Whether a one-shot write finds a session that may write, or is to make it one by may_write
 * of plshard_conn_send_settings.  Else it must set its transaction to write: a session that
 * reads, too, would be switched to and fro.  Counts as a write.
 */
extern bool plshard_conn_stays_writable(NodeConn *conn);

/*
 * The same for a write that begins a transaction, which is about to be sent: true where
 * BEGIN does not need READ WRITE, since that is the session's default (or will be, by a
 * batch that this sends).
 */
extern bool plshard_conn_begins_writable(NodeConn *conn, void *owner);

/* A read is sent on it: the next write is not one in a row. */
extern void plshard_conn_note_read(NodeConn *conn);

/*
 * A transaction begins on a pooled connection: the pooler may give it another session,
 * which has the default settings.
 */
extern void plshard_conn_note_defaults(NodeConn *conn);

/* The order's name in DateStyle, such as DMY. */
extern const char *plshard_date_order_name(int order);

#endif							/* PLSHARD_NODE_SETTINGS_H */
