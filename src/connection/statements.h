/*
 * statements.h
 *
 * The prepared statements of a connection: what pipeline.c sends and receives of them is
 * kept here.
 */
#ifndef PLSHARD_STATEMENTS_H
#define PLSHARD_STATEMENTS_H

#include "connection/node_conn.h"
#include "lib/ilist.h"

/* Ids of plshard's own prepared statements; functions' ids begin behind them. */
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
	QUERY_CALL_STORE,
	QUERY_CALL_REMOVE,
	QUERY_BEGIN = 50,			/* one for each isolation level and mode */
	QUERY_BEGIN_WRITE = 70,
	FIRST_FUNCTION_QUERY = 100
} BuiltinQuery;

/*
 * A new id for a statement of a function, unique in this process.  The one after it is
 * free too, for the same statement with locks among its parameters.
 */
extern uint64 plshard_next_query_id(void);

/* A literal in a statement is read when it is prepared, under the settings of then. */
typedef struct StatementKey
{
	uint64		id;
	int64		shard_id;
	const void *timezone;		/* of a call's statement */
	int64		date_order;
} StatementKey;

typedef struct PreparedStatement
{
	StatementKey key;			/* hash key, must be first */
	dlist_node	node;			/* in ConnSession.lru, newest first */
	char		name[32];
	uint64		last_use;		/* by ConnSession.nuses */
	bool		prepared;		/* the node has confirmed it; else it is on its way, and
								 * what uses it stands behind it */
} PreparedStatement;

/* The "shard" of a statement that all shards without one of their own share. */
#define NO_SHARD 0

/* Of a new connection. */
extern void plshard_init_statements(NodeConn *conn);

/* NULL where there is none. */
extern PreparedStatement *plshard_find_statement(NodeConn *conn, uint64 id, int64 shard_id);

/* Whether what is to be sent is prepared already: for its shard, or for those that share one. */
extern bool plshard_has_statement(NodeConn *conn, uint64 id, int64 shard_id);

/* A new one, with a name, to be prepared. */
extern PreparedStatement *plshard_enter_statement(NodeConn *conn, uint64 id, int64 shard_id);

/* It is used now. */
extern void plshard_use_statement(NodeConn *conn, PreparedStatement *statement);

/* The one that was not used for longest. */
extern PreparedStatement *plshard_oldest_statement(const NodeConn *conn);

extern void plshard_remove_statement(NodeConn *conn, PreparedStatement *statement);

/* The node has answered to its being prepared: one that failed is forgotten. */
extern void plshard_statement_answered(NodeConn *conn, PreparedStatement *statement, bool prepared);

/* True where there is no room for one more prepared statement of a shard. */
extern bool plshard_conn_is_full(const NodeConn *conn);

/* Forgets a prepared statement, so that the next call prepares it again. */
extern void plshard_conn_forget_statement(NodeConn *conn, uint64 id, int64 shard_id);

#endif							/* PLSHARD_STATEMENTS_H */
