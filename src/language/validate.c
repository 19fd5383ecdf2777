/*
 * validate.c
 *
 * The language's validator: checks a function when it is created, and records
 * that it depends on its cluster.
 */
#include "postgres.h"

#include "base/compat.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_foreign_server.h"
#include "language/compile.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(plshard_validator);

/*
 * The function depends on its cluster.  A definition that it replaces has lost
 * its dependencies already; the validator may be called again by hand.
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

	/* errors of the body were raised above, or checks are switched off */
	body = plshard_parse_body(TextDatumGetCString(source), true);
	if (body != NULL && body->cluster.name != NULL)
	{
		Oid			server = plshard_cluster_oid(body->cluster.name, true);

		/* it blocks DROP SERVER, so it needs the right to use the cluster */
		if (OidIsValid(server) &&
			object_aclcheck(ForeignServerRelationId, server, GetUserId(),
							ACL_USAGE) == ACLCHECK_OK)
			record_dependency(function, server);
	}
	ReleaseSysCache(proc_tuple);
	PG_RETURN_VOID();
}
