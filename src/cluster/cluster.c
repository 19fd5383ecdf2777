/*
 * cluster.c
 *
 * The cache of cluster maps.  Each map has a memory context of its own, below
 * CacheMemoryContext once it is complete.  An invalidation only marks a map as
 * outdated; it is freed at the end of the top-level transaction, when there are no
 * pointers to it any more.
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/compat.h"
#include "catalog/pg_foreign_server.h"
#include "cluster/cluster.h"
#include "cluster/cluster_callbacks.h"
#include "cluster/cluster_catalog.h"
#include "cluster/cluster_server.h"
#include "cluster/cluster_static.h"
#include "cluster/conninfo.h"
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
	Oid			usage_user;		/* found to have the right to use it; InvalidOid: no user */
	uint64		usage_generation;	/* the usage_generation of that check */
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

/* Raised by each invalidation of maps, so that one during the reading of a map is noticed. */
static uint64 map_generation = 0;

/* Raised when privileges may have changed. */
static uint64 usage_generation = 0;

static void (*on_new_nodes) (const ClusterMap *map) = NULL;

/* Marks all maps as outdated. */
static void
invalidate_maps(void)
{
	dlist_iter	iter;

	map_generation++;
	plshard_conninfo_outdate();
	dlist_foreach(iter, &live_maps)
		dlist_container(LiveMap, link, iter.cur)->map->valid = false;
	have_outdated_maps = true;
}

/* ---- invalidation callbacks ---- */

static void
relation_changed(Datum arg, Oid relation)
{
	if (!OidIsValid(relation) || plshard_catalog_uses(relation))
		invalidate_maps();
}

/* Of a server, or of the wrapper that it belongs to. */
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
	plshard_conninfo_outdate();
}

/* Of the functions that define clusters. */
static void
callbacks_changed(void)
{
	usage_generation++;
	invalidate_maps();
}

static void
mapping_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	plshard_conninfo_outdate();
}

/* Frees the outdated maps at the end of the transaction. */
void
plshard_cluster_xact_event(XactEvent event)
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
}

void
plshard_on_new_nodes(void (*function) (const ClusterMap *map))
{
	on_new_nodes = function;
}

/* True for a foreign server of the wrapper plshard. */
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

/* Errors as plshard_cluster_map if a user may not use a cluster. */
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

/* Reads a map by the provider of the cluster's kind. */
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
 * Reads a map and makes it the cluster's newest.  Nothing raises an error once the
 * cache has been changed, so a failed load leaves the cache as it was.
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
	if (!map->in_registry && on_new_nodes != NULL)
		on_new_nodes(map);

	/* outdated while it was read: good for this call, which began before that, only */
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
	plshard_conninfo_outdate();
}

/* The cluster's newest map, read anew if it is outdated. */
static CacheEntry *
current_entry(ClusterRef ref)
{
	CacheEntry *entry = hash_search(cache, &ref, HASH_FIND, NULL);

	/* a server that has been dropped: this transaction's work on its nodes still has to end */
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

	/* first, or a message that is yet to come would cause another reload */
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
