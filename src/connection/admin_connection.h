/*
 * admin_connection.h
 *
 * A connection of its own to a node, for administration (set-up of a node,
 * repair, verify): plain protocol, no pipeline, outside the caller's
 * transaction, closed when the memory context it was opened in goes away
 * (so also on error).
 *
 * plshard_admin_open and plshard_admin_query wait.  To work on several
 * nodes at once, use start, send and poll, and sleep in plshard_admin_wait.
 *
 * Nothing is waited for from a node that is dead: one that has been silent for
 * the map's node_timeout is probed, again and again, and has to answer (08006).
 */
#ifndef PLSHARD_ADMIN_CONNECTION_H
#define PLSHARD_ADMIN_CONNECTION_H

#include "base/compat.h"
#include "base/wait.h"
#include "cluster/cluster.h"
#include "libpq-fe.h"

typedef enum AdminState
{
	ADMIN_CONNECTING,
	ADMIN_SETTING_UP,
	ADMIN_IDLE,
	ADMIN_BUSY,				/* a query is under way */
	ADMIN_COPYING				/* the caller drives COPY */
} AdminState;

typedef struct AdminConnection
{
	PGconn	   *pg;
	const char *node_name;
	Deadline	deadline;		/* of queries; none, unless the caller sets it */
	Deadline	connect_deadline;	/* of connecting; the caller may set an earlier one */
	uint32		events;			/* what plshard_admin_wait waits for */
	uint32		ready;			/* and what it found */

	/* of admin_connection.c alone */
	const ClusterMap *map;
	int			node;
	AdminState state;
	Deadline	silent_at;		/* when its silence is long enough for a probe */
	pgsocket	fd;				/* that was waited for last */
	MemoryContext context;
	struct NodeConninfo *conninfo;
	char	   *queued;			/* sent once the connection is set up */
	PGresult   *result;			/* of the query under way */
	int			nnotices;		/* that have been logged */
} AdminConnection;

/*
 * Connects by the current user's mapping, waiting interruptibly for at
 * most the map's connect_timeout.  Pins DateStyle, IntervalStyle, TimeZone,
 * extra_float_digits and client_encoding, switches time-outs and row security
 * off, and sets search_path to pg_catalog.
 * Errors: 08001 with libpq's message made safe; 2F003.
 */
extern AdminConnection *plshard_admin_open(const ClusterMap *map, int node);

/* Closes it at once; without waiting. */
extern void plshard_admin_close(AdminConnection *conn);

/*
 * Runs SQL (several commands allowed when nparams is 0) and returns the last
 * result, owned by the current memory context.  Throws the node's error with
 * the node as context, 08006 if the connection is lost.
 */
extern PGresult *plshard_admin_query(AdminConnection *conn, const char *sql,
									   int nparams, const char *const *values);

/* The same, but an error is returned as a result, not raised. */
extern PGresult *plshard_admin_try(AdminConnection *conn, const char *sql,
									 int nparams, const char *const *values);

/*
 * Runs the same SQL on several connections at once, for at most "timeout" ms once
 * they are connected; throws the first error, 08006 if one takes longer.
 */
extern void plshard_admin_query_all(AdminConnection **conns, int nconns, const char *sql,
								   int timeout, PGresult **results);

/* Begins to connect; errors as in plshard_admin_open come from poll. */
extern AdminConnection *plshard_admin_start(const ClusterMap *map, int node);

/* Sends SQL to a connection that is idle or not yet connected; does not wait. */
extern void plshard_admin_send(AdminConnection *conn, const char *sql);

/*
 * Goes on with connecting or the query under way, without waiting.  True when
 * nothing is under way any more: *result is then the last result, owned by the
 * current memory context, NULL if nothing was sent.  A COPY is handed over to
 * the caller with its first result: the caller moves the data, calls plshard_admin_copied
 * at its end, and polls for the outcome.
 */
extern bool plshard_admin_poll(AdminConnection *conn, PGresult **result);
extern void plshard_admin_copied(AdminConnection *conn);

/* Waits until poll can do something for one of the connections. */
extern void plshard_admin_wait(AdminConnection **conns, int nconns);

/* To be called in each turn of a COPY: otherwise poll does it. */
extern void plshard_admin_check_silence(AdminConnection *conn);

/* Throws the node's error that a result may be. */
extern void plshard_admin_check(AdminConnection *conn, const PGresult *result);

/* Throws that the connection is lost (08006), with libpq's reason. */
pg_noreturn extern void plshard_admin_lost(AdminConnection *conn);

#endif							/* PLSHARD_ADMIN_CONNECTION_H */
