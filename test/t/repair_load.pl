# One shard is repaired twenty times while clients write to it: no client gets an
# error, no acknowledged write is lost, the replicas are equal.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use IPC::Run ();
use PlshardCluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $repairs = 20;
my $c = PlshardCluster->new(nodes => 2, shards => 2, replicas => 2);
my $shard = 10000;

$c->sql(<<'SQL');
SELECT plshard.deploy('c', $$
	CREATE TABLE entry (id bigint PRIMARY KEY, k text NOT NULL);
	CREATE INDEX entry_k ON entry (k);
	CREATE TABLE counter (k text PRIMARY KEY, n int NOT NULL);
$$);
CREATE FUNCTION enter(k text) RETURNS void LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(k); LET id = plshard.unique_id(); INSERT INTO entry VALUES (id, enter.k); $$;
CREATE FUNCTION increase(k text) RETURNS int LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(k);
	   INSERT INTO counter VALUES (increase.k, 1) ON CONFLICT (k) DO UPDATE SET n = counter.n + 1 RETURNING n; $$;
CREATE FUNCTION touch() RETURNS bigint LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON 0; WITH u AS (UPDATE counter SET n = n RETURNING n) SELECT count(*) FROM u; $$;
SQL

# Few keys, all of one shard, so that clients also meet each other; and one of the
# other shard, for transactions over both.
my @keys = map { $c->key($shard) } 1 .. 6;
my $elsewhere = $c->key(10001);
my $keys = join ', ', map { "'$_'" } @keys;
my %scripts = (
	# one call a transaction
	single => [ 4, <<"SQL" ],
\\set i random(1, 6)
SELECT enter((ARRAY[$keys])[:i]);
SELECT increase((ARRAY[$keys])[:i]);
SQL
	# a transaction over both shards, the repaired one last
	across => [ 2, <<"SQL" ],
BEGIN;
SELECT enter('$elsewhere');
SELECT enter('$keys[0]');
SELECT increase('$keys[0]');
COMMIT;
SQL
	# the whole shard's lock
	whole => [ 1, "SELECT touch();\n" ]);

# Clients in rounds, as pgbench says only at its end what was acknowledged.  They
# end after the round in which the file "stop" appears.
my $dir = PostgreSQL::Test::Utils::tempdir();
my %clients;
foreach my $name (sort keys %scripts)
{
	my ($count, $script) = @{ $scripts{$name} };
	append_to_file("$dir/$name.sql", $script);
	my $client = $clients{$name} = { out => '' };
	$client->{run} = IPC::Run::start(
		[ 'bash', '-c', <<'BASH', 'clients', $dir, $name, $count, $c->front->host, $c->front->port ],
while [ ! -e "$1/stop" ]; do
	pgbench -n -c "$3" -j 1 -t 25 -f "$1/$2.sql" -h "$4" -p "$5" postgres || exit 1
done
BASH
		'<', \undef, '>', \$client->{out}, '2>', \$client->{err});
}
$c->wait_for("SELECT count(*) > 5 FROM plshard_$shard.entry", on => 1);

my ($succeeded, @failed) = (0);
foreach my $i (1 .. $repairs)
{
	my ($source, $target) = $i % 2 ? ('n1', 'n2') : ('n2', 'n1');
	my $rows = $c->sql("SELECT count(*) FROM plshard_$shard.entry", on => substr $source, 1);
	$c->deactivate($target, $shard);
	$c->wait_for("SELECT count(*) > $rows FROM plshard_$shard.entry", on => substr $source, 1);
	my $r = $c->try("SELECT plshard.repair($shard, '$source', '$target')");
	defined $r->{sqlstate} ? push @failed, $r->{err} : $succeeded++;
}
is($succeeded, $repairs, "$repairs repairs succeed") or diag(@failed);
append_to_file("$dir/stop", '');

my %acknowledged;
foreach my $name (sort keys %clients)
{
	my $client = $clients{$name};
	ok($client->{run}->finish, "clients \"$name\" have seen no error") or diag($client->{err});
	$acknowledged{$name} += $_ foreach $client->{out} =~ /actually processed: (\d+)/g;
	cmp_ok($acknowledged{$name}, '>', 0, "they made $acknowledged{$name} transactions");
	is($client->{out} =~ s/failed transactions: [1-9]//gr, $client->{out}, 'none failed');
}

my $ours = $acknowledged{single} + $acknowledged{across};
foreach my $i (1, 2)
{
	is($c->sql("SELECT count(*) FROM plshard_$shard.entry", on => $i), $ours,
		"node n$i has a row for each acknowledged call");
	is($c->sql("SELECT sum(n) FROM plshard_$shard.counter", on => $i), $ours,
		'and has counted each');
	is($c->sql('SELECT count(*) FROM plshard_10001.entry', on => $i), $acknowledged{across},
		'and the other shard too');
}
is_deeply($c->states, { n1 => 'active:2', n2 => 'active:2' }, 'all placements are active');
is_deeply([ $c->differences ], [], 'all replicas are equal');

done_testing();
