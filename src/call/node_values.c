/*
 * node_values.c
 *
 * The values that replicas must not compute for themselves.  A call's ids are a
 * block of consecutive ones of plshard.unique_id(), from which the nodes count up.
 * How many a call needs is not known: each function begins with a few, and is
 * started anew with more where they do not last (error PS003 of the node).
 *
 * Blocks live as long as the execution, in the call's context.
 */
#include "postgres.h"

#include "access/xact.h"
#include "call/node_values.h"
#include "catalog/pg_type_d.h"
#include "cluster/node_schema.h"
#include "cluster/unique_id.h"
#include "connection/pipeline.h"
#include "connection/statements.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* How many ids a call of a function gets at first, and at most. */
#define FIRST_IDS 16
#define MAX_IDS (FIRST_IDS << 16)

static const char values_sql[] =
"SELECT pg_catalog.set_config('plshard_node.now', $1, true), "
"pg_catalog.set_config('plshard_node.next_id', $2, true), "
"pg_catalog.set_config('plshard_node.last_id', $3, true)";

/* The transaction's time, as text that is read alike under all settings. */
static const char *
transaction_time(void)
{
	return timestamptz_to_str(GetCurrentTransactionStartTimestamp());
}

char *
plshard_node_now_command(void)
{
	return psprintf("SELECT pg_catalog.set_config('plshard_node.now', %s, true)",
					quote_literal_cstr(transaction_time()));
}

/* The first of the ids of a task's shard. */
static int64
first_id(Execution *e, int target)
{
	int		   *limit = e->request->id_limit;

	*limit = Max(*limit, FIRST_IDS);
	if (e->first_ids == NULL)
		e->first_ids = palloc0(sizeof(int64) * e->request->ntargets);
	if (e->first_ids[target] == 0)
		e->first_ids[target] = plshard_take_unique_ids(*limit);
	return e->first_ids[target];
}

void
plshard_send_node_values(Execution *e, const Task *task)
{
	static const Oid types[3] = {TEXTOID, TEXTOID, TEXTOID};
	int			needed = e->map->node_values | e->request->query->node_values;
	char		next[MAXINT8LEN + 1] = "";
	char		last[MAXINT8LEN + 1] = "";
	const char *values[3] = {"", next, last};
	const int	zeros[3] = {0, 0, 0};
	const RemoteParams params = {values, zeros, zeros};

	if (needed == 0)
		return;
	if (needed & NODE_VALUE_NOW)
		values[0] = transaction_time();
	if (needed & NODE_VALUE_ID)
	{
		int64		first = first_id(e, task->target);

		pg_lltoa(first, next);
		pg_lltoa(first + (*e->request->id_limit - 1) * UNIQUE_ID_STEP, last);
	}
	plshard_conn_send_prepared(task->conn, QUERY_NODE_VALUES, e->map->shards[task->shard].id, values_sql, 3, types, &params, 0,
							   PENDING_SETTING, unconstify(Task *, task), 0, false);
}

bool
plshard_raise_id_limit(Execution *e)
{
	if (*e->request->id_limit >= MAX_IDS)
		return false;
	*e->request->id_limit <<= 4;
	return true;
}
