/*
 * arguments.c
 *
 * Checks of the arguments of SQL functions.  Allocates nothing but messages.
 */
#include "postgres.h"

#include "base/arguments.h"
#include "utils/lsyscache.h"

void
plshard_refuse_nulls(FunctionCallInfo fcinfo)
{
	for (int i = 0; i < PG_NARGS(); i++)
	{
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("argument %d of %s must not be null", i + 1,
							get_func_name(fcinfo->flinfo->fn_oid))));
	}
}
