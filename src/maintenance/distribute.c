/*
 * distribute.c
 *
 * plshard.distribute_table: checks that a table of the front can be sharded by
 * a column, and creates it on the placements through deploy.c.  Everything
 * is allocated in the caller's context.
 */
#include "postgres.h"

#include "access/relation.h"
#include "base/arguments.h"
#include "base/compat.h"
#include "catalog/catalog.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_class.h"
#include "cluster/catalog_query.h"
#include "cluster/shard_hash.h"
#include "executor/spi.h"
#include "maintenance/cluster_admin.h"
#include "maintenance/deploy.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(plshard_distribute_table);

/* The kind of relation that deploy can make, and repair copy, as it is. */
static void
check_kind(Relation relation)
{
	const char *name = RelationGetRelationName(relation);

	if (relation->rd_rel->relkind != RELKIND_RELATION || IsSystemRelation(relation))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not an ordinary table", name)));
	if (relation->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("table \"%s\" is temporary or unlogged", name)));
	if (relation->rd_rel->relispartition || relation->rd_rel->relhassubclass ||
		plshard_catalog_query("SELECT inhparent FROM pg_inherits WHERE inhrelid = $1::oid", 1,
							  (const char *[]) {psprintf("%u", RelationGetRelid(relation))}) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("table \"%s\" is a partition or takes part in inheritance", name)));
}

/* The key column's number; its type must hash alike everywhere. */
static AttrNumber
check_key(Relation relation, const char *key)
{
	AttrNumber	number = get_attnum(RelationGetRelid(relation), key);
	Form_pg_attribute attribute;
	ShardHash	hash;

	if (number <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of table \"%s\" does not exist", key,
						RelationGetRelationName(relation))));
	attribute = TupleDescAttr(RelationGetDescr(relation), number - 1);
	plshard_shard_hash_init(&hash, attribute->atttypid, attribute->attcollation,
							CurrentMemoryContext);
	return number;
}

/*
 * Refuses what one shard alone cannot guarantee: uniqueness over all shards,
 * references to rows of other shards, values from sequences.
 */
static void
check_constraints(const ClusterMap *map, Relation relation, AttrNumber key_number, const char *key)
{
	const char *const params[] = {
		psprintf("%u", RelationGetRelid(relation)),
		psprintf("%d", key_number),
		key,
		plshard_cluster_id_text(map)
	};
	const char *name = RelationGetRelationName(relation);
	char	   *offender;

	offender = plshard_catalog_query("SELECT c.relname FROM pg_index i"
									 " JOIN pg_class c ON c.oid = i.indexrelid"
									 " LEFT JOIN pg_constraint x ON x.conindid = i.indexrelid AND x.contype = 'x'"
									 " WHERE i.indrelid = $1::oid AND (i.indisunique OR i.indisexclusion)"
									 " AND NOT EXISTS (SELECT FROM generate_series(0, i.indnkeyatts - 1) k"
									 " LEFT JOIN pg_operator o ON o.oid = x.conexclop[k + 1]"
									 " WHERE i.indkey[k] = $2::int2 AND (x.oid IS NULL OR o.oprname = '='))"
									 " ORDER BY c.relname LIMIT 1", 2, params);
	if (offender != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("unique index \"%s\" of table \"%s\" does not contain the key column \"%s\"",
						offender, name, key),
				 errdetail("Each shard sees its own rows only, so it cannot keep them unique over all shards."),
				 errhint("Add the key column to the index or constraint.")));

	offender = plshard_catalog_query("SELECT f.conname FROM pg_constraint f"
									 " JOIN pg_class r ON r.oid = f.confrelid"
									 " WHERE f.conrelid = $1::oid AND f.contype = 'f'"
									 " AND NOT (r.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = $1::oid)"
									 " AND EXISTS (SELECT FROM unnest(f.conkey, f.confkey) AS p (here, there)"
									 " JOIN pg_attribute a ON a.attrelid = f.confrelid AND a.attnum = p.there"
									 " WHERE p.here = $2::int2 AND (f.confrelid = f.conrelid AND a.attname = $3::name"
									 " OR EXISTS (SELECT FROM plshard.distributed_table t"
									 " WHERE t.cluster_id = $4::uuid AND t.relation = f.confrelid"
									 " AND t.key_column = a.attname))))"
									 " ORDER BY f.conname LIMIT 1", 4, params);
	if (offender != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("foreign key \"%s\" of table \"%s\" may lead to another shard", offender, name),
				 errdetail("It must match key column \"%s\" with that of a table of the same schema which is distributed on cluster \"%s\".",
						   key, map->name),
				 errhint("Distribute the other table first, and add the key columns to the foreign key.")));

	offender = plshard_catalog_query("SELECT a.attname FROM pg_attribute a"
									 " WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped"
									 " AND (a.attidentity <> '' OR EXISTS (SELECT FROM pg_attrdef d"
									 " JOIN pg_depend s ON s.classid = 'pg_attrdef'::regclass AND s.objid = d.oid"
									 " JOIN pg_class c ON s.refclassid = 'pg_class'::regclass"
									 " AND c.oid = s.refobjid AND c.relkind = 'S'"
									 " WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum))"
									 " ORDER BY a.attnum LIMIT 1", 1, params);
	if (offender != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("column \"%s\" of table \"%s\" takes its values from a sequence", offender, name),
				 errdetail("Each placement would count for itself."),
				 errhint("Drop the default or identity, and let the front make the value: write LET id = plshard.unique_id(); in the plshard function, and pass it on as an argument.")));
}

/* Raises a NOTICE for each property of the table that the placements do not get. */
static void
tell_what_stays(Relation relation)
{
	const char *name = RelationGetRelationName(relation);
	const char *qualified = quote_qualified_identifier(get_namespace_name(RelationGetNamespace(relation)),
													   name);

	if (relation->rd_rel->relrowsecurity || relation->rd_rel->relhasrules ||
		plshard_catalog_query("SELECT tgname FROM pg_trigger"
							  " WHERE tgrelid = $1::oid AND NOT tgisinternal LIMIT 1", 1,
							  (const char *[]) {psprintf("%u", RelationGetRelid(relation))}) != NULL)
		ereport(NOTICE,
				(errmsg("triggers, rules and policies of table \"%s\" are not created on the placements",
						name),
				 errhint("Create those that are wanted there by plshard.deploy.")));
	if (plshard_catalog_query(psprintf("SELECT true FROM ONLY %s LIMIT 1", qualified), 0, NULL) != NULL)
		ereport(NOTICE,
				(errmsg("the rows of table \"%s\" stay on the front", name)));
}

/* The commands that create the table, made with the caller's rights. */
static char *
table_definition(Oid relation)
{
	MemoryContext context = CurrentMemoryContext;
	char	   *result;

	SPI_connect();
	if (SPI_execute(psprintf("SELECT plshard.table_definition(%u::pg_catalog.regclass)", relation),
					true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not read the definition of relation %u", relation);
	result = MemoryContextStrdup(context, SPI_getvalue(SPI_tuptable->vals[0],
													   SPI_tuptable->tupdesc, 1));
	SPI_finish();
	return result;
}

Datum
plshard_distribute_table(PG_FUNCTION_ARGS)
{
	Oid			relid;
	const char *key;
	const char *cluster;
	ClusterMap *map;
	Relation	relation;

	plshard_refuse_nulls(fcinfo);
	relid = PG_GETARG_OID(0);
	key = NameStr(*PG_GETARG_NAME(1));
	map = plshard_begin_change(NameStr(*PG_GETARG_NAME(2)));

	/* its columns and indexes stay as they are until the end of the transaction */
	relation = try_relation_open(relid, ShareUpdateExclusiveLock);
	if (relation == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	if (!object_ownercheck(RelationRelationId, relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, get_relkind_objtype(relation->rd_rel->relkind),
					   RelationGetRelationName(relation));
	check_kind(relation);
	cluster = plshard_catalog_query("SELECT v.cluster FROM plshard.distributed_table t"
									" JOIN plshard.clusters v USING (cluster_id)"
									" WHERE t.relation = $1::oid", 1,
									(const char *[]) {psprintf("%u", relid)});
	if (cluster != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("table \"%s\" is already distributed on cluster \"%s\"",
						RelationGetRelationName(relation), cluster)));
	check_constraints(map, relation, check_key(relation, key), key);

	(void) plshard_deploy_commands(map, table_definition(relid));
	(void) plshard_catalog_query("INSERT INTO plshard.distributed_table (cluster_id, relation, key_column)"
								 " VALUES ($1::uuid, $2::oid, $3::name)",
								 3, (const char *[]) {plshard_cluster_id_text(map),
									 psprintf("%u", relid), key});
	tell_what_stays(relation);
	relation_close(relation, NoLock);
	PG_RETURN_VOID();
}
