/*
 * expr.h
 *
 * The SQL fragments of a body that the front evaluates: keys, LET, casts.
 */
#ifndef PLSHARD_EXPR_H
#define PLSHARD_EXPR_H

#include "language/function.h"
#include "nodes/parsenodes.h"
#include "parser/parse_node.h"

/* The position of a byte offset of the body, for ereport; nothing for -1. */
extern int	plshard_errposition(const char *source, int offset);

/*
 * For an error context callback: makes a position in the function's body one in the
 * statement that creates it, or else shows the body, without secrets.
 */
extern void plshard_transpose_error(const PlshardFunction *function);

/*
 * While a fragment is handed to PostgreSQL's parser with its own text, adds
 * the fragment's offset in the body to positions of errors.
 */
typedef struct FragmentErrors
{
	const char *source;
	int			start;
	int			prefix;			/* characters before it in the text parsed */
	ErrorContextCallback callback;
} FragmentErrors;

/* Sets prefix to 0; the caller may change it. */
extern void plshard_push_fragment(FragmentErrors *errors, const char *source, int start);
extern void plshard_pop_fragment(FragmentErrors *errors);

/* The index of the value that a name means in a scope, or -1. */
extern int	plshard_find_value(const ValueScope *scope, const char *qualifier, const char *name);

/* Parser hooks by which fragments see the values of a scope (arg). */
extern void plshard_parser_setup(ParseState *pstate, void *arg);

/*
 * Compiles the expressions of a span.  Throws what PostgreSQL's parser and
 * planner throw, with positions in the body; 42601 where the text is more than
 * expressions; 0A000 for a set unless one is allowed.  The result lives in the
 * function's context; work is done in the current one.
 */
extern ExprList *plshard_compile_exprs(PlshardFunction *function, const ValueScope *scope,
									   SourceSpan span, bool allow_set);

/* The syntax only. */
extern void plshard_check_exprs(const char *source, SourceSpan span);

/* A list of one expression that just names a value of a scope. */
extern ExprList *plshard_value_expr(PlshardFunction *function, const ValueScope *scope,
									int value);

/* The type that a span names; its position is in errors. */
extern void plshard_lookup_type(const char *source, SourceSpan span, Oid *type, int32 *typmod);

/* Names were looked up: the function is valid only under this search_path. */
extern void plshard_depend_on_search_path(PlshardFunction *function);

/*
 * Finds the cast from a type to another.  Returns false where there is none.
 * *cast is NULL where none is needed.
 */
extern bool plshard_compile_cast(PlshardFunction *function, Oid from, int32 from_typmod,
								 Oid from_collation, Oid to, int32 to_typmod,
								 CoercionContext how, LocalExpr **cast);

/* Starts and ends the part of a call in which expressions are evaluated. */
extern void plshard_begin_evaluation(PlshardCall *call);
extern void plshard_end_evaluation(PlshardCall *call);

/* One row of values, in the call's context. */
extern void plshard_eval_exprs(PlshardCall *call, ExprList *list, NullableDatum *result);

/* All rows of a list that may be a set: *nrows times nexprs values. */
extern NullableDatum *plshard_eval_rows(PlshardCall *call, ExprList *list, uint64 *nrows);

/* A value through a cast, in the current memory context. */
extern Datum plshard_eval_cast(PlshardCall *call, LocalExpr *cast, Datum value, bool *isnull);

/* Sets the value of an argument or LET. */
extern void plshard_set_value(PlshardCall *call, int value, NullableDatum datum);

/*
 * Prepares and keeps a plan for a text that sees the values of a scope; it is freed
 * with "owner".  SPI is connected.
 */
extern SPIPlanPtr plshard_keep_plan(const char *text, RawParseMode mode,
									const ValueScope *scope, MemoryContext owner);

/*
 * Bodies are read with standard_conforming_strings = on, whatever the session
 * has.  Returns the nest level to end that with AtEOXact_GUC(true, level); the
 * end of a failed (sub)transaction does so as well.
 */
extern int	plshard_begin_reading(void);

#endif							/* PLSHARD_EXPR_H */
