# What a server says is never believed: a role with no more than LOGIN brings a server of its own.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use PlshardHostile;
use Test::More;

my $h = PlshardHostile->new(nodes => 0);
my $c = $h->cluster;
$c->sql('CREATE ROLE visitor LOGIN');
my $conninfo = $h->conninfo(999) . ' user=x password=y';

my %visitor = (ports => [999], begin => 'SET ROLE visitor', node => 'node');
$h->attack(%visitor, name => 'DO reads', share => 1, patient => 1, seeds => 60,
	sql => "DO LANGUAGE plshard \$\$ CONNECT '$conninfo'; READ; SELECT 1; \$\$");
$h->attack(%visitor, name => 'DO writes', share => 3, seeds => 60,
	sql => "DO LANGUAGE plshard \$\$ CONNECT '$conninfo'; SELECT 1; \$\$");
$h->finish;
done_testing();
