
=pod

=head1 NAME

Network - the links between fronts and nodes, all through proxy.c

=head1 SYNOPSIS

  my $network = Network->new($program, 'A.n1' => $server, 'B.n1' => $server, ...);
  my $port = $network->port('A.n1');		# on 127.0.0.1
  $network->cut('A.n1', 'hold', 'replies');
  $network->heal('A.n1');

The end of the program ends it.

=cut

package Network;

use strict;
use warnings;

use IPC::Open2 ();

sub new
{
	my ($class, $program, %links) = @_;
	my $self = bless { ports => {} }, $class;
	my @arguments = map { "$_=$links{$_}{dir}/.s.PGSQL.$links{$_}{port}" } sort keys %links;

	IPC::Open2::open2($self->{out}, $self->{in}, $program, @arguments);
	while (defined(my $line = readline $self->{out}))
	{
		return $self if $line eq "ready\n";
		my ($name, $port) = split ' ', $line;
		$self->{ports}{$name} = $port;
	}
	die 'the proxy does not start';
}

sub port { return $_[0]->{ports}{ $_[1] }; }

sub cut { return shift->_say(join ' ', 'cut', @_); }
sub heal { return shift->_say(join ' ', 'heal', @_); }

sub _say
{
	my ($self, $command) = @_;
	syswrite $self->{in}, "$command\n" or die "the proxy is gone: $!";
	my $answer = readline $self->{out};
	die "the proxy is gone" unless defined $answer && $answer eq "ok\n";
	return;
}

1;
