-- Long results come by COPY: the same rows, of the same values, and the same errors, as the
-- ordinary way.  The nodes' functions say in which way they were called.
\getenv srcdir PG_ABS_SRCDIR
\set cluster :srcdir '/test/include/cluster.psql'
\i :cluster
\pset format unaligned
\pset footer off
\set SHOW_CONTEXT never

SELECT plshard.deploy('c', $$
	CREATE TYPE mood AS ENUM ('sad', 'so "so"', 'é \ ''');
	CREATE TYPE pair AS (a int, b text);
	CREATE DOMAIN positive AS int CHECK (VALUE > 0);
	CREATE DOMAIN price AS numeric(10,2);
	CREATE FUNCTION way() RETURNS text STABLE LANGUAGE sql AS
		'SELECT CASE WHEN current_query() ~ ''^COPY'' THEN ''copied'' ELSE ''plain'' END';
	CREATE FUNCTION ways(n int) RETURNS SETOF text STABLE LANGUAGE sql AS 'SELECT way() FROM generate_series(1, n)';
	CREATE FUNCTION shown(x anyelement, OUT value text, OUT type text, OUT way text) RETURNS SETOF record STABLE LANGUAGE sql AS
		'SELECT x::text, pg_typeof(x)::text, way() FROM generate_series(1, 2)';
	CREATE FUNCTION back(x anyelement) RETURNS SETOF anyelement STABLE LANGUAGE sql AS 'SELECT x FROM generate_series(1, 2)';
$$);
-- a cluster of one node, for output that would name the node that has answered
SELECT plshard.create_cluster('one');
SELECT plshard.add_node('one', 'n1', :'node1');
SELECT plshard.create_shards('one', 1, 1);
SELECT plshard.deploy('one', $$
	CREATE TABLE t (k int);
	CREATE FUNCTION way() RETURNS text STABLE LANGUAGE sql AS 'SELECT CASE WHEN current_query() ~ ''^COPY'' THEN ''copied'' ELSE ''plain'' END';
	CREATE FUNCTION ways(n int) RETURNS SETOF text STABLE LANGUAGE sql AS 'SELECT way() FROM generate_series(1, n)';
	CREATE FUNCTION numbers(n int, bad int) RETURNS TABLE (i int, t text) STABLE LANGUAGE sql AS
		'SELECT 1 / (bad - i) * 0 + i, repeat(''x'', 100) FROM generate_series(1, n) i';
	CREATE FUNCTION put() RETURNS void LANGUAGE sql AS 'INSERT INTO t VALUES (1)';
	CREATE FUNCTION writes() RETURNS SETOF int STABLE LANGUAGE sql AS 'SELECT 1 FROM (SELECT put()) p';
	CREATE FUNCTION pid(n int) RETURNS SETOF int STABLE LANGUAGE sql AS 'SELECT pg_backend_pid() FROM generate_series(1, n)';
$$);
CREATE TYPE mood AS ENUM ('é \ ''', 'so "so"', 'sad');
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE DOMAIN price AS numeric(10,2);

--
-- When: by ROWS, or by what the last call has returned
--
CREATE FUNCTION ways(n int) RETURNS SETOF text STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; $$;
CREATE FUNCTION declared(n int) RETURNS SETOF text STABLE ROWS 1000000 LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; TARGET ways; $$;
CREATE FUNCTION declared_all(n int) RETURNS SETOF text STABLE ROWS 15999 LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; TARGET ways; $$;
CREATE FUNCTION declared_all_more(n int) RETURNS SETOF text STABLE ROWS 16000 LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; TARGET ways; $$;
CREATE FUNCTION reduced(n int) RETURNS text STABLE LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON 0; TARGET ways; REDUCE (way text) SELECT string_agg(DISTINCT way, ',') || ' ' || count(*) FROM result; $$;
CREATE FUNCTION written(n int) RETURNS SETOF text ROWS 1000000 LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; TARGET ways; $$;
CREATE FUNCTION logged(n int) RETURNS SETOF text STABLE ROWS 1000000 LANGUAGE plshard AS $$ CLUSTER 'one'; RUN ON 0; TARGET ways; $$;
CREATE FUNCTION logged_plain(n int) RETURNS SETOF text STABLE LANGUAGE plshard AS $$ CLUSTER 'one'; RUN ON 0; TARGET ways; $$;
SELECT ways(1), ways(1);
SET plshard.log_remote_commands = on;
SELECT logged(1), logged_plain(1);
SELECT logged(2), logged_plain(2);
SET plshard.log_remote_commands = off;
SELECT w, count(*) FROM declared_all(10) w GROUP BY w;
SELECT w, count(*) FROM declared_all_more(10) w GROUP BY w;
SELECT w, count(*) FROM declared(0) w GROUP BY w;
SELECT w, count(*) FROM written(3) w GROUP BY w;
-- the next call after a long result is copied, and so on until there is a short one
SELECT w, count(*) FROM ways(2000) w GROUP BY w;
SELECT w, count(*) FROM ways(2000) w GROUP BY w;
SELECT w, count(*) FROM ways(1999) w GROUP BY w;
SELECT w, count(*) FROM ways(1) w GROUP BY w;
SELECT reduced(3000), reduced(3000), reduced(3), reduced(3);
-- also in the ordinary way, what is expected to be long
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT w, count(*) FROM declared(3000) w GROUP BY w;
COMMIT;
SELECT w, count(*) FROM declared(3000) w GROUP BY w;
ALTER SERVER c OPTIONS (ADD disable_binary 'true');
SELECT w, count(*) FROM declared(3000) w GROUP BY w;
ALTER SERVER c OPTIONS (DROP disable_binary);
SELECT w, count(*) FROM declared(3000) w GROUP BY w;

--
-- Values of all types, as parameters and as rows
--
CREATE FUNCTION shown_copied(x anyelement) RETURNS TABLE (value text, type text, way text) STABLE ROWS 1000000 LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; TARGET shown; $$;
CREATE FUNCTION shown_plain(x anyelement) RETURNS TABLE (value text, type text, way text) STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; TARGET shown; $$;
CREATE FUNCTION back_copied(x anyelement) RETURNS SETOF anyelement STABLE ROWS 1000000 LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; TARGET back; $$;
CREATE TABLE sample (type regtype, value text);
INSERT INTO sample SELECT type::regtype, unnest(samples) FROM (VALUES
	('bool', ARRAY['t', 'f']),
	('int2', '{-32768}'),
	('int4', '{-2147483648,7}'),
	('int8', '{-9223372036854775808}'),
	('float4', '{-0,1.1,3.4028235e+38,NaN,-Infinity}'),
	('float8', '{-0,0.30000000000000004,1.7976931348623157e+308,5e-324,NaN,Infinity}'),
	('numeric', '{-1.10,12345678901234567890.000000000000000001,1e1000,NaN,-Infinity}'),
	('money', '{-$92233720368547758.08,$1234.56}'),
	('text', ARRAY['', 'NULL', '''', '\', '\''', 'it''s \\ "é" 日本 $1 ?', E'	a\nb\r\n', '''); SELECT 1; --', '$$', repeat('''\é', 10000)]),
	('varchar', ARRAY['', '\é''']),
	('bpchar', '{"","a  "}'),
	('name', '{"",a ''name''}'),
	('"char"', ARRAY['', 'x', '\', '''', 'é']),
	('bytea', ARRAY['', '\x00ff5c27', '\x0a5c5c275cc3a9']),
	('date', '{2024-02-29,0044-03-15 BC,5874897-12-31,infinity,2001-02-03}'),
	('time', '{24:00,12:34:56.789012}'),
	('timetz', '{24:00-15:59,12:34:56.789012+05:30}'),
	('timestamp', '{2024-02-29 12:34:56.789012,4713-11-24 00:00:00 BC,infinity}'),
	('timestamptz', '{2024-02-29 12:34:56.789012+05:45,4713-11-24 00:00:00+00 BC,1883-11-18 12:00:00+00,-infinity}'),
	('interval', '{1 year 2 mons -3 days 04:05:06.7,-1 year -2 mons +3 days -04:05:06.7,-1 day}'),
	('uuid', '{c0ffee00-0000-4000-8000-000000000001}'),
	('json', ARRAY['{ "a":1 , "a":"é''\\" }', 'null']),
	('jsonb', ARRAY['{"a": [1, null, "\u00e9日\\"], "b": 1.10}', '"x"']),
	('jsonpath', ARRAY['$."é"[*] ? (@ > 1)']),
	('xml', ARRAY['<a é="1">&amp;<b/></a>', 'no <b>document</b>']),
	('bit', '{"",1,101}'),
	('varbit', '{"",101}'),
	('inet', '{10.1.2.3/8,::1}'),
	('cidr', '{10.0.0.0/8}'),
	('macaddr', '{08:00:2b:01:02:03}'),
	('macaddr8', '{08:00:2b:01:02:03:04:05}'),
	('point', '{"(1.5,-0.1)","(NaN,Infinity)"}'),
	('line', '{"{1,-1,0.3}"}'),
	('lseg', '{"[(0,0),(1.1,1)]"}'),
	('box', '{"(2,2),(0.1,0)"}'),
	('path', '{"[(0,0),(1,1)]","((0,0),(0.1,1),(2,0))"}'),
	('polygon', '{"((0,0),(0.1,1),(2,0))"}'),
	('circle', '{"<(1,2),3.3>"}'),
	('tsvector', ARRAY['''a'':1A ''é'':2,3B ''it''''s''', '']),
	('tsquery', ARRAY['''fat'' & !''rät'':AB*', '''a'' <3> ''b''']),
	('int2vector', '{"",1 -2 3}'),
	('oidvector', '{"",1 4294967295}'),
	('oid', '{4294967295}'),
	('tid', '{"(4294967295,65535)"}'),
	('xid8', '{18446744073709551615}'),
	('pg_lsn', '{FFFFFFFF/FFFFFFFF}'),
	('pg_snapshot', '{"10:20:10,14"}'),
	('regclass', '{pg_class,-}'),
	('regtype', '{"timestamp with time zone"}'),
	('numrange', '{"(1.10,2.200]",empty}'),
	('tstzrange', '{"[\"2024-01-01 00:00:00.1+05:45\",)"}'),
	('int4multirange', '{"{[1,2),[5,)}","{}"}'),
	('tstzmultirange', '{"{[\"2024-01-01 00:00:00.1+05:45\",)}"}'),
	('mood', ARRAY['so "so"', 'é \ ''']),
	('pair', ARRAY['(,)', '(1,"(,\\""é'')")']),
	('positive', '{5}'),
	('price', '{1.50}')
	) AS s(type, samples);
-- What differs from the ordinary way, or does not come back bit for bit (a tsquery has bytes
-- that mean nothing, a composite more than one column).
CREATE FUNCTION check_value(value text, type regtype) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	form text;
	x text;
	problem text;
BEGIN
	FOREACH form IN ARRAY ARRAY['%1$L::%2$s', 'ARRAY[%1$L::%2$s, NULL, %1$L]'] LOOP
		CONTINUE WHEN form ~ 'ARRAY' AND (value IS NULL OR type IN ('int2vector'::regtype, 'oidvector'::regtype));
		x := format(form, value, type);
		EXECUTE format($q$
			WITH c AS (SELECT * FROM shown_copied(%1$s)), p AS (SELECT * FROM shown_plain(%1$s))
			SELECT CASE WHEN (SELECT string_agg(way, ',') FROM c) IS DISTINCT FROM 'copied,copied' THEN 'not copied'
					WHEN (SELECT string_agg(way, ',') FROM p) IS DISTINCT FROM 'plain,plain' THEN 'not plain'
					WHEN EXISTS (SELECT value, type FROM c EXCEPT ALL SELECT value, type FROM p)
						OR EXISTS (SELECT value, type FROM p EXCEPT ALL SELECT value, type FROM c)
						THEN format('%%s %%s, plain %%s %%s', (SELECT min(value) FROM c), (SELECT min(type) FROM c), (SELECT min(value) FROM p), (SELECT min(type) FROM p))
					WHEN (SELECT count(*) FROM back_copied(%1$s) whole WHERE %2$s) <> 2 THEN 'comes back as ' || (SELECT min(whole::text) FROM back_copied(%1$s) whole) END $q$,
			x, format(CASE WHEN type IN ('tsquery'::regtype, 'pair'::regtype) THEN 'whole::text IS NOT DISTINCT FROM (%s)::text'
					  ELSE 'record_image_eq(ROW(whole), ROW(%s))' END, x)) INTO problem;
		IF problem IS NOT NULL THEN
			RETURN format('%s: %s', form, left(problem, 200));
		END IF;
	END LOOP;
	RETURN NULL;
EXCEPTION WHEN OTHERS THEN
	RETURN format('%s: %s', form, left(SQLERRM, 200));
END $$;
CREATE FUNCTION check_all() RETURNS TABLE (type text, value text, problem text) LANGUAGE sql AS
	'SELECT s.type, left(s.value, 100), p FROM (SELECT type, value FROM sample UNION SELECT type, NULL FROM sample WHERE type::text <> ''pair'') s, check_value(value, type) p WHERE p IS NOT NULL ORDER BY 1, 2';
SELECT count(*), count(DISTINCT type) FROM sample;
SELECT * FROM check_all();
-- under other settings on the front
SET datestyle = 'German, YMD';
SET intervalstyle = 'sql_standard';
SET extra_float_digits = -15;
SET bytea_output = 'escape';
SET timezone = 'Asia/Kathmandu';
SET standard_conforming_strings = off;
SET escape_string_warning = off;
SET search_path = public, pg_catalog;
SELECT * FROM check_all();
-- and on the nodes
SELECT format('ALTER DATABASE plshard_node%s SET %s', n, setting) FROM generate_series(1, 4) n, unnest(ARRAY[
	'datestyle = ''SQL, DMY''', 'intervalstyle = ''iso_8601''', 'extra_float_digits = -15', 'bytea_output = ''escape''', 'timezone = ''America/Caracas''',
	'array_nulls = off', 'standard_conforming_strings = off', 'client_encoding = ''LATIN1''']) setting \gexec
\c -
\pset format unaligned
\pset footer off
\set SHOW_CONTEXT never
SET datestyle = 'SQL, DMY';
SET timezone = -3.5;
SELECT * FROM check_all();
SELECT format('ALTER DATABASE plshard_node%s RESET ALL', n) FROM generate_series(1, 4) n \gexec
\c -
\pset format unaligned
\pset footer off
\set SHOW_CONTEXT never

--
-- Parameters: many, twice, named like a parameter, VARIADIC, none
--
SELECT plshard.deploy('c', $$
	CREATE FUNCTION joined(VARIADIC x text[]) RETURNS SETOF text STABLE LANGUAGE sql AS 'SELECT way() || '': '' || array_to_string(x, ''|'', ''null'')';
	CREATE FUNCTION nothing() RETURNS SETOF text STABLE LANGUAGE sql AS 'SELECT way()';
	CREATE FUNCTION "Odd ""$1"(x text, "$2" text, OUT "$1" text, OUT "a ""$2" text, OUT "order" text) RETURNS SETOF record STABLE LANGUAGE sql AS
		'SELECT x, $2, way()';
$$);
CREATE FUNCTION twelve(a text, b text, c text, d text, e text, f text, g text, h text, i text, j text, k text, l text) RETURNS SETOF text STABLE ROWS 1000000 LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON 0; TARGET joined(l, a, b, c, d, e, f, g, h, i, j, k, a, l, $10, $1); $$;
CREATE FUNCTION listed(VARIADIC x text[]) RETURNS SETOF text STABLE ROWS 1000000 LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; TARGET joined; $$;
CREATE FUNCTION nothing() RETURNS SETOF text STABLE ROWS 1000000 LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; $$;
CREATE FUNCTION let(a int) RETURNS SETOF text STABLE ROWS 1000000 LANGUAGE plshard AS $$ CLUSTER 'c'; LET t = 'it''s $1 \ ' || a; RUN ON hash(a); TARGET joined(t, t, t); $$;
CREATE FUNCTION "Odd ""$1"(x text, "$2" text) RETURNS TABLE ("$1" text, "a ""$2" text, "order" text) STABLE ROWS 1000000 LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON 0; $$;
SELECT twelve('a', NULL, '$1', '$10', '''', '\', 'g', '', 'i', 'ten', 'k', 'twelve');
SELECT listed('a', NULL, '$1'), listed(VARIADIC NULL), listed(VARIADIC '{}'), nothing(), let(7);
SELECT * FROM "Odd ""$1"('$2', '''$1');
SELECT * FROM "Odd ""$1"(NULL, NULL);

--
-- Rows: dropped columns, domains, records, no columns, polymorphic; none
--
CREATE TABLE wide (gone1 int, a int, gone2 text, b text, c price);
ALTER TABLE wide DROP gone1, DROP gone2;
CREATE TYPE empty AS ();
CREATE TYPE plain_wide AS (a int, b text, c numeric);
CREATE DOMAIN checked AS plain_wide CHECK ((VALUE).a < 3000);
SELECT plshard.deploy('c', $$
	CREATE TABLE wide (a int, b text, gone numeric, c price);
	ALTER TABLE wide DROP gone;
	CREATE TYPE empty AS ();
	CREATE FUNCTION wides(n int) RETURNS SETOF wide STABLE LANGUAGE sql AS 'SELECT i, way(), i + 0.005 FROM generate_series(1, n) i';
	CREATE FUNCTION records(n int) RETURNS SETOF record STABLE LANGUAGE sql AS 'SELECT i, way(), i + 0.005 FROM generate_series(1, n) i';
	CREATE FUNCTION empties(n int) RETURNS SETOF empty STABLE LANGUAGE plpgsql AS 'DECLARE e empty; BEGIN FOR i IN 1 .. n LOOP RETURN NEXT e; END LOOP; END';
	CREATE FUNCTION pairs(x anyelement, n int) RETURNS TABLE (i int, y anyelement, ys anyarray, way text) STABLE LANGUAGE sql AS
		'SELECT i, NULLIF(x, x), ARRAY[x, NULL], way() FROM generate_series(1, n) i';
$$);
CREATE FUNCTION wides(n int) RETURNS SETOF wide STABLE ROWS 1000000 LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; $$;
CREATE FUNCTION checked(n int) RETURNS SETOF checked STABLE ROWS 1000000 LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; TARGET wides; $$;
CREATE FUNCTION records(n int) RETURNS SETOF record STABLE ROWS 1000000 LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; $$;
CREATE FUNCTION empties(n int) RETURNS SETOF empty STABLE ROWS 1000000 LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; $$;
CREATE FUNCTION pairs(x anyelement, n int) RETURNS TABLE (i int, y anyelement, ys anyarray, way text) STABLE ROWS 1000000 LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; $$;
SELECT * FROM wides(2);
SELECT * FROM checked(2);
SELECT count(*) FROM checked(5000);
SELECT * FROM records(2) r(i int, way text, n numeric);
SELECT * FROM records(2) r(i bigint, way varchar(3), n numeric(3,1));
SELECT * FROM records(2) r(i int, way varchar(6), n numeric(3,1));
SELECT * FROM records(2) r(i int, way text);
SELECT count(*) FROM empties(5000);
SELECT * FROM pairs('2001-02-03'::date, 2);
SELECT * FROM pairs('x'::text, 2);
SELECT * FROM pairs('5'::positive, 2);
SELECT count(*), count(way) FROM pairs(1.5, 0);

--
-- Many rows of many shards, NULLs among them; with several connections to a node; parts of arrays
--
SELECT plshard.deploy('c', $$
	CREATE TABLE item (k int, t text, n numeric, at timestamptz, f float8, b bytea, ts text[]);
	CREATE FUNCTION items(below int) RETURNS SETOF item STABLE LANGUAGE sql AS 'SELECT * FROM item WHERE k < below';
	CREATE FUNCTION item_ways() RETURNS TABLE (k int, way text) STABLE LANGUAGE sql AS 'SELECT k, way() FROM item';
	CREATE FUNCTION put_all(ks int[]) RETURNS void LANGUAGE sql AS
		'INSERT INTO item SELECT k, NULLIF(repeat(''é'' || k, k % 50), ''''), NULLIF(k % 7, 0) / 3.0, ''2024-01-01''::timestamptz + k * ''1 min''::interval, k / 3::float8,
			decode(md5(k::text), ''hex''), ARRAY[k::text, NULL] FROM unnest(ks) k';
	CREATE FUNCTION those(ks int[], ts text[]) RETURNS TABLE (k int, t text, way text) STABLE LANGUAGE sql AS
		'SELECT u.k, u.t, way() FROM unnest(ks, ts) u(k, t) JOIN item USING (k)';
$$);
CREATE TYPE item AS (k int, t text, n numeric, at timestamptz, f float8, b bytea, ts text[]);
CREATE FUNCTION put_all(ks int[]) RETURNS void LANGUAGE plshard AS $$ CLUSTER 'c'; SPLIT ks; RUN ON hash(ks); $$;
CREATE FUNCTION items_copied(below int) RETURNS SETOF item STABLE ROWS 1000000 LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; TARGET items; $$;
CREATE FUNCTION items_plain(below int) RETURNS SETOF item STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; SELECT * FROM item WHERE k < below; $$;
CREATE FUNCTION item_ways() RETURNS TABLE (k int, way text) STABLE ROWS 1000000 LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; $$;
CREATE FUNCTION those_copied(ks int[], ts text[]) RETURNS TABLE (k int, t text, way text) STABLE ROWS 1000000 LANGUAGE plshard AS $$
	CLUSTER 'c'; SPLIT ks, ts; RUN ON hash(ks); TARGET those; $$;
SELECT put_all(ARRAY(SELECT generate_series(1, 30000)));
SELECT count(*), sum(k) FROM items_plain(1000000);
SELECT count(*), sum(k) FROM items_copied(1000000);
SELECT count(*) FROM (SELECT * FROM items_copied(1000000) EXCEPT ALL SELECT * FROM items_plain(1000000)) d;
SELECT count(*) FROM (SELECT * FROM items_plain(1000000) EXCEPT ALL SELECT * FROM items_copied(1000000)) d;
SELECT count(*), sum(k) FROM items_copied(3);
SELECT count(*), sum(k) FROM items_copied(NULL);
SET plshard.max_connections_per_node = 3;
SELECT count(*), sum(k) FROM items_copied(1000000);
RESET plshard.max_connections_per_node;
SELECT way, count(*), sum(k), count(t), count(*) FILTER (WHERE t <> '\' || k || '''') AS wrong
	FROM those_copied(ARRAY(SELECT generate_series(20001, 40000)), ARRAY(SELECT CASE WHEN i % 3 > 0 THEN '\' || i || '''' END FROM generate_series(20001, 40000) i)) GROUP BY way;
SELECT way, count(*), sum(length(t)) FROM those_copied(ARRAY(SELECT generate_series(1, 10)), ARRAY(SELECT repeat('\', 100000) FROM generate_series(1, 10))) GROUP BY way;

--
-- In a transaction that has written on the node, and in one with a snapshot: not copied, right rows
--
SELECT way, count(*), sum(k) FROM item_ways() GROUP BY way;
BEGIN;
SELECT put_all(ARRAY(SELECT generate_series(30001, 40000)));
SELECT way, count(*), sum(k) FROM item_ways() GROUP BY way;
ROLLBACK;
SELECT way, count(*), sum(k) FROM item_ways() GROUP BY way;
-- where it has written on two nodes of four: the rows of the others are copied
BEGIN;
SELECT put_all('{30001}');
SELECT count(DISTINCT way), count(*), sum(k) FROM item_ways();
SAVEPOINT a;
SELECT count(*) / 0 FROM item_ways();
ROLLBACK TO a;
SELECT count(DISTINCT way), count(*), sum(k) FROM item_ways();
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT way, count(*), sum(k) FROM item_ways() GROUP BY way;
COMMIT;
SELECT way, count(*), sum(k) FROM item_ways() GROUP BY way;

--
-- Errors: before the first row, behind some thousand, here; and the connection goes on
--
SELECT plshard.deploy('c', $$
	CREATE FUNCTION numbers(n int, bad int) RETURNS TABLE (i int, t text) STABLE LANGUAGE sql AS 'SELECT 1 / (bad - i) * 0 + i, repeat(''x'', 100) FROM generate_series(1, n) i';
	CREATE FUNCTION speaks(n int) RETURNS SETOF int STABLE LANGUAGE plpgsql AS
		'BEGIN RAISE NOTICE ''before''; FOR i IN 1 .. n LOOP RETURN NEXT i; END LOOP; RAISE WARNING ''a warning'' USING DETAIL = way(), HINT = ''none''; END';
	CREATE FUNCTION says(x int) RETURNS int STABLE LANGUAGE plpgsql AS 'BEGIN IF x % 4000 = 0 THEN RAISE NOTICE ''row %'', x; END IF; RETURN x; END';
	CREATE FUNCTION speaks_between(n int) RETURNS SETOF int STABLE LANGUAGE sql AS 'SELECT says(i) FROM generate_series(1, n) i';
$$);
CREATE DOMAIN small AS int CHECK (VALUE <= 20000);
CREATE FUNCTION numbers(n int, bad int) RETURNS TABLE (i int, t text) STABLE ROWS 1000000 LANGUAGE plshard AS $$ CLUSTER 'one'; RUN ON 0; $$;
CREATE FUNCTION numbers_all(n int, bad int) RETURNS TABLE (i int, t text) STABLE ROWS 1000000 LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; TARGET numbers; $$;
CREATE FUNCTION smalls(n int, bad int) RETURNS TABLE (i small, t text) STABLE ROWS 1000000 LANGUAGE plshard AS $$ CLUSTER 'one'; RUN ON 0; TARGET numbers; $$;
CREATE FUNCTION smalls_all(n int, bad int) RETURNS TABLE (i small, t text) STABLE ROWS 1000000 LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; TARGET numbers; $$;
CREATE FUNCTION writes() RETURNS SETOF int STABLE ROWS 1000000 LANGUAGE plshard AS $$ CLUSTER 'one'; RUN ON 0; $$;
CREATE FUNCTION speaks(n int) RETURNS SETOF int STABLE ROWS 1000000 LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; $$;
CREATE FUNCTION speaks_between(n int) RETURNS SETOF int STABLE ROWS 1000000 LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; $$;
CREATE FUNCTION pid(n int) RETURNS SETOF int STABLE ROWS 1000000 LANGUAGE plshard AS $$ CLUSTER 'one'; RUN ON 0; $$;
CREATE FUNCTION lacking(n int) RETURNS SETOF int STABLE ROWS 1000000 LANGUAGE plshard AS $$ CLUSTER 'one'; RUN ON 0; $$;
SELECT DISTINCT pid(3) AS pid \gset
\set SHOW_CONTEXT errors
SELECT count(*) FROM numbers(30000, 1);
SELECT count(*) FROM numbers(30000, 20000);
SELECT count(*) FROM numbers(30000, 30000);
SELECT writes();
SELECT lacking(1);
SELECT DISTINCT pid(3) = :pid AS same_session;
SELECT count(*), sum(i) FROM numbers(30000, 0);
SELECT count(*), sum(i) FROM smalls(20000, 0);
SELECT count(*), sum(i) FROM smalls(100000, 0);
SELECT DISTINCT pid(3) = :pid AS same_session;	-- the rest of the rows is not waited for
SELECT count(*), sum(i) FROM smalls(20001, 0);
SELECT count(*), sum(i) FROM numbers(30000, 0);
SELECT count(*), sum(i) FROM smalls(20000, 0);
\set SHOW_CONTEXT never
SELECT count(*) FROM numbers_all(3000, 2500);
SELECT count(*), sum(i) FROM numbers_all(3000, 0);
DO $$
BEGIN
	FOR i IN 1 .. 20 LOOP
		BEGIN
			PERFORM count(*) FROM smalls(20000 + i * i, 0);
			ASSERT false;
		EXCEPTION WHEN check_violation THEN
			NULL;
		END;
		ASSERT (SELECT count(*) FROM numbers(3000, 0)) = 3000;
	END LOOP;
	FOR i IN 1 .. 3 LOOP
		BEGIN
			PERFORM count(*) FROM smalls_all(25000, 0);
			ASSERT false;
		EXCEPTION WHEN check_violation THEN
			NULL;
		END;
		ASSERT (SELECT count(*) FROM numbers_all(300, 0)) = 2400;
	END LOOP;
END $$;
-- notices
SELECT count(*) FROM speaks(3000);
SELECT count(*) FROM speaks_between(10000);

--
-- A call within a call: a CHECK that reads from the same node while rows come
--
CREATE FUNCTION look(i int) RETURNS bool LANGUAGE plpgsql AS $$
BEGIN
	IF i = 1000 THEN
		RETURN (SELECT count(*) FROM numbers_all(500, 0)) = 4000 AND (SELECT count(*) FROM ways(1)) = 1;
	ELSIF i = 1001 THEN
		BEGIN
			PERFORM numbers_all(1000, 500);
		EXCEPTION WHEN division_by_zero THEN
			RETURN true;
		END;
	ELSIF i = 1999 THEN
		PERFORM put_all('{-1}');
	END IF;
	RETURN true;
END $$;
CREATE DOMAIN looked_at AS int CHECK (look(VALUE));
CREATE FUNCTION look_at(n int, bad int) RETURNS TABLE (i looked_at, t text) STABLE ROWS 1000000 LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; TARGET numbers; $$;
SELECT count(*), sum(i) FROM look_at(1500, 0);
SET plshard.max_connections_per_node = 2;
SELECT count(*), sum(i) FROM look_at(1500, 0);
RESET plshard.max_connections_per_node;
\set VERBOSITY sqlstate
SELECT count(*), sum(i) FROM look_at(2500, 0);
\set VERBOSITY default
SELECT count(*), sum(i) FROM look_at(1500, 0);
SELECT count(*) FROM items_copied(0);

-- between two shards' rows a connection has nothing on its way: it is not made anew by a call within
SELECT plshard.create_cluster('two');
SELECT plshard.add_node('two', 'n' || i, node) FROM (VALUES (1, :'node1'), (2, :'node2')) n(i, node);
SELECT plshard.create_shards('two', 8, 1);
SELECT plshard.deploy('two', $$
	CREATE FUNCTION numbers(n int) RETURNS SETOF int STABLE LANGUAGE sql AS 'SELECT generate_series(1, n)';
$$);
CREATE FUNCTION few() RETURNS bigint STABLE LANGUAGE plshard AS $$ CLUSTER 'two'; RUN ON ALL; SELECT 1 AS n; REDUCE SELECT sum(n) FROM result; $$;
CREATE FUNCTION slow_look(i int) RETURNS bool LANGUAGE sql AS 'SELECT i % 500 > 0 OR (pg_sleep(0.1) IS NOT NULL AND few() = 8)';
CREATE DOMAIN slowly AS int CHECK (slow_look(VALUE));
CREATE FUNCTION slow(n int) RETURNS SETOF slowly STABLE ROWS 1000000 LANGUAGE plshard AS $$ CLUSTER 'two'; RUN ON ALL; TARGET numbers; $$;
ALTER SERVER two OPTIONS (ADD connection_lifetime '1 s');
SELECT count(*), sum(s) FROM slow(1500) s;
ALTER SERVER two OPTIONS (DROP connection_lifetime);

--
-- Static clusters: ALL, ANY, pooled
--
SELECT format('%s options=''-c search_path=plshard_10000,public''', :'node1') AS p0, format('%s options=''-c search_path=plshard_10001,public''', :'node2') AS p1 \gset
CREATE SERVER s FOREIGN DATA WRAPPER plshard OPTIONS (p0 :'p0', p1 :'p1');
CREATE FUNCTION s_ways(n int) RETURNS SETOF text STABLE ROWS 1000000 LANGUAGE plshard AS $$ CLUSTER 's'; RUN ON ALL; TARGET ways; $$;
CREATE FUNCTION s_any(n int) RETURNS SETOF text STABLE ROWS 1000000 LANGUAGE plshard AS $$ CLUSTER 's'; RUN ON ANY; TARGET ways; $$;
SELECT w, count(*) FROM s_ways(5000) w GROUP BY w;
SELECT w, count(*) FROM s_any(5000) w GROUP BY w;
ALTER SERVER s OPTIONS (ADD pooled 'true');
SELECT w, count(*) FROM s_ways(5000) w GROUP BY w;
ALTER SERVER s OPTIONS (DROP pooled);
SELECT w, count(*) FROM s_ways(5000) w GROUP BY w;
