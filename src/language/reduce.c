/*
 * reduce.c
 *
 * REDUCE: the gathered rows are an ephemeral named relation "result", over
 * which a kept SPI plan runs; each column of its rows is cast to the function's
 * result by assignment.
 *
 * What is prepared lives in the function's context.  When "result" or the query
 * comes with other columns than before it is prepared anew and the function
 * is marked stale, so that the old does not stay for long.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "language/expr.h"
#include "language/reduce.h"
#include "parser/analyze.h"
#include "parser/parse_type.h"
#include "parser/parser.h"
#include "tcop/dest.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/queryenvironment.h"

#define RESULT_RELATION "result"

/* The raw parse tree of the query. */
static RawStmt *
parse_query(const char *source, SourceSpan span, char **text)
{
	FragmentErrors errors;
	List	   *statements;
	SelectStmt *stmt;

	*text = pnstrdup(source + span.start, span.length);
	plshard_push_fragment(&errors, source, span.start);
	statements = raw_parser(*text, RAW_PARSE_DEFAULT);
	plshard_pop_fragment(&errors);

	if (list_length(statements) == 1)
	{
		stmt = (SelectStmt *) linitial_node(RawStmt, statements)->stmt;
		if (IsA(stmt, SelectStmt) && stmt->intoClause == NULL)
			return linitial_node(RawStmt, statements);
	}
	ereport(ERROR,
			(errcode(ERRCODE_SYNTAX_ERROR),
			 errmsg("REDUCE takes one SELECT"),
			 plshard_errposition(source, span.start)));
}

void
plshard_reduce_check(const char *source, SourceSpan span)
{
	char	   *text;

	parse_query(source, span, &text);
}

/* A column list has the grammar of the one in FROM f() AS r(a int, ...). */
TupleDesc
plshard_reduce_columns(const char *source, SourceSpan span)
{
	static const char before[] = "SELECT FROM f() AS r(";
	char	   *text = psprintf("%s%.*s)", before, span.length, source + span.start);
	ParseState *pstate = make_parsestate(NULL);
	FragmentErrors errors;
	List	   *statements;
	RangeFunction *function;
	TupleDesc	columns;
	ListCell   *lc;

	pstate->p_sourcetext = text;
	plshard_push_fragment(&errors, source, span.start);
	errors.prefix = strlen(before);
	statements = raw_parser(text, RAW_PARSE_DEFAULT);
	function = linitial_node(RangeFunction,
							 castNode(SelectStmt, linitial_node(RawStmt, statements)->stmt)->fromClause);
	if (function->coldeflist == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("columns of REDUCE need types"),
				 parser_errposition(pstate, strlen(before))));

	columns = CreateTemplateTupleDesc(list_length(function->coldeflist));
	foreach(lc, function->coldeflist)
	{
		ColumnDef  *column = lfirst_node(ColumnDef, lc);
		int			attno = foreach_current_index(lc) + 1;
		Oid			type;
		int32		typmod;

		for (int i = 1; i < attno; i++)
		{
			if (strcmp(NameStr(TupleDescAttr(columns, i - 1)->attname), column->colname) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_DUPLICATE_COLUMN),
						 errmsg("column name \"%s\" specified more than once", column->colname),
						 parser_errposition(pstate, column->location)));
		}
		typenameTypeIdAndMod(pstate, column->typeName, &type, &typmod);
		if (get_typtype(type) == TYPTYPE_PSEUDO || column->typeName->setof)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
					 errmsg("column \"%s\" has pseudo-type %s", column->colname,
							format_type_be(type)),
					 parser_errposition(pstate, column->location)));
		TupleDescInitEntry(columns, attno, column->colname, type, typmod, 0);
		TupleDescInitEntryCollation(columns, attno, get_typcollation(type));
	}
	plshard_pop_fragment(&errors);
	free_parsestate(pstate);
	return columns;
}

/* The casts from the query's columns to the function's. */
static void
prepare_casts(PlshardFunction *function, TupleDesc output)
{
	Reduce	   *reduce = function->reduce;
	TupleDesc	wanted = function->return_desc;
	LocalExpr **casts = MemoryContextAllocZero(function->context,
											   Max(wanted->natts, 1) * sizeof(LocalExpr *));
	MemoryContext old;
	int			column = 0;

	for (int i = 0; i < wanted->natts; i++)
	{
		Form_pg_attribute to = TupleDescAttr(wanted, i);
		Form_pg_attribute from;

		if (to->attisdropped)
			continue;
		if (column < output->natts)
		{
			from = TupleDescAttr(output, column);
			if (!plshard_compile_cast(function, from->atttypid, from->atttypmod,
									  from->attcollation, to->atttypid, to->atttypmod,
									  COERCION_ASSIGNMENT, &casts[i]))
				ereport(ERROR,
						(errcode(ERRCODE_DATATYPE_MISMATCH),
						 errmsg("REDUCE does not return what the function declares"),
						 errdetail("Column \"%s\" is of type %s, declared is %s.",
								   NameStr(from->attname), format_type_be(from->atttypid),
								   format_type_be(to->atttypid)),
						 plshard_errposition(function->source, reduce->span.start)));
		}
		column++;
	}
	if (column != output->natts)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("REDUCE does not return what the function declares"),
				 errdetail("The number of columns is %d, declared is %d.", output->natts, column),
				 plshard_errposition(function->source, reduce->span.start)));

	old = MemoryContextSwitchTo(function->context);
	reduce->output = CreateTupleDescCopy(output);
	reduce->casts = casts;
	MemoryContextSwitchTo(old);
}

/* The relation "result": an ephemeral named one over the gathered rows. */
static EphemeralNamedRelation
make_result_relation(TupleDesc columns, Tuplestorestate *gathered)
{
	EphemeralNamedRelation enr = palloc0(sizeof(EphemeralNamedRelationData));

	enr->md.name = RESULT_RELATION;
	enr->md.reliddesc = InvalidOid;
	enr->md.tupdesc = columns;
	enr->md.enrtype = ENR_NAMED_TUPLESTORE;
	enr->md.enrtuples = gathered ? tuplestore_tuple_count(gathered) : 0;
	enr->reldata = gathered;
	return enr;
}

void
plshard_reduce_prepare(PlshardFunction *function, TupleDesc columns)
{
	Reduce	   *reduce = function->reduce;
	QueryEnvironment *environment;
	FragmentErrors errors;
	RawStmt    *raw;
	Query	   *query;
	SPIPlanPtr	plan;
	CachedPlanSource *plan_source;
	MemoryContext old;
	char	   *text;
	int			reading;

	if (reduce->plan != NULL)
	{
		if (equalTupleDescs(reduce->columns, columns))
			return;
		function->stale = true;
	}

	/* by itself first: SPI would take the positions of errors for its own */
	reading = plshard_begin_reading();
	environment = create_queryEnv();
	register_ENR(environment, make_result_relation(columns, NULL));
	raw = parse_query(function->source, reduce->span, &text);
	plshard_push_fragment(&errors, function->source, reduce->span.start);
	query = parse_analyze_withcb(raw, text, plshard_parser_setup,
								 function->scope, environment);
	plshard_pop_fragment(&errors);
	if (query->hasModifyingCTE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("REDUCE cannot change data"),
				 plshard_errposition(function->source, reduce->span.start)));

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_register_relation(make_result_relation(columns, NULL)) != SPI_OK_REL_REGISTER)
		elog(ERROR, "SPI_register_relation failed");
	plan = plshard_keep_plan(text, RAW_PARSE_DEFAULT, function->scope, function->context);
	SPI_finish();

	plan_source = linitial(SPI_plan_get_plan_sources(plan));
	prepare_casts(function, plan_source->resultDesc);
	old = MemoryContextSwitchTo(function->context);
	reduce->columns = CreateTupleDescCopy(columns);
	reduce->plan = plan;
	MemoryContextSwitchTo(old);
	AtEOXact_GUC(true, reading);
}

/* ---- running ---- */

/* Takes the rows of the query. */
typedef struct ReduceReceiver
{
	DestReceiver receiver;		/* first */
	PlshardCall *call;
	LocalExpr **casts;
	Tuplestorestate *store;		/* NULL: one row is wanted */
	MemoryContext context;		/* of the value; of a stored row: reset for each */
	Datum	   *values;
	bool	   *isnull;
	void	   *domain_cache;
	uint64		nrows;
	Datum		value;			/* if nrows > 0 and there is no store */
	bool		value_isnull;
} ReduceReceiver;

static void
receiver_startup(DestReceiver *self, int operation, TupleDesc output)
{
	ReduceReceiver *receiver = (ReduceReceiver *) self;
	PlshardFunction *function = receiver->call->function;

	/* the plan is made anew when what it uses changes, perhaps with other types */
	if (!equalTupleDescs(function->reduce->output, output))
	{
		function->stale = true;
		prepare_casts(function, output);
	}
	receiver->casts = function->reduce->casts;
}

static bool
receive_row(TupleTableSlot *slot, DestReceiver *self)
{
	ReduceReceiver *receiver = (ReduceReceiver *) self;
	PlshardFunction *function = receiver->call->function;
	TupleDesc	wanted = function->return_desc;
	MemoryContext old;
	Datum		row;
	int			column = 0;

	receiver->nrows++;
	if (receiver->store == NULL && receiver->nrows > 1)
		return false;

	old = MemoryContextSwitchTo(receiver->context);
	slot_getallattrs(slot);
	for (int i = 0; i < wanted->natts; i++)
	{
		if (TupleDescAttr(wanted, i)->attisdropped)
		{
			receiver->isnull[i] = true;
			continue;
		}
		receiver->values[i] = slot->tts_values[column];
		receiver->isnull[i] = slot->tts_isnull[column];
		column++;
		if (receiver->casts[i] != NULL)
			receiver->values[i] = plshard_eval_cast(receiver->call, receiver->casts[i],
													receiver->values[i], &receiver->isnull[i]);
	}

	if (function->return_kind == RETURN_ROW && (receiver->store == NULL ||
												OidIsValid(function->return_domain)))
	{
		row = HeapTupleGetDatum(heap_form_tuple(wanted, receiver->values, receiver->isnull));
		if (OidIsValid(function->return_domain))
			domain_check(row, false, function->return_domain, &receiver->domain_cache,
						 receiver->call->context);
		receiver->value = row;
		receiver->value_isnull = false;
	}
	else if (receiver->store == NULL)
	{
		Form_pg_attribute attr = TupleDescAttr(wanted, 0);

		receiver->value_isnull = receiver->isnull[0];
		if (!receiver->value_isnull)
			receiver->value = datumCopy(receiver->values[0], attr->attbyval, attr->attlen);
	}
	if (receiver->store != NULL)
	{
		tuplestore_putvalues(receiver->store, wanted, receiver->values, receiver->isnull);
		MemoryContextReset(receiver->context);
	}
	MemoryContextSwitchTo(old);
	return true;
}

/* During a call, positions in the body are not positions in the caller's query. */
static void
reduce_error_callback(void *arg)
{
	plshard_transpose_error(arg);
}

static void
receiver_nothing(DestReceiver *self)
{
}

uint64
plshard_reduce(PlshardCall *call, Tuplestorestate *gathered, TupleDesc columns,
			   Tuplestorestate *store, MemoryContext context, Datum *value, bool *isnull)
{
	PlshardFunction *function = call->function;
	ReduceReceiver receiver = {0};
	SPIExecuteOptions options = {0};
	ErrorContextCallback callback;
	int			result;

	callback.callback = reduce_error_callback;
	callback.arg = function;
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	plshard_reduce_prepare(function, columns);

	receiver.receiver.receiveSlot = receive_row;
	receiver.receiver.rStartup = receiver_startup;
	receiver.receiver.rShutdown = receiver_nothing;
	receiver.receiver.rDestroy = receiver_nothing;
	receiver.receiver.mydest = DestTuplestore;
	receiver.call = call;
	receiver.store = store;
	receiver.context = store == NULL ? context :
		AllocSetContextCreate(call->context, "plshard REDUCE row", ALLOCSET_DEFAULT_SIZES);
	receiver.values = palloc0(Max(function->return_desc->natts, 1) * sizeof(Datum));
	receiver.isnull = palloc0(Max(function->return_desc->natts, 1) * sizeof(bool));

	plshard_begin_evaluation(call);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_register_relation(make_result_relation(columns, gathered)) != SPI_OK_REL_REGISTER)
		elog(ERROR, "SPI_register_relation failed");
	options.params = call->params;
	options.read_only = function->read_only;
	options.dest = &receiver.receiver;
	result = SPI_execute_plan_extended(function->reduce->plan, &options);
	if (result != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_plan_extended failed: %s", SPI_result_code_string(result));
	SPI_finish();
	plshard_end_evaluation(call);
	error_context_stack = callback.previous;

	*value = receiver.value;
	*isnull = receiver.value_isnull;
	return receiver.nrows;
}
