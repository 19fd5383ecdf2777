/*
 * options.c
 *
 * The options of the wrapper's objects: which exist, who may set them, what
 * they mean.  Works in the caller's memory context.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/reloptions.h"
#include "access/table.h"
#include "catalog/pg_foreign_data_wrapper.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_user_mapping.h"
#include "cluster.h"
#include "commands/defrem.h"
#include "compat.h"
#include "fmgr.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "options.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#define DEFAULT_NODE_TIMEOUT 2000

typedef struct OptionName
{
	const char *name;
	Oid			catalog;		/* of the objects that may have it */
} OptionName;

static const OptionName option_names[] = {
	{"cluster_id", ForeignServerRelationId},
	{"commit", ForeignServerRelationId},
	{"connect_timeout", ForeignServerRelationId},
	{"node_timeout", ForeignServerRelationId},
	{"password_required", ForeignServerRelationId},
	{"password", UserMappingRelationId},
	{"password_required", UserMappingRelationId},
	{"sslcert", UserMappingRelationId},
	{"sslkey", UserMappingRelationId},
	{"sslpassword", UserMappingRelationId},
	{"user", UserMappingRelationId}
};

PG_FUNCTION_INFO_V1(plshard_fdw_validator);

static void
check_name(const DefElem *option, Oid catalog)
{
	StringInfoData valid;

	initStringInfo(&valid);
	for (int i = 0; i < lengthof(option_names); i++)
	{
		if (option_names[i].catalog != catalog)
			continue;
		if (strcmp(option_names[i].name, option->defname) == 0)
			return;
		appendStringInfo(&valid, "%s%s", valid.len > 0 ? ", " : "", option_names[i].name);
	}
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
			 errmsg("invalid option \"%s\"", option->defname),
			 valid.len > 0
			 ? errhint("Valid options in this context are: %s.", valid.data)
			 : errhint("There are no valid options in this context.")));
}

static pg_uuid_t
parse_cluster_id(DefElem *option)
{
	return *DatumGetUUIDP(DirectFunctionCall1(uuid_in,
											  CStringGetDatum(defGetString(option))));
}

/* A time with a unit as GUCs have it; milliseconds without one. */
static int
parse_time(DefElem *option)
{
	char	   *value = defGetString(option);
	const char *hint = NULL;
	int			result;

	if (!parse_int(value, &result, GUC_UNIT_MS, &hint))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for option \"%s\": \"%s\"", option->defname, value),
				 hint ? errhint("%s", _(hint))
				 : errhint("Give a time with its unit, like '2 s' or '500 ms'.")));
	if (result <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"%s\" must be greater than zero", option->defname)));
	return result;
}

/*
 * A cluster_id is the key to a cluster's nodes and placements, so one that a
 * server has already may be given again only by that server's owner.
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

static void
check_server_option(DefElem *option)
{
	if (strcmp(option->defname, "cluster_id") == 0)
	{
		pg_uuid_t	cluster_id = parse_cluster_id(option);

		check_cluster_id_free(&cluster_id);
	}
	else if (strcmp(option->defname, "commit") == 0)
	{
		char	   *value = defGetString(option);

		if (strcmp(value, "fast") != 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("invalid value for option \"%s\": \"%s\"", option->defname, value),
					 errhint("Valid values are: fast.")));
	}
	else if (strcmp(option->defname, "connect_timeout") == 0 ||
			 strcmp(option->defname, "node_timeout") == 0)
		(void) parse_time(option);
}

static void
check_mapping_option(DefElem *option)
{
	if ((strcmp(option->defname, "sslcert") == 0 || strcmp(option->defname, "sslkey") == 0) &&
		!superuser())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("only a superuser may set option \"%s\"", option->defname),
				 errdetail("It names a file that the server reads.")));
	if (strcmp(option->defname, "user") == 0 && *defGetString(option) == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"%s\" must not be empty", option->defname)));
}

/*
 * plshard.fdw_validator(options text[], catalog oid): throws where an option
 * is unknown, has a wrong value, or is not for the current user to set.
 */
Datum
plshard_fdw_validator(PG_FUNCTION_ARGS)
{
	List	   *options = untransformRelOptions(PG_GETARG_DATUM(0));
	Oid			catalog = PG_GETARG_OID(1);
	ListCell   *cell;

	foreach(cell, options)
	{
		DefElem    *option = lfirst_node(DefElem, cell);

		check_name(option, catalog);
		if (strcmp(option->defname, "password_required") == 0)
		{
			if (!defGetBoolean(option) && !superuser())
				ereport(ERROR,
						(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						 errmsg("only a superuser may set option \"%s\" to false",
								option->defname),
						 errhint("A superuser must also make further changes of an object that has it.")));
		}
		else if (catalog == ForeignServerRelationId)
			check_server_option(option);
		else
			check_mapping_option(option);
	}
	PG_RETURN_VOID();
}

void
plshard_cluster_options(Oid server_oid, ClusterOptions *options)
{
	ForeignServer *server = GetForeignServerExtended(server_oid, FSV_MISSING_OK);
	ListCell   *cell;

	if (server == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("cluster with OID %u does not exist", server_oid)));

	memset(options, 0, sizeof(*options));
	options->node_timeout = DEFAULT_NODE_TIMEOUT;
	options->password_required = true;
	foreach(cell, server->options)
	{
		DefElem    *option = lfirst_node(DefElem, cell);

		if (strcmp(option->defname, "cluster_id") == 0)
		{
			options->is_catalog = true;
			options->cluster_id = parse_cluster_id(option);
		}
		else if (strcmp(option->defname, "node_timeout") == 0)
			options->node_timeout = parse_time(option);
		else if (strcmp(option->defname, "connect_timeout") == 0)
			options->connect_timeout = parse_time(option);
		else if (strcmp(option->defname, "password_required") == 0)
			options->password_required = defGetBoolean(option);
	}
	if (options->connect_timeout == 0)
		options->connect_timeout = options->node_timeout;
}

List *
plshard_user_mapping_options(Oid server_oid, Oid userid, bool *found)
{
	HeapTuple	tuple;
	Datum		value;
	bool		isnull;
	List	   *options;

	tuple = SearchSysCache2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(userid),
							ObjectIdGetDatum(server_oid));
	if (!HeapTupleIsValid(tuple))
		tuple = SearchSysCache2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(InvalidOid),
								ObjectIdGetDatum(server_oid));
	*found = HeapTupleIsValid(tuple);
	if (!*found)
		return NIL;

	value = SysCacheGetAttr(USERMAPPINGUSERSERVER, tuple,
							Anum_pg_user_mapping_umoptions, &isnull);
	options = isnull ? NIL : untransformRelOptions(value);
	ReleaseSysCache(tuple);
	return options;
}
