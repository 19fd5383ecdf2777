
# The round trips of each shape of call and commit, counted: the table "Round trips" in
# doc/internals.md. This process stands between front and nodes; it holds back what the nodes
# answer until the front waits for them, and so sees all that is sent before any answer.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use IO::Select;
use IO::Socket::UNIX;
use PlshardCluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $c = PlshardCluster->new(nodes => 3, define => 0);

# Node n$i is reached through socket $i of this directory: at first a link to the node's own.
my $dir = PostgreSQL::Test::Utils::tempdir_short();
my @server = map { sprintf '%s/.s.PGSQL.%s', $c->node($_)->host, $c->node($_)->port } 1 .. 3;
symlink $server[ $_ - 1 ], "$dir/.s.PGSQL.$_" or die "cannot link: $!" foreach 1 .. 3;

# Of three shards with a primary on each node; node_timeout: no probe shall be seen
my %replicas = (c => 2, three => 3, one => 1, fast => 2, fast_one => 1);
foreach my $name (sort keys %replicas)
{
	$c->sql("SELECT plshard.create_cluster('$name')");
	$c->sql("ALTER SERVER $name OPTIONS (ADD node_timeout '10 min')");
	$c->sql("ALTER SERVER $name OPTIONS (ADD commit 'fast')") if $name =~ /fast/;
	$c->sql("SELECT plshard.add_node('$name', 'n$_', 'host=$dir port=$_ dbname=postgres')") foreach 1 .. 3;
	$c->sql(<<"SQL");
SELECT plshard.create_shards('$name', 3, $replicas{$name});
SELECT plshard.deploy('$name', 'CREATE TABLE t (k text PRIMARY KEY, v int);
	CREATE FUNCTION add_$name(k text) RETURNS int LANGUAGE sql AS \$f\$
		INSERT INTO t VALUES (add_$name.k, 1) ON CONFLICT ON CONSTRAINT t_pkey DO UPDATE SET v = t.v + 1 RETURNING t.v \$f\$');
CREATE FUNCTION add_$name(k text) RETURNS int LANGUAGE plshard AS \$\$ CLUSTER '$name'; RUN ON hash(k); \$\$;
CREATE FUNCTION get_$name(k text) RETURNS int LANGUAGE plshard STABLE AS
	\$\$ CLUSTER '$name'; RUN ON hash(k); SELECT count(*)::int FROM t WHERE t.k = get_$name.k; \$\$;
CREATE FUNCTION touch_$name() RETURNS SETOF int LANGUAGE plshard AS
	\$\$ CLUSTER '$name'; RUN ON ALL; UPDATE t SET v = t.v + 1 RETURNING t.v; \$\$;
CREATE FUNCTION total_$name() RETURNS bigint LANGUAGE plshard STABLE AS
	\$\$ CLUSTER '$name'; RUN ON ALL; SELECT count(*) AS n FROM t; REDUCE SELECT sum(n)::bigint FROM result; \$\$;
SQL
}
$c->sql('CREATE TABLE here (v int)');

# A key of the shard of each cluster whose primary is n$i.
sub key
{
	my ($name, $i) = @_;
	return $c->sql(<<"SQL");
SELECT min(k) FROM generate_series(1, 100) AS g, concat('k', g) AS k
WHERE plshard.shard_for('$name', k) = (SELECT shard_id FROM plshard.placements
	WHERE cluster = '$name' AND node = 'n$i' AND position = 0)
SQL
}

#
# Between front and nodes
#
my (%accepts, %client, %to, %node);		# sockets by their numbers: node, other end
foreach my $i (1 .. 3)
{
	unlink "$dir/.s.PGSQL.$i";
	my $listener = IO::Socket::UNIX->new(Local => "$dir/.s.PGSQL.$i", Listen => 10) or die "cannot listen: $!";
	$accepts{$listener} = $listener;
	$node{$listener} = $i;
}

sub accept_from
{
	my ($listener) = @_;
	my $client = $listener->accept or die "cannot accept: $!";
	my $server = IO::Socket::UNIX->new(Peer => $server[ $node{$listener} - 1 ]) or die "cannot connect: $!";
	$client{$client} = $client;
	$to{$client} = $server;
	$to{$server} = $client;
	$node{$client} = $node{$listener};
	return;
}

# Passes on what there is; nothing where the connection has ended.
sub pass_on
{
	my ($from) = @_;
	my $to = $to{$from};
	my $n = sysread($from, my $bytes, 65536);
	if (!$n)
	{
		delete $client{$_} foreach $from, $to;
		close $_ foreach $from, $to;
		return '';
	}
	syswrite($to, $bytes) == $n or die "short write";
	return $bytes;
}

# A session's end may come late: nothing of it shall be seen in the next one.
sub hang_up
{
	close $_ foreach values %to;
	%client = %to = ();
	return;
}

# Round trips of a statement: the nodes that the front has sent something to before it waits, with
# what it says of prepared transactions; what it sends when they have answered; and so on.
sub trips
{
	my ($s, $sql) = @_;
	my $waits = q{SELECT wait_event_type = 'Extension' FROM pg_stat_activity WHERE pid = } . $s->pid;
	my (@trips, %sent);
	$s->send($sql);
	until ($s->is_done)
	{
		my @from = (values %accepts, values %client);
		push @from, map { $to{$_} } values %client unless %sent;
		my @ready = IO::Select->new(@from)->can_read(0.01);
		foreach my $from (@ready)
		{
			if ($accepts{$from}) { accept_from($from); }
			elsif ($client{$from}) { $sent{ $node{$from} } .= pass_on($from); }
			elsif ($to{$from}) { pass_on($from); }
		}
		next if @ready || !%sent || $c->sql($waits) ne 't';
		# it has sent all before it began to wait
		$sent{ $node{$_} } .= pass_on($_) foreach IO::Select->new(values %client)->can_read(0);
		push @trips, join '+', map { join ' ', "n$_", $sent{$_} =~ /(PREPARE(?= TRANSACTION)|\w+ PREPARED)/g } sort keys %sent;
		%sent = ();
	}
	my $r = $s->result;
	die "$sql: $r->{err}" if defined $r->{sqlstate};
	return join ', ', @trips;
}

# Those of the last of some statements, in a session that has its connections and has prepared
# what it sends.
sub trips_are
{
	my ($sql, $expected, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($first, $last) = $sql =~ /^(?:(.*); )?(.*)$/;
	my $s = $c->session;
	trips($s, $sql) foreach 1, 2;
	trips($s, $first) if defined $first;
	like(trips($s, $last), qr/^$expected$/, $name);
	$s->quit;
	hang_up();
	return;
}

#
# Calls
#
my %k = map { my $name = $_; $name => [ map { key($name, $_) } 1 .. 3 ] } keys %replicas;
my ($n1, $n1_n2, $all) = ('n1', 'n1\+n2', 'n1\+n2\+n3');
trips_are("SELECT get_c('$k{c}[0]')", 'n[12]', 'a read: 1');
trips_are('SELECT total_c()', 'n\d(\+n\d)*', '... of all shards: 1 to all at once');
trips_are("SELECT add_one('$k{one}[0]')", 'n1', 'a one-shot write: 1');
trips_are("BEGIN; SELECT add_one('$k{one}[0]')", 'n1', 'a write in a transaction: 1');
trips_are("BEGIN; SELECT add_c('$k{c}[0]')", $n1_n2, '... on two replicas: 1 to both at once');
trips_are("BEGIN; SELECT add_three('$k{three}[0]')", $all, '... on three: 1 to all at once');
trips_are('BEGIN; SELECT count(*) FROM touch_c()', $all, '... of all shards: 1 to all at once');

#
# Commits: prepared at once, decided by n1, committed at once
#
my ($two, $three) = ("$n1_n2 PREPARE, n1, n2 COMMIT PREPARED",
	'n1\+n2 PREPARE\+n3 PREPARE, n1, n2 COMMIT PREPARED\+n3 COMMIT PREPARED');
trips_are("BEGIN; SELECT add_one('$k{one}[0]'); COMMIT", 'n1', 'commit on one node: 1');
trips_are("BEGIN; SELECT add_c('$k{c}[0]'); COMMIT", $two, '... on two replicas: 3');
trips_are("BEGIN; SELECT add_three('$k{three}[0]'); COMMIT", $three, '... on three: 3');
trips_are('BEGIN; SELECT count(*) FROM touch_one(); COMMIT', $three, '... on three shards without replicas: 3');
trips_are('BEGIN; SELECT count(*) FROM touch_c(); COMMIT', $three, '... with: 3');
trips_are("SELECT add_three('$k{three}[0]')", "$all, $three", 'a call outside a block, on three replicas: 1, and 3');
trips_are("SELECT add_c('$k{c}[0]')", $two, '... on two: PREPARE with the call, 3 in all');
trips_are("BEGIN; INSERT INTO here VALUES (1); SELECT count(*) FROM touch_c(); COMMIT",
	'n1 PREPARE\+n2 PREPARE\+n3 PREPARE, n1 COMMIT PREPARED\+n2 COMMIT PREPARED\+n3 COMMIT PREPARED',
	'the front decides: 2');

#
# fast
#
trips_are("SELECT add_fast('$k{fast}[0]')", "$n1_n2, $n1_n2", 'fast, on two replicas: 1, and 1');
trips_are("BEGIN; SELECT add_fast('$k{fast}[0]'); COMMIT", $n1_n2, '... in a block');
trips_are('BEGIN; SELECT count(*) FROM touch_fast(); COMMIT', "$all, $all", 'commit of several shards: deferred constraints, and COMMIT');
trips_are('BEGIN; SELECT count(*) FROM touch_fast_one(); COMMIT', "$all, $all", '... without replicas');

done_testing();
