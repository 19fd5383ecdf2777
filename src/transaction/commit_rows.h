/*
 * commit_rows.h
 *
 * The row that records on a node that a transaction is committed (PROTOCOL rules 7 and 13).
 */
#ifndef PLSHARD_COMMIT_ROWS_H
#define PLSHARD_COMMIT_ROWS_H

#include "connection/node_conn.h"

/*
 * Queues the INSERT of a gid's row, in the transaction that is to commit or be prepared.
 * From time to time the DELETE of rows of earlier transactions goes before it.
 */
extern void plshard_send_commit_row(NodeConn *conn, const char *gid, void *owner);

/*
 * Notes that the transaction is committed on all its nodes, so that a later one may delete
 * its row on this node.  Forgets the rows that it has deleted itself.
 */
extern void plshard_commit_row_is_resolved(NodeConn *conn, const char *gid);

#endif							/* PLSHARD_COMMIT_ROWS_H */
