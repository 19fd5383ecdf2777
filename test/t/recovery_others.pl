# What others do about transactions in doubt: repair, reads that move to another
# placement, and a second front, restored from a dump of the first.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PlshardCluster;
use PlshardInDoubt;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes ();

my $c = PlshardCluster->new(nodes => 3, shards => 3, replicas => 3);
$c->sample;
my $d = PlshardInDoubt->new($c);
my $shard = $d->{shard};
my @all = (1, 2, 3);

sub all_equal
{
	is_deeply($c->states, { map { ("n$_" => 'active:3') } @all }, 'all placements are active');
	is_deeply([ $c->differences ], [], 'and equal');
	return;
}

sub repair { return $c->try("SELECT count(*) FROM plshard.repair_cluster('c')"); }

#
# Repair: what names the target is resolved before
#
my $committed = $d->begin(nodes => \@all);
my $undecided = $d->begin(nodes => [ 2, 3, 1 ]);
my $elsewhere = $d->begin(nodes => [ 2, 3 ]);
$committed->prepare($_) foreach 2, 3;
$undecided->prepare($_) foreach 1, 3;
$elsewhere->prepare(3);
$c->deactivate('n1');
my $r = repair();
is($r->{sqlstate}, undef, 'a repair with transactions in doubt') or diag($r->{err});
is($committed->where, '1:committed 2:committed 3:committed', 'resolves what names the target: its decider is the target');
is($undecided->where, '2:aborted 3:nothing 1:nothing', 'its decider counts');
is($elsewhere->where, '2:nothing 3:prepared', 'but nothing else');
$c->sql("SELECT * FROM plshard.recover('c')");
all_equal();

# a target that has prepared, and a session that is still at work on another of its shards
my $left = $d->begin(nodes => [ 3, 1 ]);
my $session = $c->session(on => 1);
my $key = $c->key($shard + 1);
my $writer = $c->session;
$writer->sql("BEGIN; SELECT put('$key', 1)");
$left->prepare(1);
$c->deactivate('n1');
$c->sql("INSERT INTO plshard.decision SELECT cluster_id, '" . $left->gid . "', 'committed' FROM plshard.cluster");
$r = $c->try("SELECT plshard.repair($shard, 'n2', 'n1')");
is($r->{sqlstate}, undef, 'a repair of a node where something is left') or diag($r->{err});
is($c->sql('SELECT count(*) FROM pg_prepared_xacts', on => 1), '0', 'rolls back what is prepared there');
is($c->sql(q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND pid <> pg_backend_pid()}, on => 1),
	'0', 'and ends sessions that work on other shards of it');
$r = $writer->try('COMMIT');
is($r->{sqlstate}, undef, 'whose transaction goes on without that node') or diag($r->{err});
$_->quit foreach $writer, $session;
repair();
all_equal();

# one that cannot be resolved
my $lost = $d->begin(nodes => [ 1, 2 ], decider => 0, front => 'feedbeef00000001');
$lost->prepare($_) foreach 1, 2;
$c->deactivate('n1');
$r = repair();
is($r->{sqlstate}, '55000', 'a transaction that cannot be resolved: no repair');
like($r->{err}, qr/a transaction in doubt that has written on node "n1" cannot be resolved now.*another front/s, 'which says why');
is($lost->where, '1:prepared 2:prepared', 'nothing is done');
$c->sql("SELECT * FROM plshard.forget_front('feedbeef-0000-0001-0000-000000000000')");
is(repair()->{sqlstate}, undef, 'until the front is forgotten');
is($lost->where, '1:committed 2:committed', 'the transaction is committed');
$c->deactivate('n3');	# it was not one of its nodes
repair();
all_equal();

#
# Reads: a session does not go back in time when its node fails
#
sub sticks_to { return $_[0]->sql("SELECT substr(node, 2) FROM plshard.explain_call('get(''' || '$_[1]' || ''')')"); }

# Waits until the session's reads go to its first node again.
sub back_home
{
	my ($session, $home, $key) = @_;
	my $give_up = time + $PostgreSQL::Test::Utils::timeout_default;
	Time::HiRes::sleep(0.1) until sticks_to($session, $key) == $home || time > $give_up;
	is(sticks_to($session, $key), $home, 'its first node is back');
	return;
}

my $reader = $c->session;
my $home = sticks_to($reader, $c->key($shard));
my @others = grep { $_ != $home } @all;
my $t = $d->begin(nodes => [ $home, @others ]);
$t->prepare($_) foreach @others;
$t->commit($home);
is($reader->sql("SELECT get('" . $t->key . "')"), '1', 'a session sees what the decider has committed');
$c->node($home)->stop('immediate');
is($reader->sql("SELECT get('" . $t->key . "')"), '1', 'and sees it still on another placement');
$c->node($home)->start;
repair();
back_home($reader, $home, $t->key);

# in both directions: here the other node decides
$t = $d->begin(nodes => [ $others[0], $home, $others[1] ]);
$t->prepare($_) foreach $home, $others[1];
$t->commit($others[0]);
$c->node($_)->stop('immediate') foreach $home, $others[1];
is($reader->sql("SELECT get('" . $t->key . "')"), '1', 'a session sees it on the decider, where it has moved to');
$c->node($_)->start foreach $home, $others[1];
back_home($reader, $home, $t->key);
is($reader->sql("SELECT get('" . $t->key . "')"), '1', 'and when it comes back to its first node');

# a call in a hurry does not wait for what cannot be resolved
$c->sql("SELECT * FROM plshard.recover('c')");
$t = $d->begin(nodes => [ $home, @others ]);
$t->prepare($_) foreach @others;
$c->sql(<<'SQL');
CREATE FUNCTION get_soon(k text) RETURNS int LANGUAGE plshard STABLE AS
	$$ CLUSTER 'c'; RUN ON hash(k); TIMEOUT '1 s'; SELECT t.v FROM t WHERE t.k = get_soon.k; $$;
SQL
$key = $c->key($shard);
$c->sql("SELECT put('$key', 7)");
is($reader->sql("SELECT get_soon('$key')"), '7', 'a call with a TIMEOUT');
$c->freeze($home);
$r = $reader->try("SELECT get_soon('$key')");
is($r->{out}, '7', 'is answered by another node') or diag($r->{err});
cmp_ok($r->{seconds}, '<', 5, 'in time, though something is in doubt there');
$c->thaw($home);
$reader->quit;
$c->sql("SELECT * FROM plshard.recover('c')");
repair();
is($t->where =~ tr/p//, 0, 'recovery resolves it');
all_equal();

#
# A second front, restored from a dump
#
my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump';
run_command([ 'pg_dump', '-d', $c->front->connstr('postgres'), '-f', $dump ]);
my $own = substr $c->sql("SELECT replace(front_id::text, '-', '') FROM plshard.front"), 0, 16;
$c->sql("INSERT INTO plshard.transaction VALUES ('only here')");
my $second = PostgreSQL::Test::Cluster->new('second');
$second->init;
$second->append_conf('postgresql.conf', <<'CONF');
fsync = off
shared_buffers = 16MB
shared_preload_libraries = 'plshard'
plshard.recovery_interval = '200 ms'
CONF
$second->start;

my @left = map { $d->begin(nodes => \@all) } 1, 2;
foreach my $i (2, 3) { $_->prepare($i) foreach @left; }
$left[0]->commit(1);
my @mixed = map { $d->begin(nodes => \@all, decider => 0, front => $own) } 1, 2;
foreach my $i (@all) { $mixed[0]->prepare($i); }
$mixed[1]->prepare(2);
$c->sql("INSERT INTO plshard.transaction VALUES ('" . $mixed[0]->gid . "')");
$c->front->stop('immediate');

run_command([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $second->connstr('postgres'), '-f', $dump ]);
my $first = $c->{front};
$c->{front} = $second;
isnt(substr($c->sql("SELECT replace(front_id::text, '-', '') FROM plshard.front"), 0, 16), $own, 'a restored front has an id of its own');
is($c->sql('SELECT count(*) FROM plshard.transaction'), '0', 'and none of the transactions of the first');
$c->wait_for('SELECT NOT EXISTS (SELECT FROM plshard.in_doubt WHERE decider IS NOT NULL)');
is(join(' / ', map { $_->where } @left), '1:committed 2:committed 3:committed / 1:aborted 2:nothing 3:nothing',
	'it resolves what the first has left, which is down');
is(join(' / ', map { $_->where } @mixed), '1:prepared 2:prepared 3:prepared / 1:nothing 2:prepared 3:nothing',
	'but for what the first decides');

# the first comes back
$c->{front} = $first;
$first->start;
is($c->sql("SELECT string_agg(outcome, ' ' ORDER BY gid) FROM plshard.recover('c')"), 'committed aborted', 'which it does itself, when it is back');
is(join(' / ', map { $_->where } @mixed), '1:committed 2:committed 3:committed / 1:aborted 2:nothing 3:aborted', 'by its own row');
all_equal();

done_testing();
