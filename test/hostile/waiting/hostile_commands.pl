# What a server says is never believed: commands of administration, each of whose messages is lied to
# in the ways that have mattered.

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
my @each = ('columns: one less', 'columns: 0 of them', 'values: all NULL', 'columns: no row', 'rows: two',
	'values: text that is no number', 'columns: a command instead', 'fatal: no message', 'error: no fields',
	'unasked: CopyInResponse instead', 'unasked: CopyOutResponse instead', 'unasked: CopyBothResponse instead',
	'ready: before the answer');

$h->attack(name => 'add_node', each => \@each, seeds => 20,
	sql => "BEGIN; SELECT plshard.create_cluster('x'); SELECT plshard.add_node('x', 'n1', '" . $h->conninfo(1) . "'); ROLLBACK");
$h->attack(name => 'in_doubt', warns => 1, each => \@each, seeds => 20, sql => 'SELECT cluster, node FROM plshard.in_doubt');
$h->attack(name => 'verify', warns => 1, each => \@each, seeds => 20, sql => "SELECT bool_and(consistent), sum(row_count) FROM plshard.verify('c')");
$h->attack(name => 'deploy', each => \@each, seeds => 20,
	sql => "BEGIN; SELECT plshard.deploy('c', 'CREATE TABLE u (k int)'); ROLLBACK");
$h->finish;
done_testing();
