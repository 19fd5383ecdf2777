/*
 * compile.c
 *
 * Compiles a pg_proc row, or the text of a DO, to a PlshardFunction.  signature.c
 * reads the arguments and the result; compile_route.c compiles where a call
 * goes, compile_query.c what it runs there.
 *
 * The function's context is born below the caller's and moves below
 * CacheMemoryContext when compilation has succeeded.  The current context
 * during compilation is a short-lived one below it, for the syntax tree and
 * all garbage; what stays is put into function->context explicitly.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "body_parser.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "language/compile.h"
#include "language/compile_query.h"
#include "language/compile_route.h"
#include "language/expr.h"
#include "language/lint.h"
#include "language/run_on.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

/* ---- parsing ---- */

/* The parser's allocator: palloc in the current memory context. */
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

/* TIMEOUT in milliseconds. */
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

/* Compiles one LET and adds its value to those that can be named. */
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

/* Compiles the statements of the body, in the order in which they depend on each other. */
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
	plshard_compile_rows(c);
}

/* ---- entry points ---- */

/* The function's body, palloc'd. */
static char *
get_source(HeapTuple proc_tuple)
{
	bool		isnull;
	Datum		source = SysCacheGetAttr(PROCOID, proc_tuple, Anum_pg_proc_prosrc, &isnull);

	if (isnull)
		elog(ERROR, "null prosrc");
	return TextDatumGetCString(source);
}

/* Compiles a function from its pg_proc row; fcinfo is that of a call. */
static void
compile_proc(Compiler *c, HeapTuple proc_tuple, FunctionCallInfo fcinfo)
{
	Form_pg_proc proc = (Form_pg_proc) GETSTRUCT(proc_tuple);
	PlshardFunction *function;

	plshard_begin_compile(c, get_source(proc_tuple), NameStr(proc->proname));
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
	plshard_end_compile(&c, caller);
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
	plshard_begin_compile(&c, source, NULL);
	c.function->signature = "inline_code_block";
	c.function->qualified_signature = "inline_code_block";
	c.function->owner = GetUserId();
	read_body(&c);
	plshard_make_values(c.function, 0, count_lets(c.body));
	compile_body(&c);
	plshard_end_compile(&c, caller);
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
		plshard_check_run_on(map, c.function->run_on, c.function->run_on_shard);
		plshard_pop_position(&errors);
		plshard_check_key_family(map, c.function);
		if (c.function->is_write && c.body->sql.length > 0 && plshard_is_replicated(map))
			plshard_lint_body(c.function->source, c.body->sql, c.function->name);
	}
	plshard_end_compile(&c, caller);
	MemoryContextDelete(c.function->context);
}
