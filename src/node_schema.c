/*
 * node_schema.c
 *
 * The SQL that prepares a node.  Pure text, in the current memory context.
 */
#include "postgres.h"

#include "node_schema.h"
#include "utils/builtins.h"
#include "utils/uuid.h"

/*
 * What all clusters of a node share.  The lock keeps two fronts from creating
 * it at once; its two-part key cannot meet the one-part keys of shards.
 */
static const char common_objects[] =
"DO $plshard$\n"
"BEGIN\n"
"	PERFORM pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('plshard_node'), 0);\n"
"	IF pg_catalog.to_regclass('plshard_node.transaction') IS NULL THEN\n"
"		CREATE SCHEMA IF NOT EXISTS plshard_node;\n"
"		CREATE TABLE plshard_node.transaction (\n"
"			gid pg_catalog.text PRIMARY KEY,\n"
"			state pg_catalog.text NOT NULL,\n"
"			written_at pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()\n"
"		);\n"
"		CREATE FUNCTION plshard_node.lock_not_taken() RETURNS pg_catalog.bool\n"
"			LANGUAGE plpgsql VOLATILE AS $body$\n"
"		BEGIN\n"
"			RAISE EXCEPTION 'the lock is not free' USING ERRCODE = 'PS001';\n"
"		END $body$;\n"
"		CREATE FUNCTION plshard_node.epoch_is_old() RETURNS pg_catalog.bool\n"
"			LANGUAGE plpgsql VOLATILE AS $body$\n"
"		BEGIN\n"
"			RAISE EXCEPTION 'the cluster has changed' USING ERRCODE = 'PS002';\n"
"		END $body$;\n"
"		GRANT USAGE ON SCHEMA plshard_node TO PUBLIC;\n"
"		GRANT SELECT, INSERT, DELETE ON plshard_node.transaction TO PUBLIC;\n"
"		GRANT EXECUTE ON FUNCTION plshard_node.lock_not_taken(),\n"
"			plshard_node.epoch_is_old() TO PUBLIC;\n"
"	END IF;\n"
"END $plshard$";

/* The cluster's own: the sequence's name as a literal and as it is, the epoch, the name again. */
static const char cluster_objects[] =
"DO $plshard$\n"
"BEGIN\n"
"	IF pg_catalog.to_regclass(%s) IS NULL THEN\n"
"		CREATE SEQUENCE %s START " INT64_FORMAT ";\n"
"		GRANT SELECT ON SEQUENCE %s TO PUBLIC;\n"
"	END IF;\n"
"END $plshard$";

char *
plshard_epoch_sequence(const ClusterMap *map)
{
	char	   *id = DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&map->cluster_id)));

	return psprintf("plshard_node.\"epoch_%s\"", id);
}

const char *const *
plshard_node_schema(const ClusterMap *map, int *nstatements)
{
	const char **statements = palloc(2 * sizeof(char *));
	char	   *sequence = plshard_epoch_sequence(map);

	statements[0] = common_objects;
	statements[1] = psprintf(cluster_objects, quote_literal_cstr(sequence), sequence, map->epoch,
							 sequence);
	*nstatements = 2;
	return statements;
}

char *
plshard_shard_schema(int64 shard_id)
{
	return psprintf("CREATE SCHEMA " PLSHARD_SHARD_SCHEMA_FORMAT
					" GRANT USAGE ON SCHEMA " PLSHARD_SHARD_SCHEMA_FORMAT " TO PUBLIC",
					shard_id, shard_id);
}
