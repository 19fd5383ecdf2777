/*
 * remote_result.c
 *
 * Results of nodes.  libpq allocates them with malloc; plshard_own_result makes a
 * memory context clear them.
 */
#include "postgres.h"

#include "connection/remote_error.h"
#include "connection/remote_result.h"
#include "utils/memutils.h"

static void
clear_result(void *arg)
{
	PQclear((PGresult *) arg);
}

PGresult *
plshard_own_result(PGresult *result)
{
	MemoryContextCallback *callback;

	if (result == NULL)
		return NULL;
	callback = MemoryContextAllocExtended(CurrentMemoryContext,
										  sizeof(MemoryContextCallback),
										  MCXT_ALLOC_NO_OOM);
	if (callback == NULL)
	{
		PQclear(result);
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	}
	callback->func = clear_result;
	callback->arg = result;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
	return result;
}

bool
plshard_has_shape(const PGresult *result, int nrows, int ncolumns, uint32 nullable)
{
	if (PQresultStatus(result) != PGRES_TUPLES_OK || PQnfields(result) != ncolumns ||
		(nrows != ANY_ROWS && PQntuples(result) != nrows))
		return false;
	for (int row = 0; row < PQntuples(result); row++)
	{
		for (int column = 0; column < ncolumns; column++)
		{
			if (PQgetisnull(result, row, column) && !(nullable & NULLABLE(column)))
				return false;
		}
	}
	return true;
}

void
plshard_check_shape(const PGresult *result, const char *node_name,
					int nrows, int ncolumns, uint32 nullable)
{
	RemoteErrorContext where = {.node_name = node_name};

	if (plshard_has_shape(result, nrows, ncolumns, nullable))
		return;
	if (PQresultStatus(result) == PGRES_FATAL_ERROR)
		plshard_report_result(ERROR, result, &where);
	ereport(ERROR,
			(errcode(ERRCODE_PROTOCOL_VIOLATION),
			 errmsg("node \"%s\" returned a result of an unexpected shape", node_name),
			 errdetail("It has %d rows of %d columns, or NULL in a column that is never NULL.",
					   PQntuples(result), PQnfields(result))));
}
