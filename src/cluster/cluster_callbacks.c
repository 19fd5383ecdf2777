/*
 * cluster_callbacks.c
 *
 * The provider for clusters that are defined by the user's functions, as in
 * PL/Proxy: plshard.get_cluster_version(text), get_cluster_partitions(text) and
 * get_cluster_config(text).  They run by SPI with the rights of the current user.
 *
 * How often the version is asked for depends on the function's volatility: IMMUTABLE,
 * when a map is made; STABLE, once in each statement of the client, and again when the
 * transaction has changed something since; VOLATILE, in each call.  A change of the
 * functions themselves outdates all maps.
 *
 * Plans, and when a version was checked, are kept for the rest of the session.
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/compat.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "cluster/cluster_callbacks.h"
#include "cluster/cluster_static.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/value.h"
#include "storage/proc.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/formatting.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

typedef enum Callback
{
	GET_VERSION,
	GET_PARTITIONS,
	GET_CONFIG,					/* the only one that need not be there */
	NUM_CALLBACKS
} Callback;

static const char *const callback_names[NUM_CALLBACKS] = {
	"get_cluster_version", "get_cluster_partitions", "get_cluster_config"
};

static const char *const callback_sql[NUM_CALLBACKS] = {
	"SELECT " PLSHARD_SCHEMA ".get_cluster_version($1)::pg_catalog.int8",
	"SELECT * FROM " PLSHARD_SCHEMA ".get_cluster_partitions($1)",
	"SELECT * FROM " PLSHARD_SCHEMA ".get_cluster_config($1)"
};

/* When a version was checked: it is checked again once one of these differs. */
typedef struct VersionCheck
{
	LocalTransactionId transaction;
	TimestampTz statement;
	CommandId	command;
	bool		immutable;
} VersionCheck;

static SPIPlanPtr plans[NUM_CALLBACKS];

/* Syscache hash values of the functions' names, to recognize them in invalidations. */
static uint32 watched[NUM_CALLBACKS];
static Oid	watched_schema = InvalidOid;
static void (*report_change) (void) = NULL;

/* ---- the functions ---- */

/* A syscache invalidation callback; hash 0 stands for all functions. */
static void
function_changed(Datum arg, int cacheid, uint32 hash)
{
	if (!OidIsValid(watched_schema))
		return;
	for (int i = 0; i < NUM_CALLBACKS; i++)
	{
		if (hash == 0 || watched[i] == hash)
		{
			report_change();
			return;
		}
	}
}

void
plshard_callbacks_init(void (*changed) (void))
{
	report_change = changed;
	CacheRegisterSyscacheCallback(PROCNAMEARGSNSP, function_changed, 0);
}

/* The OID of a callback function, InvalidOid if there is none; watches the names from now on. */
static Oid
callback_oid(Callback callback)
{
	Oid			schema = get_namespace_oid(PLSHARD_SCHEMA, false);
	Oid			argument = TEXTOID;
	oidvector  *arguments = buildoidvector(&argument, 1);
	Oid			oid;

	if (schema != watched_schema)
	{
		for (int i = 0; i < NUM_CALLBACKS; i++)
			watched[i] = GetSysCacheHashValue3(PROCNAMEARGSNSP,
											   CStringGetDatum(callback_names[i]),
											   PointerGetDatum(arguments),
											   ObjectIdGetDatum(schema));
		watched_schema = schema;
	}
	oid = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid,
						  CStringGetDatum(callback_names[callback]),
						  PointerGetDatum(arguments), ObjectIdGetDatum(schema));
	pfree(arguments);
	return oid;
}

bool
plshard_callbacks_exist(void)
{
	return OidIsValid(callback_oid(GET_VERSION)) && OidIsValid(callback_oid(GET_PARTITIONS));
}

void
plshard_callbacks_check_usage(const SessionCluster *cluster, Oid userid)
{
	for (int i = 0; i < NUM_CALLBACKS; i++)
	{
		Oid			function = callback_oid(i);
		AclResult	result;

		if (!OidIsValid(function) && i == GET_CONFIG)
			continue;
		if (!OidIsValid(function))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("cluster \"%s\" does not exist", cluster->text),
					 errdetail("There is no function %s.%s(text).",
							   PLSHARD_SCHEMA, callback_names[i])));
		result = object_aclcheck(ProcedureRelationId, function, userid, ACL_EXECUTE);
		if (result != ACLCHECK_OK)
			aclcheck_error(result, OBJECT_FUNCTION, callback_names[i]);
	}
}

/*
 * Runs a callback within SPI_connect; the rows are in SPI_tuptable.  It sees what is
 * committed by now, and what the transaction itself has done.
 */
static void
run_callback(Callback callback, const char *name)
{
	Oid			type = TEXTOID;
	Datum		value = CStringGetTextDatum(name);
	int			code;

	if (plans[callback] == NULL)
	{
		SPIPlanPtr	plan = SPI_prepare(callback_sql[callback], 1, &type);

		if (plan == NULL)
			elog(ERROR, "SPI_prepare returned %s", SPI_result_code_string(SPI_result));
		SPI_keepplan(plan);
		plans[callback] = plan;
	}
	code = SPI_execute_plan(plans[callback], &value, NULL, true, 0);
	if (code != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_plan returned %s", SPI_result_code_string(code));
}

static void
callback_error_callback(void *arg)
{
	errcontext("definition of cluster \"%s\" by callback functions", (const char *) arg);
}

/* Prepares for run_callback; *context is in use until end_callbacks. */
static void
begin_callbacks(ErrorContextCallback *context, const char *name)
{
	context->callback = callback_error_callback;
	context->arg = unconstify(char *, name);
	context->previous = error_context_stack;
	error_context_stack = context;
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
}

static void
end_callbacks(ErrorContextCallback *context)
{
	PopActiveSnapshot();
	SPI_finish();
	error_context_stack = context->previous;
}

/* ---- the version ---- */

/* True if the version need not be asked for again. */
static bool
already_checked(const VersionCheck *check)
{
	return check->immutable ||
		(check->transaction == plshard_local_xid() &&
		 check->statement == GetCurrentStatementStartTimestamp() &&
		 check->command == GetCurrentCommandId(false));
}

/* Returns the cluster's version, and notes how long it need not be asked for again. */
static int64
read_version(SessionCluster *cluster)
{
	bool		isnull;
	Datum		version;
	char		volatility = func_volatile(callback_oid(GET_VERSION));

	if (cluster->check == NULL)
		cluster->check = MemoryContextAlloc(CacheMemoryContext, sizeof(VersionCheck));
	cluster->check->transaction = InvalidLocalTransactionId;
	cluster->check->immutable = false;

	run_callback(GET_VERSION, cluster->text);
	if (SPI_processed != 1)
		ereport(ERROR,
				(errcode(ERRCODE_CARDINALITY_VIOLATION),
				 errmsg("function %s.get_cluster_version must return one version",
						PLSHARD_SCHEMA)));
	version = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("cluster \"%s\" does not exist", cluster->text),
				 errdetail("%s.get_cluster_version returned null.", PLSHARD_SCHEMA)));

	cluster->check->immutable = volatility == PROVOLATILE_IMMUTABLE;
	if (volatility == PROVOLATILE_STABLE)
	{
		cluster->check->transaction = plshard_local_xid();
		cluster->check->statement = GetCurrentStatementStartTimestamp();
		cluster->check->command = GetCurrentCommandId(false);
	}
	return DatumGetInt64(version);
}

bool
plshard_callbacks_current(const ClusterMap *map)
{
	SessionCluster *cluster = plshard_session_cluster_by_ref(map->ref);
	ErrorContextCallback error_context;
	int64		version;

	if (already_checked(cluster->check))
		return true;
	begin_callbacks(&error_context, cluster->text);
	version = read_version(cluster);
	end_callbacks(&error_context);
	return version == map->epoch;
}

/* ---- the map ---- */

/* Errors 42804 unless the rows of the last callback have that many columns, of any type. */
static void
check_columns(Callback callback, int ncolumns)
{
	if (SPI_tuptable->tupdesc->natts != ncolumns)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("function %s.%s returns the wrong number of columns", PLSHARD_SCHEMA,
						callback_names[callback]),
				 errdetail("Expected are %d, not %d.", ncolumns, SPI_tuptable->tupdesc->natts)));
}

/* The conninfos of the partitions. */
static const char **
read_partitions(const char *name, int *n)
{
	const char **conninfos;

	run_callback(GET_PARTITIONS, name);
	check_columns(GET_PARTITIONS, 1);
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cluster \"%s\" has no partitions", name),
				 errdetail("%s.get_cluster_partitions returned no rows.", PLSHARD_SCHEMA)));
	if (SPI_processed > PG_UINT16_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("cluster \"%s\" has too many partitions", name)));

	*n = SPI_processed;
	conninfos = palloc(*n * sizeof(char *));
	for (int i = 0; i < *n; i++)
	{
		conninfos[i] = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
		if (conninfos[i] == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("partition %d of cluster \"%s\" is null", i, name)));
	}
	return conninfos;
}

/* Reads the options that get_cluster_config returns, if it exists. */
static void
read_config(const char *name, ClusterOptions *options)
{
	Oid			function = callback_oid(GET_CONFIG);
	HeapTuple	tuple;
	bool		trusted;

	plshard_default_options(options);
	if (!OidIsValid(function))
		return;
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	trusted = superuser_arg(((Form_pg_proc) GETSTRUCT(tuple))->proowner);
	ReleaseSysCache(tuple);

	run_callback(GET_CONFIG, name);
	check_columns(GET_CONFIG, 2);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		char	   *key = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
		char	   *value = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2);
		DefElem    *option;

		if (key == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("a configuration key of cluster \"%s\" is null", name)));
		/* as in PL/Proxy: in any letter case, and NULL is the default */
		option = makeDefElem(asc_tolower(key, strlen(key)),
							 (Node *) makeString(value ? value : pstrdup("")), -1);
		plshard_set_option(options, option, OPTION_OF_CALLBACK);
		if (!trusted && plshard_option_needs_superuser(option))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("only a superuser may set option \"%s\" to %s", key, value),
					 errhint("Let a superuser own function %s.get_cluster_config(text).",
							 PLSHARD_SCHEMA)));
	}
}

ClusterMap *
plshard_callbacks_load(SessionCluster *cluster, MemoryContext context)
{
	ErrorContextCallback error_context;
	ClusterOptions options;
	ClusterMap *map;
	const char **conninfos;
	int64		version;
	int			n;

	begin_callbacks(&error_context, cluster->text);
	version = read_version(cluster);
	read_config(cluster->text, &options);
	conninfos = read_partitions(cluster->text, &n);
	map = plshard_static_map(CLUSTER_CALLBACKS, cluster->ref, cluster->text, &options,
							 n, conninfos, context);
	map->epoch = version;
	end_callbacks(&error_context);
	return map;
}
