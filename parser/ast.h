/*
 * ast.h
 *
 * The syntax tree of a plshard function body.  The parser is pure: it does
 * not use PostgreSQL's catalogs, and leaves SQL fragments (expressions,
 * types, statements) as spans of the source for the compiler to hand to
 * PostgreSQL's own parser.  All offsets are byte offsets into the source.
 */
#ifndef PLSHARD_AST_H
#define PLSHARD_AST_H

#include <stdbool.h>
#include <stdint.h>

/* A stretch of the source; without the surrounding white space and comments. */
typedef struct SourceSpan
{
	int			start;
	int			length;			/* 0: absent */
} SourceSpan;

/* A (folded or quoted) identifier; location -1 where it was not written. */
typedef struct AstName
{
	char	   *name;			/* NULL: absent */
	int			location;
} AstName;

/* An argument as a function body names it: a, f.a or $1. */
typedef struct AstArg
{
	struct AstArg *next;
	char	   *qualifier;		/* function_name in f.a, else NULL */
	char	   *name;			/* NULL for $n */
	int			number;			/* n in $n, else 0 */
	int			location;
} AstArg;

/* Where a call goes to: CLUSTER or CONNECT with a literal, a call or an argument. */
typedef struct AstDestination
{
	int			location;		/* of what follows the keyword; -1: absent */
	char	   *name;			/* the literal's value, or NULL */
	SourceSpan	text;			/* the literal, or func(args...) */
	AstArg	   *arg;			/* or NULL */
} AstDestination;

/* LET name [type] = expr */
typedef struct AstLet
{
	struct AstLet *next;
	AstName		name;
	SourceSpan	type;			/* absent: the expression's own type */
	SourceSpan	expr;
	int			location;
} AstLet;

typedef enum RunOnKind
{
	RUN_ON_NONE,				/* no RUN ON statement */
	RUN_ON_HASH,				/* hash(expr, ...): span = the text between the parentheses */
	RUN_ON_FUNCTION,			/* func(args...): span = the whole call */
	RUN_ON_ARG,					/* argname, f.argname, $n */
	RUN_ON_SHARD,				/* a number */
	RUN_ON_ALL,
	RUN_ON_ANY
} RunOnKind;

typedef enum AccessMode
{
	ACCESS_BY_VOLATILITY,		/* neither READ nor WRITE: VOLATILE functions write */
	ACCESS_READ,
	ACCESS_WRITE
} AccessMode;

typedef struct AstBody
{
	const char *source;

	AstDestination cluster;
	AstDestination connect;

	RunOnKind	run_on;
	int			run_on_location;	/* of what follows RUN ON */
	SourceSpan	run_on_expr;	/* RUN_ON_HASH, RUN_ON_FUNCTION */
	AstArg	   *run_on_arg;		/* RUN_ON_ARG */
	int64_t		run_on_shard;	/* RUN_ON_SHARD */

	int			split_location; /* of what follows SPLIT; -1: absent */
	AstArg	   *split_args;		/* NULL: SPLIT ALL */

	AstLet	   *lets;			/* in the order written */

	AstName		target_schema;
	AstName		target_name;	/* absent: no TARGET */
	bool		target_has_args;
	AstArg	   *target_args;

	AccessMode	access;
	int			access_location;
	bool		lock_shard;
	int			lock_shard_location;
	bool		skip_failures;	/* ON FAILURE SKIP */
	int			skip_failures_location;
	char	   *timeout;		/* the literal's value, NULL if absent */
	int			timeout_location;

	SourceSpan	sql;			/* SELECT ... CALL: the remote statement */
	SourceSpan	reduce_columns; /* between the parentheses after REDUCE */
	SourceSpan	reduce_query;	/* absent: no REDUCE */
} AstBody;

#endif							/* PLSHARD_AST_H */
