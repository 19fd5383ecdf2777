/*
 * compile_route.c
 *
 * Where a call goes: CLUSTER, CONNECT, SPLIT and RUN ON of a function's body.
 * What stays is put into the function's context; the current one is the
 * compiler's own.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "language/compile_route.h"
#include "language/expr.h"
#include "language/split.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/uuid.h"

/* columns of plshard.distributed_table */
#define DISTRIBUTED_CLUSTER_ID 1
#define DISTRIBUTED_RELATION 2
#define DISTRIBUTED_KEY_COLUMN 3

void
plshard_compile_destination(Compiler *c)
{
	PlshardFunction *function = c->function;
	const AstDestination *cluster = &c->body->cluster;
	const AstDestination *connect = &c->body->connect;
	PositionErrors errors;

	if (cluster->location < 0 && connect->location < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_FUNCTION_DEFINITION),
				 errmsg("the function does not name a cluster"),
				 errhint("Add a statement CLUSTER 'name'; or CONNECT 'connection string';.")));
	if (cluster->location >= 0 && connect->location >= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_FUNCTION_DEFINITION),
				 errmsg("a function body has either CLUSTER or CONNECT, not both"),
				 errposition_at(c, connect->location)));
	if (connect->location >= 0 && c->body->run_on != RUN_ON_NONE)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_FUNCTION_DEFINITION),
				 errmsg("RUN ON is for clusters and cannot be used with CONNECT"),
				 errposition_at(c, c->body->run_on_location)));

	function->connects = connect->location >= 0;
	if (cluster->name != NULL)
	{
		plshard_push_position(&errors, c, cluster->location);
		function->cluster = plshard_cluster_find(cluster->name);
		plshard_pop_position(&errors);
	}
	if (connect->name != NULL)
	{
		function->conninfo = MemoryContextStrdup(function->context, connect->name);
		if (c->validating)
		{
			plshard_push_position(&errors, c, connect->location);
			(void) plshard_connect_map(function->conninfo);
			plshard_pop_position(&errors);
		}
	}
}

void
plshard_compile_destination_expr(Compiler *c)
{
	PlshardFunction *function = c->function;
	const AstDestination *destination = function->connects ? &c->body->connect : &c->body->cluster;
	TypedExpr  *typed;
	LocalExpr  *expr;
	PositionErrors errors;
	int			value;

	if (destination->name != NULL)
		return;
	if (function->connects && c->validating)
	{
		plshard_push_position(&errors, c, destination->location);
		plshard_check_connect(function);
		plshard_pop_position(&errors);
	}

	typed = function->destination = MemoryContextAllocZero(function->context, sizeof(TypedExpr));
	if (destination->arg != NULL)
	{
		value = plshard_lookup_argument(c, destination->arg, function->connects ?
								"A connection string is written in quotes." :
								"The name of a cluster is written in quotes.");
		typed->expr = plshard_value_expr(function, function->scope, value);
	}
	else if (c->signature.types_unknown)
	{
		plshard_check_exprs(function->source, destination->text);
		return;
	}
	else
		typed->expr = plshard_compile_exprs(function, function->scope, destination->text, false);
	if (c->signature.types_unknown)
		return;

	expr = &typed->expr->exprs[0];
	if (!plshard_compile_cast(function, expr->type, expr->typmod, expr->collation,
							  TEXTOID, -1, COERCION_IMPLICIT, &typed->cast))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("%s needs a value of type text, not of type %s",
						function->connects ? "CONNECT" : "CLUSTER", format_type_be(expr->type)),
				 errposition_at(c, destination->location)));
}

/* SPLIT; without one RUN ON sees the values as they are. */
static const ValueScope *
compile_split(Compiler *c)
{
	PlshardFunction *function = c->function;
	const AstBody *body = c->body;

	if (body->split_location < 0)
		return function->scope;

	function->splits = MemoryContextAlloc(function->context,
										  function->scope->nvalues * sizeof(SplitValue));
	if (body->split_args == NULL)
	{
		for (int i = 0; i < function->nargs; i++)
		{
			if (plshard_can_split(function->values[i].type))
				plshard_add_split(function, i, body->split_location);
		}
		if (function->nsplits == 0 && !c->signature.types_unknown)
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("the function has no array argument to split"),
					 errposition_at(c, body->split_location)));
	}
	for (const AstArg *arg = body->split_args; arg != NULL; arg = arg->next)
	{
		int			value = plshard_lookup_argument(c, arg, NULL);

		if (!c->signature.types_unknown)
			plshard_add_split(function, value, arg->location);
	}
	return plshard_element_scope(function);
}

/* RUN ON hash(...): the keys and their hash functions. */
static void
compile_hash(Compiler *c, const ValueScope *scope)
{
	PlshardFunction *function = c->function;
	ExprList   *keys;

	keys = plshard_compile_exprs(function, scope, c->body->run_on_expr, false);
	function->keys = keys;
	function->hashes = MemoryContextAllocZero(function->context,
											  keys->nexprs * sizeof(ShardHash));
	for (int i = 0; i < keys->nexprs; i++)
	{
		PositionErrors errors;

		plshard_push_position(&errors, c, keys->exprs[i].location);
		plshard_shard_hash_init(&function->hashes[i], keys->exprs[i].type,
								keys->exprs[i].collation, function->context);
		plshard_pop_position(&errors);
	}
}

void
plshard_compile_run_on(Compiler *c)
{
	PlshardFunction *function = c->function;
	AstBody    *body = c->body;
	const ValueScope *scope = compile_split(c);
	Oid			type;

	function->run_on = body->run_on;
	function->run_on_shard = body->run_on_shard;
	if (body->run_on == RUN_ON_ARG)
		function->keys = plshard_value_expr(function, scope,
											plshard_lookup_argument(c, body->run_on_arg, NULL));
	else if (body->run_on == RUN_ON_HASH || body->run_on == RUN_ON_FUNCTION)
	{
		if (c->signature.types_unknown)
			plshard_check_exprs(function->source, body->run_on_expr);
		else if (body->run_on == RUN_ON_HASH)
			compile_hash(c, scope);
		else
			function->keys = plshard_compile_exprs(function, scope, body->run_on_expr, true);
	}

	if (c->signature.types_unknown || (body->run_on != RUN_ON_ARG && body->run_on != RUN_ON_FUNCTION))
		return;
	type = getBaseType(function->keys->exprs[0].type);
	if (type != INT2OID && type != INT4OID && type != INT8OID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("RUN ON needs a hash value of an integer type, not of type %s",
						format_type_be(function->keys->exprs[0].type)),
				 plshard_can_split(type) ?
				 errhint("Add it to SPLIT if each of its elements is a hash value.") :
				 errhint("Use RUN ON hash(...) for a key."),
				 errposition_at(c, body->run_on_location)));
	function->hash_type = type;
}

/* Opens the registry's table directly: to create a function takes no rights on it. */
void
plshard_check_key_family(const ClusterMap *map, const PlshardFunction *function)
{
	const LocalExpr *key;
	Oid			family;
	Oid			other = InvalidOid;
	Relation	rel;
	SysScanDesc scan;
	ScanKeyData cluster;
	HeapTuple	tuple;
	bool		found = false;

	if (!map->in_registry || function->run_on != RUN_ON_HASH ||
		function->keys == NULL || function->keys->nexprs != 1)
		return;
	key = &function->keys->exprs[0];
	family = plshard_shard_hash_family(key->type);

	rel = table_open(get_relname_relid("distributed_table",
									   get_namespace_oid(PLSHARD_SCHEMA, false)),
					 AccessShareLock);
	ScanKeyInit(&cluster, DISTRIBUTED_CLUSTER_ID, BTEqualStrategyNumber, F_UUID_EQ,
				UUIDPGetDatum(&map->cluster_id));
	scan = systable_beginscan(rel, InvalidOid, false, GetActiveSnapshot(), 1, &cluster);
	while (!found && (tuple = systable_getnext(scan)) != NULL)
	{
		bool		isnull;
		Oid			relation;
		AttrNumber	attno;
		Oid			type;

		relation = DatumGetObjectId(heap_getattr(tuple, DISTRIBUTED_RELATION,
												 RelationGetDescr(rel), &isnull));
		attno = get_attnum(relation,
						   NameStr(*DatumGetName(heap_getattr(tuple, DISTRIBUTED_KEY_COLUMN,
															  RelationGetDescr(rel), &isnull))));
		type = attno == InvalidAttrNumber ? InvalidOid : get_atttype(relation, attno);
		if (!OidIsValid(type))
			continue;			/* the table or its column was dropped */
		found = plshard_shard_hash_family(type) == family;
		other = type;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);

	if (!found && OidIsValid(other))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("keys of type %s do not hash like those of any table of cluster \"%s\"",
						format_type_be(key->type), map->name),
				 errhint("Cast the key to the type of the key column, such as %s.",
						 format_type_be(other)),
				 plshard_errposition(function->source, key->location)));
}
