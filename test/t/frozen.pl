# A node that neither answers nor closes its connections (SIGSTOP): time-outs,
# cancel and termination work, reads and writes go on.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PlshardCluster;
use Time::HiRes qw(time);
use Test::More;

my $c = PlshardCluster->new(nodes => 2, shards => 4, replicas => 2);

$c->sql(<<'SQL');
SELECT plshard.deploy('c', 'CREATE TABLE t (k text PRIMARY KEY, v int NOT NULL)');
CREATE FUNCTION put(k text, v int) RETURNS void LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(k); INSERT INTO t VALUES (put.k, put.v); $$;
CREATE FUNCTION get(k text) RETURNS int LANGUAGE plshard STABLE AS
	$$ CLUSTER 'c'; RUN ON hash(k); SELECT t.v FROM t WHERE t.k = get.k; $$;
CREATE FUNCTION quick_get(k text) RETURNS int LANGUAGE plshard STABLE AS
	$$ CLUSTER 'c'; RUN ON hash(k); TIMEOUT '300 ms'; SELECT t.v FROM t WHERE t.k = quick_get.k; $$;
CREATE FUNCTION nap(k text, s float8) RETURNS void LANGUAGE plshard STABLE AS
	$$ CLUSTER 'c'; RUN ON hash(k); SELECT pg_sleep(nap.s); $$;
SELECT count(put(i::text, i)) FROM generate_series(1, 100) AS i;
SQL

my $both = { n1 => 'active:4', n2 => 'active:4' };

# Sessions that have connections to both nodes, whichever each of them reads from.
my @sessions = map { $c->session } 1 .. 4;
$_->query("SELECT sum(get(i::text)) FROM generate_series(1, 100) AS i; SELECT put('s$_', 0)") foreach @sessions;

$c->freeze(1);

foreach my $session (@sessions)
{
	my $started = time;
	my $sum = $session->query("SELECT sum(quick_get(i::text)) FROM generate_series(1, 1) AS i");
	is($sum, 1, 'a read with a TIMEOUT is answered by the other replica');
	cmp_ok(time - $started, '<', 0.5, 'within it');
}
my $r = $c->try("SELECT quick_get('7')");
is($r->{out}, 7, 'a new session too');
cmp_ok($r->{seconds}, '<', 1, 'soon');
is_deeply($c->states, $both, 'reads evict nobody');

# statement_timeout, cancel and terminate, while a call waits for a node.
$r = $c->try("SET statement_timeout = '500ms'; SELECT nap('1', 20)");
is($r->{sqlstate}, '57014', 'statement_timeout');
cmp_ok($r->{seconds}, '<', 1.7, 'in time');
foreach my $how ([ cancel => '57014' ], [ terminate => '57P01' ])
{
	my ($verb, $sqlstate) = @$how;
	my $session = $c->session;
	my $pid = $session->query('SELECT pg_backend_pid()');
	$session->query_until(qr/started/, "\\echo started\nSELECT nap('1', 20);\n");
	$c->wait_for("SELECT state = 'active' FROM pg_stat_activity WHERE pid = $pid");
	my $started = time;
	$c->sql("SELECT pg_${verb}_backend($pid)");
	$c->wait_for("SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid AND query LIKE '%nap%' AND state = 'active')");
	cmp_ok(time - $started, '<', 1, "$verb ends a waiting call");
	$verb eq 'cancel' ? $session->quit : eval { $session->quit };
}
is_deeply($c->states, $both, 'none of that evicts anybody');

# A write evicts the silent node and goes on.
$r = $c->try("SELECT put('new', 1)");
is($r->{sqlstate}, undef, 'a write goes on') or diag($r->{err});
cmp_ok($r->{seconds}, '<', 6, 'after it has probed the node');
is_deeply($c->states, { n1 => 'inactive:4', n2 => 'active:4' }, 'which it evicted');

$c->thaw(1);
is($c->sql("SELECT get('new')"), 1, 'what n1 missed is read from n2');
$c->sql("SELECT * FROM plshard.repair_cluster('c')");
is_deeply($c->states, $both, 'repaired');
is_deeply([ $c->differences ], [], 'all replicas are equal');
$_->quit foreach @sessions;

done_testing();
