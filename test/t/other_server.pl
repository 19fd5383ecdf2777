
# A node whose server is another one than it was: a backup was restored, or an asynchronous
# standby promoted. It may lack writes that were acknowledged (PROTOCOL rule 18).

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use PlshardCluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $c = PlshardCluster->new(nodes => 3, shards => 3, replicas => 2, node_conf => 'wal_level = replica');
$c->sample;
my ($kept, $lost, $unread) = $c->some_keys(3, shard => 10000);	# on n1 and n2
$c->sql("SELECT put('$kept', 1)");

# What base backup and recovery make of a node: the files of another time, on a new timeline.
sub back_up
{
	my ($i) = @_;
	my $node = $c->node($i);
	$node->stop;
	my $backup = PostgreSQL::Test::Utils::tempdir();
	system_or_bail('cp', '-a', $node->data_dir . '/.', $backup);
	$node->start;
	return $backup;
}

sub restore
{
	my ($i, $backup) = @_;
	my $node = $c->node($i);
	$node->stop('immediate');
	system_or_bail('rm', '-rf', $node->data_dir);
	system_or_bail('cp', '-a', "$backup/.", $node->data_dir);
	promote($i);
	return;
}

# Also without having lost anything.
sub promote
{
	my ($i) = @_;
	my $node = $c->node($i);
	$node->stop if defined $node->{_pid};
	$node->set_standby_mode;
	$node->start;
	$node->promote;
	$c->wait_for('SELECT NOT pg_is_in_recovery()', on => $i);
	return;
}

sub inactive
{
	my $states = $c->states;
	return join ' ', grep { $states->{$_} =~ /inactive/ } sort keys %$states;
}

my $backup = back_up(1);
$c->sql("SELECT put('$lost', 1)");
restore(1, $backup);

is($c->sql("SELECT count(*) FROM plshard_10000.t WHERE k = '$lost'", on => 1), 0, 'a write is missing on the node');
is_deeply([ map { $c->sql("SELECT get('$lost')") } 1 .. 8 ], [ (1) x 8 ], 'reads do not go there, whichever session reads');
my $r = $c->try("SELECT bump('$lost')");
is($r->{out}, 2, 'a write goes on without it') or diag $r->{err};
is(inactive(), 'n1', '... and it is evicted') or diag explain $c->states;
$c->sql(q{SELECT count(*) FROM plshard.repair_cluster('c')});
is(inactive(), '', 'it is repaired');
is_deeply([ $c->differences ], [], '... and equal');
is($c->sql("SELECT bump('$lost')"), 3, '... and written to again');
is(inactive(), '', '... as the server that it is now');

# the last placement of a shard
$c->deactivate('n2');
restore(1, $backup);
$r = $c->try("SELECT bump('$kept')");
is($r->{sqlstate}, undef, 'what only this node has is read and written: there is nothing better') or diag $r->{err};
is($c->try('SELECT total()')->{sqlstate}, undef, '... also by a call of all shards, of which others have replicas elsewhere');
$c->sql(q{SELECT count(*) FROM plshard.repair_cluster('c')});
is(inactive(), '', '... and what others have is made from it');
my ($on_3, $also) = $c->some_keys(2, shard => 10002);	# on n3 and n1
is($c->try("SELECT put('$on_3', 1)")->{sqlstate}, undef, 'what another node has, too, is written');
is(inactive(), 'n1', '... there, and the node evicted');
$c->sql(q{SELECT count(*) FROM plshard.repair_cluster('c')});

# where the operator knows that nothing is missing
promote(3);
$c->sql('ALTER SYSTEM SET max_prepared_transactions = 0', on => 3);
$c->node(3)->restart;
is($c->try(q{SELECT plshard.accept_node('c', 'n3')})->{sqlstate}, '55000', 'a node that is not fit');
is_deeply([ map { $c->sql("SELECT get('$on_3')") } 1 .. 4 ], [ (1) x 4 ], '... is not read from');
is($c->sql(q{SELECT obj_description(oid, 'pg_class') ~ '/1$' FROM pg_class WHERE relname ~ '^epoch_'}, on => 3), 't', '... nor accepted');
$c->sql('ALTER SYSTEM RESET max_prepared_transactions', on => 3);
$c->node(3)->restart;
is($c->sql(q{SELECT plshard.accept_node('c', 'n3')}), '', 'accept_node');
is($c->try("SELECT put('$also', 1)")->{sqlstate}, undef, '... and a write');
is(inactive(), '', '... evict no node');
$r = $c->try(q{CREATE ROLE nobody; SET ROLE nobody; SELECT plshard.accept_node('c', 'n3')});
is($r->{sqlstate}, '42501', 'only the owner may say so');
is($c->try(q{SELECT plshard.accept_node('c', 'n9')})->{sqlstate}, '42704', 'a node that is not there');

is_deeply([ $c->differences ], [], 'the replicas are equal');

# nothing can be missing of a node that holds nothing yet
my $conninfo = $c->conninfo(3);
$c->sql("SELECT plshard.create_cluster('late'); SELECT plshard.add_node('late', 'n', '$conninfo')");
promote(3);
$r = $c->try(q{SELECT plshard.create_shards('late', 1, 1), plshard.deploy('late', 'CREATE TABLE t (k text)')});
is($r->{sqlstate}, undef, 'a node is promoted before it has shards') or diag $r->{err};
done_testing();
