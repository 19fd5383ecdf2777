/*
 * function.c
 *
 * How long a compiled function lives, and what it may do.  It is freed with its
 * memory context.
 */
#include "postgres.h"

#include "base/settings.h"
#include "language/function.h"
#include "miscadmin.h"
#include "utils/memutils.h"

void
plshard_use_function(PlshardFunction *function)
{
	function->use_count++;
}

void
plshard_forget_function(PlshardFunction *function)
{
	function->forgotten = true;
	if (function->use_count == 0)
		MemoryContextDelete(function->context);
}

void
plshard_release_function(PlshardFunction *function)
{
	Assert(function->use_count > 0);
	function->use_count--;
	if (function->forgotten && function->use_count == 0)
		MemoryContextDelete(function->context);
}

void
plshard_check_connect(const PlshardFunction *function)
{
	if (!superuser_arg(function->owner) && !plshard_connect_by_expression)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("only functions of superusers may compute what they connect to"),
				 errhint("A superuser can allow it to others by the setting plshard.connect_by_expression.")));
}
