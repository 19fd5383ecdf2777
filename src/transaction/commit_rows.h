/*
 * commit_rows.h
 *
 * The row that says on a node that a transaction is committed (PROTOCOL rules 7 and 13).
 */
#ifndef PLSHARD_COMMIT_ROWS_H
#define PLSHARD_COMMIT_ROWS_H

#include "connection/node_conn.h"

/*
 * Queues the row of a gid, which is only there if the transaction commits.  Every so often rows of
 * transactions before go with it, which nobody needs any more.
 */
extern void plshard_send_commit_row(NodeConn *conn, const char *gid, void *owner);

/*
 * The transaction is committed on all its nodes, so nobody will ask for its row on this
 * one any more.  The rows that it has deleted itself are gone.
 */
extern void plshard_commit_row_is_resolved(NodeConn *conn, const char *gid);

#endif							/* PLSHARD_COMMIT_ROWS_H */
