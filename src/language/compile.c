/*
 * compile.c
 *
 * A pg_proc row, or the text of a DO, made a PlshardFunction.  signature.c
 * reads what the row says of arguments and result; compile_route.c compiles
 * what the body says of where a call goes.
 *
 * The function's context is born below the caller's and moves below
 * CacheMemoryContext when compilation has succeeded.  The current context
 * during compilation is a short-lived one below it, for the syntax tree and
 * all garbage; what stays is put into function->context explicitly.
 */
#include "postgres.h"

#include "body_parser.h"
#include "call/node_values.h"
#include "connection/statements.h"
#include "language/compiler.h"
#include "language/expr.h"
#include "language/lint.h"
#include "language/query.h"
#include "language/reduce.h"
#include "language/route.h"
#include "language/signature.h"
#include "language/validate.h"

#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

/* ---- parsing ---- */

static void *
parser_alloc(void *arg, size_t size)
{
	return palloc(size);
}

AstBody *
plshard_parse_body(const char *source, bool missing_ok)
{
	ParserAllocator allocator = {parser_alloc, NULL};
	ParseError	error;
	AstBody    *body = plshard_parse(source, &allocator, &error);

	if (body == NULL && !missing_ok)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg_internal("%s", error.message),
				 error.detail ? errdetail_internal("%s", error.detail) : 0,
				 error.hint ? errhint("%s", error.hint) : 0,
				 plshard_errposition(source, error.position)));
	return body;
}

/* ---- begin and end ---- */

static void
compile_error_callback(void *arg)
{
	Compiler   *c = arg;

	plshard_transpose_error(c->function);
	if (!c->validating && !c->is_inline)
		errcontext("compilation of plshard function \"%s\"", c->function->name);
}

static void
position_error_callback(void *arg)
{
	const PositionErrors *errors = arg;

	plshard_errposition(errors->source, errors->location);
}

void
plshard_push_position(PositionErrors *errors, const Compiler *c, int location)
{
	errors->source = c->function->source;
	errors->location = location;
	errors->callback.callback = position_error_callback;
	errors->callback.arg = errors;
	errors->callback.previous = error_context_stack;
	error_context_stack = &errors->callback;
}

void
plshard_pop_position(PositionErrors *errors)
{
	error_context_stack = errors->callback.previous;
}

/* Whether a body that is not parsed yet may hold the secrets of a connection string. */
static bool
may_connect(const char *source)
{
	for (; *source != '\0'; source++)
	{
		if (pg_strncasecmp(source, "connect", 7) == 0)
			return true;
	}
	return false;
}

/* Creates the function's context; the current one becomes the compiler's own. */
static void
begin_compile(Compiler *c, const char *source, const char *name)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "plshard function",
												  ALLOCSET_SMALL_SIZES);
	PlshardFunction *function = MemoryContextAllocZero(context, sizeof(PlshardFunction));

	function->context = context;
	function->source = MemoryContextStrdup(context, source);
	function->shown_source = may_connect(source) ? NULL : function->source;
	function->name = name ? MemoryContextStrdup(context, name) : NULL;
	function->states_keep = true;
	function->call_context = AllocSetContextCreate(context, "plshard call",
												   ALLOCSET_DEFAULT_SIZES);
	function->evaluator.context = AllocSetContextCreate(context, "plshard expressions",
														ALLOCSET_SMALL_SIZES);
	c->function = function;
	c->work = AllocSetContextCreate(context, "plshard compiler", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(c->work);

	c->callback.callback = compile_error_callback;
	c->callback.arg = c;
	c->callback.previous = error_context_stack;
	error_context_stack = &c->callback;
	c->reading = plshard_begin_reading();
}

static void
end_compile(Compiler *c, MemoryContext caller)
{
	AtEOXact_GUC(true, c->reading);
	error_context_stack = c->callback.previous;
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(c->work);
}

/* ---- statements ---- */

/* The values that can be named behind the LETs compiled so far. */
static ValueScope *
make_scope(PlshardFunction *function)
{
	ValueScope *scope = MemoryContextAlloc(function->context, sizeof(ValueScope));

	scope->function_name = function->name;
	scope->nargs = function->nargs;
	scope->nvalues = function->nargs + function->nlets;
	scope->values = function->values;
	return scope;
}

static int
parse_timeout(Compiler *c)
{
	const char *hint = NULL;
	int			ms;

	if (!parse_int(c->body->timeout, &ms, GUC_UNIT_MS, &hint))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid TIMEOUT: \"%s\"", c->body->timeout),
				 hint ? errhint("%s", _(hint))
				 : errhint("Give a time with its unit, like '2 s' or '500 ms'."),
				 errposition_at(c, c->body->timeout_location)));
	if (ms <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("TIMEOUT must be greater than zero"),
				 errposition_at(c, c->body->timeout_location)));
	return ms;
}

/*
 * The body without the literal of CONNECT, which may hold a password.  It has as
 * many characters, so that positions are the same.
 */
static char *
hide_secrets(Compiler *c)
{
	SourceSpan	secret = c->body->connect.text;
	const char *source = c->function->source;
	int			stars = pg_mbstrlen_with_len(source + secret.start, secret.length);
	char	   *shown = MemoryContextAlloc(c->function->context, strlen(source) + 1);

	memcpy(shown, source, secret.start);
	memset(shown + secret.start, '*', stars);
	strcpy(shown + secret.start + stars, source + secret.start + secret.length);
	return shown;
}

/* Parses the body. */
static void
read_body(Compiler *c)
{
	c->body = plshard_parse_body(c->function->source, false);
	if (c->body->connect.name != NULL)
		c->function->shown_source = hide_secrets(c);
	else
		c->function->shown_source = c->function->source;
}

/* READ, WRITE, LOCK SHARD, ON FAILURE SKIP, TIMEOUT. */
static void
compile_modes(Compiler *c)
{
	PlshardFunction *function = c->function;
	AstBody    *body = c->body;

	function->read_only = !c->is_volatile;
	function->is_write = body->access == ACCESS_WRITE ||
		(body->access == ACCESS_BY_VOLATILITY && c->is_volatile);
	function->lock_shard = body->lock_shard;
	function->skip_failures = body->skip_failures;

	if (body->lock_shard && !function->is_write)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_FUNCTION_DEFINITION),
				 errmsg("LOCK SHARD is for writes only"),
				 errposition_at(c, body->lock_shard_location)));
	if (body->skip_failures && (function->is_write || body->run_on != RUN_ON_ALL))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_FUNCTION_DEFINITION),
				 errmsg("ON FAILURE SKIP is for reads with RUN ON ALL only"),
				 errposition_at(c, body->skip_failures_location)));
	if (body->timeout != NULL)
		function->timeout = parse_timeout(c);
}

static int
count_lets(const AstBody *body)
{
	int			n = 0;

	for (const AstLet *let = body->lets; let != NULL; let = let->next)
		n++;
	return n;
}

static void
compile_let(Compiler *c, AstLet *let)
{
	PlshardFunction *function = c->function;
	const ValueScope *scope = make_scope(function);
	TypedExpr  *compiled = &function->lets[function->nlets];
	FunctionValue *value = &function->values[scope->nvalues];
	LocalExpr  *expr;

	if (plshard_find_value(scope, NULL, let->name.name) >= 0)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_ALIAS),
				 errmsg("\"%s\" is already an argument or LET of this function", let->name.name),
				 errposition_at(c, let->name.location)));

	if (c->signature.types_unknown)
	{
		plshard_check_exprs(function->source, let->expr);
		value->type = INT4OID;
		value->typmod = -1;
	}
	else
	{
		compiled->expr = plshard_compile_exprs(function, scope, let->expr, false);
		if (compiled->expr->nexprs != 1)
			ereport(ERROR,
					(errcode(ERRCODE_SYNTAX_ERROR),
					 errmsg("LET takes one expression"),
					 errposition_at(c, let->expr.start)));
		expr = &compiled->expr->exprs[0];
		value->type = expr->type;
		value->typmod = expr->typmod;
		value->collation = expr->collation;
	}

	if (let->type.length > 0)
	{
		Oid			type;
		int32		typmod;

		plshard_lookup_type(function->source, let->type, &type, &typmod);
		plshard_depend_on_search_path(function);
		plshard_depend_on_type(c->function, type);
		if (!c->signature.types_unknown &&
			!plshard_compile_cast(function, value->type, value->typmod, value->collation,
								  type, typmod, COERCION_PLPGSQL, &compiled->cast))
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("LET \"%s\" is of type %s but the expression is of type %s",
							let->name.name, format_type_be(type), format_type_be(value->type)),
					 errposition_at(c, let->expr.start)));
		value->type = type;
		value->typmod = typmod;
		value->collation = get_typcollation(type);
	}
	value->name = MemoryContextStrdup(function->context, let->name.name);
	value->is_row = type_is_rowtype(value->type);
	function->nlets++;
}

int
plshard_lookup_argument(Compiler *c, const AstArg *arg, const char *hint)
{
	int			value;

	if (arg->name == NULL)
	{
		if (arg->number < 1 || arg->number > c->function->nargs)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_PARAMETER),
					 errmsg("there is no parameter $%d", arg->number),
					 errposition_at(c, arg->location)));
		return arg->number - 1;
	}
	value = plshard_find_value(c->function->scope, arg->qualifier, arg->name);
	if (value < 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 arg->qualifier ?
				 errmsg("\"%s.%s\" is not an argument of this function", arg->qualifier, arg->name) :
				 errmsg("\"%s\" is not an argument of this function", arg->name),
				 hint ? errhint("%s", hint) : 0,
				 errposition_at(c, arg->location)));
	return value;
}

/* ---- the remote statement ---- */

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

/* Keeps where the parameters stand: COPY takes none, so their values will stand there. */
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
				 errmsg("DO does not say what to run"),
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

	/* only a call casts its columns: what other statements return, the first answer tells */
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

/* What the nodes return: the function's result, or what REDUCE gathers. */
static void
compile_rows(Compiler *c)
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

static void
compile_body(Compiler *c)
{
	PlshardFunction *function = c->function;

	plshard_compile_destination(c);
	compile_modes(c);
	for (AstLet *let = c->body->lets; let != NULL; let = let->next)
		compile_let(c, let);
	function->scope = make_scope(function);
	plshard_compile_destination_expr(c);
	plshard_compile_run_on(c);
	compile_rows(c);
}

/* ---- entry points ---- */

static char *
get_source(HeapTuple proc_tuple)
{
	bool		isnull;
	Datum		source = SysCacheGetAttr(PROCOID, proc_tuple, Anum_pg_proc_prosrc, &isnull);

	if (isnull)
		elog(ERROR, "null prosrc");
	return TextDatumGetCString(source);
}

static void
compile_proc(Compiler *c, HeapTuple proc_tuple, FunctionCallInfo fcinfo)
{
	Form_pg_proc proc = (Form_pg_proc) GETSTRUCT(proc_tuple);
	PlshardFunction *function;

	begin_compile(c, get_source(proc_tuple), NameStr(proc->proname));
	function = c->function;
	function->signature = MemoryContextStrdup(function->context, format_procedure(proc->oid));
	function->qualified_signature = MemoryContextStrdup(function->context,
														format_procedure_qualified(proc->oid));
	MemoryContextSetIdentifier(function->context, function->signature);
	function->owner = proc->proowner;
	function->proc_hash = GetSysCacheHashValue1(PROCOID, ObjectIdGetDatum(proc->oid));
	c->is_volatile = proc->provolatile == PROVOLATILE_VOLATILE;

	read_body(c);
	plshard_read_signature(&c->signature, function, proc_tuple, fcinfo, c->validating,
						   count_lets(c->body));
	compile_body(c);
}

PlshardFunction *
plshard_compile(HeapTuple proc_tuple, FunctionCallInfo fcinfo)
{
	MemoryContext caller = CurrentMemoryContext;
	Compiler	c = {0};

	compile_proc(&c, proc_tuple, fcinfo);
	end_compile(&c, caller);
	MemoryContextSetParent(c.function->context, CacheMemoryContext);
	return c.function;
}

PlshardFunction *
plshard_compile_inline(const char *source)
{
	MemoryContext caller = CurrentMemoryContext;
	Compiler	c = {0};

	c.is_inline = true;
	c.is_volatile = true;
	begin_compile(&c, source, NULL);
	c.function->signature = "inline_code_block";
	c.function->qualified_signature = "inline_code_block";
	c.function->owner = GetUserId();
	read_body(&c);
	plshard_make_values(c.function, 0, count_lets(c.body));
	compile_body(&c);
	end_compile(&c, caller);
	return c.function;
}

void
plshard_check_definition(HeapTuple proc_tuple)
{
	Form_pg_proc proc = (Form_pg_proc) GETSTRUCT(proc_tuple);
	MemoryContext caller = CurrentMemoryContext;
	Compiler	c = {0};
	FmgrInfo	flinfo;
	ClusterMap *map;
	PositionErrors errors;

	LOCAL_FCINFO(fcinfo, 0);

	MemSet(fcinfo, 0, SizeForFunctionCallInfo(0));
	MemSet(&flinfo, 0, sizeof(flinfo));
	fcinfo->flinfo = &flinfo;
	flinfo.fn_oid = proc->oid;
	flinfo.fn_mcxt = CurrentMemoryContext;

	c.validating = true;
	compile_proc(&c, proc_tuple, fcinfo);
	if (c.function->cluster != 0)
	{
		plshard_push_position(&errors, &c, c.body->cluster.location);
		map = plshard_cluster_map(c.function->cluster);
		plshard_pop_position(&errors);
		plshard_push_position(&errors, &c,
					  c.body->run_on == RUN_ON_NONE ? -1 : c.body->run_on_location);
		plshard_check_route(map, c.function->run_on, c.function->run_on_shard);
		plshard_pop_position(&errors);
		plshard_check_key_family(map, c.function);
		if (c.function->is_write && c.body->sql.length > 0 && plshard_is_replicated(map))
			plshard_lint_body(c.function->source, c.body->sql, c.function->name);
	}
	end_compile(&c, caller);
	MemoryContextDelete(c.function->context);
}
