/*
 * repair_resolve.c
 *
 * PROTOCOL rule 20: a node that becomes active again must not take part in a decision
 * that other nodes have made without it, so such transactions are resolved while it
 * is still inactive.  What is prepared there is rolled back: the copy replaces it.
 *
 * Everything is allocated in the current memory context, the job's.
 */
#include "postgres.h"

#include "cluster/locks.h"
#include "lib/stringinfo.h"
#include "maintenance/repair_resolve.h"
#include "nodes/pg_list.h"
#include "recovery/in_doubt.h"
#include "recovery/recover.h"
#include "utils/builtins.h"

/* How long a session on the destination may take to end (ms). */
#define END_TIMEOUT 5000

/* How long to wait for a transaction of a session that is alive (ms). */
#define RESOLVE_TIMEOUT 5000

/* Connects to all nodes with active placements and to the destination, which it returns. */
static RecoveryNode *
connect(RepairJob *job, RecoveryNodes *nodes)
{
	int			index = plshard_cluster_node_index(nodes->map, job->destination_name);
	RecoveryNode *destination;
	Bitmapset  *needed;

	if (index < 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("node \"%s\" does not exist in cluster \"%s\"", job->destination_name,
						nodes->map->name)));
	destination = plshard_recovery_node(nodes, nodes->map->nodes[index].id);
	needed = bms_add_member(bms_copy(nodes->current), destination->id);
	plshard_recovery_connect(nodes, needed);
	for (int i = 0; i < nodes->n; i++)
	{
		const RecoveryNode *node = &nodes->list[i];

		if (node->conn != NULL || !bms_is_member(node->id, needed))
			continue;
		ereport(ERROR,
				(errcode(node->sqlstate),
				 errmsg_internal("%s", node->message),
				 node == destination ? 0 :
				 errhint("A node with active placements may know of transactions in doubt. Start that node, or let a write to one of its shards take it out of the cluster; then repair again.")));
	}
	job->reached = true;
	return destination;
}

/* Resolves the transactions that name the destination, on nodes with active placements. */
static void
resolve_naming(RecoveryNodes *nodes, const RecoveryNode *destination)
{
	List	   *naming = NIL;
	char	   *message;
	ListCell   *lc;

	foreach(lc, plshard_prepared_parts(nodes))
	{
		PreparedPart *part = lfirst(lc);

		if (bms_is_member(destination->id, part->gid.participants) &&
			bms_is_member(part->node->id, nodes->current))
			naming = lappend(naming, part);
	}
	if (!plshard_resolve_parts(nodes, naming, RESOLVE_TIMEOUT, &message))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("a transaction in doubt that has written on node \"%s\" cannot be resolved now",
						destination->name),
				 errdetail_internal("%s", message),
				 errhint("View plshard.in_doubt shows it.")));
}

/* The lock keys of the shards that have a placement on the destination, as an SQL array. */
static char *
shard_keys(const ClusterMap *map, const char *destination_name)
{
	StringInfoData keys;

	initStringInfo(&keys);
	for (int shard = 0; shard < map->nshards; shard++)
	{
		for (int i = 0; i < map->shards[shard].nplacements; i++)
		{
			if (strcmp(map->nodes[plshard_placement(map, shard, i)->node].name, destination_name) == 0)
				appendStringInfo(&keys, "%s" INT64_FORMAT, keys.len > 0 ? "," : "",
								 plshard_shard_lock_key(map, map->shards[shard].id));
		}
	}
	return psprintf("'{%s}'::bigint[]", keys.data);
}

/* Terminates sessions that hold locks of placements there, which are inactive. */
static void
end_sessions(RecoveryNodes *nodes, RecoveryNode *destination)
{
	const PGresult *result;

	result = plshard_recovery_ask(nodes, destination,
								  psprintf("SELECT pg_terminate_backend(pid, %d) FROM (SELECT DISTINCT l.pid"
										   " FROM pg_locks l WHERE l.locktype = 'advisory' AND l.objsubid = 1"
										   " AND l.pid <> pg_backend_pid() AND l.database ="
										   " (SELECT oid FROM pg_database WHERE datname = current_database())"
										   " AND l.classid::bigint << 32 | l.objid::bigint = ANY (%s)) s",
										   END_TIMEOUT, shard_keys(nodes->map, destination->name)));
	if (result == NULL)
		ereport(ERROR,
				(errcode(destination->sqlstate),
				 errmsg_internal("%s", destination->message)));
	plshard_admin_check(destination->conn, result);
}

/* Rolls back what is left prepared on the destination. */
static void
roll_back_rest(RecoveryNodes *nodes, const RecoveryNode *destination)
{
	ListCell   *lc;

	foreach(lc, plshard_prepared_parts(nodes))
	{
		const PreparedPart *part = lfirst(lc);
		char	   *why = part->node == destination ? plshard_roll_back_part(nodes, part) : NULL;

		if (why != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("a prepared transaction on node \"%s\" cannot be rolled back", destination->name),
					 errdetail_internal("%s", why)));
	}
}

void
plshard_repair_resolve(RepairJob *job)
{
	RecoveryNodes *nodes = plshard_recovery_nodes(plshard_cluster_reload(job->server_oid));
	RecoveryNode *destination = connect(job, nodes);

	resolve_naming(nodes, destination);
	plshard_recovery_reload(nodes);
	if (!bms_is_member(destination->id, nodes->current))
	{
		end_sessions(nodes, destination);
		/* those sessions may have prepared parts on other nodes in the meantime */
		resolve_naming(nodes, destination);
		roll_back_rest(nodes, destination);
	}
	plshard_recovery_close(nodes);
}
