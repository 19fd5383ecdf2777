/*
 * connection.h
 *
 * Cached connections to nodes, in libpq's pipeline mode, and what this
 * session knows of the state of each: prepared statements, search_path,
 * statement_timeout, the remote transaction.
 *
 * What travels on them is pipeline.h's business.
 */
#ifndef PLSHARD_CONNECTION_H
#define PLSHARD_CONNECTION_H

#include "base/wait.h"
#include "cluster/cluster.h"
#include "connection/remote_query.h"
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
	PENDING_RECORD,				/* what is known of calls with an id */
	PENDING_LOOK,				/* who waits for whom: deadlock.c */
	PENDING_SYNC
} PendingKind;

struct PreparedStatement;

typedef struct Pending
{
	PendingKind kind;
	void	   *owner;			/* whose command it is; NULL: nobody waits for it */
	int			number;			/* likewise */
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
	CONN_CONNECTING,			/* libpq's handshake, then our SETUP */
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

#define LOOK_SLOT (-1)			/* of deadlock.c */

/* What a session's default_transaction_read_only is. */
typedef enum DefaultReadOnly
{
	READ_ONLY_UNKNOWN,
	READ_ONLY_OFF,
	READ_ONLY_SENT,				/* on, unless the SET fails that is on its way */
	READ_ONLY_ON
} DefaultReadOnly;

/* The socket and what travels on it.  Written by pipeline.c and connection.c. */
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
	bool		refused;		/* the server is there, but refused us */

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
	Deadline	last_heard;
	Deadline	connected_at;
} ConnIo;

/* The state of the session on the node, and what the node has. */
typedef struct ConnSession
{
	bool		pooled;			/* the cluster's option: no state outlives a transaction */
	int64		path_shard;		/* whose search_path is set; see PATH_ */
	char	   *base_path;		/* the session's own search_path */
	char	   *epoch_sequence; /* quoted: the cluster's, on the node; NULL of a static one */
	bool		sync_wait_cancelled;	/* a commit did not wait for the node's standby server */
	char	   *resolved_rows;	/* atomic_commit.c */
	int			nresolved_rows;
	bool		same_encoding;	/* the node's database has the encoding of ours */
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

/* The remote transaction (remote_xact.c). */
typedef struct RemoteXact
{
	int			depth;			/* 0 none, 1 BEGIN, n: n-1 savepoints */
	int			begin_level;	/* the front's nesting level when it began */
	uint64		begin_call;		/* number of the call that began it */
	bool		read_only;		/* begun READ ONLY */
	bool		wrote;
	bool		must_commit;	/* holds changes that no repair could bring back */
	bool		lost;			/* it was cut off; stays until the front's ends */
	int			nkey_locks;		/* asked for in it */
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

	ConnIo		io;
	ConnSession session;
	RemoteXact	xact;
} NodeConn;

#define PATH_UNKNOWN INT64CONST(0)
#define PATH_BASE INT64CONST(-1)

/* Ids of our own prepared statements; functions' ids begin behind them. */
typedef enum BuiltinQuery
{
	QUERY_PATH = 1,				/* one for each shard */
	QUERY_READ_WRITE,
	QUERY_READ_ONLY,
	QUERY_COMMIT,
	QUERY_CONSTRAINTS,
	QUERY_COMMIT_LOCK_TIMEOUT,
	QUERY_COMMIT_ROW,			/* one for each search_path; so is the next */
	QUERY_RESOLVED_ROWS,
	QUERY_LOCK = 20,			/* one for each LockMode and shard; so are the next */
	QUERY_WAIT_LOCK = 30,
	QUERY_EPOCH = 40,			/* one for each shard; so is the next */
	QUERY_NODE_VALUES,
	QUERY_CALL_LOOKUP,
	QUERY_CALL_FETCH,
	QUERY_CALL_RECORD,
	QUERY_CALL_REMOVE,
	QUERY_BEGIN = 50,			/* one for each isolation level and mode */
	QUERY_BEGIN_WRITE = 70,
	FIRST_FUNCTION_QUERY = 100
} BuiltinQuery;

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

/* What was asked when it was made is about to change: it is made anew after the transaction. */
static inline void
plshard_conn_outdate(NodeConn *conn)
{
	conn->fingerprint = 0;
	conn->checked_generation = PG_UINT64_MAX;
}

/* Closes it at once, never waiting; the entry stays, in state CONN_CLOSED. */
extern void plshard_conn_close(NodeConn *conn);

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

/* True where there is no room for one more prepared statement of a shard. */
extern bool plshard_conn_is_full(const NodeConn *conn);

/* Forgets a prepared statement, so that the next call prepares it again. */
extern void plshard_conn_forget_statement(NodeConn *conn, uint64 id, int64 shard_id);

/* Calls "visit" for every entry of the cache. */
extern void plshard_conn_each(void (*visit) (NodeConn *conn, void *arg), void *arg);

/* Marks a connection lost, with a message that is copied. */
extern void plshard_conn_set_lost(NodeConn *conn, int sqlstate, const char *message);

/* Lost as libpq tells it. */
extern void plshard_conn_lost_by_libpq(NodeConn *conn);

/* The handshake is done: pipeline mode, and our settings. */
extern void plshard_conn_begin_setup(NodeConn *conn);

/* Takes in the answer to them: state CONN_READY, or CONN_LOST. */
extern void plshard_conn_finish_setup(NodeConn *conn, const PGresult *result);

#endif							/* PLSHARD_CONNECTION_H */
