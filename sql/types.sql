-- Values of every base type, there and back: as they are, in arrays, in composites, in
-- ranges and domains, in binary and as text, under all settings of the front and the nodes.
\getenv srcdir PG_ABS_SRCDIR
\set cluster :srcdir '/test/include/cluster.psql'
\i :cluster
\pset format unaligned
\pset footer off
\set SHOW_CONTEXT never

--
-- Samples
--
CREATE TABLE sample (type regtype, value text);
INSERT INTO sample SELECT type::regtype, unnest(samples) FROM (VALUES
	('bool', ARRAY['t', 'f']),
	('int2', '{-32768,0,32767}'),
	('int4', '{-2147483648,0,2147483647}'),
	('int8', '{-9223372036854775808,0,9223372036854775807}'),
	('float4', '{0,-0,1.1,3.4028235e+38,-1e-45,NaN,-Infinity}'),
	('float8', '{0,-0,0.1,0.30000000000000004,1.7976931348623157e+308,5e-324,NaN,Infinity}'),
	('numeric', '{0,0.000,-1.10,12345678901234567890.000000000000000001,1e1000,NaN,Infinity,-Infinity}'),
	('money', '{$0.00,-$92233720368547758.08,$1234.56}'),
	('text', '{"",x,"it''s \\ \"é\" 日本 $1","	a
b"}'),
	('varchar', '{"",é,"a  "}'),
	('bpchar', '{"",é,"a  "}'),
	('name', '{"",a name,éééééééééééééééééééééééééééééé}'),
	('"char"', '{"",x,\\}'),
	('bytea', '{"",\\x00ff5c27,\\xe9}'),
	('date', '{2024-02-29,0044-03-15 BC,5874897-12-31,infinity,-infinity,2001-02-03}'),
	('time', '{00:00,24:00,12:34:56.789012}'),
	('timetz', '{00:00+15:59,24:00-15:59,12:34:56.789012+05:30}'),
	('timestamp', '{2024-02-29 12:34:56.789012,4713-11-24 00:00:00 BC,294276-12-31 23:59:59.999999,infinity}'),
	('timestamptz', '{2024-02-29 12:34:56.789012+05:45,4713-11-24 00:00:00+00 BC,1883-11-18 12:00:00+00,-infinity}'),
	('interval', '{0,1 year 2 mons -3 days 04:05:06.7,-1 year -2 mons +3 days -04:05:06.7,-1 day,-00:00:01,178000000 years}'),
	('uuid', '{00000000-0000-0000-0000-000000000000,c0ffee00-0000-4000-8000-000000000001}'),
	('json', ARRAY['{ "a":1 , "a":"é" }', 'null', '[1e400]']),
	('jsonb', ARRAY['{"a": [1, null, "\u00e9日"], "b": 1.10}', 'null', '"x"', '{}']),
	('jsonpath', ARRAY['$."é"[*] ? (@ > 1)', 'strict $']),
	('xml', ARRAY['<a é="1">&amp;<b/></a>', 'no <b>document</b>', '', '<?xml version="1.1"?><x/>']),
	('bit', '{"",1,101,0000000011111}'),
	('varbit', '{"",1,101}'),
	('inet', '{10.1.2.3/8,10.1.2.3,::1,fe80::1/64}'),
	('cidr', '{10.0.0.0/8,::/0}'),
	('macaddr', '{08:00:2b:01:02:03}'),
	('macaddr8', '{08:00:2b:01:02:03:04:05}'),
	('point', '{"(1.5,-0.1)","(NaN,Infinity)"}'),
	('lseg', '{"[(0,0),(1.1,1)]"}'),
	('line', '{"{1,-1,0.3}"}'),
	('box', '{"(2,2),(0.1,0)"}'),
	('path', '{"[(0,0),(1,1)]","((0,0),(0.1,1),(2,0))"}'),
	('polygon', '{"((0,0),(0.1,1),(2,0))"}'),
	('circle', '{"<(1,2),3.3>"}'),
	('tsvector', ARRAY['''a'':1A ''é'':2,3B ''it''''s''', '']),
	('tsquery', ARRAY['''fat'' & !''rät'':AB*', '''a'' <3> ''b''']),
	('int2vector', '{"",1 -2 3}'),
	('oidvector', '{"",1 4294967295}'),
	('oid', '{0,4294967295}'),
	('tid', '{"(0,1)","(4294967295,65535)"}'),
	('xid', '{7,4294967295}'),
	('cid', '{7}'),
	('xid8', '{18446744073709551615}'),
	('pg_lsn', '{0/16B3748,FFFFFFFF/FFFFFFFF}'),
	('pg_snapshot', '{"10:20:10,14"}'),
	('txid_snapshot', '{"10:20:10,14"}'),
	('regclass', '{pg_class,-}'),
	('regtype', '{"timestamp with time zone",-,integer[]}'),
	('regproc', '{boolin,-}'),
	('regprocedure', '{"boolin(cstring)"}'),
	('regoper', '{||/}'),
	('regoperator', '{"+(integer,integer)"}'),
	('regcollation', '{"\"C\""}'),
	('regnamespace', '{pg_catalog}'),
	('regrole', '{pg_monitor}'),
	('regconfig', '{english}'),
	('regdictionary', '{simple}'),
	('refcursor', '{a cursor}'),
	('gtsvector', '{}'),
	('aclitem', '{pg_monitor=r/pg_monitor}'),
	('int4range', '{"[1,5)","(,)",empty}'),
	('int8range', '{"[1,)"}'),
	('numrange', '{"(1.10,2.200]"}'),
	('daterange', '{"[2024-02-29,infinity)"}'),
	('tsrange', '{"[\"2024-01-01 00:00:00.1\",)"}'),
	('tstzrange', '{"[\"2024-01-01 00:00:00.1+05:45\",)"}'),
	('int4multirange', '{"{[1,2),[5,)}","{}"}'),
	('int8multirange', '{"{[1,2)}"}'),
	('nummultirange', '{"{(1.10,2.200]}"}'),
	('datemultirange', '{"{[2024-02-29,)}"}'),
	('tsmultirange', '{"{[\"2024-01-01 00:00:00.1\",)}"}'),
	('tstzmultirange', '{"{[\"2024-01-01 00:00:00.1+05:45\",)}"}')
	) AS s(type, samples);
-- types without samples: none has an input function
SELECT oid::regtype AS without FROM pg_type
	WHERE typtype IN ('b', 'r', 'm') AND typcategory <> 'A' AND typnamespace = 'pg_catalog'::regnamespace
		AND oid NOT IN (SELECT type FROM sample) ORDER BY 1::text;

-- user-defined types; their oids differ from the nodes'
CREATE FUNCTION type_ddl() RETURNS text LANGUAGE sql AS $_$
	SELECT $$
		CREATE TYPE mood AS ENUM (%s);
		CREATE TYPE own;
		CREATE FUNCTION own_in(cstring) RETURNS own LANGUAGE internal IMMUTABLE STRICT AS 'textin';
		CREATE FUNCTION own_out(own) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
		CREATE FUNCTION own_receive(internal) RETURNS own LANGUAGE internal STABLE STRICT AS 'textrecv';
		CREATE FUNCTION own_send(own) RETURNS bytea LANGUAGE internal STABLE STRICT AS 'textsend';
		CREATE TYPE own (INPUT = own_in, OUTPUT = own_out, RECEIVE = own_receive, SEND = own_send, LIKE = text);
		CREATE TYPE "Odd ""name""" AS ENUM ('', 'a,b', 'é "x" \');
		CREATE TYPE pair AS (a int, b text);
		CREATE TYPE nested AS (p pair, ps pair[], m mood, r int4range, t timestamptz, f float8, i interval, c money);
		CREATE TYPE floats AS RANGE (subtype = float8, multirange_type_name = many_floats);
		CREATE TYPE moods AS RANGE (subtype = mood);
		CREATE DOMAIN positive AS int;
		CREATE DOMAIN price AS numeric(10,2);
		CREATE DOMAIN prices AS price[];
		CREATE DOMAIN ints AS int[];
		CREATE DOMAIN pos_pair AS pair;
		CREATE DOMAIN pos_pairs AS pos_pair[];
	$$ || string_agg(format('CREATE TYPE with_%s AS (before int, v %s, after text);', type::oid, type), '')
	FROM (SELECT DISTINCT type FROM sample WHERE type < 16384) s
$_$;
CREATE TABLE only_here_so_that_oids_differ ();
SET client_min_messages = warning;
SELECT format(type_ddl(), $$'sad', 'ok', 'so "so"'$$) AS ddl \gset
:ddl
INSERT INTO sample VALUES ('own', 'é'), ('mood', 'so "so"'), ('"Odd ""name"""', ''), ('"Odd ""name"""', 'é "x" \'), ('pair', '(,)'), ('pair', '(1,"(,\\""é"")")'),
	('nested', '("(1,x)","{""(2,\\""(,)\\"")"",NULL}",ok,"[1,2)","2024-02-29 12:34:56+05:45",0.30000000000000004,"-1 days +00:00:01",$1234.56)'),
	('floats', '[0.30000000000000004,1e+300)'), ('many_floats', '{[0.1,1),[2,)}'), ('moods', '[sad,sad]'), ('positive', '5'), ('price', '1.50'),
	('prices', '{1.50,NULL}'), ('ints', '[0:1]={1,NULL}'), ('pos_pair', '(1,x)'), ('pos_pairs', '{"(1,x)",NULL}');
RESET client_min_messages;
-- the nodes' enum has its labels in another order, one more, and types of other oids
SELECT plshard.deploy('c', format(type_ddl(), $$'so "so"', 'only there', 'ok', 'sad'$$));

SELECT plshard.deploy('c', $$
	CREATE FUNCTION by_call(x anyelement) RETURNS anyelement STABLE LANGUAGE sql AS 'SELECT x';
	CREATE FUNCTION by_call(x anyelement, y int) RETURNS anyelement LANGUAGE sql AS 'SELECT x';
$$);
CREATE FUNCTION by_call(x anyelement) RETURNS anyelement STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; $$;
CREATE FUNCTION by_call_set(x anyelement) RETURNS SETOF anyelement STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; TARGET by_call; $$;
CREATE FUNCTION by_sql(x anyelement) RETURNS anyelement STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; SELECT x AS whole; $$;
CREATE FUNCTION by_write(x anyelement, y int) RETURNS anyelement LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; TARGET by_call; $$;
CREATE FUNCTION by_rows(x anyarray) RETURNS SETOF record STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; SELECT i, x[i] AS v FROM generate_subscripts(x, 1) i; $$;
CREATE FUNCTION by_split(x anyarray) RETURNS SETOF record STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; SPLIT x; RUN ON hash(1); SELECT i, x[i] AS v FROM generate_subscripts(x, 1) i; $$;
CREATE FUNCTION by_reduce(x anyarray) RETURNS bigint STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; SELECT x[1] AS v; REDUCE SELECT count(v) FROM result; $$;

-- The first way in which a value does not come back as it was, bit for bit; NULL: there is
-- none.  (Twice by SQL, since the second answer comes in binary where that is safe.)
CREATE FUNCTION check_value(value text, type regtype) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	is_row bool := (SELECT COALESCE(b.typtype, t.typtype) = 'c' FROM pg_type t LEFT JOIN pg_type b ON b.oid = t.typbasetype WHERE t.oid = type);
	is_array bool := (SELECT typcategory = 'A' OR typarray = 0 FROM pg_type WHERE oid = type);
	form text;
	same bool;
	got text;
BEGIN
	FOREACH form IN ARRAY ARRAY[
		'by_call(%1$s)', '(SELECT whole FROM by_call_set(%1$s) whole)', 'by_write(%1$s, 1)', 'by_sql(%1$s)', 'by_sql(%1$s)',
		'(by_call(ARRAY[%1$s, NULL, %1$s]))[3]', '(by_sql(ARRAY[%1$s, NULL, %1$s]))[3]', '(by_sql(ARRAY[%1$s, NULL, %1$s]))[3]',
		'(SELECT v FROM by_rows(ARRAY[%1$s, NULL, %1$s]) r(i int, v %2$s) WHERE i = 3)',
		'(SELECT v FROM by_rows(ARRAY[%1$s, NULL, %1$s]) r(i int, v %2$s) WHERE i = 3)',
		'(SELECT v FROM by_split(ARRAY[%1$s, NULL, %1$s]) r(i int, v %2$s) WHERE i = 3)',
		'(by_call(ROW(1, %1$s, ''x'')::with_%3$s)).v']
	LOOP
		CONTINUE WHEN is_row AND form ~ '^by_sql' OR is_array AND form ~ 'ARRAY' OR type >= 16384 AND form ~ 'with_';
		form := format(form, format('%L::%s', value, type), type, type::oid);
		-- (a tsquery has bytes that mean nothing; a row that is NULL comes as a row of NULLs)
		EXECUTE format(CASE WHEN type = 'tsquery'::regtype THEN 'SELECT (%1$s) IS NOT DISTINCT FROM %2$L::%3$s, (%1$s)::text'
							WHEN is_row AND value IS NULL THEN 'SELECT (%1$s) IS NULL, (%1$s)::text'
							ELSE 'SELECT record_image_eq(ROW((%1$s)::%3$s), ROW(%2$L::%3$s)), (%1$s)::text' END,
					   form, value, type) INTO same, got;
		IF same IS NOT TRUE THEN
			RETURN format('%s: %s', form, got);
		END IF;
	END LOOP;
	RETURN NULL;
EXCEPTION WHEN OTHERS THEN
	RETURN format('%s: %s', form, SQLERRM);
END $$;
CREATE FUNCTION check_all() RETURNS TABLE (type text, value text, problem text) LANGUAGE sql AS
	'SELECT s.type, s.value, p FROM (SELECT type, value FROM sample UNION SELECT type, NULL FROM sample) s, check_value(value, type) p WHERE p IS NOT NULL ORDER BY 1, 2';
SELECT count(*), count(DISTINCT type) > 80 AS types FROM sample;
SELECT * FROM check_all();

--
-- Other settings on the front
--
SET datestyle = 'German, YMD';
SET intervalstyle = 'sql_standard';
SET extra_float_digits = -15;
SET bytea_output = 'escape';
SET timezone = 'Asia/Kathmandu';
SET standard_conforming_strings = off;
SET escape_string_warning = off;
SET search_path = public, pg_catalog;
SELECT * FROM check_all();
SET array_nulls = off;
SET xmloption = document;
SELECT by_call(ARRAY['a', NULL]), by_sql(ARRAY[xmlparse(content 'no document'), NULL]), by_call(ROW(NULL, ARRAY[ROW(1, 'x')::pair, NULL], 'ok', NULL, NULL, 1, NULL, NULL)::nested);
-- a literal in body SQL means what it means to the caller, not what the node would read
CREATE FUNCTION literals() RETURNS TABLE(d date, s text, i interval, utc timestamp) STABLE LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON 0; SELECT '01/02/03'::date AS d, 'back\slash' AS s, '-1 2:03:04'::interval AS i, '2024-01-01 12:00'::timestamptz AT TIME ZONE 'UTC' AS utc; $$;
SELECT to_char(d, 'YYYY MM DD'), s, i, to_char(utc, 'HH24:MI') FROM literals();
SET datestyle = 'ISO, DMY';
SET timezone = 'UTC';
SELECT to_char(d, 'YYYY MM DD'), s, i, to_char(utc, 'HH24:MI') FROM literals();
BEGIN;
SET datestyle = 'ISO, MDY';
SELECT to_char(d, 'YYYY MM DD'), s, i, to_char(utc, 'HH24:MI') FROM literals();
ROLLBACK;
SELECT to_char(d, 'YYYY MM DD'), s, i, to_char(utc, 'HH24:MI') FROM literals();
RESET ALL;
SELECT to_char(d, 'YYYY MM DD'), s, i, to_char(utc, 'HH24:MI') FROM literals();

--
-- Other settings on the nodes
--
SELECT format('ALTER DATABASE plshard_node%s SET %s', n, setting) FROM generate_series(1, 4) n, unnest(ARRAY[
	'datestyle = ''SQL, DMY''', 'intervalstyle = ''iso_8601''', 'extra_float_digits = -15', 'bytea_output = ''escape''', 'timezone = ''America/Caracas''',
	'array_nulls = off', 'xmloption = document', 'standard_conforming_strings = off', 'client_min_messages = error', 'client_encoding = ''LATIN1''',
	'default_transaction_isolation = ''serializable''', 'default_transaction_deferrable = on', 'default_transaction_read_only = on']) setting \gexec
\c -
\pset format unaligned
\pset footer off
\set SHOW_CONTEXT never
SELECT * FROM check_all();
SELECT to_char(d, 'YYYY MM DD'), s, i, to_char(utc, 'HH24:MI') FROM literals();
SELECT plshard.deploy('c', 'CREATE FUNCTION speak() RETURNS void LANGUAGE plpgsql AS ''BEGIN RAISE NOTICE ''''a notice''''; RAISE WARNING ''''a warning''''; END''');
CREATE FUNCTION speak() RETURNS void LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; $$;
SELECT speak();

--
-- As text only
--
ALTER SERVER c OPTIONS (ADD disable_binary 'true');
SELECT * FROM check_all();
SET datestyle = 'German, YMD';
SET extra_float_digits = -15;
SET bytea_output = 'escape';
SELECT * FROM check_all();
RESET ALL;
ALTER SERVER c OPTIONS (DROP disable_binary);

--
-- Modifiers of types arrive
--
CREATE DOMAIN amount AS numeric(10,2);
CREATE TYPE in_modified AS (n numeric(5,1));
CREATE TYPE modified AS (n numeric(10,2), c char(10), v varchar(5), b bit(3), t time(0), ts timestamp(3), i interval day to minute, ns numeric(4,1)[], im in_modified, a amount);
SELECT plshard.deploy('c', $$
	CREATE TYPE in_modified AS (n numeric);
	CREATE TYPE modified AS (n numeric, c text, v text, b varbit, t time, ts timestamp, i interval, ns numeric[], im in_modified, a numeric);
	CREATE FUNCTION modified(k int) RETURNS modified STABLE LANGUAGE sql AS
		'SELECT ROW(1.005, ''c'', ''vvvvv'', B''101'', ''12:00:00.6'', ''2024-01-01 00:00:00.0006'', ''1 day 02:03:59'', ''{1.25}'', ROW(2.25), 3.005)::modified';
$$);
CREATE FUNCTION modified(k int) RETURNS modified STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; $$;
CREATE FUNCTION modified_sql(k int) RETURNS SETOF modified STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; SELECT m.* FROM modified(k) m; $$;
CREATE FUNCTION modified_record(k int) RETURNS SETOF record STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; SELECT m.n, m.c, m.v, m.ns FROM modified(k) m; $$;
CREATE FUNCTION modified_let(k numeric) RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; LET n numeric(5,1) = k; LET c char(4) = 'c'; RUN ON 0; SELECT n || ',' || octet_length(c); $$;
SELECT modified(1);
SELECT * FROM modified_sql(1) UNION ALL SELECT * FROM modified_sql(1);
SELECT * FROM modified_record(1) AS r(n numeric(3,1), c char(3), v varchar(7), ns numeric(4,1)[]);
SELECT * FROM modified_record(1) AS r(n numeric(3,1), c char(3), v varchar(7), ns numeric(4,1)[]);
SELECT * FROM modified_record(1) AS r(n numeric(3,1), c char(3), v varchar(4), ns numeric(4,1)[]);
SELECT modified_let(1.25);

--
-- Composites whose columns were dropped, here and there, others on each side
--
CREATE TABLE wide (gone1 int, a int, gone2 text, b text, c mood);
ALTER TABLE wide DROP gone1, DROP gone2;
CREATE TYPE has_wide AS (w wide, ws wide[]);
SELECT plshard.deploy('c', $$
	CREATE TABLE wide (a int, b text, gone numeric, c mood, gone_too int);
	ALTER TABLE wide DROP gone, DROP gone_too;
	CREATE TYPE has_wide AS (w wide, ws wide[]);
$$);
SELECT by_call(ROW(1, 'x', 'ok')::wide), by_call(ARRAY[ROW(1, 'x', 'ok')::wide, NULL]), by_call(ROW(ROW(1, 'x', 'sad'), ARRAY[ROW(2, NULL, 'ok')::wide])::has_wide);
CREATE FUNCTION wide_sql(w wide, ws wide[]) RETURNS SETOF wide STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; SELECT (w).b, (w).a, (w).c UNION ALL SELECT b, a, c FROM unnest(ws); $$;
SELECT * FROM wide_sql(ROW(1, 'x', 'ok'), ARRAY[ROW(2, 'y', 'sad'), ROW(3, NULL, NULL)]::wide[]);
SELECT wide_sql(ROW(1, 'x', 'ok'), NULL);

--
-- What the nodes' types become under an open session
--
SELECT plshard.deploy('c', 'CREATE TABLE t (v int); INSERT INTO t VALUES (1)');
CREATE FUNCTION v_int() RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; SELECT v FROM t; $$;
CREATE FUNCTION v_text() RETURNS SETOF text STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; SELECT v::text AS v FROM t UNION ALL SELECT 'x'; $$;
CREATE FUNCTION v_sum() RETURNS bigint STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; SELECT v FROM t; REDUCE (v int) SELECT sum(v) FROM result; $$;
CREATE FUNCTION v_any() RETURNS text STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; SELECT v FROM t; REDUCE SELECT pg_typeof(max(v)) || ' ' || max(v) FROM result; $$;
CREATE FUNCTION v_write() RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; UPDATE t SET v = v RETURNING v; $$;
SELECT v_int(), v_text(), v_sum(), v_any(), v_write();
SELECT v_int(), v_text(), v_sum(), v_any(), v_write();
SELECT plshard.deploy('c', 'ALTER TABLE t ALTER v TYPE bigint');
SELECT v_int(), v_text(), v_sum(), v_any(), v_write();
SELECT plshard.deploy('c', 'ALTER TABLE t ALTER v TYPE numeric(5,1)');
SELECT v_int(), v_text(), v_sum(), v_any(), v_write();
-- values travelled in binary until now, which a type of the node's own does not: the next call asks for text
SELECT plshard.deploy('c', 'ALTER TABLE t ALTER v TYPE real; CREATE TYPE digit AS ENUM (''1'', ''2'')');
SELECT v_int(), v_text(), v_sum(), v_any(), v_write();
CREATE FUNCTION v_real() RETURNS real STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; SELECT v FROM t; $$;
SELECT v_real(), v_real();
SELECT plshard.deploy('c', 'ALTER TABLE t ALTER v TYPE digit USING v::text::digit');
SELECT v_real();
SELECT v_real(), v_real();
SELECT v_int(), v_text(), v_sum(), v_any(), v_write();

-- a type that the node has not any more
CREATE FUNCTION next_mood(m mood) RETURNS mood STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; SELECT m; $$;
SELECT next_mood('ok');
SELECT plshard.deploy('c', 'ALTER TYPE mood ADD VALUE ''newer''; ALTER TYPE mood RENAME VALUE ''ok'' TO ''fine''');
SELECT next_mood('ok');
SELECT next_mood('sad');
ALTER TYPE mood RENAME VALUE 'ok' TO 'fine';
SELECT next_mood('fine');
SET client_min_messages = warning;
SELECT plshard.deploy('c', 'DROP TYPE mood CASCADE; DROP TYPE pair CASCADE');
RESET client_min_messages;
\set VERBOSITY sqlstate
SELECT next_mood('sad');
SELECT by_call('sad'::mood);
SELECT by_write(ROW(1, 'x')::pair, 1);
SELECT by_call(ARRAY[ROW(1, 'x')::pair]);
SELECT by_rows(ARRAY['sad'::mood]) IS NULL;
\set VERBOSITY default
SELECT plshard.deploy('c', $$ CREATE TYPE mood AS ENUM ('sad'); CREATE TYPE pair AS (a int, b text, c int) $$);
SELECT next_mood('sad'), by_call('sad'::mood);
SELECT by_call(ROW(1, 'x')::pair);
