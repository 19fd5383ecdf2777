
=pod

=head1 NAME

PlshardHostile - a cluster whose nodes answer through a hostile server

=head1 SYNOPSIS

  my $h = PlshardHostile->new(nodes => 2);
  my $c = $h->cluster;					# a PlshardCluster; its front knows no cluster yet
  $c->sql(sprintf "SELECT plshard.add_node('c', 'n1', '%s')", $h->conninfo(1));
  ...
  $h->attack(name => 'a read', sql => "SELECT get('k')");
  $h->finish;

=head1 DESCRIPTION

F<test/hostile/hostile> stands before each node, and on port C<tiny> before a server that knows no
SQL. F<test/hostile/scenarios.py> has a row for each lie.

C<attack> runs SQL in a session, first without a lie, then once with each scenario that fits
one of its messages: at which of them, and on which node, follows from the names. Each is one test:
the session got what it gets without a lie, or an error with a SQLSTATE that the row
allows, which names the node; the front has not crashed; the next call of the session works.

=head1 METHODS

=over

=cut

package PlshardHostile;

use strict;
use warnings;

use Digest::MD5 qw(md5);
use FindBin;
use IO::Socket::UNIX;
use POSIX ();
use PlshardCluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes ();

# Seconds after which a session is taken to hang, and is ended.
use constant GUARD => 15;

# What no front's log may have.
my $crash = qr/terminated by signal|exited with exit code|TRAP: |PANIC: |Sanitizer|runtime error: /;

=pod

=item PlshardHostile->new(%options)

Options are those of PlshardCluster.

=cut

sub new
{
	my ($class, %options) = @_;
	my $self = bless {
		c => PlshardCluster->new(define => 0, %options,
			front_conf => "restart_after_crash = on\nlog_min_messages = log\n" . ($options{front_conf} // '')),
		dir => PostgreSQL::Test::Utils::tempdir_short(),
		never => {},
		test => $$,
	}, $class;
	my @ports = ('999=tiny');
	push @ports, sprintf '%d=%s:%s', $_, $self->{c}->node($_)->host, $self->{c}->node($_)->port
	  foreach 1 .. $self->{c}->nodes;

	$self->{pid} = fork // die "cannot fork: $!";
	if ($self->{pid} == 0)
	{
		open STDOUT, '>', "$self->{dir}/log" and open STDERR, '>&', \*STDOUT;
		exec 'python3', "$FindBin::RealBin/../hostile/hostile", $self->{dir}, @ports
		  or die "cannot run python3: $!";
	}
	foreach (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		last if $self->{control} = IO::Socket::UNIX->new(Peer => "$self->{dir}/control");
		Time::HiRes::usleep(100_000);
	}
	die 'the hostile server does not start: ' . slurp_file("$self->{dir}/log") if !$self->{control};

	$self->order('scenarios');
	while ((my $line = readline $self->{control}) ne ".\n")
	{
		chomp $line;
		push @{ $self->{order} }, (split /\t/, $line)[0];
		@{ $self->{scenarios}{ $self->{order}[-1] } }{qw(name at after expect states)} = split /\t/, $line;
	}
	return $self;
}

sub DESTROY
{
	my ($self) = @_;
	local $?;
	return if !$self->{pid} || $self->{test} != $$;
	kill 'KILL', $self->{pid};
	waitpid $self->{pid}, 0;
	return;
}

=pod

=item $h->cluster, $h->conninfo($i)

The PlshardCluster; how to reach a node, by the hostile server. C<999> is the one that knows no SQL.

=item $h->order($line)

Gives the hostile server an order (see there), and returns what it says.

=cut

sub cluster { return $_[0]->{c}; }
sub conninfo { return "host=$_[0]->{dir} port=$_[1] dbname=postgres"; }

sub order
{
	my ($self, $line) = @_;
	syswrite $self->{control}, "$line\n";
	return if $line eq 'scenarios';
	my $answer = readline $self->{control};
	die "the hostile server has gone: " . slurp_file("$self->{dir}/log") if !defined $answer;
	chomp $answer;
	return $answer;
}

# A number that depends on a text only.
sub _number { return unpack 'N', md5($_[0]); }

# A session of the front as the attack wants it: a psql of its own, or a new session in that psql.
sub _connect
{
	my ($self, $attack, $session) = @_;
	if (defined $session)
	{
		$session->sql("\\connect\n");
		$session->{pid} = $session->sql('SELECT pg_backend_pid()');
	}
	else { $session = $self->{c}->session; }
	my $limit = $attack->{limit} // '3s';
	$session->sql("SET statement_timeout = '$limit'; SET client_min_messages = 'warning'");
	$session->sql($attack->{begin}) if $attack->{begin};
	return $session;
}

# The session's result of the SQL; one that hangs is ended. {signature} is what must be
# the same again.
sub _run
{
	my ($self, $session, $attack) = @_;
	my $hangs = 0;

	if ($attack->{reset})
	{
		$attack->{reset}->();
	}
	$session->send($attack->{sql});
	my $started = Time::HiRes::time();
	until ($session->is_done)
	{
		Time::HiRes::usleep(1000);
		next if Time::HiRes::time() - $started < GUARD * ($hangs + 1);
		kill $hangs ? 'QUIT' : 'TERM', $session->pid;
		$hangs++;
	}
	my $result = $session->result;
	$result->{hangs} = $hangs;
	$result->{signature} = $result->{lost} ? 'lost' : ($result->{sqlstate} // 'done') . ' ' . $result->{out};
	return $result;
}

# What the front's log has gained that it may not have; undef if nothing.
sub _crash
{
	my ($self) = @_;
	open my $log, '<', $self->{c}->front->logfile or die "no log: $!";
	seek $log, $self->{log_read} // 0, 0;
	my @lines = <$log>;
	$self->{log_read} = tell $log;
	close $log;
	my ($first) = grep { $_ =~ $crash } @lines;
	chomp $first if defined $first;
	return $first;
}

# After a lie: the front is back, if it had to come back, and no placement is left inactive.
sub _mend
{
	my ($self, $attack) = @_;
	$attack->{mend}->($self) if $attack->{mend};
	$self->{evictions}++ if $self->repair;
	return;
}

sub repair
{
	my ($self) = @_;
	my $inactive = $self->ask("SELECT DISTINCT cluster FROM plshard.placements WHERE state <> 'active'");
	$self->ask("SELECT count(*) FROM plshard.repair_cluster('$_')") foreach split /\n/, $inactive;
	return $inactive ne '';
}

=pod

=item $h->ask($sql)

Runs SQL on the front in a session that is kept for that, and made anew when it was lost; returns its output.

=cut

sub ask
{
	my ($self, $sql) = @_;
	my $result = $self->{asker} ? $self->{asker}->try($sql) : { lost => 1 };
	return $result->{out} if !$result->{lost} && !defined $result->{sqlstate};
	die "$sql: $result->{err}" if !$result->{lost};
	$self->{c}->wait_for('SELECT true');
	$self->{asker} = $self->{c}->session;
	return $self->{asker}->sql($sql);
}

# Runs the attack's SQL with something armed; tests it. %lie: name, order, expect, states.
sub _lie
{
	my ($self, $attack, %lie) = @_;
	my $session = $attack->{session};
	my $port = $lie{port};

	$self->_connect($attack, $session) if $lie{fresh};
	my $answer = $self->order($lie{order});
	die "$lie{order}: $answer" if $answer ne 'ok';
	my $result = $self->_run($session, $attack);
	my ($struck) = $self->order("disarm $port") =~ /^struck (.*)/;
	my $crash = $self->_crash;
	my $state = $result->{sqlstate};
	my @wrong;

	if (defined $crash || $result->{lost})
	{
		push @wrong, 'the session is lost' if $result->{lost};
		push @wrong, "log: $crash" if defined $crash;
	}
	elsif ($result->{err} =~ /ERROR:/ && !defined $state) { push @wrong, 'a SQLSTATE that is none'; }
	elsif ($result->{signature} eq $attack->{honest})
	{
		push @wrong, 'no error' if defined $struck && $lie{expect} eq 'error' && !$attack->{elsewhere} && !$attack->{warns} && $struck !~ /^S |ROLLBACK|RELEASE/;
		my $problem = $attack->{check} && $lie{expect} ne 'lie' && $lie{expect} ne 'random' ? $attack->{check}->($self) : '';
		push @wrong, $problem if $problem;
	}
	elsif (defined $struck && $attack->{warns} && !defined $state && $result->{err} =~ /WARNING:/) { }
	elsif (!defined $struck) { push @wrong, "without a lie: $result->{signature} $result->{err}"; }
	elsif (!defined $state) { push @wrong, "a wrong result: $result->{out}" if $lie{expect} ne 'lie' && $lie{expect} ne 'random'; }
	elsif ($lie{expect} eq 'right') { push @wrong, 'an error'; }
	elsif ($lie{expect} eq 'random') { push @wrong, 'an internal error' if $state eq 'XX000' && $result->{err} !~ /an error of the node|ERROR: *XX000: *$/m; }
	elsif ($state !~ /^(?:$lie{states})$/) { push @wrong, "SQLSTATE $state"; }
	elsif ($state =~ /^08/ && $result->{err} !~ /node "?n\d|$attack->{node}/) { push @wrong, 'no node is named'; }
	push @wrong, 'it hangs' if $result->{hangs};
	push @wrong, 'statement_timeout does not help' if $result->{seconds} > GUARD;

	# the next one is honest
	if ($result->{lost} || defined $crash)
	{
		$self->{crashes}++;
		$session->quit if !$result->{lost};
		$self->{c}->wait_for('SELECT true');
		$session = $attack->{session} = $self->_connect($attack);
	}
	$self->_mend($attack);
	my $next = $self->_run($session, $attack);
	if ($next->{signature} ne $attack->{honest})
	{
		push @wrong, "the next call: $next->{signature} $next->{err}";
		$session->quit if !$next->{lost};
		$self->{c}->wait_for('SELECT true');
		$session = $attack->{session} = $self->_connect($attack);
		$self->_mend($attack);
		$next = $self->_run($session, $attack);
		push @wrong, "a call of a new session: $next->{signature} $next->{err}" if $next->{signature} ne $attack->{honest};
	}
	$crash = $self->_crash;
	push @wrong, "later in the log: $crash" if defined $crash;

	ok(!@wrong, "$attack->{name}: $lie{name}")
	  or diag join "\n", (map { substr $_, 0, 300 } @wrong), 'struck: ' . ($struck // 'nothing'), $lie{order},
	  map { substr $_, 0, 300 } (split /\n/, $result->{err})[ 0 .. 3 ];
	return defined $struck;
}

# How many of each moment the SQL has, on each port: warm (its session has called before) and fresh.
sub _measure
{
	my ($self, $attack) = @_;
	$attack->{session} = $self->_connect($attack);
	foreach my $how ('fresh', 'warm', 'warm')
	{
		$self->order("clear $_") foreach @{ $attack->{ports} };
		my $result = $self->_run($attack->{session}, $attack);
		$attack->{honest} //= $result->{signature};
		die "$attack->{name}: without a lie: $result->{err}" if $attack->{honest} =~ /^08|^lost/;
		die "$attack->{name}: $result->{signature}, not $attack->{honest} $result->{err}"
		  if $result->{signature} ne $attack->{honest};
		foreach my $port (@{ $attack->{ports} })
		{
			$attack->{moments}{$how}{$port} = { map { split /=/ } split / /, $self->order("moments $port") };
		}
		$self->_mend($attack);
	}
	return;
}

# Where to strike with a thing of that name, so that each moment has its share: port, moments before it, whether
# in a fresh session; nothing if there is no such moment.
sub _place
{
	my ($attack, $name, $moment) = @_;
	my $number = _number("$attack->{name} $name");
	my $how = $moment =~ /^\^/ || $number % 4 == 0 ? 'fresh' : 'warm';
	my $of = $attack->{moments};
	$how = 'warm' if grep { $of->{warm}{$_}{'^'} } @{ $attack->{ports} };
	my @ports = grep { $of->{$how}{$_}{$moment} } @{ $attack->{ports} } or return;
	my $port = $ports[ ($number >> 8) % @ports ];
	return ($port, ($number >> 16) % $of->{$how}{$port}{$moment}, $how eq 'fresh');
}

=pod

=item $h->sample

Makes clusters C<s>, without replicas, and C<c>, with two, on the first two nodes, with a few rows, and functions
with the name of the cluster behind them. Returns a key of shards on node n1 and one of shards on n2 (as primary).

=cut

sub sample
{
	my ($self) = @_;
	my $c = $self->{c};
	foreach my $cluster ('s', 'c')
	{
		my $replicas = $cluster eq 's' ? 1 : 2;
		$c->sql("SELECT plshard.create_cluster('$cluster')");
		$c->sql("ALTER SERVER $cluster OPTIONS (ADD node_timeout '1 s')");
		$c->sql("SELECT plshard.add_node('$cluster', 'n$_', '" . $self->conninfo($_) . "')") foreach 1, 2;
		$c->sql(<<"SQL");
SELECT plshard.create_shards('$cluster', 4, $replicas);
SELECT plshard.deploy('$cluster', 'CREATE TABLE t (k text PRIMARY KEY, v int)');
CREATE FUNCTION put_$cluster(k text, v int) RETURNS void LANGUAGE plshard AS \$\$
	CLUSTER '$cluster'; RUN ON hash(k);
	INSERT INTO t VALUES (put_$cluster.k, put_$cluster.v) ON CONFLICT (k) DO UPDATE SET v = excluded.v; \$\$;
CREATE FUNCTION set_$cluster(k text, v int) RETURNS int LANGUAGE plshard AS \$\$
	CLUSTER '$cluster'; RUN ON hash(k);
	INSERT INTO t VALUES (set_$cluster.k, set_$cluster.v) ON CONFLICT (k) DO UPDATE SET v = excluded.v RETURNING v; \$\$;
CREATE FUNCTION get_$cluster(k text) RETURNS int STABLE LANGUAGE plshard AS \$\$
	CLUSTER '$cluster'; RUN ON hash(k); SELECT t.v FROM t WHERE t.k = get_$cluster.k; \$\$;
CREATE FUNCTION rows_$cluster() RETURNS TABLE (k text, v int) STABLE LANGUAGE plshard AS \$\$
	CLUSTER '$cluster'; RUN ON ALL; SELECT t.k, t.v FROM t; \$\$;
CREATE FUNCTION total_$cluster() RETURNS bigint STABLE LANGUAGE plshard AS \$\$
	CLUSTER '$cluster'; RUN ON ALL; SELECT count(*) AS n FROM t; REDUCE SELECT sum(n)::bigint FROM result; \$\$;
CREATE FUNCTION split_$cluster(ks text[]) RETURNS TABLE (k text, v int) STABLE LANGUAGE plshard AS \$\$
	CLUSTER '$cluster'; SPLIT ks; RUN ON hash(ks); SELECT t.k, t.v FROM t WHERE t.k = ANY (ks); \$\$;
CREATE FUNCTION copied_$cluster() RETURNS TABLE (k text, v int) STABLE ROWS 1000000 LANGUAGE plshard AS \$\$
	CLUSTER '$cluster'; RUN ON ALL; SELECT t.k::text, t.v::int FROM t; \$\$;
SELECT put_$cluster('x' || i, i) FROM generate_series(1, 30) i;
SQL
	}
	# the same hash ranges in both clusters, and shards on the nodes by turns
	return map { $c->sql(<<"SQL") } 1, 2;
SELECT 'x' || i FROM generate_series(1, 30) i
JOIN plshard.placements p ON p.cluster = 's' AND p.node = 'n$_' AND p.shard_id = plshard.shard_for('s', 'x' || i)
ORDER BY i LIMIT 1
SQL
}

=pod

=item $h->attack(name => ..., sql => ..., %options)

Options: C<ports>, those that can lie (C<< [1, 2] >>, all nodes, by default); C<begin>, SQL for each new session;
C<reset>, called before each run; C<mend>, called after each lie; C<elsewhere>, true if the front may get the right result from another
node; C<warns>, true if it may leave a node out, with a WARNING; C<patient>, true if scenarios that end with a time-out are run, too; C<limit>, the session's statement_timeout;
C<node>, a pattern of what an error calls the node; C<seeds>, so many conversations at random; C<share>, the
scenarios are run of which so many are one (20 by default, all with HOSTILE_ALL=1 in the environment); C<only>, a
pattern of scenarios; C<check>, called after a lie without an error, returns what is wrong; C<each>, a reference to scenarios that are run at each of the moments.

=cut

sub attack
{
	my ($self, %attack) = @_;
	$attack{ports} //= [ 1 .. $self->{c}->nodes ];
	$attack{node} //= 'node "?n\d';
	$attack{only} //= '';
	$attack{share} //= 20;
	$self->_measure(\%attack);
	my $started = Time::HiRes::time();
	my $count = 0;

	foreach my $name (@{ $self->{order} })
	{
		my $scenario = $self->{scenarios}{$name};
		next if $name !~ /$attack{only}/ || (!$attack{patient} && ($scenario->{after} eq 'silent' || $scenario->{states} =~ /^57014/));
		next if !$ENV{HOSTILE_ALL} && _number("share $attack{name} $name") % $attack{share};
		my ($port, $skip, $fresh) = _place(\%attack, $name, $scenario->{at}) or next;
		$count++;
		$self->{struck}{$name}++ if $self->_lie(\%attack, %$scenario, port => $port, fresh => $fresh, order => "arm $port $skip - $name");
	}
	foreach my $name (@{ $attack{each} // [] })
	{
		my $scenario = $self->{scenarios}{$name} // die "no scenario $name";
		my $moment = $scenario->{at};
		foreach my $port (@{ $attack{ports} })
		{
			my $n = $attack{moments}{warm}{$port}{$moment} // 0;
			foreach my $skip (0 .. $n - 1)
			{
				$count++;
				$self->_lie(\%attack, %$scenario, port => $port, order => "arm $port $skip - $name", name => "$name, $port/$skip");
			}
		}
	}
	foreach my $seed (1 .. $attack{seeds} // 0)
	{
		my ($port, $skip, $fresh) = _place(\%attack, "seed $seed", 'any') or next;
		$count++;
		$self->_lie(\%attack, name => "at random, seed $seed", expect => 'random', states => '', port => $port, fresh => $fresh,
			order => "noise $port $skip any $seed");
	}
	$attack{session}->quit;
	note sprintf '%s: %d lies in %.1f s', $attack{name}, $count, Time::HiRes::time() - $started;
	return;
}

=pod

=item $h->repair

Repairs all clusters that have inactive placements; true if there was one.

=item $h->finish

Tells what the attacks have come to.

=back

=cut

sub finish
{
	my ($self) = @_;
	my @never = grep { !$self->{struck}{$_} } @{ $self->{order} };
	note 'scenarios that have struck: ' . (@{ $self->{order} } - @never) . ', and those that have not: ' . join '; ', @never;
	$self->{asker}->quit if $self->{asker};
	note 'sessions lost: ' . ($self->{crashes} // 0) . ', nodes taken out and repaired: ' . ($self->{evictions} // 0);
	return;
}

1;
