/*
 * setup.h
 *
 * The set-up of a new connection's session.
 */
#ifndef PLSHARD_SETUP_H
#define PLSHARD_SETUP_H

#include "connection/node_conn.h"

/*
 * libpq's handshake is done: enters pipeline mode and sends the session's settings.  A pooled connection is ready at once.
 */
extern void plshard_conn_begin_setup(NodeConn *conn);

/* Takes in the answer to the settings: state CONN_READY, or CONN_LOST. */
extern void plshard_conn_finish_setup(NodeConn *conn, const PGresult *result);

/* The node is about to get the cluster's objects, and to be the server that has its data. */
extern void plshard_conn_expect_schema(NodeConn *conn);

#endif							/* PLSHARD_SETUP_H */
