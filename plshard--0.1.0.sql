/* plshard--0.1.0.sql: the extension's objects */

\echo Use "CREATE EXTENSION plshard" to load this file. \quit

SET LOCAL search_path = pg_catalog, pg_temp;

--
-- All objects are in schema plshard, also with WITH SCHEMA: a dump of a front with
-- PL/Proxy can then be restored with only the name changed.  The schema is not a
-- member of the extension, since it also holds functions that users define.
--
DO $$
BEGIN
	IF pg_catalog.to_regnamespace('plshard') IS NULL THEN
		CREATE SCHEMA plshard;
		ALTER EXTENSION plshard DROP SCHEMA plshard;
	END IF;
END
$$;

--
-- The language
--
CREATE FUNCTION plshard.call_handler() RETURNS language_handler
	LANGUAGE c AS 'MODULE_PATHNAME', 'plshard_call_handler';

CREATE FUNCTION plshard.inline_handler(internal) RETURNS void
	LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'plshard_inline_handler';

CREATE FUNCTION plshard.validator(oid) RETURNS void
	LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'plshard_validator';

CREATE TRUSTED LANGUAGE plshard
	HANDLER plshard.call_handler
	INLINE plshard.inline_handler
	VALIDATOR plshard.validator;

COMMENT ON LANGUAGE plshard IS 'sharded, replicated function calls';

--
-- Clusters are foreign servers of this wrapper
--
CREATE FUNCTION plshard.fdw_validator(text[], oid) RETURNS void
	LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'plshard_fdw_validator';

CREATE FOREIGN DATA WRAPPER plshard VALIDATOR plshard.fdw_validator;

--
-- The registry's tables: keyed by the server's option cluster_id, so that they
-- survive dump and restore, pg_upgrade and ALTER SERVER ... RENAME.  There are no
-- foreign keys, since pg_restore --jobs loads an extension's tables in any order:
-- what changes the tables keeps them consistent, under the lock of the cluster's row.
--
CREATE TABLE plshard.cluster (
	cluster_id	uuid PRIMARY KEY,
	epoch		bigint NOT NULL DEFAULT 1,
	last_node_id int NOT NULL DEFAULT 0			-- the highest that any node has had
);

CREATE TABLE plshard.node (
	cluster_id	uuid NOT NULL,
	node_id		int NOT NULL,					-- 1, 2, ... in the order added; never used again
	node_name	name NOT NULL,
	conninfo	text NOT NULL,
	evicted_epoch bigint NOT NULL DEFAULT 0,	-- the epoch that its last eviction has made
	system_identifier	text,					-- of the server that add_node or repair saw
	timeline	int,
	database_id	oid,							-- of the node's database in that server
	PRIMARY KEY (cluster_id, node_id),
	UNIQUE (cluster_id, node_name)
);

CREATE SEQUENCE plshard.shard_id_seq START 10000;

CREATE TABLE plshard.shard (
	cluster_id	uuid NOT NULL,
	shard_id	bigint NOT NULL,
	min_value	int NOT NULL,
	max_value	int NOT NULL CHECK (max_value >= min_value),
	PRIMARY KEY (cluster_id, shard_id)
);

CREATE TABLE plshard.placement (
	cluster_id	uuid NOT NULL,
	shard_id	bigint NOT NULL,
	position	int NOT NULL,					-- the placement order, from 0
	node_id		int NOT NULL,
	state		text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'inactive', 'copying')),
	active_since bigint NOT NULL DEFAULT 1,		-- the epoch that its last activation has made
	PRIMARY KEY (cluster_id, shard_id, position),
	UNIQUE (cluster_id, shard_id, node_id)
);

-- What deploy and distribute_table ran, in order: each row is one SQL command.
CREATE TABLE plshard.ddl (
	cluster_id	uuid NOT NULL,
	ddl_id		bigint GENERATED ALWAYS AS IDENTITY,
	command		text NOT NULL,
	PRIMARY KEY (cluster_id, ddl_id)
);

CREATE TABLE plshard.distributed_table (
	cluster_id	uuid NOT NULL,
	relation	regclass NOT NULL,
	key_column	name NOT NULL,
	PRIMARY KEY (cluster_id, relation)
);

-- How distributed transactions end that were not decided on one of their nodes, or
-- that were aborted after a part of them was prepared.
CREATE TABLE plshard.decision (
	cluster_id	uuid NOT NULL,
	gid			text NOT NULL,
	state		text NOT NULL CHECK (state IN ('committed', 'aborted')),
	decided_at	timestamptz NOT NULL DEFAULT pg_catalog.now(),
	PRIMARY KEY (cluster_id, gid)
);

-- This front's own, not to be dumped: its id, and the transactions that wrote here as
-- well and were committed here (what is not in it was not).
CREATE TABLE plshard.front (
	front_id	uuid PRIMARY KEY
);
INSERT INTO plshard.front VALUES (pg_catalog.gen_random_uuid());

CREATE TABLE plshard.transaction (
	gid			text PRIMARY KEY
);

-- The rest is the definition of the user's clusters, so pg_dump brings it along.
SELECT pg_catalog.pg_extension_config_dump('plshard.cluster', '');
SELECT pg_catalog.pg_extension_config_dump('plshard.node', '');
SELECT pg_catalog.pg_extension_config_dump('plshard.shard_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('plshard.shard', '');
SELECT pg_catalog.pg_extension_config_dump('plshard.placement', '');
SELECT pg_catalog.pg_extension_config_dump('plshard.ddl', '');
SELECT pg_catalog.pg_extension_config_dump('plshard.ddl_ddl_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('plshard.distributed_table', '');
SELECT pg_catalog.pg_extension_config_dump('plshard.decision', '');

-- Every change makes all sessions read their cluster maps anew.
CREATE FUNCTION plshard.invalidate() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'plshard_invalidate_trigger';

CREATE TRIGGER invalidate AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON plshard.cluster
	FOR EACH STATEMENT EXECUTE FUNCTION plshard.invalidate();
CREATE TRIGGER invalidate AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON plshard.node
	FOR EACH STATEMENT EXECUTE FUNCTION plshard.invalidate();
CREATE TRIGGER invalidate AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON plshard.shard
	FOR EACH STATEMENT EXECUTE FUNCTION plshard.invalidate();
CREATE TRIGGER invalidate AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON plshard.placement
	FOR EACH STATEMENT EXECUTE FUNCTION plshard.invalidate();
CREATE TRIGGER invalidate AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON plshard.ddl
	FOR EACH STATEMENT EXECUTE FUNCTION plshard.invalidate();
CREATE TRIGGER invalidate AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON plshard.distributed_table
	FOR EACH STATEMENT EXECUTE FUNCTION plshard.invalidate();

-- Rows go with what they describe: a cluster's with its foreign server, a
-- distributed table's with the front's table.
CREATE FUNCTION plshard.forget_dropped() RETURNS event_trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	gone uuid[];
BEGIN
	IF EXISTS (SELECT FROM pg_event_trigger_dropped_objects() WHERE object_type = 'server') THEN
		SELECT array_agg(c.cluster_id) INTO gone
			FROM plshard.cluster c
			WHERE NOT EXISTS (SELECT FROM plshard.clusters v WHERE v.cluster_id = c.cluster_id);
		-- the cluster first: this waits for a change of it
		DELETE FROM plshard.cluster WHERE cluster_id = ANY (gone);
		DELETE FROM plshard.node WHERE cluster_id = ANY (gone);
		DELETE FROM plshard.shard WHERE cluster_id = ANY (gone);
		DELETE FROM plshard.placement WHERE cluster_id = ANY (gone);
		DELETE FROM plshard.ddl WHERE cluster_id = ANY (gone);
		DELETE FROM plshard.distributed_table WHERE cluster_id = ANY (gone);
		DELETE FROM plshard.decision WHERE cluster_id = ANY (gone);
	END IF;
	DELETE FROM plshard.distributed_table
		WHERE relation IN (SELECT objid FROM pg_event_trigger_dropped_objects()
						   WHERE classid = 'pg_class'::regclass AND objsubid = 0);
END
$$;

--
-- Views for all roles
--
CREATE VIEW plshard.clusters AS
	SELECT s.srvname AS cluster, c.cluster_id, c.epoch, pg_catalog.pg_get_userbyid(s.srvowner) AS owner
	FROM plshard.cluster c
		JOIN (pg_catalog.pg_foreign_server s
			  JOIN pg_catalog.pg_foreign_data_wrapper w ON w.oid = s.srvfdw AND w.fdwname = 'plshard'
			  CROSS JOIN LATERAL pg_catalog.pg_options_to_table(s.srvoptions) o)
			ON o.option_name = 'cluster_id' AND pg_catalog.lower(o.option_value) = c.cluster_id::text;

CREATE VIEW plshard.nodes AS
	SELECT c.cluster, n.node_name AS node, n.conninfo,
		n.system_identifier, n.timeline,
		(SELECT pg_catalog.count(*) FROM plshard.placement p
		 WHERE p.cluster_id = n.cluster_id AND p.node_id = n.node_id) AS placements,
		n.node_id
	FROM plshard.node n JOIN plshard.clusters c USING (cluster_id)
	ORDER BY c.cluster, n.node_id;

CREATE VIEW plshard.shards AS
	SELECT c.cluster, s.shard_id, s.min_value, s.max_value
	FROM plshard.shard s JOIN plshard.clusters c USING (cluster_id)
	ORDER BY c.cluster, s.min_value;

CREATE VIEW plshard.placements AS
	SELECT c.cluster, p.shard_id, n.node_name AS node, p.state, p.position
	FROM plshard.placement p
		JOIN plshard.clusters c USING (cluster_id)
		JOIN plshard.node n USING (cluster_id, node_id)
	ORDER BY c.cluster, p.shard_id, p.position;

CREATE VIEW plshard.distributed_tables AS
	SELECT c.cluster, t.relation, t.key_column
	FROM plshard.distributed_table t JOIN plshard.clusters c USING (cluster_id)
	ORDER BY c.cluster, t.relation::text;

GRANT SELECT ON plshard.clusters, plshard.nodes, plshard.shards, plshard.placements,
	plshard.distributed_tables TO PUBLIC;
GRANT USAGE ON SCHEMA plshard TO PUBLIC;

CREATE EVENT TRIGGER plshard_forget_dropped ON sql_drop
	EXECUTE FUNCTION plshard.forget_dropped();

-- Keeps each cluster id the option of exactly one server: the next DROP SERVER would
-- drop a cluster without a server, and one with two servers with either of them.
-- ("cluster" has no rows yet while a dump's servers are restored.)
CREATE FUNCTION plshard.keep_cluster_ids() RETURNS event_trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF EXISTS (SELECT FROM pg_event_trigger_ddl_commands() d
					JOIN pg_foreign_server s ON s.oid = d.objid AND d.classid = 'pg_foreign_server'::regclass
					JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw AND w.fdwname = 'plshard')
		AND EXISTS (SELECT FROM plshard.cluster c LEFT JOIN plshard.clusters v USING (cluster_id)
					GROUP BY c.cluster_id
					HAVING count(v.cluster) > 1 OR (count(v.cluster) = 0 AND tg_tag = 'ALTER SERVER'))
	THEN
		RAISE object_not_in_prerequisite_state USING
			MESSAGE = 'option "cluster_id" of a cluster must not be changed, nor given to another server';
	END IF;
END
$$;

CREATE EVENT TRIGGER plshard_keep_cluster_ids ON ddl_command_end WHEN TAG IN ('CREATE SERVER', 'ALTER SERVER')
	EXECUTE FUNCTION plshard.keep_cluster_ids();

--
-- Administration: each function checks that its caller owns the cluster
--
CREATE FUNCTION plshard.create_cluster(cluster name) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'plshard_create_cluster';

CREATE FUNCTION plshard.drop_cluster(cluster name, drop_data boolean DEFAULT false) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'plshard_drop_cluster';

CREATE FUNCTION plshard.add_node(cluster name, node name, conninfo text) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'plshard_add_node';

CREATE FUNCTION plshard.drop_node(cluster name, node name) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'plshard_drop_node';

CREATE FUNCTION plshard.accept_node(cluster name, node name) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'plshard_accept_node';

CREATE FUNCTION plshard.create_shards(cluster name, shard_count int, replicas int DEFAULT 2) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'plshard_create_shards';

CREATE FUNCTION plshard.deploy(cluster name, sql text) RETURNS bigint
	LANGUAGE c AS 'MODULE_PATHNAME', 'plshard_deploy';

-- The commands that create a table as it is here, with its defaults, constraints
-- and indexes.  Names of the table's own schema stand bare, so that they find
-- their objects in the schema of whatever shard the commands run in: that schema
-- is the search_path meanwhile, so nothing here may depend on the path.
CREATE FUNCTION plshard.table_definition(relation regclass) RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	id oid := relation;			-- (of no type that the schema could have operators for)
	column_list text[];
	constraint_list text[];
	index_list text[];
BEGIN
	-- until the end of this function, which has a setting of its own
	PERFORM pg_catalog.set_config('search_path', pg_catalog.quote_ident(n.nspname), true)
		FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE c.oid = id;

	SELECT pg_catalog.array_agg(pg_catalog.concat(
			pg_catalog.quote_ident(a.attname), ' ',
			-- an extension's types are not in the shard's schema
			CASE WHEN x.objid IS NOT NULL AND pg_catalog.pg_type_is_visible(e.oid)
					AND n.nspname <> 'pg_catalog'
				THEN pg_catalog.quote_ident(n.nspname) || '.' END,
			pg_catalog.format_type(a.atttypid, a.atttypmod),
			CASE WHEN a.attcollation <> t.typcollation
				THEN ' COLLATE ' || a.attcollation::pg_catalog.regcollation::pg_catalog.text END,
			CASE a.attgenerated
				WHEN '' THEN ' DEFAULT ' || pg_catalog.pg_get_expr(d.adbin, d.adrelid)
				WHEN 's' THEN ' GENERATED ALWAYS AS (' || pg_catalog.pg_get_expr(d.adbin, d.adrelid) || ') STORED'
				ELSE ' GENERATED ALWAYS AS (' || pg_catalog.pg_get_expr(d.adbin, d.adrelid) || ') VIRTUAL'
			END,
			CASE WHEN a.attnotnull THEN ' NOT NULL' END) ORDER BY a.attnum)
		INTO column_list
		FROM pg_catalog.pg_attribute a
			JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
			JOIN pg_catalog.pg_type e
				ON e.oid = CASE WHEN t.typcategory = 'A' THEN t.typelem ELSE t.oid END
			JOIN pg_catalog.pg_namespace n ON n.oid = e.typnamespace
			LEFT JOIN pg_catalog.pg_depend x
				ON x.classid = 'pg_catalog.pg_type'::pg_catalog.regclass::pg_catalog.oid AND x.objid = e.oid
				AND x.deptype = 'e'
			LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
		WHERE a.attrelid = id AND a.attnum > 0 AND NOT a.attisdropped;

	SELECT pg_catalog.array_agg(
			'CONSTRAINT ' || pg_catalog.quote_ident(c.conname) || ' ' || pg_catalog.pg_get_constraintdef(c.oid)
			ORDER BY c.contype <> 'p', c.conname)
		INTO constraint_list
		FROM pg_catalog.pg_constraint c
		WHERE c.conrelid = id AND c.contype IN ('p', 'u', 'c', 'x', 'f');

	-- pg_get_indexdef alone always names the table's schema
	SELECT pg_catalog.array_agg(E';\n' || pg_catalog.replace(pg_catalog.pg_get_indexdef(i.indexrelid),
			pg_catalog.format(' ON %I.%I USING ', n.nspname, c.relname),
			pg_catalog.format(' ON %I USING ', c.relname)) ORDER BY ic.relname)
		INTO index_list
		FROM pg_catalog.pg_index i
			JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
			JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
			JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE i.indrelid = id AND i.indisvalid
			AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k
							WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'));

	RETURN pg_catalog.format(E'CREATE TABLE %I (\n\t%s\n)%s',
		(SELECT c.relname FROM pg_catalog.pg_class c WHERE c.oid = id),
		pg_catalog.array_to_string(pg_catalog.array_cat(column_list, constraint_list), E',\n\t'),
		pg_catalog.array_to_string(index_list, ''));
END
$$;

CREATE FUNCTION plshard.distribute_table(relation regclass, key_column name, cluster name) RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'plshard_distribute_table';

CREATE FUNCTION plshard.repair(shard_id bigint, source_node name, target_node name,
							   mode text DEFAULT 'auto') RETURNS void
	LANGUAGE c AS 'MODULE_PATHNAME', 'plshard_repair';

CREATE FUNCTION plshard.repair_cluster(cluster name,
		OUT shard_id bigint, OUT source_node name, OUT target_node name, OUT rows bigint)
	RETURNS SETOF record
	LANGUAGE c AS 'MODULE_PATHNAME', 'plshard_repair_cluster';

CREATE FUNCTION plshard.verify(cluster name)
	RETURNS TABLE (shard_id bigint, node name, table_name text, row_count bigint, checksum text,
				   consistent boolean)
	LANGUAGE c AS 'MODULE_PATHNAME', 'plshard_verify';

-- The prepared parts on the nodes of transactions that are not resolved yet.
-- "decision" is null while none is known.
CREATE FUNCTION plshard.find_in_doubt()
	RETURNS TABLE (cluster name, gid text, node name, prepared_at timestamptz, owner name,
				   decider name, front_id uuid, decision text, session_alive boolean)
	LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'plshard_in_doubt';

CREATE VIEW plshard.in_doubt AS SELECT * FROM plshard.find_in_doubt();
GRANT SELECT ON plshard.in_doubt TO PUBLIC;

CREATE FUNCTION plshard.recover(cluster name)
	RETURNS TABLE (gid text, outcome text, detail text)
	LANGUAGE c AS 'MODULE_PATHNAME', 'plshard_recover';

CREATE FUNCTION plshard.forget_front(front_id uuid)
	RETURNS TABLE (cluster name, gid text, outcome text, detail text)
	LANGUAGE c AS 'MODULE_PATHNAME', 'plshard_forget_front';

--
-- For all roles; access to a cluster needs USAGE on its foreign server
--
CREATE FUNCTION plshard.shard_for(cluster name, VARIADIC key "any") RETURNS bigint
	LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'plshard_shard_for';

CREATE FUNCTION plshard.unique_id() RETURNS bigint
	LANGUAGE c VOLATILE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'plshard_unique_id';

CREATE FUNCTION plshard.explain_call(call text)
	RETURNS TABLE (shard_id bigint, placements text[], node text, remote_sql text)
	LANGUAGE c AS 'MODULE_PATHNAME', 'plshard_explain_call';
