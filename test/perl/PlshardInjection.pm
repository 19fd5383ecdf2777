
=pod

=head1 NAME

PlshardInjection - transactions that meet their fate at a step of their commit

=head1 SYNOPSIS

  my $i = PlshardInjection->new;
  my @keys = $i->new_keys(2, 2);				# cluster c2: two replicas; two shards
  my $session = $i->begin(2, 'committed:kill', @keys);
  my $result = $session->try('COMMIT');
  $c->wait_for_restart($session);
  $i->check('killed at committed', 2, 'present', PlshardInjection::told($result), @keys);

Clusters c1, c2 and c3, with as many replicas, are on the same four nodes. The module
must be built with injection (src/base/inject.h).

=cut

package PlshardInjection;

use strict;
use warnings;

use PlshardCluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes ();

# The steps in their order, and what becomes of a transaction whose front ends there.
our @steps = qw(before_prepare prepare_sent prepared before_commit commit_sent committed
  before_commit_prepared prepared_ending commit_prepared);
our %outcome = (
	before_prepare => 'absent',
	prepare_sent => 'absent',
	prepared => 'absent',
	before_commit => 'absent',
	commit_sent => 'either',
	committed => 'present',
	before_commit_prepared => 'present',
	prepared_ending => 'present',
	commit_prepared => 'present',
	early_sent => 'absent',
	early_prepared => 'absent');

# Those of a single call that prepares on its way.
sub early_steps { return (qw(early_sent early_prepared), @steps[ 3 .. $#steps ]); }

sub new
{
	my ($class, %options) = @_;
	my $c = PlshardCluster->new(nodes => 4, define => 0, front_conf => "restart_after_crash = on\n", %options);
	my $self = bless { c => $c, serial => {}, placements => {} }, $class;

	foreach my $replicas (1 .. 3)
	{
		$c->sql("SELECT plshard.create_cluster('c$replicas')");
		$c->sql("ALTER SERVER c$replicas OPTIONS (ADD node_timeout '1 s')");
		$c->sql("SELECT plshard.add_node('c$replicas', 'n$_', '" . $c->conninfo($_) . "')") foreach 1 .. 4;
		$c->sql(<<"SQL");
SELECT plshard.create_shards('c$replicas', 4, $replicas);
SELECT plshard.deploy('c$replicas', \$\$
	CREATE TABLE t (k text, v int, UNIQUE (k, v) DEFERRABLE INITIALLY DEFERRED);
	CREATE FUNCTION call$replicas(k text, v int) RETURNS int LANGUAGE sql AS 'INSERT INTO t VALUES (\$1, \$2) RETURNING v' \$\$);
CREATE FUNCTION call$replicas(k text, v int) RETURNS int LANGUAGE plshard AS \$\$ CLUSTER 'c$replicas'; RUN ON hash(k); \$\$;
CREATE FUNCTION put$replicas(k text, v int) RETURNS void LANGUAGE plshard AS
	\$\$ CLUSTER 'c$replicas'; RUN ON hash(k); INSERT INTO t VALUES (put$replicas.k, put$replicas.v); \$\$;
SQL
		foreach (split /\n/, $c->sql(<<"SQL"))
SELECT shard_id, string_agg(substr(node, 2), ',' ORDER BY position) FROM plshard.placements
WHERE cluster = 'c$replicas' GROUP BY 1
SQL
		{
			my ($shard, $nodes) = split /\|/;
			$self->{placements}{$replicas}{$shard} = [ split /,/, $nodes ];
		}
	}
	return $self;
}

sub cluster { return $_[0]->{c}; }

=pod

=head1 METHODS

=over

=item $i->new_keys($replicas, $n)

Keys that were not used before: the first is of the shard whose primary is node n1, the second of
that of n2. Hashes of C<name>, C<shard>, C<nodes> (numbers in placement order).

=cut

sub new_keys
{
	my ($self, $replicas, $n) = @_;
	my $placements = $self->{placements}{$replicas};
	my @keys;
	foreach my $node (1 .. $n)
	{
		my ($shard) = grep { $placements->{$_}[0] == $node } sort keys %$placements;
		my $last = $self->{serial}{$shard} //= 0;
		my $i = $self->{serial}{$shard} = $self->{c}->sql(<<"SQL");
SELECT min(i) FROM generate_series($last + 1, $last + 200) AS i WHERE plshard.shard_for('c$replicas', 'k' || i) = $shard
SQL
		push @keys, { name => "k$i", shard => $shard, nodes => $placements->{$shard} };
	}
	return @keys;
}

=pod

=item $i->begin($replicas, "$step:$action", @keys)

A session in a transaction that has written the keys with value 1, and is to meet its fate in
COMMIT.

=item $i->connected($replicas, "$step:$action", $key)

A session that is to meet its fate in a single call for the key. Its connections are up, or it would not
prepare with the call.

=item $i->stop($session, $sql), $i->commit_and_stop($session)

Sends a statement, or COMMIT, and waits until the session has stopped itself; its process id.

=cut

sub begin
{
	my ($self, $replicas, $injection, @keys) = @_;
	my $session = $self->{c}->session;
	$session->sql("SET plshard.inject = '$injection'; BEGIN");
	$session->sql("SELECT put$replicas('$_->{name}', 1)") foreach @keys;
	return $session;
}

sub connected
{
	my ($self, $replicas, $injection, $key) = @_;
	my $session = $self->{c}->session;
	$session->sql("SELECT put$replicas('$key->{name}', 0)");
	$session->sql("SET plshard.inject = '$injection'");
	return $session;
}

sub commit_and_stop { return $_[0]->stop($_[1], 'COMMIT'); }

sub stop
{
	my ($self, $session, $sql) = @_;
	$session->send($sql);
	return $session->wait_until_stopped;
}

=pod

=item $i->where($value, @keys)

Whether rows of the keys with this value are on their placements, read from the nodes: C<present>
on all, C<absent> on all, or how they differ.

=item PlshardInjection::told($result)

What a client knows of a transaction: C<ok>, C<refused>, or C<unknown>.

=item $i->check($name, $replicas, $expected, $told, @keys)

Recovers, and tests that nothing stays prepared, that the transaction is C<present>, C<absent>
or C<either>, but on all placements of all keys alike, and that its client was told what is true.

=back

=cut

sub where
{
	my ($self, $value, @keys) = @_;
	my (%found, @all);
	foreach my $key (@keys)
	{
		foreach my $node (@{ $key->{nodes} })
		{
			my $n = $self->{c}->sql(
				"SELECT count(*) FROM plshard_$key->{shard}.t WHERE k = '$key->{name}' AND v = $value", on => $node);
			$found{$n}++;
			push @all, "$key->{name} on n$node: $n";
		}
	}
	return join ', ', @all if keys %found != 1;
	return exists $found{0} ? 'absent' : exists $found{1} ? 'present' : join ', ', @all;
}

sub told
{
	my ($result) = @_;
	return 'unknown' if $result->{lost} || ($result->{sqlstate} // '') eq '08007';
	return defined $result->{sqlstate} ? 'refused' : 'ok';
}

sub check
{
	my ($self, $name, $replicas, $expected, $told, @keys) = @_;
	$self->{c}->sql("SELECT count(*) FROM plshard.recover('c$replicas')");
	my $where = $self->where(1, @keys);

	is(join(', ', grep { $_ ne '' } map { $self->{c}->sql('SELECT gid FROM pg_prepared_xacts', on => $_) } 1 .. 4),
		'', "$name: nothing stays prepared");
	if ($expected eq 'either') { like($where, qr/^(?:present|absent)$/, "$name: all or nothing"); }
	else { is($where, $expected, "$name: $expected on all placements"); }
	is($where, 'present', "$name: the client was told so") if $told eq 'ok';
	is($where, 'absent', "$name: the client was told so") if $told eq 'refused';
	return;
}

=pod

=over

=item $i->check_clusters

At the end: replicas are equal, and every placement is active.

=back

=cut

sub check_clusters
{
	my ($self) = @_;
	foreach my $replicas (1 .. 3)
	{
		is($self->{c}->sql("SELECT count(*) FROM plshard.verify('c$replicas') WHERE NOT consistent"), '0',
			"c$replicas: verify finds no difference");
		is($self->{c}->sql(<<"SQL"), '', "c$replicas: every placement is active");
SELECT string_agg(node || ' ' || shard_id, ', ') FROM plshard.placements WHERE cluster = 'c$replicas' AND state <> 'active'
SQL
	}
	return;
}

1;
