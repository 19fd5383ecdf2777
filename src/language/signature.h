/*
 * signature.h
 *
 * What a function's pg_proc row says of its arguments and its result.
 */
#ifndef PLSHARD_SIGNATURE_H
#define PLSHARD_SIGNATURE_H

#include "access/htup.h"
#include "fmgr.h"
#include "language/function.h"

/* What compilation needs of it; lives in the memory context it was read in. */
typedef struct Signature
{
	bool		is_procedure;
	bool		is_record;		/* its columns come from the call */
	bool		types_unknown;	/* read without a call, and polymorphic: any types stand there */
	bool		result_unknown; /* ... or returns a record, whose columns a call says */
	int			nargs;			/* all arguments, with OUT ones */
	Oid		   *types;
	char	  **names;			/* or NULL */
	char	   *modes;			/* or NULL: all IN */
	double		rows;			/* of a set, as declared by ROWS */
} Signature;

/*
 * Reads a function's signature for a call, or with "validating" as far as it is
 * known without one: sets the function's arguments (with room for nlets values
 * behind them) and what it returns.  Throws where plshard cannot take or return
 * a type.
 */
extern void plshard_read_signature(Signature *signature, PlshardFunction *function,
								   HeapTuple proc_tuple, FunctionCallInfo fcinfo,
								   bool validating, int nlets);

/* Makes room for the function's nargs arguments and nlets LETs. */
extern void plshard_make_values(PlshardFunction *function, int nargs, int nlets);

/* Whether a call gives the argument a value. */
extern bool plshard_is_input(const Signature *signature, int arg);

/* Remembers what a type's values look like, down to PostgreSQL's own types. */
extern void plshard_depend_on_type(PlshardFunction *function, Oid type);

#endif							/* PLSHARD_SIGNATURE_H */
