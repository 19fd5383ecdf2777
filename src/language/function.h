/*
 * function.h
 *
 * A compiled function, as compile.c makes it, funccache.c keeps it and a call
 * uses it; and one call of it.
 *
 * A PlshardFunction owns its memory context: everything below it lives there,
 * and what lives elsewhere (cached expressions, plans) is freed by callbacks of
 * that context.  Nothing in it changes after compilation except what is marked
 * as state.
 */
#ifndef PLSHARD_FUNCTION_H
#define PLSHARD_FUNCTION_H

#include "ast.h"
#include "base/compat.h"
#include "call/request.h"
#include "call/result.h"
#include "call/typeio.h"
#include "cluster/cluster.h"
#include "cluster/shard_hash.h"
#include "executor/spi.h"
#include "nodes/execnodes.h"
#include "nodes/params.h"
#include "utils/plancache.h"

/* What a body can name: an argument, or the value of a LET. */
typedef struct FunctionValue
{
	const char *name;			/* NULL: reachable as $n only */
	Oid			type;
	int32		typmod;
	Oid			collation;
	bool		is_row;			/* name.field means something */
} FunctionValue;

/* The values that can be named at one point of the body. */
typedef struct ValueScope
{
	const char *function_name;	/* qualifies names; NULL in DO */
	int			nargs;			/* $1 ... $nargs */
	int			nvalues;		/* the arguments, then the LETs before this point */
	const FunctionValue *values;
} ValueScope;

/* An expression that the front evaluates. */
typedef struct LocalExpr
{
	int			value;			/* the value that it merely names, or -1 */
	Oid			type;
	int32		typmod;
	Oid			collation;
	int			location;		/* in the body */
	CachedExpression *cached;	/* NULL where value >= 0 or a plan evaluates it */
	int			state;			/* index into Evaluator.states */
	bool		needs_snapshot; /* not immutable: must see what the caller did */
} LocalExpr;

/* A list of expressions: hash(a, lower(b)). */
typedef struct ExprList
{
	int			nexprs;
	LocalExpr  *exprs;
	SPIPlanPtr	plan;			/* evaluates all of them; NULL: they are simple */
} ExprList;

/* Running states of a function's expressions. */
typedef struct Evaluator
{
	MemoryContext context;
	ExprContext *econtext;
	ExprState **states;			/* NULL where not yet initialized */
	int			nstates;
	LocalTransactionId lxid;	/* in which they were initialized */
	bool		running;		/* still set: an error left them in disorder */
} Evaluator;

/* One expression as a value of a certain type: of a LET, of CLUSTER, of CONNECT. */
typedef struct TypedExpr
{
	ExprList   *expr;
	LocalExpr  *cast;			/* to the type; NULL: none is needed */
} TypedExpr;

/* An array that SPLIT spreads over the shards; of its elements: */
typedef struct SplitValue
{
	int			value;
	Oid			type;
	int16		length;
	bool		by_value;
	char		align;
} SplitValue;

typedef enum ReturnKind
{
	RETURN_VOID,
	RETURN_SCALAR,
	RETURN_ROW
} ReturnKind;

/* REDUCE: see reduce.h */
typedef struct Reduce
{
	SourceSpan	span;
	bool		derived;		/* columns come from the nodes' first answer */
	RowDecoder *decoder;		/* of the gathered rows; NULL if derived */

	/* state: what was prepared for which columns */
	TupleDesc	columns;
	SPIPlanPtr	plan;
	TupleDesc	output;			/* of the plan, for which the casts are */
	LocalExpr **casts;			/* for each column; NULL: none is needed */
} Reduce;

/* What makes a function outdated when it changes. */
typedef struct TypeDependency
{
	uint32		type_hash;		/* syscache hash value of the type */
	Oid			relation;		/* of a composite type, else InvalidOid */
} TypeDependency;

typedef struct PlshardFunction
{
	MemoryContext context;
	const char *signature;		/* add_review(text,integer) */
	const char *qualified_signature;	/* public.add_review(text,integer) */
	const char *name;			/* NULL in DO */
	const char *source;			/* the body */
	const char *shown_source;	/* what messages show of it; NULL: nothing */
	bool		read_only;		/* not volatile: local queries see the caller's snapshot */

	/* validity */
	uint32		proc_hash;		/* syscache hash value of the function */
	Oid			owner;
	List	   *type_dependencies;	/* of TypeDependency */
	SearchPathState *search_path;	/* under which names were looked up; NULL: no names */
	Oid			role;			/* of the rights that were checked; InvalidOid: none were */
	List	   *cached_expressions; /* of CachedExpression, all must be valid */
	List	   *plans;			/* of SPIPlanPtr, all must be valid */
	bool		stale;			/* state: must not be used for a new call */
	bool		forgotten;		/* state: freed when use_count falls to 0 */
	int			use_count;		/* state */

	/* values */
	int			nargs;
	int			nlets;
	FunctionValue *values;		/* nargs + nlets */
	ValueScope *scope;			/* all of them */
	TypedExpr  *lets;
	bool		needs_params;	/* some expression takes values through ParamListInfo */
	int			nstates;
	bool		states_keep;	/* states stay valid beyond the transaction */
	Evaluator	evaluator;		/* state: of the outermost call */
	MemoryContext call_context; /* state: of the outermost call */

	/* where to */
	ClusterRef	cluster;		/* CLUSTER 'name'; else 0 */
	const char *conninfo;		/* CONNECT 'conninfo' */
	TypedExpr  *destination;	/* the text of CLUSTER or CONNECT by an expression */
	bool		connects;		/* CONNECT, not CLUSTER */
	RunOnKind	run_on;
	ExprList   *keys;			/* RUN_ON_HASH, RUN_ON_FUNCTION, RUN_ON_ARG */
	ShardHash  *hashes;			/* RUN_ON_HASH: for each key (fn_extra is state) */
	Oid			hash_type;		/* RUN_ON_FUNCTION, RUN_ON_ARG: int2, int4 or int8 */
	int64		run_on_shard;	/* RUN_ON_SHARD */
	int			nsplits;
	SplitValue *splits;

	/* what */
	RemoteQuery query;
	RemoteQuery *one_shot;		/* if the call commits at once; NULL: it may not, since
								 * its result could be refused afterwards */
	int		   *param_values;	/* parameter -> value */
	ParamEncoder *encoders;		/* of each parameter */
	bool		is_write;
	bool		lock_shard;
	bool		skip_failures;
	int			timeout;		/* ms */
	int			id_limit;		/* state: see CallRequest */
	ParamEncoder *arg_encoders; /* state: of the arguments; NULL until call_id.c needs them */

	/* what comes back */
	bool		returns_set;
	ReturnKind	return_kind;
	Oid			return_type;	/* RETURN_SCALAR */
	TupleDesc	return_desc;	/* the columns: of a scalar, one */
	Oid			return_domain;	/* RETURN_ROW: domain over the composite type */
	RowDecoder *decoder;		/* of a call's rows; NULL: void, or REDUCE */
	Reduce	   *reduce;			/* or NULL */
} PlshardFunction;

/*
 * Begins and ends a use of a function: as long as it is used it is not freed.
 * A forgotten function is freed at the end of its last use.
 */
extern void plshard_use_function(PlshardFunction *function);
extern void plshard_release_function(PlshardFunction *function);

/* Frees a function, now or at the end of its last use. */
extern void plshard_forget_function(PlshardFunction *function);

/*
 * Throws 42501 unless the function may CONNECT to the value of an expression: its
 * owner is a superuser, or plshard.connect_by_expression is on.
 */
extern void plshard_check_connect(const PlshardFunction *function);

/* One call, on the stack of its handler. */
typedef struct PlshardCall
{
	PlshardFunction *function;
	FunctionCallInfo fcinfo;	/* NULL in DO */
	MemoryContext caller_context;
	MemoryContext context;		/* of all that the call makes; freed with it */
	bool		nested;			/* another call of the function is under way */
	Evaluator  *evaluator;
	NullableDatum *values;		/* arguments and LETs */
	ParamListInfo params;		/* the same, or NULL where nothing needs it */

	ClusterMap *map;
	int			ntargets;
	CallTarget *targets;
	RemoteParams remote_params; /* of all targets, unless they have slices of arrays */
	struct SplitCall *split;	/* the arrays of which they have slices; or NULL */
	bool		by_copy;		/* COPY may return the rows: parameters are text */
} PlshardCall;

#endif							/* PLSHARD_FUNCTION_H */
