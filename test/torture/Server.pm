
=pod

=head1 NAME

Server - a PostgreSQL server that the torture test starts, kills and freezes

=cut

package Server;

use strict;
use warnings;

use Time::HiRes qw(sleep time);

my $next_port = 5500;

=pod

=over

=item Server->new($dir, $name, $conf)

Makes a database cluster below $dir, whose unix socket is in $dir as well. It is not
started yet. fsync is off: what is killed here are processes, and the operating system
keeps what they have written.

=cut

sub new
{
	my ($class, $dir, $name, $conf) = @_;
	my $self = bless {
		name => $name, dir => $dir, data => "$dir/$name", log => "$dir/$name.log",
		port => $next_port++, frozen => [],
	}, $class;

	_must('initdb', '-D', $self->{data}, '-U', 'postgres', '-A', 'trust', '-N', '--no-instructions');
	open my $file, '>>', "$self->{data}/postgresql.conf" or die $!;
	print $file <<"CONF";
listen_addresses = ''
unix_socket_directories = '$dir'
port = $self->{port}
fsync = off
shared_buffers = 16MB
max_connections = 100
max_prepared_transactions = 100
log_line_prefix = '%m [%p] %a '
autovacuum = off
$conf
CONF
	close $file;
	return $self;
}

sub _must
{
	my @command = @_;
	open my $pipe, '-|', 'bash', '-c', 'exec "$@" 2>&1 </dev/null', 'bash', @command or die $!;
	my $output = do { local $/; <$pipe> } // '';
	close $pipe or die "@command failed:\n$output";
	return $output;
}

=pod

=item $s->start([$options]), $s->stop($mode), $s->kill9, $s->running

C<kill9> ends the postmaster and all its children at once, and returns when they are gone.

=cut

sub start
{
	my ($self, $options) = @_;
	# no process of it is left, though one that its parent has not waited for yet still has its number
	unlink "$self->{data}/postmaster.pid", glob "$self->{dir}/{,*/}.s.PGSQL.$self->{port}.lock";
	_must('pg_ctl', '-D', $self->{data}, '-l', $self->{log}, '-t', 120, '-w',
		(defined $options ? ('-o', $options) : ()), 'start');
	return;
}

sub stop
{
	my ($self, $mode) = @_;
	_must('pg_ctl', '-D', $self->{data}, '-m', $mode, '-t', 60, '-w', 'stop');
	return;
}

sub postmaster
{
	my ($self) = @_;
	open my $file, '<', "$self->{data}/postmaster.pid" or return;
	my $pid = <$file>;
	close $file;
	return unless defined $pid && $pid =~ /^(\d+)$/m;
	$pid = $1;
	return -d "/proc/$pid" ? $pid : undef;
}

sub running { return defined $_[0]->postmaster; }

sub kill9
{
	my ($self) = @_;
	my $postmaster = $self->postmaster or return;
	my @pids = $self->processes;
	kill 'KILL', @pids;
	foreach my $pid (@pids)
	{
		my $until = time + 30;
		while (_state($pid) !~ /[ZX]/)
		{
			die "process $pid does not end" if time > $until;
			sleep 0.01;
		}
	}
	$self->{frozen} = [];
	return;
}

# The letter of /proc/PID/stat; X where there is no such process.
sub _state
{
	my ($pid) = @_;
	open my $file, '<', "/proc/$pid/stat" or return 'X';
	my $line = <$file> // '';
	return $line =~ /^\d+ \(.*\) (\S)/ ? $1 : 'X';
}

=pod

=item $s->processes, $s->backends

Process ids: the postmaster and all its children; those that serve clients.

=item $s->stopped

Those of them that SIGSTOP has stopped.

=item $s->freeze([@pids]), $s->thaw

SIGSTOP for these processes, or all; SIGCONT for those that were frozen.

=cut

sub processes
{
	my ($self) = @_;
	my $postmaster = $self->postmaster or return;
	return ($postmaster, map { $_->[0] } _children($postmaster));
}

sub backends
{
	my ($self) = @_;
	my $postmaster = $self->postmaster or return;
	return map { $_->[0] } grep { $_->[1] =~ /^postgres: \S+ \S+ \[local\]/ } _children($postmaster);
}

sub stopped
{
	my ($self) = @_;
	return grep { _state($_) eq 'T' } $self->processes;
}

sub _children
{
	my ($parent) = @_;
	my @children;
	foreach my $dir (glob '/proc/[0-9]*')
	{
		open my $file, '<', "$dir/stat" or next;
		my $line = <$file> // next;
		next unless $line =~ /^(\d+) \(.*\) \S (\d+) / && $2 == $parent;
		my $pid = $1;
		open $file, '<', "$dir/cmdline" or next;
		push @children, [ $pid, <$file> // '' ];
	}
	return @children;
}

sub freeze
{
	my ($self, @pids) = @_;
	# the postmaster first, so that there is no new one afterwards
	if (!@pids)
	{
		kill 'STOP', $self->postmaster;
		@pids = $self->processes;
	}
	kill 'STOP', @pids;
	push @{ $self->{frozen} }, @pids;
	return;
}

sub thaw
{
	my ($self) = @_;
	kill 'CONT', reverse @{ $self->{frozen} };
	$self->{frozen} = [];
	return;
}

=pod

=item $s->conninfo([$database])

=item $s->try($sql, %options), $s->sql($sql, %options)

Runs SQL, or a C<file>, by psql, for at most C<seconds> (60), in a C<database>
(postgres), with further options C<psql>. C<try> returns the output (unaligned,
tuples only) and the error messages, '' if it went well; C<sql> dies of an error.

=item $s->wait_ready

Waits until it answers.

=back

=cut

sub conninfo
{
	my ($self, $database) = @_;
	$database //= 'postgres';
	return "host=$self->{dir} port=$self->{port} user=postgres dbname=$database connect_timeout=10";
}

sub try
{
	my ($self, $sql, %options) = @_;
	my $errors = "$self->{dir}/psql.$$.err";
	open my $pipe, '-|', 'bash', '-c', 'exec "${@:2}" 2>"$1" </dev/null', 'bash', $errors,
	  'timeout', '-k', 5, $options{seconds} // 60, 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1',
	  '-v', 'VERBOSITY=verbose', '-d', $self->conninfo($options{database}),
	  ($options{file} ? ('-f', $options{file}) : ()), (defined $sql ? ('-c', $sql) : ()), @{ $options{psql} // [] }
	  or die $!;
	my $output = do { local $/; <$pipe> } // '';
	close $pipe;
	my $status = $?;
	open my $file, '<', $errors or die $!;
	my $error = join '', <$file>;
	close $file;
	unlink $errors;
	chomp $output;
	return ($output, $status == 0 ? '' : $error . ($status >> 8 == 124 ? 'no answer in time' : "status $status"));
}

sub sql
{
	my ($self, $sql, %options) = @_;
	my ($output, $error) = $self->try($sql, %options);
	die "$self->{name}: " . ($sql // $options{file}) . ": $error\n" if $error ne '';
	return $output;
}

sub wait_ready
{
	my ($self) = @_;
	my $until = time + 120;
	while (1)
	{
		my ($output, $error) = $self->try('SELECT 1', seconds => 15);
		return if $error eq '';
		die "$self->{name} does not answer: $error" if time > $until;
		sleep 0.1;
	}
}

1;
