-- A backend's memory stays level, whatever it calls and whatever goes wrong: over MEMORY_CALLS
-- calls of each kind, of which a leak of 64 bytes in each would be seen.
\set calls 1000
\getenv calls MEMORY_CALLS
\getenv srcdir PG_ABS_SRCDIR
\set cluster :srcdir '/test/include/cluster.psql'
\i :cluster
\pset format unaligned
\pset footer off
SET client_min_messages = error;
SELECT plshard.deploy('c', $$
	CREATE TYPE pair AS (a int, b text);
	CREATE TABLE item (k int PRIMARY KEY, n int);
	CREATE FUNCTION number(k int) RETURNS int STABLE LANGUAGE sql AS 'SELECT k';
	CREATE FUNCTION pair(k int) RETURNS pair STABLE LANGUAGE sql AS 'SELECT k, ''b''::text';
	CREATE FUNCTION numbers(k int, v text) RETURNS SETOF int STABLE LANGUAGE sql AS 'SELECT 4 / (4 - i) * 0 + i FROM generate_series(0, k) i';
	CREATE FUNCTION fail(k int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RAISE WARNING ''about to''; RAISE ''no %'', k USING DETAIL = repeat(''x'', 1000); END';
	CREATE PROCEDURE put(k int) LANGUAGE sql AS 'INSERT INTO item VALUES (k % 50, 1) ON CONFLICT ON CONSTRAINT item_pkey DO UPDATE SET n = item.n + 1';
$$);
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN small AS int CHECK (VALUE < 5);
CREATE FUNCTION number(k int) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); $$;
CREATE FUNCTION number_sql(k int) RETURNS numeric STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; LET m = k::numeric + 0.5; RUN ON hash(k); SELECT m; $$;
CREATE FUNCTION pair(k int) RETURNS pair STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); $$;
CREATE FUNCTION any_of(k anyarray, e anyelement) RETURNS anyarray STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; SELECT k || e; $$;
CREATE FUNCTION series(k int) RETURNS SETOF pair STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; SELECT i AS a, repeat('x', i) AS b FROM generate_series(1, 10) i; $$;
CREATE FUNCTION copied(k int) RETURNS SETOF pair STABLE ROWS 10000 LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; TARGET pair; $$;
CREATE FUNCTION copied_all(k int, v text) RETURNS SETOF small STABLE ROWS 100000 LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; TARGET numbers; $$;
CREATE FUNCTION records(k int) RETURNS SETOF record STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; SELECT i AS a, 'x' AS b FROM generate_series(1, 3) i; $$;
CREATE FUNCTION all_shards(k int) RETURNS SETOF int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; SELECT k; $$;
CREATE FUNCTION reduced(k int) RETURNS bigint STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; SELECT k AS v, 'x' AS x; REDUCE SELECT sum(v) FROM result; $$;
CREATE FUNCTION spread(ks int[], vs text[]) RETURNS SETOF text STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; SPLIT ALL; RUN ON hash(ks); SELECT unnest(vs) AS v; $$;
CREATE FUNCTION put_all(ks int[]) RETURNS SETOF int LANGUAGE plshard AS $$ CLUSTER 'c'; SPLIT ks; RUN ON hash(ks); INSERT INTO item SELECT k % 50, 1 FROM unnest(ks) k ON CONFLICT (k) DO UPDATE SET n = item.n + 1 RETURNING k; $$;
CREATE FUNCTION put(k int) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); INSERT INTO item VALUES (k % 50, 1) ON CONFLICT ON CONSTRAINT item_pkey DO UPDATE SET n = item.n + 1 RETURNING item.n; $$;
CREATE PROCEDURE put_call(k int) LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); CALL put(k); $$;
CREATE FUNCTION fail(k int) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); $$;
CREATE FUNCTION fail_read(k int) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); SELECT 1 / (k - k); $$;
CREATE FUNCTION fail_set(k int) RETURNS SETOF int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; SELECT 3 / (3 - i) AS i FROM generate_series(0, 3) i; $$;
CREATE FUNCTION fail_here(k int) RETURNS SETOF small STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; SELECT i FROM generate_series(0, 20) i; $$;
CREATE FUNCTION fail_key(k int) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(NULLIF(k, k)); SELECT 1; $$;
CREATE FUNCTION no_row(k int) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); SELECT 1 WHERE false; $$;
CREATE FUNCTION missing(k int) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); $$;

CREATE PROCEDURE repeat_call(call text, n int) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. n LOOP
		IF call ~ 'fail|missing|no_row' THEN
			BEGIN
				EXECUTE call USING i;
				RAISE EXCEPTION USING ERRCODE = 'ZZ999', MESSAGE = 'no error: ' || call;
			EXCEPTION WHEN OTHERS THEN
				IF SQLSTATE = 'ZZ999' THEN RAISE; END IF;
			END;
		ELSE
			EXECUTE call USING i;
		END IF;
		COMMIT;
	END LOOP;
END $$;
CREATE FUNCTION allocated() RETURNS bigint LANGUAGE sql AS 'SELECT sum(used_bytes) FROM pg_backend_memory_contexts';
CREATE FUNCTION resident() RETURNS bigint LANGUAGE sql AS
	$$ SELECT substring(pg_read_file('/proc/' || pg_backend_pid() || '/status') FROM 'VmRSS:\s+(\d+)')::bigint * 1024 $$;
CREATE TABLE measured (id serial, call text, allocated bigint, resident bigint);
-- the first calls fill caches (each DO is a statement of its own)
SET plshard.max_prepared_statements = 150;
CREATE PROCEDURE measure(call text, n int) LANGUAGE plpgsql AS $$
DECLARE
	a bigint;
	r bigint;
BEGIN
	CALL repeat_call(call, 200);
	a := allocated();
	r := resident();
	CALL repeat_call(call, n);
	INSERT INTO measured (call, allocated, resident) VALUES (call, allocated() - a, resident() - r);
END $$;
\set ECHO none
SELECT format('CALL measure(%L, %s)', call, :'calls') FROM unnest(ARRAY['SELECT number($1)', 'SELECT number_sql($1)', 'SELECT pair($1)',
	'SELECT any_of(ARRAY[$1, 1], 2)', 'SELECT count(*) FROM series($1)', 'SELECT series($1)', 'SELECT count(*) FROM records($1) AS r(a int, b text)',
	'SELECT count(*) FROM all_shards($1)', 'SELECT count(*) FROM copied($1)', 'SELECT count(*) FROM copied_all($1 % 3, repeat(''\'', 1000))',
	'SELECT count(*) FROM copied_all(4 + $1 % 2, ''fail on the node'')', 'SELECT reduced($1)', 'SELECT count(*) FROM spread(ARRAY[$1, 1, 2, 3], ARRAY[''a'', NULL, ''c'', ''d''])',
	'SELECT count(*) FROM put_all(ARRAY[$1, $1 + 1])', 'SELECT put($1)', 'SELECT put($1), put($1 + 1)', 'CALL put_call($1)', 'DO LANGUAGE plshard $x$ CLUSTER ''c''; READ; RUN ON 0; SELECT 1; $x$',
	'SELECT fail($1)', 'SELECT put($1), fail($1)', 'SELECT fail_read($1)', 'SELECT count(*) FROM fail_set($1)', 'SELECT count(*) FROM fail_here($1)', 'SELECT fail_key($1)',
	'SELECT no_row($1)', 'SELECT missing($1)']) WITH ORDINALITY AS c(call, i) ORDER BY i \gexec
\set ECHO all
SELECT call, allocated, resident FROM measured WHERE allocated > greatest(64 * :calls, 64000) OR resident > 2000000 ORDER BY id;
SELECT count(*) FROM measured;
