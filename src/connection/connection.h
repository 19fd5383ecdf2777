/*
 * connection.h
 *
 * The cache of this session's connections to nodes.
 */
#ifndef PLSHARD_CONNECTION_H
#define PLSHARD_CONNECTION_H

#include "connection/node_conn.h"

/*
 * The current user's connection (see plshard_connection_role) to a node: the cached
 * one (in whatever state) or a new entry in state CONN_CLOSED.  One that no
 * transaction uses and whose conninfo has changed, or whose lifetime is over, is
 * closed first.
 */
extern NodeConn *plshard_conn_get(const ClusterMap *map, int node, int slot);

/* The same of another user. */
extern NodeConn *plshard_conn_get_as(const ClusterMap *map, int node, Oid userid, int slot);

/* Begins to connect: state CONN_CONNECTING, or CONN_LOST with a message.  Throws 2F003. */
extern void plshard_conn_start(NodeConn *conn, const ClusterMap *map, int node);

/* What its setup has read is about to change: it is made anew after the transaction. */
static inline void
plshard_conn_outdate(NodeConn *conn)
{
	conn->fingerprint = 0;
	conn->checked_generation = PG_UINT64_MAX;
}

/* Calls "visit" for every entry of the cache. */
extern void plshard_conn_each(void (*visit) (NodeConn *conn, void *arg), void *arg);

#endif							/* PLSHARD_CONNECTION_H */
