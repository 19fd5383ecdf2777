
# Long results, which come by COPY, in the middle of which something happens: a node dies, hangs,
# ends a session; the caller cancels.  Each shard stops behind some thousand rows at a gate on its
# node, so that it is the middle.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use PlshardChecks;
use PlshardCluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

use constant ROWS => 4000;		# of each shard

my $c = PlshardCluster->new(nodes => 4, shards => 16, replicas => 2);
$c->sql(q{ALTER SERVER c OPTIONS (ADD node_timeout '1 s')});
# the same nodes without replicas
$c->sql("SELECT plshard.create_cluster('one')");
$c->sql(q{ALTER SERVER one OPTIONS (ADD node_timeout '1 s')});
$c->sql("SELECT plshard.add_node('one', 'n$_', '" . $c->conninfo($_) . "')") foreach 1 .. 4;
$c->sql("SELECT plshard.create_shards('one', 8, 1)");

my $n = ROWS;
foreach my $cluster ('c', 'one')
{
	$c->sql(<<"SQL");
SELECT plshard.deploy('$cluster', \$ddl\$
	CREATE TABLE big (shard text, i int, pad text);
	CREATE FUNCTION gate(i int) RETURNS int STABLE LANGUAGE plpgsql AS \$\$
	BEGIN
		IF i = $n / 2 THEN
			PERFORM pg_advisory_lock_shared(7);
			PERFORM pg_advisory_unlock_shared(7);
		END IF;
		RETURN i;
	END \$\$;
	CREATE FUNCTION rows_of() RETURNS TABLE (shard text, i int, pad text, copied bool) STABLE LANGUAGE sql AS
		'SELECT shard, gate(i), pad, current_query() ~ ''^COPY'' FROM big';
	CREATE FUNCTION many(n int) RETURNS TABLE (i int, pad text) STABLE LANGUAGE sql AS
		'SELECT i, repeat(''x'', 100) FROM generate_series(1, n) i';
\$ddl\$);
CREATE FUNCTION fill_$cluster() RETURNS SETOF void LANGUAGE plshard AS \$\$
	CLUSTER '$cluster'; RUN ON ALL; INSERT INTO big SELECT current_schema(), i, repeat('x', 100) FROM generate_series(1, $n) i; \$\$;
SELECT fill_$cluster();
CREATE FUNCTION rows_of_$cluster() RETURNS TABLE (shard text, i int, pad text, copied bool) STABLE ROWS 1000000 LANGUAGE plshard AS \$\$
	CLUSTER '$cluster'; RUN ON ALL; TARGET rows_of; \$\$;
CREATE FUNCTION rows_in_time_$cluster() RETURNS TABLE (shard text, i int, pad text, copied bool) STABLE ROWS 1000000 LANGUAGE plshard AS \$\$
	CLUSTER '$cluster'; RUN ON ALL; TIMEOUT '6 s'; TARGET rows_of; \$\$;
CREATE FUNCTION rows_left_$cluster() RETURNS TABLE (shard text, i int, pad text, copied bool) STABLE ROWS 1000000 LANGUAGE plshard AS \$\$
	CLUSTER '$cluster'; RUN ON ALL; ON FAILURE SKIP; TARGET rows_of; \$\$;
CREATE FUNCTION many_$cluster(n int) RETURNS TABLE (i int, pad text) STABLE ROWS 1000000 LANGUAGE plshard AS \$\$
	CLUSTER '$cluster'; RUN ON 0; TARGET many; \$\$;
SQL
}

sub query { return "SELECT count(*), count(DISTINCT (shard, i)), sum(i), sum(length(pad)), bool_and(copied) FROM $_[0]()"; }

# What the query gives of so many shards.
sub whole
{
	my ($shards) = @_;
	return join '|', ROWS * $shards, ROWS * $shards, ROWS * (ROWS + 1) / 2 * $shards, 100 * ROWS * $shards, 't';
}

my $at_gate = q{FROM pg_locks WHERE locktype = 'advisory' AND objid = 7 AND NOT granted};

# Closes a node's gate; opened by ending the session (or with the node).
sub close_gate
{
	my ($i) = @_;
	my $gate = $c->session(on => $i);
	$c->wait_for("SELECT count(*) = 0 $at_gate", on => $i);
	$gate->sql('SELECT pg_advisory_lock(7)');
	return $gate;
}

# Whether a session reads some of all shards on n2: not if by chance it has no shard there, and
# for a while after the node has failed.
sub reads_there { return $_[0]->sql(q{SELECT count(*) FROM plshard.explain_call('rows_of_c()') WHERE node = 'n2'}) > 0; }

sub reader
{
	for (1 .. 20)
	{
		my $s = $c->session;
		return $s if reads_there($s);
		$s->quit;
	}
	die 'no session reads on n2';
}

sub until_there
{
	my ($s) = @_;
	foreach (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return if reads_there($s);
		usleep(100_000);
	}
	die 'the session does not read on n2 any more';
}

# Sends a query and waits until it is stopped at the gate of n2.
sub until_stopped
{
	my ($s, $query) = @_;
	until_there($s);
	$s->send($query);
	$c->wait_for("SELECT count(*) > 0 $at_gate", on => 2);
	return;
}

my $query = query('rows_of_c');
my @sessions = map { reader() } 1 .. 3;
my ($s, $t, $u) = @sessions;
is_fine($_->try($query), whole(16), 'a long result') foreach @sessions;

#
# A session of the node is ended
#
my $gate = close_gate(2);
until_stopped($s, $query);
is($c->sql("SELECT count(pg_terminate_backend(pid)) > 0 $at_gate", on => 2), 't', 'a session on a node is terminated amid a COPY');
$gate->quit;
is_fine($s->result, whole(16), 'the read is done again, each row comes once');
is_fine($s->try($query), whole(16), '... and the next');

#
# Cancelled, out of time
#
$gate = close_gate(2);
until_stopped($s, $query);
is($c->sql('SELECT pg_cancel_backend(' . $s->pid . ')'), 't', 'a read amid a COPY is cancelled');
fails($s->result, '57014', '... and ends');
is_fine($s->try('SELECT count(*) FROM many_c(5000)'), 5000, '... and the session goes on');
$c->wait_for("SELECT count(*) = 0 $at_gate", on => 2);
pass('... as the node does not');
until_there($s);
fails($s->try("SET statement_timeout = '1 s'; $query"), '57014', 'statement_timeout amid a COPY');
$s->sql('RESET statement_timeout');
until_there($s);
fails($s->try("SET statement_timeout = '1 s'; BEGIN; SAVEPOINT a; $query"), '57014', '... also behind a savepoint');
is_fine($s->try('ROLLBACK TO a; SELECT count(*) FROM many_c(5000); COMMIT; RESET statement_timeout'), 5000, '... and the transaction goes on');
until_there($s);
is_fine($s->try(query('rows_in_time_c')), whole(16), 'with a TIMEOUT the other replica answers');
my @gates = ($gate, map { close_gate($_) } 1, 3, 4);
fails($s->try(query('rows_in_time_c')), '57014', '... if one does');
$_->quit foreach @gates;
is_fine($s->try($query), whole(16), 'the next read');

#
# A node hangs
#
$gate = close_gate(2);
until_stopped($s, $query);
$c->freeze(2);
is_fine($s->result, whole(16), 'a node hangs amid a COPY');
is_fine($s->try($query), whole(16), '... and before one');
is_fine($t->try($query), whole(16), '... also for another session');
$c->thaw(2);
$gate->quit;

# it hangs while there is something on its way that is not waited for: the COMMIT
until_there($u);
is_fine($u->try("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM rows_of_c()"), ROWS * 16, 'a read in a transaction');
$c->freeze(2);
is_fine($u->try("COMMIT; $query"), whole(16), 'a node hangs before the COMMIT of a read');
$c->thaw(2);
is_fine($_->try($query), whole(16), 'a node that is back') foreach @sessions;

#
# A node dies
#
$gate = close_gate(2);
until_stopped($s, $query);
$c->node(2)->stop('immediate');
is_fine($s->result, whole(16), 'a node dies amid a COPY');
is_fine($_->try($query), whole(16), '... and before one') foreach @sessions;
$c->node(2)->start;
is_fine($_->try($query), whole(16), 'a node that is back') foreach @sessions;

# and no other node has its shards
foreach my $how ('stop', 'freeze')
{
	$gate = close_gate(2);
	until_stopped($s, query('rows_of_one'));
	$how eq 'stop' ? $c->node(2)->stop('immediate') : $c->freeze(2);
	fails($s->result, '(08006|57P0[123])', "a node without replicas ($how)");
	$how eq 'stop' ? $c->node(2)->start : $c->thaw(2);
	$gate->quit if $how eq 'freeze';
	is_fine($s->try(query('rows_of_one')), whole(8), '... and when it is back');

	$gate = close_gate(2);
	until_stopped($s, query('rows_left_one'));
	$how eq 'stop' ? $c->node(2)->stop('immediate') : $c->freeze(2);
	my $r = $s->result;
	is_fine($r, whole(6), '... and ON FAILURE SKIP');
	is(scalar(() = $r->{err} =~ /WARNING/g), 2, '... with two WARNINGs') or diag $r->{err};
	$how eq 'stop' ? $c->node(2)->start : $c->thaw(2);
	$gate->quit if $how eq 'freeze';
	is_fine($s->try(query('rows_left_one')), whole(8), '... and when it is back');
}

#
# Memory
#
sub peak
{
	return slurp_file('/proc/' . $_[0]->pid . '/status') =~ /^VmHWM:\s+(\d+) kB/m ? $1 : die;
}
$s->sql('SELECT count(*) FROM many_c(1000)');
my $before = peak($s);
is_fine($s->try('SELECT count(*), sum(i) FROM many_c(1000000)'), '1000000|500000500000', 'a million rows');
cmp_ok(peak($s) - $before, '<', 64 * 1024, '... do not lie in memory');

$_->quit foreach @sessions;
done_testing();
