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
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

ErrorData *
plshard_guard(void (*function) (void *arg), void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	uint32		interrupts_held = InterruptHoldoffCount;
	uint32		cancels_held = QueryCancelHoldoffCount;
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
		/* the error has reset the counts; a commit may be under way, which holds them */
		InterruptHoldoffCount = interrupts_held;
		QueryCancelHoldoffCount = cancels_held;
	}
	PG_END_TRY();

	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return error;
}

void
plshard_rethrow(ErrorData *error)
{
	InterruptHoldoffCount = 0;
	QueryCancelHoldoffCount = 0;
	ReThrowError(error);
}

bool
plshard_is_cancel(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_QUERY_CANCELED;
}
