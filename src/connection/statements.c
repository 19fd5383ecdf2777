/*
 * statements.c
 *
 * The names of prepared statements, and which to give up.  They live in the connection's
 * context.
 */
#include "postgres.h"

#include "base/settings.h"
#include "common/hashfn.h"
#include "connection/statements.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "utils/hsearch.h"

/*
 * When all room for prepared statements is taken, a statement that was last used
 * this many times the limit ago (in uses of statements) makes room for another one.
 * Dropping one for each new one would have most calls prepare theirs where a session
 * calls more shards than there is room for.
 */
#define IDLE_FACTOR 64

static uint64 next_query_id = FIRST_FUNCTION_QUERY;

uint64
plshard_next_query_id(void)
{
	return next_query_id += 2;
}

static StatementKey
statement_key(uint64 id, int64 shard_id)
{
	StatementKey key = {id, shard_id, NULL, 0};

	if (id >= FIRST_FUNCTION_QUERY)
	{
		key.timezone = session_timezone;
		key.date_order = DateOrder;
	}
	return key;
}

/* Few are alike but for the settings. */
static uint32
hash_statement(const void *key, Size keysize)
{
	const StatementKey *statement = key;

	return murmurhash32((uint32) statement->shard_id ^ ((uint32) statement->id << 16));
}

void
plshard_init_statements(NodeConn *conn)
{
	HASHCTL		ctl = {0};

	ctl.keysize = sizeof(StatementKey);
	ctl.entrysize = sizeof(PreparedStatement);
	ctl.hcxt = conn->context;
	ctl.hash = hash_statement;
	conn->session.statements = hash_create("plshard prepared statements", 64, &ctl,
								   HASH_ELEM | HASH_FUNCTION | HASH_CONTEXT);
}

PreparedStatement *
plshard_find_statement(NodeConn *conn, uint64 id, int64 shard_id)
{
	StatementKey key = statement_key(id, shard_id);

	if (conn->session.statements == NULL)
		return NULL;			/* the connection was lost while a batch was queued */
	if (conn->session.last_found == NULL || memcmp(&conn->session.last_found->key, &key, sizeof(key)) != 0)
		conn->session.last_found = hash_search(conn->session.statements, &key, HASH_FIND, NULL);
	return conn->session.last_found;
}

bool
plshard_has_statement(NodeConn *conn, uint64 id, int64 shard_id)
{
	return plshard_find_statement(conn, id, shard_id) != NULL ||
		(plshard_conn_is_full(conn) && plshard_find_statement(conn, id, NO_SHARD) != NULL);
}

PreparedStatement *
plshard_enter_statement(NodeConn *conn, uint64 id, int64 shard_id)
{
	StatementKey key = statement_key(id, shard_id);
	PreparedStatement *statement = hash_search(conn->session.statements, &key, HASH_ENTER, NULL);

	snprintf(statement->name, sizeof(statement->name), "plshard_" UINT64_FORMAT, ++conn->session.next_name);
	statement->prepared = false;
	dlist_push_head(&conn->session.lru, &statement->node);
	conn->session.nstatements++;
	return statement;
}

void
plshard_use_statement(NodeConn *conn, PreparedStatement *statement)
{
	dlist_move_head(&conn->session.lru, &statement->node);
	statement->last_use = ++conn->session.nuses;
}

PreparedStatement *
plshard_oldest_statement(const NodeConn *conn)
{
	return dlist_container(PreparedStatement, node,
						   dlist_tail_node(unconstify(dlist_head *, &conn->session.lru)));
}

void
plshard_remove_statement(NodeConn *conn, PreparedStatement *statement)
{
	conn->session.last_found = NULL;
	dlist_delete(&statement->node);
	conn->session.nstatements--;
	hash_search(conn->session.statements, &statement->key, HASH_REMOVE, NULL);
}

void
plshard_statement_answered(NodeConn *conn, PreparedStatement *statement, bool prepared)
{
	if (prepared)
		statement->prepared = true;
	else
		plshard_remove_statement(conn, statement);
}

bool
plshard_conn_is_full(const NodeConn *conn)
{
	return conn->session.nstatements >= plshard_max_prepared_statements &&
		conn->session.nuses - plshard_oldest_statement(conn)->last_use <
		IDLE_FACTOR * (uint64) plshard_max_prepared_statements;
}

void
plshard_conn_forget_statement(NodeConn *conn, uint64 id, int64 shard_id)
{
	HASH_SEQ_STATUS status;
	PreparedStatement *statement;

	if (conn->io.state != CONN_READY)
		return;
	hash_seq_init(&status, conn->session.statements);
	while ((statement = hash_seq_search(&status)) != NULL)
	{
		if (statement->key.id == id && statement->prepared &&
			(statement->key.shard_id == shard_id || statement->key.shard_id == NO_SHARD))
			plshard_remove_statement(conn, statement);
	}
}
