/*
 * read_history.c
 *
 * Remembers for each shard from which node this session has read it last, below
 * CacheMemoryContext.  Between the COMMIT of a transaction's decider and the COMMIT
 * PREPARED elsewhere, its placements differ; a session that stays on one does not see that.
 *
 * A node is resolved once for all shards that move to it: what a session can have
 * seen elsewhere before was prepared there before.  Resolutions are counted, and a
 * read notes how many there had been.
 */
#include "postgres.h"

#include "nodes/pg_list.h"
#include "recovery/read_history.h"
#include "recovery/recover.h"
#include "utils/memutils.h"

typedef struct ShardRead
{
	int32		node_id;		/* 0: never read */
	uint32		resolutions;		/* how many there had been before */
} ShardRead;

typedef struct ResolvedNode
{
	int32		node_id;
	uint32		number;			/* of its last resolution */
} ResolvedNode;

typedef struct ReadHistory
{
	ClusterRef	cluster;
	int			nshards;
	ShardRead  *shards;			/* by their index in the map, which never changes */
	uint32		resolutions;
	List	   *nodes;			/* of ResolvedNode: few, mostly none */
} ReadHistory;

static List *histories = NIL;
static ReadHistory *last_used = NULL;

static ReadHistory *
find_history(const ClusterMap *map)
{
	MemoryContext caller;
	ListCell   *lc;

	if (last_used != NULL && last_used->cluster == map->ref && last_used->nshards == map->nshards)
		return last_used;

	last_used = NULL;
	foreach(lc, histories)
	{
		if (((ReadHistory *) lfirst(lc))->cluster == map->ref)
			last_used = lfirst(lc);
	}
	caller = MemoryContextSwitchTo(CacheMemoryContext);
	if (last_used == NULL)
	{
		ReadHistory *history = palloc0(sizeof(ReadHistory));

		history->cluster = map->ref;
		histories = lappend(histories, history);
		last_used = history;
	}
	if (last_used->nshards != map->nshards)
	{
		if (last_used->shards != NULL)
			pfree(last_used->shards);
		last_used->nshards = 0;
		last_used->shards = palloc0(map->nshards * sizeof(ShardRead));
		last_used->nshards = map->nshards;
	}
	MemoryContextSwitchTo(caller);
	return last_used;
}

static ResolvedNode *
find_resolved(ReadHistory *history, int32 node_id)
{
	MemoryContext caller;
	ResolvedNode *resolved;
	ListCell   *lc;

	foreach(lc, history->nodes)
	{
		resolved = lfirst(lc);
		if (resolved->node_id == node_id)
			return resolved;
	}
	caller = MemoryContextSwitchTo(CacheMemoryContext);
	resolved = palloc0(sizeof(ResolvedNode));
	resolved->node_id = node_id;
	history->nodes = lappend(history->nodes, resolved);
	MemoryContextSwitchTo(caller);
	return resolved;
}

/* A shard that is read from one node only never moves. */
static bool
may_move(const ClusterMap *map, int shard)
{
	return map->shards[shard].nplacements > 1;
}

void
plshard_before_read(const ClusterMap *map, int shard, int node, Deadline deadline)
{
	ReadHistory *history;
	const ShardRead *read;
	ResolvedNode *resolved;
	char	   *message;

	if (!may_move(map, shard))
		return;
	history = find_history(map);
	read = &history->shards[shard];
	if (read->node_id == 0 || read->node_id == map->nodes[node].id)
		return;
	resolved = find_resolved(history, map->nodes[node].id);
	if (resolved->number > read->resolutions)
		return;
	/* also where it is in vain, or each read would try it again */
	resolved->number = ++history->resolutions;
	if (deadline != NO_DEADLINE)
		deadline = (plshard_clock() + deadline) / 2;
	if (!plshard_recover_node(map, node, true, deadline, &message))
		ereport(DEBUG1,
				(errmsg_internal("what is in doubt on node \"%s\" could not be resolved before a read: %s",
								 map->nodes[node].name, message)));
}

void
plshard_note_read(const ClusterMap *map, int shard, int node)
{
	ReadHistory *history;

	if (!may_move(map, shard))
		return;
	history = find_history(map);
	history->shards[shard].node_id = map->nodes[node].id;
	history->shards[shard].resolutions = history->resolutions;
}
