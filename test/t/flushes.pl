
# How often each server waits for its disk in one transaction of each shape: the tables of
# "Round trips" and "Commit" in doc/internals.md.  The round trips are counted in
# round_trips.pl.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use PlshardCluster;
use Test::More;

# Nothing but the commits shall write WAL to the disk.
my $c = PlshardCluster->new(nodes => 3, shards => 3, replicas => 2, fsync => 1, conf => <<'CONF');
wal_sync_method = fdatasync
wal_level = minimal
max_wal_senders = 0
wal_writer_delay = 10s
checkpoint_timeout = 1h
autovacuum = off
CONF

my %cluster = (
	c => '',
	one => "SELECT plshard.create_shards('one', 1, 1)",
	fast => "ALTER SERVER fast OPTIONS (ADD commit 'fast'); SELECT plshard.create_shards('fast', 3, 2)");
foreach my $name (sort keys %cluster)
{
	if ($name ne 'c')
	{
		$c->sql("SELECT plshard.create_cluster('$name')");
		$c->sql(sprintf "SELECT plshard.add_node('$name', 'n$_', '%s')", $c->conninfo($_)) foreach 1 .. 3;
		$c->sql($cluster{$name});
	}
	$c->sql(<<"SQL");
SELECT plshard.deploy('$name', 'CREATE TABLE t (k int PRIMARY KEY, v int)');
CREATE FUNCTION put_$name(k int) RETURNS void LANGUAGE plshard AS
	\$\$ CLUSTER '$name'; RUN ON hash(k); INSERT INTO t VALUES (put_$name.k, 0) ON CONFLICT (k) DO UPDATE SET v = t.v + 1; \$\$;
CREATE FUNCTION get_$name(k int) RETURNS int LANGUAGE plshard STABLE AS
	\$\$ CLUSTER '$name'; RUN ON hash(k); SELECT t.v FROM t WHERE t.k = get_$name.k; \$\$;
CREATE FUNCTION touch_$name() RETURNS SETOF int LANGUAGE plshard AS
	\$\$ CLUSTER '$name'; RUN ON ALL; UPDATE t SET v = t.v + 1 RETURNING t.v; \$\$;
SELECT put_$name(k) FROM generate_series(1, 30) AS k;
SQL
}
$c->sql('CREATE TABLE here (v int)');

# Since the server's start; what a session counts is there to see when it has ended.
sub syncs
{
	my ($server) = @_;
	$server->poll_query_until('postgres',
		q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'client backend'})
	  or die 'sessions do not end on ' . $server->name;
	my $moved = $server->safe_psql('postgres',
		q{SELECT count(*) = 0 FROM pg_attribute WHERE attrelid = 'pg_stat_wal'::regclass AND attname = 'wal_sync'});
	return $server->safe_psql('postgres', $moved eq 't'
		? q{SELECT sum(fsyncs) FROM pg_stat_io WHERE object = 'wal' AND backend_type = 'client backend'}
		: 'SELECT wal_sync FROM pg_stat_wal');
}

# Flushes of one transaction: the front's, and the nodes', sorted.  It runs often in one
# session, so that a few that have other reasons make no difference.
sub flushes
{
	my ($sql) = @_;
	my $times = 20;
	my @servers = ($c->front, $c->nodes);
	my @before = map { syncs($_) } @servers;
	$c->sql("$sql;\n" x $times);
	my @after = map { syncs($_) } @servers;
	my ($front, @nodes) = map { sprintf '%.0f', ($after[$_] - $before[$_]) / $times } 0 .. $#servers;
	return "front $front, nodes " . join ' ', sort { $a <=> $b } @nodes;
}

is(flushes('SELECT get_c(1)'), 'front 0, nodes 0 0 0', 'a read: none');
is(flushes('BEGIN; SELECT get_c(1), get_one(1); COMMIT'), 'front 0, nodes 0 0 0', '... in a transaction');

is(flushes('SELECT put_one(1)'), 'front 0, nodes 0 0 1', 'a one-shot write: 1');
is(flushes('BEGIN; SELECT put_one(1); SELECT put_one(1); COMMIT'), 'front 0, nodes 0 0 1', 'one node: 1');

is(flushes('SELECT put_c(1)'), 'front 0, nodes 0 1 2',
	'a call with two replicas: PREPARE and COMMIT PREPARED on one, between them COMMIT on the deciding node');
is(flushes('BEGIN; SELECT put_c(1); SELECT put_c(1); COMMIT'), 'front 0, nodes 0 1 2',
	'... in a transaction, with several calls');
is(flushes('BEGIN; SELECT count(*) FROM touch_c(); COMMIT'), 'front 0, nodes 1 2 2', 'all shards: still 3 after each other');
is(flushes('BEGIN; INSERT INTO here VALUES (1); SELECT put_c(1); COMMIT'), 'front 1, nodes 0 2 2',
	'where the front decides, its own commit is the one between');

is(flushes('SELECT put_fast(1)'), 'front 0, nodes 0 1 1', 'fast: one on each');
is(flushes('BEGIN; SELECT count(*) FROM touch_fast(); COMMIT'), 'front 0, nodes 1 1 1', '... with all shards');

done_testing();
