/*
 * options_validator.c
 *
 * The SQL function that checks the options of the wrapper, of servers and of user
 * mappings when they are set.  Works in the caller's memory context.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/reloptions.h"
#include "access/table.h"
#include "base/compat.h"
#include "catalog/pg_foreign_data_wrapper.h"
#include "catalog/pg_foreign_server.h"
#include "cluster/cluster_static.h"
#include "cluster/options.h"
#include "cluster/static_options.h"
#include "commands/defrem.h"
#include "fmgr.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(plshard_fdw_validator);

/*
 * A cluster_id gives access to a cluster's nodes and placements, so another server may
 * have the same one only if both have the same owner.  Errors: 42501.
 */
static void
check_cluster_id_free(const pg_uuid_t *cluster_id)
{
	Relation	servers;
	SysScanDesc scan;
	HeapTuple	tuple;

	if (superuser())
		return;

	servers = table_open(ForeignServerRelationId, AccessShareLock);
	scan = systable_beginscan(servers, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_foreign_server server = (Form_pg_foreign_server) GETSTRUCT(tuple);
		ClusterOptions options;

		if (strcmp(GetForeignDataWrapper(server->srvfdw)->fdwname, PLSHARD_FDW_NAME) != 0)
			continue;
		plshard_cluster_options(server->oid, &options);
		if (options.is_catalog &&
			memcmp(&options.cluster_id, cluster_id, UUID_LEN) == 0 &&
			!object_ownercheck(ForeignServerRelationId, server->oid, GetUserId()))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("option \"cluster_id\" names a cluster of another owner")));
	}
	systable_endscan(scan);
	table_close(servers, AccessShareLock);
}

/* Checks an option of a user mapping. */
static void
check_mapping_option(DefElem *option)
{
	plshard_check_option_name(option, OPTION_OF_MAPPING);
	if ((plshard_option_is(option, "sslcert") || plshard_option_is(option, "sslkey")) && !superuser())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("only a superuser may set option \"%s\"", option->defname),
				 errdetail("It names a file that the server reads.")));
	if (plshard_option_is(option, "user") && *defGetString(option) == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"%s\" must not be empty", option->defname)));
	if (plshard_option_is(option, "password_required"))
		(void) plshard_option_is_on(option);
}

/* Errors HV00D for options that a server without a cluster_id cannot have. */
static void
refuse_registry_options(List *options)
{
	ListCell   *cell;

	foreach(cell, options)
	{
		DefElem    *option = lfirst_node(DefElem, cell);

		if (plshard_option_is(option, "recovery_role") ||
			(plshard_option_is(option, "commit") && plshard_option_commit(option) == COMMIT_ATOMIC))
			ereport(ERROR,
					(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
					 errmsg("option \"%s\" needs a catalog cluster", option->defname),
					 errdetail("Nodes of a static cluster have nothing of plshard's that an atomic commit needs."),
					 errhint("Make the cluster by plshard.create_cluster.")));
	}
}

/* Errors as plshard_check_static if a server's partitions, if it has any, make no cluster. */
static void
check_partitions(List *options, bool modular_mapping)
{
	const char **conninfos;
	int			n;

	conninfos = plshard_partitions(options, &n);
	if (n == 0)
		return;
	plshard_check_static(CLUSTER_SERVER, n, conninfos, modular_mapping);
}

/* Checks a server's options: its partitions are among them, or it has a cluster_id. */
static void
check_server(List *options)
{
	ClusterOptions all;
	ForeignDataWrapper *wrapper = GetForeignDataWrapperByName(PLSHARD_FDW_NAME, true);
	ListCell   *cell;

	plshard_default_options(&all);
	if (wrapper != NULL)
		plshard_set_options(&all, wrapper->options, OPTION_OF_WRAPPER);
	plshard_set_options(&all, options, OPTION_OF_SERVER);
	if (!all.is_catalog)
	{
		refuse_registry_options(options);
		check_partitions(options, all.modular_mapping);
		return;
	}

	check_cluster_id_free(&all.cluster_id);
	foreach(cell, options)
	{
		DefElem    *option = lfirst_node(DefElem, cell);

		if (plshard_partition_number(option->defname) >= 0 ||
			plshard_option_is(option, "modular_mapping") || plshard_option_is(option, "autocommit") ||
			plshard_option_is(option, "pooled"))
			ereport(ERROR,
					(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
					 errmsg("options \"%s\" and \"cluster_id\" exclude each other",
							option->defname),
					 errdetail("A cluster with a cluster_id has its nodes and shards in the registry.")));
	}
}

/*
 * plshard.fdw_validator(options text[], catalog oid): raises an error if an option is
 * unknown, has a wrong value, or may not be set by the current user.
 */
Datum
plshard_fdw_validator(PG_FUNCTION_ARGS)
{
	List	   *options = untransformRelOptions(PG_GETARG_DATUM(0));
	Oid			catalog = PG_GETARG_OID(1);
	ClusterOptions unused;
	ListCell   *cell;

	if (catalog == ForeignServerRelationId)
		check_server(options);
	else if (catalog == ForeignDataWrapperRelationId)
	{
		plshard_default_options(&unused);
		plshard_set_options(&unused, options, OPTION_OF_WRAPPER);
	}
	else
	{
		foreach(cell, options)
			check_mapping_option(lfirst_node(DefElem, cell));
	}

	foreach(cell, options)
	{
		DefElem    *option = lfirst_node(DefElem, cell);

		if (plshard_option_is(option, "statement_timeout"))
			ereport(WARNING,
					(errmsg("option \"%s\" has no effect", option->defname),
					 errhint("Use query_timeout, which is sent on to the nodes as their statement_timeout.")));
		if (plshard_option_needs_superuser(option) && !superuser())
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("only a superuser may set option \"%s\" to %s",
							option->defname, defGetString(option)),
					 errhint("A superuser must also make further changes of an object that has it.")));
	}
	PG_RETURN_VOID();
}
