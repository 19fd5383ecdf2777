/*
 * call_identity.c
 *
 * The id under which a call is made: may the function have one, and which arguments
 * belong to it.  Everything is allocated in the current memory context, the call's.
 */
#include "postgres.h"

#include "base/settings.h"
#include "common/cryptohash.h"
#include "language/call_identity.h"
#include "language/run_on.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "port/pg_bswap.h"
#include "utils/timestamp.h"

/* ---- can a repetition go elsewhere? ---- */

static bool exprs_vary(const PlshardFunction *function, const ExprList *list);

/* Whether a value is that of a LET that may differ when it is evaluated again. */
static bool
value_varies(const PlshardFunction *function, int value)
{
	return value >= function->nargs &&
		exprs_vary(function, function->lets[value - function->nargs].expr);
}

/* Finds values of LETs that vary. */
static bool
names_varying_value(Node *node, void *arg)
{
	if (node == NULL)
		return false;
	if (IsA(node, Param) && ((Param *) node)->paramkind == PARAM_EXTERN)
		return value_varies(arg, ((Param *) node)->paramid - 1);
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, names_varying_value, arg, 0);
	return expression_tree_walker(node, names_varying_value, arg);
}

static bool
node_varies(const PlshardFunction *function, Node *node)
{
	return contain_volatile_functions(node) ||
		names_varying_value(node, unconstify(PlshardFunction *, function));
}

/* True where expressions may have another value when they are evaluated again. */
static bool
exprs_vary(const PlshardFunction *function, const ExprList *list)
{
	if (list == NULL)
		return false;
	if (list->plan != NULL)
	{
		ListCell   *source;

		foreach(source, SPI_plan_get_plan_sources(list->plan))
		{
			ListCell   *query;

			foreach(query, ((CachedPlanSource *) lfirst(source))->query_list)
			{
				if (node_varies(function, lfirst(query)))
					return true;
			}
		}
		return false;
	}
	for (int i = 0; i < list->nexprs; i++)
	{
		const LocalExpr *expr = &list->exprs[i];

		if (expr->value >= 0 ? value_varies(function, expr->value) :
			node_varies(function, expr->cached->expr))
			return true;
	}
	return false;
}

/* Whether a repetition of the call may go to other shards. */
static bool
route_varies(const PlshardFunction *function)
{
	if (exprs_vary(function, function->keys) ||
		(function->destination != NULL && exprs_vary(function, function->destination->expr)))
		return true;
	for (int i = 0; i < function->nsplits; i++)
	{
		if (value_varies(function, function->splits[i].value))
			return true;
	}
	return false;
}

/* Throws 0A000 where a call cannot have an id. */
static void
check_repeatable(const PlshardCall *call)
{
	const PlshardFunction *function = call->function;

	if (!call->map->has_node_schema)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("calls on static clusters cannot have an id"),
				 errdetail("Nothing is kept on the nodes of cluster \"%s\".", call->map->name)));
	if (plshard_run_on(function, call->map) == RUN_ON_ANY && call->map->nshards > 1)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("calls with RUN ON ANY cannot have an id"),
				 errdetail("A repetition might go to another shard.")));
	if (route_varies(function))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("calls of %s cannot have an id", function->signature),
				 errdetail("It finds its shards by a volatile function, so a repetition might go to another one."),
				 errhint("Pass such values as arguments.")));
}

/* ---- the id of a call ---- */

/*
 * The digest of all arguments, as the nodes would be sent them: the same on every
 * front.  LETs are left out: they may be computed anew.
 */
static void
digest_arguments(PlshardCall *call, uint8 *digest)
{
	PlshardFunction *function = call->function;
	int			n = function->nargs;
	const char **values = palloc((n + 1) * sizeof(char *));
	int		   *lengths = palloc((n + 1) * sizeof(int));
	int		   *formats = palloc((n + 1) * sizeof(int));
	StringInfoData bytes;
	pg_cryptohash_ctx *hash;

	if (function->arg_encoders == NULL)
	{
		ParamEncoder *encoders = MemoryContextAllocZero(function->context,
														(n + 1) * sizeof(ParamEncoder));

		for (int i = 0; i < n; i++)
			plshard_init_encoder(&encoders[i], function->values[i].type, function->context);
		function->arg_encoders = encoders;
	}
	plshard_encode_params(function->arg_encoders, n, call->values, false, values, lengths, formats);

	initStringInfo(&bytes);
	if (function->name == NULL)
		plshard_add_field(&bytes, function->source, strlen(function->source));	/* a DO */
	for (int i = 0; i < n; i++)
	{
		int			length = values[i] == NULL ? -1 : formats[i] == 1 ? lengths[i] : strlen(values[i]);

		plshard_add_field(&bytes, values[i], length);
	}
	hash = pg_cryptohash_create(PG_SHA256);
	if (hash == NULL || pg_cryptohash_init(hash) < 0 ||
		pg_cryptohash_update(hash, (const uint8 *) bytes.data, bytes.len) < 0 ||
		pg_cryptohash_final(hash, digest, PG_SHA256_DIGEST_LENGTH) < 0)
		elog(ERROR, "could not compute a digest: %s", pg_cryptohash_error(hash));
	pg_cryptohash_free(hash);
}

CallId *
plshard_call_id(PlshardCall *call)
{
	CallId	   *call_id;

	if (plshard_call_id_setting[0] == '\0' || !call->function->is_write)
		return NULL;
	check_repeatable(call);
	call_id = palloc0(sizeof(CallId));
	call_id->id = pstrdup(plshard_call_id_setting);
	call_id->function = call->function->qualified_signature;
	call_id->name = call->function->signature;
	digest_arguments(call, call_id->arguments);
	call_id->now = GetCurrentTimestamp();
	call_id->expires = TimestampTzPlusMilliseconds(call_id->now,
												   call->map->options.call_id_lifetime * INT64CONST(1000));
	call_id->stored = palloc0((call->ntargets + 1) * sizeof(StringInfo));
	plshard_note_call_id(call_id);
	return call_id;
}
