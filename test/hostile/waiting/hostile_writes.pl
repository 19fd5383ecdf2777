# What a server says is never believed: writes, and what comes with them.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use PlshardHostile;
use Test::More;

my $h = PlshardHostile->new(nodes => 2);
my $c = $h->cluster;
my ($k1, $k2) = $h->sample;

# What a lie has left prepared is settled.
sub settle
{
	my ($self) = @_;
	$self->ask("SELECT count(*) FROM plshard.recover('$_')") foreach 's', 'c';
	return;
}

# What is said to be written is there: the key has the last value.
sub written
{
	my ($self, $get) = @_;
	return $self->ask("SELECT $get('$k1') = last_value FROM value") eq 't' ? '' : 'it is not written';
}

$c->sql('CREATE SEQUENCE value');
my $v = "SELECT nextval('value') AS v \\gset\n";
my %how = (mend => \&settle, check => sub { written($_[0], 'get_s') });
$h->attack(%how, name => 'a write', sql => "$v BEGIN; SELECT set_s('$k1', :v) = :v; COMMIT", seeds => 4);
$h->attack(%how, name => 'a write in one shot', sql => "$v SELECT set_s('$k1', :v) = :v", seeds => 4, patient => 1);
$h->attack(%how, name => 'a void write', sql => "$v SELECT put_s('$k1', :v)", seeds => 4);
$h->attack(%how, name => 'a write on replicas', sql => "$v SELECT set_c('$k1', :v) = :v", seeds => 4, elsewhere => 1,
	check => sub { written($_[0], 'get_c') });
$h->finish;
done_testing();
