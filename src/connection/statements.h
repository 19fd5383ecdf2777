/*
 * statements.h
 *
 * The prepared statements of a connection: what pipeline.c sends and receives of them is
 * kept here.
 */
#ifndef PLSHARD_STATEMENTS_H
#define PLSHARD_STATEMENTS_H

#include "connection/connection.h"
#include "lib/ilist.h"

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

/* The id of a new RemoteQuery; that plus one is its, too. */
extern uint64 plshard_next_query_id(void);

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

#endif							/* PLSHARD_STATEMENTS_H */
