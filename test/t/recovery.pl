# Recovery: how a distributed transaction ends whose session has gone, whatever was
# prepared, committed or lost (PROTOCOL rules 9 to 14).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PlshardCluster;
use PlshardInDoubt;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $c = PlshardCluster->new(nodes => 3, shards => 3, replicas => 3);
$c->sample;
my $d = PlshardInDoubt->new($c);
my @all = (1, 2, 3);

# What plshard.recover says of a transaction: its outcome and the detail.
sub recover
{
	my ($t) = @_;
	return $c->sql("SELECT concat_ws(': ', outcome, detail) FROM plshard.recover('c') WHERE gid = '" . $t->gid . "'");
}

sub decision
{
	my ($t) = @_;
	return $c->sql("SELECT state FROM plshard.decision WHERE gid = '" . $t->gid . "'");
}

sub all_active
{
	my %active = map { ("n$_" => 'active:3') } @all;
	is_deeply($c->states, \%active, 'all placements are active');
	is_deeply([ $c->differences ], [], 'and equal');
	return;
}

# Evicts by hand and brings it back.
sub repaired
{
	$c->sql("SELECT * FROM plshard.repair_cluster('c')");
	all_active();
	return;
}

like($c->try("SELECT plshard.create_cluster('x'); DROP SERVER x")->{err}, qr/NOTICE: .*nothing resolves transactions in doubt in the background/, 'create_cluster says that no worker runs');

#
# The decider counts: its row decides
#
my $t = $d->begin(nodes => \@all);
$t->prepare($_) foreach 2, 3;
$t->commit(1);
is($t->where, '1:committed 2:prepared 3:prepared', 'the session has gone after COMMIT');
is(recover($t), 'committed', 'a row of the decider: committed');
is($t->where, '1:committed 2:committed 3:committed', 'everywhere');
is(decision($t), '', 'which the registry need not know');
is(recover($t), '', 'nothing is left to do');

$t = $d->begin(nodes => \@all);
$t->prepare($_) foreach 2, 3;
is(recover($t), 'aborted', 'no row of the decider: aborted');
is($t->where, '1:aborted 2:nothing 3:nothing', 'everywhere');
is(decision($t), 'aborted', 'and so it stands at the registry');
is($c->try($t->part(1) . 'COMMIT', on => 1)->{sqlstate}, '23505', 'a late COMMIT of the decider fails');

$t = $d->begin(nodes => \@all);
$t->prepare(2);
is(recover($t), 'aborted', 'one part is prepared, the other is not');
is($t->where, '1:aborted 2:nothing 3:aborted', 'aborted');
is($c->try($t->part(3) . "PREPARE TRANSACTION '" . $t->gid . ":3'", on => 3)->{sqlstate}, '23505', 'a late PREPARE fails');

# the decider's COMMIT is under way
$t = $d->begin(nodes => \@all);
$t->prepare($_) foreach 2, 3;
my $session = $c->session(on => 1);
$session->sql($t->part(1));
is(recover($t), 'in doubt: It is still in progress on node "n1".', 'a decider that is about to commit is left alone');
is(decision($t), '', 'nothing is decided');
$session->sql('COMMIT');
$session->quit;
is(recover($t), 'committed', 'until it has committed');
is($t->where, '1:committed 2:committed 3:committed', 'everywhere');

# the registry has been asked before
$t = $d->begin(nodes => \@all);
$t->prepare($_) foreach 2, 3;
$c->sql("INSERT INTO plshard.decision SELECT cluster_id, '" . $t->gid . "', 'committed' FROM plshard.cluster");
is(recover($t), 'committed', 'the registry says commit, where the decider has come back without its row');
is($t->where, '1:aborted 2:committed 3:committed', 'that is followed');
$c->deactivate('n1');
repaired();

#
# The decider is out of the cluster: the others' word counts
#
$t = $d->begin(nodes => \@all);
$t->prepare($_) foreach 2, 3;
$c->deactivate('n1');
is(recover($t), 'committed', 'the decider is evicted, all others are prepared: committed');
is($t->where, '1:nothing 2:committed 3:committed', 'on all others');
is(decision($t), 'committed', 'through the registry');
repaired();

$t = $d->begin(nodes => \@all);
$t->prepare(2);
$c->deactivate('n1');
is(recover($t), 'aborted', 'the decider is evicted, one of the others is not prepared: aborted');
is($t->where, '1:aborted 2:nothing 3:aborted', 'everywhere');
is(decision($t), 'aborted', 'through the registry');
repaired();

$t = $d->begin(nodes => \@all);
$t->prepare($_) foreach 2, 3;
$c->sql("COMMIT PREPARED '" . $t->gid . ":2'", on => 2);
$c->deactivate('n1');
is(recover($t), 'committed', 'one of the others has committed already');
repaired();

$t = $d->begin(nodes => \@all);
$t->prepare($_) foreach 2, 3;
$c->sql("INSERT INTO plshard.decision SELECT cluster_id, '" . $t->gid . "', 'aborted' FROM plshard.cluster");
$c->deactivate('n1');
is(recover($t), 'aborted', 'the registry says abort: that is followed, though all others are prepared');
is($t->where, '1:aborted 2:nothing 3:nothing', 'everywhere');
repaired();

# a shard that it may have written, whose replicas have all been made anew since
$t = $d->begin(nodes => \@all);
$t->prepare($_) foreach 2, 3;
$c->deactivate('n1');
$c->sql('UPDATE plshard.placement SET active_since = 1000000 WHERE shard_id = 10001 AND node_id IN (2, 3)');
like(recover($t), qr/^in doubt: All replicas of shard 10001 that may have known the outcome have been evicted since/,
	'each shard that may have been written needs a replica that knows');
is($t->where, '1:nothing 2:prepared 3:prepared', 'nothing is done without');
$c->sql('UPDATE plshard.placement SET active_since = 1 WHERE shard_id = 10001 AND node_id = 3');
is(recover($t), 'committed', 'one is enough');
$c->sql('UPDATE plshard.placement SET active_since = 1 WHERE shard_id = 10001');
repaired();

# only a node that is out of the cluster has anything
$t = $d->begin(nodes => [ 2, 3 ]);
$t->prepare(3);
$c->deactivate('n3');
like(recover($t), qr/^in doubt: It is left only on nodes whose placements are inactive/, 'what an evicted node alone has is left to repair');
repaired();
is($t->where, '2:nothing 3:nothing', 'which rolls it back');

#
# Nodes that are down
#
$t = $d->begin(nodes => \@all);
my $other = $d->begin(nodes => [ 2, 3 ]);
$t->prepare($_) foreach 2, 3;
$other->prepare(3);
$other->commit(2);
$c->node(1)->stop('immediate');
my $r = $c->try("SELECT gid, outcome FROM plshard.recover('c')");
like($r->{err}, qr/WARNING: .*node "n1" of cluster "c" could not be asked.*WARNING: .*node "n1" of cluster "c" failed/s, 'a decider that is down is named, and evicted');
is($r->{out}, $other->gid . "|committed\n" . $t->gid . '|committed', 'what does not need it comes first');
$c->node(1)->start;
repaired();

# the decider holds the last placement of a shard, so it cannot be evicted
$t = $d->begin(nodes => \@all);
$other = $d->begin(nodes => [ 2, 3 ]);
$t->prepare($_) foreach 2, 3;
$other->prepare(3);
my $last = $c->sql("SELECT max(shard_id) FROM plshard.shards");
$c->deactivate("n$_", $last) foreach 2, 3;
$c->node(1)->stop('immediate');
$r = $c->try("SELECT outcome, detail FROM plshard.recover('c') ORDER BY 1");
is($r->{out}, "aborted|\nin doubt|Node \"n1\" is needed, but does not answer, and holds the last active placement of a shard.",
	'what needs a node that cannot be evicted waits for it');
is($t->where, '2:prepared 3:prepared', 'and stays prepared');
$c->node(1)->start;
is(recover($t), 'aborted', 'until the node is back');
repaired();

# a participant is down
$t = $d->begin(nodes => \@all);
$t->prepare($_) foreach 2, 3;
$t->commit(1);
$c->node(3)->stop('immediate');
like(recover($t), qr/^committed: Node "n3" cannot be asked: /, 'a part that cannot be told');
is($t->where, '1:committed 2:committed', 'does not hold up the others');
$c->node(3)->start;
is(recover($t), 'committed', 'and is told later');
is($t->where, '1:committed 2:committed 3:committed', 'the same');

# a frozen one, before the decision
$t = $d->begin(nodes => \@all);
$t->prepare(2);
$c->deactivate('n1');
$c->freeze(3);
$r = $c->try("SELECT outcome FROM plshard.recover('c')");
is($r->{out}, 'committed', 'a silent node is evicted, and the rest decides');
cmp_ok($r->{seconds}, '<', 60, 'in bounded time');
$c->thaw(3);
repaired();

#
# Whose session lives
#
$session = $c->session(on => 3);
$session->sql('SELECT pg_advisory_lock_shared(-77, 4242)');
$t = $d->begin(nodes => \@all, front_key => -77, session => 4242);
$other = $d->begin(nodes => \@all, front_key => -77, session => 4243);
foreach my $i (2, 3) { $_->prepare($i) foreach $t, $other; }
is(recover($t), 'in doubt: Its session is still running it.', 'a session that lives ends its transaction itself');
is($t->where, '1:nothing 2:prepared 3:prepared', 'it is left alone');
is($other->where, '1:aborted 2:nothing 3:nothing', 'unlike one of another session');

#
# The view
#
is($c->sql('SELECT cluster, gid, node, prepared_at <= clock_timestamp(), owner = current_user, decider, front_id, decision, session_alive FROM plshard.in_doubt ORDER BY node'),
	join("\n", map { 'c|' . $t->gid . "|n$_|t|t|n1|||t" } 2, 3), 'plshard.in_doubt shows both parts');
$session->quit;
$c->wait_for('SELECT bool_and(NOT session_alive) FROM plshard.in_doubt');
$t->commit(1);
is($c->sql('SELECT DISTINCT decision FROM plshard.in_doubt'), 'committed', 'and the decision, once there is one');
$c->sql('CREATE ROLE nobody');
is($c->sql('SET ROLE nobody; SELECT count(*) FROM plshard.in_doubt'), '0', 'of clusters that one may use');
is($c->try("SET ROLE nobody; SELECT * FROM plshard.recover('c')")->{sqlstate}, '42501', 'recovery is for owners');
is(recover($t), 'committed', 'when the session has gone it is resolved');

# names of others
$c->sql("BEGIN; CREATE TABLE x (); PREPARE TRANSACTION '" . $t->gid . "'", on => 2);
$c->sql("BEGIN; CREATE TABLE z (); PREPARE TRANSACTION '" . $t->gid . ":3'", on => 2);
$c->sql("BEGIN; CREATE TABLE y (); PREPARE TRANSACTION 'plshard_$d->{cluster_id}_0'", on => 2);
is($c->sql("SELECT count(*) FROM plshard.recover('c')"), '0', 'names that are almost ours are not');
is($c->sql("SELECT count(*) FROM pg_prepared_xacts", on => 2), '3', 'and what has them is left alone');
$c->sql("ROLLBACK PREPARED '$_'", on => 2) foreach $t->gid, $t->gid . ':3', "plshard_$d->{cluster_id}_0";

#
# Two at once
#
my @many = map { $d->begin(nodes => \@all) } 1 .. 8;
foreach my $m (@many) { $m->prepare($_) foreach 2, 3; }
$_->commit(1) foreach @many[ 0 .. 3 ];
my @results = $c->parallel(("SELECT outcome FROM plshard.recover('c')") x 2);
is_deeply([ map { $_->{sqlstate} } @results ], [ undef, undef ], 'two recoverers at once');
is($_->where, '1:committed 2:committed 3:committed', 'come to the same end') foreach @many[ 0 .. 3 ];
like($_->where, qr/^1:aborted 2:(?:nothing|aborted) 3:(?:nothing|aborted)$/, 'of each transaction') foreach @many[ 4 .. 7 ];

#
# Transactions that a front decides
#
my $front_id = $c->sql("SELECT replace(front_id::text, '-', '') FROM plshard.front");
my $own = substr $front_id, 0, 16;
$t = $d->begin(nodes => \@all, decider => 0, front => $own);
$other = $d->begin(nodes => \@all, decider => 0, front => $own);
$t->prepare($_) foreach @all;
$other->prepare($_) foreach @all;
$c->sql("INSERT INTO plshard.transaction VALUES ('" . $t->gid . "')");
is(recover($t), 'committed', 'the front decides: it has committed');
is($t->where, '1:committed 2:committed 3:committed', 'so have the nodes');
is($other->where, '1:nothing 2:nothing 3:nothing', 'what it has not committed is aborted');
is(decision($other), 'aborted', 'and so it stands at the registry');

my $lost = 'feedbeef00000001';
$t = $d->begin(nodes => \@all, decider => 0, front => $lost);
$other = $d->begin(nodes => \@all, decider => 0, front => $lost);
$t->prepare($_) foreach @all;
$other->prepare(1);
like(recover($t), qr/^in doubt: .* another front/, 'another front decides: it is waited for');
my $seen = $c->sql('SELECT DISTINCT front_id FROM plshard.in_doubt WHERE decider IS NULL');
is($seen, 'feedbeef-0000-0001-0000-000000000000', 'plshard.in_doubt says which');
is($c->try("SELECT * FROM plshard.forget_front((SELECT front_id FROM plshard.front))")->{sqlstate}, '22023', 'the own one cannot be forgotten');
is($c->sql("SET ROLE nobody; SELECT count(*) FROM plshard.forget_front('$seen')"), '0', 'nor clusters of others touched');
is($c->sql("SELECT cluster, outcome FROM plshard.forget_front('$seen') ORDER BY gid"), "c|committed\nc|aborted",
	'unless an operator says that it is lost');
is($t->where . ' ' . $other->where, '1:committed 2:committed 3:committed 1:nothing 2:aborted 3:aborted', 'then the nodes decide');

#
# Roles: which may finish what another role has prepared
#
$c->sql(<<"SQL", on => $_) foreach @all;
CREATE ROLE app;
CREATE ROLE keeper LOGIN;
GRANT INSERT ON plshard_$d->{shard}.t TO app;
SQL
$c->sql(<<'SQL');
CREATE ROLE keeper;
GRANT USAGE ON FOREIGN DATA WRAPPER plshard TO keeper;
ALTER SERVER c OWNER TO keeper;
CREATE USER MAPPING FOR keeper SERVER c OPTIONS (password_required 'false');
SQL
$t = $d->begin(nodes => \@all, as => 'app');
$t->prepare($_) foreach 2, 3;
$t->commit(1);
my $as_keeper = "SET ROLE keeper; SELECT outcome, detail FROM plshard.recover('c')";
is($c->sql($as_keeper), 'committed|On node "n2" role "keeper" may not finish what role "app" has prepared:'
	  . ' run GRANT app TO keeper there, or set the cluster\'s option recovery_role.', 'a role that may not finish it says which GRANT is missing');
is($t->where, '1:committed 2:prepared 3:prepared', 'and leaves it in doubt');
$c->sql('GRANT app TO keeper', on => $_) foreach @all;
is($c->sql($as_keeper), 'committed|', 'a member of the role that prepared it may');
is($t->where, '1:committed 2:committed 3:committed', 'and does');
$c->sql('ALTER SERVER c OWNER TO current_user');

#
# Rows are deleted when they are not needed any more
#
sub age { $c->sql(q{UPDATE plshard_node.transaction SET written_at = written_at - interval '1 hour'}, on => $_) foreach @all; return; }
my $rows = q{SELECT count(*) FROM plshard_node.transaction};
# young, however long the test has taken so far
$c->sql('UPDATE plshard_node.transaction SET written_at = clock_timestamp()', on => $_) foreach @all;
cmp_ok($c->sql($rows, on => 1), '>', 5, 'there are rows, which are young');
my $before = $c->sql($rows, on => 2);
recover($t);
is($c->sql($rows, on => 2), $before, 'and stay');

age();
$c->sql(q{UPDATE plshard.decision SET decided_at = decided_at - interval '1 hour'});
# one transaction in doubt, one aborted and one committed of a session that lives
$session = $c->session(on => 3);
$session->sql('SELECT pg_advisory_lock_shared(9, 9)');
$t = $d->begin(nodes => \@all, front_key => 9, session => 9);
$t->prepare($_) foreach 2, 3;
$t->commit(1);
$other = $d->begin(nodes => \@all, front_key => 9, session => 9);
$c->sql("INSERT INTO plshard_node.transaction VALUES ('" . $other->gid . "', 'aborted')", on => 1);
my $done = $d->begin(nodes => \@all, front_key => 9, session => 9);
$done->commit($_) foreach @all;
age();
recover($t);
is($c->sql('SELECT state FROM plshard_node.transaction ORDER BY gid', on => 1), "committed\naborted\ncommitted", 'the rest goes');
is($c->sql($rows, on => $_), '1', "on node n$_, too") foreach 2, 3;
is($c->sql('SELECT count(*) FROM plshard.decision'), '0', 'and at the registry');
is($c->sql('SELECT count(*) FROM plshard.transaction'), '0', 'and on the front');
$session->quit;
$c->wait_for(q{SELECT NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND classid = 9)}, on => 3);

$c->node(3)->stop;
recover($t);
is($c->sql('SELECT state FROM plshard_node.transaction ORDER BY gid', on => 1), "committed\naborted\ncommitted", 'nothing goes while a participant cannot be asked');
$c->node(3)->start;
is(recover($t), 'committed', 'the last one is resolved');
age();
recover($t);
is($c->sql($rows, on => $_), '0', "no row is left on n$_") foreach @all;
all_active();

#
# Anything can be the name of a prepared transaction: large node ids in it cost no memory
#
my @forged = map { sprintf 'plshard_%s_%032x_%08x_1_1_0_%016x_%d.1:%d', $d->{cluster_id}, 7000 + $_, 1, 1, 2147483647 - 4 * $_, 2147483647 - 4 * $_ } 1 .. 6;
$c->sql("BEGIN; PREPARE TRANSACTION '$_'", on => 1) foreach @forged;
SKIP:
{
	skip 'no /proc', 1 if !-e '/proc/self/status';
	my $peak = $c->sql(<<'SQL');
SELECT count(*) FROM plshard.recover('c');
SELECT count(*) FROM plshard.in_doubt;
SELECT substring(pg_read_file('/proc/self/status') FROM 'VmHWM:\s*(\d+) kB')
SQL
	$peak =~ s/.*\n//s;
	cmp_ok($peak, '<', 200_000, 'kB of memory for names with large node ids');
}
is($c->sql('SELECT count(*) FROM pg_prepared_xacts', on => 1), '6', 'which are not ours, and stay');
$c->sql("ROLLBACK PREPARED '$_'", on => 1) foreach @forged;

done_testing();
