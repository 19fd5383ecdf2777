/*
 * guard.c
 *
 * Runs a piece of work whose error must not end the whole command: one shard
 * of a repair, one node of a verification.  A subtransaction makes it safe to
 * go on after any error.  Works in the caller's memory context.
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
