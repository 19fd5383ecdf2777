
# What a server may answer to a COPY, or answer with a COPY: a server of our own does as the
# function's argument says.  All of it is an error of the function, and the session goes on.

use strict;
use warnings;
use FindBin;
use IO::Socket::UNIX;
use lib "$FindBin::RealBin/../perl";
use PlshardChecks;
use PlshardCluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $c = PlshardCluster->new(nodes => 0, define => 0);

my $dir = PostgreSQL::Test::Utils::tempdir_short();
my $listener = IO::Socket::UNIX->new(Local => "$dir/.s.PGSQL.1", Listen => 5) or die "cannot listen: $!";
my $test = $$;

sub message { return pack('A N', $_[0], 4 + length $_[1]) . $_[1]; }

my $signature = "PGCOPY\n\xff\r\n\0" . pack('N N', 0, 0);
my $field = pack('N', 1) . 'x';
my $row = pack('n', 1) . $field;
my $trailer = pack('n', 65535);
my $columns = pack('n', 1) . "a\0" . pack('N n N n N n', 0, 0, 25, -1, -1, 1);
my %copied = (
	'rows' => [ $signature . $row, $row, $row . $row, $trailer ],
	'nothing' => [ $signature . $trailer ],
	'no trailer' => [ $signature . $row ],
	'no message' => [],
	'no signature' => [ $row, $trailer ],
	'two signatures' => [ $signature . $row, $signature . $trailer ],
	'half a signature' => [ substr($signature, 0, 12), $row, $trailer ],
	'an extension' => [ substr($signature, 0, 15) . pack('N', 3) . 'xyz' . $row, $trailer ],
	'a long extension' => [ substr($signature, 0, 15) . pack('N', 1000) . $row, $trailer ],
	'more fields' => [ $signature . pack('n', 2) . $field . $field, $trailer ],
	'less fields' => [ $signature . pack('n', 0), $trailer ],
	'a long field' => [ $signature . pack('n N', 1, 2) . 'x', $trailer ],
	'a negative field' => [ $signature . pack('n N', 1, 4294967294) . 'x', $trailer ],
	'half a length' => [ $signature . pack('n n', 1, 0), $trailer ],
	'half a row' => [ $signature . substr($row, 0, 1), $trailer ],
	'more behind the trailer' => [ $signature . $row . $trailer . $row ],
	'a row behind the trailer' => [ $signature . $row . $trailer, $row ],
	'two trailers' => [ $signature . $row . $trailer, $trailer ]);
my %others = (
	'copy in' => message('G', pack('C n n', 1, 1, 1)),
	'copy both' => message('W', pack('C n n', 1, 1, 1)),
	'copy out' => message('H', pack('C n n', 1, 1, 1)),
	'a result' => message('T', $columns) . message('D', $row) . message('C', "SELECT 1\0"),
	'a command' => message('C', "SET\0"));

# Answers what a client has sent.
sub answer
{
	my ($type, $body, $setup) = @_;		# $setup: how many columns the session's set-up has
	return message('1', '') if $type eq 'P';
	return message('2', '') if $type eq 'B';
	return message('Z', 'I') if $type eq 'S';
	my ($how) = $body =~ /lie\('(.*?)'::/;
	if ($type eq 'Q')
	{
		return ($others{$how} // message('H', pack('C n n', 1, 1, 1)) . join('', map { message('d', $_) } @{ $copied{$how} }) .
			  message('c', '') . message('C', "COPY 1\0")) . message('Z', 'I');
	}
	return message('T', pack('n', $setup) . substr($columns, 2) x $setup) if $type eq 'D' && $setup;
	return message('D', pack('n', $setup) . (pack('N', 1) . 't') x $setup) . message('C', "SELECT 1\0") if $type eq 'E' && $setup;
	return message('n', '') if $type eq 'D';
	return message('C', "SET\0") if $type eq 'E';
	return '';
}

sub take
{
	my ($client, $length) = @_;
	my $bytes = '';
	while (length $bytes < $length)
	{
		sysread($client, $bytes, $length - length $bytes, length $bytes) or return;
	}
	return $bytes;
}

my $liar = fork // die "cannot fork: $!";
if ($liar == 0)
{
	$SIG{CHLD} = 'IGNORE';
	for (;;)
	{
		my $client = $listener->accept or next;		# a child may have ended
		next if fork;
		my $start = take($client, unpack('N', take($client, 4)) - 4);
		my ($setup, $plain);
		syswrite($client, message('R', pack('N', 0)) . message('K', pack('N N', 1, 1)) . message('Z', 'I'));
		while (defined(my $head = take($client, 5)))
		{
			my ($type, $length) = unpack('A N', $head);
			my $body = $length > 4 ? take($client, $length - 4) : '';
			# one column for each setting, and six
			my $all = 6 + (() = $body =~ /set_config/g);
			$setup = $body =~ /current_setting/ ? ($start =~ /short/ ? 3 : $all) : 0 if $type eq 'P';
			$plain = $body =~ /plain_lie/ if $type eq 'P';
			my ($how) = $type eq 'B' && $plain ? $body =~ /(copy \w+)/ : ();
			syswrite($client, defined $how ? message('2', '') . $others{$how} : answer($type, $body, $setup));
		}
		POSIX::_exit(0);
	}
}
END
{
	my $status = $?;
	kill 'KILL', $liar if defined $liar && $liar != 0 && $$ == $test;
	$? = $status;
}

$c->sql(<<"SQL");
CREATE SERVER liar FOREIGN DATA WRAPPER plshard OPTIONS (p0 'host=$dir port=1 dbname=postgres sslmode=disable gssencmode=disable', node_timeout '1 min');
CREATE SERVER short FOREIGN DATA WRAPPER plshard OPTIONS (p0 'host=$dir port=1 dbname=short sslmode=disable gssencmode=disable', node_timeout '1 min');
CREATE FUNCTION short() RETURNS text LANGUAGE plshard STABLE AS \$\$ CLUSTER 'short'; \$\$;
CREATE FUNCTION lie(how text) RETURNS SETOF text LANGUAGE plshard STABLE ROWS 1000000 AS \$\$ CLUSTER 'liar'; \$\$;
CREATE FUNCTION plain_lie(how text) RETURNS SETOF text LANGUAGE plshard STABLE AS \$\$ CLUSTER 'liar'; \$\$;
CREATE FUNCTION void_lie(how text) RETURNS void LANGUAGE plshard STABLE AS \$\$ CLUSTER 'liar'; TARGET plain_lie; \$\$;
SQL
my $s = $c->session;
is_fine($s->try("SELECT lie('rows')"), "x\nx\nx\nx", 'what COPY sends');
is_fine($s->try("SELECT lie('an extension')"), 'x', 'a header with more than we know');
foreach my $how (sort(grep { $_ !~ /rows|nothing|an extension/ } keys %copied), 'a result', 'a command', 'copy in', 'copy both')
{
	fails($s->try("SELECT lie('$how')"), '08P01', "not what COPY sends: $how");
	is_fine($s->try("SELECT count(*) FROM lie('nothing')"), 0, '... and the next call');
}
foreach my $how ('copy in', 'copy out', 'copy both')
{
	fails($s->try("SELECT plain_lie('$how')"), '08P01', "an answer that was not asked for: $how");
	fails($s->try("SELECT void_lie('$how')"), '08P01', "... nor here");
}
is_fine($s->try("SELECT lie('rows')"), "x\nx\nx\nx", 'what COPY sends');
fails($s->try('SELECT short()'), '08P01', 'not all that a new session asks for');
$s->quit;

done_testing();
