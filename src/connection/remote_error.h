/*
 * remote_error.h
 *
 * Errors and notices of nodes, made the front's own.
 */
#ifndef PLSHARD_REMOTE_ERROR_H
#define PLSHARD_REMOTE_ERROR_H

#include "libpq-fe.h"

/* Where a remote error happened; any pointer may be NULL. */
typedef struct RemoteErrorContext
{
	const char *function_name;
	const char *node_name;
	bool		has_shard;
	int64		shard_id;
	const char *sql;			/* shown as context with position where the node gave one */
	bool		is_call;		/* "sql" calls a function that must be on the node */
} RemoteErrorContext;

/*
 * The SQLSTATE of an error result as ereport encodes it; 08006 where there is none, 08P01
 * where it is not that of an error.
 */
extern int	plshard_result_sqlstate(const PGresult *result);

/*
 * A field of an error or notice as text: in the encoding of the front's database, and not longer
 * than REPORT_FIELD_LIMIT.  NULL where there is none.  It may be palloc'd.
 */
extern const char *plshard_result_text(const PGresult *result, int field);

#define REPORT_FIELD_LIMIT (1024 * 1024)

/* An error result that ends its connection. */
extern bool plshard_error_is_fatal(const PGresult *result);

/* Whether it is that function of the node's server that has raised an error, or a warning. */
extern bool plshard_error_is_from(const PGresult *error, const char *function);

/*
 * Throws (elevel ERROR) or reports an error result with its own SQLSTATE,
 * message, detail, hint, context, and schema/table/column/constraint names,
 * adding node, shard and function as context.  Copies everything; the caller
 * (or its owner) still clears the result.
 */
extern void plshard_report_result(int elevel, const PGresult *result,
								  const RemoteErrorContext *where);

/* For error context callbacks: adds the line with function, shard and node. */
extern void plshard_remote_errcontext(const RemoteErrorContext *where);

/* A notice or warning of a node. */
typedef struct RemoteNotice
{
	struct RemoteNotice *next;
	int			elevel;
	int			sqlstate;
	const char *function_name;	/* of the call it belongs to */
	Size		size;			/* of it all, in bytes */
	char	   *message;
	char	   *detail;			/* or NULL, as those below */
	char	   *hint;
	char	   *context;
} RemoteNotice;

/*
 * Copies a notice for a report later on, since libpq's notice receiver must not
 * be left by an error.  NULL where it is not for the client (a server's messages
 * when it goes down are not the function's), or memory is short.
 */
extern RemoteNotice *plshard_copy_notice(MemoryContext context, const PGresult *notice,
										 const char *function_name);

/* Reports it, with function and node as context, and frees it. */
extern void plshard_report_notice(RemoteNotice *notice, const char *node_name);

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

/*
 * Whether a connection that could not be made failed for a reason of this session's: a
 * server that refuses a user, or requires another password or certificate, is
 * there; one that starts up, shuts down or fails inside is not.
 */
extern bool plshard_server_answered(PGconn *conn);

#endif							/* PLSHARD_REMOTE_ERROR_H */
