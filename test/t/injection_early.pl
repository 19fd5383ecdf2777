# A single call on two replicas, which prepares on its way: its session is killed, fails or stops at
# each step, alone or together with a node. Afterwards: all or nothing on both placements, what
# the client was told is true, nothing stays prepared, and replicas are equal.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PlshardInjection;
use Test::More;

my $i = PlshardInjection->new;
my $c = $i->cluster;
my @steps = PlshardInjection::early_steps();
my %outcome = %PlshardInjection::outcome;

# A key whose D is n1 and whose other replica is on n2, and a call for it with value 1.
sub new_call
{
	my ($function) = @_;
	my ($key) = $i->new_keys(2, 1);
	return ($key, "SELECT $function('$key->{name}', 1)");
}

sub is_prepared
{
	my ($node) = @_;
	return $c->sql('SELECT count(*) FROM pg_prepared_xacts', on => $node);
}

sub bring_back
{
	my ($node) = @_;
	$c->node($node)->start;
	$c->sql("SELECT count(*) FROM plshard.recover('c2')");
	$c->sql("SELECT count(*) FROM plshard.repair_cluster('c2')");
	return;
}

#
# It is killed: the server restarts, and the client knows nothing
#
foreach my $case ((map { [ 'call2', $_ ] } @steps), [ 'put2', 'early_sent' ], [ 'put2', 'early_prepared' ])
{
	my ($function, $step) = @$case;
	my $name = "$function, killed at $step";
	my ($key, $call) = new_call($function);
	my $session = $i->connected(2, "$step:kill", $key);
	ok($session->try($call)->{lost}, "$name: the session is gone");
	$c->wait_for_restart($session);
	$i->check($name, 2, $outcome{$step}, 'unknown', $key);
	is($c->sql("SELECT call2('$key->{name}', 2)"), 2, "$name: other writers go on");
}

#
# It fails: before D is told to commit all is taken back at once; later it is not known
#
foreach my $step (@steps)
{
	my $name = "an error at $step";
	my ($key, $call) = new_call('call2');
	my $session = $i->connected(2, "$step:error", $key);
	my $result = $session->try($call);
	is($session->sql('SELECT 1'), '1', "$name: the session goes on");
	if ($step =~ /^early/)
	{
		is($result->{sqlstate}, 'PS999', "$name: the client is told how it ended");
		# what was on its way when it gave up, the next writer resolves without waiting for the session's end
		$c->wait_for(q{SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'plshard'}, on => 2)
		  if $step eq 'early_sent';
		is($c->sql("SELECT call2('$key->{name}', 2)"), 2, "$name: other writers go on");
		is(is_prepared(2), 0, "$name: nothing is left prepared");
	}
	else { is($result->{sqlstate}, '08007', "$name: the client is told that it is not known"); }
	$session->quit;
	$i->check($name, 2, $outcome{$step} eq 'present' ? 'present' : 'either', PlshardInjection::told($result), $key);
}

#
# It stops, and recovery comes by, which leaves alone whose session is there; then it goes on, and
# commits
#
foreach my $step (@steps)
{
	my $name = "stopped at $step";
	my ($key, $call) = new_call('call2');
	my $session = $i->connected(2, "$step:stop", $key);
	my $pid = $i->stop($session, $call);
	# D has the call by then, and is not told to commit
	$c->wait_for('SELECT count(*) = 1 FROM pg_prepared_xacts', on => 2) if $step eq 'early_sent';
	$c->sql(q{SELECT count(*) FROM plshard.recover('c2')});
	is(is_prepared(2), $step eq 'commit_prepared' ? 0 : 1, "$name: recovery leaves it alone") if $step ne 'prepared_ending';
	kill 'CONT', $pid;
	my $result = $session->result;
	is($result->{out}, '1', "$name: it goes on, and commits") or diag $result->{err};
	$i->check($name, 2, 'present', 'ok', $key);
	$session->quit;
}

#
# It stops for more than a minute, and recovery resolves it: no node works for it any more
#
{
	my $name = 'stopped for more than a minute';
	my ($key, $call) = new_call('call2');
	my $session = $i->connected(2, 'early_prepared:stop', $key);
	my $pid = $i->stop($session, $call);
	$c->wait_for(q{SELECT now() - prepared > '61 s' FROM pg_prepared_xacts}, on => 2);
	is($c->sql(q{SELECT outcome FROM plshard.recover('c2')}), 'aborted', "$name: it is rolled back");
	# D's part is not prepared: it has its locks for as long as its session has
	my $writer = $c->session;
	$writer->send("SELECT call2('$key->{name}', 2)");
	$c->wait_for(q{SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted}, on => 1);
	kill 'CONT', $pid;
	my $result = $session->result;
	is($result->{sqlstate}, '40000', "$name: the one that stopped is told") or diag $result->{err};
	is($writer->result->{out}, '2', "$name: a writer that waits for what it has locked goes on");
	$writer->quit;
	$i->check($name, 2, 'absent', 'refused', $key);
	$session->quit;
}

#
# D refuses (it has a row that the other replica has not): what the other has prepared is taken back
#
foreach my $action (qw(kill error stop))
{
	foreach my $step (qw(early_sent early_prepared prepared_ending))
	{
		my $name = "D refuses, $action at $step";
		my ($key, $call) = new_call('call2');
		my $rows = "plshard_$key->{shard}.t WHERE k = '$key->{name}' AND v = 1";
		my $session = $i->connected(2, "$step:$action", $key);
		$c->sql("INSERT INTO plshard_$key->{shard}.t VALUES ('$key->{name}', 1)", on => 1);
		my $result;
		if ($action eq 'stop')
		{
			my $pid = $i->stop($session, $call);
			kill 'CONT', $pid;
			$result = $session->result;
			is($result->{sqlstate}, '23505', "$name: the client is told why") or diag $result->{err};
			is(is_prepared(2), 0, "$name: nothing is left prepared");
		}
		else { $result = $session->try($call); }
		isnt(PlshardInjection::told($result), 'ok', "$name: the client is not told that it went well");
		if ($result->{lost}) { $c->wait_for_restart($session); }
		else { $session->quit; }
		is($c->sql("SELECT count(*) FROM $rows", on => 1), 1, "$name: D has its row alone");
		$c->sql("DELETE FROM $rows", on => 1);
		$i->check($name, 2, 'absent', PlshardInjection::told($result), $key);
	}
}

#
# A node dies while the session is stopped at its step; the session goes on, or dies as well
#
foreach my $end (qw(CONT KILL))
{
	foreach my $step (qw(early_sent early_prepared before_commit committed commit_prepared))
	{
		foreach my $node (1, 2)
		{
			my $name = "n$node" . ($end eq 'KILL' ? ' and the session' : '') . " dies at $step";
			my ($key, $call) = new_call('call2');
			my $session = $i->connected(2, "$step:stop", $key);
			my $pid = $i->stop($session, $call);
			$c->node($node)->stop('immediate');
			kill $end, $pid;
			my $result = $session->result;
			my $expected = $outcome{$step} eq 'present' ? 'present' : 'either';
			if ($end eq 'KILL')
			{
				ok($result->{lost}, "$name: the client knows nothing");
				$c->wait_for_restart($session);
				is($c->try("SELECT put2('$key->{name}', 2)", timeout => 60)->{sqlstate}, undef, "$name: writers go on");
			}
			else
			{
				# without the node, or D's part is lost
				isnt(PlshardInjection::told($result), 'unknown', "$name: the client is told how it ended") or diag $result->{err};
				$session->quit;
			}
			bring_back($node);
			$i->check($name, 2, $expected, PlshardInjection::told($result), $key);
			is($i->where(2, $key), 'present', "$name: what they wrote is there") if $end eq 'KILL';
		}
	}
}

$i->check_clusters;
done_testing();
