
=pod

=head1 NAME

Nemesis - what goes wrong in the torture test

=head1 SYNOPSIS

  my $nemesis = Nemesis->new(nodes => \@nodes, front => $a, second => $b,
      network => $network, clusters => [...], dir => $dir, seed => 1);
  $nemesis->episode while time < $until;		# or $nemesis->strike(@names)
  $nemesis->heal;

An episode is one fault or two at a time, some seconds of it, their end, and mostly a
repair, during which the next episode may begin. All is drawn from the seed; what was done is
in $dir/nemesis.log, with the times of the clients' logs.

=cut

package Nemesis;

use strict;
use warnings;

use POSIX ();
use Time::HiRes qw(sleep time clock_gettime CLOCK_MONOTONIC);

# How often each is drawn. A fault is a method that begins it and returns what ends it.
my %weights = (
	node_killed => 4,			# the whole server, kill -9
	node_backend_killed => 2,	# one of its backends, so all of them
	node_frozen => 4,
	link_held => 4,				# packets are late
	link_dropped => 3,			# packets get lost
	front_backend_killed => 3,	# so all of them
	front_backend_frozen => 4,
	front_step_killed => 4,		# a session kills itself at a step of its commit (src/base/inject.h)
	front_step_frozen => 6,		# ... stops itself there
	front_frozen => 2,
	front_sessions_ended => 2,	# terminated, or cancelled
	front_killed => 3,
	second_front => 2,			# which recovers while the first is down
);

# The steps of a commit; early_ are those of a single call that prepares on its way.
my @steps = qw(early_sent early_prepared before_prepare prepare_sent prepared before_commit commit_sent committed
  before_commit_prepared prepared_ending commit_prepared before_abort_decision abort_decided);

sub new
{
	my ($class, %options) = @_;
	my $self = bless { counts => {}, notes => [], %options }, $class;
	open $self->{log}, '>', "$self->{dir}/nemesis.log" or die $!;
	$self->{log}->autoflush(1);
	srand $self->{seed};
	return $self;
}

# what happened, and how often
sub counts { return $_[0]->{counts}; }

# what was seen on the way and must not be
sub complaints { return @{ $_[0]->{notes} }; }

sub _note
{
	my ($self, @words) = @_;
	printf { $self->{log} } "%d %s\n", clock_gettime(CLOCK_MONOTONIC) * 1e6, "@words";
	return;
}

sub _complain
{
	my ($self, $what) = @_;
	$self->_note('WRONG:', $what);
	push @{ $self->{notes} }, $what;
	return;
}

sub _any { return $_[ rand @_ ]; }

# Mostly short, some long enough to be noticed by probes.
sub _while { return 0.1 * 100**rand; }

=pod

=over

=item $n->episode

=item $n->strike($name, ...)

Begins these faults, lets them last, and ends them.

=cut

sub episode
{
	my ($self) = @_;
	my @names = ($self->_draw);
	if (rand() < 0.35 && $names[0] ne 'second_front')
	{
		my $second = $self->_draw;
		# one at a time to the front
		push @names, $second
		  if $second ne 'second_front' && !($second =~ /^front/ && $names[0] =~ /^front/);
	}
	$self->strike(@names);
	return;
}

sub _draw
{
	my ($self) = @_;
	my $sum = 0;
	$sum += $_ foreach values %weights;
	my $left = rand $sum;
	foreach my $name (sort keys %weights)
	{
		$left -= $weights{$name};
		return $name if $left < 0;
	}
}

sub strike
{
	my ($self, @names) = @_;
	my @nodes = sort { $a->[0] <=> $b->[0] } map { [ rand, $_ ] } @{ $self->{nodes} };
	my @ends;

	foreach my $name (@names)
	{
		$self->{counts}{$name}++;
		push @ends, $self->$name((shift @nodes)->[1]);
		sleep rand 0.5;
	}
	sleep _while() if grep { defined } @ends;
	# some repairs begin while something is wrong
	my $early = rand() < 0.2;
	$self->_repair if $early;
	foreach my $end (reverse @ends)
	{
		$end->() if $end;
		sleep rand 0.5;
	}
	$self->_repair if !$early && rand() < 0.8;
	sleep rand 1.5;
	return;
}

=pod

=item $n->heal

Waits for a repair under way, and for the servers. Nothing is wrong any more then, but
for what the faults have left.

=cut

sub heal
{
	my ($self) = @_;
	$self->_finish_repair;
	foreach my $server ($self->{front}, @{ $self->{nodes} })
	{
		$server->wait_ready;
	}
	return;
}

# ---- nodes ----

sub node_killed
{
	my ($self, $node) = @_;
	$self->_note('kill -9', $node->{name});
	$node->kill9;
	return sub { $self->_note('start', $node->{name}); $node->start; };
}

sub node_backend_killed
{
	my ($self, $node) = @_;
	return $self->_kill_backend($node);
}

sub _kill_backend
{
	my ($self, $server) = @_;
	my $pid = _any($server->backends) // return undef;
	$self->_note('kill -9 backend', $pid, 'of', $server->{name});
	kill 'KILL', $pid;
	return sub { $server->wait_ready; $self->_note($server->{name}, 'is back'); };
}

sub node_frozen
{
	my ($self, $node) = @_;
	return $self->_freeze($node);
}

sub _freeze
{
	my ($self, $server, @pids) = @_;
	$self->_note('freeze', $server->{name}, @pids);
	$server->freeze(@pids);
	return sub { $self->_note('thaw', $server->{name}); $server->thaw; };
}

# ---- the network ----

sub link_held
{
	my ($self, $node) = @_;
	return $self->_cut($node, 'hold');
}

sub link_dropped
{
	my ($self, $node) = @_;
	return $self->_cut($node, 'drop');
}

sub _cut
{
	my ($self, $node, $how) = @_;
	my $link = "$self->{front}{name}.$node->{name}";
	my $which = _any('requests', 'replies', 'both');
	$self->_note('cut', $link, $how, $which);
	$self->{network}->cut($link, $how, $which);
	return sub { $self->_note('heal', $link); $self->{network}->heal($link); };
}

# ---- the front ----

sub front_backend_killed
{
	my ($self) = @_;
	return $self->_kill_backend($self->{front});
}

sub front_backend_frozen
{
	my ($self) = @_;
	my @pids = $self->{front}->backends or return undef;
	return $self->_freeze($self->{front}, _any(@pids));
}

sub front_step_killed
{
	my ($self) = @_;
	return $self->_at_step('kill');
}

sub front_step_frozen
{
	my ($self) = @_;
	return $self->_at_step('stop');
}

# The client that finds the file takes it, and is in the middle of its commit soon.
sub _at_step
{
	my ($self, $action) = @_;
	my $step = _any(@steps);
	my $front = $self->{front};
	my $file = "$self->{dir}/inject";
	open my $new, '>', "$file.new" or die $!;
	print $new "$step:$action";
	close $new;
	rename "$file.new", $file or die $!;
	$self->_note($action, 'at', $step);
	my $until = time + 2;
	sleep 0.05 while -e $file && time < $until;
	return sub {
		unlink $file;
		my @stopped = $front->stopped;
		$self->_note('go on:', @stopped);
		kill 'CONT', @stopped;
		$front->wait_ready;
	};
}

sub front_frozen
{
	my ($self) = @_;
	return $self->_freeze($self->{front});
}

sub front_sessions_ended
{
	my ($self) = @_;
	foreach my $pid ($self->{front}->backends)
	{
		next if rand() < 0.3;
		my $signal = _any('TERM', 'INT');
		$self->_note($signal, 'to backend', $pid);
		kill $signal, $pid;
		sleep rand 0.2;
	}
	return undef;
}

sub front_killed
{
	my ($self) = @_;
	my $front = $self->{front};
	$self->_note('kill -9', $front->{name});
	$front->kill9;
	return sub { $self->_note('start', $front->{name}); $front->start; };
}

# The front is lost; another one, made from its dump, resolves what it left; then the
# first one comes back. Half of the time what it had sent last arrives only then.
sub second_front
{
	my ($self) = @_;
	my ($first, $second, $dir) = @$self{qw(front second dir)};
	my @late = rand() < 0.5 ? map { "$first->{name}.$_->{name}" } @{ $self->{nodes} } : ();

	$self->_finish_repair;
	if (@late)
	{
		$self->_note('hold all requests of', $first->{name});
		$self->{network}->cut($_, 'hold', 'requests') foreach @late;
		sleep rand 0.5;
	}
	$self->_note('kill -9', $first->{name});
	$first->kill9;
	# what its registry says now, without any session that could change it or resolve anything
	mkdir "$dir/private";
	$first->start("-k $dir/private -c shared_preload_libraries=");
	system("pg_dump -h $dir/private -p $first->{port} -U postgres -f $dir/dump.sql postgres") == 0
	  or die "pg_dump failed";
	$first->kill9;

	$second->start;
	$second->sql('DROP DATABASE IF EXISTS postgres WITH (FORCE)', database => 'template1');
	$second->sql('CREATE DATABASE postgres TEMPLATE template0', database => 'template1');
	$second->sql(undef, file => "$dir/dump.sql");
	$second->sql($self->{addresses}->($second));
	$self->_note($second->{name}, 'recovers');
	if (@late)
	{
		# it can do no more than begin: what is still on its way may have to be waited for
		$self->_recover($second);
		$self->_note('what', $first->{name}, 'has sent arrives');
		$self->{network}->heal($_) foreach @late;
	}
	my $until = time + 60;
	until ($self->_resolved($second))
	{
		$self->_recover($second);
		next if time < $until;
		$self->_complain("the second front has not resolved everything within a minute");
		last;
	}
	$second->kill9;
	$self->_note('start', $first->{name});
	$first->start;
	return undef;
}

sub _recover
{
	my ($self, $front) = @_;
	foreach my $cluster (@{ $self->{clusters} })
	{
		my ($output, $error) = $front->try("SELECT * FROM plshard.recover('$cluster')");
		$self->_note($front->{name}, "recover $cluster:", $error ne '' ? $error : $output);
	}
	return;
}

# Nothing is prepared on any node; but on one that is out of a cluster that cluster's repair
# has to do it.
sub _resolved
{
	my ($self, $front) = @_;
	my %out;
	push @{ $out{ $_->[0] } }, "'plshard_$_->[1]%'" foreach map { [ split /\|/ ] } split /\n/, $front->sql(<<'SQL');
SELECT node, replace(cluster_id::text, '-', '') FROM plshard.nodes JOIN plshard.clusters USING (cluster)
WHERE NOT EXISTS (SELECT FROM plshard.placements p
                  WHERE p.cluster = nodes.cluster AND p.node = nodes.node AND p.state = 'active')
SQL
	foreach my $node (@{ $self->{nodes} })
	{
		my $patterns = join ', ', @{ $out{ $node->{name} } // [] };
		return 0 if $node->sql("SELECT count(*) FROM pg_prepared_xacts WHERE gid NOT LIKE ALL (ARRAY[$patterns]::text[])");
	}
	return 1;
}

# ---- repair ----

# In the background: the next fault may come before its end.
sub _repair
{
	my ($self) = @_;
	my $dir = $self->{dir};
	return if $self->{repair} && waitpid($self->{repair}, POSIX::WNOHANG) == 0;
	$self->{counts}{repair}++;
	$self->_note('recover and repair');
	my @sql = map { ('-c', "SELECT * FROM plshard.recover('$_')", '-c', "SELECT * FROM plshard.repair_cluster('$_')") }
	  @{ $self->{clusters} };
	$self->{repair} = fork // die "fork: $!";
	return if $self->{repair};
	exec 'bash', '-c', 'exec "${@:2}" >>"$1" 2>&1 </dev/null', 'bash', "$dir/repair.log",
	  'timeout', '-k', 5, 120, 'psql', '-XAtq', '-d', $self->{front}->conninfo, @sql
	  or POSIX::_exit(1);
}

sub _finish_repair
{
	my ($self) = @_;
	waitpid($self->{repair}, 0) if $self->{repair};
	$self->{repair} = undef;
	return;
}

=pod

=back

=cut

1;
