-- Mistakes in function bodies: each is found at CREATE, and shown in its place.
-- (Mistakes about the cluster itself are in bad_input.)
\getenv srcdir PG_ABS_SRCDIR
\set cluster :srcdir '/test/include/cluster.psql'
\i :cluster
CREATE TYPE pair AS (a int, b text);

--
-- Statements
--
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c'
	RUN ON hash(k);
$$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c';
	RUN ON hash(k)$$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER c;
$$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	-- übertrieben
	CLUSTER 'c'; RUNON hash(k);
$$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; ; $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON k, k; $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; RUN ON ANY; $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; READ; WRITE; $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; SELECT 1; SELECT 2; $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(); $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 1.5; $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON -1; $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 99999999999999999999; $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; LOCK TABLE; $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; TIMEOUT 5; $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; ON FAILURE STOP; $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; LET x := 1; $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; LET x = ; $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; TARGET g(1); $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; REDUCE; $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; SELECT 'open; $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; SELECT "open; $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; SELECT 1 /* open; $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS 'CLUSTER $x$c; RUN ON ALL;';
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; TARGET ""; $$;
-- the caret also where the body is a string with escapes, or begins a line
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS 'CLUSTER ''c''; RUN OFF ALL;';
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS 'CLUSTER ''c'';
RUN OFF ALL;';
DO LANGUAGE plshard $$
	CLUSTER 'c';
	RUN ON ALL; SELEKT 1;
$$;

--
-- What does not go together
--
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ RUN ON hash(k); $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; TARGET g; SELECT 1; $$;
CREATE FUNCTION f(k text) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; LOCK SHARD; $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; LOCK SHARD; READ; $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; ON FAILURE SKIP; $$;
CREATE FUNCTION f(k text) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); ON FAILURE SKIP; $$;
CREATE FUNCTION f(k text) RETURNS int STABLE LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON ALL;
	WITH gone AS (DELETE FROM item RETURNING *) SELECT count(*) FROM gone;
$$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; READ; CALL p(k); $$;
CREATE FUNCTION f(k text) RETURNS void LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; SELECT 1; REDUCE SELECT 1; $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; TIMEOUT '3 parsecs'; $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; TIMEOUT '0'; $$;
DO LANGUAGE plshard $$ CLUSTER 'c'; RUN ON ALL; $$;
DO LANGUAGE plshard $$ CLUSTER 'c'; RUN ON ALL; SELECT 1; REDUCE SELECT 1; $$;

--
-- Names and types
--
CREATE FUNCTION f(customer_id text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c';
	RUN ON hash(custmer_id);
$$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(f.l); $$;
CREATE FUNCTION f(p pair) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(p.c); $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON l; $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON g.k; $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON k; $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON lower(k); $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON nowhere(k); $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON $2; $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash($2); $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; SELECT k, $0; $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; TARGET g(k, l); $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; TARGET g(f.k, g.k); $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); LET y = x; LET x = 1; $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); LET k = 1; $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); LET x = 1; LET x = 2; $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); LET x nosuchtype = 1; $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); LET x SETOF int = 1; $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); LET x anyelement = 1; $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); LET x = ROW(1, 2); $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); LET x = generate_series(1, 2); $$;

--
-- SQL within statements
--
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k ||); $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k AS key); $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k FROM item); $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash((SELECT 1 FROM nowhere)); $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; LET x = 1, 2; RUN ON hash(x); $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON hash(k);
	LET "é" = 'é' || 1
		+ k;
$$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON ALL;
	SELECT 'é',
		FROM WHERE;
$$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; SELECT 1 INTO g; $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; WITH x AS (SELECT 1) DROP TABLE x; $$;

--
-- REDUCE
--
CREATE FUNCTION f(k text) RETURNS int STABLE LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON ALL; SELECT count(*) AS n FROM item;
	REDUCE (n bigint)
		SELECT sum(m) FROM result;
$$;
CREATE FUNCTION f(k text) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; SELECT 1 AS n; REDUCE (n nosuchtype) SELECT 1 FROM result; $$;
CREATE FUNCTION f(k text) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; SELECT 1 AS n; REDUCE (n int, n int) SELECT 1 FROM result; $$;
CREATE FUNCTION f(k text) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; SELECT 1 AS n; REDUCE (n) SELECT 1 FROM result; $$;
CREATE FUNCTION f(k text) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; SELECT 1 AS n; REDUCE (n anyarray) SELECT 1 FROM result; $$;
CREATE FUNCTION f(k text) RETURNS date STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; SELECT 1 AS n; REDUCE (n int) SELECT sum(n) FROM result; $$;
CREATE FUNCTION f(k text) RETURNS pair STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; SELECT 1 AS n; REDUCE (n int) SELECT n FROM result; $$;
CREATE FUNCTION f(k text) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; SELECT 1 AS n; REDUCE SELECT FROM FROM; $$;
CREATE FUNCTION f(k text) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; SELECT 1 AS n; REDUCE DELETE FROM result; $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; SELECT 1 AS n; REDUCE (n int) WITH x AS (DELETE FROM plshard.ddl RETURNING 1) SELECT count(*) FROM x; $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; SELECT 1 AS n; REDUCE (n int) SELECT n INTO g FROM result; $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; SELECT 1 AS n; REDUCE SELECT k::nosuchtype FROM result; $$;
-- (only the call has the columns of that one)
SELECT f('k');
DROP FUNCTION f;

--
-- Signatures
--
CREATE FUNCTION f() RETURNS trigger LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; $$;
CREATE FUNCTION f() RETURNS event_trigger LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; $$;
CREATE FUNCTION f() RETURNS internal LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; $$;
CREATE FUNCTION f(a cstring) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; $$;
CREATE FUNCTION f(a record) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; $$;
CREATE FUNCTION f() RETURNS int PARALLEL SAFE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; $$;
CREATE FUNCTION f() RETURNS int LANGUAGE plshard BEGIN ATOMIC SELECT 1; END;

--
-- Keys
--
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE COLLATION insensitive (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE FUNCTION f(k json) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); $$;
CREATE FUNCTION f(k mood) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(1, k); $$;
CREATE FUNCTION f(k mood[]) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(1, k); $$;
CREATE FUNCTION f(k regclass) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k COLLATE insensitive); $$;
CREATE TABLE item (id bigint PRIMARY KEY);
SELECT plshard.distribute_table('item', 'id', 'c');
CREATE FUNCTION f(k numeric) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); $$;
CREATE FUNCTION f(k numeric) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k::int); $$;

--
-- Polymorphic bodies are checked as far as the types do not matter
--
CREATE FUNCTION g(k anyelement) RETURNS anyelement LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k, l); SELECT k; $$;
CREATE FUNCTION h(k anyelement) RETURNS anyelement LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k ||); SELECT k; $$;
CREATE FUNCTION h(k anyelement) RETURNS anyelement LANGUAGE plshard AS $$ CLUSTER 'c'; LET x nosuchtype = k; RUN ON hash(k); $$;
SELECT g(1);
SELECT g(NULL);

--
-- check_function_bodies = off: the call finds the mistakes, each time
--
SET check_function_bodies = off;
CREATE FUNCTION unchecked(a int) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c';
	RUN ON hash(nothere);
$$;
CREATE FUNCTION garbage(a int) RETURNS int LANGUAGE plshard AS $$ garbage; $$;
RESET check_function_bodies;
SELECT unchecked(1);
SELECT unchecked(1);
SELECT garbage(1);
SELECT plshard.validator('garbage'::regproc);
CREATE OR REPLACE FUNCTION garbage(a int) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(a); SELECT a; $$;
SELECT garbage(1);

--
-- At a call: results that do not fit, errors of nodes
--
SELECT plshard.deploy('c', $$
	CREATE TABLE t (k int PRIMARY KEY CHECK (k > 0), v text);
	CREATE FUNCTION wrong_columns(k int) RETURNS TABLE(x int, y int, z int) STABLE LANGUAGE sql AS 'SELECT 1, 2, 3';
	CREATE FUNCTION complain(k int) RETURNS int LANGUAGE plpgsql AS
		'BEGIN RAISE WARNING ''a warning'' USING DETAIL = ''w''; RAISE ''no %'', k USING ERRCODE = ''22012'', DETAIL = ''The detail.'', HINT = ''The hint.''; END';
$$);
CREATE FUNCTION missing(k int) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); $$;
CREATE FUNCTION misspelt(k int) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON hash(k);
	SELECT v
		FROM tt;
$$;
CREATE FUNCTION wrong_columns(k int) RETURNS TABLE(x int, y int) STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); SELECT 1 AS x, 2 AS yy, 3 AS z; $$;
CREATE FUNCTION two_columns(k int) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); SELECT 1, 2; $$;
CREATE FUNCTION no_columns(k int) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); INSERT INTO t VALUES (k); $$;
CREATE FUNCTION put(k int) RETURNS void LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); INSERT INTO t VALUES (k); $$;
CREATE FUNCTION complain(k int) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); $$;
SELECT missing(1);
SELECT misspelt(1);
\set SHOW_CONTEXT never
SELECT * FROM wrong_columns(1);
SELECT two_columns(1);
\set SHOW_CONTEXT errors
SELECT no_columns(1);
SELECT put(1);
SELECT complain(1);
SELECT put(1);
SELECT put(-1);
SELECT put(2);
-- all that an application may read of an error
CREATE FUNCTION error_of(call text, OUT state text, OUT message text, OUT detail text, OUT hint text,
	OUT schema_name text, OUT table_name text, OUT constraint_name text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE call;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
		hint = PG_EXCEPTION_HINT, schema_name = SCHEMA_NAME, table_name = TABLE_NAME, constraint_name = CONSTRAINT_NAME;
END $$;
SET client_min_messages = error;
\x on
SELECT * FROM error_of('SELECT put(1)');
SELECT * FROM error_of('SELECT complain(1)');
\x off
SELECT state, message FROM unnest('{missing,misspelt,two_columns,no_columns,wrong_columns,unchecked}'::text[]) f, error_of('SELECT ' || f || '(1)');
