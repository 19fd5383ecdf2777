-- What a caller hears of the nodes: notices, all fields of errors, rows that are missing or too
-- many; and that a cancel reaches all of them.
\getenv srcdir PG_ABS_SRCDIR
\set cluster :srcdir '/test/include/cluster.psql'
\i :cluster
\pset format unaligned
\pset footer off
-- (which replica a read goes to depends on the session)
\set SHOW_CONTEXT never
SELECT plshard.deploy('c', $d$
	CREATE DOMAIN small AS int CONSTRAINT is_small CHECK (VALUE < 5);
	CREATE TABLE item (k int PRIMARY KEY, v text NOT NULL, s small, CONSTRAINT short CHECK (length(v) < 5));
	CREATE FUNCTION speak(k int) RETURNS int LANGUAGE plpgsql AS $$
	BEGIN
		RAISE DEBUG 'debug';
		RAISE LOG 'log';
		RAISE INFO 'info';
		RAISE NOTICE 'notice' USING DETAIL = 'Its detail.', HINT = 'Its hint.', ERRCODE = '00ABC';
		RAISE WARNING 'warning' USING DETAIL = 'Its detail.', HINT = 'Its hint.', ERRCODE = '01ABC';
		RETURN k;
	END $$;
	CREATE FUNCTION speak_set(k int) RETURNS SETOF int LANGUAGE plpgsql AS $$
	BEGIN
		FOR i IN 1 .. 3 LOOP RAISE NOTICE 'row %', i; RETURN NEXT i; END LOOP;
	END $$;
	CREATE FUNCTION complain(k int) RETURNS int LANGUAGE plpgsql AS $$
	BEGIN
		RAISE 'no %', k USING ERRCODE = 'ZZ123', DETAIL = 'The detail.', HINT = 'The hint.', COLUMN = 'a column',
			CONSTRAINT = 'a constraint', DATATYPE = 'a type', TABLE = 'a table', SCHEMA = 'a schema';
	END $$;
	CREATE FUNCTION complain_late(k int) RETURNS SETOF int LANGUAGE plpgsql AS $$
	BEGIN
		RETURN QUERY SELECT generate_series(1, 1000);
		PERFORM complain(k);
	END $$;
$d$);

--
-- Notices: of a write once, whatever the number of replicas; of all shards, each its own
--
CREATE FUNCTION speak(k int) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); $$;
CREATE FUNCTION speak_read(k int) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); TARGET speak; $$;
CREATE FUNCTION speak_all(k int) RETURNS SETOF int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; TARGET speak; $$;
CREATE FUNCTION speak_set(k int) RETURNS SETOF int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); $$;
CREATE FUNCTION speak_set_write(k int) RETURNS SETOF int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); TARGET speak_set; $$;
CREATE FUNCTION speak_sql(k int) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); SELECT speak(k) AS x; $$;
SELECT speak(1);
BEGIN;
SELECT speak_sql(1);
COMMIT;
SELECT speak_read(1);
SET client_min_messages = warning;
SELECT speak(1);
SELECT count(*) FROM speak_all(1);
SET client_min_messages = error;
SELECT speak(1);
SET client_min_messages = notice;
SELECT speak_set(1);
SELECT speak_set_write(1);
DO LANGUAGE plshard $$ CLUSTER 'c'; RUN ON 0; SELECT speak(1); $$;
RESET client_min_messages;

--
-- Errors keep all that PostgreSQL reports of them
--
CREATE FUNCTION complain(k int) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); $$;
CREATE FUNCTION complain_read(k int) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); TARGET complain; $$;
CREATE FUNCTION complain_all(k int) RETURNS SETOF int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; TARGET complain; $$;
CREATE FUNCTION complain_late(k int) RETURNS SETOF int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); $$;
CREATE FUNCTION complain_sql(k int) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); SELECT complain(k) AS x; $$;
CREATE FUNCTION put(k int, v text, s int) RETURNS void LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); INSERT INTO item VALUES (k, v, s); $$;
CREATE FUNCTION error_of(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	state text;
	message text;
	detail text;
	hint text;
	schema_name text;
	table_name text;
	column_name text;
	constraint_name text;
	type_name text;
BEGIN
	EXECUTE call;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
		hint = PG_EXCEPTION_HINT, schema_name = SCHEMA_NAME, table_name = TABLE_NAME, column_name = COLUMN_NAME,
		constraint_name = CONSTRAINT_NAME, type_name = PG_DATATYPE_NAME;
	RETURN concat_ws('|', state, message, detail, hint, schema_name, table_name, column_name, constraint_name, type_name);
END $$;
SELECT call, error_of(call) FROM unnest(ARRAY['SELECT complain(1)', 'SELECT complain_read(1)', 'SELECT count(*) FROM complain_all(1)',
	'SELECT count(*) FROM complain_late(1)', 'SELECT complain_sql(1)', 'SELECT put(1, NULL, 1)', 'SELECT put(1, ''too long'', 1)', 'SELECT put(1, ''v'', 7)',
	'SELECT put(1, ''v'', 1), put(1, ''w'', 1)', 'SELECT put(1, ''v'', 1)']) call;

--
-- One row is due
--
CREATE TYPE pair AS (a int, b text);
CREATE FUNCTION rows_scalar(n int) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; SELECT generate_series(1, n) AS i; $$;
CREATE FUNCTION rows_pair(n int) RETURNS pair STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; SELECT 'x' AS b, i AS a FROM generate_series(1, n) i; $$;
CREATE FUNCTION rows_out(n int, OUT a int, OUT b text) STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; SELECT 'x' AS b, i AS a FROM generate_series(1, n) i; $$;
CREATE FUNCTION rows_write(n int) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; SELECT generate_series(1, n) AS i; $$;
CREATE FUNCTION rows_reduced(n int) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; SELECT generate_series(1, n) AS i; REDUCE SELECT i FROM result; $$;
CREATE FUNCTION rows_shards(n int) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; SELECT 1 AS i WHERE n > 0; $$;
CREATE FUNCTION handled(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	r text;
BEGIN
	EXECUTE call INTO r;
	RETURN r;
EXCEPTION
	WHEN no_data_found THEN RETURN 'no_data_found';
	WHEN too_many_rows THEN RETURN 'too_many_rows';
END $$;
SELECT f, handled(format('SELECT %s(0)', f)), handled(format('SELECT %s(1)', f)), handled(format('SELECT %s(2)', f))
FROM unnest(ARRAY['rows_scalar', 'rows_pair', 'rows_out', 'rows_write', 'rows_reduced', 'rows_shards']) f;

--
-- A cancelled call ends on all nodes, and the connections are made anew
--
SELECT plshard.deploy('c', 'CREATE FUNCTION sleep(k int) RETURNS int LANGUAGE plpgsql AS ''BEGIN PERFORM pg_sleep(600); RETURN k; END''');
CREATE FUNCTION sleep(k int) RETURNS SETOF int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; $$;
CREATE FUNCTION sleep_read(k int) RETURNS SETOF int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; TARGET sleep; $$;
CREATE FUNCTION sleep_timeout(k int) RETURNS SETOF int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; TIMEOUT '1 s'; TARGET sleep; $$;
CREATE FUNCTION everywhere(k int) RETURNS SETOF int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; SELECT k; $$;
CREATE PROCEDURE until_nothing_sleeps() LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 600 LOOP
		PERFORM pg_stat_clear_snapshot();
		EXIT WHEN NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname LIKE 'plshard\_node_' AND state = 'active' AND query ~ 'sleep');
		IF i = 600 THEN RAISE 'nodes go on'; END IF;
		PERFORM pg_sleep(0.1);
	END LOOP;
END $$;
SET statement_timeout = '1 s';
SELECT count(*) FROM sleep_read(1);
RESET statement_timeout;
CALL until_nothing_sleeps();
SELECT count(*) FROM everywhere(1);
SET statement_timeout = '1 s';
SELECT count(*) FROM sleep(1);
RESET statement_timeout;
CALL until_nothing_sleeps();
SELECT put(2, 'v', 1), count(*) FROM everywhere(1);
SELECT count(*) FROM sleep_timeout(1);
CALL until_nothing_sleeps();
BEGIN;
SELECT count(*) FROM everywhere(1);
SAVEPOINT s;
SET LOCAL statement_timeout = '1 s';
SELECT count(*) FROM sleep_read(1);
ROLLBACK TO s;
SELECT put(3, 'v', 1), count(*) FROM everywhere(1);
COMMIT;
SELECT error_of('SELECT put(3, ''v'', 1)') ~ '^23505' AS was_put;
CALL until_nothing_sleeps();
SELECT state, count(*) FROM plshard.placements GROUP BY 1;
