/*
 * session.h
 *
 * A connection of its own to a node, for administration (set-up of a node,
 * repair, verify): plain protocol, no pipeline, outside the caller's
 * transaction, closed when the memory context it was opened in goes away
 * (so also on error).
 */
#ifndef PLSHARD_SESSION_H
#define PLSHARD_SESSION_H

#include "cluster.h"
#include "libpq-fe.h"
#include "wait.h"

typedef struct NodeSession
{
	PGconn	   *conn;
	const char *node_name;
} NodeSession;

/*
 * Connects as the current user's mapping says, waiting interruptibly for at
 * most the map's connect_timeout.  Pins DateStyle, IntervalStyle, TimeZone,
 * extra_float_digits and client_encoding, and sets search_path to pg_catalog.
 * Errors: 08001 with libpq's message made safe; 2F003.
 */
extern NodeSession *plshard_session_open(const ClusterMap *map, int node);

/* Closes it at once; without waiting. */
extern void plshard_session_close(NodeSession *session);

/*
 * Runs SQL (several commands allowed when nparams is 0) and returns the last
 * result, owned by the current memory context.  Throws the node's error with
 * the node as context, 08006 if the connection is lost.
 */
extern PGresult *plshard_session_query(NodeSession *session, const char *sql,
									   int nparams, const char *const *values);

/* The same, with a result that is looked at rather than thrown. */
extern PGresult *plshard_session_try(NodeSession *session, const char *sql,
									 int nparams, const char *const *values);

/* Makes a PGresult be cleared with the current memory context; returns it. */
extern PGresult *plshard_own_result(PGresult *result);

#endif							/* PLSHARD_SESSION_H */
