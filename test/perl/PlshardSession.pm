
=pod

=head1 NAME

PlshardSession - a psql session that a test talks to while it goes on

=head1 SYNOPSIS

  my $s = $cluster->session;		# a PlshardCluster
  $s->sql('BEGIN');
  $s->send("SELECT put('a', 1)");	# returns at once
  ...
  my $r = $s->result;				# waits
  is($r->{sqlstate}, undef, 'the write went on');
  $s->quit;

=head1 METHODS

=over

=cut

package PlshardSession;

use strict;
use warnings;

use IPC::Run ();
use PostgreSQL::Test::Utils;
use Time::HiRes ();

sub new
{
	my ($class, $server) = @_;
	my $self = bless { in => '', out => '', err => '', count => 0 }, $class;
	my @command = (
		'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-f', '-',
		'-d', $server->connstr('postgres'));

	$self->{timer} = IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default);
	$self->{run} = IPC::Run::start(\@command, '<', \$self->{in}, '>', \$self->{out},
		'2>', \$self->{err}, $self->{timer});
	$self->{pid} = $self->sql('SELECT pg_backend_pid()');
	return $self;
}

=pod

=item $s->pid

The server process.

=item $s->send($sql), $s->result

Sends SQL; waits until all of it is done and returns a hash like that of
C<< $cluster->try >>, and C<lost>, true if the connection was lost (the session is
over then).

=item $s->is_done

Whether what was sent is done (or the session is over), without waiting.

=item $s->try($sql), $s->sql($sql)

Both in one; C<sql> returns the output and dies on an error.

=item $s->wait_until_stopped

After C<send>: until the server process has stopped itself (C<plshard.inject>); its process id.

=item $s->quit

Ends the session.

=cut

sub pid { return $_[0]->{pid}; }

sub send
{
	my ($self, $sql) = @_;
	$self->{banner} = 'done ' . ++$self->{count};
	$self->{started} = Time::HiRes::time();
	$self->{timer}->start;
	$self->{in} .= "$sql\n;\n\\echo '$self->{banner}'\n\\warn '$self->{banner}'\n";
	$self->{run}->pump_nb;
	return;
}

sub is_done
{
	my ($self) = @_;
	my $end = qr/^\Q$self->{banner}\E\n/m;

	$self->{run}->pump_nb if $self->{run}->pumpable;
	return ($self->{out} =~ $end && $self->{err} =~ $end) || !$self->{run}->pumpable;
}

sub result
{
	my ($self) = @_;
	my $end = qr/^\Q$self->{banner}\E\n/m;

	$self->{run}->pump until $self->is_done;
	my $lost = $self->{out} !~ $end;
	$self->{run}->finish if $lost;
	s/$end// foreach $self->{out}, $self->{err};
	chomp $self->{out};

	my $result = outcome($self->{out}, $self->{err}, Time::HiRes::time() - $self->{started});
	$result->{lost} = $lost;
	$self->{out} = $self->{err} = '';
	return $result;
}

sub wait_until_stopped
{
	my ($self) = @_;
	foreach (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return $self->{pid} if PostgreSQL::Test::Utils::slurp_file("/proc/$self->{pid}/stat") =~ /^\d+ \(.*\) T /;
		Time::HiRes::usleep(100_000);
	}
	die 'the session does not stop';
}

sub try
{
	my ($self, $sql) = @_;
	$self->send($sql);
	return $self->result;
}

sub sql
{
	my ($self, $sql) = @_;
	my $result = $self->try($sql);
	die "$sql: $result->{err}" if defined $result->{sqlstate} || $result->{lost};
	return $result->{out};
}

sub quit
{
	my ($self) = @_;
	$self->{in} .= "\\q\n";
	$self->{run}->finish;
	return;
}

=pod

=item PlshardSession::outcome($out, $err, $seconds)

What psql has said, as a hash: C<out>, C<err>, C<seconds>, and C<sqlstate> and
C<message> of the first error (undef if there was none).

=back

=cut

sub outcome
{
	my ($out, $err, $seconds) = @_;
	my %result = (out => $out, err => $err, seconds => $seconds);
	@result{qw(sqlstate message)} = ($1, $2)
	  if $err =~ /^(?:psql:[^\n]*?)?(?:ERROR|FATAL): +(\w{5}): (.*)$/m;
	return \%result;
}

1;
