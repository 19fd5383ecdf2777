/*
 * front_decision.c
 *
 * The rows by which this front's own commit decides distributed transactions.  A row that
 * is not needed any more is deleted with the session's next decision; recovery deletes
 * what a session leaves when it ends.  The names of such rows are kept in static memory.
 */
#include "postgres.h"

#include "access/xact.h"
#include "cluster/catalog_query.h"
#include "cluster/gid.h"
#include "lib/stringinfo.h"
#include "transaction/front_decision.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"

#define MAX_RESOLVED 8

static char resolved[MAX_RESOLVED][PLSHARD_PREPARED_NAME_SIZE];
static int	nresolved = 0;

void
plshard_front_decide(List *gids)
{
	StringInfoData new;
	StringInfoData old;
	ListCell   *cell;
	const char *params[2];

	/* gids need no quotes in an array's text */
	initStringInfo(&new);
	foreach(cell, gids)
		appendStringInfo(&new, "%c%s", new.len ? ',' : '{', (char *) lfirst(cell));
	appendStringInfoChar(&new, '}');
	initStringInfo(&old);
	appendStringInfoChar(&old, '{');
	/* above READ COMMITTED a row that recovery has deleted would be a serialization failure */
	for (int i = 0; i < nresolved && !IsolationUsesXactSnapshot(); i++)
		appendStringInfo(&old, "%s%s", i > 0 ? "," : "", resolved[i]);
	appendStringInfoChar(&old, '}');

	params[0] = new.data;
	params[1] = old.data;
	PushActiveSnapshot(GetTransactionSnapshot());
	(void) plshard_catalog_query("WITH gone AS (DELETE FROM plshard.transaction WHERE gid = ANY ($2::text[]))"
								 " INSERT INTO plshard.transaction (gid) SELECT unnest($1::text[])",
								 2, params);
	PopActiveSnapshot();
	/* if this transaction fails, recovery deletes those rows */
	nresolved = 0;
	if (synchronous_commit < SYNCHRONOUS_COMMIT_ON)
		(void) set_config_option("synchronous_commit", "on", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_LOCAL, true, 0, false);
}

void
plshard_front_resolved(const char *gid)
{
	if (nresolved < MAX_RESOLVED)
		strlcpy(resolved[nresolved++], gid, PLSHARD_PREPARED_NAME_SIZE);
}
