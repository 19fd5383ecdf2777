/*
 * shard_lock.c
 *
 * Blocks the writers of one shard from outside of calls (PROTOCOL rule 1).
 * Allocates in the current memory context.
 */
#include "postgres.h"

#include "cluster/locks.h"
#include "cluster/node_schema.h"
#include "maintenance/shard_lock.h"

char *
plshard_lock_shard_command(const ClusterMap *map, int64 shard_id)
{
	/* the epoch in a statement of its own: it must not be older than the lock */
	return psprintf("BEGIN READ ONLY; SELECT pg_advisory_xact_lock(" INT64_FORMAT ");"
					" SELECT last_value FROM %s",
					plshard_shard_lock_key(map, shard_id), plshard_epoch_sequence(map));
}

bool
plshard_same_active_placements(const ClusterMap *a, const ClusterMap *b, int64 shard_id)
{
	int			shard_a = plshard_cluster_shard_index(a, shard_id);
	int			shard_b = plshard_cluster_shard_index(b, shard_id);

	if (shard_a < 0 || shard_b < 0 ||
		a->shards[shard_a].nactive != b->shards[shard_b].nactive)
		return false;
	for (int i = 0; i < a->shards[shard_a].nactive; i++)
	{
		if (a->nodes[plshard_placement(a, shard_a, i)->node].id !=
			b->nodes[plshard_placement(b, shard_b, i)->node].id)
			return false;
	}
	return true;
}

void
plshard_shard_restless(int64 shard_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("the placements of shard " INT64_FORMAT " change too often", shard_id),
			 errhint("Try again when no other repair is running.")));
}
