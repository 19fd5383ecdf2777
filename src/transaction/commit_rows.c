/*
 * commit_rows.c
 *
 * A transaction's rows in plshard_node.transaction.  The names of rows that may be deleted
 * live with their connections.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "cluster/gid.h"
#include "connection/pipeline.h"
#include "connection/statements.h"
#include "lib/stringinfo.h"
#include "transaction/commit_rows.h"

/* Rows on a node that this session may still delete. */
#define MAX_RESOLVED_ROWS 8

/*
 * The transaction's row.  The commit must wait for the disk, whatever the session
 * is set to.
 */
static const char row_sql[] =
"INSERT INTO plshard_node.transaction (gid, state) VALUES ($1, "
"CASE WHEN pg_catalog.current_setting('synchronous_commit') OPERATOR(pg_catalog.=) "
"ANY ('{off,local,remote_write}'::pg_catalog.text[]) "
"THEN CASE WHEN pg_catalog.set_config('synchronous_commit', 'on', true) OPERATOR(pg_catalog.=) 'on' "
"THEN 'committed' END ELSE 'committed' END)";

/* Rows on a connection's node that the next transactions there may delete. */
typedef struct ResolvedRows
{
	int			n;
	char		gids[MAX_RESOLVED_ROWS][PLSHARD_PREPARED_NAME_SIZE];
} ResolvedRows;

/* Deletes rows that are not needed any more. */
static const char resolved_rows_sql[] =
"DELETE FROM plshard_node.transaction WHERE gid OPERATOR(pg_catalog.=) ANY ($1)";

/* The names of rows to delete, as an array's text. */
static char *
resolved_rows(const NodeConn *conn)
{
	StringInfoData array;

	initStringInfo(&array);
	appendStringInfoChar(&array, '{');
	for (int i = 0; i < conn->resolved_rows->n; i++)
		appendStringInfo(&array, "%s%s", i > 0 ? "," : "", conn->resolved_rows->gids[i]);
	appendStringInfoChar(&array, '}');
	return array.data;
}

/*
 * Whether a transaction deletes the rows: only when there are many, since each statement
 * costs.  Above READ COMMITTED it does not: a row that recovery has deleted at the same
 * time would be a serialization failure.
 */
static bool
deletes_rows(const NodeConn *conn)
{
	return conn->resolved_rows != NULL && conn->resolved_rows->n == MAX_RESOLVED_ROWS &&
		!IsolationUsesXactSnapshot();
}

/* The server replans a prepared statement when search_path has changed, so each path has its own. */
void
plshard_send_commit_row(NodeConn *conn, const char *gid, void *owner)
{
	static const Oid types[1] = {TEXTOID};
	static const Oid array_types[1] = {TEXTARRAYOID};
	const RemoteParams params = {.values = &gid};

	if (deletes_rows(conn))
	{
		char	   *gone = resolved_rows(conn);
		const char *gone_value = gone;
		const RemoteParams gone_params = {.values = &gone_value};

		plshard_conn_send_prepared(conn, QUERY_RESOLVED_ROWS, conn->session.path_shard, resolved_rows_sql,
								   1, array_types, &gone_params, 0, PENDING_SETTING, owner, 0, false);
		pfree(gone);
	}
	plshard_conn_send_prepared(conn, QUERY_COMMIT_ROW, conn->session.path_shard, row_sql, 1, types, &params,
							   0, PENDING_SETTING, owner, 0, false);
}

void
plshard_commit_row_is_resolved(NodeConn *conn, const char *gid)
{
	ResolvedRows *rows;

	if (conn->io.state != CONN_READY)
		return;					/* recovery deletes it */
	rows = conn->resolved_rows;
	if (rows == NULL)
	{
		rows = MemoryContextAlloc(conn->context, sizeof(ResolvedRows));
		rows->n = 0;
		conn->resolved_rows = rows;
	}
	if (deletes_rows(conn))
		rows->n = 0;
	if (rows->n == MAX_RESOLVED_ROWS)
		return;
	strlcpy(rows->gids[rows->n++], gid, PLSHARD_PREPARED_NAME_SIZE);
}

