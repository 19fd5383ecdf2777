/*
 * node_conn.h
 *
 * A connection to a node, in libpq's pipeline mode, and its state as the front sees it:
 * the socket and the commands on their way, the session on the node, the remote
 * transaction.
 */
#ifndef PLSHARD_NODE_CONN_H
#define PLSHARD_NODE_CONN_H

#include "base/wait.h"
#include "cluster/cluster.h"
#include "lib/ilist.h"
#include "libpq-fe.h"

typedef enum PendingKind
{
	PENDING_SETUP,				/* the session's settings, after connecting */
	PENDING_PREPARE,
	PENDING_SETTING,			/* search_path, statement_timeout */
	PENDING_XACT,				/* BEGIN, SAVEPOINT, COMMIT ... */
	PENDING_LOCK,				/* tried, and the epoch */
	PENDING_LOCK_WAIT,			/* waited for; a Flush follows */
	PENDING_CALL,
	PENDING_STORED,				/* stored results of calls with an id */
	PENDING_WAITS,				/* the query of wait_graph.c */
	PENDING_SYNC
} PendingKind;

struct PreparedStatement;

typedef struct Pending
{
	PendingKind kind;
	void	   *owner;			/* what has sent it and gets its results; NULL: they are dropped */
	int			number;			/* the owner's */
	bool		row_mode;		/* rows are to come a few at a time */
	bool		row_mode_set;
	bool		answered;		/* a result has come; NULL ends it */
	bool		copies;			/* COPY, outside of pipeline mode */
	struct PreparedStatement *statement;	/* PENDING_PREPARE */
	bool		reused;			/* its statement was prepared for an earlier command */
	const char *notices_for;	/* the function whose notices are passed on; NULL: none are */
} Pending;

typedef enum ConnState
{
	CONN_CLOSED,
	CONN_CONNECTING,			/* libpq's handshake, then the SETUP commands */
	CONN_READY,
	CONN_LOST					/* failed; "message" and "sqlstate" say how */
} ConnState;

typedef struct NodeConnKey
{
	ClusterRef	cluster;
	int32		node_id;
	Oid			userid;
	int32		slot;			/* 0 is the one that has the transaction */
} NodeConnKey;

#define DEADLOCK_SLOT (-1)		/* of wait_graph.c */

/* What a session's default_transaction_read_only is. */
typedef enum DefaultReadOnly
{
	READ_ONLY_UNKNOWN,
	READ_ONLY_OFF,
	READ_ONLY_SENT,				/* on, unless the SET fails that is on its way */
	READ_ONLY_ON
} DefaultReadOnly;

/*
 * The socket and what travels on it.  Written by the files that move bytes (node_conn, pipeline,
 * receive, connection, pump), for others by the functions below.
 */
typedef struct ConnIo
{
	ConnState	state;
	PGconn	   *pg;
	pgsocket	fd;				/* last waited for: libpq may have closed it */
	uint32		poll_events;	/* what the handshake waits for */
	bool		used_before;	/* it was up before this call: may be stale */

	/* why it was lost */
	char	   *message;
	int			sqlstate;		/* 0: the node did not answer at all */
	bool		condemned;		/* its node has failed a probe */
	bool		refused;		/* the server is there, but has refused the connection */

	/* of the conninfo */
	bool		password_required;
	int			connect_timeout;	/* ms */

	/* commands on their way, oldest first: a ring */
	Pending    *pending;
	int			pending_size;
	int			pending_head;
	int			npending;
	PGresult   *result;			/* the one being handled */
	char	   *copied;			/* libpq's: the message of COPY that is being handled */
	int			copied_length;
	bool		unsent;			/* libpq still holds bytes for the socket */
	struct RemoteNotice *notices;	/* that have come, oldest first */
	struct RemoteNotice *last_notice;
	Size		notices_size;	/* in bytes; those beyond NOTICES_LIMIT are dropped */
	int			surplus;		/* SQLSTATE of what came while nothing was awaited; or 0 */
	Deadline	last_heard;
	Deadline	connected_at;
	uint32		incarnation;	/* counts the times that the socket was closed or lost */
} ConnIo;

/*
 * The state of the session on the node, and what the node has.  Written by setup, node_settings
 * and statements; reset by node_conn and connection.
 */
typedef struct ConnSession
{
	bool		pooled;			/* the cluster's option: no state outlives a transaction */
	int64		path_shard;		/* the shard that search_path is set for; see PATH_ */
	char	   *base_path;		/* the session's own search_path */
	char	   *epoch_sequence; /* quoted: the cluster's, on the node; NULL of a static one */
	bool		sync_wait_cancelled;	/* a commit did not wait for the node's standby server */
	bool		same_encoding;	/* the node's database has the encoding of the front's */
	Oid			lock_types[2];	/* of a shard's lock and of the epoch as parameters (write_locks.c);
								 * 0: the node did not have them when it was connected to */
	bool		has_schema;		/* the node has the cluster's objects: it is no empty server */
	bool		other_server;	/* than the one that the node's data was on when it was last known to be complete */
	DefaultReadOnly read_only;
	bool		was_writable;	/* it has been off */
	int			writes_in_a_row;	/* one-shot, while it was on */
	int			statement_timeout;	/* ms; 0 the session's own, -1 unknown */
	const void *timezone;		/* the front's that was set; NULL unknown */
	int			date_order;		/* the same; -1 unknown */
	bool		changed_date_order;	/* since the session was set up */

	/* prepared statements */
	struct HTAB *statements;
	dlist_head	lru;
	int			nstatements;
	uint64		next_name;
	uint64		nuses;			/* of prepared statements */
	struct PreparedStatement *last_found;	/* the one that was looked up last; or NULL */
} ConnSession;

/* The remote transaction.  Written by remote_xact.c alone. */
typedef struct RemoteXact
{
	int			depth;			/* 0 none, 1 BEGIN, n: n-1 savepoints; see plshard_xact_depth */
	uint32		incarnation;	/* of the connection that it was begun on */
	int			begin_level;	/* the front's nesting level when it began */
	uint64		begin_call;		/* number of the call that began it */
	bool		read_only;		/* begun READ ONLY */
	bool		wrote;
	bool		must_commit;	/* holds changes that no repair could bring back */
	int			nkey_locks;		/* sent in it, free or not */
	int			release_call;	/* savepoint of a finished call, not released yet; 0: none */
} RemoteXact;

typedef struct NodeConn
{
	NodeConnKey key;			/* hash key, must be first */
	char		node_name[NAMEDATALEN];
	MemoryContext context;		/* of everything that goes with the connection */

	/* of the cache: when it is made anew */
	uint32		fingerprint;	/* of the conninfo */
	uint64		checked_generation;
	double		lifetime_jitter;	/* its share of the cluster's connection_lifetime */

	/*
	 * The nesting level of the front's transaction in which a call uses it now,
	 * 0: no call does.  A call within another one's rows finds a free connection.
	 */
	int			in_use;

	struct ResolvedRows *resolved_rows;	/* of transaction/commit_rows.c, in the context; or NULL */

	ConnIo		io;
	ConnSession session;
	RemoteXact	xact;
} NodeConn;

/* Bytes of notices that are kept for a report. */
#define NOTICES_LIMIT (4 * 1024 * 1024)

#define PATH_UNKNOWN INT64CONST(0)
#define PATH_BASE INT64CONST(-1)

/* The depth of the connection's transaction; 0 where it has none, or was lost with it. */
static inline int
plshard_xact_depth(const NodeConn *conn)
{
	return conn->xact.incarnation == conn->io.incarnation ? conn->xact.depth : 0;
}

static inline bool
plshard_xact_is_open(const NodeConn *conn)
{
	return plshard_xact_depth(conn) > 0;
}

/* True where a transaction was cut off with its connection; until the front's ends. */
static inline bool
plshard_xact_is_lost(const NodeConn *conn)
{
	return conn->xact.depth > 0 && conn->xact.incarnation != conn->io.incarnation;
}

/* A call of the front's transaction at this nesting level uses it from now on; 0: none does. */
static inline void
plshard_conn_set_in_use(NodeConn *conn, int level)
{
	conn->in_use = level;
}

/* Whether it was up before this call, so that it may turn out to be stale. */
static inline void
plshard_conn_set_used_before(NodeConn *conn, bool used_before)
{
	conn->io.used_before = used_before;
}

/* Its node has failed a probe, or must not be used: no other probe is needed. */
static inline void
plshard_conn_condemn(NodeConn *conn)
{
	conn->io.condemned = true;
}

/* From now on it is noted when a commit does not wait for the node's standby server. */
static inline void
plshard_conn_expect_sync_wait(NodeConn *conn)
{
	conn->session.sync_wait_cancelled = false;
}

/* Closes it at once, never waiting; the entry stays, in state CONN_CLOSED. */
extern void plshard_conn_close(NodeConn *conn);

/* Marks a connection lost, with a message that is copied. */
extern void plshard_conn_set_lost(NodeConn *conn, int sqlstate, const char *message);

/* Marks a connection lost since the node has sent what it may not: 08P01. */
extern void plshard_conn_violated(NodeConn *conn, const char *message);

/* Marks a connection lost, with libpq's message. */
extern void plshard_conn_lost_by_libpq(NodeConn *conn);

/* A rollback has undone settings: they are sent again with the next call. */
static inline void
plshard_conn_forget_settings(NodeConn *conn)
{
	conn->session.path_shard = PATH_UNKNOWN;
	conn->session.statement_timeout = -1;
	if (conn->session.was_writable)
		conn->session.read_only = READ_ONLY_UNKNOWN;
	conn->session.timezone = NULL;
	if (conn->session.changed_date_order)
		conn->session.date_order = -1;
}

/* True where results are due that have an owner. */
extern bool plshard_conn_awaited(const NodeConn *conn);

/* True where a lock on the node is waited for and not granted yet. */
extern bool plshard_conn_waits_for_lock(const NodeConn *conn);

#endif							/* PLSHARD_NODE_CONN_H */
