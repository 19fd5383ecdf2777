-- plshard.explain_call: where a call would go, and what would be sent.
\getenv srcdir PG_ABS_SRCDIR
\set cluster :srcdir '/test/include/cluster.psql'
\i :cluster
\pset format unaligned
-- which of its placements a read goes to is the session's choice
CREATE FUNCTION explain_read(call text, OUT shard bigint, OUT placements text[], OUT one_of_them bool, OUT remote_sql text) RETURNS SETOF record
LANGUAGE sql AS 'SELECT e.shard_id, e.placements, e.node = ANY (e.placements), e.remote_sql FROM plshard.explain_call(call) e';

SELECT plshard.deploy('c', 'CREATE TABLE item (k text PRIMARY KEY, n int)');
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE FUNCTION get(k text) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); SELECT n FROM item WHERE item.k = get.k; $$;
CREATE FUNCTION put(k text, n int DEFAULT 7, m mood DEFAULT 'ok') RETURNS void LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); $$;
CREATE FUNCTION all_items() RETURNS TABLE(k text, "N" int) STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; $$;
CREATE FUNCTION clear() RETURNS bigint LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; DELETE FROM item RETURNING n; REDUCE SELECT count(*) FROM result; $$;
CREATE FUNCTION hashes(VARIADIC k text[]) RETURNS SETOF int IMMUTABLE LANGUAGE sql AS 'SELECT hashtext(x) FROM unnest(k) x';
CREATE FUNCTION two(a text, b text) RETURNS SETOF mood STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; LET h = (SELECT hashtext(a)); RUN ON hashes(a, b); TARGET s.other(h, b); $$;
CREATE PROCEDURE change(k text, INOUT n int, OUT m mood) LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); $$;
CREATE FUNCTION list(VARIADIC k text[]) RETURNS text LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k[1]); $$;
CREATE FUNCTION same(a anyelement) RETURNS anyelement STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(a); $$;
CREATE FUNCTION strict_get(k text) RETURNS int STABLE STRICT LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); $$;
CREATE FUNCTION rows() RETURNS SETOF record STABLE LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON 0; $$;

-- reads and writes
SELECT * FROM explain_read('get(''a'')');
SELECT * FROM plshard.explain_call('put(''a'')');
SELECT * FROM plshard.explain_call('put(m => ''sad'', k => lower(''A''))');
SELECT * FROM explain_read('all_items()');
SELECT * FROM plshard.explain_call('clear()');
SELECT * FROM explain_read('two(''a'', ''b'')') ORDER BY 1;
SELECT * FROM plshard.explain_call('call change(''a'', 1, NULL)');
SELECT * FROM plshard.explain_call('CALL change(k => ''a'', n => 1, m => NULL)');
SELECT * FROM plshard.explain_call('list(''a'', ''b'')');
SELECT * FROM plshard.explain_call('list(VARIADIC ''{a,b}'')');
SELECT * FROM explain_read('same(1)');
SELECT * FROM explain_read(' public.same ( ''x''::text ) ');
SELECT * FROM plshard.explain_call('rows()');
-- a read always goes where the explained one does
SELECT bool_and(a.node = b.node) AS same FROM plshard.explain_call('all_items()') a JOIN plshard.explain_call('all_items()') b USING (shard_id);
-- strict: it is not called at all
SELECT * FROM plshard.explain_call('strict_get(NULL)');

-- nothing is sent
SET plshard.log_remote_commands = on;
SELECT count(*) FROM plshard.explain_call('clear()');
SELECT count(*) FROM plshard.explain_call('call change(''a'', 1, NULL)');
RESET plshard.log_remote_commands;

-- what is wrong with the call is reported as by the call itself
SELECT * FROM plshard.explain_call('get(NULL)');
SELECT * FROM plshard.explain_call('get()');
SELECT * FROM plshard.explain_call('get(''a'',)');
SELECT * FROM plshard.explain_call('get(k)');
SELECT * FROM plshard.explain_call('get($1)');
SELECT * FROM plshard.explain_call('nowhere(1)');
SELECT * FROM plshard.explain_call('lower(''a'')');
SELECT * FROM plshard.explain_call('get(''a'') + 1');
SELECT * FROM plshard.explain_call('get(''a''), get(''b'')');
SELECT * FROM plshard.explain_call('get(''a'') FROM item');
SELECT * FROM plshard.explain_call('get((SELECT ''a''))');
SELECT * FROM plshard.explain_call('get(string_agg(''a'', ''''))');
SELECT * FROM plshard.explain_call('get(lag(''a''::text) OVER ())');
SELECT * FROM plshard.explain_call('get(regexp_split_to_table(''a'', ''''))');
SELECT * FROM plshard.explain_call('SELECT get(''a'')');
SELECT * FROM plshard.explain_call('DROP TABLE item');
SELECT * FROM plshard.explain_call('call get(''a'')');
SELECT * FROM plshard.explain_call('call change(''a'', 1, NULL); DROP TABLE item');
SELECT * FROM plshard.explain_call('');
SELECT * FROM plshard.explain_call(NULL);
SELECT * FROM plshard.explain_call('same(NULL)');

-- rights
CREATE ROLE regress_plshard_explain;
REVOKE EXECUTE ON FUNCTION get FROM PUBLIC;
SET ROLE regress_plshard_explain;
SELECT * FROM plshard.explain_call('get(''a'')');
SELECT * FROM plshard.explain_call('all_items()');
RESET ROLE;
DROP ROLE regress_plshard_explain;
