/*
 * validate.c
 *
 * The language's validator: checks a function when it is created, and records
 * that it depends on its cluster.
 */
#include "postgres.h"

#include "language/compile.h"
#include "language/expr.h"
#include "language/validate.h"

#include "access/genam.h"
#include "access/table.h"
#include "base/compat.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_foreign_server.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/uuid.h"

/* columns of plshard.distributed_table */
#define DISTRIBUTED_CLUSTER_ID 1
#define DISTRIBUTED_RELATION 2
#define DISTRIBUTED_KEY_COLUMN 3

PG_FUNCTION_INFO_V1(plshard_validator);

/* Opened directly: who creates a function needs no rights on the registry's tables. */
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

	if (!map->in_registry || function->run_on != RUN_ON_HASH || function->keys == NULL || function->keys->nexprs != 1)
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
			continue;			/* the table or its column is gone */
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

/*
 * The function depends on its cluster.  A definition that it replaces has lost
 * its dependencies already; whoever calls the validator again finds the same.
 */
static void
record_dependency(Oid function, Oid server)
{
	ObjectAddress depender;
	ObjectAddress referenced;

	ObjectAddressSet(depender, ProcedureRelationId, function);
	ObjectAddressSet(referenced, ForeignServerRelationId, server);
	deleteDependencyRecordsForClass(ProcedureRelationId, function,
									ForeignServerRelationId, DEPENDENCY_NORMAL);
	recordDependencyOn(&depender, &referenced, DEPENDENCY_NORMAL);
}

Datum
plshard_validator(PG_FUNCTION_ARGS)
{
	Oid			function = PG_GETARG_OID(0);
	HeapTuple	proc_tuple;
	Form_pg_proc proc;
	AstBody    *body;
	Datum		source;
	bool		isnull;

	if (!CheckFunctionValidatorAccess(fcinfo->flinfo->fn_oid, function))
		PG_RETURN_VOID();

	proc_tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	if (!HeapTupleIsValid(proc_tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	proc = (Form_pg_proc) GETSTRUCT(proc_tuple);
	source = SysCacheGetAttr(PROCOID, proc_tuple, Anum_pg_proc_prosrc, &isnull);
	if (isnull)
		elog(ERROR, "null prosrc");

	if (check_function_bodies)
	{
		if (proc->proparallel == PROPARALLEL_SAFE)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_FUNCTION_DEFINITION),
					 errmsg("plshard functions cannot be PARALLEL SAFE"),
					 errdetail("Connections and remote transactions belong to one process."),
					 errhint("Use PARALLEL RESTRICTED.")));
		plshard_check_definition(proc_tuple);
	}

	/* what is wrong with the body was said above, or is not to be said now */
	body = plshard_parse_body(TextDatumGetCString(source), true);
	if (body != NULL && body->cluster.name != NULL)
	{
		Oid			server = plshard_cluster_oid(body->cluster.name, true);

		/* it holds up DROP SERVER, so it is not for those who may not use the cluster */
		if (OidIsValid(server) &&
			object_aclcheck(ForeignServerRelationId, server, GetUserId(),
							ACL_USAGE) == ACLCHECK_OK)
			record_dependency(function, server);
	}
	ReleaseSysCache(proc_tuple);
	PG_RETURN_VOID();
}
