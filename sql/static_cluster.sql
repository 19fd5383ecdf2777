-- Static clusters: partitions as options of a server, or by callback functions.
\getenv srcdir PG_ABS_SRCDIR
\set nodes :srcdir '/test/include/nodes.psql'
\i :nodes
\set ECHO none
\set front :DBNAME
\o /dev/null
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_plshard_static, regress_plshard_other;
RESET client_min_messages;
CREATE ROLE regress_plshard_static LOGIN;
CREATE ROLE regress_plshard_other LOGIN;
SELECT format($$
	CREATE TABLE item (k int, v text CHECK (v <> 'refused'));
	GRANT ALL ON item TO PUBLIC;
	CREATE FUNCTION where_is(k int) RETURNS text STABLE LANGUAGE sql AS 'SELECT current_database()::text';
	CREATE FUNCTION put(k int, v text) RETURNS text LANGUAGE sql AS
		'INSERT INTO item VALUES (k, v) RETURNING current_database()::text';
	CREATE FUNCTION items(OUT place text, OUT k int, OUT v text) RETURNS SETOF record STABLE LANGUAGE sql AS
		'SELECT current_database()::text, * FROM item ORDER BY 2, 3';
	CREATE FUNCTION whoami(k int) RETURNS text STABLE LANGUAGE sql AS 'SELECT session_user::text';
	CREATE FUNCTION backend(k int) RETURNS int STABLE LANGUAGE sql AS 'SELECT pg_backend_pid()';
	CREATE FUNCTION nap(k int) RETURNS int STABLE LANGUAGE sql AS 'SELECT 1 FROM pg_sleep(5)';
	CREATE FUNCTION setting(k int, name text) RETURNS text STABLE LANGUAGE sql AS 'SELECT current_setting(name)';
	CREATE FUNCTION die(k int) RETURNS bool LANGUAGE sql AS 'SELECT pg_terminate_backend(pg_backend_pid())';
	CREATE TABLE late (k int UNIQUE DEFERRABLE INITIALLY DEFERRED);
	GRANT ALL ON late TO PUBLIC;
	CREATE FUNCTION sly(k int) RETURNS text STABLE LANGUAGE plpgsql AS
		'BEGIN RETURN put(k, ''sly''); END';
	CREATE FUNCTION echo(a int, b float8, c timestamptz, d bytea, e numeric, f text[], g bool, h int8,
		OUT a2 int, OUT b2 float8, OUT c2 timestamptz, OUT d2 bytea, OUT e2 numeric, OUT f2 text[],
		OUT g2 bool, OUT h2 int8) STABLE LANGUAGE sql AS 'SELECT a, b, c, d, e, f, g, h';
$$) AS setup \gset
\c plshard_node1
:setup
\c plshard_node2
:setup
\c plshard_node3
:setup
\c plshard_node4
:setup
\c :front
\setenv PGDATABASE :front
SET client_min_messages = warning;
\o
\set ECHO all

--
-- Partitions as options of a server, in any order and under both names
--
CREATE SERVER part FOREIGN DATA WRAPPER plshard OPTIONS (
	p3 :'node4', partition_1 :'node2', p0 :'node1', partition_2 :'node3');
CREATE FUNCTION where_is(k int) RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER 'part'; RUN ON k; $$;
CREATE FUNCTION put(k int, v text) RETURNS text LANGUAGE plshard AS $$ CLUSTER 'part'; RUN ON k; $$;
CREATE FUNCTION items(OUT place text, OUT k int, OUT v text) RETURNS SETOF record STABLE LANGUAGE plshard AS $$
	CLUSTER 'part'; RUN ON ALL; $$;
CREATE FUNCTION backend(k int) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'part'; RUN ON k; $$;
CREATE FUNCTION whoami(k int) RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER 'part'; RUN ON k; $$;
CREATE FUNCTION setting(k int, name text) RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER 'part'; RUN ON k; $$;

-- a power of two: hash & (n - 1)
SELECT k, where_is(k) FROM unnest(ARRAY[0, 1, 2, 3, 4, 7, -1, -2, 2147483647, -2147483648]) k;
SELECT * FROM plshard.explain_call('where_is(-2)');
SELECT plshard.shard_for('part', 42) AS shard, where_is(hashint4(42)) AS place;
-- hash values of 64 bits
CREATE FUNCTION where_is8(k int8) RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER 'part'; RUN ON k; SELECT current_database()::text; $$;
CREATE FUNCTION parts_of(k int8[]) RETURNS SETOF text STABLE LANGUAGE plshard AS $$ CLUSTER 'part'; SPLIT k; RUN ON k; SELECT current_database() || k::text AS r; $$;
SELECT k, where_is8(k) FROM unnest('{4294967297,-4294967297,4294967294,2147483648,9223372036854775807,-9223372036854775808}'::int8[]) k;
SELECT parts_of('{4294967297,-4294967297,4294967294,2147483648}') ORDER BY 1;
CREATE FUNCTION at_3() RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER 'part'; RUN ON 3; SELECT current_database()::text; $$;
SELECT at_3();
CREATE FUNCTION at_4() RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER 'part'; RUN ON 4; SELECT current_database()::text; $$;

-- ALTER SERVER takes effect at the next call; any number: abs(hash % n)
ALTER SERVER part OPTIONS (DROP p3, ADD modular_mapping 'true');
SELECT k, where_is(k) FROM unnest(ARRAY[0, 1, 2, 3, 4, -1, -2, -3, 2147483647, -2147483648]) k;
SELECT k, where_is8(k) FROM unnest('{4294967297,-4294967297,4294967294,2147483648,9223372036854775807,-9223372036854775808}'::int8[]) k;
BEGIN;
SELECT where_is(1);
ALTER SERVER part OPTIONS (SET partition_1 :'node4');
SELECT where_is(1);
ROLLBACK;
SELECT where_is(1);

-- by another session, also within our transaction
PREPARE p AS SELECT k, where_is(k) FROM unnest(ARRAY[-1, 1]) k;
EXECUTE p;
\! psql -Xqc "ALTER SERVER part OPTIONS (SET modular_mapping 'false', DROP partition_2)"
EXECUTE p;
BEGIN;
EXECUTE p;
\! psql -Xqc "ALTER SERVER part OPTIONS (DROP partition_1)"
EXECUTE p;
COMMIT;
ALTER SERVER part OPTIONS (ADD partition_1 :'node2', ADD partition_2 :'node3', SET modular_mapping 'true');
DEALLOCATE p;
-- the same database twice is one node
ALTER SERVER part OPTIONS (SET modular_mapping 'false', ADD p3 :'node3');
SELECT k, where_is(k), backend(k) = backend(2) AS same FROM generate_series(1, 3) k;
SELECT * FROM plshard.explain_call('where_is(3)');
ALTER SERVER part OPTIONS (SET p3 :'node4');

-- options of the wrapper are defaults for all servers
ALTER FOREIGN DATA WRAPPER plshard OPTIONS (ADD modular_mapping 'on');
SELECT k, where_is(k) FROM unnest(ARRAY[3, -1]) k;
CREATE SERVER three FOREIGN DATA WRAPPER plshard OPTIONS (p0 :'node1', p1 :'node2', p2 :'node3');
ALTER SERVER part OPTIONS (DROP modular_mapping);
SELECT k, where_is(k) FROM unnest(ARRAY[3, -1]) k;
ALTER FOREIGN DATA WRAPPER plshard OPTIONS (DROP modular_mapping);
SELECT k, where_is(k) FROM unnest(ARRAY[3, -1]) k;
CREATE FUNCTION f(k int) RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER 'three'; RUN ON k; $$;
DROP SERVER three;

--
-- The validator
--
\set VERBOSITY default
CREATE SERVER bad FOREIGN DATA WRAPPER plshard OPTIONS (p0 'dbname=a', p1 'dbname=b', p2 'dbname=c');
CREATE SERVER bad FOREIGN DATA WRAPPER plshard OPTIONS (p0 'dbname=a', p2 'dbname=b');
CREATE SERVER bad FOREIGN DATA WRAPPER plshard OPTIONS (p1 'dbname=a', p2 'dbname=b');
CREATE SERVER bad FOREIGN DATA WRAPPER plshard OPTIONS (p0 'dbname=a', partition_0 'dbname=b');
CREATE SERVER bad FOREIGN DATA WRAPPER plshard OPTIONS (p0 'dbname=a', p00 'dbname=b');
CREATE SERVER bad FOREIGN DATA WRAPPER plshard OPTIONS (p99999999999999999999 'dbname=a');
CREATE SERVER bad FOREIGN DATA WRAPPER plshard OPTIONS (p0 'dbname=a', p1 'no connection string');
CREATE SERVER bad FOREIGN DATA WRAPPER plshard OPTIONS (p0 'dbname=a', p1 'dbname=b password=secret');
CREATE SERVER bad FOREIGN DATA WRAPPER plshard OPTIONS (p0 'dbname=a service=x');
CREATE SERVER bad FOREIGN DATA WRAPPER plshard OPTIONS (p0 'dbname=a', part1 'dbname=b');
CREATE SERVER bad FOREIGN DATA WRAPPER plshard OPTIONS (p0 'dbname=a', cluster_id 'b8a1a4b4-5f9b-4f9c-9d35-0a4a5a3a2a1a');
CREATE SERVER bad FOREIGN DATA WRAPPER plshard OPTIONS (autocommit 'true', cluster_id 'b8a1a4b4-5f9b-4f9c-9d35-0a4a5a3a2a1a');
CREATE SERVER bad FOREIGN DATA WRAPPER plshard OPTIONS (p0 'dbname=a', connection_lifetime 'long');
CREATE SERVER bad FOREIGN DATA WRAPPER plshard OPTIONS (p0 'dbname=a', connection_lifetime '-1');
CREATE SERVER bad FOREIGN DATA WRAPPER plshard OPTIONS (p0 'dbname=a', query_timeout '9999999');
CREATE SERVER bad FOREIGN DATA WRAPPER plshard OPTIONS (p0 'dbname=a', connect_timeout '5 miles');
CREATE SERVER bad FOREIGN DATA WRAPPER plshard OPTIONS (p0 'dbname=a', disable_binary 'maybe');
CREATE SERVER bad FOREIGN DATA WRAPPER plshard OPTIONS (p0 'dbname=a', default_user 'postgres');
CREATE SERVER bad FOREIGN DATA WRAPPER plshard OPTIONS (p0 'dbname=a', keepalive_count '3 s');
CREATE SERVER bad FOREIGN DATA WRAPPER plshard OPTIONS (p0 'dbname=a connect_timeout=soon');
-- an empty value is the default; one of PL/Proxy's options never had an effect
CREATE SERVER good FOREIGN DATA WRAPPER plshard OPTIONS (p0 'dbname=a connect_timeout=5', connection_lifetime '', modular_mapping '', default_user 'CURRENT_USER', statement_timeout '10');
DROP SERVER good;
ALTER SERVER part OPTIONS (DROP p3);
ALTER FOREIGN DATA WRAPPER plshard OPTIONS (ADD p0 'dbname=a');
CREATE SERVER bare FOREIGN DATA WRAPPER plshard;
CREATE FUNCTION f(k int) RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER 'bare'; RUN ON k; $$;
DROP SERVER bare;
\set VERBOSITY terse

-- what has no meaning without a registry is refused; functions hold their server up
SELECT plshard.deploy('part', 'CREATE TABLE t (a int)');
SELECT plshard.add_node('part', 'n', 'dbname=x');
SELECT plshard.verify('part');
SELECT plshard.repair_cluster('part');
DROP SERVER part;

--
-- Writes are in the caller's transaction
--
SELECT put(0, 'kept');
BEGIN;
SELECT put(0, 'lost'), put(1, 'lost');
SAVEPOINT s;
SELECT put(2, 'lost');
ROLLBACK TO s;
SELECT * FROM items() ORDER BY 1, 2, 3;
ROLLBACK;
BEGIN;
SELECT put(1, 'kept');
SAVEPOINT s;
SELECT put(1, 'lost');
ROLLBACK TO s;
SELECT put(2, 'kept');
COMMIT;
SELECT put(3, 'refused');
SELECT * FROM items() ORDER BY 1, 2, 3;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM items();
SELECT put(3, 'kept');
COMMIT;
-- a read cannot write
CREATE FUNCTION sly(k int) RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER 'part'; RUN ON k; $$;
SELECT sly(0);
-- nothing of plshard's is used on the nodes: no locks, no epoch, their own search_path
SET plshard.log_remote_commands = on;
SET client_min_messages = notice;
SELECT put(0, 'logged');
SELECT where_is(0);
SET client_min_messages = warning;
SELECT setting(0, 'search_path'), setting(0, 'application_name');

-- a server that changes during a transaction: what was written commits where it was
BEGIN;
SELECT put(1, 'before');
ALTER SERVER part OPTIONS (SET partition_1 :'node4');
SELECT put(1, 'after');
COMMIT;
ALTER SERVER part OPTIONS (SET partition_1 :'node2');
SELECT * FROM items() ORDER BY 1, 2, 3;

-- autocommit: each call on its own, as with PL/Proxy
ALTER SERVER part OPTIONS (ADD autocommit 'true');
BEGIN;
SELECT put(0, 'stays'), put(1, 'stays');
SELECT * FROM items() WHERE v = 'stays' ORDER BY 1, 2, 3;
ROLLBACK;
SELECT * FROM items() WHERE v = 'stays' ORDER BY 1, 2, 3;
SELECT sly(0);
SET client_min_messages = notice;
SELECT put(0, 'logged');
SELECT put(0, 'logged');
SELECT where_is(0);
SET client_min_messages = warning;
SELECT put(0, 'refused');
SELECT put(0, 'after the error');
SELECT sly(0);
-- what fails at the very end, on the node
CREATE FUNCTION put_late(k int) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'part'; RUN ON k; INSERT INTO late VALUES (k) RETURNING 1 AS one; $$;
SELECT put_late(0);
SELECT put_late(0);
SELECT put_late(4);
CREATE FUNCTION put_all(v text) RETURNS SETOF text LANGUAGE plshard AS $$
	CLUSTER 'part'; RUN ON ALL; INSERT INTO item VALUES (9, v) RETURNING current_database()::text AS place; $$;
SELECT * FROM put_all('everywhere') ORDER BY 1;
-- an idle connection that the node has ended is noticed before anything is sent
SELECT pg_terminate_backend(backend(0), 5000);
SELECT put(0, 'on a new connection');
-- what was on its way when the connection broke may have been done: it is not sent again
CREATE FUNCTION die(k int) RETURNS bool LANGUAGE plshard AS $$ CLUSTER 'part'; RUN ON k; $$;
SELECT die(0);
\echo :SQLSTATE
SELECT put(0, 'stays, too');
-- in a transaction that has written on the node already, it goes on there
ALTER SERVER part OPTIONS (SET autocommit 'false');
BEGIN;
SELECT put(0, 'lost');
ALTER SERVER part OPTIONS (SET autocommit 'true');
SELECT put(0, 'lost');
ROLLBACK;
SELECT v, count(*) FROM items() WHERE v IN ('lost', 'everywhere', 'on a new connection') GROUP BY v ORDER BY v;
ALTER SERVER part OPTIONS (DROP autocommit);

-- CONNECT has the wrapper's options; a catalog cluster has no use for this one
SELECT format($f$
	CREATE FUNCTION put_connected(k int, v text) RETURNS text LANGUAGE plshard AS $$ CONNECT %L; TARGET put; $$ $f$, :'node1') AS create \gset
:create;
BEGIN;
SELECT put_connected(0, 'connected: lost');
ROLLBACK;
ALTER FOREIGN DATA WRAPPER plshard OPTIONS (ADD autocommit 'true');
BEGIN;
SELECT put_connected(0, 'connected: stays');
ROLLBACK;
SELECT plshard.create_cluster('registry');
SELECT plshard.add_node('registry', 'n1', :'node1');
SELECT plshard.create_shards('registry', 1, 1);
CREATE FUNCTION put_shard(k int, v text) RETURNS text LANGUAGE plshard AS $$ CLUSTER 'registry'; TARGET public.put; $$;
BEGIN;
SELECT put_shard(0, 'registry: lost');
ROLLBACK;
ALTER FOREIGN DATA WRAPPER plshard OPTIONS (DROP autocommit);
SELECT v FROM items() WHERE v LIKE '%: %';
DROP FUNCTION put_shard;
SELECT plshard.drop_cluster('registry', true);

-- a lost node is an error, and stays one until it is back
ALTER SERVER part OPTIONS (SET partition_1 'host=/nowhere dbname=x');
SELECT where_is(1);
SELECT put(1, 'lost');
SELECT where_is(0);
ALTER SERVER part OPTIONS (SET partition_1 :'node2');
SELECT where_is(1);
BEGIN;
SELECT put(1, 'lost');
SELECT pg_terminate_backend(backend(1), 5000);
COMMIT;
SELECT v FROM items() WHERE v = 'lost';

--
-- Settings of connections
--
SELECT backend(0) AS before \gset
SELECT backend(0) = :before AS same;
ALTER SERVER part OPTIONS (ADD connection_lifetime '1');
SELECT pg_sleep(1.1);
SELECT backend(0) = :before AS same;
ALTER SERVER part OPTIONS (SET connection_lifetime '0');

CREATE FUNCTION nap(k int) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'part'; RUN ON k; $$;
ALTER SERVER part OPTIONS (ADD query_timeout '200 ms');
SELECT nap(0);
SELECT setting(0, 'statement_timeout');
ALTER SERVER part OPTIONS (SET query_timeout '2');
SELECT setting(0, 'statement_timeout');
ALTER SERVER part OPTIONS (DROP query_timeout);

CREATE FUNCTION echo(a int, b float8, c timestamptz, d bytea, e numeric, f text[], g bool, h int8,
	OUT a2 int, OUT b2 float8, OUT c2 timestamptz, OUT d2 bytea, OUT e2 numeric, OUT f2 text[],
	OUT g2 bool, OUT h2 int8) STABLE LANGUAGE plshard AS $$ CLUSTER 'part'; RUN ON 0; $$;
\x
SELECT * FROM echo(1, 0.1, '2024-02-29 12:00:00.123456+02', '\x00ff', 1.50, '{a,NULL,"c d"}', true, -1);
ALTER SERVER part OPTIONS (ADD disable_binary '1');
SELECT * FROM echo(1, 0.1, '2024-02-29 12:00:00.123456+02', '\x00ff', 1.50, '{a,NULL,"c d"}', true, -1);
SELECT * FROM echo(NULL, 'NaN', 'infinity', NULL, NULL, '{}', NULL, NULL);
ALTER SERVER part OPTIONS (DROP disable_binary);
\x

--
-- The role that connects
--
GRANT USAGE ON FOREIGN SERVER part TO regress_plshard_static;
SET ROLE regress_plshard_other;
SELECT whoami(0);
SET ROLE regress_plshard_static;
SELECT whoami(0);
RESET ROLE;
-- a superuser may let others in without passwords
ALTER SERVER part OPTIONS (ADD password_required 'false');
SET ROLE regress_plshard_static;
SELECT whoami(0);
RESET ROLE;
-- the user of a conninfo, a mapping for PUBLIC, one for the role
\set node1_as_other :node1 ' user=regress_plshard_other'
ALTER SERVER part OPTIONS (SET p0 :'node1_as_other');
SELECT whoami(0), whoami(1) = current_user AS superuser;
CREATE USER MAPPING FOR PUBLIC SERVER part OPTIONS (user 'regress_plshard_static');
SELECT whoami(0), whoami(1);
CREATE USER MAPPING FOR CURRENT_USER SERVER part OPTIONS (user 'regress_plshard_other');
SELECT whoami(0), whoami(1);
ALTER USER MAPPING FOR CURRENT_USER SERVER part OPTIONS (SET user 'regress_plshard_static');
SELECT whoami(0), whoami(1);
\! psql -Xqc "ALTER USER MAPPING FOR CURRENT_USER SERVER part OPTIONS (SET user 'regress_plshard_other')"
SELECT whoami(0), whoami(1);
DROP USER MAPPING FOR CURRENT_USER SERVER part;
DROP USER MAPPING FOR PUBLIC SERVER part;
-- an exemption of a mapping is not one for the role that the server names
ALTER SERVER part OPTIONS (DROP password_required);
CREATE USER MAPPING FOR regress_plshard_static SERVER part OPTIONS (password_required 'false');
SET ROLE regress_plshard_static;
SELECT whoami(1);
SELECT whoami(0);
RESET ROLE;
DROP USER MAPPING FOR regress_plshard_static SERVER part;
ALTER SERVER part OPTIONS (SET p0 :'node1', ADD password_required 'false');
-- default_user
SET ROLE regress_plshard_static;
SELECT whoami(0);
RESET ROLE;
ALTER SERVER part OPTIONS (ADD default_user 'session_user');
SET ROLE regress_plshard_static;
SELECT whoami(0) = session_user AS session_user;
RESET ROLE;
ALTER SERVER part OPTIONS (SET default_user 'current_user');
SET ROLE regress_plshard_static;
SELECT whoami(0);
RESET ROLE;
-- what others may not set
ALTER SERVER part OPTIONS (DROP default_user, DROP password_required);
ALTER SERVER part OWNER TO postgres;
GRANT USAGE ON FOREIGN DATA WRAPPER plshard TO regress_plshard_static;
SET ROLE regress_plshard_static;
CREATE SERVER mine FOREIGN DATA WRAPPER plshard OPTIONS (p0 'dbname=x', default_user 'session_user');
CREATE SERVER mine FOREIGN DATA WRAPPER plshard OPTIONS (p0 'dbname=x', password_required 'false');
RESET ROLE;
REVOKE USAGE ON FOREIGN DATA WRAPPER plshard FROM regress_plshard_static;

--
-- Callback functions
--
CREATE FUNCTION called(k int) RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER 'called'; RUN ON k; TARGET where_is; $$;
CREATE TABLE config (cluster text, version int);
CREATE TABLE partition (cluster text, number int, conninfo text);
CREATE TABLE option (cluster text, key text, val text);
INSERT INTO config VALUES ('called', 1), ('part', 1);
INSERT INTO partition VALUES ('called', 0, :'node1'), ('called', 1, :'node2'), ('part', 0, 'host=/nowhere');
GRANT SELECT ON config, partition, option TO PUBLIC;
CREATE FUNCTION plshard.get_cluster_version(cluster_name text) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	v int;
BEGIN
	RAISE NOTICE 'version?';
	SELECT version INTO v FROM public.config WHERE cluster = cluster_name;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'no such cluster: %', cluster_name;
	END IF;
	RETURN v;
END
$$;
CREATE FUNCTION plshard.get_cluster_partitions(cluster_name text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	RAISE NOTICE 'partitions?';
	RETURN QUERY SELECT conninfo FROM public.partition WHERE cluster = cluster_name ORDER BY number;
END
$$;
CREATE FUNCTION plshard.get_cluster_config(cluster_name text, OUT key text, OUT val text) RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY SELECT o.key, o.val FROM public.option o WHERE cluster = cluster_name;
END
$$;
CREATE FUNCTION called(k int) RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER 'called'; RUN ON k; TARGET where_is; $$;
CREATE FUNCTION unknown(k int) RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER 'unknown'; RUN ON k; TARGET where_is; $$;
SET client_min_messages = notice;
SET plshard.log_remote_commands = off;
-- a VOLATILE version is looked at in each call
SELECT called(k) FROM generate_series(0, 2) k;
-- a raised version takes effect
UPDATE config SET version = 2 WHERE cluster = 'called';
INSERT INTO partition VALUES ('called', 2, :'node3'), ('called', 3, :'node4');
SELECT called(k) FROM generate_series(2, 3) k;
-- a STABLE one once in a statement, and after the transaction's own changes
ALTER FUNCTION plshard.get_cluster_version(text) STABLE;
SELECT called(k) FROM generate_series(0, 3) k;
DO $$
BEGIN
	PERFORM called(0);
	PERFORM called(0);
	UPDATE config SET version = 3 WHERE cluster = 'called';
	PERFORM called(0);
	PERFORM called(0);
END
$$;
-- raised by another session, also within our transaction
BEGIN;
SELECT called(1);
\! psql -Xqc "UPDATE config SET version = 30 WHERE cluster = 'called'"
SELECT called(1);
COMMIT;
-- an IMMUTABLE one only when the map is made
ALTER FUNCTION plshard.get_cluster_version(text) IMMUTABLE;
SELECT called(0);
SELECT called(0);
UPDATE config SET version = 4 WHERE cluster = 'called';
SELECT called(0);
-- a change of the functions is noticed always
UPDATE partition SET conninfo = :'node4' WHERE cluster = 'called' AND number = 0;
CREATE OR REPLACE FUNCTION plshard.get_cluster_version(cluster_name text) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 4';
SELECT called(0);
\! psql -Xqc "CREATE OR REPLACE FUNCTION plshard.get_cluster_version(cluster_name text) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 5'"
SELECT called(0);
SELECT called(0);
SET client_min_messages = warning;
CREATE OR REPLACE FUNCTION plshard.get_cluster_version(cluster_name text) RETURNS int STABLE LANGUAGE sql AS
	'SELECT version FROM public.config WHERE cluster = cluster_name';

-- calls, and new versions, leave no memory behind
ALTER FUNCTION plshard.get_cluster_version(text) VOLATILE;
CREATE PROCEDURE many_calls(n int) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. n LOOP
		PERFORM called(i);
		IF i % 50 = 0 THEN
			UPDATE config SET version = version + 1 WHERE cluster = 'called';
			COMMIT;
		END IF;
	END LOOP;
END
$$;
CALL many_calls(500);
SELECT sum(used_bytes) AS before FROM pg_backend_memory_contexts \gset
CALL many_calls(5000);
SELECT sum(used_bytes) - :before < 100000 AS level FROM pg_backend_memory_contexts;
ALTER FUNCTION plshard.get_cluster_version(text) STABLE;

-- a server comes before them, as soon as it is there and as long
SELECT where_is(0);
CREATE SERVER called FOREIGN DATA WRAPPER plshard OPTIONS (p0 :'node3');
SELECT called(0), called(1);
DROP SERVER called;
SELECT called(0), called(1);
SELECT * FROM plshard.explain_call('called(1)');

-- what they may not say
UPDATE config SET version = NULL WHERE cluster = 'called';
SELECT called(0);
UPDATE config SET version = 10 WHERE cluster = 'called';
INSERT INTO option VALUES ('called', 'colour', 'blue');
SELECT called(0);
UPDATE option SET key = 'query_timeout', val = 'soon';
SELECT called(0);
UPDATE option SET key = NULL;
SELECT called(0);
DELETE FROM option;
ALTER FUNCTION plshard.get_cluster_partitions(text) RENAME TO kept_aside;
SELECT called(0);
CREATE FUNCTION plshard.get_cluster_partitions(text, OUT a text, OUT b int) RETURNS SETOF record LANGUAGE sql AS 'SELECT NULL::text, 1';
SELECT called(0);
DROP FUNCTION plshard.get_cluster_partitions(text);
ALTER FUNCTION plshard.kept_aside(text) RENAME TO get_cluster_partitions;
UPDATE partition SET conninfo = NULL WHERE cluster = 'called' AND number = 3;
SELECT called(0);
UPDATE partition SET conninfo = 'dbname=x passfile=y' WHERE cluster = 'called' AND number = 3;
\set VERBOSITY default
SELECT called(0);
\set VERBOSITY terse
DELETE FROM partition WHERE cluster = 'called' AND number = 3;
SELECT called(0);
INSERT INTO option VALUES ('called', 'modular_mapping', '1'), ('called', 'connection_lifetime', '1800'),
	('called', 'keepalive_idle', '20'), ('called', 'Disable_Binary', '1'), ('called', 'query_timeout', NULL);
SELECT called(0), called(1), called(-2), called(3);
DELETE FROM partition WHERE cluster = 'called';
UPDATE config SET version = 11 WHERE cluster = 'called';
SELECT called(0);

-- writes, autocommit
INSERT INTO partition VALUES ('called', 0, :'node1');
UPDATE config SET version = 12 WHERE cluster = 'called';
CREATE FUNCTION put_called(k int, v text) RETURNS text LANGUAGE plshard AS $$ CLUSTER 'called'; RUN ON k; TARGET put; $$;
BEGIN;
SELECT put_called(0, 'called: lost');
ROLLBACK;
INSERT INTO option VALUES ('called', 'autocommit', 'true');
UPDATE config SET version = 13 WHERE cluster = 'called';
BEGIN;
SELECT put_called(0, 'called: stays');
ROLLBACK;
SELECT v FROM items() WHERE v LIKE 'called:%';

-- rights: EXECUTE on the functions; a password in the conninfo, or a superuser's word
REVOKE EXECUTE ON FUNCTION plshard.get_cluster_partitions(text) FROM PUBLIC;
SET ROLE regress_plshard_static;
SELECT called(0);
RESET ROLE;
GRANT EXECUTE ON FUNCTION plshard.get_cluster_partitions(text) TO regress_plshard_static;
SET ROLE regress_plshard_static;
\set VERBOSITY default
SELECT called(0);
\set VERBOSITY terse
RESET ROLE;
INSERT INTO option VALUES ('called', 'password_required', 'false');
UPDATE config SET version = 14 WHERE cluster = 'called';
SET ROLE regress_plshard_static;
SELECT called(0);
RESET ROLE;
ALTER FUNCTION plshard.get_cluster_config(text) OWNER TO regress_plshard_static;
SELECT called(0);
ALTER FUNCTION plshard.get_cluster_config(text) OWNER TO CURRENT_USER;
DELETE FROM option WHERE key = 'password_required';
UPDATE partition SET conninfo = conninfo || ' password=secret' WHERE cluster = 'called';
UPDATE config SET version = 15 WHERE cluster = 'called';
SET ROLE regress_plshard_static;
SELECT called(0);
RESET ROLE;
SELECT called(0);

-- without them the cluster is gone
DROP FUNCTION plshard.get_cluster_version(text);
SELECT called(0);

\set ECHO none
\o /dev/null
DROP EXTENSION plshard CASCADE;
DROP OWNED BY regress_plshard_static, regress_plshard_other;
DROP ROLE regress_plshard_static, regress_plshard_other;
