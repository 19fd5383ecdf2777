# What a server says is never believed: recovery and repair.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use PlshardHostile;
use PlshardInDoubt;
use Test::More;

my $h = PlshardHostile->new(nodes => 2);
my $c = $h->cluster;
my ($k1, $k2) = $h->sample;
my $d = PlshardInDoubt->new($c);
my @each = ('columns: one less', 'values: all NULL', 'columns: no row', 'values: text that is no number', 'fatal: no message',
	'unasked: CopyOutResponse instead');

# Two that are in doubt: one is committed, the other one nowhere decided.
sub leave_in_doubt
{
	foreach my $decided (0, 1)
	{
		my $t = $d->begin(nodes => [ 1, 2 ]);
		$t->prepare(2);
		$t->commit(1) if $decided;
	}
	return;
}

sub settle
{
	my ($self) = @_;
	$self->ask("SELECT count(*) FROM plshard.recover('$_')") foreach 's', 'c';
	return;
}

$h->attack(name => 'recover', warns => 1, each => [ @each[ 0, 1, 4 ] ], seeds => 15, reset => \&leave_in_doubt, mend => \&settle,
	sql => "SELECT outcome, count(*) FROM plshard.recover('c') GROUP BY 1 ORDER BY 1");
$h->attack(name => 'repair', warns => 1, each => [ @each[ 0, 1, 4 ] ], seeds => 15, reset => sub { $h->repair; $c->deactivate('n2', $d->{shard}) },
	limit => '5s', sql => "SELECT node, sum(rows) FROM plshard.repair_cluster('c') r(shard, source, node, rows) GROUP BY 1");
$h->finish;
done_testing();
