-- RUN ON ANY, and RUN ON left out: a partition at random, another one where it is down.
\getenv srcdir PG_ABS_SRCDIR
\set nodes :srcdir '/test/include/nodes.psql'
\i :nodes
\pset format unaligned
\set ECHO none
\set front :DBNAME
\o /dev/null
SELECT $$
	CREATE TABLE item (v text);
	CREATE FUNCTION place() RETURNS text STABLE LANGUAGE sql AS 'SELECT current_database()::text';
	CREATE FUNCTION put(v text) RETURNS text LANGUAGE sql AS 'INSERT INTO item VALUES (v) RETURNING current_database()::text';
	CREATE FUNCTION die() RETURNS bool LANGUAGE sql AS 'SELECT pg_terminate_backend(pg_backend_pid())';
	CREATE FUNCTION die_at(database text) RETURNS text STABLE LANGUAGE plpgsql AS
		'BEGIN IF current_database() = database THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF; RETURN current_database(); END';
	CREATE FUNCTION rows_then_die(database text) RETURNS SETOF text STABLE LANGUAGE plpgsql AS
		'BEGIN RETURN QUERY SELECT current_database() || repeat('' '', 100) FROM generate_series(1, 1000);
			IF current_database() = database THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF; END';
	CREATE FUNCTION fail() RETURNS text STABLE LANGUAGE plpgsql AS 'BEGIN RAISE ''no''; END';
$$ AS setup \gset
\c plshard_node1
:setup
\c plshard_node2
:setup
\c plshard_node3
:setup
\c plshard_node4
:setup
\c :front
SET client_min_messages = warning;
\o
\set ECHO all
CREATE SERVER part FOREIGN DATA WRAPPER plshard OPTIONS (p0 :'node1', p1 :'node2', p2 :'node3', p3 :'node4');
CREATE FUNCTION place() RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER 'part'; RUN ON ANY; $$;
CREATE FUNCTION left_out() RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER 'part'; TARGET place; $$;
CREATE FUNCTION put(v text) RETURNS text LANGUAGE plshard AS $$ CLUSTER 'part'; $$;
CREATE FUNCTION left_out_of(cluster text) RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER cluster; TARGET place(); $$;
-- (each one is missed by 200 draws with a probability of 1e-25)
SELECT place, count(*) > 0 AS some FROM (SELECT place() AS place FROM generate_series(1, 200) OFFSET 0) q GROUP BY 1 ORDER BY 1;
SELECT place, count(*) > 0 AS some FROM (SELECT left_out() AS place FROM generate_series(1, 200) OFFSET 0) q GROUP BY 1 ORDER BY 1;
SELECT put('x') AS place, count(*) > 0 AS some FROM generate_series(1, 200) GROUP BY 1 ORDER BY 1;
SELECT place, count(*) > 0 AS some FROM (SELECT left_out_of('part') AS place FROM generate_series(1, 200) OFFSET 0) q GROUP BY 1 ORDER BY 1;
-- with SPLIT each element goes to some partition
CREATE FUNCTION spread(v int[]) RETURNS SETOF text STABLE LANGUAGE plshard AS $$
	CLUSTER 'part'; SPLIT v; SELECT current_database() || ' ' || x AS y FROM unnest(v) x; $$;
SELECT count(*), count(DISTINCT split_part(y, ' ', 1)) AS places, sum(split_part(y, ' ', 2)::int)
	FROM spread(ARRAY(SELECT generate_series(1, 200))) y;
SELECT count(*) FROM spread('{}') y;
-- clusters of the registry need RUN ON, since keys decide where their rows are
SELECT plshard.create_cluster('c');
SELECT plshard.add_node('c', 'n1', :'node1');
SELECT plshard.create_shards('c', 2, 1);
CREATE FUNCTION refused() RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; TARGET place; $$;
SELECT left_out_of('c');
SELECT plshard.drop_cluster('c', true);
-- and CONNECT has one place
SELECT format('CREATE FUNCTION connected(v int[]) RETURNS SETOF int STABLE LANGUAGE plshard AS $$ CONNECT %L; SPLIT v; SELECT cardinality(v); $$', :'node1') AS create \gset
:create;
SELECT connected('{1,2}');
SELECT connected('{}');

--
-- Partitions that are down
--
ALTER SERVER part OPTIONS (SET p1 'host=/nowhere dbname=x', SET p3 'host=/nowhere dbname=y');
SELECT place, count(*) > 0 AS some FROM (SELECT place() AS place FROM generate_series(1, 100) OFFSET 0) q GROUP BY 1 ORDER BY 1;
SELECT put('y') AS place, count(*) > 0 AS some FROM generate_series(1, 100) GROUP BY 1 ORDER BY 1;
SELECT count(*), count(DISTINCT split_part(y, ' ', 1)) AS places, sum(split_part(y, ' ', 2)::int)
	FROM spread(ARRAY(SELECT generate_series(1, 200))) y;
-- in a transaction
BEGIN;
SELECT count(put('z')) FROM generate_series(1, 50);
ROLLBACK;
ALTER SERVER part OPTIONS (ADD autocommit 'true');
SELECT put('alone') AS place, count(*) > 0 AS some FROM generate_series(1, 100) GROUP BY 1 ORDER BY 1;
ALTER SERVER part OPTIONS (DROP autocommit);
CREATE FUNCTION counted(v text) RETURNS SETOF bigint STABLE LANGUAGE plshard AS $$
	CLUSTER 'part'; RUN ON ALL; ON FAILURE SKIP; SELECT count(*) FROM item AS i WHERE i.v = counted.v; $$;
SET client_min_messages = error;
SELECT v, sum(n) FROM unnest('{y,z,alone}'::text[]) v, counted(v) n GROUP BY v ORDER BY v;
SET client_min_messages = warning;
-- one that refuses us is no better than one that is down
ALTER SERVER part OPTIONS (SET p1 :'node2', SET p3 :'node4');
ALTER DATABASE plshard_node2 ALLOW_CONNECTIONS false;
ALTER DATABASE plshard_node3 ALLOW_CONNECTIONS false;
SELECT count(pg_terminate_backend(pid, 10000)) > 0 AS ended FROM pg_stat_activity
	WHERE datname IN ('plshard_node2', 'plshard_node3') AND backend_type = 'client backend';
SELECT place, count(*) > 0 AS some FROM (SELECT place() AS place FROM generate_series(1, 100) OFFSET 0) q GROUP BY 1 ORDER BY 1;
SELECT put('y') AS place, count(*) > 0 AS some FROM generate_series(1, 100) GROUP BY 1 ORDER BY 1;
ALTER DATABASE plshard_node2 ALLOW_CONNECTIONS true;
ALTER DATABASE plshard_node3 ALLOW_CONNECTIONS true;
-- one that dies in the middle of a read, also after rows have come
CREATE FUNCTION die_at(database text) RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER 'part'; $$;
CREATE FUNCTION rows_then_die(database text) RETURNS SETOF text STABLE LANGUAGE plshard AS $$ CLUSTER 'part'; $$;
DO $$
DECLARE
	rows bigint;
	places bigint;
BEGIN
	FOR i IN 1 .. 30 LOOP
		ASSERT die_at('plshard_node1') <> 'plshard_node1';
		SELECT count(*), count(DISTINCT r) INTO rows, places FROM rows_then_die('plshard_node2') r;
		ASSERT rows = 1000 AND places = 1, format('%s rows of %s', rows, places);
	END LOOP;
END
$$;
-- a write is not sent elsewhere once it was on its way, and an error of a node is one
CREATE FUNCTION write_at(database text) RETURNS text LANGUAGE plshard AS $$ CLUSTER 'part'; TARGET die_at; $$;
DO $$
DECLARE
	failed int = 0;
BEGIN
	FOR i IN 1 .. 100 LOOP
		BEGIN
			PERFORM write_at('plshard_node3');
		EXCEPTION WHEN admin_shutdown THEN
			failed := failed + 1;
		END;
	END LOOP;
	ASSERT failed BETWEEN 1 AND 60, failed;
END
$$;
CREATE FUNCTION die() RETURNS bool LANGUAGE plshard AS $$ CLUSTER 'part'; $$;
CREATE FUNCTION fail() RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER 'part'; $$;
\set VERBOSITY sqlstate
SELECT die();
SELECT fail();
-- none is left
ALTER SERVER part OPTIONS (SET p0 'host=/nowhere dbname=1', SET p1 'host=/nowhere dbname=2', SET p2 'host=/nowhere dbname=3', SET p3 'host=/nowhere dbname=4');
SELECT place();
SELECT put('x');

\set ECHO none
\o /dev/null
DROP EXTENSION plshard CASCADE;
