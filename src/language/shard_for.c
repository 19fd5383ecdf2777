/*
 * shard_for.c
 *
 * plshard.shard_for(cluster, VARIADIC key): the shard of a key, hashed as
 * hash() of the language does.  How the keys hash is kept in fn_mcxt for the
 * calls of one query.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "cluster/cluster.h"
#include "cluster/shard_hash.h"
#include "fmgr.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/inval.h"

typedef struct KeyHash
{
	bool		is_literal;		/* of type unknown, to be taken as text */
	ShardHash	hash;
} KeyHash;

PG_FUNCTION_INFO_V1(plshard_shard_for);

/* How the arguments after the first hash: an array in the function's context. */
static KeyHash *
prepare_keys(FunctionCallInfo fcinfo)
{
	FmgrInfo   *flinfo = fcinfo->flinfo;
	int			nkeys = PG_NARGS() - 1;
	KeyHash    *keys;

	if (get_fn_expr_variadic(flinfo))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("the key of a shard cannot be given as a VARIADIC array"),
				 errhint("List the key's values as arguments.")));

	keys = MemoryContextAlloc(flinfo->fn_mcxt, nkeys * sizeof(KeyHash));
	for (int i = 0; i < nkeys; i++)
	{
		Oid			type = get_fn_expr_argtype(flinfo, i + 1);
		Oid			collation = InvalidOid;

		if (!OidIsValid(type))
			ereport(ERROR,
					(errcode(ERRCODE_INDETERMINATE_DATATYPE),
					 errmsg("could not determine the data type of the key")));
		keys[i].is_literal = (type == UNKNOWNOID);
		if (keys[i].is_literal)
			type = TEXTOID;
		if (IsA(flinfo->fn_expr, FuncExpr))
			collation = exprCollation(list_nth(((FuncExpr *) flinfo->fn_expr)->args, i + 1));
		plshard_shard_hash_init(&keys[i].hash, type, collation, flinfo->fn_mcxt);
	}
	return keys;
}

Datum
plshard_shard_for(PG_FUNCTION_ARGS)
{
	KeyHash    *keys = fcinfo->flinfo->fn_extra;
	uint32		hash = 0;
	ClusterMap *map;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("the cluster must not be null")));
	if (keys == NULL)
		keys = fcinfo->flinfo->fn_extra = prepare_keys(fcinfo);

	for (int i = 0; i < PG_NARGS() - 1; i++)
	{
		Datum		key;
		uint32		key_hash;

		if (PG_ARGISNULL(i + 1))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("the key of a shard must not be null")));
		key = PG_GETARG_DATUM(i + 1);
		if (keys[i].is_literal)
			key = CStringGetTextDatum(DatumGetCString(key));
		key_hash = plshard_shard_hash(&keys[i].hash, key);
		hash = (i == 0) ? key_hash : plshard_shard_hash_combine(hash, key_hash);
	}

	AcceptInvalidationMessages();
	map = plshard_cluster_map(plshard_cluster_find(NameStr(*PG_GETARG_NAME(0))));
	PG_RETURN_INT64(map->shards[plshard_cluster_shard_of_hash(map, (int32) hash)].id);
}
