-- Calls with an id happen once: a repeated one gets the first one's result.
\getenv srcdir PG_ABS_SRCDIR
\set cluster :srcdir '/test/include/cluster.psql'
\i :cluster
SELECT plshard.deploy('c', 'CREATE TABLE t (k text PRIMARY KEY, v numeric(10,2))');
CREATE FUNCTION bump(k text, n numeric DEFAULT 1) RETURNS numeric LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON hash(k);
	INSERT INTO t VALUES (k, n) ON CONFLICT (k) DO UPDATE SET v = t.v + excluded.v RETURNING v;
$$;
CREATE FUNCTION get(k text) RETURNS numeric STABLE LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(k); SELECT max(v) FROM t WHERE t.k = get.k; $$;

-- a transaction of its own, and the rest of one
SELECT bump('a');
SET plshard.call_id = 'first';
SELECT bump('a');
SELECT bump('a');
SELECT bump('a');
RESET plshard.call_id;
SELECT bump('a'), get('a');
BEGIN;
SET LOCAL plshard.call_id = 'second';
SELECT bump('b'), bump('b');
COMMIT;
BEGIN;
SET LOCAL plshard.call_id = 'second';
SELECT bump('b');
COMMIT;
SELECT get('b');
-- what is rolled back has not happened
BEGIN;
SET LOCAL plshard.call_id = 'third';
SELECT bump('c');
ROLLBACK;
BEGIN;
SET LOCAL plshard.call_id = 'third';
SAVEPOINT s;
SELECT bump('c', 5);
ROLLBACK TO s;
SELECT bump('c', 2);
COMMIT;
SELECT get('c');

-- other arguments
SET plshard.call_id = 'first';
SELECT bump('a', 2);
SELECT bump('a', NULL);
SELECT bump('a', 1.0);
-- ... that lead to another shard are found within a transaction
BEGIN;
SET LOCAL plshard.call_id = 'fourth';
SELECT bump('d');
SELECT bump('x');
ROLLBACK;
-- another function under the same id is another call
CREATE FUNCTION drop_key(key text) RETURNS TABLE (k text, v numeric) LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(key); DELETE FROM t WHERE t.k = $1 RETURNING *; $$;
SELECT * FROM drop_key('b');
SELECT * FROM drop_key('b');
RESET plshard.call_id;
SELECT * FROM drop_key('b');
-- reads ignore it
SET plshard.call_id = 'read';
SELECT get('a');
SELECT get('c');
RESET plshard.call_id;

-- results of all kinds come back as they were: sets, NULLs, no rows, void, OUT arguments
CREATE TYPE pair AS (x int, y text);
SELECT plshard.deploy('c', $d$
	CREATE TABLE log (n int);
	CREATE TYPE pair AS (x int, y text);
	CREATE FUNCTION logged(n int) RETURNS int LANGUAGE sql AS 'INSERT INTO log VALUES (n) RETURNING n';
	CREATE FUNCTION pairs(n int) RETURNS SETOF pair LANGUAGE sql AS
		$$ SELECT i, CASE WHEN i > 1 THEN 'y' || i END FROM generate_series(1, logged(n)) AS i; $$;
	CREATE FUNCTION nothing(n int) RETURNS void LANGUAGE sql AS 'SELECT logged(n)';
	CREATE PROCEDURE two(n int, OUT a float8, OUT b bytea) LANGUAGE plpgsql AS
		$$ BEGIN PERFORM logged(n); a := n / 4.0; b := '\x0001ff'; END $$
$d$);
CREATE FUNCTION pairs(n int) RETURNS SETOF pair LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; $$;
CREATE FUNCTION nothing(n int) RETURNS void LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; $$;
CREATE PROCEDURE two(n int, OUT a float8, OUT b bytea) LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; $$;
CREATE FUNCTION logs() RETURNS bigint STABLE LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON ALL; SELECT count(*) AS n FROM log; REDUCE SELECT sum(n)::bigint FROM result; $$;
SET plshard.call_id = 'kinds';
SELECT * FROM pairs(3);
SELECT * FROM pairs(3);
SELECT nothing(1);
SELECT nothing(1);
CALL two(1, NULL, NULL);
CALL two(1, NULL, NULL);
SELECT logs();
SET plshard.call_id = 'no rows';
SELECT * FROM pairs(0);
SELECT * FROM pairs(0);
SELECT logs();
-- as text, too
ALTER SERVER c OPTIONS (ADD disable_binary 'true');
SELECT * FROM pairs(0);
SET plshard.call_id = 'kinds';
SELECT * FROM pairs(3);
SET plshard.call_id = 'text';
SELECT * FROM pairs(2);
ALTER SERVER c OPTIONS (DROP disable_binary);
SELECT * FROM pairs(2);
SELECT logs();
-- DO: its text is its argument
DO LANGUAGE plshard $$ CLUSTER 'c'; RUN ON 0; INSERT INTO log VALUES (1); $$;
DO LANGUAGE plshard $$ CLUSTER 'c'; RUN ON 0; INSERT INTO log VALUES (1); $$;
SELECT logs();

-- several shards: each keeps its part
CREATE FUNCTION add_all(ks text[]) RETURNS SETOF text LANGUAGE plshard AS
	$$ CLUSTER 'c'; SPLIT ks; RUN ON hash(ks); INSERT INTO t SELECT unnest(ks), 1 RETURNING k; $$;
CREATE FUNCTION log_everywhere() RETURNS bigint LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON ALL; INSERT INTO log VALUES (1) RETURNING n;
	REDUCE SELECT count(*) FROM result;
$$;
SET plshard.call_id = 'many';
SELECT count(*) FROM add_all(ARRAY(SELECT 's' || i FROM generate_series(1, 50) AS i));
SELECT count(*) FROM add_all(ARRAY(SELECT 's' || i FROM generate_series(1, 50) AS i));
SELECT count(*) FROM add_all(ARRAY(SELECT 's' || i FROM generate_series(1, 49) AS i));
SELECT log_everywhere();
SELECT log_everywhere();
SELECT logs();
-- LETs are not arguments: they may be computed anew
CREATE FUNCTION stamped(k text) RETURNS timestamptz LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON hash(k);
	LET ts = clock_timestamp();
	SELECT ts;
$$;
SELECT stamped('a') AS first \gset
SELECT stamped('a') = :'first' AS same;

-- what cannot have an id
CREATE FUNCTION anywhere() RETURNS int LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON ANY; INSERT INTO log VALUES (1) RETURNING n; $$;
SELECT anywhere();
CREATE FUNCTION random_key() RETURNS bigint LANGUAGE plshard AS $$
	CLUSTER 'c'; LET id = plshard.unique_id(); LET key = id + 1; RUN ON hash(key);
	SELECT id;
$$;
SELECT random_key();
CREATE FUNCTION random_shard() RETURNS int LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash((SELECT random())); INSERT INTO log VALUES (1) RETURNING n; $$;
SELECT random_shard();
CREATE SERVER static FOREIGN DATA WRAPPER plshard OPTIONS (p0 'dbname=nowhere');
CREATE FUNCTION on_static() RETURNS int LANGUAGE plshard AS $$ CLUSTER 'static'; SELECT 1; $$;
SELECT on_static();
SELECT set_config('plshard.call_id', repeat('x', 201), false);
CREATE FUNCTION long(n int) RETURNS text LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON 0; WITH i AS (INSERT INTO log VALUES (n)) SELECT repeat('x', n); $$;
SELECT length(long(1000000)), length(long(1000000));
SET plshard.call_id = 'too long';
SELECT length(long(1100000));
SELECT logs();
RESET plshard.call_id;

-- a shard without replicas, where a call without an id is one round trip
SELECT plshard.create_cluster('single');
SELECT plshard.add_node('single', 's1', :'node2');
SELECT plshard.create_shards('single', 1, 1);
SELECT plshard.deploy('single', 'CREATE TABLE t (v int); INSERT INTO t VALUES (0)');
CREATE FUNCTION count_up() RETURNS int LANGUAGE plshard AS
	$$ CLUSTER 'single'; RUN ON 0; UPDATE t SET v = v + 1 RETURNING v; $$;
SELECT count_up();
SET plshard.call_id = 'single';
SELECT count_up();
SELECT count_up();
RESET plshard.call_id;
SELECT count_up();

-- how long: then the call runs again
ALTER SERVER c OPTIONS (ADD call_id_lifetime '0');
ALTER SERVER c OPTIONS (ADD call_id_lifetime '1 h');
BEGIN;
SET LOCAL plshard.call_id = 'life';
SELECT bump('e');
COMMIT;
SELECT format('plshard_node."calls_%s"', cluster_id) AS calls, current_database() AS front,
	plshard.shard_for('c', 'e') AS shard
	FROM plshard.clusters WHERE cluster = 'c' \gset
SELECT node FROM plshard.placements WHERE shard_id = :shard;
-- both replicas have stored the same; time passes here by changing what they have stored
\c plshard_node4
SELECT call_id, function, role = current_user AS own,
	expires > now() + interval '59 min' AND expires <= now() + interval '1 h' AS in_an_hour
	FROM :calls WHERE call_id = 'life';
UPDATE :calls SET expires = now() - interval '1 s' WHERE call_id = 'life';
\c plshard_node1
UPDATE :calls SET expires = now() - interval '1 s' WHERE call_id = 'life';
\c :front
SET plshard.call_id = 'life';
SELECT bump('e');
SELECT bump('e');
SELECT get('e');
-- what has expired for an hour is removed by later calls, on all replicas, 100 at once
\c plshard_node4
UPDATE :calls SET expires = now() - interval '59 min' WHERE shard_id = :shard;
INSERT INTO :calls SELECT :shard, 'old' || i, 'f()', current_user, '', '', now() - i * interval '2 h' FROM generate_series(1, 150) AS i;
\c plshard_node1
UPDATE :calls SET expires = now() - interval '59 min' WHERE shard_id = :shard;
INSERT INTO :calls SELECT :shard, 'old' || i, 'f()', current_user, '', '', now() - i * interval '2 h' FROM generate_series(1, 150) AS i;
\c :front
SET plshard.call_id = 'cleaner';
SELECT bump('e');
\c plshard_node4
SELECT count(*), max(substr(call_id, 4)::int) FILTER (WHERE call_id ~ 'old') AS oldest,
	count(*) FILTER (WHERE call_id = 'life') AS life FROM :calls WHERE shard_id = :shard AND call_id ~ 'old|life';
\c :front
SET plshard.call_id = 'cleaner2';
SELECT bump('e');
\c plshard_node1
SELECT count(*), count(*) FILTER (WHERE call_id = 'life') AS life FROM :calls WHERE shard_id = :shard AND call_id ~ 'old|life';

-- each role has ids of its own, and sees no other's results
CREATE ROLE regress_plshard_other LOGIN;
SET ROLE regress_plshard_other;
SELECT count(*) FROM :calls;
\set VERBOSITY sqlstate
INSERT INTO :calls VALUES (10003, 'forged', 'f()', 'postgres', '', '', now());
\set VERBOSITY default
RESET ROLE;
\c :front
SELECT plshard.deploy('c', 'GRANT ALL ON t TO PUBLIC');
GRANT USAGE ON FOREIGN SERVER c TO regress_plshard_other;
CREATE USER MAPPING FOR regress_plshard_other SERVER c OPTIONS (user 'regress_plshard_other', password_required 'false');
SET plshard.call_id = 'mine';
SELECT bump('role');
SET ROLE regress_plshard_other;
SELECT bump('role');
SELECT bump('role');
RESET ROLE;
SELECT bump('role');
SELECT get('role');

-- verify looks at what is kept, and repair copies it
RESET plshard.call_id;
SELECT table_name, bool_and(consistent) FROM plshard.verify('c') GROUP BY 1 ORDER BY 1;
\c plshard_node1
DELETE FROM :calls WHERE shard_id = :shard AND call_id = 'cleaner';
\c :front
SELECT node, table_name, row_count, consistent FROM plshard.verify('c') WHERE shard_id = :shard AND table_name ~ 'calls';
UPDATE plshard.placement SET state = 'inactive'
	WHERE shard_id = :shard AND node_id = (SELECT node_id FROM plshard.nodes WHERE node = 'n1');
UPDATE plshard.cluster SET epoch = epoch + 1;
SELECT source_node, target_node FROM plshard.repair_cluster('c');
SELECT node, table_name, row_count, consistent FROM plshard.verify('c') WHERE shard_id = :shard AND table_name ~ 'calls';
SET plshard.call_id = 'cleaner';
SELECT bump('e');
-- replicas that have kept different results
\c plshard_node1
UPDATE :calls SET result = result || '\x00' WHERE shard_id = :shard AND call_id = 'cleaner';
\c :front
SET plshard.call_id = 'cleaner';
SELECT bump('e');
RESET plshard.call_id;

-- nothing stays of a cluster that is dropped with its data
DO $$
BEGIN
	EXECUTE (SELECT string_agg(format('DROP ROUTINE %s', oid::regprocedure), ';') FROM pg_proc
			 WHERE prolang = (SELECT oid FROM pg_language WHERE lanname = 'plshard'));
END $$;
SELECT plshard.drop_cluster('single', true);
SELECT plshard.drop_cluster('c', true);
\c plshard_node1
SELECT to_regclass(:'calls');
\c :front
DROP SERVER static;
DROP OWNED BY regress_plshard_other;
DROP ROLE regress_plshard_other;
