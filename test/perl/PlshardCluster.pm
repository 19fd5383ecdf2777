
=pod

=head1 NAME

PlshardCluster - a front and its nodes, as real servers, for TAP tests

=head1 SYNOPSIS

  use FindBin;
  use lib "$FindBin::RealBin/../perl";
  use PlshardCluster;

  my $c = PlshardCluster->new(nodes => 4, shards => 16, replicas => 2);
  $c->sql("SELECT plshard.deploy('c', 'CREATE TABLE t (k text PRIMARY KEY, v int)')");
  $c->node(2)->stop('immediate');
  my $r = $c->try("SELECT put('a', 1)");
  is($r->{sqlstate}, undef, 'the write goes on without node n2');
  is_deeply([ $c->differences ], [], 'all active replicas are equal');

The cluster is named C<c>, its nodes C<n1>, C<n2> ... in databases C<postgres> of
PostgreSQL::Test::Cluster servers reached over unix sockets.  All servers are
stopped, thawed where necessary, when the test ends.

=cut

package PlshardCluster;

use strict;
use warnings;

use IPC::Run ();
use PlshardSession;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes ();

# Every cluster made, so that the end of the test can thaw what it froze.
my @clusters;

=pod

=head1 METHODS

=over

=item PlshardCluster->new(nodes => 4, shards => 16, replicas => 2, %options)

Starts the servers and defines the cluster.  With C<< shards => 0 >> there are no
shards yet; with C<< define => 0 >> the front has only the extension.  C<conf> is
added to every server's configuration, C<front_conf> to the front's,
C<node_conf> to the nodes'; C<fsync> is off unless it is given as 1.

=cut

sub new
{
	my ($class, %options) = @_;
	my $self = bless {
		nodes => [],
		frozen => {},
		define => 1,
		shards => 16,
		replicas => 2,
		conf => '',
		front_conf => '',
		node_conf => '',
		%options,
		count => $options{nodes} // 4,
	}, $class;
	$self->{nodes} = [];
	push @clusters, $self;

	$self->{front} = $self->_server('front', $self->{front_conf});
	$self->add_server foreach 1 .. $self->{count};
	$self->sql('CREATE EXTENSION plshard');
	return $self unless $self->{define};

	$self->sql("SELECT plshard.create_cluster('c')");
	$self->add_node($_) foreach 1 .. $self->{count};
	$self->sql("SELECT plshard.create_shards('c', $self->{shards}, $self->{replicas})")
	  if $self->{shards} > 0;
	return $self;
}

sub _server
{
	my ($self, $name, $conf) = @_;
	my $server = PostgreSQL::Test::Cluster->new($name);
	my $fsync = $self->{fsync} ? 'on' : 'off';

	$server->init;
	$server->append_conf('postgresql.conf', <<"CONF");
fsync = $fsync
shared_buffers = 16MB
max_connections = 100
max_prepared_transactions = 20
log_line_prefix = '%m [%p] %a '
$self->{conf}
$conf
CONF
	$server->start;
	return $server;
}

=pod

=item $c->front, $c->node($i), $c->nodes

The servers: PostgreSQL::Test::Cluster objects.  Nodes count from 1.

=cut

sub front { return $_[0]->{front}; }
sub node { return $_[0]->{nodes}[ $_[1] - 1 ]; }
sub nodes { return @{ $_[0]->{nodes} }; }

=pod

=item $c->add_server

Starts one more server for a node and returns its number.

=item $c->add_node($i)

Registers server $i in the cluster as node n$i.

=cut

sub add_server
{
	my ($self) = @_;
	my $i = 1 + @{ $self->{nodes} };
	push @{ $self->{nodes} }, $self->_server("n$i", $self->{node_conf});
	return $i;
}

sub add_node
{
	my ($self, $i) = @_;
	my $conninfo = $self->conninfo($i);
	$self->sql("SELECT plshard.add_node('c', 'n$i', '$conninfo')");
	return;
}

sub conninfo
{
	my ($self, $i) = @_;
	my $node = $self->node($i);
	return sprintf 'host=%s port=%s dbname=postgres', $node->host, $node->port;
}

=pod

=item $c->empty_node($i)

A new, empty server takes the place of node n$i, at its address.

=cut

sub empty_node
{
	my ($self, $i) = @_;
	my $old = $self->node($i);
	$old->stop('immediate') if defined $old->{_pid};
	my $new = PostgreSQL::Test::Cluster->new("n${i}_" . time, port => $old->port);
	$new->init;
	my $conf = slurp_file($old->data_dir . '/postgresql.conf');
	$new->append_conf('postgresql.conf', $conf);
	$new->start;
	$self->{nodes}[ $i - 1 ] = $new;
	return;
}

=pod

=item $c->sql($sql [, on => $i])

Runs SQL on the front (or directly on node $i) in one psql session and returns
its output (unaligned, tuples only).  Dies on an error.

=item $c->try($sql [, on => $i, timeout => $seconds])

The same, for what may fail: returns a hash of C<out>, C<err> (all of stderr),
C<sqlstate> and C<message> of the first error (undef where there was none),
C<seconds>, the time that it took, and C<timed_out>, true if psql was given up.

=cut

sub sql
{
	my ($self, $sql, %options) = @_;
	return $self->_target(%options)->safe_psql('postgres', $sql);
}

sub try
{
	my ($self, $sql, %options) = @_;
	my ($out, $err, $timed_out);
	my $started = Time::HiRes::time();
	$self->_target(%options)->psql(
		'postgres', $sql,
		stdout => \$out,
		stderr => \$err,
		on_error_stop => 0,
		on_error_die => 0,
		timed_out => \$timed_out,
		timeout => $options{timeout} // $PostgreSQL::Test::Utils::timeout_default,
		extra_params => [ '-v', 'VERBOSITY=verbose' ]);
	return _result($started, out => $out, err => $err, timed_out => $timed_out);
}

sub _result
{
	my ($started, %result) = @_;
	return { %result, %{ PlshardSession::outcome($result{out}, $result{err}, Time::HiRes::time() - $started) } };
}

sub _target
{
	my ($self, %options) = @_;
	return defined $options{on} ? $self->node($options{on}) : $self->{front};
}

=pod

=item $c->session([on => $i])

A session of its own, a PlshardSession.

=item $c->parallel(@scripts)

Runs scripts on the front, each in a session of its own, all at once; returns
what C<try> does for each, in order.

=item $c->begin($sql [, on => $i])

Runs SQL in a session of its own, which ends behind it, and does not wait for it.
Returns the PlshardSession.

=item $c->finish($begun)

Waits for that SQL's end; returns the same as C<try>.

=item $c->wait_for($sql [, on => $i])

Waits until a query answers C<t>; dies when it does not in time.

=cut

sub session
{
	my ($self, %options) = @_;
	return PlshardSession->new($self->_target(%options));
}

sub parallel
{
	my ($self, @scripts) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my @command = ('psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-d',
		$self->{front}->connstr('postgres'), '-f');
	my (@runs, @results);

	# files, since a pipe that is not read from would hold up its writer
	foreach my $i (0 .. $#scripts)
	{
		PostgreSQL::Test::Utils::append_to_file("$dir/$i.sql", $scripts[$i]);
		push @runs, IPC::Run::start([ @command, "$dir/$i.sql" ],
			'>', "$dir/$i.out", '2>', "$dir/$i.err",
			IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	}
	foreach my $i (0 .. $#scripts)
	{
		$runs[$i]->finish;
		push @results, PlshardSession::outcome(
			PostgreSQL::Test::Utils::slurp_file("$dir/$i.out"),
			PostgreSQL::Test::Utils::slurp_file("$dir/$i.err"));
	}
	return @results;
}

sub begin
{
	my ($self, $sql, %options) = @_;
	my $session = $self->session(%options);
	$session->send("$sql\n;\n\\q");
	return $session;
}

sub finish
{
	my ($self, $begun) = @_;
	return $begun->result;
}

sub wait_for
{
	my ($self, $sql, %options) = @_;
	my $there;

	# a psql that a starting server refuses may end before it has been given its query
	do { $there = eval { $self->_target(%options)->poll_query_until('postgres', $sql) }; }
	  while !defined $there && $@ =~ /Broken pipe/;
	die $@ || "timed out waiting for: $sql" if !$there;
	return;
}

=pod

=item $c->wait_for_restart($session)

After a session of the front was killed: until the front has noticed, and is back.

=cut

sub wait_for_restart
{
	my ($self, $session) = @_;
	# what is left of the session goes with the server's shared memory
	$self->wait_for('SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = ' . $session->pid . ')');
	return;
}

=pod

=item $c->sample

Puts table C<t (k text PRIMARY KEY, v int)> on all shards, and functions on the
front: C<put(k, v)> inserts, C<bump(k)> adds 1 and returns the new value, C<get(k)>
reads v, C<total()> the number of rows of all shards.

=item $c->some_keys($n, %where)

The first $n of the keys C<k1>, C<k2> ... that have a placement on node n$i
(C<< on => $i >>), none there (C<< not_on => $i >>), or are of a shard
(C<< shard => $id >>).

=item $c->copies($query)

Runs a query in every placement's schema on every node that runs, whatever the
placement's state, and returns a reference to the lines of C<shard|row...>, sorted.

=cut

sub sample
{
	my ($self) = @_;
	$self->sql(<<'SQL');
SELECT plshard.deploy('c', 'CREATE TABLE t (k text PRIMARY KEY, v int)');
CREATE FUNCTION put(k text, v int) RETURNS void LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(k); INSERT INTO t VALUES (put.k, put.v); $$;
CREATE FUNCTION bump(k text) RETURNS int LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(k); UPDATE t SET v = t.v + 1 WHERE t.k = bump.k RETURNING t.v; $$;
CREATE FUNCTION get(k text) RETURNS int LANGUAGE plshard STABLE AS
	$$ CLUSTER 'c'; RUN ON hash(k); SELECT t.v FROM t WHERE t.k = get.k; $$;
CREATE FUNCTION total() RETURNS bigint LANGUAGE plshard STABLE AS
	$$ CLUSTER 'c'; RUN ON ALL; SELECT count(*) AS n FROM t; REDUCE SELECT sum(n)::bigint FROM result; $$;
SQL
	return;
}

sub some_keys
{
	my ($self, $n, %where) = @_;
	my $condition =
	    defined $where{shard} ? "shard_id = $where{shard}"
	  : defined $where{on} ? "'n$where{on}' = ANY (nodes)"
	  : defined $where{not_on} ? "'n$where{not_on}' <> ALL (nodes)"
	  : 'true';
	my @keys = split /\n/, $self->sql(<<"SQL");
SELECT 'k' || i
FROM generate_series(1, 2000) AS i
     JOIN (SELECT shard_id, array_agg(node::text) AS nodes FROM plshard.placements
           WHERE cluster = 'c' GROUP BY shard_id) AS p
     ON shard_id = plshard.shard_for('c', 'k' || i)
WHERE $condition ORDER BY i LIMIT $n
SQL
	die "not enough keys" if @keys < $n;
	return @keys;
}

sub copies
{
	my ($self, $query) = @_;
	my @lines;
	foreach my $i (1 .. $self->nodes)
	{
		next unless defined $self->node($i)->{_pid};
		my $shards = $self->sql(
			q{SELECT substr(nspname, 9) FROM pg_namespace WHERE nspname ~ '^plshard_\d+$' ORDER BY 1},
			on => $i);
		push @lines, split /\n/, $self->sql(
			join('', map { "SET search_path = plshard_$_; SELECT $_, q.* FROM ($query) AS q;\n" }
				  split /\n/, $shards),
			on => $i);
	}
	return [ sort @lines ];
}

=pod

=item $c->freeze($i), $c->thaw($i)

Stops (SIGSTOP) all processes of node $i, so that it neither answers nor closes a
connection; lets them go on.

=cut

sub freeze
{
	my ($self, $i) = @_;
	my $postmaster = $self->node($i)->{_pid} or die "node n$i does not run";
	kill 'STOP', $postmaster or die "cannot stop $postmaster: $!";
	my @pids = ($postmaster, _children($postmaster));
	kill 'STOP', @pids;
	$self->{frozen}{$i} = \@pids;
	return;
}

sub thaw
{
	my ($self, $i) = @_;
	my $pids = delete $self->{frozen}{$i} or return;
	kill 'CONT', reverse @$pids;
	return;
}

# The processes whose parent is $parent (Linux).
sub _children
{
	my ($parent) = @_;
	my @children;
	foreach my $stat (glob '/proc/[0-9]*/stat')
	{
		open my $file, '<', $stat or next;
		my $line = <$file> // next;
		close $file;
		push @children, $1 if $line =~ /^(\d+) \(.*\) \S (\d+) / && $2 == $parent;
	}
	return @children;
}

=pod

=item $c->deactivate($node [, $shard])

Makes the placements of a node (or that of one shard) inactive, though the node
is alive.  An eviction can rely on it that nothing writes to the node meanwhile;
here the nodes learn of the new epoch before anybody can use it.

=cut

sub deactivate
{
	my ($self, $node, $shard) = @_;
	my $which = defined $shard ? "AND p.shard_id = $shard" : '';
	my $evicted = defined $shard ? 'n.evicted_epoch' : 'c.epoch + 1';
	my $session = $self->session;
	my $changed = $session->sql(<<"SQL");
BEGIN;
UPDATE plshard.node AS n SET evicted_epoch = $evicted FROM plshard.cluster AS c
	WHERE c.cluster_id = n.cluster_id AND n.node_name = '$node';
UPDATE plshard.placement AS p SET state = 'inactive' FROM plshard.node AS n
	WHERE n.cluster_id = p.cluster_id AND n.node_id = p.node_id AND n.node_name = '$node' $which;
UPDATE plshard.cluster SET epoch = epoch + 1 RETURNING cluster_id, epoch
SQL
	my ($cluster_id, $epoch) = split /\|/, $changed;
	foreach my $i (grep { defined $self->node($_)->{_pid} } 1 .. $self->nodes)
	{
		$self->sql("SELECT setval('plshard_node.\"epoch_$cluster_id\"', $epoch)", on => $i);
	}
	$session->sql('COMMIT');
	$session->quit;
	return;
}

=pod

=item $c->key($shard)

A key (text) of a shard that it has not returned before.

=cut

sub key
{
	my ($self, $shard) = @_;
	my $last = $self->{keys}{$shard} //= 0;
	my $next = $self->sql(<<"SQL");
SELECT min(i) FROM generate_series($last + 1, $last + 1000) AS i
WHERE plshard.shard_for('c', 'k' || i) = $shard
SQL
	$self->{keys}{$shard} = $next;
	return "k$next";
}

=pod

=item $c->dump($i, $shard [, @options])

pg_dump's output of a placement on node $i, the lines sorted, since rows have no
order.

=cut

sub dump
{
	my ($self, $i, $shard, @options) = @_;
	my ($out, $err) = run_command([ 'pg_dump', '-d', $self->node($i)->connstr('postgres'),
		'-n', "plshard_$shard", @options ]);
	die "pg_dump: $err" if $out eq '';
	return join "\n", sort grep { !/^(?:--|\\(?:un)?restrict|$)/ } split /\n/, $out;
}

=pod

=item $c->states

What the front believes: a hash of node name to a string such as
C<active:8> or C<inactive:8>, counting placements.

=item $c->differences

Compares the replicas without plshard's help: reads every table of every active
placement directly from its node.  Returns a line for each table that is not the
same (or not there) on all active placements of its shard; none if all are equal.

=cut

sub states
{
	my ($self) = @_;
	my %states;
	foreach (split /\n/, $self->sql(<<'SQL'))
SELECT node, string_agg(state || ':' || n, ' ' ORDER BY state)
FROM (SELECT node, state::text, count(*) AS n
      FROM plshard.placements WHERE cluster = 'c' GROUP BY node, state) AS s
GROUP BY node
SQL
	{
		my ($node, $state) = split /\|/;
		$states{$node} = $state;
	}
	return \%states;
}

sub differences
{
	my ($self) = @_;
	my (%placements, @differences);
	my $active = $self->sql(<<'SQL');
SELECT node, string_agg(shard_id::text, ',' ORDER BY shard_id)
FROM plshard.placements WHERE cluster = 'c' AND state = 'active' GROUP BY node
SQL
	my %contents;		# shard.table -> node -> digest
	my %holders;		# shard -> nodes
	foreach (split /\n/, $active)
	{
		my ($node, $shards) = split /\|/;
		my ($i) = $node =~ /^n(\d+)$/ or die "unknown node $node";
		$holders{$_}{$node} = 1 foreach split /,/, $shards;
		foreach my $line (split /\n/, $self->_digests($i, $shards))
		{
			my ($shard, $table, $digest) = split /\|/, $line;
			$contents{"$shard.$table"}{$node} = $digest;
		}
	}
	foreach my $name (sort keys %contents)
	{
		my ($shard) = $name =~ /^(\d+)/;
		my %seen;
		foreach my $node (sort keys %{ $holders{$shard} })
		{
			push @{ $seen{ $contents{$name}{$node} // 'missing' } }, $node;
		}
		push @differences,
		  "$name: " . join ', ', map { "$_ on @{$seen{$_}}" } sort keys %seen
		  if keys %seen > 1;
	}
	return @differences;
}

# "shard|table|rows/digest" for each table of the given shards of node $i
sub _digests
{
	my ($self, $i, $shards) = @_;
	return $self->sql(<<"SQL", on => $i);
SELECT n.shard, c.relname,
       (xpath('/table/row/d/text()',
              query_to_xml(format('SELECT count(*) || ''/'' ||
                                          coalesce(md5(string_agg(t::text, E''\\n'' ORDER BY t::text COLLATE "C")), '''') AS d
                                   FROM %s AS t', c.oid::regclass), false, false, '')))[1]
FROM (SELECT unnest(ARRAY[$shards]) AS shard) AS n
     JOIN pg_class AS c ON c.relnamespace = to_regnamespace('plshard_' || n.shard)
WHERE c.relkind = 'r'
ORDER BY 1, 2
SQL
}

=pod

=back

=cut

# Runs before PostgreSQL::Test::Cluster's own END, which stops the servers and
# would wait for a frozen one.
END
{
	my $status = $?;
	foreach my $cluster (@clusters)
	{
		$cluster->thaw($_) foreach keys %{ $cluster->{frozen} };
	}
	$? = $status;
}

1;
