# What a server says is never believed: the messages that have once brought a front down, or
# were taken for something else. The whole of it is in the other tests hostile_*.

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
	my ($self) = @_;
	return $self->ask("SELECT get_s('$k1') = last_value FROM value") eq 't' ? '' : 'it is not written';
}

# messages without a part, in no encoding, with a SQLSTATE that is none, without end
my $reports = qr/^(?:fatal|panic|error: (?:no |.*sqlstate|.*encoding|.*MB|positions|behind|before|long)|notice: (?:no |.*encoding|.*MB|1000))/;
# more columns than a row can have; answers in another order, or of another kind
my $answers = qr/^(?:columns: (?:\d\d|one|a command|nothing|none|where)|ready: (?!missing)|tag: |rows: (?:without|behind))/;

$h->attack(name => 'a read', sql => "SELECT get_s('$k1')", share => 1, only => qr/$reports|$answers/);

$c->sql('CREATE SEQUENCE value');
my $v = "SELECT nextval('value') AS v \\gset\n";
my %how = (mend => \&settle, check => \&written, share => 1, only => qr/^(?:tag|the end|fatal: behind|ready: (?!missing)|columns: (?:a command|nothing|none|where)|rows: without)/);
$h->attack(%how, name => 'a void write', sql => "$v SELECT put_s('$k1', :v)");
$h->attack(%how, name => 'a write', sql => "$v BEGIN; SELECT set_s('$k1', :v) = :v; COMMIT");
# a COMMIT is never cancelled, so what ends the wait is the node's silence
$h->attack(%how, name => 'an answer without an end', only => qr/^$/, each => ['ready: missing'],
	sql => "$v BEGIN; SELECT set_s('$k1', :v) = :v; COMMIT");

# commands of administration, which run on no shard
$h->attack(name => 'add_node', share => 1, only => qr/^fatal/,
	sql => "BEGIN; SELECT plshard.create_cluster('x'); SELECT plshard.add_node('x', 'n1', '" . $h->conninfo(1) . "'); ROLLBACK");
$h->finish;
done_testing();
