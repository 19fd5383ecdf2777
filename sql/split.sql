-- SPLIT: arrays spread over shards; CLUSTER and CONNECT by expressions.
\getenv srcdir PG_ABS_SRCDIR
\set cluster :srcdir '/test/include/cluster.psql'
\i :cluster
\pset format unaligned

SELECT plshard.deploy('c', $$
	CREATE TABLE item (k text PRIMARY KEY, n int);
	CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
	CREATE TYPE pair AS (a int, b text);
	CREATE DOMAIN ints AS int[];
	CREATE DOMAIN small AS int CHECK (VALUE < 1000);
	CREATE FUNCTION put_items(keys text[], numbers int[]) RETURNS SETOF text LANGUAGE sql AS
		'INSERT INTO item SELECT * FROM unnest(keys, numbers) RETURNING k';
	CREATE FUNCTION here() RETURNS text STABLE LANGUAGE sql AS 'SELECT current_schema()::text';
	CREATE FUNCTION one_number(keys text[]) RETURNS int STABLE LANGUAGE sql AS 'SELECT n FROM item WHERE k = keys[1]';
	CREATE PROCEDURE remove(keys text[]) LANGUAGE sql AS 'DELETE FROM item WHERE k = ANY (keys)';
$$);
-- a hash value that lies on a shard
CREATE FUNCTION hash_on(shard int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT (-2147483648 + shard::bigint * 536870912)::int';

--
-- One array, several, ALL
--
CREATE FUNCTION put_items(keys text[], numbers int[]) RETURNS SETOF text LANGUAGE plshard AS $$
	CLUSTER 'c';
	SPLIT keys, numbers;
	RUN ON hash(keys);
$$;
SELECT put_items(array_agg('k' || i), array_agg(i)) FROM generate_series(1, 20) i ORDER BY 1;
SELECT sum(row_count), bool_and(consistent) FROM plshard.verify('c');

-- each shard is called once, with its elements in their order
CREATE FUNCTION parts(keys text[], numbers int[]) RETURNS TABLE (shard text, keys text[], numbers int[]) STABLE LANGUAGE plshard AS $$
	CLUSTER 'c';
	SPLIT ALL;
	RUN ON hash(keys);
	SELECT here() AS shard, keys, numbers;
$$;
CREATE FUNCTION expected(k text[], v int[]) RETURNS TABLE (shard text, keys text[], numbers int[]) STABLE LANGUAGE sql AS $$
	SELECT 'plshard_' || plshard.shard_for('c', x), array_agg(x ORDER BY o), array_agg(y ORDER BY o)
	FROM unnest(k, v) WITH ORDINALITY u(x, y, o) GROUP BY 1
$$;
SELECT * FROM parts('{k1,k2,k3,k4,k5,k6,k7,k2}', '{1,2,3,4,5,6,7,NULL}') ORDER BY 1;
SELECT * FROM expected('{k1,k2,k3,k4,k5,k6,k7,k2}', '{1,2,3,4,5,6,7,NULL}') ORDER BY 1;
WITH input AS (SELECT array_agg('key' || i ORDER BY i) AS k, array_agg(i ORDER BY i) AS v FROM generate_series(1, 1000) i)
	SELECT count(*), sum(cardinality(p.keys)),
		bool_and((p.shard, p.keys, p.numbers) IN (SELECT e.shard, e.keys, e.numbers FROM expected(k, v) e))
	FROM input, parts(k, v) p;

-- arguments that are not split go to all
CREATE FUNCTION partly(keys text[], whole text[], v int) RETURNS TABLE (keys text[], whole text[], v int) STABLE LANGUAGE plshard AS $$
	CLUSTER 'c';
	SPLIT partly.keys;
	RUN ON hash(keys);
	SELECT keys, whole, v;
$$;
SELECT * FROM partly('{k1,k2,k3}', '{x,y}', 7) ORDER BY 1;
SELECT shard_id, remote_sql FROM plshard.explain_call($$partly('{k1,k2,k3}', '{x,y}', 7)$$);
-- $n; an array that nothing is sent of
CREATE FUNCTION only_keys(text[], int[]) RETURNS SETOF int[] STABLE LANGUAGE plshard AS $$
	CLUSTER 'c'; SPLIT $1, $2; RUN ON hash($1); SELECT $2;
$$;
SELECT only_keys('{k1,k2,k3}', '{1,2,3}') ORDER BY 1;
-- arguments named by keywords
CREATE FUNCTION split(split text[], "all" int[], "any" int[]) RETURNS SETOF int[] STABLE LANGUAGE plshard AS $$
	CLUSTER 'c'; SPLIT split, "all", any; RUN ON hash(split); SELECT "all" || "any";
$$;
SELECT split('{k1,k2,k3}', '{1,2,3}', '{4,5,6}') ORDER BY 1;

--
-- RUN ON with elements
--
-- an expression over elements, LETs, a constant; a LET sees whole arrays
CREATE FUNCTION by_expression(keys text[], prefix text) RETURNS SETOF text[] STABLE LANGUAGE plshard AS $$
	CLUSTER 'c';
	LET n = array_length(keys, 1);
	LET p = upper(prefix);
	SPLIT keys;
	RUN ON hash(lower(p || keys), n);
	SELECT keys || here();
$$;
SELECT by_expression('{A,B,C,D,E}', 'x') ORDER BY 1;
SELECT k || ' plshard_' || plshard.shard_for('c', lower('X' || k), 5) AS expected FROM unnest('{A,B,C,D,E}'::text[]) k ORDER BY plshard.shard_for('c', lower('X' || k), 5), k;
-- a function over elements, with a query in it, of user code
CREATE FUNCTION shard_hash(key text) RETURNS bigint STABLE LANGUAGE plpgsql AS $$ BEGIN RETURN hash_on(length(key)); END $$;
CREATE FUNCTION by_function(keys text[]) RETURNS SETOF text[] STABLE LANGUAGE plshard AS $$
	CLUSTER 'c'; SPLIT keys; RUN ON shard_hash(keys); SELECT keys || here();
$$;
SELECT by_function('{a,bb,c,dddd,"",ee}') ORDER BY 1;
CREATE FUNCTION by_query(keys text[]) RETURNS SETOF text[] STABLE LANGUAGE plshard AS $$
	CLUSTER 'c'; SPLIT keys; RUN ON hash_on((SELECT max(length(keys)) FROM pg_class)::int); SELECT keys || here();
$$;
SELECT by_query('{a,bb,c,dddd,"",ee}') ORDER BY 1;
-- a function that returns sets: an element goes to each of its shards once, or to none
CREATE FUNCTION hashes(key text) RETURNS SETOF int STABLE LANGUAGE sql AS $$ SELECT hash_on(x::int) FROM regexp_split_to_table(key, '') x WHERE key <> '' $$;
CREATE FUNCTION by_set(keys text[]) RETURNS SETOF text[] STABLE LANGUAGE plshard AS $$
	CLUSTER 'c'; SPLIT keys; RUN ON hashes(keys); SELECT here() || keys;
$$;
SELECT by_set('{12,2,"",3,212}') ORDER BY 1;
-- an array of hash values
CREATE FUNCTION by_hash(h int[], v text[]) RETURNS SETOF text[] STABLE LANGUAGE plshard AS $$
	CLUSTER 'c'; SPLIT h, v; RUN ON h; SELECT here() || v;
$$;
CREATE FUNCTION by_param(bigint[], v text[]) RETURNS SETOF text[] STABLE LANGUAGE plshard AS $$
	CLUSTER 'c'; SPLIT ALL; RUN ON $1; SELECT here() || v;
$$;
SELECT by_hash(ARRAY[hash_on(7), hash_on(0), hash_on(7)], '{a,b,c}') ORDER BY 1;
SELECT by_param(ARRAY[hash_on(7), hash_on(0), hash_on(7)]::bigint[], '{a,b,c}') ORDER BY 1;
SELECT by_param('{1,2147483648}', '{a,b}');
-- a hash value that is not split: all elements go there
CREATE FUNCTION by_scalar(h int, v text[]) RETURNS SETOF text[] STABLE LANGUAGE plshard AS $$
	CLUSTER 'c'; SPLIT ALL; RUN ON h; SELECT here() || v;
$$;
SELECT by_scalar(hash_on(3), '{a,b,c}');
-- a LET that is split
CREATE FUNCTION by_let(v text[]) RETURNS SETOF text[] STABLE LANGUAGE plshard AS $$
	CLUSTER 'c'; LET h = (SELECT array_agg(hash_on(length(x))) FROM unnest(v) x); SPLIT v, h; RUN ON h; SELECT here() || v;
$$;
SELECT by_let('{a,bbb,c}') ORDER BY 1;
-- ANY: each element somewhere
CREATE FUNCTION by_any(v int[]) RETURNS SETOF int[] STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; SPLIT v; RUN ON ANY; SELECT v; $$;
SELECT count(*) BETWEEN 2 AND 8 AS several, sum(cardinality(v)), sum((SELECT sum(x) FROM unnest(v) x)) FROM by_any(ARRAY(SELECT generate_series(1, 100))) v;
SELECT count(*) FROM by_any('{}') v;
-- ALL and a number: the arrays go whole, unless they are empty
CREATE FUNCTION by_all(v int[]) RETURNS SETOF int[] STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; SPLIT v; RUN ON ALL; SELECT v; $$;
CREATE FUNCTION by_number(v int[]) RETURNS SETOF text[] STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; SPLIT v; RUN ON 2; SELECT here() || v::text[]; $$;
SELECT count(*), count(DISTINCT v), min(v) FROM by_all('{1,2,3}') v;
SELECT count(*), count(v) FROM by_all(NULL) v;
SELECT by_number('{3,2,NULL}');
SELECT by_number('{}');

--
-- Types of arrays
--
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN ints AS int[];
CREATE DOMAIN small AS int CHECK (VALUE < 1000);
CREATE FUNCTION types(k ints, m mood[], p pair[], t timestamptz[], j jsonb[], b bool[], n numeric[], i interval[], c "char"[], s small[])
	RETURNS TABLE (k int[], m mood[], p pair[], t timestamptz[], j jsonb[], b bool[], n numeric[], i interval[], c "char"[], s small[])
	STABLE LANGUAGE plshard AS $$
	CLUSTER 'c'; SPLIT ALL; RUN ON hash(k); SELECT k, m, p, t, j, b, n, i, c, s;
$$;
SET timezone = 'UTC';
SELECT * FROM types('{1,2,3}', '{sad,NULL,happy}', '{"(1,x)","(2,\"y,z\")",NULL}', '{2024-01-01,NULL,infinity}',
	'{"{}",null,"[1]"}', '{t,f,NULL}', '{1.50,NaN,NULL}', '{1 day,NULL,2 mons}', '{a,b,c}', '{1,NULL,3}') ORDER BY k;
-- fields of elements; elements of a domain
CREATE FUNCTION by_field(p pair[]) RETURNS SETOF pair[] STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; SPLIT p; RUN ON hash(p.a, (by_field.p).b); SELECT p; $$;
SELECT by_field('{"(1,x)","(2,y)","(1,x)","(2,z)"}') ORDER BY 1;
CREATE FUNCTION by_domain(s small[]) RETURNS SETOF int[] STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; SPLIT s; RUN ON hash(s); SELECT s; $$;
SELECT by_domain('{1,2,3}') ORDER BY 1;
-- of any type; several arguments made one array
CREATE FUNCTION polymorphic(k anyarray, v anyarray) RETURNS SETOF anyarray STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; SPLIT k, v; RUN ON hash(k); SELECT v; $$;
SELECT polymorphic('{1,2,3}'::int[], '{4,5,6}'::int[]) ORDER BY 1;
SELECT polymorphic('{a,b,c}'::text[], '{d,e,f}'::text[]) ORDER BY 1;
CREATE FUNCTION listed(VARIADIC k text[]) RETURNS SETOF text[] STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; SPLIT k; RUN ON hash(k); SELECT k; $$;
SELECT listed('k1', 'k2', 'k3') ORDER BY 1;
-- arrays that PL/pgSQL holds, with other lower bounds
CREATE FUNCTION expanded() RETURNS SETOF text LANGUAGE plpgsql AS $$
	DECLARE a text[]; b int[] = '[5:7]={1,2,3}';
	BEGIN
		FOR i IN 1..3 LOOP a[i] := 'k' || i; END LOOP;
		RETURN QUERY SELECT p::text FROM parts(a, b) p ORDER BY 1;
	END
$$;
SELECT expanded();

--
-- NULL, empty, unequal
--
SELECT count(*) FROM parts(NULL, NULL);
SELECT count(*) FROM parts('{}', NULL);
SELECT parts('{}', '{1}');
SELECT parts(NULL, '{1}');
SELECT parts('{a,b}', '{1,2,3}');
SELECT only_keys('{a,b}', '{1}');
SELECT by_all('{{1,2},{3,4}}');
SELECT parts('{{a,b}}', '{{1,2}}');
SELECT parts('{a,NULL,b}', '{1,2,3}');
SELECT by_hash('{1,NULL}', '{a,b}');
CREATE FUNCTION one_number(keys text[]) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; SPLIT keys; RUN ON hash(keys); $$;
SELECT one_number('{k3}');
SELECT one_number('{k3,k3}');
SELECT one_number('{}');
SELECT one_number('{k1,k2,k3}');
CREATE FUNCTION failing(key text) RETURNS int STABLE LANGUAGE plpgsql AS $$ BEGIN RETURN key::int; END $$;
CREATE FUNCTION by_failing(keys text[]) RETURNS SETOF text[] STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; SPLIT keys; RUN ON failing(keys); SELECT keys; $$;
SELECT by_failing('{1,2,x}');
SELECT by_failing('{1}');

--
-- Procedures, REDUCE, DO, void
--
CREATE PROCEDURE remove(keys text[]) LANGUAGE plshard AS $$ CLUSTER 'c'; SPLIT keys; RUN ON hash(keys); $$;
CALL remove('{k1,k2,k3,none}');
CALL remove('{}');
CREATE FUNCTION total(keys text[]) RETURNS bigint STABLE LANGUAGE plshard AS $$
	CLUSTER 'c'; SPLIT keys; RUN ON hash(keys);
	SELECT sum(n) AS n FROM item WHERE k = ANY (keys);
	REDUCE (n bigint) SELECT coalesce(sum(n), 0) + cardinality(keys) FROM result;
$$;
SELECT total('{k1,k4,k5,k6}'), total('{}'), total(NULL);
CREATE FUNCTION touch(keys text[]) RETURNS void LANGUAGE plshard AS $$
	CLUSTER 'c'; SPLIT keys; RUN ON hash(keys); UPDATE item SET n = n + 100 WHERE k = ANY (keys);
$$;
SELECT touch('{k4,k5}');
SELECT touch('{}');
SELECT total('{k4,k5}');
DO LANGUAGE plshard $$
	CLUSTER 'c'; LET keys = '{k4,k5,k6}'::text[]; SPLIT keys; RUN ON hash(keys);
	UPDATE item SET n = 0 WHERE k = ANY (keys);
$$;
SELECT total('{k4,k5,k6,k7}');
BEGIN;
SELECT touch('{k4,k7}');
ROLLBACK;
SELECT total('{k4,k5,k6,k7}');
-- a function that splits, within a key expression of another
CREATE FUNCTION nested(keys text[]) RETURNS SETOF text[] STABLE LANGUAGE plshard AS $$
	CLUSTER 'c'; SPLIT keys; RUN ON hash(total(ARRAY[keys, 'k7'])); SELECT keys;
$$;
SELECT nested('{k8,k8}');

--
-- Locks: the key's where all elements of a shard have one hash, else the shard's
--
SELECT plshard.create_cluster('one');
SELECT plshard.add_node('one', 'n1', :'node1');
SELECT plshard.add_node('one', 'n2', :'node2');
SELECT plshard.create_shards('one', 1, 2);
CREATE FUNCTION lock_keys(keys text[]) RETURNS SETOF int LANGUAGE plshard AS $$ CLUSTER 'one'; SPLIT keys; RUN ON hash(keys); SELECT cardinality(keys); $$;
CREATE FUNCTION locks() RETURNS bigint LANGUAGE plshard AS $$
	CLUSTER 'one'; READ; SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND pid = pg_backend_pid() AND mode = 'ShareLock';
$$;
BEGIN;
SELECT lock_keys('{a,a,a}');
SELECT locks() AS shared_locks;
ROLLBACK;
BEGIN;
SELECT lock_keys('{a,a,b}');
SELECT locks() AS shared_locks;
ROLLBACK;

--
-- Many elements
--
CREATE FUNCTION many(keys int[], texts text[]) RETURNS SETOF bigint STABLE LANGUAGE plshard AS $$
	CLUSTER 'c'; SPLIT ALL; RUN ON hash(keys); SELECT count(*) FROM unnest(keys, texts) u(k, t) WHERE t = 'text ' || k;
$$;
SELECT count(*), sum(n) FROM many(ARRAY(SELECT generate_series(1, 100000)), ARRAY(SELECT 'text ' || i FROM generate_series(1, 100000) i)) n;

--
-- Mistakes
--
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; SPLIT k; RUN ON hash(k); $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; SPLIT ALL; RUN ON hash(k); $$;
CREATE FUNCTION f(text, text[]) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; SPLIT $2, $1; RUN ON hash($2); $$;
CREATE FUNCTION f(k text[]) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c';
	SPLIT k, f.k; RUN ON hash(k);
$$;
CREATE FUNCTION f(k text[]) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; SPLIT l; RUN ON hash(k); $$;
CREATE FUNCTION f(k text[]) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; SPLIT k, $2; RUN ON hash(k); $$;
CREATE FUNCTION f(k text[]) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; SPLIT k; RUN ON hash(array_length(k, 1)); $$;
CREATE FUNCTION f(k text[]) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; SPLIT k; RUN ON k; $$;
CREATE FUNCTION f(h int[]) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON h; $$;
CREATE FUNCTION f(v int2vector) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; SPLIT v; RUN ON hash(v); $$;
CREATE FUNCTION f(k text[]) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; SPLIT k; $$;
CREATE FUNCTION f(k text[]) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; SPLIT; $$;
CREATE FUNCTION f(k mood[]) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; SPLIT k; RUN ON hash(k); $$;
CREATE FUNCTION f(k anyelement) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; SPLIT k; RUN ON hash(k); SELECT 1; $$;
SELECT f(1);
DROP FUNCTION f;

--
-- CLUSTER by an expression
--
CREATE FUNCTION of_argument(cluster text) RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER cluster; RUN ON 0; SELECT current_schema()::text; $$;
CREATE FUNCTION of_param(name) RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER $1; RUN ON 0; SELECT current_schema()::text; $$;
CREATE FUNCTION which(x int, fallback text) RETURNS varchar IMMUTABLE LANGUAGE sql AS $$ SELECT CASE WHEN x > 0 THEN 'c' ELSE fallback END $$;
CREATE FUNCTION of_function(x int) RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER public.which(x, lower('One')); RUN ON 0; SELECT current_schema()::text; $$;
CREATE FUNCTION of_let(x text) RETURNS text STABLE LANGUAGE plshard AS $$ LET y = trim(x); CLUSTER y; RUN ON 0; SELECT current_schema()::text; $$;
SELECT of_argument('c'), of_argument('one') = of_argument('c') AS same, of_param('c'), of_function(1), of_let(' c ');
SELECT of_argument('one') = of_function(0) AS same;
SELECT of_argument('One');
SELECT of_argument(NULL);
-- what can only be seen with the cluster is seen then
CREATE FUNCTION no_run_on(cluster text) RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER cluster; SELECT current_schema()::text; $$;
CREATE FUNCTION large_number(cluster text) RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER cluster; RUN ON 5; SELECT current_schema()::text; $$;
SELECT no_run_on('one') = of_argument('one') AS same, large_number('c');
SELECT no_run_on('c');
SELECT large_number('one');
-- its rights are looked at with each call, and it holds up no DROP SERVER
CREATE ROLE plshard_caller;
SET ROLE plshard_caller;
SELECT of_argument('c');
RESET ROLE;
DROP ROLE plshard_caller;
SELECT count(*) FROM pg_depend WHERE objid = 'of_argument'::regproc AND refclassid = 'pg_foreign_server'::regclass;
ALTER SERVER one RENAME TO uno;
SELECT of_argument('uno') = of_function(1) AS same;
SELECT of_argument('one');
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER c; RUN ON hash(k); $$;
CREATE FUNCTION f(k int) RETURNS int LANGUAGE plshard AS $$ CLUSTER k; RUN ON hash(k); $$;
CREATE FUNCTION f(k int) RETURNS int LANGUAGE plshard AS $$
	CLUSTER abs(k); RUN ON hash(k);
$$;
CREATE FUNCTION f(k int) RETURNS int LANGUAGE plshard AS $$ CLUSTER nowhere(k); RUN ON hash(k); $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER regexp_split_to_table(k, ','); RUN ON hash(k); $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER $2; RUN ON hash(k); $$;

--
-- CONNECT
--
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; CONNECT 'dbname=x'; $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CONNECT 'dbname=x'; RUN ON ANY; $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CONNECT x; $$;
CREATE FUNCTION f(k int) RETURNS int LANGUAGE plshard AS $$ CONNECT k; $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CONNECT 'dbname=x' || k; $$;
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CONNECT nowhere(k); $$;
-- an expression: only for functions of superusers, or where one allows it
CREATE FUNCTION connect_to(place text) RETURNS text STABLE LANGUAGE plshard AS $$ CONNECT place; SELECT current_database()::text; $$;
SELECT connect_to(NULL);
CREATE FUNCTION connect_null(place text) RETURNS text STABLE LANGUAGE plshard AS $$ CONNECT concat(place, 'x')::text; SELECT 1; $$;
CREATE FUNCTION connect_null(place text) RETURNS text STABLE LANGUAGE plshard AS $$ CONNECT upper(nullif(place, connect_null.place)); SELECT 1; $$;
SELECT connect_null('dbname=x');
CREATE ROLE plshard_author;
GRANT CREATE ON SCHEMA public TO plshard_author;
SET ROLE plshard_author;
CREATE FUNCTION author_connect_to(place text) RETURNS text STABLE LANGUAGE plshard AS $$
	CONNECT place; SELECT current_database()::text;
$$;
DO LANGUAGE plshard $$ LET place = 'dbname=x'; CONNECT place; SELECT 1; $$;
SET plshard.connect_by_expression = on;
RESET ROLE;
SET plshard.connect_by_expression = on;
SET ROLE plshard_author;
CREATE FUNCTION author_connect_to(place text) RETURNS text STABLE LANGUAGE plshard AS $$
	CONNECT place; SELECT current_database()::text;
$$;
SELECT author_connect_to(NULL);
RESET ROLE;
RESET plshard.connect_by_expression;
SELECT author_connect_to(NULL);
DROP FUNCTION author_connect_to;
REVOKE CREATE ON SCHEMA public FROM plshard_author;
DROP ROLE plshard_author;
-- what is shown of a body is shown without the connection string
SET check_function_bodies = off;
CREATE FUNCTION secret(k text) RETURNS int STABLE LANGUAGE plshard AS $$
	CONNECT 'host=nowhere password=geheimé'; LET é = nosuchfunction(k); SELECT 1;
$$;
CREATE FUNCTION secret(k int) RETURNS int STABLE LANGUAGE plshard AS $$
	CONNECT 'host=nowhere password=geheim' SELECT 1;
$$;
RESET check_function_bodies;
SELECT secret('x');
SELECT secret(1);
-- to one of the nodes: by a literal, a function, an argument, a LET
\set body 'CONNECT ''' :node1 '''; SELECT current_database()::text;'
CREATE FUNCTION connect_literal() RETURNS text STABLE LANGUAGE plshard AS :'body';
CREATE TABLE place (name text, conninfo text);
INSERT INTO place VALUES ('one', :'node1'), ('two', :'node2');
CREATE FUNCTION place_of(name text) RETURNS text STABLE LANGUAGE sql AS 'SELECT conninfo FROM place WHERE place.name = $1';
CREATE FUNCTION connect_function(name text) RETURNS text STABLE LANGUAGE plshard AS $$ CONNECT place_of(name); TARGET pg_catalog.current_database(); $$;
CREATE FUNCTION connect_param(text) RETURNS text STABLE LANGUAGE plshard AS $$ CONNECT $1; SELECT current_database()::text; $$;
SELECT connect_literal(), connect_function('one'), connect_function('two'), connect_to(:'node3'), connect_param(:'node4');
SELECT connect_function('three');
-- SPLIT has nothing to split there
CREATE FUNCTION connect_split(v int[]) RETURNS SETOF int[] STABLE LANGUAGE plshard AS $$ CONNECT place_of('one'); SPLIT v; SELECT v; $$;
SELECT connect_split('{1,2,3}');
-- a write is part of the transaction
CREATE FUNCTION connect_write(text, n int) RETURNS int LANGUAGE plshard AS $$
	CONNECT $1; INSERT INTO plshard_10000.item VALUES ('connected', n) RETURNING item.n;
$$;
CREATE FUNCTION connect_count(text) RETURNS bigint STABLE LANGUAGE plshard AS $$
	CONNECT $1; SELECT count(*) FROM plshard_10000.item WHERE k = 'connected';
$$;
BEGIN;
SELECT connect_write(:'node1', 1);
SELECT connect_count(:'node1');
ROLLBACK;
SELECT connect_count(:'node1');
SELECT connect_write(:'node1', 2);
SELECT connect_count(:'node1');
-- connection strings are checked, and never shown
SELECT connect_to('no conninfo');
SELECT connect_to('host=nowhere passfile=/geheim');
CREATE FUNCTION f() RETURNS int LANGUAGE plshard AS $$ CONNECT 'host=nowhere service=x'; SELECT 1; $$;
-- a user who is no superuser gives a password, which the node requires
CREATE ROLE plshard_caller;
SET ROLE plshard_caller;
SELECT connect_literal();
SELECT connect_param('host=nowhere user=postgres');
RESET ROLE;
DROP ROLE plshard_caller;
