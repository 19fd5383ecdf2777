# A node that dies: reads and writes go on, the node is taken out of the cluster,
# and comes back by repair; also onto an empty server.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PlshardCluster;
use Test::More;

my $c = PlshardCluster->new(nodes => 4, shards => 16, replicas => 2);

$c->sql(<<'SQL');
SELECT plshard.deploy('c', 'CREATE TABLE t (k text PRIMARY KEY, v int NOT NULL)');
CREATE FUNCTION put(k text, v int) RETURNS void LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(k); INSERT INTO t VALUES (put.k, put.v); $$;
CREATE FUNCTION get(k text) RETURNS int LANGUAGE plshard STABLE AS
	$$ CLUSTER 'c'; RUN ON hash(k); SELECT t.v FROM t WHERE t.k = get.k; $$;
CREATE FUNCTION total() RETURNS bigint LANGUAGE plshard STABLE AS
	$$ CLUSTER 'c'; RUN ON ALL; SELECT count(*) AS n FROM t; REDUCE SELECT sum(n)::bigint FROM result; $$;
SQL

my $put = 'SELECT count(put(i::text, i)) FROM generate_series(%d, %d) AS i';
my $get = 'SELECT sum(get(i::text)) FROM generate_series(%d, %d) AS i';
my $all_active = { map { ("n$_" => 'active:8') } 1 .. 4 };

$c->sql(sprintf $put, 1, 200);
is($c->sql('SELECT total()'), 200, 'all rows are there');
is_deeply([ $c->differences ], [], 'and equal on both replicas');

# A restarted node costs nothing: sessions replace their connections.
my $session = $c->session;
is($session->query(sprintf $get, 1, 200), 20100, 'a session reads every shard');
$c->node(2)->restart;
is($session->query(sprintf $get, 1, 200), 20100, 'and again after a node was restarted');
$session->query(sprintf $put, 201, 300);
is_deeply($c->states, $all_active, 'nobody is evicted for a restart');

# A dead node: reads go on and change nothing.
$c->node(2)->stop('immediate');
is($session->query(sprintf $get, 1, 300), 45150, 'the old session reads on without node n2');
is($c->sql(sprintf $get, 1, 300), 45150, 'a new session too');
is($c->sql('SELECT total()'), 300, 'a scatter read too');
is_deeply($c->states, $all_active, 'reads evict nobody');

# A write evicts it, once, for all its shards.
my $r = $c->try(sprintf $put, 301, 400);
is($r->{sqlstate}, undef, 'writes go on') or diag($r->{err});
like($r->{err}, qr/WARNING.*n2/, 'with a warning that names the node');
is_deeply($c->states, { %$all_active, n2 => 'inactive:8' }, 'the node is evicted with all placements');
$session->query(sprintf $put, 401, 500);
$session->quit;
is($c->sql('SELECT total()'), 500, 'all writes are there');
is_deeply([ $c->differences ], [], 'the rest are equal');

# The last active placement of a shard is never evicted: an error, nothing changed.
$c->node(3)->stop('immediate');
$r = $c->try(sprintf $put, 501, 600);
like($r->{sqlstate} // 'none', qr/^08/, 'a shard without live placement: the write fails');
is_deeply($c->states, { %$all_active, n2 => 'inactive:8' }, 'nobody is evicted');
$c->node(3)->start;
is($c->sql('SELECT total()'), 500, 'nothing was written');
$c->sql(sprintf $put, 501, 600);

# Repair.
$c->node(2)->start;
is($c->sql(sprintf $get, 1, 600), 180300, 'the stale node is not read');
$c->sql("SELECT * FROM plshard.repair_cluster('c')");
is_deeply($c->states, $all_active, 'repair brings the node back');
is_deeply([ $c->differences ], [], 'all replicas are equal');
is($c->sql("SELECT bool_and(consistent) FROM plshard.verify('c')"), 't', 'verify says so too');
is($c->try('INSERT INTO plshard_10001.t VALUES (NULL, 1)', on => 2)->{sqlstate},
	'23502', 'constraints came along');

# Repair onto an empty server.
$c->node(4)->stop('immediate');
$c->sql(sprintf $put, 601, 700);
is_deeply($c->states, { %$all_active, n4 => 'inactive:8' }, 'another node is lost');
$c->empty_node(4);
$c->sql("SELECT * FROM plshard.repair_cluster('c')");
is_deeply($c->states, $all_active, 'an empty node is repaired');
is_deeply([ $c->differences ], [], 'all replicas are equal');
is($c->sql('SELECT total()'), 700, 'and complete');

done_testing();
