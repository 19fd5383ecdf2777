# What a server says is never believed: reads, against a server that lies once, in each way that
# test/hostile/scenarios.py knows.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use PlshardHostile;
use Test::More;

my $h = PlshardHostile->new(nodes => 2);
my $c = $h->cluster;
my ($k1) = $h->sample;

$h->attack(name => 'a read', sql => "SELECT get_s('$k1')", patient => 1, seeds => 4);
$h->attack(name => 'a read with a replica', sql => "SELECT get_c('$k1')", elsewhere => 1, seeds => 3);
$h->attack(name => 'rows', sql => 'SELECT * FROM rows_s() ORDER BY 1', seeds => 3);
$h->attack(name => 'reduced', sql => 'SELECT total_s()', seeds => 3);
$h->attack(name => 'split', sql => "SELECT * FROM split_s('{x1,x2,x3,x4,x5,x6}') ORDER BY 1", seeds => 3);
$h->attack(name => 'copied', sql => 'SELECT count(*), sum(v), min(k), max(k) FROM copied_s()', seeds => 3);
$h->finish;
done_testing();
