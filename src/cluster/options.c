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
#include "base/compat.h"
#include "catalog/pg_foreign_data_wrapper.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_user_mapping.h"
#include "cluster/cluster.h"
#include "cluster/cluster_static.h"
#include "cluster/options.h"
#include "commands/defrem.h"
#include "fmgr.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#define DEFAULT_NODE_TIMEOUT 2000
#define DEFAULT_CALL_ID_LIFETIME (24 * 60 * 60)

#define ANY_CLUSTER (OPTION_OF_WRAPPER | OPTION_OF_SERVER | OPTION_OF_CALLBACK)

typedef struct OptionName
{
	const char *name;
	int			places;			/* of OptionPlace */
} OptionName;

static const OptionName option_names[] = {
	{"autocommit", ANY_CLUSTER},
	{"call_id_lifetime", OPTION_OF_WRAPPER | OPTION_OF_SERVER},
	{"cluster_id", OPTION_OF_SERVER},
	{"commit", OPTION_OF_SERVER},
	{"connect_timeout", ANY_CLUSTER},
	{"connection_lifetime", ANY_CLUSTER},
	{"default_user", ANY_CLUSTER},
	{"disable_binary", ANY_CLUSTER},
	{"keepalive_count", ANY_CLUSTER},
	{"keepalive_idle", ANY_CLUSTER},
	{"keepalive_interval", ANY_CLUSTER},
	{"modular_mapping", ANY_CLUSTER},
	{"node_timeout", ANY_CLUSTER},
	{"password", OPTION_OF_MAPPING},
	{"password_required", OPTION_OF_SERVER | OPTION_OF_MAPPING | OPTION_OF_CALLBACK},
	{"pooled", ANY_CLUSTER},
	{"query_timeout", ANY_CLUSTER},
	{"recovery_role", OPTION_OF_SERVER},
	{"sslcert", OPTION_OF_MAPPING},
	{"sslkey", OPTION_OF_MAPPING},
	{"sslpassword", OPTION_OF_MAPPING},
	{"statement_timeout", ANY_CLUSTER},
	{"user", OPTION_OF_MAPPING}
};

PG_FUNCTION_INFO_V1(plshard_fdw_validator);

static bool
option_is(const DefElem *option, const char *name)
{
	return strcmp(option->defname, name) == 0;
}

static void
check_name(const DefElem *option, OptionPlace place)
{
	StringInfoData valid;

	initStringInfo(&valid);
	if (place == OPTION_OF_SERVER)
		appendStringInfoString(&valid, "p0, p1, ...");
	for (int i = 0; i < lengthof(option_names); i++)
	{
		if (!(option_names[i].places & place))
			continue;
		if (option_is(option, option_names[i].name))
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

pg_noreturn static void
wrong_value(DefElem *option, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for option \"%s\": \"%s\"", option->defname,
					defGetString(option)),
			 hint ? errhint("%s", _(hint)) : 0));
}

bool
plshard_option_is_on(DefElem *option)
{
	bool		result;

	if (!parse_bool(defGetString(option), &result))
		wrong_value(option, gettext_noop("Valid values are: true, false."));
	return result;
}

/* A whole number, or a time in units of GUC_UNIT_..., as GUCs have it. */
static int
parse_number(DefElem *option, int unit, int minimum)
{
	const char *hint = NULL;
	int			result;

	if (!parse_int(defGetString(option), &result, unit, &hint))
		wrong_value(option, hint ? hint :
					unit ? gettext_noop("Give a time with its unit, like '2 s' or '500 ms'.") :
					NULL);
	if (result < minimum)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 minimum > 0 ?
				 errmsg("option \"%s\" must be greater than zero", option->defname) :
				 errmsg("option \"%s\" must not be negative", option->defname)));
	return result;
}

/* In milliseconds; a number without a unit is in seconds, as PL/Proxy and libpq have it. */
static int
parse_seconds(DefElem *option)
{
	const char *value = defGetString(option);
	int			seconds;

	if (value[strspn(value, " 0123456789")] != '\0')
		return parse_number(option, GUC_UNIT_MS, 0);
	seconds = parse_number(option, GUC_UNIT_S, 0);
	if (seconds > INT_MAX / 1000)
		wrong_value(option, gettext_noop("The longest time is 2147483 seconds."));
	return seconds * 1000;
}

static bool
parse_default_user(DefElem *option)
{
	const char *value = defGetString(option);

	if (pg_strcasecmp(value, "session_user") != 0 && pg_strcasecmp(value, "current_user") != 0)
		wrong_value(option, gettext_noop("Valid values are: current_user, session_user."));
	return pg_strcasecmp(value, "session_user") == 0;
}

static CommitMode
parse_commit(DefElem *option)
{
	const char *value = defGetString(option);

	if (strcmp(value, "atomic") != 0 && strcmp(value, "fast") != 0)
		wrong_value(option, gettext_noop("Valid values are: atomic, fast."));
	return strcmp(value, "fast") == 0 ? COMMIT_FAST : COMMIT_ATOMIC;
}

/* The name of a role on the nodes. */
static const char *
parse_role(DefElem *option)
{
	const char *value = defGetString(option);

	if (*value == '\0' || strlen(value) >= NAMEDATALEN)
		wrong_value(option, gettext_noop("Give the name of a role on the nodes."));
	return value;
}

void
plshard_default_options(ClusterOptions *options)
{
	memset(options, 0, sizeof(*options));
	options->node_timeout = DEFAULT_NODE_TIMEOUT;
	options->password_required = true;
	options->call_id_lifetime = DEFAULT_CALL_ID_LIFETIME;
}

void
plshard_set_option(ClusterOptions *options, DefElem *option, OptionPlace place)
{
	check_name(option, place);
	if (*defGetString(option) == '\0' && !option_is(option, "cluster_id"))
		return;					/* the default */
	if (option_is(option, "cluster_id"))
	{
		options->is_catalog = true;
		options->cluster_id = parse_cluster_id(option);
	}
	else if (option_is(option, "commit"))
		options->commit = parse_commit(option);
	else if (option_is(option, "recovery_role"))
		strlcpy(options->recovery_role, parse_role(option), NAMEDATALEN);
	else if (option_is(option, "call_id_lifetime"))
		options->call_id_lifetime = parse_number(option, GUC_UNIT_S, 1);
	else if (option_is(option, "node_timeout"))
		options->node_timeout = parse_number(option, GUC_UNIT_MS, 1);
	else if (option_is(option, "connect_timeout"))
		options->connect_timeout = parse_seconds(option);
	else if (option_is(option, "query_timeout"))
		options->query_timeout = parse_seconds(option);
	else if (option_is(option, "connection_lifetime"))
		options->connection_lifetime = parse_number(option, GUC_UNIT_S, 0);
	else if (option_is(option, "keepalive_idle"))
		options->keepalive_idle = parse_number(option, GUC_UNIT_S, 0);
	else if (option_is(option, "keepalive_interval"))
		options->keepalive_interval = parse_number(option, GUC_UNIT_S, 0);
	else if (option_is(option, "keepalive_count"))
		options->keepalive_count = parse_number(option, 0, 0);
	else if (option_is(option, "disable_binary"))
		options->disable_binary = plshard_option_is_on(option);
	else if (option_is(option, "default_user"))
		options->session_user = parse_default_user(option);
	else if (option_is(option, "password_required"))
		options->password_required = plshard_option_is_on(option);
	else if (option_is(option, "modular_mapping"))
		options->modular_mapping = plshard_option_is_on(option);
	else if (option_is(option, "autocommit"))
		options->autocommit = plshard_option_is_on(option);
	else if (option_is(option, "pooled"))
		options->pooled = plshard_option_is_on(option);
	/* statement_timeout is PL/Proxy's, which ignores it too */
}

bool
plshard_option_needs_superuser(DefElem *option)
{
	if (*defGetString(option) == '\0')
		return false;
	/* both are ways to connect as a role, or as the server, without having its password */
	return (option_is(option, "password_required") && !plshard_option_is_on(option)) ||
		(option_is(option, "default_user") && parse_default_user(option));
}

/* Takes over a list of options; partitions are left to cluster_options.c. */
static void
set_options(ClusterOptions *options, List *list, OptionPlace place)
{
	ListCell   *cell;

	foreach(cell, list)
	{
		DefElem    *option = lfirst_node(DefElem, cell);

		if (place != OPTION_OF_SERVER || plshard_partition_number(option->defname) < 0)
			plshard_set_option(options, option, place);
	}
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
check_mapping_option(DefElem *option)
{
	check_name(option, OPTION_OF_MAPPING);
	if ((option_is(option, "sslcert") || option_is(option, "sslkey")) && !superuser())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("only a superuser may set option \"%s\"", option->defname),
				 errdetail("It names a file that the server reads.")));
	if (option_is(option, "user") && *defGetString(option) == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"%s\" must not be empty", option->defname)));
	if (option_is(option, "password_required"))
		(void) plshard_option_is_on(option);
}

/* What a server that lists its partitions itself cannot have. */
static void
refuse_registry_options(List *options)
{
	ListCell   *cell;

	foreach(cell, options)
	{
		DefElem    *option = lfirst_node(DefElem, cell);

		if (option_is(option, "recovery_role") ||
			(option_is(option, "commit") && parse_commit(option) == COMMIT_ATOMIC))
			ereport(ERROR,
					(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
					 errmsg("option \"%s\" needs a cluster of the registry", option->defname),
					 errdetail("Nodes of a static cluster have nothing of plshard's that an atomic commit needs."),
					 errhint("Make the cluster by plshard.create_cluster.")));
	}
}

/* A server lists its partitions itself, or has them in the registry. */
static void
check_server(List *options)
{
	ClusterOptions all;
	ForeignDataWrapper *wrapper = GetForeignDataWrapperByName(PLSHARD_FDW_NAME, true);
	ListCell   *cell;

	plshard_default_options(&all);
	if (wrapper != NULL)
		set_options(&all, wrapper->options, OPTION_OF_WRAPPER);
	set_options(&all, options, OPTION_OF_SERVER);
	if (!all.is_catalog)
	{
		refuse_registry_options(options);
		plshard_check_partitions(options, all.modular_mapping);
		return;
	}

	check_cluster_id_free(&all.cluster_id);
	foreach(cell, options)
	{
		DefElem    *option = lfirst_node(DefElem, cell);

		if (plshard_partition_number(option->defname) >= 0 ||
			option_is(option, "modular_mapping") || option_is(option, "autocommit") ||
			option_is(option, "pooled"))
			ereport(ERROR,
					(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
					 errmsg("options \"%s\" and \"cluster_id\" exclude each other",
							option->defname),
					 errdetail("A cluster with a cluster_id has its nodes and shards in the registry.")));
	}
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
	ClusterOptions unused;
	ListCell   *cell;

	if (catalog == ForeignServerRelationId)
		check_server(options);
	else if (catalog == ForeignDataWrapperRelationId)
	{
		plshard_default_options(&unused);
		set_options(&unused, options, OPTION_OF_WRAPPER);
	}
	else
	{
		foreach(cell, options)
			check_mapping_option(lfirst_node(DefElem, cell));
	}

	foreach(cell, options)
	{
		DefElem    *option = lfirst_node(DefElem, cell);

		if (option_is(option, "statement_timeout"))
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

void
plshard_cluster_options(Oid server_oid, ClusterOptions *options)
{
	ForeignServer *server = GetForeignServerExtended(server_oid, FSV_MISSING_OK);

	if (server == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("cluster with OID %u does not exist", server_oid)));

	plshard_default_options(options);
	set_options(options, GetForeignDataWrapper(server->fdwid)->options, OPTION_OF_WRAPPER);
	set_options(options, server->options, OPTION_OF_SERVER);
	if (options->is_catalog)
		options->modular_mapping = options->autocommit = options->pooled = false;
}

void
plshard_wrapper_options(ClusterOptions *options)
{
	plshard_default_options(options);
	set_options(options, GetForeignDataWrapperByName(PLSHARD_FDW_NAME, false)->options,
				OPTION_OF_WRAPPER);
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
