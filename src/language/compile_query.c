/*
 * compile_query.c
 *
 * The remote statement of a function, and how its rows are read: TARGET, the
 * body's SQL, REDUCE.
 */
#include "postgres.h"

#include "catalog/pg_proc.h"
#include "cluster/node_schema.h"
#include "connection/statements.h"
#include "language/body_sql.h"
#include "language/compile_query.h"
#include "language/expr.h"
#include "language/query.h"
#include "language/reduce.h"
#include "utils/lsyscache.h"


/* The form of the remote call, by what the nodes are to return. */
static RemoteCallForm
call_form(const Compiler *c, TupleDesc columns, bool scalar)
{
	if (c->signature.is_procedure)
		return REMOTE_PROCEDURE;
	if (columns == NULL)
		return REMOTE_VOID;
	if (scalar)
		return c->function->returns_set || c->body->reduce_query.length > 0 ? REMOTE_VALUES : REMOTE_VALUE;
	return c->signature.is_record ? REMOTE_RECORDS : REMOTE_ROWS;
}

/*
 * The call of TARGET, or of the function of the same name.  A procedure is also
 * given positions for its OUT arguments.
 */
static char *
compile_call(Compiler *c, RemoteCallForm form, TupleDesc columns, List **params, List **positions)
{
	PlshardFunction *function = c->function;
	const Signature *signature = &c->signature;
	AstBody    *body = c->body;
	RemoteArg  *args;
	int			nargs = 0;
	int			value = 0;

	for (AstArg *arg = body->target_args; arg != NULL; arg = arg->next)
		nargs++;
	args = palloc0((nargs + signature->nargs + 1) * sizeof(RemoteArg));
	nargs = 0;
	for (AstArg *arg = body->target_args; arg != NULL; arg = arg->next)
		args[nargs++].value = plshard_lookup_argument(c, arg, NULL);
	for (int i = 0; i < signature->nargs; i++)
	{
		if (plshard_is_input(signature, i))
		{
			if (!body->target_has_args)
			{
				args[nargs].value = value++;
				args[nargs++].variadic = signature->modes && signature->modes[i] == PROARGMODE_VARIADIC;
			}
		}
		else if (signature->is_procedure)
		{
			args[nargs].value = -1;
			args[nargs++].type = signature->types[i];
		}
	}

	return plshard_call_sql(function->scope, form, body->target_schema.name,
							body->target_name.name ? body->target_name.name : function->name,
							nargs, args, columns, params, positions);
}

/*
 * The form of a call of one value in which it may commit at once: the statement is
 * such that its only row and column are what is expected, and reading that cannot fail.
 */
static void
compile_one_shot(Compiler *c, TupleDesc columns, const ColumnDecoder *column)
{
	PlshardFunction *function = c->function;
	RemoteQuery *one_shot;
	List	   *params = NIL;
	bool		characters;

	if (plshard_decoding_can_fail(column, &characters))
		return;
	one_shot = MemoryContextAlloc(function->context, sizeof(RemoteQuery));
	*one_shot = function->query;
	one_shot->id = plshard_next_query_id();
	one_shot->sql = MemoryContextStrdup(function->context,
										compile_call(c, REMOTE_ONE_VALUE, columns, &params, NULL));
	one_shot->returns_text = characters;
	one_shot->returns_varlena = get_typlen(column->type) < 0;
	Assert(list_length(params) == one_shot->nparams);
	function->one_shot = one_shot;
}

/* Keeps the positions of the parameters: COPY takes none, so values replace them. */
static void
compile_copy(Compiler *c, List *positions)
{
	RemoteQuery *query = &c->function->query;
	ParamPosition *array = MemoryContextAlloc(c->function->context,
										   (list_length(positions) + 1) * sizeof(ParamPosition));
	ListCell   *lc;

	foreach(lc, positions)
		array[foreach_current_index(lc)] = *(ParamPosition *) lfirst(lc);
	query->positions = array;
	query->npositions = list_length(positions);
	query->declared_rows = c->function->reduce == NULL ? c->signature.rows : 0;
}

/* Compiles the remote statement, its parameters and the format of its result. */
static void
compile_query(Compiler *c, TupleDesc columns, bool scalar, RowDecoder *decoder)
{
	PlshardFunction *function = c->function;
	RemoteQuery *query = &function->query;
	AstBody    *body = c->body;
	RemoteCallForm form = REMOTE_VOID;
	List	   *params = NIL;
	List	   *positions = NIL;
	Oid		   *types;
	char	   *sql;
	ListCell   *lc;

	if (body->sql.length > 0 && body->target_name.name != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_FUNCTION_DEFINITION),
				 errmsg("a function body has either TARGET or SQL, not both"),
				 errposition_at(c, body->target_name.location)));
	if (c->is_inline && body->sql.length == 0 && body->target_name.name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("DO has nothing to run"),
				 errhint("Add an SQL statement, or a TARGET.")));

	if (body->sql.length > 0)
		sql = plshard_body_sql(function->source, body->sql, function->scope, function->is_write,
							   &query->is_procedure, &params);
	else
	{
		form = call_form(c, columns, scalar);
		query->is_procedure = form == REMOTE_PROCEDURE;
		sql = compile_call(c, form, columns, &params, &positions);
	}

	query->id = plshard_next_query_id();
	query->sql = MemoryContextStrdup(function->context, sql);
	query->is_call = body->sql.length == 0;
	query->node_values = plshard_node_values_in(sql);
	query->nparams = list_length(params);
	query->param_types = types = MemoryContextAlloc(function->context,
													(query->nparams + 1) * sizeof(Oid));
	function->param_values = MemoryContextAlloc(function->context,
												(query->nparams + 1) * sizeof(int));
	function->encoders = MemoryContextAllocZero(function->context,
												(query->nparams + 1) * sizeof(ParamEncoder));
	foreach(lc, params)
	{
		int			i = foreach_current_index(lc);

		function->param_values[i] = lfirst_int(lc);
		plshard_init_encoder(&function->encoders[i], function->values[lfirst_int(lc)].type,
							 function->context);
		types[i] = function->encoders[i].wire_type;
	}

	/* only a call casts its columns; for other statements the first answer has the types */
	if (decoder != NULL && body->sql.length == 0 && !c->signature.is_procedure &&
		plshard_decodes_binary(decoder))
		query->result_format = 1;
	if (!function->is_write && query->result_format == 1 && decoder->desc != NULL)
		compile_copy(c, positions);

	if (function->is_write && columns == NULL && !c->signature.result_unknown)
		function->one_shot = query;
	else if (function->is_write && form == REMOTE_VALUE && query->result_format == 1)
		compile_one_shot(c, columns, &decoder->columns[0]);
}

void
plshard_compile_rows(Compiler *c)
{
	PlshardFunction *function = c->function;
	AstBody    *body = c->body;
	TupleDesc	columns = function->return_desc;
	bool		scalar = function->return_kind == RETURN_SCALAR;
	RowDecoder *decoder = NULL;

	if (body->reduce_query.length > 0)
	{
		Reduce	   *reduce = MemoryContextAllocZero(function->context, sizeof(Reduce));

		if (c->is_inline || (columns == NULL && !c->signature.result_unknown))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_FUNCTION_DEFINITION),
					 errmsg("REDUCE needs a function that returns something"),
					 errposition_at(c, body->reduce_query.start)));
		plshard_reduce_check(function->source, body->reduce_query);
		function->reduce = reduce;
		function->needs_params = true;
		reduce->span = body->reduce_query;
		if (body->reduce_columns.length > 0)
		{
			columns = plshard_reduce_columns(function->source, body->reduce_columns);
			plshard_depend_on_search_path(function);
			for (int i = 0; i < columns->natts; i++)
				plshard_depend_on_type(c->function, TupleDescAttr(columns, i)->atttypid);
			scalar = columns->natts == 1;
		}
		else if (body->sql.length > 0)
			reduce->derived = true;
		if (!reduce->derived && columns != NULL)
			decoder = reduce->decoder = plshard_make_row_decoder(columns, InvalidOid,
																 function->context);
	}
	else if (columns != NULL)
	{
		Form_pg_attribute attr = TupleDescAttr(columns, 0);

		if (scalar && !function->returns_set)
			decoder = plshard_make_scalar_decoder(attr->atttypid, attr->atttypmod,
												  NameStr(attr->attname), function->context);
		else
			decoder = plshard_make_row_decoder(columns, function->return_domain,
											   function->context);
		function->decoder = decoder;
	}

	compile_query(c, columns, scalar, decoder);
	if (function->reduce != NULL && decoder != NULL && !c->signature.result_unknown)
		plshard_reduce_prepare(function, decoder->desc);
}
