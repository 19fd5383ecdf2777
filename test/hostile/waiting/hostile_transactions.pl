# What a server says is never believed: transactions of several nodes, savepoints, calls with an
# id, the search for deadlocks.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use PlshardHostile;
use Test::More;
use Time::HiRes ();

my $h = PlshardHostile->new(nodes => 2);
my $c = $h->cluster;
my ($k1, $k2) = $h->sample;

# What a lie has left prepared is settled.
sub settle
{
	my ($self) = @_;
	$self->ask("SELECT count(*) FROM plshard.recover('$_')") foreach 's', 'c';
	return;
}

# ... and the rows that one transaction has written together are alike, as soon as all of it is settled.
my $alike = 1;
sub settle_both
{
	my ($self) = @_;
	my ($v1, $v2);
	foreach (1 .. 10)
	{
		settle($self);
		($v1, $v2) = split /\|/, $self->ask("SELECT get_s('$k1'), get_s('$k2')");
		return if $v1 == $v2;
		Time::HiRes::usleep(300_000);
	}
	diag "$v1 and $v2";
	$alike = 0;
	return;
}

$c->sql("CREATE SEQUENCE value; SELECT set_s('$k1', 0), set_s('$k2', 0)");
$h->attack(name => 'two nodes', seeds => 20, mend => \&settle_both,
	sql => "SELECT nextval('value') AS v \\gset\nBEGIN; SELECT set_s('$k1', :v) = :v, set_s('$k2', :v) = :v; COMMIT");
ok($alike, 'what one transaction has written on two nodes is on both or on none');
$h->attack(name => 'a savepoint', seeds => 10, mend => \&settle,
	sql => "BEGIN; SELECT set_s('$k1', 7); SAVEPOINT s; SELECT set_s('$k1', 8); ROLLBACK TO s; SELECT set_s('$k1', 9); COMMIT");
$h->attack(name => 'a call with an id', seeds => 20, mend => \&settle,
	sql => "SELECT 'id ' || nextval('value') AS id \\gset\nSET plshard.call_id = :'id'; SELECT set_c('$k1', 7); SELECT set_c('$k1', 7); RESET plshard.call_id");

# somebody holds the key: the session looks why it waits
my $holder = $c->session;
$holder->sql("BEGIN; SELECT set_s('$k1', 1)");
$h->attack(name => 'a search for a deadlock', elsewhere => 1, seeds => 30, limit => '300ms', begin => "SET plshard.deadlock_timeout = '10 ms'",
	sql => "SELECT set_s('$k1', 2)",
	each => [ 'columns: one less', 'values: all NULL', 'columns: no row', 'values: text that is no number', 'fatal: no message' ]);
$holder->quit;
$h->finish;
done_testing();
