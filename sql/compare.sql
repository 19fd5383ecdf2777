-- What replicas return for a write is compared before it counts: which values are
-- the same, and the error where they are not.
\getenv srcdir PG_ABS_SRCDIR
\set cluster :srcdir '/test/include/cluster.psql'
\i :cluster

-- On the first node of its shard (all calls here go to shard 10000, on n1 and n2)
-- it returns the first argument, on the other one the second.
SET client_min_messages = error;
SELECT plshard.deploy('c', $d$
	CREATE FUNCTION pick(a anyelement, b anyelement) RETURNS anyelement LANGUAGE sql VOLATILE AS
		$$ SELECT CASE WHEN current_database() = 'plshard_node1' THEN a ELSE b END $$;
	CREATE TABLE t (k int PRIMARY KEY, v text)
$d$);
RESET client_min_messages;
CREATE FUNCTION floats(a float8, b float8) RETURNS float8 LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON 0; TARGET pick; $$;
CREATE FUNCTION float_texts(a float8, b float8) RETURNS float8 LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON 0; SELECT pick(a, b); $$;
CREATE FUNCTION reals(a float4, b float4) RETURNS float4 LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON 0; TARGET pick; $$;
CREATE FUNCTION numerics(a numeric, b numeric) RETURNS numeric LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON 0; TARGET pick; $$;
CREATE FUNCTION texts(a text, b text) RETURNS text LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON 0; TARGET pick; $$;
CREATE FUNCTION chars(a bpchar, b bpchar) RETURNS bpchar LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON 0; TARGET pick; $$;
CREATE FUNCTION jsons(a json, b json) RETURNS json LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON 0; TARGET pick; $$;
CREATE FUNCTION jsonbs(a jsonb, b jsonb) RETURNS jsonb LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON 0; TARGET pick; $$;
CREATE FUNCTION points(a point, b point) RETURNS point LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON 0; TARGET pick; $$;
CREATE FUNCTION arrays(a numeric[], b numeric[]) RETURNS numeric[] LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON 0; TARGET pick; $$;

-- floats: in binary (a call) and as text (body SQL)
SELECT floats('0', '-0'), floats('NaN', 'NaN'), floats('Infinity', 'Infinity');
SELECT float_texts('0', '-0'), float_texts('NaN', 'NaN'), reals('-0', '0');
CREATE FUNCTION computed_nan(a float8) RETURNS float8 LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON 0; TARGET computed_nan; $$;
SET client_min_messages = error;
-- the sign of a NaN depends on how it was made
SELECT plshard.deploy('c', $d$
	CREATE FUNCTION computed_nan(a float8) RETURNS float8 LANGUAGE sql VOLATILE AS
		$$ SELECT CASE WHEN current_database() = 'plshard_node1' THEN a - a ELSE 'NaN' END $$
$d$);
RESET client_min_messages;
SELECT computed_nan('Infinity');
SELECT floats(1, 'NaN');
SELECT floats(0.1::float8 + 0.2::float8, 0.3);

-- numeric: the scale does not count
SELECT numerics(1.0, 1.00), numerics(1.50, 1.5), numerics('NaN', 'NaN');
SELECT numerics(1.0, 1.01);
SELECT arrays('{1.0,2}', '{1,2.00}');
SELECT arrays('{1.0,2}', '{1,NULL}');

-- NULL is not the empty string
SELECT texts('', ''), texts(NULL, NULL) IS NULL AS null;
SELECT texts('', NULL);
SELECT texts('a', 'b');
-- bpchar: blanks at the end do not count
SELECT chars('a ', 'a  ') = 'a' AS chars;
-- json has no equality: the text counts; jsonb has
SELECT jsons('{"a": 1}', '{"a":1}');
SELECT jsonbs('{"a": 1.0, "b": 2}', '{"b":2,"a":1.00}');
-- a type without an order
SELECT points('(1,2)', '(1,2)');
SELECT points('(1,2)', '(1,3)');

-- collations: those of the declared columns
SELECT count(*) > 0 AS has_icu FROM pg_collation WHERE collprovider = 'i' \gset
CREATE FUNCTION words(a text, b text) RETURNS TABLE (w text) LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON 0; SELECT pick(a, b) AS w; $$;
\set VERBOSITY terse
SELECT * FROM words('Word', 'word');
\set VERBOSITY default
\if :has_icu
CREATE COLLATION any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
\else
CREATE COLLATION any_case FROM "C";
\endif
CREATE DOMAIN word AS text COLLATE any_case;
CREATE FUNCTION any_words(a text, b text) RETURNS word LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON 0; SELECT pick(a, b); $$;
\if :has_icu
SELECT any_words('Word', 'word');
\else
SELECT any_words('Word', 'Word');
\endif
SELECT any_words('Word', 'sword');

-- rows: a multiset
CREATE FUNCTION sets(a text, b text) RETURNS TABLE (n numeric, s text) LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON 0;
	SELECT split_part(x, '/', 1)::numeric AS n, nullif(split_part(x, '/', 2), '-') AS s
	FROM regexp_split_to_table(pick(a, b), ' ') AS x;
$$;
SELECT * FROM sets('1/a 2/b 2.0/-', '2.00/- 1.0/a 2/b') ORDER BY n, s;
SELECT * FROM sets('1/a 2/b 3/c', '3/c 1/a');
SELECT * FROM sets('1/a', '1/a 0/- 5/e');
SELECT * FROM sets('1/a 1/a 2/b', '1/a 2/b 2/b');
-- long ones are cut
SELECT texts(repeat('abc', 200), 'b');
-- beyond work_mem the rows are not kept, and only their bytes are compared
CREATE FUNCTION many(a int, b int, x numeric, y numeric) RETURNS TABLE (n int, s text, x numeric) LANGUAGE plshard AS $$
	CLUSTER 'c'; RUN ON 0;
	SELECT i AS n, repeat('x', 100) AS s, pick(x, y) AS x FROM generate_series(1, pick(a, b)) AS i;
$$;
SELECT count(*) FROM many(5000, 5000, 1.0, 1.00);
SET work_mem = '64kB';
SELECT count(*) FROM many(5000, 5000, 1.0, 1.0);
SELECT count(*) FROM many(5000, 5000, 1.0, 1.00);
SELECT count(*) FROM many(5000, 4999, 1.0, 1.0);
RESET work_mem;

-- columns, and rows that were changed
CREATE FUNCTION anything(a int, b int) RETURNS void LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON 0; SELECT * FROM differing($1, $2); $$;
SET client_min_messages = error;
SELECT plshard.deploy('c', $d$
	DO $$
	BEGIN
		IF current_database() = 'plshard_node1' THEN
			CREATE FUNCTION differing(a int, b int, OUT x int) LANGUAGE sql AS 'SELECT a';
		ELSE
			CREATE FUNCTION differing(a int, b int, OUT x int, OUT y int) LANGUAGE sql AS 'SELECT a, b';
		END IF;
	END
	$$
$d$);
RESET client_min_messages;
SELECT anything(1, 2);
CREATE FUNCTION fill(k int, a int, b int) RETURNS void LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON 0; INSERT INTO t SELECT i, 'x' FROM generate_series(k, k + pick(a, b) - 1) AS i; $$;
SELECT fill(1, 2, 2);
SELECT fill(10, 2, 1);
CREATE FUNCTION rows_of() RETURNS bigint LANGUAGE plshard STABLE AS
	$$ CLUSTER 'c'; RUN ON 0; SELECT count(*) FROM t; $$;
SELECT rows_of();
-- a result that is not read is compared, too
CREATE FUNCTION ignored(a text, b text) RETURNS void LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON 0; SELECT pick(a, b) AS x; $$;
SELECT ignored('a', 'a');
SELECT ignored('a', 'b');
-- REDUCE: what the shards return is compared
CREATE FUNCTION reduced(a numeric, b numeric) RETURNS numeric LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON 0; SELECT pick(a, b) AS x; REDUCE SELECT sum(x) FROM result; $$;
SELECT reduced(1.0, 1.00);
SELECT reduced(1, 2);

-- a function that cannot meet it
ALTER FUNCTION texts(text, text) SET plshard.compare_results = off;
SELECT texts('a', 'b');
ALTER FUNCTION fill(int, int, int) SET plshard.compare_results = off;
SELECT fill(10, 2, 1);
SELECT table_name, count(DISTINCT checksum), bool_and(consistent) FROM plshard.verify('c') WHERE shard_id = 10000 GROUP BY 1;
ALTER FUNCTION texts(text, text) RESET plshard.compare_results;
SELECT texts('a', 'b');
