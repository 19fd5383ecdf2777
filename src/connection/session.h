/*
 * session.h
 *
 * A connection of its own to a node, for administration (set-up of a node,
 * repair, verify): plain protocol, no pipeline, outside the caller's
 * transaction, closed when the memory context it was opened in goes away
 * (so also on error).
 *
 * plshard_session_open and plshard_session_query wait.  Who works on several
 * nodes at once uses start, send and poll, and sleeps in plshard_session_wait.
 *
 * Nothing is waited for from a node that is dead: one that has been silent for
 * the map's node_timeout is probed, again and again, and has to answer (08006).
 */
#ifndef PLSHARD_SESSION_H
#define PLSHARD_SESSION_H

#include "base/compat.h"
#include "base/wait.h"
#include "cluster/cluster.h"
#include "libpq-fe.h"

typedef enum SessionState
{
	SESSION_CONNECTING,
	SESSION_SETTING_UP,
	SESSION_IDLE,
	SESSION_BUSY,				/* a query is under way */
	SESSION_COPYING				/* the caller drives COPY on conn himself */
} SessionState;

typedef struct NodeSession
{
	PGconn	   *conn;
	const char *node_name;
	Deadline	deadline;		/* of queries; none, unless the caller sets it */
	Deadline	connect_deadline;	/* of connecting; the caller may set an earlier one */
	uint32		events;			/* what plshard_session_wait waits for */
	uint32		ready;			/* and what it found */

	/* of session.c alone */
	const ClusterMap *map;
	int			node;
	SessionState state;
	Deadline	silent_at;		/* when its silence is long enough for a probe */
	pgsocket	fd;				/* that was waited for last */
	MemoryContext context;
	struct NodeConninfo *conninfo;
	char	   *queued;			/* sent once the session is set up */
	PGresult   *result;			/* of the query under way */
} NodeSession;

/*
 * Connects as the current user's mapping says, waiting interruptibly for at
 * most the map's connect_timeout.  Pins DateStyle, IntervalStyle, TimeZone,
 * extra_float_digits and client_encoding, switches time-outs and row security
 * off, and sets search_path to pg_catalog.
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

/*
 * Runs the same SQL on several sessions at once, for at most "timeout" ms once
 * they are connected; throws the first error, 08006 if one takes longer.
 */
extern void plshard_sessions_query(NodeSession **sessions, int nsessions, const char *sql,
								   int timeout, PGresult **results);

/* Begins to connect; errors as in plshard_session_open come from poll. */
extern NodeSession *plshard_session_start(const ClusterMap *map, int node);

/* Sends SQL to a session that is idle or not yet connected; does not wait. */
extern void plshard_session_send(NodeSession *session, const char *sql);

/*
 * Goes on with connecting or the query under way, without waiting.  True when
 * nothing is under way any more: *result is then the last result, owned by the
 * current memory context, NULL if nothing was sent.  A COPY is handed over to
 * the caller with its first result; he says plshard_session_copied when the
 * data has passed, and polls for the outcome.
 */
extern bool plshard_session_poll(NodeSession *session, PGresult **result);
extern void plshard_session_copied(NodeSession *session);

/* Waits until poll can do something for one of the sessions. */
extern void plshard_session_wait(NodeSession **sessions, int nsessions);

/* Who drives COPY himself calls it in each turn: poll does it for the others. */
extern void plshard_session_check_silence(NodeSession *session);

/* Throws the node's error that a result may be. */
extern void plshard_session_check(NodeSession *session, const PGresult *result);

/* Throws that the connection is lost (08006), with libpq's reason. */
pg_noreturn extern void plshard_session_lost(NodeSession *session);

/* Makes a PGresult be cleared with the current memory context; returns it. */
extern PGresult *plshard_own_result(PGresult *result);

#endif							/* PLSHARD_SESSION_H */
