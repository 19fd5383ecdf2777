
# Nodes that die: reads move to the next replica, a write evicts the node and
# goes on; what only looks like a dead node evicts no node.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use PlshardCluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $c = PlshardCluster->new(nodes => 4, shards => 16, replicas => 2);
$c->sample;
$c->sql(q{SELECT count(put('k' || i, i)) FROM generate_series(1, 200) AS i});

# Placements of these nodes are inactive, all others active.
sub inactive_are
{
	my ($nodes, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my %states = map { ("n$_" => 'active:8') } 1 .. 4;
	$states{"n$_"} = 'inactive:8' foreach @$nodes;
	is_deeply($c->states, \%states, $name);
	return;
}

sub is_repaired
{
	my ($name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$c->sql("SELECT count(*) FROM plshard.repair_cluster('c')");
	inactive_are([], "$name: repair makes all placements active");
	is_deeply([ $c->differences ], [], "$name: replicas are equal");
	return;
}

# How many of 200 keys a session reads right.
my $reads = q{SELECT count(*) FROM generate_series(1, 200) AS i WHERE get('k' || i) >= i};

sub evicted
{
	my ($i) = @_;
	return qr/WARNING:  01000: node "n$i" of cluster "c" failed: its placements are now inactive\n(.*\n)?HINT:  .*repair_cluster\('c'\)/;
}

#
# What evicts no node
#
my ($key) = $c->some_keys(1, on => 2);
$c->sql(<<'SQL');
CREATE FUNCTION slow_read(k text) RETURNS text LANGUAGE plshard STABLE AS
	$$ CLUSTER 'c'; RUN ON hash(k); TIMEOUT '300 ms'; SELECT pg_sleep(60)::text; $$;
CREATE FUNCTION slow_write(k text) RETURNS text LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(k); TIMEOUT '300 ms'; UPDATE t SET v = 0 WHERE pg_sleep(60) IS NOT NULL; $$;
CREATE FUNCTION slow(k text) RETURNS text LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(k); SELECT pg_sleep(60)::text; $$;
CREATE FUNCTION killing(k text) RETURNS bool LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(k); SELECT pg_terminate_backend(pg_backend_pid()); $$;
SQL
my $s = $c->session;
my $before = $s->sql("SELECT get('$key')");
my $r = $s->try("SELECT slow_read('$key')");
is($r->{sqlstate}, '57014', 'a read ends with its TIMEOUT');
cmp_ok($r->{seconds}, '<', 20, '... not much later');
is($s->try("SELECT slow_write('$key')")->{sqlstate}, '57014', 'a write ends with its TIMEOUT');
is($s->try("SET statement_timeout = '300 ms'; SELECT slow('$key')")->{sqlstate},
	'57014', 'a call ends with statement_timeout');
$s->sql('RESET statement_timeout');
$c->wait_for(q{SELECT count(*) = 0 FROM pg_stat_activity WHERE query ~ 'pg_sleep' AND state = 'active' AND pid <> pg_backend_pid()},
	on => 2);
pass('... and the nodes work on none of them');
inactive_are([], 'time-outs evict no node');

# a lock wait, longer than node_timeout
$c->sql(q{ALTER SERVER c OPTIONS (ADD node_timeout '200 ms')});
my $holder = $c->session;
$holder->sql("BEGIN; SELECT bump('$key')");
is($s->try("SET statement_timeout = '1500 ms'; SELECT bump('$key')")->{sqlstate}, '57014', 'a lock wait');
$s->sql('RESET statement_timeout');
$s->send("SELECT bump('$key')");
$c->wait_for(q{SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted},
	on => substr($c->sql("SELECT node FROM plshard.placements WHERE shard_id = plshard.shard_for('c', '$key') ORDER BY position LIMIT 1"), 1));
$holder->sql('ROLLBACK');
is($s->result->{out}, $before + 1, '... ends when the lock is free');
inactive_are([], '... and evicts no node');
$c->sql(q{ALTER SERVER c OPTIONS (DROP node_timeout)});

# killed backends
my $kill = q{SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity
	WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()};
is($s->sql($reads), 200, 'a session reads on all nodes');
$c->sql($kill, on => 2);
$r = $s->try($reads);
is("$r->{out} $r->{err}", '200 ', 'reads go on when cached connections were killed');
$c->sql($kill, on => 2);
$r = $s->try("SELECT bump('$key')");
is("$r->{out} $r->{err}", ($before + 2) . ' ', '... and so do writes');
$c->sql($kill, on => 2);
$r = $s->try("BEGIN; SELECT bump('$key'); COMMIT");
is("$r->{out} $r->{err}", ($before + 3) . ' ', '... also in a transaction block');

$s->sql("BEGIN; SELECT bump('$key')");
$c->sql($kill, on => 2);
$r = $s->try("SELECT bump('$key')");
like($r->{sqlstate}, qr/^(57P01|08006)$/, 'a backend killed amid a transaction is an error');
$s->sql('ROLLBACK');
is($s->sql("SELECT get('$key')"), $before + 3, '... which rolls all of it back');
like($c->try("SELECT killing('$key')")->{sqlstate}, qr/^(57P01|08006)$/, 'a call that kills its backends');
inactive_are([], 'killed backends evict no node');

$s->sql("BEGIN; SELECT bump('$key')");
$c->sql($kill, on => 2);
is($s->try('COMMIT')->{sqlstate}, '08006', 'a backend killed before COMMIT is an error');
is($s->sql("SELECT get('$key')"), $before + 3, '... which rolls back, too');
inactive_are([], '... and evicts no node');
is_deeply([ $c->differences ], [], 'replicas are equal');

# a clean restart while connections are idle
is($s->sql($reads), 200, 'a session reads on all nodes');
$before = $s->sql("SELECT get('$key')");
$c->node(2)->restart;
$r = $s->try("SELECT bump('$key')");
is("$r->{out} $r->{err}", ($before + 1) . ' ', 'a write goes on after a clean restart');
$c->node($_)->restart foreach 1, 3;
$r = $s->try($reads);
is("$r->{out} $r->{err}", '200 ', 'reads go on after one');
$c->node(2)->restart;
$r = $s->try("BEGIN; SELECT get('$key'); SELECT bump('$key'); COMMIT");
is("$r->{out} $r->{err}", ($before + 1) . "\n" . ($before + 2) . ' ', 'so does a transaction');
inactive_are([], 'clean restarts evict no node');
is_deeply([ $c->differences ], [], 'replicas are equal');

#
# A node dies
#
my $idle = $c->session;
is($idle->sql($reads), 200, 'a session with connections to all nodes');
is($s->sql('SELECT total()'), 200, 'all shards');
$before = $s->sql("SELECT get('$key')");
$c->node(2)->stop('immediate');
foreach my $session ($s, $idle, $c->session, $c->session)
{
	$r = $session->try($reads);
	is("$r->{out} $r->{err}", '200 ', 'reads go on without error when a node is dead');
	$r = $session->try('SELECT total()');
	is("$r->{out} $r->{err}", '200 ', '... of all shards, too');
}
$r = $s->try("BEGIN ISOLATION LEVEL REPEATABLE READ; $reads; COMMIT");
is("$r->{out} $r->{err}", '200 ', '... also in REPEATABLE READ');
inactive_are([], 'reads evict no node');

$r = $s->try("BEGIN; SELECT bump('$key'); ROLLBACK");
is($r->{sqlstate}, undef, 'a write goes on');
is($r->{out}, $before + 1, '... and returns what it should');
like($r->{err}, evicted(2), '... with a WARNING');
is(scalar(() = $r->{err} =~ /WARNING/g), 1, '... one');
inactive_are([2], '... and makes all placements of the node inactive, although the caller rolls back');
is($s->sql("SELECT get('$key')"), $before, '... which undoes the write');

foreach my $session ($s, $idle, $c->session)
{
	$r = $session->try(q{SELECT count(bump('k' || i)) FROM generate_series(1, 200) AS i});
	is("$r->{out} $r->{err}", '200 ', 'further writes go on without a word');
}
is($idle->sql("SELECT get('$key')"), $before + 3, '... and are there');
$c->node(2)->start;
$c->sql("SELECT bump('$key')");
is_deeply([ $c->differences ], [], 'active replicas are equal');
isnt($c->copies("SELECT v FROM t WHERE k = '$key'")->[0],
	$c->copies("SELECT v FROM t WHERE k = '$key'")->[1], 'a node that is back gets no writes before its repair');
is($_->sql("SELECT get('$key')"), $before + 4, '... and is not read from') foreach $s, $idle, $c->session;
is_repaired('a node that died');

#
# It dies amid a transaction that has written on it
#
my ($a, $b) = $c->some_keys(2, on => 3);
my ($other) = $c->some_keys(1, not_on => 3);
my ($va, $vb, $vo) = split /\|/, $s->sql("SELECT get('$a'), get('$b'), get('$other')");
$s->sql("BEGIN; SELECT bump('$a'), bump('$other')");
$c->node(3)->stop('immediate');
$r = $s->try("SELECT bump('$b')");
is($r->{sqlstate}, undef, 'a transaction that wrote on the node goes on');
like($r->{err}, evicted(3), '... with a WARNING');
is($s->sql("SELECT get('$a'), get('$b'), get('$other')"),
	join('|', $va + 1, $vb + 1, $vo + 1), '... and sees what it wrote');
$r = $s->try('COMMIT');
is($r->{err}, '', '... and commits');
is($c->sql("SELECT get('$a'), get('$b'), get('$other')"),
	join('|', $va + 1, $vb + 1, $vo + 1), '... all of it');
inactive_are([3], '... without the node');
$c->node(3)->start;
is_repaired('a node that died amid a transaction');

$s->sql("BEGIN; SELECT bump('$a')");
$c->node(3)->stop('immediate');
$r = $s->try('COMMIT');
is($r->{sqlstate}, undef, 'a node that dies before COMMIT does not stop it');
like($r->{err}, evicted(3), '... but is evicted');
is($c->sql("SELECT get('$a')"), $va + 2, '... and nothing is lost');
$c->node(3)->start;
is_repaired('a node that died before COMMIT');

$s->sql("BEGIN; SELECT bump('$a'), bump('$other')");
$c->node(3)->stop('immediate');
$r = $s->try('COMMIT');
is($r->{sqlstate}, undef, '... also of a transaction on several shards');
like($r->{err}, evicted(3), '... from which it is evicted');
is($c->sql("SELECT get('$a'), get('$other')"), join('|', $va + 3, $vo + 2), '... and nothing is lost');
inactive_are([3], '... without the node');

#
# The last active placement: n3 is down, and n4 holds shards that only n3 has, too.
#
my $shards_34 = q{SELECT shard_id FROM plshard.placements WHERE cluster = 'c' AND node IN ('n3', 'n4')
	GROUP BY shard_id HAVING count(*) = 2};
my $last = $c->sql("$shards_34 ORDER BY 1 LIMIT 1");
my ($on_last) = $c->some_keys(1, shard => $last);
my ($on_4) = $c->some_keys(1, shard => $c->sql(<<'SQL'));
SELECT shard_id FROM plshard.placements WHERE cluster = 'c' AND node IN ('n4', 'n1')
GROUP BY shard_id HAVING count(*) = 2 ORDER BY 1 LIMIT 1
SQL
my ($elsewhere) = $c->some_keys(1, not_on => 4);
my $lost = $c->sql("SELECT count(*) FROM generate_series(1, 200) AS i WHERE plshard.shard_for('c', 'k' || i) IN ($shards_34)");
$c->sql(<<'SQL');
CREATE FUNCTION partial() RETURNS bigint LANGUAGE plshard STABLE AS
	$$ CLUSTER 'c'; RUN ON ALL; ON FAILURE SKIP; SELECT count(*) AS n FROM t; REDUCE SELECT sum(n)::bigint FROM result; $$;
SQL
$r = $s->try('SELECT partial()');
is("$r->{out} $r->{err}", '200 ', 'ON FAILURE SKIP while every shard has a placement that answers');

my $others = "SELECT * FROM t WHERE k <> '$elsewhere'";
my $copies = $c->copies($others);
$c->node(4)->stop('immediate');
foreach my $session ($s, $idle, $c->session)
{
	foreach my $k ($on_last, $on_4)
	{
		$r = $session->try("SELECT bump('$k')");
		like($r->{sqlstate} // 'none', qr/^(08|57P)/, 'a write where a node with a last placement is dead');
		like($r->{err}, qr/It holds the last active placement of shard \d+\./, '... says why it fails');
		unlike($r->{err}, qr/WARNING/, '... and warns of nothing');
	}
	like($session->try("SELECT get('$on_last')")->{sqlstate} // 'none', qr/^(08|57P)/, '... and a read of that shard');
	is($session->try("SELECT get('$on_4')")->{sqlstate}, undef, '... but not of others');
	is($session->try("SELECT bump('$elsewhere'), bump('$elsewhere')")->{sqlstate}, undef, '... nor writes elsewhere');
}
inactive_are([3], 'the last active placement of a shard is not evicted');
like($s->try('SELECT total()')->{sqlstate} // 'none', qr/^(08|57P)/, 'a read of all shards fails');
$r = $s->try('SELECT partial()');
is($r->{out}, 200 - $lost, '... but ON FAILURE SKIP gives the rest');
is_deeply([ sort $r->{err} =~ /WARNING:  \w+: shard (\d+) was left out/g ],
	[ split /\n/, $c->sql("$shards_34 ORDER BY 1") ],
	'... with a WARNING for each shard that is missing');
$c->node(4)->start;
is_deeply($c->copies($others), $copies, 'nothing was changed');
$c->node(3)->start;
is($s->sql($reads), 200, 'all is there again');
is_repaired('a node that was the last');

#
# A node dies and comes back empty, on a new server
#
$c->node(4)->stop('immediate');
$c->sql("SELECT bump('$on_4')");
$c->empty_node(4);
$before = $c->sql("SELECT get('$on_4')");
is($c->sql("SELECT bump('$on_4')"), $before + 1, 'writes go on');
inactive_are([4], '... without a node that has lost its data');
is_repaired('a node that came back empty');
is($s->sql('SELECT total()'), 200, '... and complete');
is($c->sql("SELECT bool_and(consistent) FROM plshard.verify('c')"), 't', '... verify says so too');
my $shard = $c->sql("SELECT plshard.shard_for('c', '$on_4')");
is($c->try("INSERT INTO plshard_$shard.t VALUES (NULL, 1)", on => 4)->{sqlstate}, '23502', '... with its constraints');

#
# A write waits for a lock on a node that is evicted meanwhile, and where the lock is not released
#
$holder->sql("BEGIN; SELECT bump('$on_4')");
my $locks = $c->sql(<<'SQL', on => 4);
SELECT string_agg(format('pg_advisory_lock(%s)', (classid::bigint << 32) | objid::bigint), ', ')
FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND mode = 'ExclusiveLock'
SQL
$holder->sql('ROLLBACK');
my $stays = $c->session(on => 4);
$stays->sql("SELECT $locks");
$before = $c->sql("SELECT get('$on_4')");
$s->send("SELECT bump('$on_4')");
$c->wait_for(q{SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted}, on => 4);
$c->deactivate('n4');
is($s->result->{out}, $before + 1, 'a write that waits for a lock on a node leaves it when it is evicted');
$stays->quit;
is_repaired('a node that was evicted with a lock on it');

#
# A placement is evicted while a read runs there, which then misses a write: it is done again elsewhere
#
$s->sql(<<'SQL');
CREATE FUNCTION read_port(k text) RETURNS int LANGUAGE plshard STABLE AS
	$$ CLUSTER 'c'; RUN ON hash(k); SELECT current_setting('port')::int; $$;
CREATE FUNCTION get_late(k text) RETURNS int LANGUAGE plshard STABLE AS
	$$ CLUSTER 'c'; RUN ON hash(k); SELECT t.v FROM t WHERE t.k = get_late.k AND pg_advisory_xact_lock_shared(99)::text = ''; $$;
CREATE FUNCTION all_late(k text) RETURNS SETOF int LANGUAGE plshard STABLE AS
	$$ CLUSTER 'c'; RUN ON hash(k); SELECT t.v FROM t WHERE t.k = all_late.k AND pg_advisory_xact_lock_shared(99)::text = ''; $$;
SQL
foreach my $read ("SELECT get_late('$on_4')", "SELECT * FROM all_late('$on_4')",
	"BEGIN; SELECT bump('$elsewhere') IS NULL; SELECT get_late('$on_4'); COMMIT")
{
	my $reader = $c->session;
	my $port = $reader->sql("SELECT read_port('$on_4')");
	my ($i) = grep { $c->node($_)->port == $port } 1 .. 4;
	my $name = "$read on n$i";
	$before = $c->sql("SELECT get('$on_4')");
	my @locks = map { $c->session(on => $_) } 1 .. 4;
	$_->sql('SELECT pg_advisory_lock(99)') foreach @locks;
	$reader->send($read);
	$c->wait_for(q{SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted}, on => $i);
	$c->deactivate("n$i");
	is($idle->sql("SELECT bump('$on_4')"), $before + 1, "$name: a write is acknowledged without its placement");
	$_->quit foreach @locks;
	like($reader->result->{out}, qr/^(?:f\n)?@{[ $before + 1 ]}$/, "$name: it sees the write");
	$reader->quit;
	is_repaired($name);
}

#
# The registry cannot be told (no worker can be started that would) that a node is dead: no write goes on without it
#
$_->quit foreach $s, $idle, $holder;
$c->front->append_conf('postgresql.conf', 'max_worker_processes = 0');
$c->front->restart;
$before = $c->sql("SELECT get('$on_4')");
$c->node(4)->stop('immediate');
$r = $c->try("SELECT bump('$on_4')", timeout => 60);
is($r->{sqlstate}, '08006', 'the registry is away: a call that needs a dead node fails') or diag $r->{err};
inactive_are([], '... which is not evicted');
is($c->sql("SELECT get('$on_4')"), $before, '... reads go on, and nothing was written');
is($c->try("SELECT bump('$elsewhere')")->{sqlstate}, undef, '... nor do calls fail that do not need the node');
$c->front->append_conf('postgresql.conf', 'max_worker_processes = 8');
$c->front->restart;
is($c->sql("SELECT bump('$on_4')"), $before + 1, 'the registry is back: writes go on');
inactive_are([4], '... without the node');
$c->node(4)->start;
is_repaired('a node that died while the registry was away');

done_testing();
