-- Values that all replicas of a shard must have in common: plshard_node.now() and
-- plshard_node.unique_id() on the nodes, and warnings of what is not so.
\getenv srcdir PG_ABS_SRCDIR
\set cluster :srcdir '/test/include/cluster.psql'
\i :cluster

--
-- CREATE FUNCTION warns of what each replica would compute for itself
--
SELECT plshard.deploy('c', 'CREATE TABLE event (k text, id bigint, at timestamptz, what text)');
CREATE FUNCTION w1(k text) RETURNS void LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON hash(k);
	INSERT INTO event (k, at, id)
	VALUES (k, now(), (random() * 100)::int);
$$;
CREATE FUNCTION w2(k text) RETURNS void LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON hash(k);
	UPDATE event SET at = current_timestamp, id = nextval('s') WHERE event.k = w2.k;
$$;
CREATE PROCEDURE w6(k text) LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON hash(k); CALL p(k, clock_timestamp());
$$;
-- LET, reads and the accessors are no reason
CREATE FUNCTION w3(k text) RETURNS void LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON hash(k);
	LET now = now();
	INSERT INTO event (k, at, id) VALUES (k, now, plshard_node.unique_id());
$$;
CREATE FUNCTION w4(k text) RETURNS timestamptz STABLE LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON hash(k); SELECT now();
$$;
-- nor are they on a cluster without replicas, or a static one
SET client_min_messages = error;
DROP DATABASE IF EXISTS plshard_node5;
RESET client_min_messages;
CREATE DATABASE plshard_node5;
SELECT plshard.create_cluster('single');
SELECT plshard.add_node('single', 'n1', replace(:'node1', 'plshard_node1', 'plshard_node5'));
SELECT plshard.create_shards('single', 2, 1);
CREATE FUNCTION w5(k text) RETURNS timestamptz LANGUAGE plshard AS $$
	CLUSTER 'single'; RUN ON hash(k); SELECT now();
$$;
-- the text of deploy
SELECT plshard.deploy('c', 'CREATE TABLE u (at timestamptz DEFAULT now())');
SELECT plshard.deploy('c', $d$
	CREATE FUNCTION f() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN RETURN plshard_node.now(); END $$;
	CREATE FUNCTION g() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN RETURN "plshard_node" . now() + (now() - my.now()); END $$;
	CREATE FUNCTION h() RETURNS timestamptz LANGUAGE sql RETURN plshard_node.now() + (random() * interval '1 s');
	DROP FUNCTION f(); DROP FUNCTION g(); DROP FUNCTION h()
$d$);

--
-- The accessors
--
-- nothing is sent where nothing uses them
DELETE FROM plshard.ddl WHERE command LIKE '%plshard_node%';
CREATE FUNCTION plain(k text) RETURNS text LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON hash(k);
	WITH i AS (INSERT INTO event (k) VALUES (k))
	SELECT concat_ws(' ', current_setting('plshard' || '_node.now', true) <> '',
					 current_setting('plshard' || '_node.next_id', true) <> '');
$$;
SELECT plain('a');
SELECT plshard.deploy('c', 'ALTER TABLE event ALTER at SET DEFAULT plshard_node.now()');
SELECT plain('a');
SELECT plshard.deploy('c', 'ALTER TABLE event ALTER id SET DEFAULT "plshard_node".unique_id()');
SELECT plain('a');
SELECT bool_and(consistent) FROM plshard.verify('c');
CREATE FUNCTION events(OUT k text, OUT id bigint, OUT at timestamptz, OUT what text) RETURNS SETOF record STABLE LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON ALL; SELECT * FROM event; $$;
SELECT k, count(*), count(DISTINCT id), count(at), bool_and(at <= now()) FROM events() GROUP BY k;

-- the time is the front's transaction's, over several calls and shards
CREATE FUNCTION add(k text, what text DEFAULT NULL) RETURNS bigint LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(k); INSERT INTO event (k, what) VALUES (k, what) RETURNING id; $$;
BEGIN;
SELECT add('b' || i) IS NOT NULL AS added FROM generate_series(1, 3) AS i;
SELECT count(DISTINCT id), count(DISTINCT at), bool_and(at = now()) AS same FROM events() WHERE k ~ 'b\d';
COMMIT;
SELECT add('b4') IS NOT NULL;
SELECT count(DISTINCT id), count(DISTINCT at) FROM events() WHERE k ~ 'b\d';
-- whatever the session's settings
SET TimeZone = 'Asia/Kolkata';
SET DateStyle = 'German';
BEGIN;
SELECT add('tz') IS NOT NULL;
SELECT at = now() AS same FROM events() WHERE k = 'tz';
COMMIT;
RESET TimeZone;
RESET DateStyle;

-- ids: many in a call, in one order; other shards have others
CREATE FUNCTION add_many(k text, n int) RETURNS TABLE (i int, id bigint) LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON hash(k);
	INSERT INTO event (k, what) SELECT k, i FROM generate_series(1, n) AS i ORDER BY i RETURNING what::int AS i, id;
$$;
SELECT count(*), count(DISTINCT id), bool_and(id > before) AS ascending, min(id - before) AS step
FROM (SELECT id, lag(id) OVER (ORDER BY i) AS before FROM add_many('many', 16)) AS s;
SELECT count(*), count(DISTINCT id) FROM add_many('many', 17);
SELECT count(*), count(DISTINCT id) FROM add_many('many', 5000);
CREATE FUNCTION add_all(ks text[]) RETURNS SETOF bigint LANGUAGE plshard AS $$
	CLUSTER 'c'; SPLIT ks; RUN ON hash(ks);
	INSERT INTO event (k) SELECT * FROM unnest(ks) RETURNING id;
$$;
SELECT count(*), count(DISTINCT add_all) FROM add_all(ARRAY(SELECT 's' || i FROM generate_series(1, 500) AS i));
CREATE FUNCTION everywhere() RETURNS SETOF bigint LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON ALL; SELECT plshard_node.unique_id() FROM generate_series(1, 3); $$;
SELECT count(*), count(DISTINCT everywhere) FROM everywhere();
SELECT count(*), count(DISTINCT id) = count(id) AS distinct FROM events();
SELECT bool_and(consistent) FROM plshard.verify('c');
-- without replicas, where a call is sent together with its commit
SELECT plshard.deploy('single', 'CREATE TABLE event (id bigint DEFAULT plshard_node.unique_id(), at timestamptz DEFAULT plshard_node.now(), n int)');
CREATE FUNCTION add_single(n int) RETURNS bigint LANGUAGE plshard AS $$
	CLUSTER 'single'; RUN ON 0;
	WITH i AS (INSERT INTO event (n) SELECT * FROM generate_series(1, n) RETURNING id, at) SELECT count(DISTINCT id) FROM i;
$$;
SELECT add_single(1);
SELECT add_single(16);
SELECT add_single(300);
CREATE FUNCTION count_single() RETURNS text STABLE LANGUAGE plshard AS
	$$ CLUSTER 'single'; RUN ON 0; SELECT format('%s %s %s', count(*), count(DISTINCT id), count(DISTINCT at)) FROM event; $$;
SELECT count_single();

-- more than a call may have (here one that always pretends to have used up its own)
SELECT plshard.deploy('c', $d$
	CREATE FUNCTION too_many() RETURNS bigint LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM set_config('plshard_node.last_id', '0', true);
		RETURN plshard_node.unique_id();
	END $$
$d$);
CREATE FUNCTION too_many() RETURNS bigint LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; $$;
SELECT too_many();
-- they do not meet those of the front
SELECT count(DISTINCT id), count(*) FROM (
	SELECT plshard.unique_id() AS id FROM generate_series(1, 100)
	UNION ALL SELECT id FROM add_many('both', 100)
	UNION ALL SELECT plshard.unique_id() FROM generate_series(1, 100)) AS s;

-- in functions of the nodes; an exception block takes back what was drawn in it
SELECT plshard.deploy('c', $d$
	CREATE FUNCTION draw(k text) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE
		a bigint := plshard_node.unique_id();
		b bigint;
		t timestamptz := plshard_node.now();
	BEGIN
		BEGIN
			b := plshard_node.unique_id();
			RAISE no_data_found;
		EXCEPTION WHEN no_data_found THEN
		END;
		PERFORM pg_sleep(0.01);
		RETURN concat_ws(' ', a <> b, plshard_node.unique_id() = b, plshard_node.now() = t);
	END $$
$d$);
CREATE FUNCTION draw(k text) RETURNS text LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); $$;
SELECT draw('a');

-- outside of a write they are errors
CREATE FUNCTION read_now() RETURNS timestamptz STABLE LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON 0; SELECT plshard_node.now(); $$;
CREATE FUNCTION read_id() RETURNS bigint STABLE LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON 0; SELECT plshard_node.unique_id(); $$;
\set SHOW_CONTEXT never
SELECT read_now();
SELECT read_id();
SELECT plshard.deploy('c', 'INSERT INTO event (k) VALUES (''x'')');
SELECT current_database() AS front \gset
\c plshard_node1
SELECT plshard_node.now();
SELECT plshard_node.unique_id();
-- any role may use them
CREATE ROLE regress_plshard_reader;
SET ROLE regress_plshard_reader;
SELECT plshard_node.now();
RESET ROLE;
DROP ROLE regress_plshard_reader;
\c :front
\set SHOW_CONTEXT errors

-- a new column: its default is evaluated for the rows that are there, alike on all
-- replicas, and again when a placement is made anew
SELECT plshard.deploy('c', 'ALTER TABLE event ADD COLUMN seen timestamptz DEFAULT plshard_node.now()');
CREATE FUNCTION seen() RETURNS SETOF timestamptz STABLE LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON ALL; SELECT DISTINCT seen FROM event; $$;
SELECT count(*), count(DISTINCT seen) FROM seen();
SELECT bool_and(consistent) FROM plshard.verify('c');
UPDATE plshard.placement SET state = 'inactive' WHERE shard_id = 10000 AND position = 1;
UPDATE plshard.cluster SET epoch = epoch + 1;
SELECT shard_id, source_node, target_node FROM plshard.repair_cluster('c');
SELECT bool_and(consistent) FROM plshard.verify('c');
SELECT count(*), count(DISTINCT seen) FROM seen();
SELECT add('after') IS NOT NULL;
SELECT bool_and(consistent) FROM plshard.verify('c');

DROP FUNCTION w5, add_single, count_single;
SELECT plshard.drop_cluster('single', true);
\c plshard_node1
DROP DATABASE plshard_node5;
