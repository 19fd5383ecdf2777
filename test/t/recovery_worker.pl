# The background worker that resolves what is in doubt, in a front that preloads plshard.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PlshardCluster;
use PlshardInDoubt;
use PostgreSQL::Test::Utils;
use Test::More;

my $c = PlshardCluster->new(nodes => 3, define => 0,
	front_conf => "shared_preload_libraries = 'plshard'\nplshard.recovery_interval = 0\nrestart_after_crash = on");
my $front = $c->front;

# A cluster that comes before the other in every round, and will not answer.
$c->sql(<<"SQL");
SELECT plshard.create_cluster('frozen');
SELECT plshard.add_node('frozen', 'n3', '@{[ $c->conninfo(3) ]}');
SELECT plshard.create_shards('frozen', 1, 1);
SQL
my $r = $c->try("SELECT plshard.create_cluster('c')");
unlike($r->{err}, qr/NOTICE/, 'create_cluster has nothing to say where the worker runs');
$c->add_node($_) foreach 1, 2;
$c->sql("SELECT plshard.create_shards('c', 2, 2)");
$c->sample;
my $d = PlshardInDoubt->new($c);

# An undecided transaction and a committed one.
sub leave_in_doubt
{
	my @left = map { $d->begin(nodes => [ 1, 2 ]) } 1, 2;
	$left[0]->commit(1);		# first, since the worker may be at it at once
	$_->prepare(2) foreach @left;
	return @left;
}

sub resolved
{
	my ($name, $undecided, $committed) = @_;
	$c->wait_for('SELECT count(*) = 0 FROM pg_prepared_xacts', on => 2);
	is($undecided->where, '1:committed 2:committed', "$name: what was committed is committed");
	is($committed->where, '1:aborted 2:nothing', "$name: what was not is aborted");
	return;
}

my @left = leave_in_doubt();
my $launcher = q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'plshard recovery launcher'};
like($c->sql($launcher), qr/^\d+$/, 'the launcher runs');
is(join(' ', map { $_->where } @left), '1:committed 2:prepared 1:nothing 2:prepared', 'with an interval of 0 it does nothing');
$c->sql("ALTER SYSTEM SET plshard.recovery_interval = '200 ms'");
$front->reload;
resolved('with a new interval', @left);
like(slurp_file($front->logfile), qr/LOG:  transaction \Q@{[ $left[1]->gid ]}\E of cluster "c": aborted/, 'the log tells');

$c->sql(q{UPDATE plshard_node.transaction SET written_at = written_at - interval '1 hour'}, on => $_) foreach 1, 2;
$c->wait_for('SELECT count(*) = 0 FROM plshard_node.transaction', on => $_) foreach 1, 2;
pass('rows that are not needed are deleted');

# A session of the front dies, and with it the whole front restarts.
my $session = $c->session;
$session->sql("SELECT put('x', 1)");
my $before = $c->sql($launcher);
@left = leave_in_doubt();
kill 'KILL', $session->pid;
$c->wait_for_restart($session);
resolved('after a crash of the front', @left);
isnt($c->sql($launcher), $before, 'which took the launcher with it');

# Nodes that do not answer keep nothing else waiting for ever.
$c->freeze(3);
@left = leave_in_doubt();
resolved('beside a cluster that is frozen', @left);
$c->thaw(3);

# The worker acts as the cluster's owner.
my $superuser = $c->sql('SELECT current_user');
$c->sql(<<'SQL');
CREATE ROLE keeper;
GRANT USAGE ON FOREIGN DATA WRAPPER plshard TO keeper;
ALTER SERVER c OWNER TO keeper;
SQL
@left = leave_in_doubt();
is($c->try("SET ROLE keeper; SELECT outcome FROM plshard.recover('c')")->{out}, '', 'an owner that cannot connect finds nothing');
is(join(' ', map { $_->where } @left), '1:committed 2:prepared 1:nothing 2:prepared', 'nor does the worker for that role');
$c->sql("CREATE USER MAPPING FOR keeper SERVER c OPTIONS (\"user\" '$superuser', password_required 'false')");
resolved('as the owner', @left);

# Databases come and go.
$c->sql('CREATE DATABASE d');
$front->safe_psql('d', <<"SQL");
CREATE EXTENSION plshard;
SELECT plshard.create_cluster('there');
SELECT plshard.add_node('there', 'n1', '@{[ $c->conninfo(1) ]}');
DROP EXTENSION plshard CASCADE;
CREATE EXTENSION plshard;
SELECT plshard.create_cluster('there');
SELECT plshard.add_node('there', 'n1', '@{[ $c->conninfo(1) ]}');
SQL
pass('DROP EXTENSION works beside the worker');
$c->sql('DROP DATABASE d');
pass('so does DROP DATABASE');
@left = leave_in_doubt();
resolved('afterwards', @left);
is($c->sql('SELECT count(*) FROM pg_stat_activity WHERE datname IS NULL AND backend_type = ' . q{'plshard recovery launcher'}),
	'1', 'the launcher is connected to no database');

done_testing();
