# repair_cluster: several nodes at once, an empty one, one that is away; deploying
# meanwhile; epochs that a repair has told to nodes but not to the registry.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PlshardCluster;
use Test::More;

my $c = PlshardCluster->new(nodes => 4, shards => 8, replicas => 2);
my $repair = "SELECT shard_id, source_node, target_node, rows FROM plshard.repair_cluster('c')";
my $in_copy = 1077;

$c->sql(<<'SQL');
SELECT plshard.deploy('c', $$
	CREATE FUNCTION held(v int) RETURNS boolean LANGUAGE plpgsql AS $f$
	BEGIN
		IF v < -1000 THEN PERFORM pg_catalog.pg_advisory_xact_lock_shared(-v); END IF;
		RETURN true;
	END $f$;
	CREATE TABLE t (k text PRIMARY KEY, v int NOT NULL CHECK (held(v)));
	INSERT INTO t VALUES ('held', -1077)
$$);
CREATE FUNCTION put(k text, v int) RETURNS void LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(k); INSERT INTO t VALUES (put.k, put.v); $$;
CREATE FUNCTION total() RETURNS bigint LANGUAGE plshard STABLE AS
	$$ CLUSTER 'c'; RUN ON ALL; SELECT count(*) AS n FROM t; REDUCE SELECT sum(n)::bigint FROM result; $$;
SELECT count(put(i::text, i)) FROM generate_series(1, 200) AS i;
SQL

my $active = { map { ("n$_" => 'active:4') } 1 .. 4 };
my $r = $c->try($repair);
is($r->{out}, '', 'nothing to repair');
is($r->{err}, '', 'and nothing is said');
is($c->try("SELECT * FROM plshard.repair_cluster('nosuch')")->{sqlstate}, '42704', 'an unknown cluster');

# Two nodes at once, one of them new and empty.
$c->deactivate('n2');
$c->deactivate('n4');
$c->empty_node(4);
$c->sql('SELECT count(put(i::text, i)) FROM generate_series(201, 300) AS i');
$r = $c->try($repair);
is($r->{sqlstate}, undef, 'two nodes are repaired at once') or diag($r->{err});
is(scalar(() = $r->{out} =~ /^\d+\|n[13]\|n[24]\|\d+$/mg), 8, 'with a row for each placement');
foreach my $n (1 .. 8)
{
	like($r->{err}, qr/^.*NOTICE: .*shard \d+: n[24] repaired from n[13], \d+ rows \($n of 8\)$/m, "and notice $n");
}
is_deeply($c->states, $active, 'all placements are active');
is_deeply([ $c->differences ], [], 'all replicas are equal');
is($c->sql('SELECT total()'), 308, 'and complete');
is($c->dump(4, $_, '-s'), $c->dump($_ == 10003 || $_ == 10007 ? 1 : 3, $_, '-s'),
	"shard $_ has all objects on the empty node") foreach 10002, 10003;

# One of two is away.
$c->deactivate('n2');
$c->deactivate('n4');
$c->sql('SELECT count(put(i::text, i)) FROM generate_series(301, 400) AS i');
$c->node(4)->stop;
$r = $c->try($repair);
is($r->{sqlstate}, undef, 'one of two nodes is away: no error') or diag($r->{err});
is(scalar(() = $r->{out} =~ /^\d+\|n[13]\|n2\|\d+$/mg), 4, 'the other is repaired');
is(scalar(() = $r->{err} =~ /WARNING: .*could not repair shard \d+ on node "n4"/g), 1,
	'one warning says so');
like($r->{err}, qr/HINT:  3 other shards of node "n4" stay inactive, too/, 'for all its shards');
is_deeply($c->states, { %$active, n4 => 'inactive:4' }, 'and its placements stay inactive');
$r = $c->try($repair);
like($r->{sqlstate} // 'none', qr/^08/, 'nothing can be repaired: an error');
like($r->{message} // '', qr/"n4"/, 'that names the node');
$c->node(4)->start;
$r = $c->try($repair);
is(scalar(() = $r->{out} =~ /^\d+\|n[13]\|n4\|\d+$/mg), 4, 'when it is back, the rest is repaired')
  or diag($r->{err});
is_deeply($c->states, $active, 'all placements are active');
is_deeply([ $c->differences ], [], 'all replicas are equal');

# ------------------------------------------------------------------------------
note 'repair and changes of the cluster';

# a repair first
$c->deactivate('n2', 10000);
my $hold = $c->session(on => 2);
$hold->sql("SELECT pg_advisory_lock($in_copy)");
my $repairing = $c->begin("SELECT plshard.repair(10000, 'n1', 'n2')");
$c->wait_for("SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = $in_copy AND NOT granted)",
	on => 2);
my $deploying = $c->begin(q{SELECT plshard.deploy('c', 'CREATE TABLE during_repair (a int)')});
$c->wait_for("SELECT EXISTS (SELECT FROM pg_locks WHERE pid = $deploying->{pid} AND NOT granted)");
$hold->quit;
is($c->finish($repairing)->{sqlstate}, undef, 'a repair during a deploy');
$r = $c->finish($deploying);
is($r->{sqlstate}, undef, 'deploy waits for it') or diag($r->{err});
is($r->{out}, 16, 'and reaches the repaired placement');
is_deeply([ $c->differences ], [], 'all replicas are equal');

# a change first, which is committed or not
foreach my $how ('COMMIT', 'ROLLBACK')
{
	$c->deactivate('n2', 10000);
	my $changing = $c->session;
	$changing->sql('BEGIN');
	$changing->sql("SELECT plshard.deploy('c', 'CREATE TABLE before_$how (a int)')");
	my $repairing = $c->begin("SELECT plshard.repair(10000, 'n1', 'n2')");
	$c->wait_for("SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)", on => 1);
	$changing->sql($how);
	$changing->quit;
	$r = $c->finish($repairing);
	is($r->{sqlstate}, undef, "a repair waits for deploy and its $how") or diag($r->{err});
	is($c->sql("SELECT to_regclass('plshard_10000.before_$how') IS NOT NULL", on => 2),
		$how eq 'COMMIT' ? 't' : 'f', 'and does what is in force then');
	is_deeply([ $c->differences ], [], 'all replicas are equal');
}

# one that goes without an end
$c->deactivate('n2', 10000);
my $changing = $c->session;
$changing->sql('BEGIN');
$changing->sql("SELECT plshard.deploy('c', 'CREATE TABLE never (a int)')");
$changing->quit;
$r = $c->try("SELECT plshard.repair(10000, 'n1', 'n2')");
is($r->{sqlstate}, undef, 'a session that has gone holds off no other') or diag($r->{err});

# one that holds no shard is waited for, but not for ever
$c->deactivate('n2', 10000);
$changing = $c->session;
$changing->sql('BEGIN');
$changing->sql("SELECT plshard.add_node('c', 'n5', '" . $c->conninfo(1) =~ s/postgres$/template1/r . "')");
$r = $c->try("SELECT plshard.repair(10000, 'n1', 'n2')");
is($r->{sqlstate}, '55006', 'a change that is left open: the repair gives up');
$changing->sql('ROLLBACK');
$changing->quit;
$r = $c->try("SELECT plshard.repair(10000, 'n1', 'n2')");
is($r->{sqlstate}, undef, 'and succeeds when it has ended') or diag($r->{err});

# ------------------------------------------------------------------------------
note 'epochs that the registry does not know';

my $cluster_id = $c->sql("SELECT cluster_id FROM plshard.clusters WHERE cluster = 'c'");
my $epoch = sub { $c->sql('SELECT epoch FROM plshard.cluster') };
my $next = $epoch->() + 5;

# as after a repair whose backend died when it had told some of the nodes
$c->sql("SELECT setval('plshard_node.\"epoch_$cluster_id\"', $next)", on => $_) foreach 1, 3;
my $session = $c->session;
is($session->sql('SELECT count(put(i::text, i)) FROM generate_series(401, 500) AS i'), 100,
	'writers recover by themselves');
cmp_ok($epoch->(), '>=', $next, 'the registry has followed');
is_deeply($c->states, $active, 'no node is evicted');
$c->sql("SELECT setval('plshard_node.\"epoch_$cluster_id\"', $next + 10)", on => 2);
is($session->sql('BEGIN; SELECT count(put(i::text, i)) FROM generate_series(501, 600) AS i; COMMIT'), 100,
	'in a transaction block too');
$session->quit;
is($c->sql('SELECT total()'), 608, 'nothing is lost or written twice');
$c->sql("SELECT setval('plshard_node.\"epoch_$cluster_id\"', $next + 20)", on => 4);
$c->deactivate('n2');
$c->sql("SELECT setval('plshard_node.\"epoch_$cluster_id\"', $next + 30)", on => 3);
$r = $c->try($repair);
is($r->{sqlstate}, undef, 'repairs work afterwards') or diag($r->{err});
cmp_ok($epoch->(), '>', $next + 30, 'and use a new epoch');
foreach my $i (1 .. 4)
{
	is($c->sql("SELECT last_value <= (SELECT $_) FROM plshard_node.\"epoch_$cluster_id\"", on => $i), 't',
		"node n$i knows no newer one")
	  foreach $epoch->();
}
is_deeply($c->states, $active, 'all placements are active');
is_deeply([ $c->differences ], [], 'all replicas are equal');

done_testing();
