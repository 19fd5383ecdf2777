/*
 * compiler.h
 *
 * What the files of the compiler share; private to compile.c and compile_route.c.
 */
#ifndef PLSHARD_COMPILER_H
#define PLSHARD_COMPILER_H

#include "language/compile.h"
#include "language/expr.h"
#include "language/signature.h"

typedef struct Compiler
{
	PlshardFunction *function;
	MemoryContext work;
	ErrorContextCallback callback;
	int			reading;		/* see plshard_begin_reading */
	AstBody    *body;
	Signature	signature;		/* of a DO: empty */
	bool		validating;		/* for CREATE FUNCTION, without a call */
	bool		is_inline;
	bool		is_volatile;
} Compiler;

#define errposition_at(c, offset) plshard_errposition((c)->function->source, (offset))

/* Gives errors that know nothing of the body a position in it. */
typedef struct PositionErrors
{
	ErrorContextCallback callback;
	const char *source;
	int			location;		/* -1: none */
} PositionErrors;

/* From push to pop, errors without a position have that of the location. */
extern void plshard_push_position(PositionErrors *errors, const Compiler *c, int location);
extern void plshard_pop_position(PositionErrors *errors);

/*
 * The value that an argument in the body means.  Errors: 42703, 42P02; the hint (or
 * NULL) is for a name that means none.
 */
extern int	plshard_lookup_argument(Compiler *c, const AstArg *arg, const char *hint);

/* ---- compile_route.c, in the order in which it must be called ---- */

/* CLUSTER and CONNECT, as far as they say a constant. */
extern void plshard_compile_destination(Compiler *c);

/* CLUSTER or CONNECT by an expression, whose value must be text; sees all values. */
extern void plshard_compile_destination_expr(Compiler *c);

/* RUN ON and SPLIT. */
extern void plshard_compile_run_on(Compiler *c);

#endif							/* PLSHARD_COMPILER_H */
