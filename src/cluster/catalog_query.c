/*
 * catalog_query.c
 *
 * SQL on the registry's tables, by SPI.  Results are allocated in the caller's
 * memory context.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "cluster/catalog_query.h"
#include "cluster/map.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#define MAX_QUERY_PARAMS 6

/* The owner of the registry's tables. */
static Oid
catalog_owner(void)
{
	Oid			relation = get_relname_relid("cluster", get_namespace_oid(PLSHARD_SCHEMA, false));
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table \"%s.cluster\" does not exist", PLSHARD_SCHEMA)));
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

char *
plshard_catalog_query(const char *sql, int nparams, const char *const *params)
{
	MemoryContext context = CurrentMemoryContext;
	Oid			types[MAX_QUERY_PARAMS];
	Datum		values[MAX_QUERY_PARAMS];
	char		nulls[MAX_QUERY_PARAMS];
	Oid			user;
	int			sec_context;
	int			guc_level;
	int			code;
	char	   *result = NULL;

	Assert(nparams <= MAX_QUERY_PARAMS);
	for (int i = 0; i < nparams; i++)
	{
		types[i] = TEXTOID;
		nulls[i] = params[i] ? ' ' : 'n';
		values[i] = params[i] ? CStringGetTextDatum(params[i]) : (Datum) 0;
	}

	SPI_connect();
	/* as the checks of foreign keys do; an error undoes both with the transaction */
	GetUserIdAndSecContext(&user, &sec_context);
	SetUserIdAndSecContext(catalog_owner(),
						   sec_context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
	guc_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	code = SPI_execute_with_args(sql, nparams, types, values, nulls, false, 0);
	AtEOXact_GUC(true, guc_level);
	SetUserIdAndSecContext(user, sec_context);
	if (code < 0)
		elog(ERROR, "SPI_execute_with_args returned %s: %s", SPI_result_code_string(code), sql);

	if (SPI_tuptable != NULL && SPI_processed > 0)
	{
		char	   *value = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);

		if (value != NULL)
			result = MemoryContextStrdup(context, value);
	}
	SPI_finish();
	return result;
}
