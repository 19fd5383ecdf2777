-- Calls take part in the caller's transaction, in whatever way it begins, goes back
-- and ends.
\getenv srcdir PG_ABS_SRCDIR
\set cluster :srcdir '/test/include/cluster.psql'
\i :cluster
SET client_min_messages = warning;
SELECT plshard.deploy('c', 'CREATE TABLE t (k text PRIMARY KEY, v int)');
SELECT plshard.deploy('c', $$
	CREATE TABLE parent (k text PRIMARY KEY);
	CREATE TABLE child (k text REFERENCES parent DEFERRABLE INITIALLY DEFERRED, n int);
	CREATE PROCEDURE committing(k text) LANGUAGE plpgsql AS 'BEGIN INSERT INTO t VALUES (k, 1); COMMIT; END'
$$);
CREATE FUNCTION put(k text, v int) RETURNS void LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(k); INSERT INTO t VALUES (put.k, put.v); $$;
CREATE FUNCTION bump(k text) RETURNS int LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(k); UPDATE t SET v = t.v + 1 WHERE t.k = bump.k RETURNING t.v; $$;
CREATE FUNCTION get(k text) RETURNS int LANGUAGE plshard STABLE AS
	$$ CLUSTER 'c'; RUN ON hash(k); SELECT max(t.v) FROM t WHERE t.k = get.k; $$;
CREATE FUNCTION keys() RETURNS SETOF text LANGUAGE plshard STABLE AS
	$$ CLUSTER 'c'; RUN ON ALL; SELECT t.k FROM t; $$;
CREATE FUNCTION add_child(k text) RETURNS void LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(k); INSERT INTO child VALUES (add_child.k, 1); $$;
CREATE FUNCTION children() RETURNS bigint LANGUAGE plshard STABLE AS
	$$ CLUSTER 'c'; RUN ON ALL; SELECT count(*) AS n FROM child; REDUCE SELECT sum(n)::bigint FROM result; $$;
CREATE PROCEDURE committing(k text) LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); $$;
CREATE FUNCTION read_level() RETURNS text LANGUAGE plshard STABLE AS
	$$ CLUSTER 'c'; RUN ON 0; SELECT current_setting('transaction_isolation') ||
		' read_only=' || current_setting('transaction_read_only') || ' deferrable=' || current_setting('transaction_deferrable'); $$;
CREATE FUNCTION write_level() RETURNS text LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON 0; SELECT current_setting('transaction_isolation') ||
		' read_only=' || current_setting('transaction_read_only') || ' deferrable=' || current_setting('transaction_deferrable'); $$;
-- which keys there are, and whether all replicas have the same
CREATE FUNCTION look(pattern text) RETURNS TABLE (keys text, equal bool) LANGUAGE sql AS $$
	SELECT string_agg(k || '=' || get(k), ' ' ORDER BY k COLLATE "C"), (SELECT bool_and(consistent) FROM plshard.verify('c'))
	FROM keys() AS k WHERE k ~ ('^' || pattern) $$;

--
-- Savepoints
--
BEGIN;
SELECT put('s1', 1);
SAVEPOINT a;
SELECT put('s2', 1), bump('s1');
SAVEPOINT b;
SELECT put('s3', 1), bump('s1');
ROLLBACK TO b;
SELECT put('s4', 1), bump('s1');
RELEASE b;
SELECT put('s5', 1);
ROLLBACK TO a;
SELECT put('s6', 1), bump('s1');
SAVEPOINT a;		-- hides the other
SELECT put('s7', 1);
RELEASE a;
SELECT put('s8', 1);
ROLLBACK TO a;
SAVEPOINT c;
SAVEPOINT d;		-- begun on the nodes only with the call
SELECT put('s9', 1);
ROLLBACK TO c;
SELECT put('s10', 1);
COMMIT;
SELECT * FROM look('s');
-- a failed call is undone with its savepoint
BEGIN;
SELECT bump('s1');
SAVEPOINT a;
SELECT bump('s1'), put('s10', 1);
ROLLBACK TO a;
SELECT bump('s1');
COMMIT;
SELECT * FROM look('s');
-- EXCEPTION blocks, nested, some of which go on and some not
DO $$
BEGIN
	PERFORM put('e1', 1);
	BEGIN
		PERFORM put('e2', 1);
		BEGIN
			PERFORM put('e3', 1);
			PERFORM put('e1', 1);
		EXCEPTION WHEN unique_violation THEN
			PERFORM put('e4', 1);
			BEGIN
				PERFORM put('e5', 1);
				RAISE division_by_zero;
			EXCEPTION WHEN division_by_zero THEN
				PERFORM bump('e4');
			END;
		END;
		PERFORM put('e6', 1);
		RAISE EXCEPTION 'not this';
	EXCEPTION WHEN raise_exception THEN
		PERFORM put('e7', 1);
	END;
	FOR i IN 1..3 LOOP
		BEGIN
			PERFORM bump('e1');
			PERFORM put('e8', i);
		EXCEPTION WHEN unique_violation THEN
			NULL;
		END;
	END LOOP;
END $$;
SELECT * FROM look('e');
-- an error that is not caught undoes all of it
DO $$
BEGIN
	PERFORM put('f1', 1);
	BEGIN
		PERFORM put('f2', 1);
	EXCEPTION WHEN division_by_zero THEN
	END;
	PERFORM put('f1', 1);
END $$;
SELECT * FROM look('f');

--
-- The whole transaction
--
BEGIN;
SELECT put('w1', 1);
COMMIT AND CHAIN;
SELECT bump('w1');
ROLLBACK AND CHAIN;
SELECT bump('w1'), put('w2', 1);
COMMIT;
SELECT * FROM look('w');
-- several statements of one message are one transaction
SELECT bump('w1') \; SELECT bump('w1') \; SELECT 1 / 0;
SELECT * FROM look('w');
SELECT bump('w1') \; COMMIT \; SELECT bump('w1') \; SELECT 1 / 0;
SELECT * FROM look('w');
-- one statement with several calls
SELECT bump('w1'), bump('w2'), bump('w1');
SELECT bump('w1'), 1 / (bump('w2') - 3);
SELECT * FROM look('w');

--
-- Isolation levels: the nodes' are the front's
--
SELECT read_level(), write_level();
BEGIN;
SELECT write_level(), read_level();
COMMIT;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT read_level();
SELECT write_level();
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SELECT read_level();
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT read_level();
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY;
SELECT read_level();
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE;
SELECT read_level();
COMMIT;
-- writes above READ COMMITTED: on shards without replicas
SELECT plshard.create_cluster('single');
SELECT plshard.add_node('single', 'n1', :'node1');
SELECT plshard.create_shards('single', 1, 1);
CREATE FUNCTION single_level() RETURNS text LANGUAGE plshard AS
	$$ CLUSTER 'single'; RUN ON 0; SELECT current_setting('transaction_isolation') || ' read_only=' || current_setting('transaction_read_only'); $$;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT single_level();
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT single_level();
COMMIT;
SET default_transaction_isolation = 'repeatable read';
SELECT read_level();
RESET default_transaction_isolation;
-- too late to change, once something was read
BEGIN;
SELECT get('w1');
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
ROLLBACK;

--
-- READ ONLY
--
BEGIN READ ONLY;
SELECT get('w1'), read_level();
SELECT bump('w1');
ROLLBACK;
SET default_transaction_read_only = on;
SELECT bump('w1');
RESET default_transaction_read_only;
-- what was written before can be read after
BEGIN;
SELECT bump('w1');
SET TRANSACTION READ ONLY;
SELECT get('w1'), read_level();
SAVEPOINT a;
SELECT bump('w1');
ROLLBACK TO a;
COMMIT;
-- for a subtransaction
BEGIN;
SELECT bump('w1');
SAVEPOINT a;
SET TRANSACTION READ ONLY;
SELECT get('w1');
RELEASE a;
SELECT bump('w1');
ROLLBACK;
SELECT * FROM look('w');

--
-- Deferred constraints of the nodes
--
\set VERBOSITY terse
BEGIN;
SELECT add_child('d1');
COMMIT;
-- on one of several shards: all of them are undone
BEGIN;
SELECT put('d' || i, 1) FROM generate_series(1, 9) AS i;
SELECT add_child('d3');
COMMIT;
SELECT children(), look.* FROM look('d');
SELECT add_child('d1');
DO $$ BEGIN PERFORM add_child('d1'); EXCEPTION WHEN foreign_key_violation THEN RAISE 'caught too early'; END $$;
SELECT children();
-- a subtransaction that is undone
BEGIN;
SELECT put('d1', 1);
SAVEPOINT a;
SELECT add_child('d1');
ROLLBACK TO a;
COMMIT;
SELECT children(), look.* FROM look('d');

\set VERBOSITY default

--
-- PREPARE TRANSACTION
--
BEGIN;
SELECT bump('w1');
PREPARE TRANSACTION 'plshard_test';
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT get('w1');
PREPARE TRANSACTION 'plshard_test';
SELECT * FROM look('w');
-- a read that is not in a transaction on the nodes does not matter
BEGIN;
SELECT get('w1');
PREPARE TRANSACTION 'plshard_test';
ROLLBACK PREPARED 'plshard_test';

--
-- Cursors
--
BEGIN;
DECLARE held CURSOR WITH HOLD FOR SELECT bump('w1') FROM generate_series(1, 3);
FETCH 1 FROM held;
COMMIT;		-- calls the rest
FETCH ALL FROM held;
CLOSE held;
SELECT get('w1');
BEGIN;
DECLARE held CURSOR WITH HOLD FOR SELECT bump('w1'), put('w2', 1);
COMMIT;		-- fails, since it calls
FETCH ALL FROM held;
SELECT get('w1');
BEGIN;
DECLARE held SCROLL CURSOR WITH HOLD FOR SELECT k, get(k) FROM keys() AS k WHERE k ~ '^[sw]' ORDER BY k COLLATE "C";
FETCH 2 FROM held;
SELECT bump('s1');
ROLLBACK;
FETCH 1 FROM held;
BEGIN;
DECLARE open CURSOR FOR SELECT bump('w1') FROM generate_series(1, 5);
FETCH 1 FROM open;
SAVEPOINT a;
FETCH 1 FROM open;
ROLLBACK TO a;
FETCH 1 FROM open;
COMMIT;
SELECT * FROM look('w');

--
-- Procedures that end transactions
--
CREATE PROCEDURE steps(a text, b text) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM put(a, 1);
	COMMIT;
	PERFORM bump(a), put(b, 1);
	ROLLBACK;
	PERFORM put(b, 2);
END $$;
CALL steps('p1', 'p2');
SELECT * FROM look('p');
CALL steps('p3', 'p2');
SELECT * FROM look('p');
BEGIN;
CALL steps('p4', 'p5');
ROLLBACK;
CREATE PROCEDURE deferred(a text) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM put(a, 1);
	COMMIT;
	PERFORM bump(a), add_child(a);
	COMMIT;
	RAISE 'does not come here';
END $$;
\set VERBOSITY terse
CALL deferred('p6');
\set VERBOSITY default
-- loops over rows of nodes, or over calls
DO $$
DECLARE
	r text;
BEGIN
	FOR r IN SELECT k FROM keys() AS k WHERE k ~ '^p' LOOP
		PERFORM bump(r);
		COMMIT;
	END LOOP;
	FOR r IN SELECT bump(k) FROM keys() AS k WHERE k ~ '^p' LOOP
		ROLLBACK;
	END LOOP;
END $$;
DO $$
BEGIN
	FOR i IN 1..3 LOOP
		BEGIN
			PERFORM put('p7', i);
		EXCEPTION WHEN unique_violation THEN
			PERFORM put('p7' || i, i);
		END;
		COMMIT;
	END LOOP;
END $$;
SELECT children(), look.* FROM look('p');
-- one that ends its transaction on a node
CALL committing('p8');
BEGIN;
CALL committing('p8');
ROLLBACK;
SELECT get('p8');

--
-- Triggers
--
CREATE TABLE local (k text PRIMARY KEY, v int);
CREATE FUNCTION put_row() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM put(new.k, new.v); RETURN new; END';
CREATE TRIGGER put BEFORE INSERT ON local FOR EACH ROW EXECUTE FUNCTION put_row();
INSERT INTO local VALUES ('t1', 1), ('t2', 2);
INSERT INTO local VALUES ('t3', 1), ('t1', 2) ON CONFLICT DO NOTHING;
COPY local FROM stdin;
t4	4
t5	5
\.
COPY local FROM stdin;
t6	6
t1	7
\.
COPY (SELECT k, bump(k) FROM local ORDER BY k) TO stdout;
SELECT array_agg(k ORDER BY k) AS local, look.* FROM local, look('t') GROUP BY keys, equal;
DROP TRIGGER put ON local;
-- deferred: its calls are made at commit
CREATE CONSTRAINT TRIGGER put AFTER INSERT ON local DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION put_row();
BEGIN;
INSERT INTO local VALUES ('u1', 1);
SELECT get('u1');
COMMIT;
BEGIN;
SELECT put('u3', 1);
INSERT INTO local VALUES ('u2', 1), ('u3', 1);
COMMIT;
SELECT array_agg(k ORDER BY k) AS local, look.* FROM local, look('u') WHERE k ~ 'u' GROUP BY keys, equal;
DROP TRIGGER put ON local;
CREATE FUNCTION bump_rows() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM bump(k) FROM news; RETURN NULL; END';
CREATE TRIGGER bump AFTER UPDATE ON local REFERENCING NEW TABLE AS news
	FOR EACH STATEMENT EXECUTE FUNCTION bump_rows();
UPDATE local SET v = 0 WHERE k ~ 't';
SELECT * FROM look('t');

--
-- Failures of the front at commit: the nodes have not committed
--
BEGIN;
CREATE TEMP TABLE emptied (i int PRIMARY KEY) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE kept (i int REFERENCES emptied);
SELECT bump('w1') > 0 AS called;
COMMIT;
SELECT * FROM look('w');
-- what is to be done then is done
BEGIN;
CREATE TEMP TABLE emptied ON COMMIT DELETE ROWS AS SELECT bump('w1');
CREATE TEMP TABLE dropped ON COMMIT DROP AS SELECT bump('w1');
COMMIT;
SELECT to_regclass('dropped'), (SELECT count(*) FROM emptied), look.* FROM look('w');

--
-- The session
--
PREPARE up AS SELECT bump($1);
EXECUTE up('w2');
DISCARD PLANS;
EXECUTE up('w2');
DISCARD ALL;
SELECT get('w2'), bump('w2');
BEGIN;
SELECT bump('w2');
DISCARD ALL;
ROLLBACK;
SELECT get('w2');
\o /dev/null
LISTEN plshard_test;
BEGIN;
NOTIFY plshard_test;
SELECT bump('w2');
COMMIT;
BEGIN;
LISTEN plshard_other;
SELECT bump('w2'), put('w2', 1);
COMMIT;
\o
SELECT pg_listening_channels(), get('w2');
UNLISTEN *;
SELECT * FROM look('w');
SET client_min_messages = warning;
DROP SERVER c, single CASCADE;
