/*
 * node_schema.c
 *
 * The SQL of schema plshard_node.  Pure text, in the current memory context.
 */
#include "postgres.h"

#include "cluster/node_schema.h"
#include "cluster/unique_id.h"
#include "utils/builtins.h"
#include "utils/uuid.h"

/*
 * What all clusters of a node share.  The lock prevents two fronts from creating it at
 * once; its two-part key cannot be equal to the one-part keys of shards.
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
"		CREATE DOMAIN plshard_node.shard_lock AS pg_catalog.int8 CONSTRAINT lock_not_taken\n"
"			CHECK (pg_catalog.pg_try_advisory_xact_lock_shared(VALUE));\n"
"		GRANT USAGE ON SCHEMA plshard_node TO PUBLIC;\n"
"		GRANT SELECT, INSERT, DELETE ON plshard_node.transaction TO PUBLIC;\n"
"		GRANT EXECUTE ON FUNCTION plshard_node.lock_not_taken(),\n"
"			plshard_node.epoch_is_old() TO PUBLIC;\n"
"	END IF;\n"
"END $plshard$";

/*
 * What users' functions and column defaults call.  Each is created if it is missing:
 * another role may have created the others.
 */
static const char now_function[] =
"DO $plshard$\n"
"BEGIN\n"
"	IF pg_catalog.to_regprocedure('plshard_node.now()') IS NULL THEN\n"
"		CREATE FUNCTION plshard_node.now() RETURNS pg_catalog.timestamptz\n"
"			LANGUAGE plpgsql STABLE AS $body$\n"
"		DECLARE\n"
"			value pg_catalog.text := pg_catalog.current_setting('plshard_node.now', true);\n"
"		BEGIN\n"
"			IF value OPERATOR(pg_catalog.<>) '' THEN\n"
"				RETURN value;\n"
"			END IF;\n"
"			RAISE EXCEPTION 'plshard_node.now() was called outside of a plshard write'\n"
"				USING ERRCODE = 'object_not_in_prerequisite_state',\n"
"				HINT = 'It has a value in what a plshard function writes.';\n"
"		END $body$;\n"
"		GRANT EXECUTE ON FUNCTION plshard_node.now() TO PUBLIC;\n"
"	END IF;\n"
"END $plshard$";

/* INT64_FORMAT: the distance between ids */
static const char unique_id_function[] =
"DO $plshard$\n"
"BEGIN\n"
"	IF pg_catalog.to_regprocedure('plshard_node.unique_id()') IS NULL THEN\n"
"		CREATE FUNCTION plshard_node.unique_id() RETURNS pg_catalog.int8\n"
"			LANGUAGE plpgsql VOLATILE AS $body$\n"
"		DECLARE\n"
"			id pg_catalog.text := pg_catalog.current_setting('plshard_node.next_id', true);\n"
"		BEGIN\n"
"			IF id OPERATOR(pg_catalog.<>) '' THEN\n"
"				IF id::pg_catalog.int8 OPERATOR(pg_catalog.>)\n"
"					pg_catalog.current_setting('plshard_node.last_id')::pg_catalog.int8 THEN\n"
"					RAISE EXCEPTION 'a call of a plshard function needs too many ids of plshard_node.unique_id()'\n"
"						USING ERRCODE = 'PS003';\n"
"				END IF;\n"
"				PERFORM pg_catalog.set_config('plshard_node.next_id',\n"
"					(id::pg_catalog.int8 OPERATOR(pg_catalog.+) " INT64_FORMAT "::pg_catalog.int8)::pg_catalog.text, true);\n"
"				RETURN id;\n"
"			END IF;\n"
"			RAISE EXCEPTION 'plshard_node.unique_id() was called outside of a plshard write'\n"
"				USING ERRCODE = 'object_not_in_prerequisite_state',\n"
"				HINT = 'It has values in what a plshard function writes.';\n"
"		END $body$;\n"
"		GRANT EXECUTE ON FUNCTION plshard_node.unique_id() TO PUBLIC;\n"
"	END IF;\n"
"END $plshard$";

/* %1$s: the sequence's name as a literal */
#define NOTE_SERVER \
	"EXECUTE pg_catalog.format('COMMENT ON SEQUENCE %%s IS %%L', %1$s, " PLSHARD_SERVER_SQL ");"

/* The cluster's own: the sequence's name as a literal (%1$s) and quoted (%2$s), and the epoch. */
static const char cluster_objects[] =
"DO $plshard$\n"
"BEGIN\n"
"	IF pg_catalog.to_regclass(%1$s) IS NULL THEN\n"
"		CREATE SEQUENCE %2$s;\n"
"		PERFORM pg_catalog.setval(%1$s, %3$lld);\n"	/* a sequence that was never set reads as NULL */
"		CREATE DOMAIN %2$s AS pg_catalog.int8 CONSTRAINT epoch_is_old\n"
"			CHECK ((pg_catalog.pg_sequence_last_value(%1$s) OPERATOR(pg_catalog.<=) VALUE) IS TRUE);\n"
"		GRANT SELECT ON SEQUENCE %2$s TO PUBLIC;\n"
"		" NOTE_SERVER "\n"
"	END IF;\n"
"END $plshard$";

/* The cluster's own: the table's name as a literal (%1$s) and quoted (%2$s). */
static const char cluster_calls[] =
"DO $plshard$\n"
"BEGIN\n"
"	IF pg_catalog.to_regprocedure('plshard_node.call_is_known()') IS NULL THEN\n"
"		CREATE FUNCTION plshard_node.call_is_known() RETURNS pg_catalog.bool\n"
"			LANGUAGE plpgsql VOLATILE AS $body$\n"
"		BEGIN\n"
"			RAISE EXCEPTION 'a call with this id has been made' USING ERRCODE = 'PS004';\n"
"		END $body$;\n"
"		GRANT EXECUTE ON FUNCTION plshard_node.call_is_known() TO PUBLIC;\n"
"	END IF;\n"
"	IF pg_catalog.to_regclass(%1$s) IS NULL THEN\n"
"		CREATE TABLE %2$s (\n"
"			shard_id pg_catalog.int8 NOT NULL,\n"
"			call_id pg_catalog.text NOT NULL,\n"
"			function pg_catalog.text NOT NULL,\n"
"			role pg_catalog.name NOT NULL,\n"
"			arguments pg_catalog.bytea NOT NULL,\n"
"			result pg_catalog.bytea NOT NULL,\n"
"			expires pg_catalog.timestamptz NOT NULL,\n"
"			PRIMARY KEY (shard_id, call_id, function, role)\n"
"		);\n"
"		CREATE INDEX ON %2$s (shard_id, expires);\n"
"		ALTER TABLE %2$s ENABLE ROW LEVEL SECURITY;\n"
"		CREATE POLICY own ON %2$s USING (role = current_user);\n"
"		GRANT SELECT, INSERT, UPDATE, DELETE ON %2$s TO PUBLIC;\n"
"	END IF;\n"
"END $plshard$";

/* The qualified, quoted name of an object of the cluster in schema plshard_node. */
static char *
cluster_object(const ClusterMap *map, const char *what)
{
	return psprintf("plshard_node.\"%s_%s\"", what, plshard_cluster_id_text(map));
}

char *
plshard_epoch_sequence(const ClusterMap *map)
{
	return cluster_object(map, "epoch");
}

char *
plshard_calls_table(const ClusterMap *map)
{
	return cluster_object(map, "calls");
}

const char *const *
plshard_node_schema(const ClusterMap *map, int *nstatements)
{
	const char **statements = palloc(5 * sizeof(char *));
	char	   *sequence = plshard_epoch_sequence(map);
	char	   *calls = plshard_calls_table(map);

	statements[0] = common_objects;
	statements[1] = now_function;
	statements[2] = psprintf(unique_id_function, UNIQUE_ID_STEP);
	statements[3] = psprintf(cluster_objects, quote_literal_cstr(sequence), sequence,
							 (long long) map->epoch);
	statements[4] = psprintf(cluster_calls, quote_literal_cstr(calls), calls);
	*nstatements = 5;
	return statements;
}

char *
plshard_accept_server_command(const ClusterMap *map)
{
	return psprintf("DO $plshard$ BEGIN " NOTE_SERVER " END $plshard$",
					quote_literal_cstr(plshard_epoch_sequence(map)));
}

char *
plshard_shard_schema(int64 shard_id)
{
	return psprintf("CREATE SCHEMA " PLSHARD_SHARD_SCHEMA_FORMAT
					" GRANT USAGE ON SCHEMA " PLSHARD_SHARD_SCHEMA_FORMAT " TO PUBLIC",
					shard_id, shard_id);
}

/* True if a text contains a word, given in lower case, in any letter case. */
static bool
contains(const char *text, const char *word)
{
	size_t		length = strlen(word);

	for (; *text != '\0'; text++)
	{
		if (pg_strncasecmp(text, word, length) == 0)
			return true;
	}
	return false;
}

/* Names may be quoted, and anything may stand between schema and name: no parsing. */
int
plshard_node_values_in(const char *sql)
{
	if (!contains(sql, "plshard_node"))
		return 0;
	return (contains(sql, "now") ? NODE_VALUE_NOW : 0) |
		(contains(sql, "unique_id") ? NODE_VALUE_ID : 0);
}
