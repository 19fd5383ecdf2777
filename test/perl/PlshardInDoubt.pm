
=pod

=head1 NAME

PlshardInDoubt - distributed transactions left in doubt, made by hand

=head1 SYNOPSIS

  my $d = PlshardInDoubt->new($cluster);		# a PlshardCluster with its sample table
  my $t = $d->begin(nodes => [ 1, 2, 3 ]);		# n1 decides
  $t->prepare(2); $t->prepare(3);
  $t->commit(1);								# now it is decided
  ...
  is($t->where, '1:committed 2:committed 3:committed', '...');

=head1 DESCRIPTION

What a front's session would do is done by psql on the nodes: each participant's
part inserts a row into C<t> of one shard, under a key of the transaction's own (C<key>), and
one into C<plshard_node.transaction>.

=head1 METHODS

=over

=cut

package PlshardInDoubt;

use strict;
use warnings;

sub new
{
	my ($class, $cluster, %options) = @_;
	my $self = bless { c => $cluster, count => 0, %options }, $class;
	$self->{cluster_id} = $cluster->sql("SELECT replace(cluster_id::text, '-', '') FROM plshard.clusters WHERE cluster = 'c'");
	$self->{shard} //= $cluster->sql("SELECT min(shard_id) FROM plshard.shards WHERE cluster = 'c'");
	return $self;
}

=pod

=item $d->begin(nodes => [ ... ], %options)

Names a transaction; nothing happens yet.  Options: C<decider> (a node's number,
the first of C<nodes> if not given; 0: the front), C<front> (16 hexadecimal digits),
C<front_key> and C<session> (numbers), C<as> (a role of the nodes).

=item $t->gid, $t->key

Its name, and the key of its row.

=item $t->prepare($i), $t->commit($i)

Its part on node $i, prepared or committed.

=item $t->part($i)

The statements of that part, without an end.

=item $t->where

What has become of it: for each of its nodes that runs C<committed>, C<prepared>,
C<aborted> (a row says so) or C<nothing>.

=back

=cut

sub begin
{
	my ($self, %options) = @_;
	my $t = bless { d => $self, c => $self->{c}, front_key => 1, session => 1, front => '0' x 16, %options },
	  'PlshardInDoubt::Transaction';
	my @nodes = sort { $a <=> $b } @{ $t->{nodes} };
	my $bits = 0;
	my $hex = '';

	$t->{decider} //= $t->{nodes}[0];
	$bits |= 1 << ($_ - $nodes[0]) foreach @nodes;
	for (; $bits; $bits >>= 4) { $hex .= sprintf '%x', $bits & 15; }
	$t->{epoch} //= $self->{c}->sql("SELECT epoch FROM plshard.clusters WHERE cluster = 'c'");
	$t->{key} = $self->{c}->key($self->{shard});
	$self->{count}++;
	$t->{gid} = sprintf 'plshard_%s_%032x_%08x_%d_%d_%d_%s_%d.%s', $self->{cluster_id}, $self->{count},
	  $t->{front_key} & 0xffffffff, $t->{session}, $t->{epoch}, $t->{decider}, $t->{front}, $nodes[0], $hex;
	return $t;
}

package PlshardInDoubt::Transaction;

sub gid { return $_[0]->{gid}; }
sub key { return $_[0]->{key}; }

sub part
{
	my ($self, $i) = @_;
	my $role = defined $self->{as} ? "SET LOCAL ROLE $self->{as};" : '';
	return <<"SQL";
BEGIN; $role
INSERT INTO plshard_$self->{d}{shard}.t VALUES ('$self->{key}', 1);
INSERT INTO plshard_node.transaction (gid, state) VALUES ('$self->{gid}', 'committed');
SQL
}

sub prepare
{
	my ($self, $i) = @_;
	$self->{c}->sql($self->part($i) . "PREPARE TRANSACTION '$self->{gid}:$i'", on => $i);
	return;
}

sub commit
{
	my ($self, $i) = @_;
	$self->{c}->sql($self->part($i) . 'COMMIT', on => $i);
	return;
}

sub where
{
	my ($self) = @_;
	my @where;
	foreach my $i (@{ $self->{nodes} })
	{
		next unless defined $self->{c}->node($i)->{_pid};
		push @where, "$i:" . $self->{c}->sql(<<"SQL", on => $i);
SELECT CASE WHEN EXISTS (SELECT FROM pg_prepared_xacts WHERE gid = '$self->{gid}:$i') THEN 'prepared'
	WHEN EXISTS (SELECT FROM plshard_$self->{d}{shard}.t WHERE k = '$self->{key}') THEN 'committed'
	ELSE coalesce((SELECT state FROM plshard_node.transaction WHERE gid = '$self->{gid}'), 'nothing') END
SQL
	}
	return join ' ', @where;
}

1;
