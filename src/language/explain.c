/*
 * explain.c
 *
 * plshard.explain_call(text): where a call would go, without running it.  The
 * text is analyzed as one function call (or CALL), its arguments are evaluated, and
 * the call is prepared as the handler would, up to the point of sending it.
 */
#include "postgres.h"

#include <ctype.h>

#include "access/htup_details.h"
#include "base/arguments.h"
#include "call/read.h"
#include "catalog/pg_type.h"
#include "commands/proclang.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "language/call.h"
#include "language/funccache.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/analyze.h"
#include "parser/parser.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

#define EXPLAIN_COLUMNS 4

PG_FUNCTION_INFO_V1(plshard_explain_call);

/* The text of a call has no parameters, so it needs no parser hooks. */
static void
setup_nothing(ParseState *pstate, void *arg)
{
}

/* Positions in the text are not positions in the query that explains it. */
static void
call_text_error_callback(void *arg)
{
	int			position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery(arg);
	}
}

/* The call that a text is, with its defaults and all arguments in place. */
static FuncExpr *
parse_call(char *text)
{
	bool		is_call = pg_strncasecmp(text, "call", 4) == 0 && isspace((unsigned char) text[4]);
	ErrorContextCallback callback;
	List	   *raw;
	Query	   *query;
	Node	   *node = NULL;
	FuncExpr   *call;
	HeapTuple	proc_tuple;
	Oid			language;

	callback.callback = call_text_error_callback;
	callback.arg = text;
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	raw = raw_parser(text, is_call ? RAW_PARSE_DEFAULT : RAW_PARSE_PLPGSQL_EXPR);
	if (list_length(raw) == 1)
	{
		query = parse_analyze_withcb(linitial_node(RawStmt, raw), text, setup_nothing, NULL, NULL);
		if (query->utilityStmt != NULL && IsA(query->utilityStmt, CallStmt))
			node = (Node *) ((CallStmt *) query->utilityStmt)->funcexpr;
		else if (list_length(query->targetList) == 1 && query->rtable == NIL &&
				 !query->hasSubLinks && !query->hasAggs && !query->hasWindowFuncs)
			node = (Node *) linitial_node(TargetEntry, query->targetList)->expr;
	}
	error_context_stack = callback.previous;
	if (node == NULL || !IsA(node, FuncExpr))
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("one function call is expected"),
				 errhint("For example: SELECT * FROM plshard.explain_call('f(42)').")));

	call = (FuncExpr *) node;
	proc_tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(call->funcid));
	if (!HeapTupleIsValid(proc_tuple))
		elog(ERROR, "cache lookup failed for function %u", call->funcid);
	language = ((Form_pg_proc) GETSTRUCT(proc_tuple))->prolang;
	if (language != get_language_oid("plshard", false))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("function %s is not written in plshard", format_procedure(call->funcid))));
	call->args = expand_function_arguments(call->args, false, call->funcresulttype, proc_tuple);
	ReleaseSysCache(proc_tuple);
	return call;
}

/* The value of an argument of the call. */
static NullableDatum
evaluate(Expr *expr, ExprContext *econtext)
{
	NullableDatum result;

	if (expression_returns_set((Node *) expr))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("the arguments of an explained call cannot be sets")));
	result.value = ExecEvalExpr(ExecInitExpr(expression_planner(expr), NULL), econtext,
								&result.isnull);
	return result;
}

/* The names of the nodes that hold active placements of a shard. */
static Datum
active_nodes(const ClusterMap *map, const ClusterShard *shard)
{
	Datum	   *names = palloc((shard->nactive + 1) * sizeof(Datum));

	for (int i = 0; i < shard->nactive; i++)
	{
		const ClusterPlacement *placement = &map->placements[shard->first_placement + i];

		names[i] = CStringGetTextDatum(map->nodes[placement->node].name);
	}
	return PointerGetDatum(construct_array(names, shard->nactive, TEXTOID, -1, false,
										   TYPALIGN_INT));
}

/* Returns one row for each target of the call. */
static void
put_targets(PlshardCall *call, ReturnSetInfo *rsinfo)
{
	PlshardFunction *function = call->function;
	const ClusterMap *map = call->map;

	for (int i = 0; i < call->ntargets; i++)
	{
		const ClusterShard *shard = &map->shards[call->targets[i].shard];
		Datum		values[EXPLAIN_COLUMNS];
		bool		nulls[EXPLAIN_COLUMNS] = {0};
		int			node;

		if (!function->is_write)
			node = plshard_read_node(map, call->targets[i].shard);
		else
			node = shard->nactive > 0 ? map->placements[shard->first_placement].node : -1;
		values[0] = Int64GetDatum(shard->id);
		values[1] = active_nodes(map, shard);
		nulls[2] = node < 0;
		values[2] = node < 0 ? (Datum) 0 : CStringGetTextDatum(map->nodes[node].name);
		values[3] = CStringGetTextDatum(function->query.sql);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
}

/* Prepares the call as plshard_call_handler does. */
static void
explain_function(FuncExpr *expr, NullableDatum *args, ReturnSetInfo *rsinfo)
{
	PlshardFunction *function;
	PlshardCall call;
	FmgrInfo	flinfo;

	LOCAL_FCINFO(fcinfo, 0);

	fmgr_info(expr->funcid, &flinfo);
	fmgr_info_set_expr((Node *) expr, &flinfo);
	InitFunctionCallInfoData(*fcinfo, &flinfo, 0, expr->inputcollid, NULL, NULL);

	AcceptInvalidationMessages();
	function = plshard_function_for_call(fcinfo);
	plshard_begin_call(&call, function, args);
	PG_TRY();
	{
		plshard_prepare_call(&call);
		put_targets(&call, rsinfo);
	}
	PG_FINALLY();
	{
		plshard_end_call(&call);
	}
	PG_END_TRY();
}

Datum
plshard_explain_call(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	FuncExpr   *expr;
	ExprContext *econtext;
	NullableDatum *args;
	AclResult	acl;
	ListCell   *lc;
	bool		has_null = false;

	plshard_refuse_nulls(fcinfo);
	InitMaterializedSRF(fcinfo, 0);
	expr = parse_call(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	acl = object_aclcheck(ProcedureRelationId, expr->funcid, GetUserId(), ACL_EXECUTE);
	if (acl != ACLCHECK_OK)
		aclcheck_error(acl, OBJECT_FUNCTION, get_func_name(expr->funcid));

	econtext = CreateStandaloneExprContext();
	args = palloc((list_length(expr->args) + 1) * sizeof(NullableDatum));
	foreach(lc, expr->args)
	{
		NullableDatum *arg = &args[foreach_current_index(lc)];

		*arg = evaluate(lfirst(lc), econtext);
		has_null |= arg->isnull;
	}

	/* a strict function is not called with a NULL: it goes nowhere */
	if (!(has_null && func_strict(expr->funcid)))
		explain_function(expr, args, rsinfo);
	FreeExprContext(econtext, true);
	return (Datum) 0;
}
