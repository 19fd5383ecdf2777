# The answer to the deciding node's COMMIT is lost, and the session asks so late what has
# become of it that the recovery of another front, which cannot see that the session
# lives, has deleted the transaction's rows: that is no failure, but an outcome that is not
# known.  In builds for tests late is after ten seconds.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PlshardInjection;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $i = PlshardInjection->new(node_conf => "wal_level = replica\nmax_wal_senders = 2");
my $c = $i->cluster;
my @keys = $i->new_keys(2, 1);
my $decider = $keys[0]{nodes}[0];

my $other = PostgreSQL::Test::Cluster->new('other');
$other->init;
$other->append_conf('postgresql.conf', "fsync = off\nshared_buffers = 16MB");
$other->start;
my $dump = PostgreSQL::Test::Utils::tempdir() . '/front.sql';
$c->front->command_ok([ 'pg_dump', '-f', $dump, '-d', $c->front->connstr('postgres') ], 'a front is dumped');
$other->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', $other->connstr('postgres') ],
	'... and restored as another one');

my $session = $i->begin(2, 'before_commit:stop', @keys);
my $pid = $i->commit_and_stop($session);
my $rows = "SELECT count(*) FROM plshard_node.transaction WHERE gid ~ '_${pid}_'";
my $backends = q{SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'plshard'};

# COMMIT gets its work done there, but no answer as long as it waits for a standby
$c->sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'", on => $decider);
$c->sql('SELECT pg_reload_conf()', on => $decider);
$c->wait_for("SELECT current_setting('synchronous_standby_names') = 'nobody'", on => $decider);
kill 'CONT', $pid;
$c->wait_for(q{SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'}, on => $decider);
kill 'STOP', $pid;
$c->sql('ALTER SYSTEM RESET synchronous_standby_names', on => $decider);
$c->sql("SELECT pg_reload_conf(); $backends", on => $_) foreach 1 .. 4;
$c->wait_for(q{SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'plshard'}, on => $_) foreach 1 .. 4;
is($c->sql($rows, on => $decider), 1, 'the deciding node has committed');

$c->wait_for("SELECT written_at < clock_timestamp() - interval '10 s' FROM plshard_node.transaction WHERE gid ~ '_${pid}_'", on => $decider);
$other->safe_psql('postgres', "SELECT * FROM plshard.recover('c2')") foreach 1, 2;	# commits what is prepared; deletes rows
is($c->sql($rows, on => $_), 0, "its row is gone from n$_") foreach @{ $keys[0]{nodes} };

kill 'CONT', $pid;
my $result = $session->result;
is($result->{sqlstate}, '08007', 'a session that asks then learns that the outcome is not known') or diag $result->{err};
$i->check('a lost answer', 2, 'present', PlshardInjection::told($result), @keys);

$session->quit;
done_testing();
