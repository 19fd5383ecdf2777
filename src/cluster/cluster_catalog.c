/*
 * cluster_catalog.c
 *
 * The provider for catalog clusters: reads the registry's tables (cluster,
 * node, shard, placement of schema plshard) by index scans with the newest
 * snapshot.  The map is allocated in the context that the caller names; nothing else
 * outlives the call.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "base/compat.h"
#include "catalog/namespace.h"
#include "cluster/cluster_catalog.h"
#include "cluster/options.h"
#include "cluster/recorded_ddl.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "foreign/foreign.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/* The tables that a map is read from. */
typedef enum CatalogTable
{
	TABLE_CLUSTER,
	TABLE_NODE,
	TABLE_SHARD,
	TABLE_PLACEMENT,
	NUM_TABLES
} CatalogTable;

static const char *const table_names[NUM_TABLES] = {"cluster", "node", "shard", "placement"};

/* Their columns, as the extension's script creates them. */
enum
{
	CLUSTER_EPOCH = 2
};
enum
{
	NODE_ID = 2,
	NODE_NAME,
	NODE_CONNINFO,
	NODE_EVICTED_EPOCH
};
enum
{
	SHARD_ID = 2,
	SHARD_MIN_VALUE,
	SHARD_MAX_VALUE
};
enum
{
	PLACEMENT_SHARD_ID = 2,
	PLACEMENT_POSITION,
	PLACEMENT_NODE_ID,
	PLACEMENT_STATE,
	PLACEMENT_ACTIVE_SINCE
};

/* Their OIDs when a map was last read: DROP EXTENSION and CREATE EXTENSION change them. */
static Oid	table_oids[NUM_TABLES];

/* A scan of one cluster's rows in a table, in the order of its primary key. */
typedef struct ClusterScan
{
	Relation	table;
	Relation	index;
	SysScanDesc scan;
} ClusterScan;

PG_FUNCTION_INFO_V1(plshard_invalidate_trigger);

/* InvalidOid if there is no such table. */
static Oid
table_oid(CatalogTable table)
{
	return get_relname_relid(table_names[table], get_namespace_oid(PLSHARD_SCHEMA, true));
}

/* Begins to read the rows of a cluster in a table. */
static void
begin_scan(ClusterScan *scan, CatalogTable table, const pg_uuid_t *cluster_id,
		   Snapshot snapshot)
{
	ScanKeyData key;
	Oid			index;

	scan->table = table_open(table_oids[table], AccessShareLock);
	index = plshard_primary_key_index(scan->table);
	if (!OidIsValid(index))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s.%s\" has lost its primary key",
						PLSHARD_SCHEMA, table_names[table])));
	scan->index = index_open(index, AccessShareLock);
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(cluster_id));
	scan->scan = systable_beginscan_ordered(scan->table, scan->index, snapshot, 1, &key);
}

/* The next row, owned by the scan; NULL after the last. */
static HeapTuple
next_row(ClusterScan *scan)
{
	return systable_getnext_ordered(scan->scan, ForwardScanDirection);
}

static void
end_scan(ClusterScan *scan)
{
	systable_endscan_ordered(scan->scan);
	index_close(scan->index, AccessShareLock);
	table_close(scan->table, AccessShareLock);
}

/* The value of a column that is NOT NULL. */
static Datum
column(ClusterScan *scan, HeapTuple row, AttrNumber attribute)
{
	bool		isnull;
	Datum		value = heap_getattr(row, attribute, RelationGetDescr(scan->table), &isnull);

	Assert(!isnull);
	return value;
}

/* The array, enlarged in steps of two if it has no space for one more element. */
static void *
grow(void *array, int used, uint32 *capacity, Size element, MemoryContext context)
{
	if (used < *capacity)
		return array;
	*capacity = (*capacity == 0) ? 16 : *capacity * 2;
	if (array == NULL)
		return MemoryContextAllocHuge(context, *capacity * element);
	return repalloc_huge(array, *capacity * element);
}

static void
read_epoch(ClusterMap *map, Snapshot snapshot)
{
	ClusterScan scan;
	HeapTuple	row;

	begin_scan(&scan, TABLE_CLUSTER, &map->cluster_id, snapshot);
	row = next_row(&scan);
	if (!HeapTupleIsValid(row))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cluster \"%s\" is not in the registry", map->name),
				 errdetail("No row of plshard.cluster has the server's option \"cluster_id\"."),
				 errhint("Create clusters by plshard.create_cluster.")));
	map->epoch = DatumGetInt64(column(&scan, row, CLUSTER_EPOCH));
	end_scan(&scan);
}

static void
read_nodes(ClusterMap *map, Snapshot snapshot)
{
	ClusterScan scan;
	HeapTuple	row;
	uint32		capacity = 0;

	begin_scan(&scan, TABLE_NODE, &map->cluster_id, snapshot);
	while (HeapTupleIsValid(row = next_row(&scan)))
	{
		MemoryContext old;
		ClusterNode *node;

		map->nodes = grow(map->nodes, map->nnodes, &capacity, sizeof(ClusterNode), map->context);
		if (map->nnodes > PG_UINT16_MAX)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("cluster \"%s\" has too many nodes", map->name)));
		node = &map->nodes[map->nnodes++];
		old = MemoryContextSwitchTo(map->context);
		node->id = DatumGetInt32(column(&scan, row, NODE_ID));
		node->name = pstrdup(NameStr(*DatumGetName(column(&scan, row, NODE_NAME))));
		node->conninfo = TextDatumGetCString(column(&scan, row, NODE_CONNINFO));
		node->evicted_epoch = DatumGetInt64(column(&scan, row, NODE_EVICTED_EPOCH));
		/* 0 stands for no node */
		node->identity = hash_bytes_extended(map->cluster_id.data, UUID_LEN, node->id) | 1;
		MemoryContextSwitchTo(old);
	}
	end_scan(&scan);
}

/* Reads the shards in the order of their ids, in which read_placements joins them. */
static void
read_shards(ClusterMap *map, Snapshot snapshot)
{
	ClusterScan scan;
	HeapTuple	row;
	uint32		capacity = 0;

	begin_scan(&scan, TABLE_SHARD, &map->cluster_id, snapshot);
	while (HeapTupleIsValid(row = next_row(&scan)))
	{
		ClusterShard *shard;

		map->shards = grow(map->shards, map->nshards, &capacity, sizeof(ClusterShard), map->context);
		shard = &map->shards[map->nshards++];
		memset(shard, 0, sizeof(*shard));
		shard->id = DatumGetInt64(column(&scan, row, SHARD_ID));
		shard->min_value = DatumGetInt32(column(&scan, row, SHARD_MIN_VALUE));
		shard->max_value = DatumGetInt32(column(&scan, row, SHARD_MAX_VALUE));
	}
	end_scan(&scan);
}

static PlacementState
parse_state(Datum value)
{
	text	   *state = DatumGetTextPP(value);
	const char *data = VARDATA_ANY(state);
	int			length = VARSIZE_ANY_EXHDR(state);

	if (length == strlen("active") && memcmp(data, "active", length) == 0)
		return PLACEMENT_ACTIVE;
	if (length == strlen("inactive") && memcmp(data, "inactive", length) == 0)
		return PLACEMENT_INACTIVE;
	if (length == strlen("copying") && memcmp(data, "copying", length) == 0)
		return PLACEMENT_COPYING;
	elog(ERROR, "unrecognized placement state \"%.*s\"", length, data);
}

/*
 * Adds a placement at the end of a shard's, or of its active ones, which are in front.
 * They come in placement order, and the shard's are the last in the map so far.
 */
static void
add_placement(ClusterMap *map, ClusterShard *shard, ClusterPlacement placement)
{
	ClusterPlacement *placements = &map->placements[shard->first_placement];
	int			at = shard->nplacements++;

	if (placement.state == PLACEMENT_ACTIVE)
	{
		memmove(&placements[shard->nactive + 1], &placements[shard->nactive],
				(at - shard->nactive) * sizeof(ClusterPlacement));
		at = shard->nactive++;
	}
	placements[at] = placement;
}

/* Joins the placements with the shards in one pass: both are ordered by shard id. */
static void
read_placements(ClusterMap *map, Snapshot snapshot)
{
	ClusterScan scan;
	HeapTuple	row;
	uint32		capacity = 0;
	int			nplacements = 0;
	int			current = 0;

	begin_scan(&scan, TABLE_PLACEMENT, &map->cluster_id, snapshot);
	while (HeapTupleIsValid(row = next_row(&scan)))
	{
		int64		shard_id = DatumGetInt64(column(&scan, row, PLACEMENT_SHARD_ID));
		int			node = plshard_cluster_node_by_id(map, DatumGetInt32(column(&scan, row,
																			   PLACEMENT_NODE_ID)));
		ClusterPlacement placement;

		while (current < map->nshards && map->shards[current].id < shard_id)
			current++;
		if (current == map->nshards || map->shards[current].id != shard_id || node < 0)
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("the registry of cluster \"%s\" is inconsistent", map->name),
					 errdetail("A placement of shard %lld has no shard or no node.",
							   (long long) shard_id)));

		map->placements = grow(map->placements, nplacements, &capacity,
							   sizeof(ClusterPlacement), map->context);
		if (map->shards[current].nplacements == 0)
			map->shards[current].first_placement = nplacements;
		placement.node = node;
		placement.state = parse_state(column(&scan, row, PLACEMENT_STATE));
		placement.active_since = (uint32) Min(DatumGetInt64(column(&scan, row, PLACEMENT_ACTIVE_SINCE)),
											  PG_UINT32_MAX);
		add_placement(map, &map->shards[current], placement);
		nplacements++;
	}
	end_scan(&scan);
}

static int
compare_shards(const void *a, const void *b)
{
	int32		x = ((const ClusterShard *) a)->min_value;
	int32		y = ((const ClusterShard *) b)->min_value;

	return (x > y) - (x < y);
}

/* Errors XX001 unless the shards cover each hash value once: no later code checks that. */
static void
check_shards(const ClusterMap *map)
{
	int64		next = PG_INT32_MIN;

	if (map->nshards == 0)
		return;
	for (int i = 0; i < map->nshards; i++)
	{
		const ClusterShard *shard = &map->shards[i];

		if (shard->min_value != next || shard->max_value < shard->min_value)
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("the shards of cluster \"%s\" do not cover the hash space exactly once",
							map->name),
					 errdetail("Shard %lld has the range %d to %d where one from %lld is due.",
							   (long long) shard->id, shard->min_value, shard->max_value,
							   (long long) next)));
		if (shard->nplacements == 0)
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("the registry of cluster \"%s\" is inconsistent", map->name),
					 errdetail("Shard %lld has no placement.", (long long) shard->id)));
		next = (int64) shard->max_value + 1;
	}
	if (next != (int64) PG_INT32_MAX + 1)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("the shards of cluster \"%s\" do not cover the hash space exactly once",
						map->name),
				 errdetail("No shard has the hash values from %lld on.", (long long) next)));
}

ClusterMap *
plshard_catalog_load(Oid server_oid, MemoryContext context)
{
	ClusterMap *map = MemoryContextAllocZero(context, sizeof(ClusterMap));
	ClusterOptions options;
	Snapshot	snapshot;

	plshard_cluster_options(server_oid, &options);
	map->context = context;
	map->kind = CLUSTER_CATALOG;
	map->in_registry = map->has_node_schema = map->has_shard_schemas = true;
	map->has_locks = map->has_epoch = map->can_evict = true;
	map->mapping = MAPPING_RANGES;
	map->ref = server_oid;
	map->server_oid = server_oid;
	map->name = MemoryContextStrdup(context, GetForeignServer(server_oid)->servername);
	map->cluster_id = options.cluster_id;
	map->options = options;

	for (int i = 0; i < NUM_TABLES; i++)
	{
		table_oids[i] = table_oid(i);
		if (!OidIsValid(table_oids[i]))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_TABLE),
					 errmsg("table \"%s.%s\" does not exist", PLSHARD_SCHEMA, table_names[i])));
	}

	/* a new snapshot, since the transaction's may be too old for what is committed by now */
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	read_epoch(map, snapshot);
	read_nodes(map, snapshot);
	read_shards(map, snapshot);
	read_placements(map, snapshot);
	UnregisterSnapshot(snapshot);
	map->node_values = plshard_recorded_node_values(map);

	/* nearly always sorted already, which qsort detects */
	qsort(map->shards, map->nshards, sizeof(ClusterShard), compare_shards);
	check_shards(map);
	return map;
}

bool
plshard_catalog_uses(Oid relation)
{
	for (int i = 0; i < NUM_TABLES; i++)
	{
		if (table_oids[i] == relation)
			return true;
	}
	return false;
}

/*
 * A message for one table is enough: a session that has read any of them watches
 * all of them.
 */
void
plshard_cluster_invalidate(void)
{
	Oid			relation = table_oid(TABLE_PLACEMENT);

	if (OidIsValid(relation))
		CacheInvalidateRelcacheByRelid(relation);
}

/* plshard.invalidate(): after each statement that changes a table of the registry. */
Datum
plshard_invalidate_trigger(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("plshard.invalidate can only be called as a trigger")));
	plshard_cluster_invalidate();
	return PointerGetDatum(NULL);
}
