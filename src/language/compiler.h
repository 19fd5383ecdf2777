/*
 * compiler.h
 *
 * What the files of the compiler share; private to compile*.c.
 */
#ifndef PLSHARD_COMPILER_H
#define PLSHARD_COMPILER_H

#include "language/function.h"
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

/*
 * Begins the compilation of a body: creates the function and its context, below the
 * current one; the current one becomes the compiler's own, for what does not stay.
 * name is NULL for DO.
 */
extern void plshard_begin_compile(Compiler *c, const char *source, const char *name);

/* Frees what does not stay; "caller" is the current memory context again. */
extern void plshard_end_compile(Compiler *c, MemoryContext caller);

/* Gives errors that are raised without a position one in the body. */
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

#endif							/* PLSHARD_COMPILER_H */
