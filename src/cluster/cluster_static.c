/*
 * cluster_static.c
 *
 * Makes the maps of static clusters.  Maps are allocated in the context that the
 * caller names; the numbers of nodes last as long as the session, below
 * CacheMemoryContext.
 */
#include "postgres.h"

#include "cluster/cluster_static.h"
#include "cluster/conninfo.h"
#include "common/hashfn.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

/* ---- nodes ---- */

/*
 * A node keeps its number for the whole session, also if its partition's number
 * changes: connections and transactions on it are found by it.
 */
typedef struct NodeKey
{
	ClusterRef	ref;
	uint64		identity;
} NodeKey;

typedef struct NodeEntry
{
	NodeKey		key;			/* hash key, must be first */
	int32		id;
} NodeEntry;

static HTAB *node_ids = NULL;	/* of NodeEntry */

/* The number of a node, assigned at its first use. */
static int32
node_id(ClusterRef ref, uint64 identity)
{
	NodeKey		key = {ref, identity};
	NodeEntry  *entry;
	bool		found;

	if (node_ids == NULL)
	{
		HASHCTL		control = {
			.keysize = sizeof(NodeKey),
			.entrysize = sizeof(NodeEntry),
			.hcxt = CacheMemoryContext
		};

		node_ids = hash_create("plshard static nodes", 32, &control,
							   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	entry = hash_search(node_ids, &key, HASH_ENTER, &found);
	if (!found)
		entry->id = hash_get_num_entries(node_ids);
	return entry->id;
}

/* A hash of a conninfo; never 0, which stands for no node. */
static uint64
conninfo_identity(const char *conninfo)
{
	return hash_bytes_extended((const unsigned char *) conninfo, strlen(conninfo), 0) | 1;
}

/* For qsort: by id. */
static int
compare_nodes(const void *a, const void *b)
{
	int32		x = ((const ClusterNode *) a)->id;
	int32		y = ((const ClusterNode *) b)->id;

	return (x > y) - (x < y);
}

/* ---- maps ---- */

static void
partition_error_callback(void *arg)
{
	errcontext("partition %d", *(const int *) arg);
}

void
plshard_check_static(ClusterKind kind, int n, const char *const *conninfos, bool modular_mapping)
{
	int			partition;
	ErrorContextCallback callback = {
		.previous = error_context_stack,
		.callback = partition_error_callback,
		.arg = &partition
	};

	Assert(n > 0);
	if (kind != CLUSTER_CONNECT)
		error_context_stack = &callback;
	for (partition = 0; partition < n; partition++)
		plshard_validate_conninfo(conninfos[partition], kind);
	error_context_stack = callback.previous;

	if (!modular_mapping && (n & (n - 1)) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("number of partitions must be a power of two"),
				 errdetail("There are %d.", n),
				 errhint("Set modular_mapping to true to use any number, with abs(hash %% n).")));
}

/* Makes the partitions' nodes, by id, each once and named after its first partition. */
static void
make_nodes(ClusterMap *map, int n, const char *const *conninfos)
{
	int			nnodes = 0;

	map->nodes = palloc0(n * sizeof(ClusterNode));
	for (int i = 0; i < n; i++)
	{
		uint64		identity = conninfo_identity(conninfos[i]);
		int32		id = node_id(map->ref, identity);
		ClusterNode *node = &map->nodes[nnodes];

		/* only an id out of order can be one that is there already */
		if (nnodes > 0 && id <= map->nodes[nnodes - 1].id)
		{
			bool		known = false;

			for (int j = 0; j < nnodes && !known; j++)
				known = map->nodes[j].id == id;
			if (known)
				continue;
		}
		node->id = id;
		node->identity = identity;
		node->name = map->kind == CLUSTER_CONNECT ? pstrdup(map->name) : psprintf("p%d", i);
		node->conninfo = pstrdup(conninfos[i]);
		nnodes++;
	}
	map->nnodes = nnodes;
	qsort(map->nodes, nnodes, sizeof(ClusterNode), compare_nodes);
}

ClusterMap *
plshard_static_map(ClusterKind kind, ClusterRef ref, const char *name,
				   const ClusterOptions *options,
				   int n, const char *const *conninfos, MemoryContext context)
{
	MemoryContext old;
	ClusterMap *map;

	plshard_check_static(kind, n, conninfos, options->modular_mapping);

	old = MemoryContextSwitchTo(context);
	map = palloc0(sizeof(ClusterMap));
	map->context = context;
	map->kind = kind;
	map->ref = ref;
	map->name = pstrdup(name);
	map->options = *options;
	map->options.commit = COMMIT_FAST;
	map->runs_anywhere = true;
	make_nodes(map, n, conninfos);

	map->mapping = options->modular_mapping ? MAPPING_MODULUS : MAPPING_MASK;
	map->nshards = n;
	map->shards = palloc0(n * sizeof(ClusterShard));
	map->placements = palloc0(n * sizeof(ClusterPlacement));
	for (int i = 0; i < n; i++)
	{
		int32		id = node_id(ref, conninfo_identity(conninfos[i]));

		map->shards[i].id = i;
		map->shards[i].first_placement = i;
		map->shards[i].nplacements = 1;
		map->shards[i].nactive = 1;
		map->placements[i].node = plshard_cluster_node_by_id(map, id);
		map->placements[i].state = PLACEMENT_ACTIVE;
	}
	MemoryContextSwitchTo(old);
	return map;
}

ClusterMap *
plshard_connect_load(SessionCluster *cluster, MemoryContext context)
{
	ClusterOptions options;

	plshard_wrapper_options(&options);
	return plshard_static_map(CLUSTER_CONNECT, cluster->ref, "CONNECT", &options,
							  1, &cluster->text, context);
}
