/*
 * guard.c
 *
 * Runs a part of a command that may fail without ending it, such as one shard of a
 * repair or one node of a verification, in a subtransaction.  Works in the caller's
 * memory context.
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/guard.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

ErrorData *
plshard_guard(void (*function) (void *arg), void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);

	PG_TRY();
	{
		function(arg);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();

	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return error;
}

bool
plshard_is_cancel(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_QUERY_CANCELED;
}
