# Repair and what is in its way: requests that make no sense, writers, and
# failures in the middle, which leave the target as it was and no lock.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PlshardCluster;
use Time::HiRes ();
use Test::More;

my $c = PlshardCluster->new(nodes => 3, shards => 3, replicas => 2);
my ($shard, $other) = (10000, 10001);	# on n1 and n2, on n2 and n3
my $repair = "SELECT plshard.repair($shard, 'n1', 'n2')";

# Values below -1000 wait for an advisory lock of that number.  Row -1077 makes a
# copy wait on the target, with a lot behind it; row -78 the view's refresh.
my ($in_copy, $in_refresh) = (1077, 1078);
$c->sql(<<'SQL');
SELECT plshard.deploy('c', $$
	CREATE FUNCTION held(v int) RETURNS boolean LANGUAGE plpgsql AS $f$
	BEGIN
		IF v < -1000 THEN PERFORM pg_catalog.pg_advisory_xact_lock_shared(-v); END IF;
		RETURN true;
	END $f$;
	CREATE TABLE t (k text PRIMARY KEY, v int NOT NULL, filler text, CONSTRAINT held CHECK (held(v)));
	CREATE INDEX t_v ON t (v);
	CREATE MATERIALIZED VIEW m AS SELECT held(v - 1000) FROM t WHERE v = -78
$$);
SELECT plshard.deploy('c', $$
	INSERT INTO t VALUES ('1077', -1077, '');
	INSERT INTO t SELECT 'f' || i, i, repeat('x', 1000) FROM generate_series(1, 3000) AS i;
	INSERT INTO t VALUES ('78', -78, '')
$$);
CREATE FUNCTION put(k text, v int) RETURNS void LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(k); INSERT INTO t VALUES (put.k, put.v, ''); $$;
CREATE FUNCTION get(k text) RETURNS int LANGUAGE plshard STABLE AS
	$$ CLUSTER 'c'; RUN ON hash(k); SELECT t.v FROM t WHERE t.k = get.k; $$;
SQL

my $not_mine = "locktype = 'advisory' AND objsubid = 1 AND objid NOT IN ($in_copy, $in_refresh)";

sub hold
{
	my ($i, $lock) = @_;
	my $session = $c->session(on => $i);
	$session->sql("SELECT pg_advisory_lock($lock)");
	return $session;
}

sub wait_until_held
{
	my ($i, $lock) = @_;
	$c->wait_for("SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = $lock AND NOT granted)",
		on => $i);
	return;
}

sub put { return sprintf "SELECT put('%s', 1)", $c->key($_[0]); }

# ------------------------------------------------------------------------------
note 'requests that are refused';

my $before = $c->states;
foreach my $case (
	[ "10000, 'n2', 'n1'", '55000', qr/^the placement of shard 10000 on node "n1" is active already$/ ],
	[ "77, 'n1', 'n2'", '42704', qr/^shard 77 does not exist$/ ],
	[ "10000, 'n1', 'n9'", '42704', qr/^node "n9" does not exist in cluster "c"$/ ],
	[ "10000, 'n9', 'n1'", '42704', qr/^node "n9" does not exist in cluster "c"$/ ],
	[ "10000, 'n1', 'n1'", '22023', qr/^source and target are the same node "n1"$/ ],
	[ "10000, 'n1', 'n3'", '55000', qr/^node "n3" holds no placement of shard 10000$/ ],
	[ "10000, 'n3', 'n1'", '55000', qr/^node "n3" holds no active placement of shard 10000$/ ],
	[ "10000, 'n1', 'n2', 'quick'", '22023', qr/^unknown repair mode "quick"$/ ],
	[ "10000, NULL, 'n2'", '22004', qr/null/ ])
{
	my ($arguments, $sqlstate, $message) = @$case;
	my $r = $c->try("SELECT plshard.repair($arguments)");
	is($r->{sqlstate}, $sqlstate, "repair($arguments)");
	like($r->{message}, $message, 'and its message');
}
is_deeply($c->states, $before, 'nothing is changed');

$c->deactivate('n2', $shard);
my $inactive = { n1 => 'active:2', n2 => 'active:1 inactive:1', n3 => 'active:2' };
my $r = $c->try("SELECT plshard.repair($shard, 'n2', 'n1')");
is($r->{sqlstate}, '55000', 'the wrong direction');
like($r->{message}, qr/^node "n2" holds no active placement of shard 10000$/, 'and its message');
$r = $c->try('BEGIN; ' . put($shard) . "; $repair; COMMIT");
is($r->{sqlstate}, '25001', 'in a transaction that has written');
$c->sql('CREATE ROLE nobody');
is($c->try("GRANT USAGE ON FOREIGN SERVER c TO nobody; SET ROLE nobody; $repair")->{sqlstate},
	'42501', 'by a role that does not own the cluster');
is_deeply($c->states, $inactive, 'nothing is changed');

# ------------------------------------------------------------------------------
note 'what waits';

my $hold = hold(2, $in_copy);
my $repairing = $c->begin($repair);
wait_until_held(2, $in_copy);
$r = $c->try("SET statement_timeout = '10s'; " . put($other));
is($r->{sqlstate}, undef, 'a writer of another shard goes on while a shard is copied');
is($c->sql("SET statement_timeout = '10s'; SELECT get('f1')"), 1, 'a reader of the shard too')
  if $c->sql("SELECT plshard.shard_for('c', 'f1')") == $shard;
my $key = $c->key($shard);
my $writing = $c->begin("SELECT put('$key', 5)");
$c->wait_for("SELECT EXISTS (SELECT FROM pg_locks WHERE $not_mine AND NOT granted)", on => 1);
is($c->sql("SELECT count(*) FROM plshard_$shard.t WHERE k = '$key'", on => 1), 0,
	'a writer of the shard waits');
$hold->quit;
is($c->finish($repairing)->{sqlstate}, undef, 'the repair ends');
is($c->finish($writing)->{sqlstate}, undef, 'the writer goes on');
is_deeply($c->states, $before, 'the placement is active');
is($c->sql("SELECT v FROM plshard_$shard.t WHERE k = '$key'", on => 2), 5,
	'the writer that waited has written to it');
is_deeply([ $c->differences ], [], 'all replicas are equal');

# ------------------------------------------------------------------------------
note 'failures';

$c->deactivate('n2', $shard);
$c->sql(put($shard));
$c->sql("CREATE TABLE plshard_$shard.stale AS SELECT 1 AS one", on => 2);
my $untouched = $c->dump(2, $shard);

# What has to be true after each failure.
sub check_failure
{
	my ($what, $result, $sqlstate, $text) = @_;
	like($result->{sqlstate} // 'none', $sqlstate, "$what: the repair fails");
	like($result->{err}, $text, 'and says why') if $text;
	foreach my $i (1 .. 3)
	{
		$c->wait_for("SELECT NOT EXISTS (SELECT FROM pg_locks WHERE $not_mine)", on => $i);
	}
	pass('no lock is left on any node');
	is_deeply($c->states, $inactive, 'the placement is inactive');
	is($c->dump(2, $shard), $untouched, 'and as it was');
	my $r = $c->try("SET statement_timeout = '10s'; " . put($shard));
	is($r->{sqlstate}, undef, 'writers go on') or diag($r->{err});
	return;
}

# Begins a repair, waits until it stands in the middle of the copy, does something,
# lets the copy go on if the target still can, and returns the repair's outcome.
sub fail_in_copy
{
	my ($do, $before) = @_;
	my $hold = hold(2, $in_copy);
	my $repairing = $c->begin(($before // '') . $repair);
	wait_until_held(2, $in_copy);
	$do->($repairing, $hold);
	my $result = $c->finish($repairing);
	eval { $hold->quit };
	return $result;
}

sub in_front
{
	my ($function) = @_;
	return sub { $c->sql("SELECT $function($_[0]{pid})") };
}

check_failure('cancelled', fail_in_copy(in_front('pg_cancel_backend')), qr/^57014$/);
check_failure('terminated', fail_in_copy(in_front('pg_terminate_backend')), qr/^57P01$/);
check_failure('statement_timeout', fail_in_copy(sub { }, "SET statement_timeout = '2s'; "), qr/^57014$/);

$r = fail_in_copy(sub { $c->node(2)->stop('immediate') });
$c->node(2)->start;
check_failure('the target dies', $r, qr/^(?:08006|57P0[12])$/, qr/n2/);

$r = fail_in_copy(sub { $c->node(1)->stop('immediate'); $_[1]->quit });
$c->node(1)->start;
check_failure('the source dies', $r, qr/^(?:08006|57P0[12])$/, qr/n1/);

$r = fail_in_copy(sub { $c->freeze(2) });
$c->thaw(2);
cmp_ok($r->{seconds}, '<', 10, 'a frozen target is not waited for');
check_failure('the target is frozen', $r, qr/^08006$/, qr/node "n2" does not answer/);

my $cancelled;
$r = fail_in_copy(sub {
	my ($repairing) = @_;
	$c->freeze(2);
	$cancelled = Time::HiRes::time();
	$c->sql("SELECT pg_cancel_backend($repairing->{pid})");
	$c->wait_for("SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $repairing->{pid})");
	$cancelled = Time::HiRes::time() - $cancelled;
	$c->thaw(2);
});
cmp_ok($cancelled, '<', 1, 'cancel works while the target is frozen');
check_failure('cancelled while the target is frozen', $r, qr/^57014$/);

$r = fail_in_copy(sub { $c->freeze(1); $_[1]->quit });
$c->thaw(1);
cmp_ok($r->{seconds}, '<', 10, 'a frozen source is not waited for');
check_failure('the source is frozen', $r, qr/^08006$/, qr/node "n1" does not answer/);

# The source loses its lock when all rows have been copied: a write gets through.
$hold = hold(2, $in_refresh);
$repairing = $c->begin($repair);
wait_until_held(2, $in_refresh);
$c->sql("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE $not_mine AND mode = 'ExclusiveLock'", on => 1);
$c->sql(put($shard));
$hold->quit;
$r = $c->finish($repairing);
like($r->{sqlstate} // 'none', qr/^(?:08006|57P01)$/, 'the source loses the lock: the repair fails');
is_deeply($c->states, $inactive, 'the placement is inactive');
$c->wait_for("SELECT NOT EXISTS (SELECT FROM pg_locks WHERE $not_mine)", on => 2);
$untouched = $c->dump(2, $shard);

# Rows and commands that the target does not take.
$c->sql(<<"SQL", on => 1);
ALTER TABLE plshard_$shard.t DROP CONSTRAINT t_pkey;
INSERT INTO plshard_$shard.t VALUES ('f1', 1, 'twice');
SQL
check_failure('duplicate rows', $c->try($repair), qr/^23505$/, qr/f1.*n2/s);
$c->sql(<<"SQL", on => 1);
DELETE FROM plshard_$shard.t WHERE filler = 'twice';
ALTER TABLE plshard_$shard.t ADD PRIMARY KEY (k);
SQL

$c->sql('CREATE TYPE public.outside AS (x int)', on => $_) foreach 1 .. 3;
$c->sql("SELECT plshard.deploy('c', 'CREATE TABLE o (x public.outside)')");
$c->sql('ALTER TYPE public.outside RENAME TO elsewhere', on => 2);
check_failure('a recorded command fails', $c->try($repair), qr/^42704$/,
	qr/node n2.*recorded command: CREATE TABLE o /s);
$c->sql('ALTER TYPE public.elsewhere RENAME TO outside', on => 2);

$c->sql("CREATE TABLE plshard_$shard.by_hand ()", on => 1);
check_failure('a table that was made by hand', $c->try($repair), qr/^55000$/, qr/by_hand/);
$c->sql("DROP TABLE plshard_$shard.by_hand", on => 1);

# A node that has nothing to do with it, but has to know of it.
$c->node(3)->stop;
$r = $c->try($repair);
like($r->{sqlstate} // 'none', qr/^08/, 'a third node is down: the repair fails');
like($r->{err}, qr/"n3".*HINT: .*Start that node/s, 'names it, and says what to do');
is_deeply($c->states, $inactive, 'the placement is inactive');
$c->node(3)->start;

fail_in_copy(sub { $c->front->stop('immediate') });
$c->front->start;
is_deeply($c->states, $inactive, 'the front dies: the placement is inactive');
$c->wait_for("SELECT NOT EXISTS (SELECT FROM pg_locks WHERE $not_mine)", on => $_) foreach 1 .. 3;
$c->sql(put($shard));

$r = $c->try($repair);
is($r->{sqlstate}, undef, 'after all that the repair succeeds') or diag($r->{err});
is_deeply($c->states, $before, 'the placement is active');
is_deeply([ $c->differences ], [], 'all replicas are equal');
is($c->dump(2, $shard, '-s'), $c->dump(1, $shard, '-s'), 'also in their objects');

done_testing();
