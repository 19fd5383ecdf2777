# What tests say of a result that must also come soon: of a hash that
# PlshardCluster's try() or a session's result() returns.
package PlshardChecks;

use strict;
use warnings;
use Exporter 'import';
use Test::More;

our @EXPORT = qw(GUARD is_fine fails);

# Seconds after which something is taken to hang: far above every time-out of the
# tests, since the machine may be slow.
use constant GUARD => 20;

# A result without an error, in time.
sub is_fine
{
	my ($r, $out, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(defined $r->{sqlstate} ? $r->{err} : $r->{out}, $out, $name);
	cmp_ok($r->{seconds}, '<', GUARD, '... in time');
	return;
}

# A result with such an error (a pattern), in time.
sub fails
{
	my ($r, $sqlstate, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	like($r->{sqlstate} // 'none', qr/^(?:$sqlstate)$/, $name) or diag $r->{err};
	cmp_ok($r->{seconds}, '<', GUARD, '... in time');
	return;
}

1;
