/*
 * query.h
 *
 * The text of remote statements, and which values are their parameters.
 */
#ifndef PLSHARD_QUERY_H
#define PLSHARD_QUERY_H

#include "language/function.h"

/* An argument of a remote function: a value, or a position for an OUT argument. */
typedef struct RemoteArg
{
	int			value;			/* -1: NULL of the type */
	Oid			type;
	bool		variadic;		/* an array that holds the arguments */
} RemoteArg;

typedef enum RemoteCallForm
{
	REMOTE_PROCEDURE,			/* CALL f(...) */
	REMOTE_VOID,				/* SELECT f(...) */
	REMOTE_VALUE,				/* SELECT f(...)::type */
	REMOTE_ONE_VALUE,			/* SELECT COALESCE(f(...)::type): refused where f returns a set */
	REMOTE_VALUES,				/* SELECT r::type AS name FROM f(...) AS r */
	REMOTE_ROWS,				/* SELECT r.a::type, ... FROM f(...) AS r */
	REMOTE_RECORDS				/* SELECT r.a, ... FROM f(...) AS r(a type, ...) */
} RemoteCallForm;

/*
 * The statement that calls a remote function; schema may be NULL.  "columns"
 * are the wanted ones (one for a value; NULL for the first two forms).  The
 * values that became parameters are appended to *params, an integer list in
 * the order of $1, $2, ...  A list of the ParamPositions in the text is made in
 * *positions, unless that is NULL.  palloc'd.
 */
extern char *plshard_call_sql(const ValueScope *scope, RemoteCallForm form,
							  const char *schema, const char *name,
							  int nargs, const RemoteArg *args,
							  TupleDesc columns, List **params, List **positions);

/* The number of a value's parameter, appended to *params where it is new. */
extern int	plshard_param_number(List **params, int value);

#endif							/* PLSHARD_QUERY_H */
