-- What a superuser calls must not find what another user has put first in the search_path, neither
-- here nor on the nodes.
\getenv srcdir PG_ABS_SRCDIR
\set nodes :srcdir '/test/include/nodes.psql'
\i :nodes
\set evil :srcdir '/test/include/evil.psql'
\set first :DBNAME
\c plshard_node1
\i :evil
ALTER DATABASE plshard_node1 SET search_path = evil, pg_catalog, public;
\c plshard_node2
\i :evil
ALTER DATABASE plshard_node2 SET search_path = evil, pg_catalog, public;
\c :first
\i :evil
\pset format unaligned
\pset footer off
\set SHOW_CONTEXT never
-- a table whose schema has operators of its own
CREATE TABLE evil.item (k text PRIMARY KEY, v int DEFAULT 1 CHECK (v OPERATOR(pg_catalog.>) 0));
CREATE TABLE public.item (k text PRIMARY KEY, v int);
CREATE INDEX ON public.item (v);
SET search_path = evil, pg_catalog, public;
-- (it is there)
SELECT 1 = 1;
SELECT lower('A');

SELECT plshard.create_cluster('c');
SELECT plshard.add_node('c', 'n1', :'node1'), plshard.add_node('c', 'n2', :'node2');
SELECT plshard.add_node('c', 'n3', :'node3');
SELECT plshard.drop_node('c', 'n3');
SELECT plshard.accept_node('c', 'n1');
SELECT plshard.create_shards('c', 4, 2);
SELECT plshard.deploy('c', 'CREATE TABLE plain (k text PRIMARY KEY, v int)');
SELECT plshard.deploy('c', 'CREATE TABLE valued (k text PRIMARY KEY, at timestamptz DEFAULT plshard_node.now(), id bigint DEFAULT plshard_node.unique_id())');
CREATE FUNCTION public.put_valued(k text) RETURNS bool LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); INSERT INTO valued (k) VALUES (k) RETURNING at IS NOT NULL AND id IS NOT NULL AS valued; $$;
SELECT public.put_valued('a');
SELECT plshard.table_definition('public.item');
SELECT plshard.table_definition('evil.item');
SELECT plshard.distribute_table('public.item', 'k', 'c');
SELECT plshard.shard_for('c', 'a'::text) IS NOT NULL AS found, plshard.unique_id() IS NOT NULL AS id;
CREATE FUNCTION public.put(k text, v int) RETURNS void LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); INSERT INTO item VALUES (k, v); $$;
CREATE FUNCTION public.get(k text) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); SELECT i.v FROM item i WHERE i.k OPERATOR(pg_catalog.=) get.k; $$;
CREATE FUNCTION public.several(ks text[]) RETURNS SETOF text STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; SPLIT ks; RUN ON hash(ks); SELECT * FROM pg_catalog.unnest(ks) AS u; $$;
CREATE FUNCTION public.counted() RETURNS bigint STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; SELECT k FROM item; REDUCE SELECT pg_catalog.count(k) FROM result; $$;
SELECT public.put('a', 1), public.put('b', 2);
BEGIN;
SELECT public.put('c', 3);
SAVEPOINT s;
SELECT public.put('d', 4);
ROLLBACK TO s;
SELECT public.get('c'), public.counted();
COMMIT;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT public.get('a');
COMMIT;
SELECT public.get('a'), public.counted();
SELECT * FROM public.several('{a,b,c}') AS s ORDER BY s COLLATE "C" USING OPERATOR(pg_catalog.<);
SELECT shard_id IS NOT NULL AS explained, remote_sql FROM plshard.explain_call('public.get(''a'')');
SELECT pg_catalog.count(*) FROM plshard.clusters UNION ALL SELECT pg_catalog.count(*) FROM plshard.nodes UNION ALL
SELECT pg_catalog.count(*) FROM plshard.shards UNION ALL SELECT pg_catalog.count(*) FROM plshard.placements UNION ALL
SELECT pg_catalog.count(*) FROM plshard.distributed_tables;
SELECT pg_catalog.bool_and(consistent) FROM plshard.verify('c');
UPDATE plshard.placement SET state = 'inactive' WHERE position OPERATOR(pg_catalog.=) 1;
SELECT plshard.repair(10000, 'n1', 'n2');
SET client_min_messages = warning;
SELECT rows IS NOT NULL AS repaired FROM plshard.repair_cluster('c');
SELECT pg_catalog.bool_and(consistent) FROM plshard.verify('c');
SELECT pg_catalog.count(*) FROM plshard.in_doubt UNION ALL SELECT pg_catalog.count(*) FROM plshard.recover('c')
	UNION ALL SELECT pg_catalog.count(*) FROM plshard.forget_front('00000000-0000-0000-0000-000000000001');
ALTER SERVER c OPTIONS (ADD node_timeout '3 s');
-- static clusters, and callback functions
CREATE SERVER s FOREIGN DATA WRAPPER plshard OPTIONS (p0 :'node1', p1 :'node2');
CREATE FUNCTION public.on_s(k text) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 's'; RUN ON hash(k); SELECT 1; $$;
SELECT public.on_s('a');
CREATE TABLE public.place AS SELECT :'node1' AS conninfo;
CREATE FUNCTION plshard.get_cluster_version(text) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION plshard.get_cluster_partitions(text) RETURNS SETOF text LANGUAGE sql AS 'SELECT conninfo FROM public.place';
CREATE FUNCTION plshard.get_cluster_config(text, OUT key text, OUT val text) RETURNS SETOF record LANGUAGE sql AS 'SELECT ''query_timeout'', ''9''';
CREATE FUNCTION public.on_called(k text) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'called'; RUN ON hash(k); SELECT 1; $$;
SELECT public.on_called('a');
DROP TABLE public.item;
DROP FUNCTION public.put_valued, public.put, public.get, public.several, public.counted;
SELECT plshard.drop_cluster('c', true);
RESET search_path;
DROP FUNCTION plshard.get_cluster_version, plshard.get_cluster_partitions, plshard.get_cluster_config;
SET client_min_messages = warning;
DROP SCHEMA evil CASCADE;
-- these are the functions that were called, and the triggers
SELECT string_agg(proname, ' ' ORDER BY proname) FROM pg_proc WHERE pronamespace = 'plshard'::regnamespace;
