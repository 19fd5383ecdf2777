
# Calls with an id happen once, whatever is lost: the front's session when the nodes
# have committed, the front itself, nodes, and a call that comes while the first still runs.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use PlshardCluster;
use PlshardSession;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $c = PlshardCluster->new(nodes => 3, shards => 6, replicas => 2, front_conf => 'restart_after_crash = on');
$c->sample;
$c->sql(<<'SQL');
CREATE FUNCTION bump_both(a text, b text) RETURNS SETOF int LANGUAGE plshard AS $$
	CLUSTER 'c'; LET ks = ARRAY[a, b]; SPLIT ks; RUN ON hash(ks);
	UPDATE t SET v = v + 1 WHERE k = ANY (ks) RETURNING v;
$$;
CREATE FUNCTION bump_shard(k text) RETURNS int LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(k); LOCK SHARD; UPDATE t SET v = t.v + 1 WHERE t.k = bump_shard.k RETURNING t.v; $$;
SQL

# A second front: what a dump of the first one brings
my $front2 = PostgreSQL::Test::Cluster->new('front2');
my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump';
$front2->init;
$front2->start;
run_log([ 'pg_dump', '-d', $c->front->connstr('postgres'), '-f', $dump ]) or die 'pg_dump failed';
run_log([ 'psql', '-qX', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-d', $front2->connstr('postgres'), '-f', $dump ])
  or die 'psql failed';

# Runs a call under an id in a transaction of its own.
sub once
{
	my ($id, $call, $server) = @_;
	my $session = PlshardSession->new($server // $c->front);
	my $out = $session->sql("BEGIN; SET LOCAL plshard.call_id = '$id'; SELECT $call; COMMIT");
	$session->quit;
	return $out;
}

# Waits until the front's server has restarted.
sub front_is_back
{
	my $tries = 10 * $PostgreSQL::Test::Utils::timeout_default;
	while (system('pg_isready', '-q', '-d', $c->front->connstr('postgres')) != 0)
	{
		die 'the front does not come back' if $tries-- == 0;
		select undef, undef, undef, 0.1;
	}
	return;
}

# The copies of a key's value, on all nodes.
sub values_of
{
	my ($key) = @_;
	return [ map { (split /\|/)[1] } @{ $c->copies("SELECT v FROM t WHERE k = '$key'") } ];
}

#
# A client that loses its connection when the nodes have committed tries again
#
my $shards = $c->sql(q{SELECT string_agg(DISTINCT shard_id::text, ' ') FROM plshard.placements WHERE node = 'n1'});
my ($shard, $other_shard) = split / /, $shards;
my ($a, $b) = ($c->key($shard), $c->key($other_shard));
$c->sql("SELECT put('$a', 0), put('$b', 0)");

foreach my $way ([ 'a call that is a transaction', '', "SELECT bump('$a');", '' ],
	[ 'a block of two', 'BEGIN;', "SELECT bump('$a'); SET LOCAL plshard.call_id = 'of the second'; SELECT bump('$b');", 'COMMIT;' ],
	[ 'a call on two shards', '', "SELECT bump_both('$a', '$b');", '' ])
{
	my ($name, $begin, $calls, $end) = @$way;
	my @before = map { $c->sql("SELECT get('$_')") } $a, $b;
	my $session = $c->session;
	$session->sql("SET plshard.call_id = '$name'");
	$session->sql(q{SET plshard.inject = 'committed:kill'});
	my $r = $session->try("$begin $calls $end");
	ok($r->{lost}, "$name: the connection is lost");
	front_is_back();

	my @results;
	foreach my $server ($c->front, $front2, $c->front)
	{
		my $again = PlshardSession->new($server);
		push @results, $again->sql("BEGIN; SET LOCAL plshard.call_id = '$name'; $calls COMMIT");
		$again->quit;
	}
	my @after = map { $_ + 1 } @before;
	$after[1] = $before[1] if $calls !~ /'$b'/;
	is(join(' ', sort split /\n/, $results[0]), join(' ', sort @after[ 0 .. ($calls =~ /'$b'/ ? 1 : 0) ]),
		'... tried again it gives the first result');
	is($results[1], $results[0], '... on another front, too');
	is($results[2], $results[0], '... and once more');
	is_deeply([ values_of($a), values_of($b) ], [ map { [ $_, $_ ] } @after ], '... and has happened once');
}
is_deeply([ $c->differences ], [], 'replicas are equal');
# what this would come to without an id
is($c->sql("SELECT bump('$a')") + 1, $c->sql("SELECT bump('$a')"), 'without an id each call counts');

#
# A repetition that comes while the first is still running
#
foreach my $function (qw(bump bump_shard))
{
	foreach my $end (qw(COMMIT ROLLBACK))
	{
		my $value = $c->sql("SELECT get('$a')");
		my $first = $c->session;
		my $second = PlshardSession->new($front2);
		is($first->sql("BEGIN; SET LOCAL plshard.call_id = '$function $end'; SELECT $function('$a')"), $value + 1,
			"$function: the first of two");
		$second->send("BEGIN; SET LOCAL plshard.call_id = '$function $end'; SELECT $function('$a'); COMMIT");
		my ($node) = $c->sql("SELECT node FROM plshard.placements WHERE shard_id = $shard AND position = 0") =~ /(\d)/;
		$c->wait_for(q{SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)}, on => $node);
		$first->sql($end);
		my $r = $second->result;
		is($r->{err}, '', "... the second waits for its $end");
		is($r->{out}, $value + 1, '... and returns the same');
		is($c->sql("SELECT get('$a')"), $value + 1, '... which has happened once');
		$first->quit;
		$second->quit;
	}
}
is_deeply([ $c->differences ], [], 'replicas are equal');

#
# Nodes are lost: what the others know is enough, and a new copy knows it, too
#
my $value = once('node lost', "bump('$a')");
my @nodes = $c->sql("SELECT node FROM plshard.placements WHERE shard_id = $shard ORDER BY position") =~ /n(\d)/g;
$c->node($nodes[0])->stop('immediate');
is(once('node lost', "bump('$a')"), $value, 'the primary is lost: the other replica knows the result');
$c->empty_node($nodes[0]);
$c->sql(q{SELECT count(*) FROM plshard.repair_cluster('c')});
$c->node($nodes[1])->stop('immediate');
is(once('node lost', "bump('$a')"), $value, 'a repaired placement knows it');
is($c->sql("SELECT get('$a')"), $value, '... and it has happened once');

#
# A node that cannot keep a result: it is evicted if that is its own trouble, else the call fails
#
$c->node($nodes[1])->start;
$c->sql(q{SELECT count(*) FROM plshard.repair_cluster('c')});
my $known = $c->sql(q{SELECT oid::regclass FROM pg_class WHERE relname ~ '^calls_' AND relkind = 'r'}, on => $nodes[1]);
$c->sql(<<"SQL", on => $nodes[1]);
CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS
	\$\$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = right(NEW.call_id, 5); END \$\$;
CREATE TRIGGER refuse BEFORE INSERT ON $known FOR EACH ROW EXECUTE FUNCTION public.refuse();
SQL
foreach my $sqlstate ('42501', '53100')
{
	my $r = $c->try("BEGIN; SET LOCAL plshard.call_id = 'fails with $sqlstate'; SELECT bump('$a'); COMMIT");
	is($r->{sqlstate} // $r->{out}, $sqlstate eq '53100' ? ++$value : $sqlstate, "the record fails with $sqlstate on one node");
	is($c->states->{"n$nodes[1]"}, ($sqlstate eq '53100' ? 'inactive' : 'active') . ':4', '... which is evicted or not');
	is($c->sql("SELECT get('$a')"), $value, '... and the call has happened or not');
}
is(once('fails with 53100', "bump('$a')"), $value, '... and is known to have');

done_testing();
