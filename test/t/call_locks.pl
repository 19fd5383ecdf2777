
# Writes of shards without replicas take the shard's lock, and check the epoch, by
# parameters of the call: as if they were statements before it.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use PlshardCluster;
use Test::More;

my $c = PlshardCluster->new(nodes => 2, shards => 4, replicas => 1);
$c->sample;
$c->sql(<<'SQL');
SELECT plshard.deploy('c', $ddl$
	CREATE FUNCTION inc(k text) RETURNS int LANGUAGE sql AS 'UPDATE t SET v = t.v + 1 WHERE t.k = inc.k RETURNING t.v';
	CREATE FUNCTION seen(k text) RETURNS int STABLE LANGUAGE plpgsql AS
		'BEGIN RETURN (SELECT t.v FROM t WHERE t.k = seen.k); END';
	-- the planner puts the body in place of the call
	CREATE FUNCTION look(k text) RETURNS int LANGUAGE sql AS 'SELECT seen(k) * 10';
	CREATE FUNCTION stamp(k text) RETURNS timestamptz LANGUAGE sql AS
		'INSERT INTO t VALUES (k, 0) ON CONFLICT DO NOTHING; SELECT plshard_node.now()';
	CREATE FUNCTION fail(k text, state text) RETURNS int LANGUAGE plpgsql AS $$
	BEGIN
		RAISE 'mine' USING ERRCODE = state, SCHEMA = 'plshard_node', CONSTRAINT = 'lock_not_taken';
	END $$;
	CREATE FUNCTION changes(k text) RETURNS void LANGUAGE sql AS 'SELECT';
$ddl$);
CREATE FUNCTION inc(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); $$;
CREATE FUNCTION look(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); $$;
CREATE FUNCTION stamp(k text) RETURNS timestamptz LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); $$;
CREATE FUNCTION fail(k text, state text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); $$;
CREATE FUNCTION changes(k text) RETURNS void LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); $$;
CREATE FUNCTION added(k text) RETURNS void LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); $$;
CREATE PROCEDURE set_v(k text, v int) LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(k); UPDATE t SET v = set_v.v WHERE t.k = set_v.k; $$;
CREATE FUNCTION set_all(v int) RETURNS void LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ALL; UPDATE t SET v = set_all.v; $$;
CREATE FUNCTION lock_shard(k text) RETURNS void LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(k); LOCK SHARD; SELECT 1; $$;
SQL

my $key = 'k1';
my $shard = $c->sql("SELECT plshard.shard_for('c', '$key')");
my $node = $c->sql("SELECT substr(node, 2) FROM plshard.placements WHERE shard_id = $shard");
my $path = "SET search_path = plshard_$shard";
my @same = grep { $_ ne $key } $c->some_keys(6, shard => $shard);
my ($elsewhere) = grep { $c->sql("SELECT plshard.shard_for('c', '$_')") != $shard } $c->some_keys(20, on => $node);
$c->sql("SELECT put('$key', 0); SELECT put('$elsewhere', 0)");

# A session whose statements are prepared, so often that PostgreSQL keeps their plans
sub warm
{
	my $s = $c->session;
	foreach my $k ($key, $elsewhere)
	{
		$s->sql("SELECT inc('$k'); SELECT look('$k'); SELECT stamp('$k'); SELECT changes('$k'); CALL set_v('$k', 1)") foreach 1 .. 7;
	}
	$s->try("SELECT fail('$key', 'P0001')");
	$s->sql('SELECT set_all(1)');
	return $s;
}

# How often a call's locks had a statement of their own
sub statements
{
	my ($s, $sql) = @_;
	my $r = $s->try("SET plshard.log_remote_commands = on; $sql; RESET plshard.log_remote_commands");
	return $r->{sqlstate} // scalar(() = $r->{err} =~ /node n\d: SELECT CASE WHEN pg_catalog.pg_try/g);
}

my $s = $c->session;
is(statements($s, "SELECT inc('$key')"), 1, 'the first call of a session locks before it prepares its statement');
is(statements($s, "SELECT inc('$key')"), 0, '... the next one by its parameters');
is(statements($s, "BEGIN; SELECT inc('$key'); SELECT inc('$key'); COMMIT"), 1, 'likewise in a transaction, where it is another statement');
is(statements($s, "BEGIN; SELECT inc('$key'); SELECT inc('$key'); COMMIT"), 0, '... which it is once');
is(statements($s, "SELECT lock_shard('$key')") + statements($s, "SELECT lock_shard('$key')"), 2, 'LOCK SHARD has a statement');
is(statements($s, "SET plshard.call_id = 'x'; SELECT inc('$key'); RESET plshard.call_id"), 1, '... and so has a call with an id');
$s->quit;

#
# A lock that is not free
#
my $waits = q{SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)};
$s = warm();
my $other = $c->session;
foreach my $call ("SELECT inc('$key')", "CALL set_v('$key', 2)", "BEGIN; SELECT inc('$elsewhere'); SELECT inc('$key'); COMMIT",
	'SELECT set_all(3)')
{
	$other->sql("BEGIN; SELECT lock_shard('$key')");
	$s->send($call);
	$c->wait_for($waits, on => $node);
	$other->sql('COMMIT');
	is($s->result->{sqlstate}, undef, "$call waits for the lock of the whole shard");
}
is($s->sql("SELECT get('$key')"), 3, '... and then they were done');

# ... and one that is: the transaction holds it to its end
$s->sql("BEGIN; SELECT inc('$key')");
$other->send("SELECT lock_shard('$key')");
$c->wait_for($waits, on => $node);
ok(!$other->is_done, 'a write of the whole shard waits for the call');
$s->sql('COMMIT');
is($other->result->{sqlstate}, undef, '... up to its end');

#
# An old epoch
#
$c->sql(q{SELECT setval(oid::regclass, 1000) FROM pg_class WHERE relname ~ '^epoch_'}, on => $node);
is($s->try("SELECT inc('$key')")->{sqlstate}, undef, 'a call after the epoch was raised');
is($c->sql('SELECT max(epoch) FROM plshard.cluster'), 1000, '... which the front has learned');
$c->sql(q{SELECT setval(oid::regclass, 1001) FROM pg_class WHERE relname ~ '^epoch_'}, on => $node);
is($s->try("BEGIN; SELECT inc('$elsewhere'); SELECT inc('$key'); COMMIT")->{sqlstate}, undef, '... in a transaction');
is($c->sql('SELECT max(epoch) FROM plshard.cluster'), 1001, '... likewise');

#
# What the call does, and what it sees, is not older than its locks: it is held up just
# before it takes them
#
$c->sql(<<'SQL', on => $node);
CREATE FUNCTION public.wait_here() RETURNS bool LANGUAGE plpgsql AS
	'BEGIN PERFORM pg_advisory_lock_shared(4711); PERFORM pg_advisory_unlock_shared(4711); RETURN true; END';
ALTER DOMAIN plshard_node.shard_lock ADD CONSTRAINT a_waits CHECK (public.wait_here());
SQL
my $holder = $c->session(on => $node);
$s->sql("CALL set_v('$key', 1)");
is($s->sql("SELECT look('$key')"), 10, 'a function that the planner sees through');
$holder->sql('SELECT pg_advisory_lock(4711)');
$s->send("SELECT look('$key')");
$c->wait_for($waits, on => $node);
$holder->sql(<<"SQL");
$path;
BEGIN;
UPDATE t SET v = 2 WHERE k = '$key';
CREATE OR REPLACE FUNCTION look(k text) RETURNS int LANGUAGE sql AS 'SELECT seen(k) * 100';
COMMIT;
SELECT pg_advisory_unlock(4711);
SQL
is($s->result->{out}, 200, 'a call sees what was committed before it had its lock, and runs the function of then');
$c->sql('ALTER DOMAIN plshard_node.shard_lock DROP CONSTRAINT a_waits', on => $node);

# ... nor is its statement prepared before: the function is still being made
$other->sql(q{BEGIN; SELECT plshard.deploy('c', 'CREATE FUNCTION added(k text) RETURNS void LANGUAGE sql AS ''SELECT''')});
$s->send("SELECT added('$key')");
$c->wait_for($waits, on => $node);
$other->sql('COMMIT');
is($s->result->{sqlstate}, undef, 'the first call of a function waits for the deploy that creates it');

#
# Errors that look like those of locks are the function's own
#
$s = warm();
foreach my $state ('PS001', 'PS002', '23514')
{
	my $r = $s->try("SELECT fail('$key', '$state')");
	is($r->{sqlstate}, $state, "a function that raises $state");
	like($r->{err}, qr/mine/, '... itself');
}
is($s->try("BEGIN; SELECT fail('$key', '23514')")->{sqlstate}, '23514', '... in a transaction');
$s->sql('ROLLBACK');
my $r = $s->try("SELECT fail('$key', 'P0001')");
unlike($r->{err}, qr/shard_lock|\$3/, 'an error says nothing of locks');

#
# What may be different between locks and call
#
$c->sql(q{SELECT plshard.deploy('c', 'DROP FUNCTION changes(text)');
	SELECT plshard.deploy('c', 'CREATE FUNCTION changes(k text) RETURNS int LANGUAGE sql AS ''SELECT 1''')});
is($s->try("SELECT changes('$key')")->{sqlstate}, undef, 'a statement that has to be prepared anew');
is(statements($s, "SELECT changes('$key')"), 0, '... once');
is($s->sql("SELECT stamp('$key') = now()"), 't', 'values of plshard_node');

# shards that share their statements, since there are too many
$s = $c->session;
$s->sql('SET plshard.max_prepared_statements = 8');
foreach my $k ($key, $elsewhere)
{
	$s->sql("SELECT look('$k'); SELECT stamp('$k'); SELECT inc('$k'); CALL set_v('$k', 1)") foreach 1 .. 3;
}
is(statements($s, "CALL set_v('$_', 2)"), 0, 'shards that share their statements') foreach $key, $elsewhere;
$other->sql("BEGIN; SELECT lock_shard('$elsewhere')");
is($s->try("CALL set_v('$key', 3)")->{sqlstate}, undef, '... take their own locks');
$s->send("CALL set_v('$elsewhere', 4)");
$c->wait_for($waits, on => $node);
$other->sql('COMMIT');
is($s->result->{sqlstate}, undef, '... each');
is($s->sql("SELECT get('$key') || ' ' || get('$elsewhere')"), '3 4', '... for their own rows');
$s->quit;

#
# Nodes
#
$s = $c->session;
$s->sql(sprintf <<'SQL', $c->conninfo(1));
SELECT plshard.create_cluster('d');
SELECT plshard.add_node('d', 'n1', '%s');
SELECT plshard.create_shards('d', 1, 1);
CREATE FUNCTION one() RETURNS int LANGUAGE plshard AS $$ CLUSTER 'd'; RUN ON 0; SELECT 1; $$;
SELECT one();
SQL
is(statements($s, 'SELECT one()'), 0, 'the session that has added a node');
$s->sql("DROP FUNCTION one(); SELECT plshard.drop_cluster('d', true)");
is($c->sql(q{SELECT count(*) FROM pg_type WHERE typname ~ '^epoch_'}, on => 1), 1, '... and drops what was made for it there');
$c->sql('DROP DOMAIN plshard_node.shard_lock', on => $node);
$s = $c->session;
is(statements($s, "SELECT inc('$key')") + statements($s, "SELECT inc('$key')"), 2, 'a node without the types: by statements');

done_testing();
