/*
 * cluster.c
 *
 * The cache of cluster maps, and look-ups in a map.  Each map has a memory
 * context of its own, under CacheMemoryContext once it is complete; an
 * invalidation only marks it, and what is marked is freed at the end of the
 * top-level transaction, when nobody can hold a pointer to it.
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/compat.h"
#include "catalog/pg_foreign_server.h"
#include "cluster/cluster_static.h"
#include "cluster/conninfo.h"
#include "connection/connection.h"
#include "foreign/foreign.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

/* The newest map of a cluster. */
typedef struct CacheEntry
{
	ClusterRef	ref;			/* hash key */
	ClusterMap *map;
	Oid			usage_user;		/* found to have the right to use it ... */
	uint64		usage_generation;	/* ... while usage_generation was this */
} CacheEntry;

/* A map that is not freed yet; allocated in the map's own context. */
typedef struct LiveMap
{
	dlist_node	link;
	ClusterMap *map;
} LiveMap;

static HTAB *cache = NULL;
static dlist_head live_maps = DLIST_STATIC_INIT(live_maps);
static bool have_outdated_maps = false;

/* Moves with each invalidation of maps: one that comes while a map is read is seen. */
static uint64 map_generation = 0;

/* Moves when rights may have changed. */
static uint64 usage_generation = 0;

static void
invalidate_maps(void)
{
	dlist_iter	iter;

	map_generation++;
	plshard_conninfo_generation++;
	dlist_foreach(iter, &live_maps)
		dlist_container(LiveMap, link, iter.cur)->map->valid = false;
	have_outdated_maps = true;
}

static void
relation_changed(Datum arg, Oid relation)
{
	if (!OidIsValid(relation) || plshard_catalog_uses(relation))
		invalidate_maps();
}

/* A server, or the wrapper that it belongs to. */
static void
server_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	usage_generation++;
	invalidate_maps();
}

static void
role_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	usage_generation++;
	plshard_conninfo_generation++;
}

/* The functions that define clusters. */
static void
callbacks_changed(void)
{
	usage_generation++;
	invalidate_maps();
}

static void
mapping_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	plshard_conninfo_generation++;
}

/* Frees the maps that an invalidation has hit; never throws. */
static void
free_outdated_maps(XactEvent event, void *arg)
{
	HASH_SEQ_STATUS scan;
	CacheEntry *entry;
	dlist_mutable_iter iter;

	if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PARALLEL_PRE_COMMIT ||
		event == XACT_EVENT_PRE_PREPARE || !have_outdated_maps)
		return;

	have_outdated_maps = false;
	hash_seq_init(&scan, cache);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		if (!entry->map->valid)
			hash_search(cache, &entry->ref, HASH_REMOVE, NULL);
	}
	dlist_foreach_modify(iter, &live_maps)
	{
		ClusterMap *map = dlist_container(LiveMap, link, iter.cur)->map;

		if (!map->valid)
		{
			dlist_delete(iter.cur);
			MemoryContextDelete(map->context);
		}
	}
}

void
plshard_cluster_init(void)
{
	HASHCTL		control = {.keysize = sizeof(ClusterRef), .entrysize = sizeof(CacheEntry)};

	cache = hash_create("plshard clusters", 16, &control, HASH_ELEM | HASH_BLOBS);

	CacheRegisterRelcacheCallback(relation_changed, 0);
	CacheRegisterSyscacheCallback(FOREIGNSERVEROID, server_changed, 0);
	CacheRegisterSyscacheCallback(FOREIGNDATAWRAPPEROID, server_changed, 0);
	CacheRegisterSyscacheCallback(AUTHOID, role_changed, 0);
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, role_changed, 0);
	CacheRegisterSyscacheCallback(USERMAPPINGOID, mapping_changed, 0);
	plshard_callbacks_init(callbacks_changed);
	RegisterXactCallback(free_outdated_maps, NULL);
}

static bool
is_plshard_server(Oid server_oid)
{
	ForeignServer *server = GetForeignServer(server_oid);
	ForeignDataWrapper *wrapper = GetForeignDataWrapper(server->fdwid);

	return strcmp(wrapper->fdwname, PLSHARD_FDW_NAME) == 0;
}

Oid
plshard_cluster_oid(const char *name, bool missing_ok)
{
	Oid			server_oid = get_foreign_server_oid(name, true);

	if (OidIsValid(server_oid) && is_plshard_server(server_oid))
		return server_oid;
	if (!missing_ok)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("cluster \"%s\" does not exist", name),
				 OidIsValid(server_oid)
				 ? errdetail("A foreign server has that name, but its wrapper is not \"%s\".",
							 PLSHARD_FDW_NAME)
				 : 0));
	return InvalidOid;
}

ClusterRef
plshard_cluster_find(const char *name)
{
	Oid			server_oid = plshard_cluster_oid(name, true);

	if (OidIsValid(server_oid))
		return server_oid;
	if (plshard_callbacks_exist())
		return plshard_session_cluster(CLUSTER_CALLBACKS, name)->ref;
	return plshard_cluster_oid(name, false);
}

static void
check_usage(ClusterRef ref, Oid userid)
{
	ForeignServer *server;
	AclResult	result;

	if (ref >= FIRST_SESSION_CLUSTER)
	{
		SessionCluster *cluster = plshard_session_cluster_by_ref(ref);

		if (cluster->kind == CLUSTER_CALLBACKS)
			plshard_callbacks_check_usage(cluster, userid);
		return;
	}

	server = GetForeignServerExtended(ref, FSV_MISSING_OK);
	if (server == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("cluster with OID %u does not exist", (Oid) ref)));
	result = object_aclcheck(ForeignServerRelationId, ref, userid, ACL_USAGE);
	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_FOREIGN_SERVER, server->servername);
}

/* Which provider reads a cluster is decided here. */
static ClusterMap *
load_map(ClusterRef ref, MemoryContext context)
{
	ClusterOptions options;

	if (ref >= FIRST_SESSION_CLUSTER)
	{
		SessionCluster *cluster = plshard_session_cluster_by_ref(ref);

		return cluster->kind == CLUSTER_CALLBACKS ? plshard_callbacks_load(cluster, context) :
			plshard_connect_load(cluster, context);
	}
	plshard_cluster_options(ref, &options);
	return options.is_catalog ? plshard_catalog_load(ref, context) :
		plshard_server_load(ref, context);
}

/*
 * Reads a map and makes it the cluster's newest.  From the first step that
 * changes the cache on, nothing can throw, so a failed load leaves no trace.
 */
static CacheEntry *
load_entry(ClusterRef ref)
{
	uint64		generation = map_generation;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "plshard cluster",
												  ALLOCSET_DEFAULT_SIZES);
	ClusterMap *map = load_map(ref, context);
	LiveMap    *live = MemoryContextAlloc(context, sizeof(LiveMap));
	CacheEntry *entry;
	bool		found;

	MemoryContextSetIdentifier(context, map->name);
	entry = hash_search(cache, &ref, HASH_ENTER, &found);
	entry->map = map;
	entry->usage_user = InvalidOid;
	live->map = map;
	dlist_push_head(&live_maps, &live->link);
	MemoryContextSetParent(context, CacheMemoryContext);
	if (!map->in_registry)
		plshard_conn_close_others(map);

	/* outdated while it was read: good for this call only, which began before */
	map->valid = (generation == map_generation);
	return entry;
}

bool
plshard_map_is_current(const ClusterMap *map)
{
	return map->valid &&
		(map->kind != CLUSTER_CALLBACKS || plshard_callbacks_current(map));
}

/* Marks a cluster's newest map as outdated, so that the next use reads it anew. */
static void
drop_map(CacheEntry *entry)
{
	if (!entry->map->valid)
		return;
	entry->map->valid = false;
	have_outdated_maps = true;
	plshard_conninfo_generation++;
}

/* The cluster's newest map, read if need be. */
static CacheEntry *
current_entry(ClusterRef ref)
{
	CacheEntry *entry = hash_search(cache, &ref, HASH_FIND, NULL);

	/* a server that is gone: what this transaction did there still has to end */
	if (entry != NULL && ref < FIRST_SESSION_CLUSTER &&
		!SearchSysCacheExists1(FOREIGNSERVEROID, ObjectIdGetDatum(ref)))
		return entry;
	if (entry == NULL || !entry->map->valid)
		entry = load_entry(ref);
	return entry;
}

ClusterMap *
plshard_cluster_map(ClusterRef ref)
{
	Oid			userid = GetUserId();
	uint64		generation;
	CacheEntry *entry = hash_search(cache, &ref, HASH_FIND, NULL);
	bool		usable = entry != NULL && entry->usage_user == userid &&
		entry->usage_generation == usage_generation;

	if (!usable)
	{
		generation = usage_generation;
		check_usage(ref, userid);
	}
	else
		generation = entry->usage_generation;

	if (entry != NULL && !plshard_map_is_current(entry->map))
		drop_map(entry);
	if (usable && entry->map->valid)
		return entry->map;

	entry = current_entry(ref);
	entry->usage_user = userid;
	entry->usage_generation = generation;
	return entry->map;
}

ClusterMap *
plshard_catalog_map(Oid server_oid)
{
	ClusterMap *map = plshard_cluster_map(server_oid);

	if (!map->in_registry)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cluster \"%s\" has no nodes and shards in the registry", map->name),
				 errdetail("Its partitions are options of its server."),
				 errhint("Create clusters by plshard.create_cluster.")));
	return map;
}

ClusterMap *
plshard_cluster_map_unchecked(ClusterRef ref)
{
	CacheEntry *entry = hash_search(cache, &ref, HASH_FIND, NULL);

	if (entry != NULL && !entry->map->in_registry)
		return entry->map;
	return current_entry(ref)->map;
}

ClusterMap *
plshard_cluster_reload(Oid server_oid)
{
	ClusterRef	ref = server_oid;
	CacheEntry *entry;

	/* first, or a message on its way would only cause another reload */
	AcceptInvalidationMessages();
	entry = hash_search(cache, &ref, HASH_FIND, NULL);
	if (entry != NULL)
		drop_map(entry);
	return current_entry(ref)->map;
}

ClusterMap *
plshard_connect_map(const char *conninfo)
{
	return plshard_cluster_map(plshard_session_cluster(CLUSTER_CONNECT, conninfo)->ref);
}

static int
shard_by_range(const ClusterMap *map, int32 hash)
{
	int			low = 0;
	int			high = map->nshards - 1;

	/* exact where all ranges are equal; else the search starts there */
	int			guess = ((uint64) ((int64) hash - PG_INT32_MIN) * map->nshards) >> 32;

	for (;;)
	{
		if (hash < map->shards[guess].min_value)
			high = guess - 1;
		else if (hash > map->shards[guess].max_value)
			low = guess + 1;
		else
			return guess;
		guess = low + (high - low) / 2;
	}
}

int
plshard_cluster_shard_of_hash(const ClusterMap *map, int64 hash)
{
	if (map->nshards == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cluster \"%s\" has no shards yet", map->name),
				 errhint("Create them by plshard.create_shards.")));

	switch (map->mapping)
	{
		case MAPPING_RANGES:
			if (hash < PG_INT32_MIN || hash > PG_INT32_MAX)
				ereport(ERROR,
						(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
						 errmsg("hash value " INT64_FORMAT " is out of range for type integer",
								hash)));
			return shard_by_range(map, (int32) hash);
		case MAPPING_MASK:
			return (int) (hash & (map->nshards - 1));
		case MAPPING_MODULUS:
			return abs((int) (hash % map->nshards));
	}
	elog(ERROR, "unexpected mapping %d", (int) map->mapping);
}

int
plshard_cluster_shard_index(const ClusterMap *map, int64 shard_id)
{
	if (map->nshards > 0)
	{
		/* shards that were made together have consecutive ids */
		int64		guess = shard_id - map->shards[0].id;

		if (guess >= 0 && guess < map->nshards && map->shards[guess].id == shard_id)
			return guess;
	}
	for (int i = 0; i < map->nshards; i++)
	{
		if (map->shards[i].id == shard_id)
			return i;
	}
	return -1;
}

int
plshard_cluster_node_index(const ClusterMap *map, const char *name)
{
	for (int i = 0; i < map->nnodes; i++)
	{
		if (strcmp(map->nodes[i].name, name) == 0)
			return i;
	}
	return -1;
}

int
plshard_cluster_node_by_id(const ClusterMap *map, int32 node_id)
{
	int			low = 0;
	int			high = map->nnodes - 1;

	/* the order in which they were added is that of their ids */
	while (low <= high)
	{
		int			middle = low + (high - low) / 2;

		if (map->nodes[middle].id == node_id)
			return middle;
		if (map->nodes[middle].id < node_id)
			low = middle + 1;
		else
			high = middle - 1;
	}
	return -1;
}

bool
plshard_cluster_has_active(const ClusterMap *map, int64 shard_id, int32 node_id)
{
	int			shard = plshard_cluster_shard_index(map, shard_id);

	for (int i = 0; shard >= 0 && i < map->shards[shard].nactive; i++)
	{
		if (map->nodes[plshard_placement(map, shard, i)->node].id == node_id)
			return true;
	}
	return false;
}
