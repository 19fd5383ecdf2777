/*
 * pump.h
 *
 * One turn of waiting for a set of node connections.
 */
#ifndef PLSHARD_PUMP_H
#define PLSHARD_PUMP_H

#include "connection/node_conn.h"
#include "connection/receive.h"

/*
 * Waits until one of the connections can go on, or the deadline has passed,
 * and lets those that can go on.  Connections that wait for nothing (or are
 * lost) are passed over.  Throws on interrupts, and whatever the handler does.
 */
extern void plshard_pump(NodeConn **conns, int nconns, ResultHandler handler, void *arg,
						 Deadline deadline);

#endif							/* PLSHARD_PUMP_H */
