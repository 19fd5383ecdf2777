# verify finds what differs, says what it could not see, and does not take a write
# in progress for a difference.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use IPC::Run ();
use PlshardCluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $c = PlshardCluster->new(nodes => 3, shards => 3, replicas => 2);

$c->sql(<<'SQL');
SELECT plshard.deploy('c', 'CREATE TABLE t (k text PRIMARY KEY, v int); CREATE TABLE "Odd "" name" (t text, "a b" float8); CREATE TABLE bare ()');
CREATE FUNCTION put(k text, v int) RETURNS void LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(k); INSERT INTO t VALUES (put.k, put.v); $$;
CREATE FUNCTION increase(k text) RETURNS int LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(k); UPDATE t SET v = t.v + 1 WHERE t.k = increase.k RETURNING t.v; $$;
SELECT count(put(i::text, i)) FROM generate_series(1, 300) AS i;
SELECT plshard.deploy('c', $$INSERT INTO "Odd "" name" VALUES ('x', 0.1), (NULL, NULL), ('x', 0.1); INSERT INTO bare DEFAULT VALUES$$);
SQL

my $verify = "SELECT * FROM plshard.verify('c')";

# The rows that are not consistent: "shard node table rows", or 'none'.
sub inconsistent
{
	my ($result) = @_;
	my @rows = map { join ' ', (split /\|/)[ 0 .. 3 ] }
	  grep { /\|f$/ } split /\n/, $result->{out};
	return join ', ', @rows ? sort @rows : 'none';
}

my $r = $c->try($verify);
is(scalar(split /\n/, $r->{out}), 18, 'a row for each placement and table');
is(inconsistent($r), 'none', 'all is consistent');
is($r->{err}, '', 'and nothing is said');
is($c->sql("SELECT sum(row_count) FROM plshard.verify('c') WHERE table_name = 't'"), 600, 'rows are counted');
is($c->sql(q{SELECT string_agg(DISTINCT row_count::text, ',') FROM plshard.verify('c') WHERE table_name = 'Odd " name'}),
	3, 'in tables with odd names too');

# Rows in another order, dead rows and other indexes are no difference.
$c->sql(<<'SQL', on => 2);
UPDATE plshard_10000.t SET v = v;
CREATE INDEX ON plshard_10000.t (v);
SET default_statistics_target = 1;
SQL
is(inconsistent($c->try($verify)), 'none', 'the order of rows does not matter');

# Each case: the node, what is changed there, what is found, and how it is undone.
foreach my $case (
	[ 2, "DELETE FROM plshard_10000.t WHERE k = (SELECT min(k) FROM plshard_10000.t)",
		qr/^10000 n2 t \d+$/, 'a missing row' ],
	[ 2, "UPDATE plshard_10000.t SET v = v + 1 WHERE k = (SELECT min(k) FROM plshard_10000.t)",
		qr/^10000 n2 t \d+$/, 'a changed row' ],
	[ 1, "UPDATE plshard_10000.t SET v = NULL WHERE k = (SELECT min(k) FROM plshard_10000.t)",
		qr/^10000 n2 t \d+$/, 'a row that is changed where the first placement is' ],
	[ 2, q{INSERT INTO plshard_10000."Odd "" name" VALUES ('x', 0.1)}, qr/^10000 n2 Odd " name 4$/,
		'a row that is there once more' ],
	[ 2, q{UPDATE plshard_10000."Odd "" name" SET t = '' WHERE t IS NULL}, qr/^10000 n2 Odd " name 3$/,
		'NULL is not the empty string' ],
	[ 2, 'INSERT INTO plshard_10000.bare DEFAULT VALUES', qr/^10000 n2 bare 2$/,
		'rows of a table without columns' ],
	[ 2, 'CREATE TABLE plshard_10000.extra ()', qr/^10000 n1 extra , 10000 n2 extra 0$/,
		'a table that is too many' ],
	[ 2, 'DROP TABLE plshard_10000.bare', qr/^10000 n2 bare $/, 'a table that is missing' ],
	[ 2, 'DROP SCHEMA plshard_10000 CASCADE',
		qr/^10000 n2 Odd " name , 10000 n2 bare , 10000 n2 t $/, 'a placement that is missing' ])
{
	my ($node, $sql, $found, $what) = @$case;
	$c->sql($sql, on => $node);
	my $r = $c->try($verify);
	is($r->{sqlstate}, undef, $what);
	like(inconsistent($r), $found, 'is found');
	is_deeply($c->states, { map { ("n$_" => 'active:2') } 1 .. 3 }, 'and nothing is done about it');
	my ($good, $bad) = $node == 2 ? ('n1', 'n2') : ('n2', 'n1');
	$c->deactivate($bad, 10000);
	$c->sql("SELECT plshard.repair(10000, '$good', '$bad')");
	is(inconsistent($c->try($verify)), 'none', 'after a repair all is consistent');
}

# What is inactive is read, but is not what others are compared with.
$c->deactivate('n1', 10000);
$c->sql('DELETE FROM plshard_10000.t', on => 1);
is(inconsistent($c->try($verify)), '10000 n1 t 0', 'an inactive placement is not the measure');
$c->sql("SELECT plshard.repair(10000, 'n2', 'n1')");

# A node that cannot be reached.
$c->node(3)->stop;
$r = $c->try($verify);
is($r->{sqlstate}, undef, 'a node is down: no error');
is(scalar(() = $r->{err} =~ /WARNING: .*could not verify node "n3"/g), 1, 'but a warning');
is(scalar(grep { /\|n3\|.*\|t$/ } split /\n/, $r->{out}), 0, 'what was not seen is not called consistent');
is(scalar(grep { /\|n[12]\|.*\|t$/ } split /\n/, $r->{out}), 12, 'the others are');
$c->node(3)->start;
$c->freeze(3);
$r = $c->try($verify);
$c->thaw(3);
is(scalar(() = $r->{err} =~ /WARNING: .*could not verify node "n3"/g), 1, 'a frozen node: a warning too');
cmp_ok($r->{seconds}, '<', 12, 'in time');

# Who may.
$c->sql('CREATE ROLE nobody');
is($c->try("SET ROLE nobody; $verify")->{sqlstate}, '42501', 'USAGE is needed');
is($c->try("SELECT * FROM plshard.verify('nosuch')")->{sqlstate}, '42704', 'an unknown cluster');

# Under load.
my $dir = PostgreSQL::Test::Utils::tempdir();
append_to_file("$dir/script.sql", "\\set i random(1, 300)\nSELECT increase((:i)::text);\n");
my ($out, $err) = ('', '');
my $clients = IPC::Run::start(
	[ 'bash', '-c', 'while [ ! -e "$1/stop" ]; do pgbench -n -c 4 -t 50 -f "$1/script.sql" -h "$2" -p "$3" postgres || exit 1; done',
		'clients', $dir, $c->front->host, $c->front->port ],
	'<', \undef, '>', \$out, '2>', \$err);
my $sum = $c->sql("SELECT sum(v) FROM plshard_10000.t", on => 1);
$c->wait_for("SELECT sum(v) > $sum + 10 FROM plshard_10000.t", on => 1);
my @cries;
foreach (1 .. 25)
{
	my $r = $c->try($verify);
	push @cries, grep { $_ ne 'none' && $_ ne '' } inconsistent($r), $r->{err};
}
append_to_file("$dir/stop", '');
ok($clients->finish, 'writers go on while all is verified') or diag($err);
is_deeply(\@cries, [], 'and no write is taken for a difference');
is_deeply([ $c->differences ], [], 'all replicas are equal');

done_testing();
