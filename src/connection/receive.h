/*
 * receive.h
 *
 * Receiving on a connection.  Nothing here waits or decides: callers wait with wait.h or
 * pump.h, and what a failure means is the business of call/ and transaction/.
 */
#ifndef PLSHARD_RECEIVE_H
#define PLSHARD_RECEIVE_H

#include "connection/node_conn.h"

/*
 * Called for each result of a command that has an owner; the result is cleared
 * afterwards.  May throw: the connection stays consistent.
 */
typedef void (*ResultHandler) (NodeConn *conn, Pending *pending, PGresult *result, void *arg);

/* For a handler that keeps the result: it is the handler's from now on, to be cleared by it. */
static inline PGresult *
plshard_conn_take_result(NodeConn *conn)
{
	PGresult   *result = conn->io.result;

	conn->io.result = NULL;
	return result;
}

/*
 * Goes on with whatever the socket allows: handshake, sending, receiving.
 * Results are given to the handler.  State CONN_LOST afterwards where the
 * connection failed.
 */
extern void plshard_conn_advance(NodeConn *conn, ResultHandler handler, void *arg);

/*
 * Sees whether the node has ended an idle connection.  What is sent on it and not
 * answered may have been done: where that cannot be undone, call this before.
 */
extern void plshard_conn_look(NodeConn *conn);

/* What it waits for, 0 where for nothing. */
extern uint32 plshard_conn_events(NodeConn *conn);

/*
 * After an error: takes in what has come, whatever it is, and closes the
 * connection if it is still in the middle of something.  Never waits or throws.
 */
extern void plshard_conn_drain(NodeConn *conn);

#endif							/* PLSHARD_RECEIVE_H */
