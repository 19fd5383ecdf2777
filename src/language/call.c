/*
 * call.c
 *
 * One call of a function: its values, its targets, its parameters.  All is
 * made in the call's context: the function's for the outermost call (emptied
 * for the next one), a new one for a call within a call.
 */
#include "postgres.h"

#include "call/copy_rows.h"
#include "language/call.h"
#include "language/encode.h"
#include "language/expr.h"
#include "language/route.h"
#include "language/split.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

void
plshard_begin_call(PlshardCall *call, PlshardFunction *function, const NullableDatum *args)
{
	memset(call, 0, sizeof(*call));
	call->function = function;
	call->nested = function->use_count > 0;
	call->caller_context = CurrentMemoryContext;
	call->context = call->nested ?
		AllocSetContextCreate(CurrentMemoryContext, "plshard nested call", ALLOCSET_DEFAULT_SIZES) :
		function->call_context;
	MemoryContextSwitchTo(call->context);

	call->values = palloc((function->nargs + function->nlets + 1) * sizeof(NullableDatum));
	if (function->needs_params)
		call->params = makeParamList(function->nargs + function->nlets);
	for (int i = 0; i < function->nargs; i++)
		plshard_set_value(call, i, args[i]);
	plshard_use_function(function);
}

void
plshard_end_call(PlshardCall *call)
{
	MemoryContextSwitchTo(call->caller_context);
	if (call->nested)
		MemoryContextDelete(call->context);
	else
		MemoryContextReset(call->context);
	plshard_release_function(call->function);
}

static void
call_error_callback(void *arg)
{
	errcontext("values and shard of a call of %s", ((PlshardCall *) arg)->function->signature);
}

/* Evaluates a typed expression: its value after the cast. */
static NullableDatum
eval_typed(PlshardCall *call, const TypedExpr *typed)
{
	NullableDatum value;

	plshard_eval_exprs(call, typed->expr, &value);
	if (typed->cast != NULL)
		value.value = plshard_eval_cast(call, typed->cast, value.value, &value.isnull);
	return value;
}

/* The map of the destination clause, CLUSTER or CONNECT. */
static ClusterMap *
find_map(PlshardCall *call)
{
	const PlshardFunction *function = call->function;
	NullableDatum value;
	char	   *destination;

	if (function->destination == NULL)
		return function->connects ? plshard_connect_map(function->conninfo) :
			plshard_cluster_map(function->cluster);

	if (function->connects)
		plshard_check_connect(function);
	value = eval_typed(call, function->destination);
	if (value.isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 function->connects ? errmsg("the connection string of CONNECT is null") :
				 errmsg("the name of the cluster is null")));
	destination = TextDatumGetCString(value.value);
	return function->connects ? plshard_connect_map(destination) :
		plshard_cluster_map(plshard_cluster_find(destination));
}

void
plshard_prepare_call(PlshardCall *call)
{
	PlshardFunction *function = call->function;
	ErrorContextCallback callback;

	callback.callback = call_error_callback;
	callback.arg = call;
	callback.previous = error_context_stack;
	error_context_stack = &callback;

	plshard_begin_evaluation(call);
	for (int i = 0; i < function->nlets; i++)
		plshard_set_value(call, function->nargs + i, eval_typed(call, &function->lets[i]));
	call->map = find_map(call);
	plshard_route(call);
	plshard_end_evaluation(call);
	call->by_copy = !call->map->options.disable_binary &&
		plshard_expects_long_result(&function->query, call->ntargets);
	if (call->split != NULL)
		plshard_encode_split(call);
	else
		plshard_encode_values(call);

	error_context_stack = callback.previous;
}
