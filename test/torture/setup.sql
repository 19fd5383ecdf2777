-- The torture test's tables and functions: clusters r2 and r3, of two and three
-- replicas, each with a schema of functions.  Run by test/torture/run, with the
-- cluster's name for :cluster, and :accounts, :registers.
CREATE SCHEMA :cluster;
SET search_path = :cluster;
SELECT set_config('torture.cluster', :'cluster', false) AS c,
       set_config('torture.accounts', :'accounts', false) AS a,
       set_config('torture.registers', :'registers', false) AS r;

SELECT plshard.deploy(:'cluster', $$
	CREATE TABLE account (id int PRIMARY KEY, balance bigint NOT NULL);
	CREATE TABLE ledger (account int, transfer bigint, amount bigint NOT NULL, PRIMARY KEY (account, transfer));
	CREATE TABLE item (id bigint PRIMARY KEY);
	CREATE TABLE register (key int PRIMARY KEY, version bigint NOT NULL, value bigint NOT NULL);
	CREATE TABLE register_log (key int, version bigint, value bigint NOT NULL, PRIMARY KEY (key, version));

	-- one side of a transfer: the balance, and a row that says why
	CREATE FUNCTION add(account int, amount bigint, transfer bigint) RETURNS bigint LANGUAGE sql AS '
		WITH l AS (INSERT INTO ledger VALUES (add.account, add.transfer, add.amount))
		UPDATE account AS a SET balance = a.balance + add.amount WHERE a.id = add.account
		RETURNING a.balance';
	-- each write of a register leaves a row, so the order of all of them can be read later
	CREATE FUNCTION write(key int, value bigint) RETURNS bigint LANGUAGE sql AS '
		WITH r AS (UPDATE register AS r SET version = r.version + 1, value = write.value
		           WHERE r.key = write.key RETURNING r.version),
		     l AS (INSERT INTO register_log SELECT write.key, r.version, write.value FROM r)
		SELECT r.version FROM r';
$$);

DO $do$
DECLARE
	definition text;
BEGIN
	FOREACH definition IN ARRAY ARRAY[
		$$ CREATE FUNCTION open_account(account int) RETURNS void LANGUAGE plshard AS '
			CLUSTER ''%s''; RUN ON hash(account);
			INSERT INTO account VALUES (open_account.account, 1000);' $$,
		$$ CREATE FUNCTION open_register(key int) RETURNS void LANGUAGE plshard AS '
			CLUSTER ''%s''; RUN ON hash(key);
			INSERT INTO register VALUES (open_register.key, 0, 0);' $$,
		-- what is called on the nodes, above: a single call of it prepares early where there are two replicas
		$$ CREATE FUNCTION add(account int, amount bigint, transfer bigint) RETURNS bigint LANGUAGE plshard AS '
			CLUSTER ''%s''; RUN ON hash(account);' $$,
		$$ CREATE FUNCTION write(key int, value bigint) RETURNS bigint LANGUAGE plshard AS '
			CLUSTER ''%s''; RUN ON hash(key);' $$,
		$$ CREATE FUNCTION put(id bigint) RETURNS void LANGUAGE plshard AS '
			CLUSTER ''%s''; RUN ON hash(id); INSERT INTO item VALUES (put.id);' $$,
		$$ CREATE FUNCTION get(id bigint) RETURNS SETOF bigint STABLE LANGUAGE plshard AS '
			CLUSTER ''%s''; RUN ON hash(id); SELECT i.id FROM item AS i WHERE i.id = get.id;' $$,
		-- the same as SQL in the body, which is committed after the call
		$$ CREATE FUNCTION write_by_sql(key int, value bigint) RETURNS bigint LANGUAGE plshard AS '
			CLUSTER ''%s''; RUN ON hash(key);
			WITH r AS (UPDATE register AS r SET version = r.version + 1, value = write_by_sql.value
			           WHERE r.key = write_by_sql.key RETURNING r.version),
			     l AS (INSERT INTO register_log SELECT write_by_sql.key, r.version, write_by_sql.value FROM r)
			SELECT r.version FROM r;' $$,
		$$ CREATE FUNCTION read(key int) RETURNS TABLE (version bigint, value bigint) STABLE LANGUAGE plshard AS '
			CLUSTER ''%s''; RUN ON hash(key);
			SELECT r.version, r.value FROM register AS r WHERE r.key = read.key;' $$]
	LOOP
		EXECUTE format(definition, current_setting('torture.cluster'));
	END LOOP;
END
$do$;

CREATE FUNCTION transfer(giver int, taker int, amount bigint, id bigint) RETURNS void LANGUAGE plpgsql
	SET search_path = :cluster AS $$
BEGIN
	PERFORM add(giver, -amount, id);
	PERFORM add(taker, amount, id);
END
$$;

SELECT count(open_account(i)) FROM generate_series(0, :accounts - 1) AS i;
SELECT count(open_register(i)) FROM generate_series(0, :registers - 1) AS i;
