/*
 * connect.h
 *
 * The way in which every connection to a node is made and ended: cached ones, those for
 * administration, and probes.
 */
#ifndef PLSHARD_CONNECT_H
#define PLSHARD_CONNECT_H

#include "cluster/conninfo.h"
#include "libpq-fe.h"

/*
 * Begins to connect, without waiting; PQstatus shows whether that has failed already.
 * Never NULL.  Errors: 53000 where this process has too many open files.
 */
extern PGconn *plshard_connect_start(const NodeConninfo *info, const char *node_name);

typedef enum ConnectStep
{
	CONNECT_WAITS,				/* for *events */
	CONNECT_UP,					/* and not blocking */
	CONNECT_INSECURE,			/* up, but must not be used: see plshard_connection_is_secure */
	CONNECT_FAILED				/* libpq's message has the reason */
} ConnectStep;

/* One step of the handshake, once *events (of the first step: writeable) have come. */
extern ConnectStep plshard_connect_step(PGconn *pg, bool password_required, uint32 *events);

/*
 * Ends a connection, or an attempt, at once; NULL is none.  "fd" is the socket that was last
 * waited for; both are reset.
 */
extern void plshard_connect_end(PGconn **pg, pgsocket *fd);

#endif							/* PLSHARD_CONNECT_H */
