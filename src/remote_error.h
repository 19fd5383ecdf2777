/*
 * remote_error.h
 *
 * Errors and notices of nodes, made the front's own.
 */
#ifndef PLSHARD_REMOTE_ERROR_H
#define PLSHARD_REMOTE_ERROR_H

#include "postgres.h"

#include "libpq-fe.h"

/* Where a remote error happened; any pointer may be NULL, shard_id 0. */
typedef struct RemoteErrorContext
{
	const char *function_name;
	const char *node_name;
	int64		shard_id;
	const char *sql;			/* shown as context with position where the node gave one */
	bool		is_call;		/* "sql" calls a function that must be on the node */
} RemoteErrorContext;

/* The SQLSTATE of an error result as ereport encodes it; 08006 where there is none. */
extern int	plshard_result_sqlstate(const PGresult *result);

/*
 * Throws (elevel ERROR) or reports an error result with its own SQLSTATE,
 * message, detail, hint, context, and schema/table/column/constraint names,
 * adding node, shard and function as context.  Copies everything; the caller
 * (or its owner) still clears the result.
 */
extern void plshard_report_result(int elevel, const PGresult *result,
								  const RemoteErrorContext *where);

/* For error context callbacks: adds the line that says where. */
extern void plshard_remote_errcontext(const RemoteErrorContext *where);

/*
 * libpq's error message of a failed connection, made safe: one line, without
 * anything that a conninfo may hold.  palloc'd.
 */
extern char *plshard_connection_message(PGconn *conn);

/*
 * The SQLSTATE with which a server refused a connection made with
 * PQERRORS_VERBOSE; 0 where it did not answer at all.
 */
extern int	plshard_connection_sqlstate(PGconn *conn);

#endif							/* PLSHARD_REMOTE_ERROR_H */
