/* plshard--0.1.0.sql: the extension's objects */

\echo Use "CREATE EXTENSION plshard" to load this file. \quit

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
-- survive dump and restore, pg_upgrade and ALTER SERVER ... RENAME.
--
CREATE TABLE plshard.cluster (
	cluster_id	uuid PRIMARY KEY,
	epoch		bigint NOT NULL DEFAULT 1
);

CREATE TABLE plshard.node (
	cluster_id	uuid NOT NULL REFERENCES plshard.cluster ON DELETE CASCADE,
	node_id		int NOT NULL,					-- 1, 2, ... in the order added; never used again
	node_name	name NOT NULL,
	conninfo	text NOT NULL,
	system_identifier	text,					-- of the server that add_node or repair saw
	timeline	int,
	PRIMARY KEY (cluster_id, node_id),
	UNIQUE (cluster_id, node_name)
);

CREATE SEQUENCE plshard.shard_id_seq START 10000;

CREATE TABLE plshard.shard (
	cluster_id	uuid NOT NULL REFERENCES plshard.cluster ON DELETE CASCADE,
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
	PRIMARY KEY (cluster_id, shard_id, position),
	UNIQUE (cluster_id, shard_id, node_id),
	FOREIGN KEY (cluster_id, shard_id) REFERENCES plshard.shard ON DELETE CASCADE,
	FOREIGN KEY (cluster_id, node_id) REFERENCES plshard.node
);

-- What deploy and distribute_table ran, in order: each row is one SQL command.
CREATE TABLE plshard.ddl (
	cluster_id	uuid NOT NULL REFERENCES plshard.cluster ON DELETE CASCADE,
	ddl_id		bigint GENERATED ALWAYS AS IDENTITY,
	command		text NOT NULL,
	PRIMARY KEY (cluster_id, ddl_id)
);

CREATE TABLE plshard.distributed_table (
	cluster_id	uuid NOT NULL REFERENCES plshard.cluster ON DELETE CASCADE,
	relation	regclass NOT NULL,
	key_column	name NOT NULL,
	PRIMARY KEY (cluster_id, relation)
);
