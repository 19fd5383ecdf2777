-- What functions take and return, and where they may be called.
\getenv srcdir PG_ABS_SRCDIR
\set cluster :srcdir '/test/include/cluster.psql'
\i :cluster
\pset format unaligned
-- (which replica a read goes to depends on the session)
\set SHOW_CONTEXT never
SELECT plshard.deploy('c', $$
	CREATE TYPE mood AS ENUM ('sad', 'ok', 'so "so"');
	CREATE TYPE pair AS (a int, b text);
	CREATE TYPE nested AS (p pair, ps pair[], m mood, r int4range);
	CREATE TYPE floats AS RANGE (subtype = float8);
	CREATE DOMAIN positive AS int;
	CREATE DOMAIN pos_pair AS pair;
	CREATE TABLE item (k text PRIMARY KEY, n int);
$$);
CREATE TYPE mood AS ENUM ('sad', 'ok', 'so "so"');
CREATE TYPE pair AS (a int, b text);
CREATE TYPE nested AS (p pair, ps pair[], m mood, r int4range);
CREATE TYPE floats AS RANGE (subtype = float8);
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE DOMAIN pos_pair AS pair CHECK ((VALUE).a > 0);

--
-- Values there and back: in binary where the types allow (a call), in text (SQL)
--
SELECT plshard.deploy('c', $$
	CREATE FUNCTION by_call(x anyelement) RETURNS anyelement STABLE LANGUAGE sql AS 'SELECT x';
$$);
CREATE FUNCTION by_call(x anyelement) RETURNS anyelement STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; $$;
CREATE FUNCTION by_sql(x anyelement) RETURNS anyelement STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; SELECT x; $$;
CREATE FUNCTION rows_by_call(x anyelement) RETURNS SETOF anyelement STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; TARGET by_call; $$;
CREATE FUNCTION check_value(value text, OUT type text, OUT call bool, OUT sql bool, OUT array_sql bool, OUT rows bool, OUT nulls bool)
	LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('SELECT pg_typeof(%s)', value) INTO type;
	EXECUTE format('SELECT by_call(%1$s)::text = (%1$s)::text, by_sql(ARRAY[%1$s])::text = ARRAY[%1$s]::text,
		(SELECT whole::text FROM rows_by_call(%1$s) whole) = (%1$s)::text,
		by_call(NULL::%2$s) IS NULL AND by_sql(ARRAY[NULL::%2$s])::text = ARRAY[NULL::%2$s]::text
			AND (SELECT whole FROM rows_by_call(NULL::%2$s) whole) IS NULL',
		value, type) INTO call, array_sql, rows, nulls;
	EXECUTE format('SELECT by_sql(%1$s)::text = (%1$s)::text', value) INTO sql;
EXCEPTION
	WHEN datatype_mismatch THEN		-- a row: its columns are wanted, not the row
END $$;
CREATE TABLE value (id serial, v text);
INSERT INTO value (v) VALUES ('true'), ('1::smallint'), ('-2147483648'), ('9223372036854775807'), ('4294967295::oid'),
	('1e-37::float4'), ('1/3.0::float8'), ('''NaN''::float8'), ('''-Infinity''::float4'), ('-1234567890.0987654321'),
	('''NaN''::numeric'), ('''Infinity''::numeric'), ('0.000'), ('''12.34''::money'), ('''it''''s \ "é"''::text'), ('''''::text'),
	('''ab  ''::char(6)'), ('''x''::"char"'), ('''a name''::name'), ('''v''::varchar(3)'), ('''\xdeadbeef00''::bytea'),
	('''2024-02-29 12:34:56.789012+05:30''::timestamptz'), ('''infinity''::timestamp'), ('''0044-03-15 BC''::date'),
	('''24:00''::time'), ('''12:00:01.5-08''::timetz'), ('''-1 year 2 mons -3 days 04:05:06.7''::interval'),
	('''{"a": [1, null, "\u00e9"]}''::jsonb'), ('''{ "a":1 }''::json'), ('''$.a[*] ? (@ > 1)''::jsonpath'),
	('''<a>&amp;<b/></a>''::xml'), ('''c0ffee00-0000-4000-8000-000000000001''::uuid'), ('B''10110''::varbit'), ('B''1''::bit(1)'),
	('''10.1.2.3/8''::inet'), ('''fe80::/16''::cidr'), ('''08:00:2b:01:02:03''::macaddr'), ('''(1.5,-2)''::point'),
	('''((0,0),(1,1))''::box'), ('''<(1,2),3>''::circle'), ('''[(0,0),(1,1)]''::path'), ('''a fat cat''::tsvector'),
	('''fat & !rat''::tsquery'), ('''[1,5)''::int4range'), ('''{[1,2),[5,)}''::int8multirange'), ('''["2024-01-01 00:00:00",)''::tsrange'),
	('''0/16B3748''::pg_lsn'), ('''10:20:10,14''::pg_snapshot'), ('''(0,1)''::tid'), ('''7''::xid8'), ('''pg_class''::regclass'),
	('''{1,NULL,3}''::int[]'), ('''[0:1][2:3]={{1,2},{3,4}}''::int[]'), ('''{}''::text[]'), ('''{"a,b","NULL",NULL,"\"q\""}''::text[]'),
	('''{1 day,-1 mon}''::interval[]'), ('''{"{\"a\": 1}"}''::jsonb[]'),
	('''so "so"''::mood'), ('''{sad,"so \"so\""}''::mood[]'), ('ROW(1, ''x, "y"'')::pair'), ('ROW(NULL, NULL)::pair'),
	('ARRAY[ROW(1, ''x''), NULL, ROW(NULL, '''')]::pair[]'), ('ROW(ROW(1, ''x''), ARRAY[ROW(2, ''(,)'')]::pair[], ''ok'', ''[1,2]'')::nested'),
	('''[0.1,1e300)''::floats'), ('5::positive'), ('ROW(1, ''dom'')::pos_pair'), ('''(1,x)''::pair::pos_pair'), ('ARRAY[1, 2]::positive[]');
SELECT id, c.* FROM value, check_value(v) c ORDER BY id;

-- ... whatever the settings of the front are
SET datestyle = 'SQL, DMY';
SET intervalstyle = 'sql_standard';
SET extra_float_digits = 0;
SET bytea_output = 'escape';
SET timezone = 'Asia/Kathmandu';
SET client_encoding = 'LATIN1';
SELECT id, v, c.* FROM value, check_value(v) c WHERE (call AND array_sql AND rows AND nulls) IS NOT TRUE OR NOT sql ORDER BY id;
RESET datestyle;
RESET intervalstyle;
RESET extra_float_digits;
RESET bytea_output;
RESET timezone;
RESET client_encoding;

--
-- The declared type holds, whatever a node returns
--
CREATE TYPE modified AS (a varchar(3), b numeric(5,1), c timestamp(0), d bit(3));
SELECT plshard.deploy('c', $$
	CREATE TYPE modified AS (a varchar, b numeric, c timestamp, d varbit);
	CREATE FUNCTION modified(a text) RETURNS modified STABLE LANGUAGE sql AS 'SELECT $1, 1.25, timestamp ''2024-01-01 00:00:00.7'', B''101''';
$$);
CREATE FUNCTION modified(a text) RETURNS modified STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; $$;
CREATE FUNCTION modified_sql(a text) RETURNS modified STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; SELECT a, 1.25 AS b, '2024-01-01 00:00:00.7' AS c, '101' AS d; $$;
SELECT modified('abc'), modified_sql('abc');
SELECT modified('abcd');
SELECT modified_sql('abcd');

SELECT plshard.deploy('c', $$
	CREATE FUNCTION less(a int, b int) RETURNS int STABLE LANGUAGE sql AS 'SELECT a - b';
	CREATE FUNCTION less_pair(a int, b int) RETURNS pair STABLE LANGUAGE sql AS 'SELECT a - b, ''x''::text';
	CREATE FUNCTION null_pair(a int) RETURNS pair STABLE LANGUAGE sql AS 'SELECT NULL::pair';
$$);
CREATE DOMAIN filled AS int NOT NULL;
CREATE FUNCTION less(a int, b int) RETURNS positive STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; $$;
CREATE FUNCTION less_set(a int, b int) RETURNS SETOF positive STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; SELECT a - b; $$;
CREATE FUNCTION less_filled(a int, b int) RETURNS filled STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; TARGET less; $$;
CREATE FUNCTION less_pair(a int, b int) RETURNS pos_pair STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; $$;
CREATE FUNCTION less_pairs(a int, b int) RETURNS SETOF pos_pair STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; SELECT a - b AS a, 'y' AS b; $$;
CREATE FUNCTION null_pair(a int) RETURNS pair STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; $$;
SELECT less(5, 2), less_set(5, 2), less_filled(5, 2), less_pair(5, 2), less_pairs(5, 2), less(5, NULL), null_pair(1);
SELECT less(2, 5);
SELECT less_set(2, 5);
SELECT less_filled(2, NULL);
SELECT less_pair(2, 5);
SELECT less_pairs(2, 5);

-- a value that a node's type has and the front's has not
SELECT plshard.deploy('c', $$
	CREATE FUNCTION big(a int) RETURNS bigint STABLE LANGUAGE sql AS 'SELECT 3000000000';
	CREATE FUNCTION words(a int) RETURNS text STABLE LANGUAGE sql AS 'SELECT ''words''::text';
$$);
CREATE FUNCTION big(a int) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; $$;
CREATE FUNCTION big_sql(a int) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; SELECT 3000000000; $$;
CREATE FUNCTION words(a int) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; $$;
SELECT big(1);
SELECT big_sql(1);
SELECT words(1);

--
-- void, sets, TABLE, OUT
--
SELECT plshard.deploy('c', $$
	CREATE FUNCTION nothing(a int) RETURNS void STABLE LANGUAGE sql AS 'SELECT';
	CREATE FUNCTION series(n int) RETURNS SETOF int STABLE LANGUAGE sql AS 'SELECT generate_series(1, n)';
	CREATE FUNCTION pairs(n int) RETURNS SETOF pair STABLE LANGUAGE sql AS 'SELECT i, i || ''!'' FROM generate_series(1, n) i';
	CREATE FUNCTION columns(n int) RETURNS TABLE(y text, x int) STABLE LANGUAGE sql AS 'SELECT i || ''?'', i FROM generate_series(1, n) i';
	CREATE FUNCTION outs(INOUT a int, OUT b text, c int, OUT "D d" int[]) STABLE LANGUAGE sql AS 'SELECT a + 1, ''b''::text, ARRAY[c]';
	CREATE FUNCTION one_out(a int, OUT b text) STABLE LANGUAGE sql AS 'SELECT a || ''o''';
	CREATE FUNCTION records(n int) RETURNS SETOF record STABLE LANGUAGE sql AS 'SELECT i, i || ''r'' FROM generate_series(1, n) i';
	CREATE FUNCTION one_record(n int) RETURNS record STABLE LANGUAGE sql AS 'SELECT n, n || ''r''';
	CREATE FUNCTION list(VARIADIC a int[]) RETURNS text STABLE LANGUAGE sql AS 'SELECT a::text';
	CREATE FUNCTION "any"(a anyarray, b anyelement) RETURNS anyarray STABLE LANGUAGE sql AS 'SELECT a || b';
	CREATE FUNCTION take(p pair, ps pair[]) RETURNS text STABLE LANGUAGE sql AS 'SELECT concat_ws(''/'', p.a, p.b, ps[1].b)';
$$);
CREATE FUNCTION nothing(a int) RETURNS void STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; $$;
CREATE FUNCTION nothing_of_rows(a int) RETURNS void STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; TARGET series; $$;
-- a set of void has as many rows as come
CREATE FUNCTION voids(a int) RETURNS SETOF void STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; TARGET nothing; $$;
CREATE FUNCTION voids_of_rows(n int) RETURNS SETOF void STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; TARGET series; $$;
CREATE FUNCTION voids_of_sql(n int) RETURNS SETOF void LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; SELECT x, -x FROM generate_series(1, n) x; $$;
CREATE FUNCTION series(n int) RETURNS SETOF int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; $$;
CREATE FUNCTION pairs(n int) RETURNS SETOF pair STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; $$;
CREATE FUNCTION columns(n int) RETURNS TABLE(x int, y text) STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; $$;
CREATE FUNCTION one_column(n int) RETURNS TABLE(z text) STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; SELECT i || '1' FROM generate_series(1, n) i; $$;
CREATE FUNCTION outs(INOUT a int, OUT b text, c int, OUT "D d" int[]) STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(a, c); $$;
CREATE FUNCTION one_out(a int, OUT b text) STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; $$;
CREATE FUNCTION records(n int) RETURNS SETOF record STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; $$;
CREATE FUNCTION one_record(n int) RETURNS record STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; $$;
CREATE FUNCTION list(VARIADIC a int[]) RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(a[1]); $$;
CREATE FUNCTION "any"(a anyarray, b anyelement) RETURNS anyarray STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(b::text); $$;
CREATE FUNCTION take(p pair DEFAULT ROW(7, 'seven'), ps pair[] DEFAULT '{}') RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(p.a); $$;
SELECT nothing(1), nothing(1) IS NULL AS null, nothing_of_rows(2);
SELECT * FROM nothing(1);
SELECT voids(1) FROM generate_series(1, 2) LIMIT 9;
SELECT count(*), count(v) FROM voids_of_rows(3) v;
SELECT count(*) FROM voids_of_sql(2);
SELECT count(*) FROM voids_of_rows(0);
SELECT series(3);
SELECT * FROM pairs(2);
SELECT pairs(2), (pairs(2)).b;
SELECT * FROM columns(2);
SELECT columns(2);
SELECT * FROM one_column(2);
SELECT * FROM outs(1, 5);
SELECT outs(c => 5, a => 1);
SELECT * FROM one_out(5);
SELECT * FROM records(2) AS r(a int, b text);
SELECT * FROM records(2) AS r("A a" bigint, b varchar(1));
SELECT * FROM records(2) AS r("A a" int, b varchar(2));
SELECT * FROM one_record(2) AS r(a int, b text);
SELECT * FROM one_record(2) AS r(a int, b text, c int);
SELECT one_record(2);
SELECT * FROM one_record(2);
SELECT list(1, 2, 3), list(VARIADIC '{4,5}');
SELECT "any"(ARRAY[1], 2), "any"(ARRAY['a'], 'b'::text), "any"('{sad}'::mood[], 'ok');
SELECT take(), take((1, 'one')), take(ps => '{"(2,two)"}');

-- a composite whose columns were dropped, added and renamed, here and there
SELECT plshard.deploy('c', 'CREATE FUNCTION pair(a int) RETURNS pair STABLE LANGUAGE sql AS ''SELECT $1, ''''b''''::text''');
CREATE FUNCTION pair(a int) RETURNS pair STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(a); $$;
CREATE TABLE had (gone int, a int, gone2 text, b text);
ALTER TABLE had DROP gone, DROP gone2;
CREATE FUNCTION had(a int) RETURNS had STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(a); TARGET pair; $$;
CREATE FUNCTION hads(n int) RETURNS SETOF had STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; TARGET pairs; $$;
CREATE FUNCTION had_sql(n int) RETURNS SETOF had STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; SELECT 'b' AS b, n AS a; $$;
CREATE FUNCTION had_reduced(n int) RETURNS SETOF had STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; TARGET pairs; REDUCE SELECT a * 10, b FROM result; $$;
SELECT pair(1), had(1), (had(1)).b;
SELECT * FROM hads(2);
SELECT hads(1), had_sql(1), had_reduced(1);
SELECT h.a FROM hads(2) h WHERE h.b = '2!';
INSERT INTO had SELECT * FROM hads(1);
SELECT had = (SELECT h FROM hads(1) h) AS same FROM had;

--
-- Procedures and DO
--
SELECT plshard.deploy('c', $$
	CREATE PROCEDURE put(k text, n int) LANGUAGE sql AS 'INSERT INTO item VALUES (k, n)';
	CREATE PROCEDURE put_twice(k text, INOUT n int, OUT was int) LANGUAGE plpgsql AS
		'BEGIN was := n; n := n * 2; INSERT INTO item VALUES (k, n); END';
	CREATE PROCEDURE set_up() LANGUAGE sql AS 'DELETE FROM item';
$$);
CREATE PROCEDURE put(k text, n int DEFAULT 3) LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); $$;
CREATE PROCEDURE put_twice(k text, INOUT n int, OUT was int) LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); $$;
CREATE PROCEDURE set_up() LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; $$;
CREATE PROCEDURE put_sql(INOUT key text, OUT number int) LANGUAGE plshard AS $$ CLUSTER 'c'; LET n = length(key); RUN ON hash(key); INSERT INTO item VALUES (key, n) RETURNING item.n AS number, k AS key; $$;
CREATE FUNCTION items() RETURNS TABLE(k text, n int) STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; SELECT k, n FROM item; REDUCE SELECT k, n FROM result ORDER BY 1; $$;
CALL put('one', 1);
CALL put('three');
CALL put_twice('four', 2, NULL);
CALL put_sql('seven!!', NULL);
DO $$
DECLARE n int := 5; was int;
BEGIN
	CALL put_twice('ten', n, was);
	RAISE NOTICE 'n = %, was %', n, was;
END $$;
SELECT * FROM items();
DO LANGUAGE plshard $$ CLUSTER 'c'; LET limit_ = 1 + 2; RUN ON ALL; DELETE FROM item WHERE n > limit_; $$;
DO LANGUAGE plshard $$ CLUSTER 'c'; LET k = 'by DO'; LET n = 1; RUN ON hash(k); CALL put(k, n); $$;
SELECT * FROM items();
CALL set_up();
SELECT * FROM items();

--
-- One row is wanted: none, several
--
CREATE FUNCTION first(n int) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; TARGET series; $$;
CREATE FUNCTION some_sql(n int) RETURNS pair STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; SELECT i AS a, 'x' AS b FROM generate_series(1, n) i; $$;
CREATE FUNCTION of_all(n int) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; SELECT n; $$;
CREATE FUNCTION written(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); UPDATE item SET n = 1 WHERE item.k = written.k RETURNING item.n; $$;
SELECT some_sql(1);
SELECT some_sql(0);
SELECT some_sql(2);
SELECT of_all(1);
SELECT written('nobody');
\set VERBOSITY sqlstate
SELECT some_sql(0);
SELECT some_sql(2);
\set VERBOSITY default
DO $$
BEGIN
	FOR n IN 0..2 LOOP
		BEGIN
			RAISE NOTICE '%', some_sql(n);
		EXCEPTION
			WHEN no_data_found THEN RAISE NOTICE 'none';
			WHEN too_many_rows THEN RAISE NOTICE 'several';
		END;
	END LOOP;
END $$;
-- what a call makes of a set
SELECT first(1);
SELECT first(2);

--
-- Where calls stand
--
SELECT series(2), series(3), one_out(1);
SELECT series(2) * 10 + series(2), generate_series(1, 2);
SELECT i, s, p FROM generate_series(1, 3) i, LATERAL series(i) s LEFT JOIN pairs(2) p ON p.a = s ORDER BY 1, 2;
SELECT i, array(SELECT series(i)), (SELECT sum(s) FROM series(i) s) FROM generate_series(0, 2) i;
SELECT * FROM ROWS FROM (series(2), pairs(3), records(1) AS (a int, b text)) WITH ORDINALITY;
SELECT a.a, b.b FROM pairs(3) a JOIN pairs(3) b USING (a) WHERE a.a IN (SELECT series(2)) ORDER BY 1;
SELECT CASE WHEN i > 1 THEN list(i) END, COALESCE(one_out(i), list(1)) FROM generate_series(1, 2) i;
SELECT count(*), sum(n) FROM (SELECT less(n + 1, 0) AS n FROM series(50) n ORDER BY less(n + 1, 0) LIMIT 20) l WHERE list(n) <> '{2}';
SELECT one_out(i), count(*) FROM generate_series(1, 4) i GROUP BY one_out(i) HAVING one_out(i) > '1o' ORDER BY 1;
WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT less(n, -1) FROM r WHERE n < 4) SELECT * FROM r;
SELECT list(first) FROM first(1) WHERE one_out((list(VARIADIC ARRAY[first])::int[])[1]) = '1o';
SELECT CASE WHEN true THEN series(1) END;

-- half-read cursors and limits; other calls meanwhile
BEGIN;
DECLARE c1 CURSOR FOR SELECT * FROM series(1000);
DECLARE c2 SCROLL CURSOR FOR SELECT * FROM pairs(1000);
DECLARE c3 CURSOR FOR SELECT series(1000);
FETCH 2 FROM c1;
FETCH 1 FROM c2;
SELECT one_out(1);
FETCH 2 FROM c3;
FETCH 1 FROM c1;
FETCH LAST FROM c2;
FETCH ABSOLUTE 2 FROM c2;
CLOSE c1;
CALL put('in', 1);
FETCH 1 FROM c3;
COMMIT;
SELECT series(1000) LIMIT 1;
SELECT one_out(2);
DECLARE c4 CURSOR WITH HOLD FOR SELECT * FROM series(3);
FETCH 1 FROM c4;
FETCH 3 FROM c4;
CLOSE c4;

-- PL/pgSQL: loops, nesting, exceptions
DO $$
DECLARE p pair; n int; t text;
BEGIN
	FOR p IN SELECT * FROM pairs(3) LOOP
		CONTINUE WHEN p.a = 2;
		n := less(p.a, -10);
		t := one_out(n);
		RAISE NOTICE '% % %', p, n, t;
		EXIT WHEN p.a = 3;
	END LOOP;
	p := pair(5);
	p := had(p.a)::text::pair;
	SELECT * INTO p FROM pairs(2) OFFSET 1;
	EXECUTE 'SELECT list($1, $2)' INTO t USING n, p.a;
	RAISE NOTICE '% %', p, t;
END $$;

-- SQL functions, CHECK constraints, defaults, generated columns, indexes, views, triggers
CREATE FUNCTION plus_one(n int) RETURNS int LANGUAGE sql AS 'SELECT less(n, -1)';
CREATE FUNCTION plus_one_atomic(n int) RETURNS int BEGIN ATOMIC SELECT less(n, -1); END;
CREATE FUNCTION pairs_sql(n int) RETURNS SETOF pair LANGUAGE sql AS 'SELECT pairs(n)';
SELECT plus_one(1), plus_one_atomic(2);
SELECT * FROM pairs_sql(2);
CREATE FUNCTION put_item(k text, n int) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); INSERT INTO item VALUES (k, n) RETURNING item.n; $$;
CREATE TABLE local (k text DEFAULT one_out(9), n int CHECK (less(n, 10) IS NOT NULL));
CREATE VIEW local_view AS SELECT k, n, less(n, 1) AS less FROM local;
CREATE FUNCTION copy_item() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM put_item(new.k, new.n); RETURN new; END';
CREATE TRIGGER copy_item BEFORE INSERT ON local FOR EACH ROW EXECUTE FUNCTION copy_item();
INSERT INTO local (n) VALUES (11);
INSERT INTO local VALUES ('x', 10);
INSERT INTO local VALUES ('y', 12), ('9o', 13);
SELECT * FROM local_view;
SELECT * FROM items();

-- prepared statements, of both kinds of plans
SET plan_cache_mode = force_custom_plan;
PREPARE by_key(int) AS SELECT list($1), s FROM series($1) s ORDER BY 2 DESC LIMIT 1;
EXECUTE by_key(1);
EXECUTE by_key(2);
SET plan_cache_mode = force_generic_plan;
EXECUTE by_key(3);
EXECUTE by_key(1);
RESET plan_cache_mode;
DEALLOCATE by_key;

-- a function in its own LET and key
CREATE FUNCTION below(n int) RETURNS int LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN CASE WHEN n <= 0 THEN 0 ELSE sum_to(n - 1) END; END $$;
CREATE FUNCTION sum_to(n int) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; LET rest = below(n); RUN ON hash(below(n - 1)); SELECT rest + n; $$;
SELECT sum_to(0), sum_to(4);

-- a result that does not fit in memory
SET work_mem = '64kB';
CREATE FUNCTION many(n int) RETURNS SETOF pair STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; TARGET pairs; $$;
CREATE FUNCTION many_reduced(n int) RETURNS bigint STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; TARGET pairs; REDUCE (a int, b text) SELECT sum(a) FROM result; $$;
SELECT count(*), sum(a), max(length(b)) FROM many(10000);
SELECT many_reduced(10000);
RESET work_mem;
