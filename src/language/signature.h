/*
 * signature.h
 *
 * A function's arguments and result, read from its pg_proc row.
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
	bool		types_unknown;	/* read without a call, and polymorphic: the types are placeholders */
	bool		result_unknown; /* ... or returns a record: its columns come with a call */
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

/* Makes the function depend on a type and the types it is made of. */
extern void plshard_depend_on_type(PlshardFunction *function, Oid type);

#endif							/* PLSHARD_SIGNATURE_H */
