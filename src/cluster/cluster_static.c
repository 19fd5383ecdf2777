/*
 * cluster_static.c
 *
 * What the providers of static clusters share: the clusters that have no foreign
 * server, and the making of a map.
 *
 * What is known for the rest of the session (numbers of clusters and nodes) is
 * below CacheMemoryContext; maps go to the context that the caller names.
 */
#include "postgres.h"

#include "cluster/cluster_static.h"
#include "cluster/conninfo.h"
#include "common/hashfn.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

/* ---- clusters without a server ---- */

typedef struct SessionKey
{
	ClusterKind kind;
	const char *text;
} SessionKey;

typedef struct SessionEntry
{
	SessionKey	key;			/* hash key, must be first */
	SessionCluster *cluster;
} SessionEntry;

static HTAB *by_text = NULL;
static SessionCluster **by_ref = NULL;
static int	nclusters = 0;
static int	room = 0;

static uint32
hash_session_key(const void *key, Size size)
{
	const SessionKey *k = key;

	return hash_combine(k->kind, hash_bytes((const unsigned char *) k->text, strlen(k->text)));
}

static int
match_session_keys(const void *a, const void *b, Size size)
{
	const SessionKey *x = a;
	const SessionKey *y = b;

	return x->kind == y->kind && strcmp(x->text, y->text) == 0 ? 0 : 1;
}

SessionCluster *
plshard_session_cluster(ClusterKind kind, const char *text)
{
	SessionKey	key = {kind, text};
	SessionEntry *entry;
	SessionCluster *cluster;
	char	   *copy;

	if (by_text == NULL)
	{
		HASHCTL		control = {
			.keysize = sizeof(SessionKey),
			.entrysize = sizeof(SessionEntry),
			.hash = hash_session_key,
			.match = match_session_keys,
			.hcxt = CacheMemoryContext
		};

		by_text = hash_create("plshard clusters without server", 16, &control,
							  HASH_ELEM | HASH_FUNCTION | HASH_COMPARE | HASH_CONTEXT);
	}
	entry = hash_search(by_text, &key, HASH_FIND, NULL);
	if (entry != NULL)
		return entry->cluster;

	if (nclusters == room)
	{
		int			more = Max(16, room * 2);

		by_ref = by_ref == NULL ?
			MemoryContextAlloc(CacheMemoryContext, more * sizeof(SessionCluster *)) :
			repalloc(by_ref, more * sizeof(SessionCluster *));
		room = more;
	}
	cluster = MemoryContextAllocZero(CacheMemoryContext,
									 sizeof(SessionCluster) + strlen(text) + 1);
	copy = (char *) (cluster + 1);
	strcpy(copy, text);
	cluster->kind = kind;
	cluster->text = key.text = copy;
	cluster->ref = FIRST_SESSION_CLUSTER + nclusters;
	entry = hash_search(by_text, &key, HASH_ENTER, NULL);
	entry->cluster = by_ref[nclusters++] = cluster;
	return cluster;
}

SessionCluster *
plshard_session_cluster_by_ref(ClusterRef ref)
{
	Assert(ref >= FIRST_SESSION_CLUSTER && ref - FIRST_SESSION_CLUSTER < nclusters);
	return by_ref[ref - FIRST_SESSION_CLUSTER];
}

/* ---- nodes ---- */

/*
 * A node keeps its number as long as the session, whatever place it gets in the
 * cluster: connections and transactions on it are found by that.
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

static HTAB *node_ids = NULL;

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

static uint64
conninfo_identity(const char *conninfo)
{
	/* 0 stands for no node */
	return hash_bytes_extended((const unsigned char *) conninfo, strlen(conninfo), 0) | 1;
}

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

/* The partitions' nodes by id, each once.  Named after its first partition. */
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

		/* in the order of their first use, which nearly always is the order of ids */
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
