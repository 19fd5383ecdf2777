-- The language: every statement in every form, and what is sent for it.
\getenv srcdir PG_ABS_SRCDIR
\set cluster :srcdir '/test/include/cluster.psql'
\i :cluster
\pset format unaligned
-- what a call would send
CREATE FUNCTION remote_sql(call text) RETURNS SETOF text LANGUAGE sql AS
	'SELECT DISTINCT remote_sql FROM plshard.explain_call(call)';

SELECT plshard.deploy('c', $$
	CREATE TABLE item (k text PRIMARY KEY, n int, note text);
	CREATE FUNCTION get_item(k text) RETURNS int STABLE LANGUAGE sql AS 'SELECT n FROM item WHERE item.k = get_item.k';
	CREATE FUNCTION here() RETURNS text STABLE LANGUAGE sql AS 'SELECT current_schema()::text';
	CREATE FUNCTION add(a int, b int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT a * 10 + b';
	CREATE FUNCTION "Odd ""name""()"("An Arg" int) RETURNS int STABLE LANGUAGE sql AS 'SELECT $1';
	CREATE PROCEDURE remove(key text) LANGUAGE sql AS 'DELETE FROM item WHERE k = key';
$$);

--
-- Statements: any order, any letter case, comments, quotes
--
CREATE FUNCTION put_item(k text, n int) RETURNS int LANGUAGE plshard AS $$
	CLUSTER 'c';
	RUN ON hash(k);
	INSERT INTO item VALUES (k, n) RETURNING item.n;
$$;
SELECT put_item('a', 1), put_item('b', 2), put_item('c', 3);

CREATE FUNCTION get_item(k text) RETURNS int STABLE LANGUAGE plshard AS $$
	run ON Hash(k); -- a comment; with a semicolon
	/* another /* nested */ one; */ cLuStEr $name$c$name$
	;
$$;
SELECT get_item('a'), get_item('c');
CREATE OR REPLACE FUNCTION get_item(k text) RETURNS int STABLE LANGUAGE plshard AS 'RUN ON hash(k);CLUSTER''c'';TIMEOUT $$1 min$$;READ;';
SELECT get_item('b');

-- a cluster's name is not folded, and may contain what it likes
SELECT plshard.create_cluster('It''s "ours"');
-- (its id is fixed here, so that what is sent to its node can be shown below)
UPDATE plshard.cluster SET cluster_id = '00000000-0000-0000-0000-000000000001'
	WHERE cluster_id = (SELECT cluster_id FROM plshard.clusters WHERE cluster LIKE 'It%');
ALTER SERVER "It's ""ours""" OPTIONS (SET cluster_id '00000000-0000-0000-0000-000000000001');
SELECT plshard.add_node('It''s "ours"', 'n1', :'node1');
SELECT plshard.create_shards('It''s "ours"', 1, 1);
CREATE FUNCTION named() RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER 'It''s "ours"'; SELECT current_schema()::text; $$;
SELECT named();

-- keywords are no reserved words
CREATE FUNCTION run(cluster text, run text, "on" text, hash text, "all" text, "select" text, timeout text, let text)
	RETURNS text STABLE LANGUAGE plshard AS $$
	CLUSTER 'c';
	LET reduce = cluster || run || run."on";
	LET read text = run.hash || "all";
	RUN ON hash(hash, let);
	SELECT reduce || read || "select" || timeout || run.let;
$$;
SELECT run('1', '2', '3', '4', '5', '6', '7', '8');

--
-- Names of arguments
--
CREATE FUNCTION names(a int, "B b" text, int, "é" int) RETURNS text STABLE LANGUAGE plshard AS $$
	CLUSTER 'c';
	RUN ON hash($1, names.a, "names"."B b", NAMES.A, $3);
	SELECT concat_ws('/', a, $1, names.a, "B b", $2, names."B b", $3, é, $4);
$$;
SELECT names(1, 'x', 3, 4);
SELECT remote_sql('names(1, ''x'', 3, 4)');

-- an argument named like a column: the argument wins, unless a table qualifies it
CREATE FUNCTION note(k text, n int DEFAULT 0) RETURNS text STABLE LANGUAGE plshard AS $$
	CLUSTER 'c';
	RUN ON hash(note.k);
	SELECT k || ':' || n || ':' || item.n FROM item WHERE item.k = k;
$$;
SELECT note('a'), note('b', 7);
SELECT remote_sql('note(''a'')');

-- fields of rows, subscripts
CREATE TYPE point2 AS (x int, y int[]);
SELECT plshard.deploy('c', 'CREATE TYPE point2 AS (x int, y int[])');
CREATE FUNCTION fields(p point2, a int[]) RETURNS text STABLE LANGUAGE plshard AS $$
	CLUSTER 'c';
	LET q = p;
	LET z = (p).x + p.x + fields.p.x + a[1];
	RUN ON hash(p.x, a[2], (fields.p).y[1]);
	SELECT concat_ws('/', p.x, (p).x, fields.p.x, (q).y[2], q.y[1], a[1], (fields.a)[2:], z);
$$;
SELECT fields(ROW(1, '{5,6}'), '{3,4,5}');
SELECT remote_sql('fields(ROW(1, ''{5,6}''), ''{3,4,5}'')');

-- what only looks like a name of an argument stays as it is
CREATE FUNCTION untouched(k text, n int, here text) RETURNS TABLE(v text, m int) STABLE LANGUAGE plshard AS $$
	CLUSTER 'c';
	RUN ON hash(k);
	SELECT 'k n $1' || $q$ k n $1 ;$q$ || E'\'k' || "k" /* k $1 ; */ || here() AS v, -- n; $2
		t.n * untouched /* here */ . "n" AS m FROM (VALUES (1, 2), (3, 4)) AS t(k, n) WHERE t.k = 1 AND n IS NOT NULL;
$$;
SELECT untouched('key', 3, 'here');
SELECT remote_sql('untouched(''key'', 3, ''here'')');

--
-- RUN ON
--
-- hash: of one key, of several, of an expression, of a sub-select
CREATE FUNCTION on_hash(k text) RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); TARGET here(); $$;
CREATE FUNCTION on_hash2(a int, b text) RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(a, b); TARGET here(); $$;
CREATE FUNCTION on_expression(k text) RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(lower(k) || ';)'); TARGET here(); $$;
CREATE FUNCTION on_query(k text) RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash((SELECT max(x) FROM (VALUES (k), ('0')) v(x))); TARGET here(); $$;
SELECT i, on_hash(i::text) = 'plshard_' || plshard.shard_for('c', i::text) AS one,
	on_hash2(i, i::text) = 'plshard_' || plshard.shard_for('c', i, i::text) AS two,
	on_expression('KEY' || i) = 'plshard_' || plshard.shard_for('c', 'key' || i || ';)') AS expression,
	on_query(i::text) = 'plshard_' || plshard.shard_for('c', i::text) AS query
	FROM generate_series(1, 5) i;

-- a hash value: an argument, a parameter, a LET
CREATE FUNCTION on_arg(h int) RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON h; TARGET here(); $$;
CREATE FUNCTION on_qualified(h bigint) RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON on_qualified.h; TARGET here(); $$;
CREATE FUNCTION on_param(smallint) RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON $1; TARGET here(); $$;
CREATE FUNCTION on_let(k text) RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; LET h = hashtext(k); RUN ON h; TARGET here(); $$;
CREATE FUNCTION on_named_hash(hash int) RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash; TARGET here(); $$;
SELECT on_arg(-2147483648), on_arg(2147483647), on_qualified(-1), on_param(0::smallint), on_let('a') = on_hash('a') AS let, on_named_hash(0);
SELECT on_qualified(2147483648);

-- functions: of one value, of a set, qualified, named hash
CREATE FUNCTION one_hash(k text) RETURNS bigint IMMUTABLE LANGUAGE sql AS 'SELECT hashtext(k)::bigint';
CREATE FUNCTION hashes(VARIADIC k text[]) RETURNS SETOF int IMMUTABLE LANGUAGE sql AS 'SELECT hashtext(x) FROM unnest(k) x';
CREATE FUNCTION hash(k text) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION on_function(k text) RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON one_hash(k); TARGET here(); $$;
CREATE FUNCTION on_set(a text, b text) RETURNS SETOF text STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON public.hashes(a, b, b, a); TARGET here(); $$;
CREATE FUNCTION on_no_rows() RETURNS SETOF text STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON generate_series(1, 0); TARGET here(); $$;
CREATE FUNCTION on_own_hash(k text) RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON public.hash(k); TARGET here(); $$;
CREATE FUNCTION on_quoted_hash(k text) RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON "hash"(k); TARGET here(); $$;
SELECT on_function('a') = on_hash('a') AS one, on_own_hash('a'), on_quoted_hash('a');
SELECT on_set('a', 'b') ORDER BY 1;
SELECT on_set('a', 'a');
SELECT on_no_rows();

-- a number, ALL, ANY
CREATE FUNCTION on_number() RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 3; TARGET here(); $$;
CREATE FUNCTION on_all() RETURNS SETOF text STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; TARGET here(); $$;
CREATE FUNCTION on_any(i int) RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON any; TARGET here(); $$;
CREATE FUNCTION on_arg_all("all" int) RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON "all"; TARGET here(); $$;
SELECT on_number(), on_arg_all(0);
SELECT on_all() ORDER BY 1;
SELECT count(DISTINCT on_any(i)) BETWEEN 2 AND 8 AS some FROM generate_series(1, 100) i;

--
-- LET
--
SELECT plshard.deploy('c', 'CREATE DOMAIN positive AS int');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE FUNCTION lets(a int) RETURNS TABLE(b text, c text, d numeric, e text, f timestamptz, g int[], h bool, i text, j text)
	STABLE LANGUAGE plshard AS $$
	CLUSTER 'c';
	LET b = a + 1;
	LET c varchar(4) = 'ab' || b || ';' /* ; */;
	LET d numeric(6,2) = b / 3.0;
	LET e character varying = lets.c || '=' || d;
	LET f timestamp with time zone = '2024-05-06 07:08:09+00';
	LET g int[] = ARRAY[a, b];
	LET h = now() = now();
	LET i pg_catalog.text = (SELECT string_agg(x::text, ',' ORDER BY x DESC) FROM unnest(g) x);
	LET j positive = a;
	LET k interval day to second(0) = '1 day';
	RUN ON hash(c);
	SELECT b, c, d, e, f, g, h, i, concat(j, ' ', k) AS j;
$$;
SET timezone = 'UTC';
SELECT * FROM lets(4);
SELECT remote_sql('lets(4)');
-- a value that does not fit
SELECT * FROM lets(400);
SELECT * FROM lets(0);

-- a LET is evaluated once: replicas get the same
CREATE FUNCTION put_random(k text) RETURNS SETOF text LANGUAGE plshard AS $$
	CLUSTER 'c';
	LET r = random() || clock_timestamp()::text;
	RUN ON hash(k);
	INSERT INTO item (k, note) VALUES (k, r) RETURNING note = r;
$$;
SELECT put_random('random');
SELECT bool_and(consistent) FROM plshard.verify('c');

--
-- TARGET
--
CREATE FUNCTION target1(a int, b int) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; TARGET add; $$;
CREATE FUNCTION target2(a int, b int) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; TARGET add(b, target2.a); $$;
CREATE FUNCTION target3(a int) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; LET twice = 2 * a; RUN ON 0; TARGET add($1, twice); $$;
CREATE FUNCTION target4(a int) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; TARGET "Odd ""name""()"(a); $$;
CREATE FUNCTION target5(a int) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; TARGET pg_catalog.abs; $$;
CREATE FUNCTION target6(a int) RETURNS bool STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; TARGET pg_catalog.pg_is_in_recovery(); $$;
CREATE FUNCTION "Odd ""name""()"("An Arg" int) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash("An Arg"); $$;
SELECT target1(1, 2), target2(1, 2), target3(3), target4(4), target5(-5), target6(1), "Odd ""name""()"(7);
SELECT remote_sql(call) FROM unnest('{"target1(1, 2)","target2(1, 2)",target3(3),target4(4),target5(5),target6(6)}'::text[]) call;

--
-- Body SQL
--
CREATE TYPE item_row AS (k text, n int);
CREATE FUNCTION upsert(k text, n int) RETURNS SETOF item_row LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON hash(k);
	INSERT INTO item AS i (k, n) VALUES (k, n)
		ON CONFLICT (k) DO UPDATE SET n = i.n + excluded.n + upsert.n WHERE i.n IS DISTINCT FROM n
		RETURNING i.k, i.n;
$$;
SELECT * FROM upsert('up', 5);
SELECT * FROM upsert('up', 2);
SELECT remote_sql('upsert(''up'', 5)');

CREATE FUNCTION change(key text, plus int) RETURNS TABLE(k text, was int, "is" int) LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON hash(key);
	UPDATE item SET (n, note) = (SELECT item.n + plus, key) FROM (VALUES (plus)) v(p)
		WHERE item.k = key AND v.p = plus RETURNING item.k, item.n - plus AS was, item.n AS is;
$$;
SELECT * FROM change('up', 100);
SELECT remote_sql('change(''up'', 100)');

CREATE FUNCTION merge_item(key text, number int) RETURNS void LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON hash(key);
	MERGE INTO item USING (VALUES (key, number)) AS new(k, n) ON item.k = new.k AND item.k = key
		WHEN MATCHED AND number > 0 THEN UPDATE SET n = number
		WHEN MATCHED THEN DELETE
		WHEN NOT MATCHED THEN INSERT VALUES (key, number + 1);
$$;
SELECT merge_item('m', 5);
SELECT get_item('m');
SELECT merge_item('m', 9);
SELECT get_item('m');
SELECT merge_item('m', 0);
SELECT get_item('m');
SELECT remote_sql('merge_item(''m'', 5)');

CREATE FUNCTION move(source text) RETURNS SETOF text LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON hash(source);
	WITH gone AS (DELETE FROM item WHERE item.k = source RETURNING *), source AS (SELECT k, n FROM gone)
	SELECT source.k || source.n FROM source;
$$;
SELECT move('up');
SELECT move('up');
SELECT remote_sql('move(''up'')');

CREATE FUNCTION remove(key text) RETURNS void LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(key); CALL remove(key); $$;
SELECT remove('b');
SELECT get_item('b');
CREATE FUNCTION clear() RETURNS void LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; DELETE FROM item WHERE note IS NOT NULL; $$;
SELECT clear();
SELECT sum(row_count) FROM plshard.verify('c');
-- the columns of VALUES are called column1, column2, ...
CREATE FUNCTION rows(a int) RETURNS TABLE(column1 int, column2 text) STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; VALUES (a, 'one'), (a + 1, NULL); $$;
SELECT * FROM rows(1);

-- an output column keeps the name of the argument that it was
CREATE FUNCTION kept(a int, b text) RETURNS TABLE(x int, a int, b text) STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; SELECT a, 1 AS x, kept.b; $$;
SELECT * FROM kept(5, 'q');
SELECT remote_sql('kept(5, ''q'')');
CREATE FUNCTION kept2(p int, OUT s int, INOUT t text) STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; SELECT t, p AS s; $$;
SELECT * FROM kept2(5, t => 't');
CREATE FUNCTION kept3(p int, OUT x xml) STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; SELECT xmlforest(p, kept3.p AS q); $$;
SELECT kept3(5);
-- all fields of a row
CREATE FUNCTION star(p point2) RETURNS point2 STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; SELECT p.*; $$;
SELECT star(ROW(1, '{2,3}'));
SELECT remote_sql('star(NULL)');

-- parameters keep their type, clauses of every kind
CREATE FUNCTION clauses(n int, k text) RETURNS SETOF text STABLE LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON 0;
	SELECT k || x || CASE n WHEN 2 THEN 'two' ELSE 'other' END || n::text || (n) || COALESCE(k, 'none') || k COLLATE "C"
		FROM generate_series(1, n) x JOIN LATERAL (SELECT n AS m) l ON l.m = n
		WHERE x BETWEEN 1 AND n AND k IN (k, 'b') AND EXISTS (SELECT 1 WHERE n > 0)
		GROUP BY x HAVING count(*) < n WINDOW w AS (ORDER BY n) ORDER BY x DESC LIMIT n OFFSET n - n;
$$;
SELECT clauses(2, 'k');
SELECT remote_sql('clauses(2, ''k'')');

-- everything around a value
CREATE FUNCTION around(a int, b int) RETURNS text STABLE LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON 0;
	SELECT concat_ws(' ', a+b, a*-b, -a, a OPERATOR(pg_catalog.+) b, a::text||b::text, (a,b), ROW(a, b), a IS NOT NULL,
		a = ANY(ARRAY[a,b]), (ARRAY[5,6])[b], extract(year FROM make_date(a+2000,1,1)), substring('abcdef' FROM a FOR b),
		overlay('abc' PLACING 'x' FROM a), CAST(a AS numeric(5,2)), a$x$, make_interval(days => b), a/**/-b--1
		) FROM (SELECT 1 AS a$x$) q -- the end
	;
$$;
SELECT around(1, 2);
SELECT remote_sql('around(1, 2)');

-- backslashes are no escapes, whatever the session's setting
CREATE FUNCTION backslashes(a text) RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; LET b = 'l\'; RUN ON 0; SELECT a || b || '\' AS x; REDUCE SELECT x || '\' FROM result; $$;
SET standard_conforming_strings = off;
SET escape_string_warning = off;
SELECT backslashes('a');
CREATE OR REPLACE FUNCTION backslashes(a text) RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; LET b = 'm\'; RUN ON 0; SELECT a || b || '\' AS x; REDUCE SELECT x || '\' FROM result; $$;
SELECT backslashes('a'), 'it\'s off' AS still;
RESET standard_conforming_strings;
RESET escape_string_warning;

--
-- REDUCE
--
SELECT count(put_item('r' || i, i)) FROM generate_series(1, 20) i;
-- without a list: the columns of the body SQL ...
CREATE FUNCTION total() RETURNS bigint STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; SELECT sum(n) AS n FROM item; REDUCE SELECT sum(n) FROM result; $$;
-- ... or those of the function
SELECT plshard.deploy('c', $$CREATE FUNCTION get_items() RETURNS TABLE(k text, n int) STABLE LANGUAGE sql AS 'SELECT k, n FROM item'$$);
CREATE FUNCTION top(number int) RETURNS TABLE(k text, n int) STABLE LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON ALL; TARGET get_items();
	REDUCE SELECT * FROM result WHERE result.n <> top.number ORDER BY n DESC LIMIT number;
$$;
-- with a list
CREATE FUNCTION average() RETURNS numeric STABLE LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON ALL;
	SELECT count(n) AS c, sum(n) AS total FROM item;
	REDUCE (c bigint, total numeric(20,1)) SELECT sum(total) / sum(c) FROM result;
$$;
-- starting otherwise; with arguments and LETs; into a composite, a set, nothing
CREATE FUNCTION reduced(p int) RETURNS item_row STABLE LANGUAGE plshard AS $$
	CLUSTER 'c'; LET q = p * 2; RUN ON ALL; SELECT count(*) AS n FROM item;
	REDUCE WITH r AS (SELECT sum(n) AS s FROM result) SELECT reduced.p || '/' || q || '/' || $1, s FROM r;
$$;
CREATE FUNCTION parenthesis() RETURNS SETOF int STABLE LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON 0; SELECT 1 AS n;
	REDUCE (SELECT n FROM result) UNION ALL (VALUES (2)) ORDER BY 1 DESC;
$$;
CREATE FUNCTION listed_parenthesis() RETURNS SETOF text STABLE LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON 0; SELECT 1 AS n;
	REDUCE ("N n" int) (SELECT "N n" FROM result);
$$;
CREATE FUNCTION nothing() RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; SELECT 1 AS n; REDUCE SELECT n FROM result WHERE n > 1; $$;
CREATE FUNCTION too_much() RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; SELECT 1 AS n; REDUCE SELECT n FROM result; $$;
CREATE FUNCTION any_columns() RETURNS SETOF record STABLE LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON 0; SELECT 1 AS a, 'x' AS b, now() AS c, '{1,2}'::int[] AS d, '1 day'::interval AS e;
	REDUCE SELECT d, a + 1 AS a1, b, c IS NOT NULL, e FROM result;
$$;
SELECT total(), average(), reduced(3);
SELECT nothing();
SELECT too_much();
SELECT * FROM top(2);
SELECT parenthesis();
SELECT listed_parenthesis();
SELECT * FROM any_columns() AS (d int[], a bigint, b text, c bool, e interval);
-- a write gathers what its shards returned
CREATE FUNCTION bump() RETURNS bigint LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; UPDATE item SET n = n + 1 RETURNING n; REDUCE SELECT count(*) FROM result; $$;
SELECT bump();
SELECT total();

--
-- READ, WRITE, LOCK SHARD, TIMEOUT, ON FAILURE SKIP
--
-- on a cluster of one node and no replicas, so that all that is sent can be shown
CREATE FUNCTION volatile_read() RETURNS bigint LANGUAGE plshard AS $$ CLUSTER 'It''s "ours"'; READ; SELECT 1; $$;
CREATE FUNCTION stable_write() RETURNS bigint STABLE LANGUAGE plshard AS $$ CLUSTER 'It''s "ours"'; WRITE; RUN ON hash('x'::text); SELECT 2; $$;
CREATE FUNCTION shard_write() RETURNS bigint LANGUAGE plshard AS $$ LOCK SHARD; CLUSTER 'It''s "ours"'; RUN ON hash('x'::text); SELECT 3; $$;
CREATE FUNCTION timed_read() RETURNS bigint STABLE LANGUAGE plshard AS $$ CLUSTER 'It''s "ours"'; TIMEOUT '1h'; SELECT 4; $$;
CREATE FUNCTION too_slow() RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER 'It''s "ours"'; TIMEOUT '100'; SELECT pg_sleep(10)::text; $$;
CREATE FUNCTION cannot_write() RETURNS text LANGUAGE plshard AS $$ CLUSTER 'It''s "ours"'; READ; SELECT nextval('s')::text; $$;
SELECT named();
SET plshard.log_remote_commands = on;
SELECT volatile_read();
SELECT stable_write();
SELECT shard_write();
SELECT timed_read();
SELECT named();
RESET plshard.log_remote_commands;
SELECT too_slow();
SELECT plshard.deploy('It''s "ours"', 'CREATE SEQUENCE s');
SELECT cannot_write();

-- of two nodes one goes away
SELECT plshard.create_cluster('two');
SELECT plshard.add_node('two', 'n3', :'node3');
SELECT plshard.add_node('two', 'n4', :'node4');
SELECT plshard.create_shards('two', 4, 1);
CREATE FUNCTION skipping() RETURNS SETOF text STABLE LANGUAGE plshard AS $$ CLUSTER 'two'; RUN ON ALL; ON FAILURE SKIP; SELECT current_schema()::text; $$;
CREATE FUNCTION not_skipping() RETURNS SETOF text STABLE LANGUAGE plshard AS $$ CLUSTER 'two'; RUN ON ALL; SELECT current_schema()::text; $$;
SELECT skipping() ORDER BY 1;
ALTER DATABASE plshard_node4 WITH ALLOW_CONNECTIONS false;
SELECT count(pg_terminate_backend(pid, 5000)) > 0 AS ended FROM pg_stat_activity WHERE datname = 'plshard_node4';
SELECT skipping() ORDER BY 1;
SELECT not_skipping() ORDER BY 1;
ALTER DATABASE plshard_node4 WITH ALLOW_CONNECTIONS true;
SELECT count(*) FROM not_skipping();
