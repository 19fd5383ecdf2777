/*
 * expr.c
 *
 * The SQL fragments of a body that the front evaluates.
 *
 * A fragment is parsed and analyzed by PostgreSQL, with hooks that see the
 * function's arguments and LETs as parameters.  What names just a value is
 * read directly; what is simple is planned once and runs as an ExprState;
 * sub-selects, aggregates and sets run through a kept SPI plan.
 *
 * Compiled expressions live in the function's context (cached expressions and
 * plans where PostgreSQL keeps them, freed by callbacks of that context).
 * Running states live in the Evaluator's context: the function's for the
 * outermost call, the call's own for a nested one.  Values live in the call's.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "executor/executor.h"
#include "language/expr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/analyze.h"
#include "parser/parse_coerce.h"
#include "parser/parse_func.h"
#include "parser/parse_type.h"
#include "parser/parser.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

int
plshard_begin_reading(void)
{
	int			level = NewGUCNestLevel();

	if (!standard_conforming_strings)
		(void) set_config_option("standard_conforming_strings", "on", PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	return level;
}

/* ---- positions ---- */

int
plshard_errposition(const char *source, int offset)
{
	if (offset < 0)
		return 0;
	return errposition(pg_mbstrlen_with_len(source, offset) + 1);
}

void
plshard_transpose_error(const PlshardFunction *function)
{
	if (geterrposition() <= 0)
		return;
	function_parse_error_transpose(function->source);
	if (getinternalerrposition() <= 0)
		return;
	internalerrquery(function->shown_source);
	if (function->shown_source == NULL)
		internalerrposition(0);
}

static void
fragment_error_callback(void *arg)
{
	FragmentErrors *errors = arg;
	int			position = geterrposition() - errors->prefix;

	if (position > 0)
		errposition(position + pg_mbstrlen_with_len(errors->source, errors->start));
}

void
plshard_push_fragment(FragmentErrors *errors, const char *source, int start)
{
	errors->source = source;
	errors->start = start;
	errors->prefix = 0;
	errors->callback.callback = fragment_error_callback;
	errors->callback.arg = errors;
	errors->callback.previous = error_context_stack;
	error_context_stack = &errors->callback;
}

void
plshard_pop_fragment(FragmentErrors *errors)
{
	error_context_stack = errors->callback.previous;
}

/* ---- names ---- */

int
plshard_find_value(const ValueScope *scope, const char *qualifier, const char *name)
{
	if (qualifier != NULL &&
		(scope->function_name == NULL || strcmp(qualifier, scope->function_name) != 0))
		return -1;
	for (int i = 0; i < scope->nvalues; i++)
	{
		if (scope->values[i].name != NULL && strcmp(scope->values[i].name, name) == 0)
			return i;
	}
	return -1;
}

/* The Param node that reads a value of the scope. */
static Node *
make_value_param(const ValueScope *scope, int value, int location)
{
	Param	   *param = makeNode(Param);

	param->paramkind = PARAM_EXTERN;
	param->paramid = value + 1;
	param->paramtype = scope->values[value].type;
	param->paramtypmod = scope->values[value].typmod;
	param->paramcollid = scope->values[value].collation;
	param->location = location;
	return (Node *) param;
}

/*
 * Values win over columns, as arguments do in PL/Proxy: name, function.name,
 * and either followed by a field where the value is a row.
 */
static Node *
pre_column_ref(ParseState *pstate, ColumnRef *cref)
{
	const ValueScope *scope = pstate->p_ref_hook_state;
	int			nfields = list_length(cref->fields);
	const char *first;
	int			value;
	int			used;
	Node	   *param;

	if (!IsA(linitial(cref->fields), String))
		return NULL;
	first = strVal(linitial(cref->fields));

	if (nfields >= 2 && IsA(lsecond(cref->fields), String) &&
		(value = plshard_find_value(scope, first, strVal(lsecond(cref->fields)))) >= 0)
		used = 2;
	else if ((value = plshard_find_value(scope, NULL, first)) >= 0)
		used = 1;
	else
		return NULL;

	if (nfields > used && (!scope->values[value].is_row || nfields > used + 1 ||
						   !IsA(list_nth(cref->fields, used), String)))
		return NULL;

	param = make_value_param(scope, value, cref->location);
	if (nfields > used)
		return ParseFuncOrColumn(pstate, list_make1(list_nth(cref->fields, used)),
								 list_make1(param), pstate->p_last_srf, NULL, false,
								 cref->location);
	return param;
}

/* A name where there is no table can only have meant a value. */
static Node *
post_column_ref(ParseState *pstate, ColumnRef *cref, Node *var)
{
	if (var == NULL && pstate->p_rtable == NIL && pstate->parentParseState == NULL &&
		!IsA(llast(cref->fields), A_Star))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("\"%s\" is not an argument of this function",
						NameListToString(cref->fields)),
				 parser_errposition(pstate, cref->location)));
	return NULL;
}

/* Parser hook: $n names an argument. */
static Node *
param_ref(ParseState *pstate, ParamRef *pref)
{
	const ValueScope *scope = pstate->p_ref_hook_state;

	if (pref->number < 1 || pref->number > scope->nargs)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_PARAMETER),
				 errmsg("there is no parameter $%d", pref->number),
				 parser_errposition(pstate, pref->location)));
	return make_value_param(scope, pref->number - 1, pref->location);
}

void
plshard_parser_setup(ParseState *pstate, void *arg)
{
	pstate->p_pre_columnref_hook = pre_column_ref;
	pstate->p_post_columnref_hook = post_column_ref;
	pstate->p_paramref_hook = param_ref;
	pstate->p_ref_hook_state = arg;
}

void
plshard_lookup_type(const char *source, SourceSpan span, Oid *type, int32 *typmod)
{
	char	   *text = pnstrdup(source + span.start, span.length);
	ParseState *pstate = make_parsestate(NULL);
	FragmentErrors errors;
	TypeName   *name;

	pstate->p_sourcetext = text;
	plshard_push_fragment(&errors, source, span.start);
	name = linitial_node(TypeName, raw_parser(text, RAW_PARSE_TYPE_NAME));
	if (name->setof)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("a set is not allowed here"),
				 parser_errposition(pstate, name->location)));
	typenameTypeIdAndMod(pstate, name, type, typmod);
	if (get_typtype(*type) == TYPTYPE_PSEUDO)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("values of type %s cannot be kept", format_type_be(*type)),
				 parser_errposition(pstate, name->location)));
	plshard_pop_fragment(&errors);
	free_parsestate(pstate);
}

/* ---- what is freed with a context ---- */

static void
free_cached_expression(void *arg)
{
	FreeCachedExpression(arg);
}

static void
free_plan(void *arg)
{
	SPI_freeplan(arg);
}

SPIPlanPtr
plshard_keep_plan(const char *text, RawParseMode mode, const ValueScope *scope,
				  MemoryContext owner)
{
	MemoryContextCallback *callback = MemoryContextAlloc(owner, sizeof(*callback));
	SPIPrepareOptions options = {0};
	SPIPlanPtr	plan;

	options.parserSetup = plshard_parser_setup;
	options.parserSetupArg = unconstify(ValueScope *, scope);
	options.parseMode = mode;
	plan = SPI_prepare_extended(text, &options);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare_extended failed: %s", SPI_result_code_string(SPI_result));
	SPI_keepplan(plan);
	callback->func = free_plan;
	callback->arg = plan;
	MemoryContextRegisterResetCallback(owner, callback);
	return plan;
}

/* ---- compilation ---- */

/*
 * The raw parse of a span that must be a list of expressions, nothing more.
 * *text is the span's own text.
 */
static RawStmt *
parse_exprs(const char *source, SourceSpan span, char **text)
{
	FragmentErrors errors;
	RawStmt    *raw;
	SelectStmt *stmt;
	ListCell   *lc;

	*text = pnstrdup(source + span.start, span.length);
	plshard_push_fragment(&errors, source, span.start);
	raw = linitial_node(RawStmt, raw_parser(*text, RAW_PARSE_PLPGSQL_EXPR));
	plshard_pop_fragment(&errors);

	stmt = castNode(SelectStmt, raw->stmt);
	if (stmt->targetList == NIL || stmt->distinctClause != NIL || stmt->fromClause != NIL ||
		stmt->whereClause != NULL || stmt->groupClause != NIL ||
		stmt->havingClause != NULL || stmt->windowClause != NIL ||
		stmt->sortClause != NIL || stmt->limitOffset != NULL ||
		stmt->limitCount != NULL || stmt->lockingClause != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("an expression is expected here"),
				 errhint("Put a query into parentheses."),
				 plshard_errposition(source, span.start)));
	foreach(lc, stmt->targetList)
	{
		ResTarget  *target = lfirst_node(ResTarget, lc);

		if (target->name != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_SYNTAX_ERROR),
					 errmsg("a column name is not allowed here"),
					 plshard_errposition(source, span.start + target->location)));
	}
	return raw;
}

void
plshard_check_exprs(const char *source, SourceSpan span)
{
	char	   *text;

	parse_exprs(source, span, &text);
}

/* Whether a function is not one that initdb created. */
static bool
is_user_function(Oid function, void *context)
{
	return function >= FirstUnpinnedObjectId;
}

/* Whether an expression runs functions of users: EXECUTE rights on them may change. */
static bool
contains_user_code(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, CoerceToDomain) || check_functions_in_node(node, is_user_function, NULL))
		return true;
	return expression_tree_walker(node, contains_user_code, context);
}

void
plshard_depend_on_search_path(PlshardFunction *function)
{
	if (function->search_path == NULL)
		function->search_path = plshard_search_path(function->context);
}

/* Plans an analyzed expression and keeps it. */
static void
keep_expression(PlshardFunction *function, LocalExpr *expr, Node *node)
{
	MemoryContextCallback *callback = MemoryContextAlloc(function->context, sizeof(*callback));
	MemoryContext old;

	if (contains_user_code(node, NULL))
	{
		function->states_keep = false;
		function->role = GetUserId();
	}
	expr->cached = GetCachedExpression(node);
	callback->func = free_cached_expression;
	callback->arg = expr->cached;
	MemoryContextRegisterResetCallback(function->context, callback);

	expr->needs_snapshot = contain_mutable_functions(expr->cached->expr);
	expr->state = function->nstates++;
	old = MemoryContextSwitchTo(function->context);
	function->cached_expressions = lappend(function->cached_expressions, expr->cached);
	MemoryContextSwitchTo(old);
}

ExprList *
plshard_value_expr(PlshardFunction *function, const ValueScope *scope, int value)
{
	ExprList   *list = MemoryContextAllocZero(function->context, sizeof(ExprList));

	list->nexprs = 1;
	list->exprs = MemoryContextAllocZero(function->context, sizeof(LocalExpr));
	list->exprs->value = value;
	list->exprs->type = scope->values[value].type;
	list->exprs->typmod = scope->values[value].typmod;
	list->exprs->collation = scope->values[value].collation;
	return list;
}

ExprList *
plshard_compile_exprs(PlshardFunction *function, const ValueScope *scope,
					  SourceSpan span, bool allow_set)
{
	ExprList   *list = MemoryContextAllocZero(function->context, sizeof(ExprList));
	FragmentErrors errors;
	RawStmt    *raw;
	Query	   *query;
	char	   *text;
	bool		simple;
	bool		names_only = true;
	ListCell   *lc;
	int			i = 0;

	raw = parse_exprs(function->source, span, &text);
	plshard_push_fragment(&errors, function->source, span.start);
	query = parse_analyze_withcb(raw, text, plshard_parser_setup,
								 unconstify(ValueScope *, scope), NULL);
	plshard_pop_fragment(&errors);

	if (query->hasTargetSRFs && !allow_set)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("set-returning functions are not allowed here"),
				 plshard_errposition(function->source, span.start)));

	simple = !(query->hasAggs || query->hasWindowFuncs || query->hasTargetSRFs ||
			   query->hasSubLinks);
	list->nexprs = list_length(query->targetList);
	list->exprs = MemoryContextAllocZero(function->context, list->nexprs * sizeof(LocalExpr));
	foreach(lc, query->targetList)
	{
		TargetEntry *target = lfirst_node(TargetEntry, lc);
		Node	   *node = (Node *) target->expr;
		LocalExpr  *expr = &list->exprs[i++];

		Assert(!target->resjunk);
		expr->value = -1;
		expr->type = exprType(node);
		expr->typmod = exprTypmod(node);
		expr->collation = exprCollation(node);
		expr->location = span.start + Max(exprLocation(node), 0);
		if (get_typtype(expr->type) == TYPTYPE_PSEUDO)
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("values of type %s are not allowed here",
							format_type_be(expr->type)),
					 plshard_errposition(function->source, expr->location)));

		if (IsA(node, Param))
			expr->value = ((Param *) node)->paramid - 1;
		else
			names_only = false;
		if (simple && expr->value < 0)
		{
			plshard_push_fragment(&errors, function->source, span.start);
			keep_expression(function, expr, node);
			plshard_pop_fragment(&errors);
		}
	}

	if (!names_only)
	{
		plshard_depend_on_search_path(function);
		function->needs_params = true;
	}
	if (!simple)
	{
		MemoryContext old;

		if (SPI_connect() != SPI_OK_CONNECT)
			elog(ERROR, "SPI_connect failed");
		list->plan = plshard_keep_plan(text, RAW_PARSE_PLPGSQL_EXPR, scope, function->context);
		SPI_finish();
		old = MemoryContextSwitchTo(function->context);
		function->plans = lappend(function->plans, list->plan);
		MemoryContextSwitchTo(old);
	}
	return list;
}

bool
plshard_compile_cast(PlshardFunction *function, Oid from, int32 from_typmod,
					 Oid from_collation, Oid to, int32 to_typmod,
					 CoercionContext how, LocalExpr **cast)
{
	CaseTestExpr *input = makeNode(CaseTestExpr);
	Node	   *node;

	*cast = NULL;
	input->typeId = from;
	input->typeMod = from_typmod;
	input->collation = from_collation;
	node = coerce_to_target_type(NULL, (Node *) input, from, to, to_typmod,
								 how, COERCE_IMPLICIT_CAST, -1);
	if (node == NULL)
		return false;
	if (node == (Node *) input)
		return true;
	*cast = MemoryContextAllocZero(function->context, sizeof(LocalExpr));
	(*cast)->value = -1;
	(*cast)->type = to;
	(*cast)->typmod = to_typmod;
	keep_expression(function, *cast, node);
	return true;
}

/* ---- evaluation ---- */

void
plshard_begin_evaluation(PlshardCall *call)
{
	PlshardFunction *function = call->function;
	Evaluator  *evaluator;

	if (call->nested)
	{
		evaluator = MemoryContextAllocZero(call->context, sizeof(Evaluator));
		evaluator->context = call->context;
	}
	else
	{
		evaluator = &function->evaluator;
		if (evaluator->states != NULL &&
			(evaluator->running ||
			 (!function->states_keep && evaluator->lxid != plshard_local_xid())))
		{
			MemoryContextReset(evaluator->context);
			evaluator->states = NULL;
		}
	}
	if (evaluator->states == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(evaluator->context);

		evaluator->econtext = CreateStandaloneExprContext();
		evaluator->nstates = Max(function->nstates, 1);
		evaluator->states = palloc0(evaluator->nstates * sizeof(ExprState *));
		evaluator->lxid = plshard_local_xid();
		MemoryContextSwitchTo(old);
	}
	evaluator->running = true;
	call->evaluator = evaluator;
}

void
plshard_end_evaluation(PlshardCall *call)
{
	ReScanExprContext(call->evaluator->econtext);
	call->evaluator->running = false;
}

void
plshard_set_value(PlshardCall *call, int value, NullableDatum datum)
{
	call->values[value] = datum;
	if (call->params != NULL)
	{
		ParamExternData *param = &call->params->params[value];

		param->value = datum.value;
		param->isnull = datum.isnull;
		param->ptype = call->function->values[value].type;
		param->pflags = PARAM_FLAG_CONST;
	}
}

/* Evaluates an expression, with a new snapshot where it needs one. */
static Datum
eval_expr(PlshardCall *call, LocalExpr *expr, bool *isnull)
{
	Evaluator  *evaluator = call->evaluator;
	bool		snapshot = expr->needs_snapshot && !call->function->read_only;
	ExprState  *state;
	Datum		result;

	if (expr->state >= evaluator->nstates)
	{
		/* a cast of REDUCE, found during the call */
		int			n = call->function->nstates;

		evaluator->states = repalloc(evaluator->states, n * sizeof(ExprState *));
		memset(evaluator->states + evaluator->nstates, 0,
			   (n - evaluator->nstates) * sizeof(ExprState *));
		evaluator->nstates = n;
	}
	state = evaluator->states[expr->state];
	if (state == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(evaluator->context);

		state = ExecInitExpr((Expr *) expr->cached->expr, NULL);
		evaluator->states[expr->state] = state;
		MemoryContextSwitchTo(old);
	}
	if (snapshot)
	{
		CommandCounterIncrement();
		PushActiveSnapshot(GetTransactionSnapshot());
	}
	evaluator->econtext->ecxt_param_list_info = call->params;
	result = ExecEvalExpr(state, evaluator->econtext, isnull);
	if (snapshot)
		PopActiveSnapshot();
	return result;
}

Datum
plshard_eval_cast(PlshardCall *call, LocalExpr *cast, Datum value, bool *isnull)
{
	ExprContext *econtext = call->evaluator->econtext;

	econtext->caseValue_datum = value;
	econtext->caseValue_isNull = *isnull;
	return eval_expr(call, cast, isnull);
}

/* The rows of a plan, copied into the call's context. */
static NullableDatum *
eval_plan(PlshardCall *call, ExprList *list, uint64 *nrows)
{
	NullableDatum *values;
	MemoryContext old;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute_plan_with_paramlist(list->plan, call->params,
										call->function->read_only, 0) != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_plan_with_paramlist failed: %s",
			 SPI_result_code_string(SPI_result));

	*nrows = SPI_processed;
	old = MemoryContextSwitchTo(call->context);
	values = palloc_extended(Max(*nrows, 1) * list->nexprs * sizeof(NullableDatum),
							 MCXT_ALLOC_HUGE);
	for (int column = 0; column < list->nexprs; column++)
	{
		Form_pg_attribute attr = TupleDescAttr(SPI_tuptable->tupdesc, column);

		if (attr->atttypid != list->exprs[column].type)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("an expression of function %s changed its type during the call",
							call->function->signature)));
		for (uint64 row = 0; row < *nrows; row++)
		{
			NullableDatum *value = &values[row * list->nexprs + column];

			value->value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc,
										 column + 1, &value->isnull);
			if (!value->isnull)
				value->value = datumCopy(value->value, attr->attbyval, attr->attlen);
		}
	}
	MemoryContextSwitchTo(old);
	SPI_finish();
	return values;
}

NullableDatum *
plshard_eval_rows(PlshardCall *call, ExprList *list, uint64 *nrows)
{
	NullableDatum *values;

	if (list->plan != NULL)
		return eval_plan(call, list, nrows);
	*nrows = 1;
	values = palloc(list->nexprs * sizeof(NullableDatum));
	for (int i = 0; i < list->nexprs; i++)
	{
		LocalExpr  *expr = &list->exprs[i];

		if (expr->value >= 0)
			values[i] = call->values[expr->value];
		else
			values[i].value = eval_expr(call, expr, &values[i].isnull);
	}
	return values;
}

void
plshard_eval_exprs(PlshardCall *call, ExprList *list, NullableDatum *result)
{
	uint64		nrows;
	NullableDatum *values = plshard_eval_rows(call, list, &nrows);

	if (nrows != 1)
		elog(ERROR, "an expression returned " UINT64_FORMAT " rows", nrows);
	memcpy(result, values, list->nexprs * sizeof(NullableDatum));
}
