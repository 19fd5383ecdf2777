/*
 * repair_epoch.c
 *
 * The last step of a repair (PROTOCOL rule 20).  A node must refuse writes of
 * fronts whose maps lack the new placement before that placement is active,
 * so the nodes get the epoch first.  If the registry fails to follow, it is raised to
 * the epoch of the nodes later; no node ever has an epoch that the registry has
 * skipped, since an epoch is used for one attempt only.
 *
 * Every writer needs the shard's lock on the source: before the source has
 * the epoch it waits there, afterwards it is refused.  So no write is missed if the
 * lock is held until then; a source that has restarted has lost it.
 *
 * Connections live in a context of their own, below the current one.
 */
#include "postgres.h"

#include "base/guard.h"
#include "cluster/locks.h"
#include "cluster/node_schema.h"
#include "connection/remote_result.h"
#include "maintenance/repair_epoch.h"
#include "utils/memutils.h"

/* How long a node may take to store an epoch (ms). */
#define EPOCH_TIMEOUT 10000

/* The id, used for no shard, of the lock under which a node's epoch is raised. */
#define EPOCH_LOCK 0

/* Opens connections on all nodes that must get the epoch; returns how many. */
static int
open_connections(const ClusterMap *map, int destination_node, AdminConnection **conns)
{
	bool	   *wanted = palloc0(map->nnodes * sizeof(bool));
	int			n = 0;

	wanted[destination_node] = true;
	for (int shard = 0; shard < map->nshards; shard++)
	{
		for (int i = 0; i < map->shards[shard].nactive; i++)
			wanted[plshard_placement(map, shard, i)->node] = true;
	}
	for (int node = 0; node < map->nnodes; node++)
	{
		if (wanted[node])
			conns[n++] = plshard_admin_start(map, node);
	}
	return n;
}

/* Writes a new epoch to the nodes and returns it. */
static int64
raise_epoch(const ClusterMap *map, int destination_node, int64 seen_epoch, int64 *raised)
{
	AdminConnection **conns = palloc(map->nnodes * sizeof(AdminConnection *));
	PGresult  **results = palloc(map->nnodes * sizeof(PGresult *));
	char	   *sequence = plshard_epoch_sequence(map);
	int			n = open_connections(map, destination_node, conns);
	int64		epoch = Max(map->epoch, seen_epoch);

	plshard_admin_query_all(conns, n, psprintf("SELECT last_value FROM %s", sequence),
						   EPOCH_TIMEOUT, results);
	for (int i = 0; i < n; i++)
	{
		plshard_check_shape(results[i], conns[i]->node_name, 1, 1, 0);
		epoch = Max(epoch, strtoi64(PQgetvalue(results[i], 0, 0), NULL, 10));
	}
	epoch++;

	/* only upwards, also where two repairs meet */
	*raised = epoch;
	plshard_admin_query_all(conns, n,
						   psprintf("BEGIN; SELECT pg_advisory_xact_lock(" INT64_FORMAT ");"
									" SELECT setval('%s', " INT64_FORMAT ") FROM %s"
									" WHERE last_value < " INT64_FORMAT "; COMMIT",
									plshard_shard_lock_key(map, EPOCH_LOCK),
									sequence, epoch, sequence, epoch),
						   EPOCH_TIMEOUT, results);
	return epoch;
}

/* Rethrows an error of raise_epoch, with a hint. */
static void
rethrow_with_hint(void)
{
	ErrorData  *error = CopyErrorData();

	FlushErrorState();
	if (error->hint == NULL && !plshard_is_cancel(error))
		error->hint = pstrdup("Every node with active placements must know of the repair. Start that node, or let a write to one of its shards take it out of the cluster; then repair again.");
	ReThrowError(error);
}

RegistryOutcome
plshard_activate_at_new_epoch(const ClusterMap *map, int64 shard_id, int destination_node,
							  int64 seen_epoch, AdminConnection *source,
							  int64 *raised, char **message)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(caller, "plshard epoch",
												  ALLOCSET_SMALL_SIZES);
	RegistryOutcome outcome;
	int64		epoch = 0;

	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		epoch = raise_epoch(map, destination_node, seen_epoch, raised);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		rethrow_with_hint();
	}
	PG_END_TRY();
	/* a connection that still answers in its transaction has all its locks */
	(void) plshard_admin_query(source, "SELECT", 0, NULL);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);

	outcome = plshard_registry_activate(map, shard_id, map->nodes[destination_node].id,
										map->epoch, epoch, message);
	if (outcome == REGISTRY_DONE)
		*raised = 0;
	return outcome;
}
