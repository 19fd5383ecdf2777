# A node dies at a step of an atomic commit, the decider or another participant, alone or
# together with the front's session. Afterwards: what the client was told is true, writers
# go on without the node, and when it is back all is resolved and equal.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PlshardInjection;
use Test::More;

my $i = PlshardInjection->new;
my $c = $i->cluster;

sub bring_back
{
	my ($node, $replicas) = @_;
	$c->node($node)->start;
	$c->sql("SELECT count(*) FROM plshard.recover('c$replicas')");
	$c->sql("SELECT count(*) FROM plshard.repair_cluster('c$replicas')");
	return;
}

#
# The node alone: the session is stopped at its step meanwhile
#
my @all = qw(before_prepare prepared before_commit committed commit_prepared);
foreach my $shape ([ 1, 'prepared', 'committed' ], [ 2, @all ], [ 3, @all ])
{
	my ($replicas, @at) = @$shape;
	foreach my $step (@at)
	{
		foreach my $node (1, 2)
		{
			my $name = "$replicas replicas, node n$node dies at $step";
			my @keys = $i->new_keys($replicas, $replicas == 1 ? 2 : 1);
			my $session = $i->begin($replicas, "$step:stop", @keys);
			my $pid = $i->commit_and_stop($session);
			$c->node($node)->stop('immediate');
			kill 'CONT', $pid;
			my $told = PlshardInjection::told($session->result);
			# a commit holds interrupts, and must release them
			$session->sql("SET statement_timeout = '200ms'");
			is($session->try('SELECT pg_sleep(20)')->{sqlstate}, '57014', "$name: the session can be cancelled");
			# the answer, if it was waiting for it, comes when the node does
			$session->quit;
			bring_back($node, $replicas);
			$i->check($name, $replicas, $PlshardInjection::outcome{$step} eq 'present' ? 'present' : 'either', $told, @keys);
		}
	}
}

#
# The node and the session
#
foreach my $shape ([ 2, qw(prepare_sent prepared commit_sent committed) ], [ 3, 'prepared' ])
{
	my ($replicas, @at) = @$shape;
	foreach my $step (@at)
	{
		foreach my $node (1, 2)
		{
			my $name = "$replicas replicas, the session and node n$node die at $step";
			my @keys = $i->new_keys($replicas, 1);
			my $session = $i->begin($replicas, "$step:stop", @keys);
			my $pid = $i->commit_and_stop($session);
			$c->node($node)->stop('immediate');
			kill 'KILL', $pid;
			ok($session->result->{lost}, "$name: the client knows nothing");
			$c->wait_for_restart($session);
			my $result = $c->try("SELECT put$replicas('$keys[0]{name}', 2)", timeout => 60);
			is($result->{sqlstate}, undef, "$name: writers go on");
			bring_back($node, $replicas);
			$i->check($name, $replicas, $step eq 'committed' ? 'present' : 'either', 'unknown', @keys);
			is($i->where(2, @keys), 'present', "$name: what they wrote is there");
		}
	}
}

$i->check_clusters;
done_testing();
