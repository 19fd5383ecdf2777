# A front's session is killed, fails or stops at each step of an atomic commit.
# Afterwards: all or nothing on all placements, what the client was told is true, nothing
# stays prepared, and replicas are equal. (Nodes die in injection_nodes.pl; single calls that
# prepare on their way are in injection_early.pl.)

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PlshardInjection;
use Test::More;

my $i = PlshardInjection->new;
my $c = $i->cluster;
my @steps = @PlshardInjection::steps;
my %outcome = %PlshardInjection::outcome;

#
# It is killed: the server restarts, and the client knows nothing
#
foreach my $shape ([ 1, 2 ], [ 2, 1 ], [ 2, 2 ], [ 3, 1 ], [ 3, 2 ])
{
	my ($replicas, $shards) = @$shape;
	foreach my $step (@steps)
	{
		my $name = "$replicas replicas, $shards shards, killed at $step";
		my @keys = $i->new_keys($replicas, $shards);
		my $session = $i->begin($replicas, "$step:kill", @keys);
		ok($session->try('COMMIT')->{lost}, "$name: the session is gone");
		$c->wait_for_restart($session);
		$i->check($name, $replicas, $outcome{$step}, 'unknown', @keys);
	}
}

# One node alone
{
	my $name = 'one replica, killed at committed';
	my @keys = $i->new_keys(1, 1);
	my $session = $i->begin(1, 'committed:kill', @keys);
	ok($session->try('COMMIT')->{lost}, "$name: the session is gone");
	$c->wait_for_restart($session);
	$i->check($name, 1, 'present', 'unknown', @keys);
}

#
# It fails; what it leaves is resolved when it has gone
#
foreach my $step (@steps)
{
	my $name = "an error at $step";
	my @keys = $i->new_keys(2, 2);
	my $session = $i->begin(2, "$step:error", @keys);
	my $result = $session->try('COMMIT');
	isnt($result->{sqlstate}, undef, "$name is reported");
	is($session->sql('SELECT 1'), '1', "$name: the session goes on");
	if ($step =~ /^(?:before_prepare|prepare_sent|prepared)$/)
	{
		is($result->{sqlstate}, 'PS999', "$name: the client is told how it ended");
		is($c->sql('SELECT count(*) FROM pg_prepared_xacts', on => $_), 0, "$name: nothing is left on n$_")
		  foreach $step eq 'prepared' ? 1 .. 4 : ();
	}
	$session->quit;
	$i->check($name, 2, $outcome{$step} eq 'present' ? 'present' : 'either', PlshardInjection::told($result), @keys);
}

#
# It stops, and recovery comes by, which leaves alone whose session is there; then it goes on, and
# commits
#
foreach my $shape ([ 2, 1 ], [ 3, 2 ])
{
	my ($replicas, $shards) = @$shape;
	foreach my $step (@steps)
	{
		my $name = "$replicas replicas, $shards shards, stopped at $step";
		my @keys = $i->new_keys($replicas, $shards);
		my $session = $i->begin($replicas, "$step:stop", @keys);
		my $pid = $i->commit_and_stop($session);
		$c->sql("SELECT count(*) FROM plshard.recover('c$replicas')");
		kill 'CONT', $pid;
		is($session->result->{sqlstate}, undef, "$name: it goes on, and commits");
		$i->check($name, $replicas, 'present', 'ok', @keys);
		$session->quit;
	}
}

#
# It stops, and a writer that has to wait for what it has prepared resolves it after a
# minute; then it goes on, and learns what has become of it
#
{
	my $name = 'a writer behind one that stopped';
	my @keys = $i->new_keys(2, 2);
	my $session = $i->begin(2, 'before_commit:stop', @keys);
	my $pid = $i->commit_and_stop($session);
	# the second key: its primary does not decide, it is prepared
	my $result = $c->try("SELECT put2('$keys[1]{name}', 2)", timeout => 150);
	ok(!$result->{timed_out}, "$name has an answer in time");
	is($result->{sqlstate}, undef, "$name goes on");
	kill 'CONT', $pid;
	my $told = PlshardInjection::told($session->result);
	is($told, 'refused', "$name: the one that stopped is told");
	$i->check($name, 2, 'absent', $told, @keys);
	is($i->where(2, $keys[1]), 'present', "$name: what it wrote is there");
	$session->quit;
}

#
# A node refuses: what the others have prepared is taken back
#
foreach my $action (qw(kill error))
{
	foreach my $step (qw(prepared before_abort_decision abort_decided prepared_ending))
	{
		my $name = "an abort, $action at $step";
		my @keys = $i->new_keys(2, 2);
		my $session = $i->begin(2, "$step:$action", @keys);
		$session->sql("SELECT put2('$keys[1]{name}', 1)");		# its nodes see that when they prepare
		my $result = $session->try('COMMIT');
		isnt(PlshardInjection::told($result), 'ok', "$name: the client is not told that it went well");
		if ($result->{lost}) { $c->wait_for_restart($session); }
		else { $session->quit; }
		$i->check($name, 2, 'absent', PlshardInjection::told($result), @keys);
	}
}

#
# It has written on the front, too, which therefore decides
#
$c->sql('CREATE TABLE local (k text)');
my %front_outcome = (
	before_prepare => 'absent',
	prepare_sent => 'absent',
	prepared => 'absent',
	front_row => 'absent',
	front_committed => 'present',
	prepared_ending => 'present');
foreach my $step (sort keys %front_outcome)
{
	my $name = "a mixed transaction, killed at $step";
	my @keys = $i->new_keys(2, 2);
	my $session = $i->begin(2, "$step:kill", @keys);
	$session->sql("INSERT INTO local VALUES ('$keys[0]{name}')");
	ok($session->try('COMMIT')->{lost}, "$name: the session is gone");
	$c->wait_for_restart($session);
	$i->check($name, 2, $front_outcome{$step}, 'unknown', @keys);
	is($c->sql("SELECT count(*) FROM local WHERE k = '$keys[0]{name}'"), $front_outcome{$step} eq 'present' ? 1 : 0,
		"$name: and so on the front");
}

$i->check_clusters;
done_testing();
