-- Defining clusters: servers, nodes, shards, deployed commands, distributed tables.
\set VERBOSITY terse
SET client_min_messages = warning;
DROP DATABASE IF EXISTS regress_plshard_a1;
DROP DATABASE IF EXISTS regress_plshard_a2;
DROP DATABASE IF EXISTS regress_plshard_a3;
RESET client_min_messages;
CREATE DATABASE regress_plshard_a1;
CREATE DATABASE regress_plshard_a2;
CREATE DATABASE regress_plshard_a3;
CREATE FUNCTION node_conninfo(dbname text) RETURNS text LANGUAGE sql AS $$
	SELECT format('host=%s port=%s dbname=%s', split_part(current_setting('unix_socket_directories'), ',', 1),
				  current_setting('port'), dbname)
$$;

-- create_cluster and add_node, and what they refuse
SELECT plshard.create_shards('admin', 4);
SELECT plshard.create_cluster('admin');
SELECT plshard.create_cluster('admin');
SELECT plshard.create_cluster(NULL);
SELECT plshard.create_shards('admin', 4);
SELECT plshard.add_node('admin', 'n1', node_conninfo('regress_plshard_a1'));
SELECT plshard.add_node('admin', 'n1', node_conninfo('regress_plshard_a2'));
SELECT plshard.add_node('admin', 'again', node_conninfo('regress_plshard_a1'));
SELECT plshard.add_node('admin', '', node_conninfo('regress_plshard_a2'));
SELECT plshard.add_node('admin', 'n2', 'dbname=x password=secret');
SELECT plshard.add_node('admin', 'n2', 'no connection string');
SELECT plshard.add_node('nobody', 'n2', node_conninfo('regress_plshard_a2'));
SELECT plshard.add_node('admin', 'n2', 'host=/nowhere dbname=x');
BEGIN;
SELECT plshard.add_node('admin', 'n2', node_conninfo('regress_plshard_a2'));
ROLLBACK;
SELECT plshard.add_node('admin', 'n2', node_conninfo('regress_plshard_a2'));
SELECT plshard.add_node('admin', 'n3', node_conninfo('regress_plshard_a3'));

-- a node's number is never used again
SELECT plshard.add_node('admin', 'n4', node_conninfo(current_database()));
SELECT plshard.drop_node('admin', 'n4');
SELECT plshard.add_node('admin', 'n4', node_conninfo(current_database()));
SELECT cluster, node, placements, node_id FROM plshard.nodes;
SELECT plshard.drop_node('admin', 'n4');
SELECT plshard.drop_node('admin', 'n4');

-- create_shards
SELECT plshard.deploy('admin', 'CREATE TABLE t (a int)');
SELECT plshard.create_shards('admin', 0);
SELECT plshard.create_shards('admin', 5, 0);
SELECT plshard.create_shards('admin', 5, 4);
SELECT plshard.create_shards('admin', 5);
SELECT plshard.create_shards('admin', 5);
SELECT shard_id - min(shard_id) OVER () AS shard, min_value, max_value FROM plshard.shards;
SELECT shard_id - min(shard_id) OVER () AS shard, node, state, position FROM plshard.placements;
SELECT plshard.drop_node('admin', 'n1');
SELECT cluster, epoch FROM plshard.clusters;

-- deploy
\set VERBOSITY default
SELECT plshard.deploy('admin', 'CREATE TABLE t (a int PRIMARY KEY, b text); CREATE INDEX ON -- a comment
	t (b) ;
	INSERT INTO t VALUES (1, ''x;y'');');
SELECT plshard.deploy('admin', 'CREATE TABLE t (a int');
SELECT plshard.deploy('admin', E'CREATE TABLE u (a int);\nCREATE TABEL v (a int)');
SELECT plshard.deploy('admin', ' ; ');
SELECT plshard.deploy('admin', 'CREATE TABLE u (a int, at timestamptz DEFAULT now())');
SELECT plshard.deploy('admin', 'CREATE TABLE u (a int, at date DEFAULT CURRENT_DATE + 1)');
SELECT plshard.deploy('admin', 'CREATE TABLE u (a serial)');
SELECT plshard.deploy('admin', 'CREATE TABLE u (a int GENERATED ALWAYS AS IDENTITY)');
SELECT plshard.deploy('admin', 'CREATE UNLOGGED TABLE u (a int)');
SELECT plshard.deploy('admin', 'CREATE TEMP TABLE u (a int)');
SELECT plshard.deploy('admin', 'ALTER TABLE t ADD COLUMN u uuid DEFAULT gen_random_uuid()');
SELECT plshard.deploy('admin', 'ALTER TABLE t ALTER a SET DEFAULT 1 + nextval(''s'')');
SELECT plshard.deploy('admin', 'ALTER TABLE t ALTER a ADD GENERATED ALWAYS AS IDENTITY');
SELECT plshard.deploy('admin', 'ALTER TABLE t ALTER b TYPE float8 USING random()');
SELECT plshard.deploy('admin', 'ALTER TABLE t SET UNLOGGED');
SELECT plshard.deploy('admin', 'CREATE DOMAIN d AS timestamptz DEFAULT clock_timestamp()');
SELECT plshard.deploy('admin', 'CREATE TABLE u AS SELECT random()');
SELECT plshard.deploy('admin', 'UPDATE t SET b = random()');
SELECT plshard.deploy('admin', 'COMMIT');
SELECT plshard.deploy('admin', 'SET search_path = public');
SELECT plshard.deploy('admin', 'CREATE SCHEMA s');
SELECT plshard.deploy('admin', 'COPY t FROM STDIN');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT plshard.deploy('admin', 'CREATE TABLE u (a int)');
ROLLBACK;
SELECT plshard.deploy('admin', $$
	CREATE FUNCTION f() RETURNS void LANGUAGE sql AS
		'INSERT INTO t VALUES (2, now()), (3, now()), (4, current_timestamp)'
$$);
SELECT plshard.deploy('admin', $$
	CREATE FUNCTION g() RETURNS void LANGUAGE plpgsql AS 'BEGIN PERFORM ''now()'', now; /* now() */ END';
	CREATE FUNCTION h() RETURNS timestamptz STABLE LANGUAGE sql AS 'SELECT now()'
$$);
SELECT plshard.deploy('admin', $$
	CREATE FUNCTION i() RETURNS void BEGIN ATOMIC INSERT INTO t VALUES (2, random()); END
$$);
SELECT plshard.deploy('admin', 'DO $$ BEGIN IF false THEN PERFORM nextval(''nope''); END IF; END $$');
SELECT command FROM plshard.ddl ORDER BY ddl_id;

-- distribute_table
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TABLE "Odd one" ("Key" int, name text COLLATE "C" NOT NULL, twice int GENERATED ALWAYS AS ("Key" * 2) STORED,
	n numeric(10,2) DEFAULT 1.5, gone int, m mood DEFAULT 'ok', PRIMARY KEY ("Key"), UNIQUE (name, "Key"),
	CHECK (n > 0));
ALTER TABLE "Odd one" DROP COLUMN gone;
CREATE INDEX "Odd index" ON "Odd one" (lower(name) text_pattern_ops DESC) WHERE n > 1;
SELECT plshard.deploy('admin', 'CREATE TYPE mood AS ENUM (''sad'', ''ok'')');
SELECT plshard.distribute_table('"Odd one"', 'Key', 'admin');
SELECT plshard.distribute_table('"Odd one"', 'Key', 'admin');
SELECT plshard.table_definition('"Odd one"');
CREATE TABLE child (k int, id int, odd int REFERENCES "Odd one", PRIMARY KEY (k, id));
INSERT INTO "Odd one" ("Key", name) VALUES (1, 'one');
SELECT plshard.distribute_table('child', 'k', 'admin');
SELECT plshard.distribute_table('child', 'nope', 'admin');
CREATE TABLE child2 (k int REFERENCES "Odd one", id int, parent int, PRIMARY KEY (k, id),
	FOREIGN KEY (k, parent) REFERENCES child2);
INSERT INTO child2 VALUES (1, 1, 1);
SELECT plshard.distribute_table('child2', 'k', 'admin');
CREATE TABLE bad (k int, id serial, m mood, at timestamptz DEFAULT now(), u int UNIQUE);
SELECT plshard.distribute_table('bad', 'm', 'admin');
SELECT plshard.distribute_table('bad', 'k', 'admin');
SELECT plshard.distribute_table('bad', 'u', 'admin');
ALTER TABLE bad ALTER id DROP DEFAULT;
SELECT plshard.distribute_table('bad', 'u', 'admin');
SELECT plshard.distribute_table('plshard.shards', 'shard_id', 'admin');
SELECT cluster, relation, key_column FROM plshard.distributed_tables;
DROP TABLE child2;
SELECT cluster, relation, key_column FROM plshard.distributed_tables;

-- only the owner changes a cluster
\set VERBOSITY terse
CREATE ROLE regress_plshard_user;
SET ROLE regress_plshard_user;
SELECT plshard.create_cluster('mine');
SELECT plshard.deploy('admin', 'SELECT 1');
SELECT plshard.drop_cluster('admin');
SELECT plshard.shard_for('admin', 1);
SELECT count(*) FROM plshard.placements;
SELECT count(*) FROM plshard.placement;
RESET ROLE;
DROP ROLE regress_plshard_user;

-- ids ascend in a session, and fit in a positive bigint
SELECT count(DISTINCT id), min(id) > 0 AS positive, bool_and(id > before) AS ascending
	FROM (SELECT id, lag(id, 1, 0) OVER (ORDER BY i) AS before
		  FROM (SELECT i, plshard.unique_id() AS id FROM generate_series(1, 1000) i) x) y;

-- a cluster keeps its id, for itself
\set SHOW_CONTEXT never
ALTER SERVER admin OPTIONS (DROP cluster_id);
ALTER SERVER admin OPTIONS (SET cluster_id '00000000-0000-0000-0000-000000000001');
SELECT format('CREATE SERVER twin FOREIGN DATA WRAPPER plshard OPTIONS (cluster_id %L)', cluster_id) AS twin
	FROM plshard.clusters WHERE cluster = 'admin' \gset
:twin;
\set SHOW_CONTEXT errors

-- the cluster's rows go with its server, however it is dropped
SELECT format('CREATE USER MAPPING FOR PUBLIC SERVER admin OPTIONS (user %L)', current_user) \gexec
ALTER SERVER admin RENAME TO administered;
SELECT DISTINCT cluster FROM plshard.placements;
BEGIN;
DROP SERVER administered;
SELECT count(*) FROM plshard.cluster;
SELECT count(*) FROM plshard.placement;
ROLLBACK;
SELECT plshard.drop_cluster('administered', drop_data => true);
SELECT (SELECT count(*) FROM plshard.cluster) AS clusters, (SELECT count(*) FROM plshard.node) AS nodes,
	(SELECT count(*) FROM plshard.ddl) AS commands, (SELECT count(*) FROM plshard.distributed_table) AS tables;
SELECT current_database() AS front \gset
\c regress_plshard_a1
SELECT nspname FROM pg_namespace WHERE nspname LIKE 'plshard%';
SELECT count(*) FROM pg_sequences WHERE schemaname = 'plshard_node';
\c :front
SET client_min_messages = warning;
DROP TABLE bad, child, "Odd one";
DROP TYPE mood;
DROP FUNCTION node_conninfo;
DROP SCHEMA plshard_node CASCADE;
DROP DATABASE regress_plshard_a1;
DROP DATABASE regress_plshard_a2;
DROP DATABASE regress_plshard_a3;
