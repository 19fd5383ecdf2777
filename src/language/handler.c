/*
 * handler.c
 *
 * The language's handlers: the thin flow of a call and of a DO.  A call's
 * values are made in the call's context (call.c), its result in the caller's,
 * a set in the tuplestore that the caller's per-query context holds.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "call/execute.h"
#include "call/one_shot.h"
#include "commands/event_trigger.h"
#include "commands/trigger.h"
#include "connection/remote_result.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "language/call.h"
#include "language/call_identity.h"
#include "language/compile.h"
#include "language/funccache.h"
#include "language/reduce.h"
#include "language/run_on.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/inval.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(plshard_call_handler);
PG_FUNCTION_INFO_V1(plshard_inline_handler);

/* A call that may commit at once, if it is all that its transaction does. */
static RemoteQuery *
one_shot_of(const PlshardCall *call)
{
	RemoteQuery *one_shot = call->function->one_shot;

	return one_shot != NULL && call->fcinfo != NULL &&
		plshard_is_whole_transaction(call->fcinfo, one_shot) ? one_shot : NULL;
}

/* Sends the call; its rows go to the sink. */
static void
run_call(PlshardCall *call, RowSink *sink)
{
	PlshardFunction *function = call->function;
	CallRequest request = {0};
	CallId	   *call_id = plshard_call_id(call);
	RemoteQuery *one_shot = call_id == NULL ? one_shot_of(call) : NULL;

	request.map = call->map;
	request.query = &function->query;
	request.function_name = function->signature;
	request.ntargets = call->ntargets;
	request.targets = call->targets;
	request.is_write = function->is_write;
	request.lock_shard = function->lock_shard;
	request.any_shard = plshard_run_on(function, call->map) == RUN_ON_ANY;
	request.skip_failures = function->skip_failures;
	request.by_copy = call->by_copy;
	request.timeout = function->timeout;
	request.one_shot = one_shot;
	request.id_limit = &function->id_limit;
	request.call_id = call_id;
	request.sink = sink;
	plshard_execute(&request);
	if (request.one_shot != one_shot)
		function->one_shot = NULL;
}

/* A function that returns no set has exactly one row; the codes are PL/pgSQL's. */
static void
check_one_row(PlshardFunction *function, uint64 nrows)
{
	if (nrows == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("function %s returned no row", function->signature)));
	if (nrows > 1)
		ereport(ERROR,
				(errcode(ERRCODE_TOO_MANY_ROWS),
				 errmsg("function %s returned more than one row", function->signature),
				 function->reduce == NULL ?
				 errhint("Add REDUCE, or declare that the function returns SETOF.") : 0));
}

/* Gathers the call's rows and runs REDUCE over them, into "store" or *value. */
static uint64
gather_and_reduce(PlshardCall *call, Tuplestorestate *store, Datum *value, bool *isnull)
{
	PlshardFunction *function = call->function;
	Tuplestorestate *gathered = tuplestore_begin_heap(true, false, work_mem);
	TupleSink	sink;
	TupleDesc	columns;
	uint64		nrows;

	plshard_init_tuple_sink(&sink, function->reduce->decoder, &function->query,
							gathered, call->context);
	run_call(call, &sink.sink);
	columns = sink.sink.decoder ? sink.sink.decoder->desc : function->reduce->columns;
	if (columns == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("columns of \"result\" are not known"),
				 errdetail("No shard has answered yet."),
				 errhint("Give REDUCE a column list.")));
	nrows = plshard_reduce(call, gathered, columns, store, call->caller_context, value, isnull);
	tuplestore_end(gathered);
	return nrows;
}

/* Runs a call of a function that returns no set; returns its value. */
static Datum
return_one(PlshardCall *call, bool *isnull)
{
	PlshardFunction *function = call->function;
	SingleSink	sink;
	Datum		value = (Datum) 0;

	*isnull = true;
	if (function->reduce != NULL)
	{
		check_one_row(function, gather_and_reduce(call, NULL, &value, isnull));
		return value;
	}

	plshard_init_single_sink(&sink, function->decoder, &function->query,
							 call->caller_context);
	run_call(call, &sink.sink);
	if (function->return_kind == RETURN_VOID)
	{
		*isnull = false;
		return (Datum) 0;
	}
	check_one_row(function, sink.nrows);
	*isnull = sink.isnull;
	return sink.value;
}

/* A set of void: as many rows as the nodes return. */
typedef struct VoidSink
{
	RowSink		sink;			/* first: give &sink to execute */
	Tuplestorestate *store;
	TupleDesc	desc;
} VoidSink;

static void
void_row(RowSink *sink, const PGresult *result, int row)
{
	VoidSink   *rows = (VoidSink *) sink;
	Datum		value = (Datum) 0;
	bool		isnull = false;

	tuplestore_putvalues(rows->store, rows->desc, &value, &isnull);
}

static void
void_reset(RowSink *sink)
{
	tuplestore_clear(((VoidSink *) sink)->store);
}

/* Runs a call of a function that returns a set; its rows go to rsinfo's tuplestore. */
static void
return_set(PlshardCall *call, ReturnSetInfo *rsinfo)
{
	PlshardFunction *function = call->function;
	MemoryContext old = MemoryContextSwitchTo(rsinfo->econtext->ecxt_per_query_memory);
	Tuplestorestate *store;
	TupleSink	sink;
	Datum		value;
	bool		isnull;

	store = tuplestore_begin_heap(rsinfo->allowedModes & SFRM_Materialize_Random, false, work_mem);
	rsinfo->returnMode = SFRM_Materialize;
	rsinfo->setResult = store;
	if (function->return_kind == RETURN_VOID)
	{
		rsinfo->setDesc = CreateTemplateTupleDesc(1);
		TupleDescInitEntry(rsinfo->setDesc, 1, function->name, VOIDOID, -1, 0);
	}
	else
		rsinfo->setDesc = CreateTupleDescCopy(function->return_desc);
	MemoryContextSwitchTo(old);

	if (function->return_kind == RETURN_VOID)
	{
		VoidSink	rows = {
			.sink = {.streaming = true, .row = void_row, .reset = void_reset},
			.store = store,
			.desc = rsinfo->setDesc
		};

		run_call(call, &rows.sink);
	}
	else if (function->reduce != NULL)
		gather_and_reduce(call, store, &value, &isnull);
	else
	{
		plshard_init_tuple_sink(&sink, function->decoder, &function->query, store,
								call->context);
		run_call(call, &sink.sink);
	}
}

/* Throws unless the caller can take a materialized set. */
static ReturnSetInfo *
check_set_allowed(FunctionCallInfo fcinfo)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	if (rsinfo == NULL || !IsA(rsinfo, ReturnSetInfo))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("set-valued function called in context that cannot accept a set")));
	if (!(rsinfo->allowedModes & SFRM_Materialize))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("materialize mode required, but it is not allowed in this context")));
	return rsinfo;
}

/* One call; rsinfo is NULL unless the function returns a set, fcinfo in DO. */
static Datum
call_function(PlshardFunction *function, FunctionCallInfo fcinfo, const NullableDatum *args,
			  ReturnSetInfo *rsinfo, bool *isnull)
{
	PlshardCall call;
	volatile Datum result = (Datum) 0;

	plshard_begin_call(&call, function, args);
	call.fcinfo = fcinfo;
	PG_TRY();
	{
		plshard_prepare_call(&call);
		if (rsinfo != NULL)
			return_set(&call, rsinfo);
		else
			result = return_one(&call, isnull);
	}
	PG_FINALLY();
	{
		plshard_end_call(&call);
	}
	PG_END_TRY();
	return result;
}

Datum
plshard_call_handler(PG_FUNCTION_ARGS)
{
	PlshardFunction *function;

	if (CALLED_AS_TRIGGER(fcinfo) || CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("plshard functions cannot be triggers")));
	if (IsParallelWorker())
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_STATE),
				 errmsg("plshard functions cannot run in parallel workers"),
				 errhint("Do not declare them, or functions that call them, PARALLEL SAFE.")));

	AcceptInvalidationMessages();
	function = plshard_function_for_call(fcinfo);
	return call_function(function, fcinfo, fcinfo->args,
						 function->returns_set ? check_set_allowed(fcinfo) : NULL,
						 &fcinfo->isnull);
}

Datum
plshard_inline_handler(PG_FUNCTION_ARGS)
{
	InlineCodeBlock *block = (InlineCodeBlock *) PG_GETARG_POINTER(0);
	PlshardFunction *function;
	bool		isnull;

	AcceptInvalidationMessages();
	function = plshard_compile_inline(block->source_text);
	function->forgotten = true;
	call_function(function, NULL, NULL, NULL, &isnull);
	PG_RETURN_VOID();
}
