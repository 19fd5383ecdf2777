-- What is wrong with definitions and calls is reported in one line, with the right
-- SQLSTATE, and where it stands or what to do; the next call works.
\getenv srcdir PG_ABS_SRCDIR
\set cluster :srcdir '/test/include/cluster.psql'
\i :cluster

SELECT plshard.deploy('c', $$
	CREATE TABLE item (k text PRIMARY KEY, v int NOT NULL CHECK (v >= 0));
	CREATE FUNCTION get(k text) RETURNS int LANGUAGE sql STABLE AS 'SELECT v FROM item WHERE item.k = $1';
	CREATE FUNCTION volatile_get(k text) RETURNS int LANGUAGE sql AS 'SELECT v FROM item WHERE item.k = $1'
$$);
CREATE FUNCTION put(k text, v int) RETURNS void LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(k); INSERT INTO item VALUES (put.k, put.v); $$;
CREATE FUNCTION get(k text) RETURNS int STABLE LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(k); $$;
SELECT put('a', 1);
SELECT get('a');

--
-- Bodies: the grammar
--
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ $$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	RUN ON hash(k);
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c'
	RUN ON hash(k);
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c';
	RUN ON hash(k)
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER "c"; RUN ON hash(k);
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c; RUN ON hash(k);
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER ''; RUN ON hash(k);
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON hash(k;
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON hash();
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON -1;
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON 1.5;
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON SOMETHING ELSE;
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN hash(k);
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c'; RUNON hash(k);
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON hash(k); CLUSTER 'c';
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON hash(k); RUN ON ALL;
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON hash(k); READ; WRITE;
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON hash(k); SELECT 1; SELECT 2;
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON hash(k); DROP TABLE item;
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON hash(k); TRUNCATE item;
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
BEGIN
	RETURN 1;
END
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON hash(k); /* not closed
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON hash(k); ON FAILURE IGNORE;
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON hash(k); LOCK TABLE item;
$$;
\echo :SQLSTATE

--
-- Bodies: names and types
--
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'nowhere'; RUN ON hash(k);
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c';
	RUN ON hash(kk);
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c';
	RUN ON hash(g.k);
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c';
	RUN ON hash($2);
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c';
	RUN ON hash(lowwer(k));
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c';
	RUN ON hash(k + 1);
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c';
	RUN ON hash(k, );
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c';
	RUN ON hash(string_to_table(k, ','));
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c';
	RUN ON hash(SELECT k);
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON k;
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON h;
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON lower(k);
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON 8;
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON 99999999999999999999;
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c';
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON hash(k);
	LET k = 1;
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON hash(k);
	LET a = b; LET b = 1;
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON hash(k);
	LET a no_type = 1;
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON hash(k);
	LET a = 1, 2;
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON hash(k);
	LET a int;
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON hash(k);
	TARGET get(k, v);
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON hash(k);
	TARGET get(lower(k));
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON hash(k);
	TARGET get;
	SELECT 1;
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON hash(k);
	SELECT v FRM item;
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON hash(k);
	SELECT v FROM item WHERE k = $2;
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON hash(k);
	SELECT v INTO x FROM item;
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS void STABLE LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON hash(k);
	DELETE FROM item WHERE item.k = f.k;
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int STABLE LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON hash(k);
	LOCK SHARD;
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS SETOF int LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON ALL;
	ON FAILURE SKIP;
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int STABLE LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON hash(k);
	TIMEOUT 'soon';
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int STABLE LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON hash(k);
	TIMEOUT '0';
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int STABLE LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON hash(k);
	TIMEOUT '3 weeks';
$$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int STABLE LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON hash(k);
	TIMEOUT 100;
$$;
\echo :SQLSTATE

--
-- Bodies: REDUCE
--
CREATE FUNCTION f() RETURNS bigint STABLE LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON ALL;
	SELECT count(*) AS n FROM item;
	REDUCE DELETE FROM result;
$$;
\echo :SQLSTATE
CREATE FUNCTION f() RETURNS bigint STABLE LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON ALL;
	SELECT count(*) AS n FROM item;
	REDUCE (n bigint, n bigint) SELECT sum(n)::bigint FROM result;
$$;
\echo :SQLSTATE
CREATE FUNCTION f() RETURNS bigint STABLE LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON ALL;
	SELECT count(*) AS n FROM item;
	REDUCE (n bigint) SELECT sum(m)::bigint FROM result;
$$;
\echo :SQLSTATE
CREATE FUNCTION f() RETURNS bigint STABLE LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON ALL;
	SELECT count(*) AS n FROM item;
	REDUCE (n bigint) SELECT sum(n) FROM results;
$$;
\echo :SQLSTATE
CREATE FUNCTION f() RETURNS bigint STABLE LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON ALL;
	SELECT count(*) AS n FROM item;
	REDUCE (n bigint) SELECT 'many'::text FROM result;
$$;
\echo :SQLSTATE
CREATE FUNCTION f() RETURNS bigint STABLE LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON ALL;
	SELECT count(*) AS n FROM item;
	REDUCE (n bigint) SELECT sum(n)::bigint, 1 FROM result;
$$;
\echo :SQLSTATE
CREATE FUNCTION f() RETURNS bigint STABLE LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON ALL;
	SELECT count(*) AS n FROM item;
	REDUCE (n) SELECT sum(n)::bigint FROM result;
$$;
\echo :SQLSTATE
CREATE FUNCTION f() RETURNS void LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON ALL;
	REDUCE SELECT 1;
$$;
\echo :SQLSTATE

--
-- Declarations
--
CREATE FUNCTION f() RETURNS trigger LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ANY; $$;
\echo :SQLSTATE
CREATE FUNCTION f(k internal) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ANY; $$;
\echo :SQLSTATE
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard PARALLEL SAFE AS $$ CLUSTER 'c'; RUN ON hash(k); $$;
\echo :SQLSTATE
DO LANGUAGE plshard $$ CLUSTER 'c'; RUN ON ALL; $$;
\echo :SQLSTATE
DO LANGUAGE plshard $$ CLUSTER 'c'; RUN ON hash(k); SELECT 1; $$;
\echo :SQLSTATE

--
-- Keys
--
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE TYPE moody AS (a int, m mood);
CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE FUNCTION f(k mood) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); $$;
\echo :SQLSTATE
CREATE FUNCTION f(k mood[]) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); $$;
\echo :SQLSTATE
CREATE FUNCTION f(k moody) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); $$;
\echo :SQLSTATE
CREATE FUNCTION f(k regclass) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(1, k); $$;
\echo :SQLSTATE
CREATE FUNCTION f(k json) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); $$;
\echo :SQLSTATE
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k COLLATE nocase); $$;
\echo :SQLSTATE
CREATE FUNCTION f() RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash('a'); $$;
\echo :SQLSTATE
DROP FUNCTION IF EXISTS f();

-- NULL
SELECT get(NULL);
\echo :SQLSTATE
CREATE FUNCTION get2(text, int) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(lower($1), $2); TARGET get($1); $$;
SELECT get2('a', NULL);
\echo :SQLSTATE
SELECT get2(NULL, 1);
\echo :SQLSTATE
CREATE FUNCTION on_hash(k text, h bigint) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON h; TARGET get(k); $$;
SELECT on_hash('a', NULL);
\echo :SQLSTATE
SELECT on_hash('a', 3000000000);
\echo :SQLSTATE
SELECT get('a');

--
-- Calls that meet other nodes than they expect.  With one placement a shard, all
-- sessions meet the same node.
--
UPDATE plshard.placement SET state = 'inactive' WHERE position = 1;
CREATE FUNCTION missing(k text) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); $$;
SELECT missing('a');
\echo :SQLSTATE
CREATE FUNCTION missing_write(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); $$;
SELECT missing_write('a');
\echo :SQLSTATE
CREATE FUNCTION missing_table(k text) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); SELECT v FROM no_table; $$;
SELECT missing_table('a');
\echo :SQLSTATE
CREATE FUNCTION volatile_get(k text) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); $$;
SELECT volatile_get('a');
\echo :SQLSTATE
CREATE FUNCTION other_columns(key text) RETURNS TABLE (k text, w int) STABLE LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(key); SELECT item.k, v FROM item; $$;
SELECT * FROM other_columns('a');
\echo :SQLSTATE
CREATE FUNCTION more_columns(key text) RETURNS TABLE (k text, v int) STABLE LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(key); SELECT item.k, v, 1 AS one FROM item; $$;
SELECT * FROM more_columns('a');
\echo :SQLSTATE
CREATE FUNCTION two_columns(key text) RETURNS int STABLE LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(key); SELECT item.k, v FROM item; $$;
SELECT two_columns('a');
\echo :SQLSTATE
CREATE FUNCTION wrong_type(key text) RETURNS int STABLE LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(key); SELECT item.k FROM item; $$;
SELECT wrong_type('a');
\echo :SQLSTATE
CREATE FUNCTION no_row(key text) RETURNS int STABLE LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(key); SELECT v FROM item WHERE false; $$;
SELECT no_row('a');
\echo :SQLSTATE
CREATE FUNCTION two_rows(key text) RETURNS int STABLE LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(key); VALUES (1), (2); $$;
SELECT two_rows('a');
\echo :SQLSTATE
CREATE FUNCTION a_record(key text) RETURNS record STABLE LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(key); SELECT item.k, v FROM item; $$;
SELECT a_record('a');
\echo :SQLSTATE
SELECT put('a', 1);
\echo :SQLSTATE
SELECT put('b', -1);
\echo :SQLSTATE
DO LANGUAGE plshard $$ CLUSTER 'c'; RUN ON 0; SELECT 1 / 0; $$;
\echo :SQLSTATE
DO $$ BEGIN PERFORM missing('a'); EXCEPTION WHEN undefined_function THEN RAISE NOTICE 'caught'; END $$;
BEGIN;
SELECT put('b', 2);
SELECT put('b', 2);
\echo :SQLSTATE
SELECT get('b');
\echo :SQLSTATE
ROLLBACK;
SELECT get('a');
UPDATE plshard.placement SET state = 'active';

-- a cluster without shards, and a server that is no cluster
SELECT plshard.create_cluster('empty');
CREATE FUNCTION on_empty(k text) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'empty'; RUN ON hash(k); $$;
SELECT on_empty('a');
\echo :SQLSTATE
SELECT plshard.shard_for('empty', 'a'::text);
\echo :SQLSTATE
SELECT plshard.add_node('empty', 'gone', 'host=/nowhere dbname=x');
\echo :SQLSTATE
SELECT plshard.create_shards('empty', 4, 2);
\echo :SQLSTATE
SELECT plshard.add_node('empty', 'n1', :'node1');
SELECT plshard.create_shards('empty', 4, 2);
\echo :SQLSTATE
SELECT plshard.create_shards('empty', 0, 1);
\echo :SQLSTATE
SELECT plshard.create_shards('empty', 1, 0);
\echo :SQLSTATE
SELECT plshard.add_node('empty', 'n1', :'node2');
\echo :SQLSTATE
SELECT plshard.add_node('empty', 'n2', :'node1');
\echo :SQLSTATE
CREATE FOREIGN DATA WRAPPER other;
CREATE SERVER not_a_cluster FOREIGN DATA WRAPPER other;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'not_a_cluster'; RUN ON hash(k); $$;
\echo :SQLSTATE
SELECT plshard.create_shards('not_a_cluster', 4);
\echo :SQLSTATE
CREATE SERVER bare FOREIGN DATA WRAPPER plshard;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'bare'; RUN ON hash(k); $$;
\echo :SQLSTATE
CREATE SERVER bare2 FOREIGN DATA WRAPPER plshard OPTIONS (cluster_id 'b8a1a4b4-5f9b-4f9c-9d35-0a4a5a3a2a1a');
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'bare2'; RUN ON hash(k); $$;
\echo :SQLSTATE

-- options
CREATE SERVER s FOREIGN DATA WRAPPER plshard OPTIONS (cluster_id 'one');
\echo :SQLSTATE
ALTER SERVER c OPTIONS (ADD colour 'blue');
\echo :SQLSTATE
ALTER SERVER c OPTIONS (ADD node_timeout 'soon');
\echo :SQLSTATE
ALTER SERVER c OPTIONS (ADD node_timeout '0');
\echo :SQLSTATE
ALTER SERVER c OPTIONS (ADD connect_timeout '10 parsecs');
\echo :SQLSTATE
ALTER SERVER c OPTIONS (ADD commit 'maybe');
\echo :SQLSTATE
ALTER SERVER c OPTIONS (ADD password_required 'perhaps');
\echo :SQLSTATE
ALTER SERVER c OPTIONS (ADD p0 'dbname=x');
\echo :SQLSTATE
CREATE USER MAPPING FOR CURRENT_USER SERVER c OPTIONS (host 'x');
\echo :SQLSTATE
CREATE USER MAPPING FOR CURRENT_USER SERVER c OPTIONS ("user" '');
\echo :SQLSTATE
ALTER FOREIGN DATA WRAPPER plshard OPTIONS (ADD x 'y');
\echo :SQLSTATE

-- repair
SELECT plshard.repair(1, 'n1', 'n2');
\echo :SQLSTATE
SELECT plshard.repair(10000, 'n1', 'n9');
\echo :SQLSTATE
SELECT plshard.repair(10000, 'n9', 'n1');
\echo :SQLSTATE
SELECT plshard.repair(10000, 'n1', 'n1');
\echo :SQLSTATE
SELECT plshard.repair(10000, 'n1', 'n2');
\echo :SQLSTATE
SELECT plshard.repair(10000, 'n3', 'n2');
\echo :SQLSTATE
SELECT plshard.repair(10000, 'n1', 'n3');
\echo :SQLSTATE
SELECT plshard.repair(10000, 'n1', 'n2', 'quickly');
\echo :SQLSTATE
SELECT plshard.repair(NULL, 'n1', 'n2');
\echo :SQLSTATE
SELECT * FROM plshard.repair_cluster('nowhere');
\echo :SQLSTATE
SELECT * FROM plshard.verify('nowhere');
\echo :SQLSTATE
SELECT plshard.shard_for('nowhere', 'a'::text);
\echo :SQLSTATE
SELECT plshard.shard_for('c', NULL::text);
\echo :SQLSTATE
SELECT plshard.shard_for('c', 'good'::mood);
\echo :SQLSTATE
SELECT plshard.shard_for('c');
\echo :SQLSTATE

-- explain_call
SELECT * FROM plshard.explain_call('get(''a''');
\echo :SQLSTATE
SELECT * FROM plshard.explain_call('lower(''a'')');
\echo :SQLSTATE
SELECT * FROM plshard.explain_call('1 + 1');
\echo :SQLSTATE
SELECT * FROM plshard.explain_call('no_such(''a'')');
\echo :SQLSTATE

-- a distributed table's key decides how its cluster's keys hash
CREATE TABLE orders (id int PRIMARY KEY, note text);
SELECT plshard.distribute_table('orders', 'id', 'c');
CREATE FUNCTION f(k numeric) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); $$;
\echo :SQLSTATE
CREATE FUNCTION f(k bigint) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); $$;
DROP FUNCTION f;

SELECT get('a');
SELECT state, count(*) FROM plshard.placements WHERE cluster = 'c' GROUP BY state;

-- what a connection string may have: of all options of libpq, where the database is and how to
-- reach it; as whom is for user mappings, and nothing reaches into the front's files or services
SET client_min_messages = error;
CREATE FUNCTION allowed(option text, ddl text) RETURNS bool LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format(ddl, option || '=1');
	RAISE 'undone';
EXCEPTION
	WHEN fdw_invalid_option_name OR syntax_error THEN RETURN false;
	WHEN OTHERS THEN RETURN true;
END $$;
CREATE TABLE libpq_option AS SELECT unnest('{application_name,channel_binding,client_encoding,connect_timeout,dbname,
	fallback_application_name,gssencmode,gsslib,host,hostaddr,keepalives,keepalives_count,keepalives_idle,keepalives_interval,
	krbsrvname,options,passfile,password,port,replication,requirepeer,service,ssl_max_protocol_version,ssl_min_protocol_version,
	sslcert,sslcompression,sslcrl,sslcrldir,sslkey,sslmode,sslpassword,sslrootcert,sslsni,target_session_attrs,tcp_user_timeout,
	user,nosuchoption}'::text[]) AS option;
SELECT plshard.create_cluster('allow_list');
\pset format unaligned
SELECT string_agg(option, ' ' ORDER BY option) FILTER (WHERE allowed(option, 'SELECT plshard.add_node(''allow_list'', ''n'', ''host=/nowhere %s'')')) AS of_a_node,
	string_agg(option, ' ' ORDER BY option) FILTER (WHERE allowed(option, 'CREATE SERVER allow_list_s FOREIGN DATA WRAPPER plshard OPTIONS (p0 ''host=/nowhere %s'')')) AS of_a_partition
FROM libpq_option;
RESET client_min_messages;
