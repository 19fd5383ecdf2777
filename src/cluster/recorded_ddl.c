/*
 * recorded_ddl.c
 *
 * Reads table plshard.ddl by an index scan with the newest snapshot, without a check of
 * the caller's privileges.  Allocates in the current memory context.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "base/compat.h"
#include "catalog/namespace.h"
#include "cluster/node_schema.h"
#include "cluster/recorded_ddl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/* The table's columns, as the extension's script creates them. */
enum
{
	DDL_CLUSTER_ID = 1,
	DDL_COMMAND = 3
};

/* The table's OID.  Errors: 42P01. */
static Oid
ddl_table(void)
{
	Oid			table = get_relname_relid("ddl", get_namespace_oid(PLSHARD_SCHEMA, false));

	if (!OidIsValid(table))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table \"%s.ddl\" does not exist", PLSHARD_SCHEMA)));
	return table;
}

/* Calls visit(command, arg) for each command, which is freed afterwards. */
static void
visit_commands(const ClusterMap *map, void (*visit) (const char *command, void *arg), void *arg)
{
	Relation	table = table_open(ddl_table(), AccessShareLock);
	Oid			index_oid = plshard_primary_key_index(table);
	Relation	index;
	Snapshot	snapshot;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	row;

	if (!OidIsValid(index_oid))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s.ddl\" has lost its primary key", PLSHARD_SCHEMA)));
	index = index_open(index_oid, AccessShareLock);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	ScanKeyInit(&key, DDL_CLUSTER_ID, BTEqualStrategyNumber, F_UUID_EQ,
				UUIDPGetDatum(&map->cluster_id));
	scan = systable_beginscan_ordered(table, index, snapshot, 1, &key);
	while (HeapTupleIsValid(row = systable_getnext_ordered(scan, ForwardScanDirection)))
	{
		bool		isnull;
		Datum		command = heap_getattr(row, DDL_COMMAND, RelationGetDescr(table), &isnull);
		char	   *copy;

		Assert(!isnull);
		copy = TextDatumGetCString(command);
		visit(copy, arg);
		pfree(copy);
	}
	systable_endscan_ordered(scan);
	UnregisterSnapshot(snapshot);
	index_close(index, AccessShareLock);
	table_close(table, AccessShareLock);
}

static void
append_command(const char *command, void *arg)
{
	List	  **commands = arg;

	*commands = lappend(*commands, pstrdup(command));
}

List *
plshard_recorded_ddl(const ClusterMap *map)
{
	List	   *commands = NIL;

	visit_commands(map, append_command, &commands);
	return commands;
}

static void
add_node_values(const char *command, void *arg)
{
	int		   *values = arg;

	*values |= plshard_node_values_in(command);
}

int
plshard_recorded_node_values(const ClusterMap *map)
{
	int			values = 0;

	visit_commands(map, add_node_values, &values);
	return values;
}
