-- Compiled functions, cached maps and prepared statements follow what they were made from.
\getenv srcdir PG_ABS_SRCDIR
\set cluster :srcdir '/test/include/cluster.psql'
\i :cluster
\pset format unaligned
\pset footer off
-- (which replica a read goes to depends on the session)
\set SHOW_CONTEXT never
-- for other sessions, as in \! psql
\setenv PGDATABASE :DBNAME
SELECT plshard.deploy('c', $$
	CREATE TABLE item (k text PRIMARY KEY, n int);
	CREATE FUNCTION answer() RETURNS int STABLE LANGUAGE sql AS 'SELECT 42';
	CREATE FUNCTION items() RETURNS SETOF item STABLE LANGUAGE sql AS 'SELECT * FROM item';
$$);

--
-- The function itself
--
CREATE FUNCTION f(n int) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; SELECT n; $$;
SELECT f(1);
CREATE OR REPLACE FUNCTION f(n int) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; SELECT n + 1; $$;
SELECT f(1);
-- by another session, also within our transaction, also under a prepared statement
PREPARE p AS SELECT f(1), f FROM f(1);
EXECUTE p;
\! psql -Xqc 'CREATE OR REPLACE FUNCTION f(n int) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER $c$c$c$; RUN ON 0; SELECT n + 2; $$'
EXECUTE p;
BEGIN;
SELECT f(1);
\! psql -Xqc 'CREATE OR REPLACE FUNCTION f(n int) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER $c$c$c$; RUN ON 0; SELECT n + 3; $$'
SELECT f(1);
SAVEPOINT s;
CREATE OR REPLACE FUNCTION f(n int) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; SELECT n + 4; $$;
SELECT f(1);
ROLLBACK TO s;
SELECT f(1);
COMMIT;
EXECUTE p;
-- while it runs
CREATE FUNCTION replaces(n int) RETURNS int LANGUAGE plpgsql AS $_$
BEGIN
	EXECUTE format('CREATE OR REPLACE FUNCTION g(n int) RETURNS int LANGUAGE plshard AS
		$$ CLUSTER ''c''; READ; LET m = replaces(n); RUN ON 0; SELECT m * 100 + %s; $$', n);
	RETURN n;
END $_$;
SELECT replaces(1);
SELECT g(2), g(3);
SELECT g(4) FROM generate_series(1, 3);
-- from a read to a write and back, to a set, to another name
CREATE FUNCTION put(k text) RETURNS text LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); INSERT INTO item VALUES (k, 0) RETURNING item.k; $$;
SELECT put('volatile');
ALTER FUNCTION put STABLE;
SELECT put('stable');
ALTER FUNCTION put VOLATILE;
SELECT put('volatile again');
DROP FUNCTION put;
CREATE FUNCTION put(k text) RETURNS SETOF text LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); INSERT INTO item VALUES (k, 0), (k || '!', 0) RETURNING item.k; $$;
SELECT put('set');
CREATE FUNCTION answer() RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; $$;
SELECT answer();
ALTER FUNCTION answer RENAME TO question;
SELECT question();
ALTER FUNCTION question RENAME TO answer;
SELECT answer();

--
-- Types
--
CREATE TYPE pair AS (a int, b text);
SELECT plshard.deploy('c', $$
	CREATE TYPE pair AS (a int, b text);
	CREATE FUNCTION pair(n int) RETURNS pair STABLE LANGUAGE sql AS 'SELECT n, ''b''::text';
	CREATE FUNCTION take(p pair) RETURNS text STABLE LANGUAGE sql AS 'SELECT p::text';
$$);
CREATE FUNCTION pair(n int) RETURNS pair STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(n); $$;
CREATE FUNCTION pairs(n int) RETURNS SETOF pair STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(n); TARGET pair; $$;
CREATE FUNCTION reduced() RETURNS pair STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; SELECT 1 AS n; REDUCE (n int) SELECT sum(n), 'r' FROM result; $$;
CREATE FUNCTION take(p pair) RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(p.a); $$;
SELECT pair(1), pairs(1), reduced(), take((1, 'x'));
ALTER TYPE pair ADD ATTRIBUTE c int;
SELECT pair(1);
SELECT pairs(1);
SELECT reduced();
SELECT take((1, 'x', 2));
-- (the functions that use it are in the way of a type's change, here and there)
SELECT plshard.deploy('c', $$
	ALTER TYPE pair ADD ATTRIBUTE c int;
	CREATE OR REPLACE FUNCTION pair(n int) RETURNS pair STABLE LANGUAGE sql AS 'SELECT n, ''b''::text, 3'
$$);
SELECT pair(1), pairs(1), take((1, 'x', 2));
ALTER TYPE pair DROP ATTRIBUTE b;
SELECT pair(1), pairs(1);
ALTER TYPE pair RENAME ATTRIBUTE c TO e;
SELECT pair(1);
SELECT plshard.deploy('c', 'ALTER TYPE pair RENAME ATTRIBUTE c TO e');
SELECT pair(1);
BEGIN;
ALTER TYPE pair ADD ATTRIBUTE b text;
SELECT pair(1);
ROLLBACK;
SELECT pair(1);
-- a type within a type, and a domain's constraints
CREATE DOMAIN small AS int;
CREATE TYPE outer_pair AS (p pair, s small);
CREATE FUNCTION outer_pair(n int) RETURNS outer_pair STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(n); SELECT ROW(n, 3) AS p, n AS s; $$;
SELECT outer_pair(1), outer_pair(10);
ALTER DOMAIN small ADD CHECK (VALUE < 10);
SELECT outer_pair(1);
SELECT outer_pair(10);
ALTER TYPE pair ADD ATTRIBUTE d text;
SELECT outer_pair(1);
ALTER TYPE pair DROP ATTRIBUTE d;
SELECT outer_pair(1);
ALTER TYPE pair ALTER ATTRIBUTE e TYPE text CASCADE;
SELECT outer_pair(1), pg_typeof((outer_pair(1)).p.e);
-- a table as the type
CREATE TABLE item (k text PRIMARY KEY, n int);
CREATE FUNCTION items() RETURNS SETOF item STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; $$;
SELECT count(i.n) FROM items() i;
ALTER TABLE item ALTER n TYPE bigint, ADD more int DEFAULT 1;
SELECT count(i.n) FROM items() i;
ALTER TABLE item DROP more;
SELECT count(i.n), pg_typeof(max(i.n)) FROM items() i;

--
-- The nodes' objects: statements that are prepared there
--
CREATE FUNCTION all_of_item() RETURNS SETOF record STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash('set'); SELECT * FROM item ORDER BY 1; $$;
CREATE FUNCTION count_answers() RETURNS bigint STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; SELECT answer(); REDUCE SELECT count(*) FROM result; $$;
SELECT * FROM all_of_item() AS i(k text, n int);
SELECT count_answers(), answer();
SELECT plshard.deploy('c', 'ALTER TABLE item ADD more text DEFAULT ''m''');
SELECT * FROM all_of_item() AS i(k text, n int);
SELECT * FROM all_of_item() AS i(k text, n int, more text);
SELECT plshard.deploy('c', 'DROP FUNCTION answer(); CREATE FUNCTION answer() RETURNS bigint STABLE LANGUAGE sql AS ''SELECT 43::bigint''');
SELECT count_answers(), answer();
SELECT plshard.deploy('c', 'ALTER TABLE item DROP more');
SELECT * FROM all_of_item() AS i(k text, n int);
-- ... in a transaction that wrote there
BEGIN;
SELECT put('in transaction');
SELECT * FROM all_of_item() AS i(k text, n int) WHERE k = 'set';
COMMIT;
-- ... on connections that a node has closed
SELECT count(pg_terminate_backend(pid, 5000)) > 0 AS closed FROM pg_stat_activity WHERE datname LIKE 'plshard\_node_';
SELECT count_answers(), answer();
SELECT count(pg_terminate_backend(pid, 5000)) > 0 AS closed FROM pg_stat_activity WHERE datname LIKE 'plshard\_node_';
SELECT put('after');

--
-- What expressions use
--
CREATE FUNCTION key(text) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT -2147483648';
CREATE FUNCTION on_key(k text) RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON key(k); SELECT current_schema()::text; $$;
SELECT on_key('a');
CREATE OR REPLACE FUNCTION key(text) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 2147483647';
SELECT on_key('a');
DROP FUNCTION key(text);
SELECT on_key('a');
CREATE FUNCTION key(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT $1';
SELECT on_key('a');
DROP FUNCTION key(text);
CREATE FUNCTION key(text) RETURNS bigint IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN 0; END';
SELECT on_key('a');
CREATE TABLE place (k text, h int);
INSERT INTO place VALUES ('a', 0);
CREATE FUNCTION placed(place text) RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; LET h = (SELECT h FROM place p WHERE p.k = placed.place); RUN ON h; SELECT concat_ws(' ', current_schema(), pg_typeof(h), h); $$;
SELECT placed('a');
UPDATE place SET h = -1;
SELECT placed('a');
ALTER TABLE place ALTER h TYPE bigint;
SELECT placed('a');
ALTER TABLE place RENAME TO other_place;
SELECT placed('a');
ALTER TABLE other_place RENAME TO place;
SELECT placed('a');

-- the search_path at the call decides what a name means
CREATE SCHEMA s1;
CREATE SCHEMA s2;
CREATE FUNCTION s1.low(text) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT -2147483648';
CREATE FUNCTION s2.low(text) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 2147483647';
CREATE DOMAIN s1.tiny AS int CHECK (VALUE < 5);
CREATE DOMAIN s2.tiny AS int;
SET search_path = s1, public;
CREATE FUNCTION public.low(k text, n int) RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; LET t tiny = n; RUN ON low(k); SELECT current_schema()::text; $$;
CREATE FUNCTION public.fixed(k text, n int) RETURNS text STABLE LANGUAGE plshard SET search_path = s2, public AS $$ CLUSTER 'c'; LET t tiny = n; RUN ON low(k); SELECT current_schema()::text; $$;
SELECT low('a', 1), fixed('a', 9);
SELECT low('a', 9);
SET search_path = s2, public;
SELECT low('a', 9), fixed('a', 9);
SET search_path = s1, public;
SELECT low('a', 1), fixed('a', 9);
SET search_path = public;
SELECT low('a', 1);
SELECT fixed('a', 9);
SET search_path = pg_catalog;
SELECT public.f(1), public.answer();
RESET search_path;

--
-- Roles: rights are looked at for each, on the front and on the nodes
--
SET client_min_messages = error;
DROP ROLE IF EXISTS regress_plshard_caller;
RESET client_min_messages;
CREATE ROLE regress_plshard_caller LOGIN;
CREATE FUNCTION secret(text) RETURNS int STABLE LANGUAGE plpgsql AS 'BEGIN RETURN 0; END';
CREATE FUNCTION on_secret(k text) RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON secret(k); SELECT current_user; $$;
CREATE FUNCTION as_owner(k text) RETURNS text STABLE LANGUAGE plshard SECURITY DEFINER AS $$ CLUSTER 'c'; RUN ON secret(k); SELECT current_user; $$;
SELECT on_secret('a') = current_user AS right;
SET ROLE regress_plshard_caller;
SELECT on_secret('a');
SELECT as_owner('a') = session_user AS right;
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER c TO regress_plshard_caller;
SET ROLE regress_plshard_caller;
SELECT on_secret('a');
RESET ROLE;
-- (every connection of this test is trusted)
CREATE USER MAPPING FOR regress_plshard_caller SERVER c OPTIONS (password_required 'false');
SET ROLE regress_plshard_caller;
SELECT on_secret('a');
SELECT answer();
SELECT put('by caller');
RESET ROLE;
SELECT plshard.deploy('c', $$
	DO 'BEGIN EXECUTE format(''GRANT USAGE ON SCHEMA %I TO regress_plshard_caller'', current_schema()); END';
	GRANT INSERT, SELECT ON item TO regress_plshard_caller;
$$);
SET ROLE regress_plshard_caller;
SELECT answer();
SELECT put('by caller');
RESET ROLE;
-- a right that was taken away, with the function compiled for both
REVOKE EXECUTE ON FUNCTION secret FROM PUBLIC;
SELECT on_secret('a') = current_user AS right;
SET ROLE regress_plshard_caller;
SELECT on_secret('a');
SELECT as_owner('a') = session_user AS right;
RESET ROLE;
SELECT on_secret('a') = current_user AS right;
BEGIN;
SET LOCAL ROLE regress_plshard_caller;
SELECT on_secret('a');
ROLLBACK;
GRANT EXECUTE ON FUNCTION secret TO regress_plshard_caller;
SET ROLE regress_plshard_caller;
SELECT on_secret('a');
RESET ROLE;
ALTER USER MAPPING FOR regress_plshard_caller SERVER c OPTIONS (ADD user 'nobody_at_all');
SET ROLE regress_plshard_caller;
\set VERBOSITY sqlstate
SELECT on_secret('a');
\set VERBOSITY default
RESET ROLE;
ALTER USER MAPPING FOR regress_plshard_caller SERVER c OPTIONS (DROP user);
SET ROLE regress_plshard_caller;
SELECT on_secret('a');
RESET ROLE;
REVOKE USAGE ON FOREIGN SERVER c FROM regress_plshard_caller;
SET ROLE regress_plshard_caller;
SELECT on_secret('a');
RESET ROLE;
SELECT plshard.deploy('c', 'DROP OWNED BY regress_plshard_caller');
DROP OWNED BY regress_plshard_caller;
DROP ROLE regress_plshard_caller;

--
-- The cluster and its map
--
SELECT f(1);
ALTER SERVER c RENAME TO d;
SELECT f(1);
ALTER SERVER d RENAME TO c;
SELECT f(1);
BEGIN;
\! psql -Xqc 'ALTER SERVER c RENAME TO d'
SELECT f(1);
ROLLBACK;
\! psql -Xqc 'ALTER SERVER d RENAME TO c'
SELECT f(1);
-- placements that come and go, also under a session in a transaction, also rolled back
CREATE FUNCTION nodes(call text) RETURNS text LANGUAGE sql AS 'SELECT string_agg(shard_id || placements::text || COALESCE(node, ''-''), '' '') FROM plshard.explain_call(call)';
CREATE FUNCTION put_int(n int) RETURNS void LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON n; INSERT INTO item VALUES (n, n); $$;
SELECT nodes('put_int(0)');
BEGIN;
SELECT put_int(0);
\! psql -Xqc "UPDATE plshard.placement SET state = 'inactive' WHERE shard_id = 10004 AND position = 0"
SELECT nodes('put_int(0)');
COMMIT;
SELECT put_int(1);
SELECT node, row_count, consistent FROM plshard.verify('c') WHERE shard_id = 10004 AND table_name = 'item' ORDER BY node;
BEGIN;
UPDATE plshard.placement SET state = 'active' WHERE shard_id = 10004;
SELECT nodes('put_int(0)');
ROLLBACK;
SELECT nodes('put_int(0)');
UPDATE plshard.placement SET state = 'inactive' WHERE shard_id = 10004;
SELECT nodes('put_int(0)');
SELECT put_int(2);
SELECT on_key('a');
CREATE FUNCTION schemas() RETURNS SETOF text STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; ON FAILURE SKIP; SELECT current_schema()::text; $$;
SELECT schemas() ORDER BY 1;
UPDATE plshard.placement SET state = 'active' WHERE shard_id = 10004 AND position = 1;
SELECT on_key('a'), nodes('on_key(''a'')');
-- a node's address
CREATE FUNCTION database() RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 4; SELECT current_database()::text; $$;
SELECT database();
UPDATE plshard.node SET conninfo = replace(conninfo, 'node2', 'node3') WHERE node_name = 'n2';
SELECT database();
UPDATE plshard.node SET conninfo = replace(conninfo, 'node3', 'node2') WHERE node_name = 'n2';
SELECT database();

-- functions depend on their cluster, however they are created
SET check_function_bodies = off;
CREATE FUNCTION unchecked() RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON nothing; $$;
RESET check_function_bodies;
SELECT plshard.create_cluster('other');
CREATE FUNCTION moved() RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'other'; RUN ON ALL; SELECT 1; $$;
CREATE OR REPLACE FUNCTION moved() RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; SELECT 1; $$;
SELECT objid::regprocedure AS function, s.srvname, count(*) FROM pg_depend JOIN pg_foreign_server s ON s.oid = refobjid
	WHERE refclassid = 'pg_foreign_server'::regclass AND objid::regproc::text IN ('f', 'unchecked', 'moved') GROUP BY 1, 2 ORDER BY 1;
SELECT plshard.drop_cluster('other');
SELECT moved();
\set VERBOSITY terse
SELECT plshard.drop_cluster('c');
\set VERBOSITY default
SET client_min_messages = warning;
DROP SERVER c CASCADE;
SELECT f(1);
SELECT count(*) FROM plshard.placements;
