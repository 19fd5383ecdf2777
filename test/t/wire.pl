
# What travels: values in binary, or as text with disable_binary.  A process between
# front and node keeps what it passes on.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use IO::Select;
use IO::Socket::UNIX;
use PlshardCluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $c = PlshardCluster->new(nodes => 1, define => 0);
my $dir = PostgreSQL::Test::Utils::tempdir_short();
my $socket = sprintf '%s/.s.PGSQL.%s', $c->node(1)->host, $c->node(1)->port;

# Passes on one connection after the other; writes each direction's bytes to a file.
my $listener = IO::Socket::UNIX->new(Local => "$dir/.s.PGSQL.1", Listen => 5) or die "cannot listen: $!";
my $test = $$;
my $pid = fork // die "cannot fork: $!";
if ($pid == 0)
{
	while (my $client = $listener->accept)
	{
		my $server = IO::Socket::UNIX->new(Peer => $socket) or die "cannot connect: $!";
		my $both = IO::Select->new($client, $server);
	  PASS: while (1)
		{
			foreach my $from ($both->can_read)
			{
				my $to = $from == $client ? $server : $client;
				sysread($from, my $bytes, 65536) or last PASS;
				append_to_file("$dir/" . ($from == $client ? 'sent' : 'received'), $bytes);
				syswrite($to, $bytes) == length $bytes or die "short write";
			}
		}
		close $_ foreach $client, $server;
	}
	POSIX::_exit(0);
}
END
{
	my $status = $?;
	kill 'KILL', $pid if defined $pid && $pid != 0 && $$ == $test;
	$? = $status;
}

$c->sql(<<"SQL");
CREATE SERVER part FOREIGN DATA WRAPPER plshard OPTIONS (p0 'host=$dir port=1 dbname=postgres');
CREATE FUNCTION plus_one(a int) RETURNS int LANGUAGE plshard STABLE AS \$\$ CLUSTER 'part'; TARGET pg_catalog.int4inc; \$\$;
CREATE FUNCTION echo(a int, t text, b bytea, OUT r int, OUT s text, OUT u bytea) LANGUAGE plshard STABLE AS
	\$\$ CLUSTER 'part'; SELECT a + 1 AS r, t || '!' AS s, b || '\\x00'::bytea AS u; \$\$;
SQL

# 0x40490fdb goes, 0x40490fdc comes back
sub travels
{
	my ($call) = @_;
	unlink "$dir/sent", "$dir/received";
	$c->sql($call);
	my ($sent, $received) = (slurp_file("$dir/sent"), slurp_file("$dir/received"));
	return join ', ', map { $_->[0] }
	  grep { index($_->[1], $_->[2]) >= 0 } (
		[ 'argument in binary', $sent, "\x40\x49\x0f\xdb" ],
		[ 'argument as text', $sent, '1078530011' ],
		[ 'result in binary', $received, "\x40\x49\x0f\xdc" ],
		[ 'result as text', $received, '1078530012' ]);
}

is(travels('SELECT plus_one(1078530011)'), 'argument in binary, result in binary', 'a call');
$c->sql("ALTER SERVER part OPTIONS (ADD disable_binary 'true')");
is(travels('SELECT plus_one(1078530011)'), 'argument as text, result as text', 'with disable_binary');
is(travels("SELECT * FROM echo(1078530011, 'x', '\\xff')"), 'argument as text, result as text', '... of body SQL');
$c->sql("ALTER SERVER part OPTIONS (SET disable_binary 'false')");
like(travels("SELECT * FROM echo(1078530011, 'x', '\\xff')"), qr/^argument in binary/, 'body SQL');

done_testing();
