/*
 * options.c
 *
 * The options of clusters and user mappings: which there are, and what they mean.
 * Works in the caller's memory context.
 */
#include "postgres.h"

#include "access/reloptions.h"
#include "base/compat.h"
#include "catalog/pg_user_mapping.h"
#include "cluster/options.h"
#include "cluster/static_options.h"
#include "commands/defrem.h"
#include "foreign/foreign.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/syscache.h"

#define DEFAULT_NODE_TIMEOUT 2000
#define DEFAULT_CALL_ID_LIFETIME (24 * 60 * 60)

#define ANY_CLUSTER (OPTION_OF_WRAPPER | OPTION_OF_SERVER | OPTION_OF_CALLBACK)

typedef struct OptionName
{
	const char *name;
	int			contexts;		/* OptionContext bits */
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

void
plshard_check_option_name(const DefElem *option, OptionContext context)
{
	StringInfoData valid;

	initStringInfo(&valid);
	if (context == OPTION_OF_SERVER)
		appendStringInfoString(&valid, "p0, p1, ...");
	for (int i = 0; i < lengthof(option_names); i++)
	{
		if (!(option_names[i].contexts & context))
			continue;
		if (plshard_option_is(option, option_names[i].name))
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

/* Raises 22023, with a hint unless that is NULL. */
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

/* A whole number, or a time in the unit GUC_UNIT_..., in the syntax of GUCs. */
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

/* A time in milliseconds; a number without a unit is in seconds, as in PL/Proxy and libpq. */
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

/* True for session_user. */
static bool
parse_default_user(DefElem *option)
{
	const char *value = defGetString(option);

	if (pg_strcasecmp(value, "session_user") != 0 && pg_strcasecmp(value, "current_user") != 0)
		wrong_value(option, gettext_noop("Valid values are: current_user, session_user."));
	return pg_strcasecmp(value, "session_user") == 0;
}

CommitMode
plshard_option_commit(DefElem *option)
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
plshard_set_option(ClusterOptions *options, DefElem *option, OptionContext context)
{
	plshard_check_option_name(option, context);
	if (*defGetString(option) == '\0' && !plshard_option_is(option, "cluster_id"))
		return;					/* the default */
	if (plshard_option_is(option, "cluster_id"))
	{
		options->is_catalog = true;
		options->cluster_id = parse_cluster_id(option);
	}
	else if (plshard_option_is(option, "commit"))
		options->commit = plshard_option_commit(option);
	else if (plshard_option_is(option, "recovery_role"))
		strlcpy(options->recovery_role, parse_role(option), NAMEDATALEN);
	else if (plshard_option_is(option, "call_id_lifetime"))
		options->call_id_lifetime = parse_number(option, GUC_UNIT_S, 1);
	else if (plshard_option_is(option, "node_timeout"))
		options->node_timeout = parse_number(option, GUC_UNIT_MS, 1);
	else if (plshard_option_is(option, "connect_timeout"))
		options->connect_timeout = parse_seconds(option);
	else if (plshard_option_is(option, "query_timeout"))
		options->query_timeout = parse_seconds(option);
	else if (plshard_option_is(option, "connection_lifetime"))
		options->connection_lifetime = parse_number(option, GUC_UNIT_S, 0);
	else if (plshard_option_is(option, "keepalive_idle"))
		options->keepalive_idle = parse_number(option, GUC_UNIT_S, 0);
	else if (plshard_option_is(option, "keepalive_interval"))
		options->keepalive_interval = parse_number(option, GUC_UNIT_S, 0);
	else if (plshard_option_is(option, "keepalive_count"))
		options->keepalive_count = parse_number(option, 0, 0);
	else if (plshard_option_is(option, "disable_binary"))
		options->disable_binary = plshard_option_is_on(option);
	else if (plshard_option_is(option, "default_user"))
		options->session_user = parse_default_user(option);
	else if (plshard_option_is(option, "password_required"))
		options->password_required = plshard_option_is_on(option);
	else if (plshard_option_is(option, "modular_mapping"))
		options->modular_mapping = plshard_option_is_on(option);
	else if (plshard_option_is(option, "autocommit"))
		options->autocommit = plshard_option_is_on(option);
	else if (plshard_option_is(option, "pooled"))
		options->pooled = plshard_option_is_on(option);
	/* statement_timeout is accepted and ignored, as by PL/Proxy */
}

bool
plshard_option_needs_superuser(DefElem *option)
{
	if (*defGetString(option) == '\0')
		return false;
	/* both allow a user to connect as another role, or as the server, without a password */
	return (plshard_option_is(option, "password_required") && !plshard_option_is_on(option)) ||
		(plshard_option_is(option, "default_user") && parse_default_user(option));
}

void
plshard_set_options(ClusterOptions *options, List *list, OptionContext context)
{
	ListCell   *cell;

	foreach(cell, list)
	{
		DefElem    *option = lfirst_node(DefElem, cell);

		if (context != OPTION_OF_SERVER || plshard_partition_number(option->defname) < 0)
			plshard_set_option(options, option, context);
	}
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
	plshard_set_options(options, GetForeignDataWrapper(server->fdwid)->options, OPTION_OF_WRAPPER);
	plshard_set_options(options, server->options, OPTION_OF_SERVER);
	if (options->is_catalog)
		options->modular_mapping = options->autocommit = options->pooled = false;
}

void
plshard_wrapper_options(ClusterOptions *options)
{
	plshard_default_options(options);
	plshard_set_options(options, GetForeignDataWrapperByName(PLSHARD_FDW_NAME, false)->options,
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
