/*
 * call.c
 *
 * One call of a function: its values, its targets, its parameters.  All is
 * made in the call's context: the function's for the outermost call (emptied
 * for the next one), a new one for a call within a call.
 */
#include "postgres.h"

#include "call.h"
#include "expr.h"
#include "funccache.h"
#include "route.h"

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
	function->use_count++;
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

static void
eval_lets(PlshardCall *call)
{
	PlshardFunction *function = call->function;

	for (int i = 0; i < function->nlets; i++)
	{
		FunctionLet *let = &function->lets[i];
		NullableDatum value;

		plshard_eval_exprs(call, let->expr, &value);
		if (let->cast != NULL)
			value.value = plshard_eval_cast(call, let->cast, value.value, &value.isnull);
		plshard_set_value(call, function->nargs + i, value);
	}
}

static void
encode_params(PlshardCall *call)
{
	PlshardFunction *function = call->function;
	int			n = function->query.nparams;
	NullableDatum *args = palloc((n + 1) * sizeof(NullableDatum));
	const char **values = palloc((n + 1) * sizeof(char *));
	int		   *lengths = palloc((n + 1) * sizeof(int));
	int		   *formats = palloc((n + 1) * sizeof(int));

	for (int i = 0; i < n; i++)
		args[i] = call->values[function->param_values[i]];
	plshard_encode_params(function->encoders, n, args, call->map->options.disable_binary,
						  values, lengths, formats);
	call->remote_params.values = values;
	call->remote_params.lengths = lengths;
	call->remote_params.formats = formats;
}

void
plshard_prepare_call(PlshardCall *call)
{
	ErrorContextCallback callback;

	callback.callback = call_error_callback;
	callback.arg = call;
	callback.previous = error_context_stack;
	error_context_stack = &callback;

	plshard_begin_evaluation(call);
	eval_lets(call);
	call->map = plshard_cluster_map(call->function->cluster);
	plshard_route(call);
	plshard_end_evaluation(call);
	encode_params(call);

	error_context_stack = callback.previous;
}
