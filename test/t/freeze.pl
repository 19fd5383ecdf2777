
# A node that hangs: all its processes are stopped, so it neither answers nor
# closes a connection.  Nothing may wait for it without end.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use PlshardChecks;
use PlshardCluster;
use PostgreSQL::Test::Utils;
use Test::More;

# Seconds after which something is taken to hang: far above every time-out here,
my $c = PlshardCluster->new(nodes => 4, shards => 16, replicas => 2);
$c->sample;
$c->sql(q{SELECT count(put('k' || i, i)) FROM generate_series(1, 200) AS i});
$c->sql(<<'SQL');
CREATE FUNCTION get_soon(k text) RETURNS int LANGUAGE plshard STABLE AS
	$$ CLUSTER 'c'; RUN ON hash(k); TIMEOUT '300 ms'; SELECT t.v FROM t WHERE t.k = get_soon.k; $$;
CREATE FUNCTION bump_soon(k text) RETURNS int LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(k); TIMEOUT '300 ms'; UPDATE t SET v = t.v + 1 WHERE t.k = bump_soon.k RETURNING t.v; $$;
SQL

sub states_are
{
	my ($state, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is_deeply($c->states, { (map { ("n$_" => 'active:8') } 1, 3, 4), n2 => "$state:8" }, $name);
	return;
}

# Waits until a session waits for nodes.
sub until_waiting
{
	my ($pid) = @_;
	$c->wait_for("SELECT wait_event_type = 'Extension' FROM pg_stat_activity WHERE pid = $pid AND state = 'active'");
	return;
}

# Keys whose shards have a placement on the node that is to be frozen, of several
# shards, so that a session's reads would go there for some.
my @keys = $c->some_keys(30, on => 2);
my ($k1, $k2, $k3) = @keys;
my ($other, $other2) = $c->some_keys(2, not_on => 2);
my $all = 'ARRAY[' . join(',', map { "'$_'" } @keys) . ']';
my $get = "SELECT count(*) FROM unnest($all) AS k WHERE get(k) >= substr(k, 2)::int";
my $get_soon = 'SELECT ' . join(', ', map { "get_soon('$_') >= " . substr($_, 1) } @keys);
my $got_soon = join '|', ('t') x @keys;

#
# node_timeout is longer than anybody waits: TIMEOUT, statement_timeout, cancel and
# termination must do it.
#
$c->sql(q{ALTER SERVER c OPTIONS (ADD node_timeout '10 min')});
my @sessions = map { $c->session } 1 .. 8;
is($_->sql($get), 30, 'a session has connections to all nodes') foreach @sessions;
my $v = $sessions[0]->sql("SELECT get('$k1')");
my $v_other = $sessions[0]->sql("SELECT get('$other')");
my ($s, $in_block, $cancelled, $terminated, $reader, $savepoint, $undone, $undone2) = @sessions;
$in_block->sql("BEGIN; SELECT bump('$k2')");
$savepoint->sql("BEGIN; SELECT bump('$other2'), bump('$k3')");
$undone->sql("BEGIN; SELECT bump('$keys[3]')");

$c->freeze(2);

foreach my $session ($s, $cancelled, $c->session)
{
	is_fine($session->try($get_soon), $got_soon, 'reads with a TIMEOUT answer from the other replica');
}
fails($s->try("SELECT bump_soon('$k1')"), '57014', 'a write ends with its TIMEOUT');
fails($s->try("SET statement_timeout = '500 ms'; SELECT bump('$k1')"), '57014', 'statement_timeout ends a write');
is_fine($s->try("RESET statement_timeout; SELECT bump('$other')"), $v_other + 1, '... and the next call works');


$cancelled->send("SELECT bump('$k1')");
until_waiting($cancelled->pid);
is($c->sql('SELECT pg_cancel_backend(' . $cancelled->pid . ')'), 't', 'a waiting write is cancelled');
fails($cancelled->result, '57014', '... and ends');
is_fine($cancelled->try($get_soon), $got_soon, '... and the session goes on');

$terminated->send("SELECT bump('$k1')");
until_waiting($terminated->pid);
is($c->sql('SELECT pg_terminate_backend(' . $terminated->pid . ', 10000)'), 't', 'a waiting write is terminated');
ok($terminated->result->{lost}, '... with its session');

is_fine($in_block->try('ROLLBACK'), '', 'ROLLBACK of what was written on the node');
is_fine($in_block->try("SELECT get('$other')"), $v_other + 1, '... and the session goes on');

# what a subtransaction has waited for in vain
$savepoint->sql('SAVEPOINT a');
fails($savepoint->try("SET statement_timeout = '500 ms'; SELECT bump('$k3')"), '57014', 'a write behind a savepoint');
is_fine($savepoint->try('ROLLBACK TO a'), '', 'ROLLBACK TO SAVEPOINT');
is_fine($savepoint->try('RESET statement_timeout; SELECT 1'), '1', '... and the transaction lives');
$savepoint->send('COMMIT');
until_waiting($savepoint->pid);
is($c->sql('SELECT pg_cancel_backend(' . $savepoint->pid . ')'), 't', 'COMMIT, which probes the node, is cancelled');
fails($savepoint->result, '57014', '... and ends');
states_are('active', 'no node was evicted');

$c->thaw(2);
is($s->sql("SELECT bump('$k1')"), $v + 1, 'when the node is back, a session writes on it');
is($_->sql("SELECT bump('$k1') > $v"), 't', '... and so do others') foreach $cancelled, $in_block, $savepoint;
is($_->sql($get), 30, '... and read') foreach $s, $cancelled, $in_block, $savepoint;
is_fine($undone->try('ROLLBACK'), '', 'a transaction that lay idle meanwhile rolls back');
is($s->sql("SELECT get('$k2')"), substr($k2, 1), 'what was rolled back is not there');
is($s->sql("SELECT get('$k3')"), substr($k3, 1), '... nor what could not be committed');
states_are('active', 'no node was evicted');
is_deeply([ $c->differences ], [], 'replicas are equal');

#
# node_timeout as it is: the node is found out.
#
$c->sql(q{ALTER SERVER c OPTIONS (DROP node_timeout)});
$v = $s->sql("SELECT get('$k1')");
is($_->sql($get), 30, 'a session has connections to all nodes') foreach $reader, $undone;
$in_block->sql("BEGIN; SELECT bump('$k2')");
$savepoint->sql("BEGIN; SELECT bump('$k3')");
$undone2->sql("BEGIN; SELECT bump('$keys[3]')");
$c->freeze(2);
$savepoint->sql('SAVEPOINT a');
fails($savepoint->try("SET LOCAL statement_timeout = '500 ms'; SELECT bump('$k3')"), '57014',
	'a write behind a savepoint');
is_fine($savepoint->try('ROLLBACK TO a'), '', 'ROLLBACK TO SAVEPOINT');

is_fine($reader->try($get), 30, 'reads without a TIMEOUT answer from the other replica');
is_fine($reader->try('SELECT total()'), 200, '... also of all shards');
is_fine($c->session->try($get), 30, '... also in a new session');
is_fine($reader->try("BEGIN; SELECT bump('$other') > 0; $get; COMMIT"), "t\n30", '... also in a transaction');
states_are('active', 'reads evict no node');

my $r = $s->try("BEGIN; SELECT bump('$k1'); ROLLBACK");
is_fine($r, $v + 1, 'a write goes on');
like($r->{err}, qr/WARNING:  01000: node "n2" of cluster "c" failed: its placements are now inactive/,
	'... with a WARNING');
states_are('inactive', '... and evicts the node, although the caller rolls back');
is_fine($s->try("SELECT bump('$k1')"), $v + 1, 'the next write goes on');
is_fine($undone->try("SELECT bump('$k1')"), $v + 2, '... and that of another session');
is_fine($in_block->try('COMMIT'), '', 'COMMIT of what was written on it before');
is_fine($savepoint->try('COMMIT'), '', 'COMMIT of what was written before a savepoint');
is_fine($undone2->try('ROLLBACK'), '', 'ROLLBACK of what was written on it');
is($s->sql("SELECT get('$k2')"), substr($k2, 1) + 1, 'what was committed is there');
is($s->sql("SELECT get('$k3')"), substr($k3, 1) + 1, '... also behind a savepoint');
is($s->sql("SELECT get('$keys[3]')"), substr($keys[3], 1), '... and what was rolled back is not');

$c->thaw(2);
is($s->sql("SELECT bump('$k1')"), $v + 3, 'writes go on when the node is back');
$c->sql("SELECT count(*) FROM plshard.repair_cluster('c')");
states_are('active', 'it is repaired');
is_deeply([ $c->differences ], [], '... and replicas are equal');
is($_->sql("SELECT bump('$k1') > $v"), 't', '... and written to') foreach $s, $reader, $undone, $in_block, $savepoint;
is_deeply([ $c->differences ], [], '... on all replicas');

#
# It hangs at COMMIT.  Fast: the others commit, it is evicted.  Atomic: it has not
# prepared, so nothing commits; the next write evicts it.
#
foreach my $mode ('fast', 'atomic')
{
	$c->sql("ALTER SERVER c OPTIONS (@{[ $mode eq 'fast' ? 'ADD' : 'SET' ]} commit '$mode')");
	foreach my $written ([$k1], [ $k1, $k2, $other ])
	{
		my @before = map { $s->sql("SELECT get('$_')") } @$written;
		my $name = @$written . " keys, $mode";
		$s->sql('BEGIN');
		$s->sql("SELECT bump('$_')") foreach @$written;
		$c->freeze(2);
		$r = $s->try('COMMIT');
		if ($mode eq 'atomic')
		{
			fails($r, '08006', "$name: COMMIT fails");
			states_are('active', '... evicts no node');
			$r = $s->try('BEGIN; ' . join('; ', map { "SELECT bump('$_') IS NULL" } @$written) . '; COMMIT');
			is_fine($r, join("\n", ('f') x @$written), '... and works when tried again');
		}
		else
		{
			is_fine($r, '', "$name: COMMIT goes on without a node that hangs");
		}
		like($r->{err}, qr/WARNING:  01000: node "n2"/, '... with a WARNING');
		states_are('inactive', '... and evicts it');
		is_deeply([ map { $reader->sql("SELECT get('$_')") } @$written ],
			[ map { $_ + 1 } @before ], '... and what was written is there');
		$c->thaw(2);
		$c->sql("SELECT count(*) FROM plshard.repair_cluster('c')");
		states_are('active', "$name: it is repaired");
		is_deeply([ $c->differences ], [], '... and replicas are equal');
	}
}

#
# RUN ON ANY: a partition that hangs is left for another one, which its silence shows
#
my $partitions = join ', ', map { "p" . ($_ - 1) . " '" . $c->conninfo($_) . "'" } 1 .. 4;
$s->sql(<<"SQL");
CREATE SERVER part FOREIGN DATA WRAPPER plshard OPTIONS ($partitions, query_timeout '1 min', node_timeout '500 ms');
CREATE FUNCTION any_port() RETURNS int LANGUAGE plshard STABLE AS
	\$\$ CLUSTER 'part'; RUN ON ANY; SELECT current_setting('port')::int; \$\$;
CREATE FUNCTION count_any(n int) RETURNS int LANGUAGE plpgsql AS
	\$\$ DECLARE a int[]; BEGIN FOR i IN 1 .. n LOOP a[i] := any_port(); END LOOP;
		RETURN (SELECT count(DISTINCT x) FROM unnest(a) x); END \$\$;
SQL
is($s->sql('SELECT count_any(100)'), 4, 'RUN ON ANY draws from all partitions');
$c->freeze(2);
is_fine($s->try('SELECT count_any(100)'), 3, '... also while one hangs');

#
# How long connecting to a node that hangs takes: an option, also in a connection string
#
$s->sql("ALTER SERVER part OPTIONS (SET node_timeout '20 s', SET p1 '" . $c->conninfo(2) . " connect_timeout=1')");
$s->sql(<<'SQL');
CREATE FUNCTION port_of_p1() RETURNS int LANGUAGE plshard STABLE AS
	$$ CLUSTER 'part'; RUN ON 1; SELECT current_setting('port')::int; $$;
SQL
$r = $s->try('SELECT port_of_p1()');
is($r->{sqlstate}, '08006', 'connect_timeout of a connection string');
cmp_ok($r->{seconds}, '<', 15, '... is heeded');
$s->sql("ALTER SERVER part OPTIONS (ADD connect_timeout '500 ms', SET p1 '" . $c->conninfo(2) . "')");
$r = $s->try('SELECT port_of_p1()');
is($r->{sqlstate}, '08006', 'connect_timeout of a static cluster');
cmp_ok($r->{seconds}, '<', 15, '... is heeded');
$c->thaw(2);

$_->quit foreach $s, $in_block, $cancelled, $reader, $savepoint, $undone, $undone2;
done_testing();
