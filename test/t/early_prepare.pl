
# A replicated call that is all of its transaction: its second replica prepares in the batch of
# the call. Whatever ends it before the deciding node has committed is preceded by taking
# that back. (Sessions that are killed at its steps: injection.pl.)

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use PlshardCluster;
use Test::More;

# Shard 10000 is on n1, the deciding node, and n2.
my $c = PlshardCluster->new(nodes => 3, shards => 3, replicas => 2, node_conf => 'max_prepared_transactions = 8');
$c->sample;
$c->sql(q{ALTER SERVER c OPTIONS (ADD node_timeout '1 s')});

# What a node is to do in a call of act(): its own affair, which the other one does not see.
$c->sql(<<'SQL', on => $_) foreach 1 .. 3;
CREATE TABLE public.mode (what text);
GRANT SELECT ON public.mode TO PUBLIC;
CREATE TABLE public.shared (k text, v int);
INSERT INTO public.shared VALUES ('x', 0), ('y', 0);
SQL
$c->sql(<<'SQL');
SELECT plshard.deploy('c', $ddl$
	CREATE TABLE u (k text, v int, UNIQUE (k, v) DEFERRABLE INITIALLY DEFERRED);
	CREATE FUNCTION act(k text) RETURNS int LANGUAGE plpgsql AS $$
		DECLARE what text := (SELECT mode.what FROM public.mode);
		BEGIN
			INSERT INTO u VALUES (act.k, 0);
			IF what = 'fails' THEN RAISE EXCEPTION 'it fails';
			ELSIF what LIKE 'raises %' THEN RAISE EXCEPTION 'it fails' USING ERRCODE = right(what, 5);
			ELSIF what = 'is slow' THEN PERFORM pg_sleep(60);
			ELSIF what = 'waits' THEN PERFORM pg_advisory_xact_lock_shared(99);
			ELSIF what = 'differs' THEN RETURN 2;
			ELSIF what LIKE 'touches _' THEN UPDATE public.shared SET v = v + 1 WHERE shared.k = right(what, 1);
			ELSIF what = 'violates' THEN INSERT INTO u VALUES (act.k, 0);
			END IF;
			RETURN 1;
		END $$;
	CREATE FUNCTION hit(k text) RETURNS int LANGUAGE sql AS
		'UPDATE t SET v = t.v + 1 WHERE t.k = hit.k RETURNING t.v' $ddl$);
CREATE FUNCTION hit(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); $$;
CREATE FUNCTION act(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); $$;
CREATE FUNCTION act_soon(k text) RETURNS int LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(k); TARGET act; TIMEOUT '1 s'; $$;
SQL

my @keys = $c->some_keys(110, shard => 10000);
my ($warm, $hot) = splice @keys, 0, 2;
my $s = $c->session;
$s->sql("SELECT put('$warm', 0); SELECT put('$hot', 0)");

# The session's connections are up: else its next call would not prepare early.
sub connect_again { $s->sql("SELECT bump('$warm')"); return; }

sub mode
{
	my ($node, $what) = @_;
	$c->sql('DELETE FROM public.mode; ' . ($what ? "INSERT INTO public.mode VALUES ('$what')" : ''), on => $node);
	return;
}

sub prepared { return join ' ', map { $c->sql('SELECT count(*) FROM pg_prepared_xacts', on => $_) } 1 .. 2; }

my $n2_has_prepared = q{SELECT count(*) = 1 FROM pg_prepared_xacts};

# Nothing of a call is left: not prepared, not written, not locked, no node evicted.
sub gone
{
	my ($key, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(prepared(), '0 0', "$name: nothing is prepared");
	is_deeply($c->copies("SELECT k FROM u WHERE k = '$key'"), [], "$name: nothing is written");
	mode($_) foreach 1, 2;
	is($c->try("SELECT act('$key')", timeout => 60)->{out}, '1', "$name: nothing is locked");
	is($c->sql(q{SELECT count(*) FROM plshard.placements WHERE state <> 'active'}), 0, "$name: no node is evicted");
	return;
}

#
# What is sent
#
my $key = shift @keys;
$s->sql('SET plshard.log_remote_commands = on');
my $r = $s->try("SELECT act('$key')");
$s->sql('SET plshard.log_remote_commands = off');
my @sent = map { s/^(\w+): /$1 /r =~ s/ INSERT INTO plshard_node.*/ row/r =~ s/ SELECT CASE.*/ locks/r
	  =~ s/ SELECT COALESCE.*/ call/r =~ s/ (PREPARED|TRANSACTION) .*/ $1/r =~ s/(BEGIN).*/$1/r }
  $r->{err} =~ /NOTICE: +00000: node (.*)$/mg;
@sent = grep { !/search_path/ } @sent;
is_deeply(\@sent,
	[ 'n1 BEGIN', 'n1 locks', 'n1 call', 'n1 SET CONSTRAINTS ALL IMMEDIATE',
	  'n2 BEGIN', 'n2 locks', 'n2 call', 'n2 row', 'n2 PREPARE TRANSACTION',
	  'n1 row', 'n1 COMMIT', 'n2 COMMIT PREPARED' ],
	'the call and PREPARE, COMMIT, COMMIT PREPARED') or diag $r->{err};
is($r->{out}, '1', '... and its result');
is_deeply($c->copies("SELECT k FROM u WHERE k = '$key'"), [ map { "10000|$key" } 1, 2 ], '... on both replicas');
is(prepared(), '0 0', '... of which nothing is prepared any more');

# How a statement of a session is committed: an ordinary commit limits the waits for locks.
sub shape
{
	my ($session, $sql) = @_;
	my $result = $session->try("SET plshard.log_remote_commands = on; $sql");
	$session->sql('SET plshard.log_remote_commands = off');
	return shape_of($result);
}

sub shape_of
{
	my ($result) = @_;
	my @sent = $result->{err} =~ /node n\d: (SET LOCAL lock_timeout|PREPARE|COMMIT PREPARED|ROLLBACK PREPARED)/g;
	my $begun = 0;
	return join ', ', $result->{sqlstate} // 'ok', map { s/SET.*/commit/r } grep { !/SET/ || !$begun++ } @sent;
}
my @more = splice @keys, 0, 3;
is(shape($s, "SELECT act('$more[0]')"), 'ok, PREPARE, COMMIT PREPARED', 'PREPARE goes with the call');
my $ordinary = 'commit, PREPARE, COMMIT PREPARED';
is(shape($s, "SELECT act('$more[1]') \\; SELECT 1"), "ok, $ordinary", 'statements that are sent at once are one transaction');
is(shape($s, "BEGIN; SELECT act('$more[2]')"), 'ok', 'in a block nothing is prepared before its end');
$s->sql('ROLLBACK');

#
# Errors of one node, and different results
#
foreach my $case ([ 1, 'fails', 'P0001' ], [ 2, 'fails', 'P0001' ], [ 1, 'differs', 'XX001' ], [ 2, 'differs', 'XX001' ],
	[ 1, 'violates', '23505' ], [ 2, 'violates', '23505' ])
{
	my ($node, $what, $sqlstate) = @$case;
	$key = shift @keys;
	mode($node, $what);
	$r = $s->try("SELECT act('$key')");
	is($r->{sqlstate}, $sqlstate, "n$node $what") or diag $r->{err};
	gone($key, "n$node $what");
}

#
# Which errors are a node's own: it is evicted if the other one does not have them, and the write goes on
#
sub statements { my ($key) = @_; return ("SELECT act('$key')", "BEGIN; SELECT act('$key'); COMMIT"); }

my @shapes = ('a call', 'a block');
my $turn = 0;
foreach my $sqlstate (qw(53100 53200 58030 XX000 57P01 57P02 57P03 25006))
{
	$turn++;
	foreach my $shape (0, 1)
	{
		my $node = 1 + ($turn + $shape) % 2;
		my $name = "$sqlstate on n$node, $shapes[$shape]";
		$key = shift @keys;
		connect_again();
		mode($node, "raises $sqlstate");
		$r = $s->try('SET plshard.log_remote_commands = on; ' . (statements($key))[$shape]);
		$s->try('ROLLBACK; SET plshard.log_remote_commands = off');
		mode($node);
		is($r->{out}, '1', "$name: it goes on") or diag $r->{err};
		is(scalar(() = $r->{err} =~ /PREPARE TRANSACTION/g), 1 - $shape, "$name: PREPARE was sent with a call only");
		like($r->{err}, qr/WARNING:  01000: node "n$node" of cluster "c" failed/, "$name: the node is evicted");
		is($c->sql(q{SELECT string_agg(DISTINCT node, ' ') FROM plshard.placements WHERE state <> 'active'}), "n$node", "$name: no other is");
		is_deeply($c->copies("SELECT k FROM u WHERE k = '$key'"), ["10000|$key"], "$name: the other one has the row");
		$c->sql(q{SELECT count(*) FROM plshard.repair_cluster('c')});
		is(prepared(), '0 0', "$name: nothing is prepared");
	}
}
foreach my $sqlstate (qw(57014 57P04 25001 40001 54000 08006 42501))
{
	my $shape = $turn++ % 2;
	my $node = 1 + int($turn / 2) % 2;
	my $name = "$sqlstate on n$node, $shapes[$shape]";
	$key = shift @keys;
	connect_again();
	mode($node, "raises $sqlstate");
	is($s->try((statements($key))[$shape])->{sqlstate}, $sqlstate, "$name: it fails");
	$s->try('ROLLBACK');
	gone($key, $name);
}
foreach my $shape (0, 1)
{
	my $name = "53100 on both, $shapes[$shape]";
	$key = shift @keys;
	connect_again();
	mode($_, 'raises 53100') foreach 1, 2;
	is($s->try((statements($key))[$shape])->{sqlstate}, '53100', "$name: it fails");
	$s->try('ROLLBACK');
	gone($key, $name);
}

my $asleep = q{query ~ 'act\(' AND wait_event = 'PgSleep'};

# Sends a call, and waits until one node works on it and the other has done its part.
sub send_slow
{
	my ($node, $call) = @_;
	connect_again();
	mode($node, 'is slow');
	$s->send($call);
	$c->wait_for($n2_has_prepared, on => 2) if $node == 1;
	$c->wait_for("SELECT count(*) = 1 FROM pg_stat_activity WHERE $asleep", on => $node);
	return;
}

#
# It is cut off while one node works, and the other has done its part
#
foreach my $node (1, 2)
{
	foreach my $how ('cancelled', 'over its TIMEOUT')
	{
		my $name = "n$node is slow, and it is $how";
		$key = shift @keys;
		send_slow($node, $how =~ /TIMEOUT/ ? "SELECT act_soon('$key')" : "SELECT act('$key')");
		$c->sql('SELECT pg_cancel_backend(' . $s->pid . ')') if $how eq 'cancelled';
		$r = $s->result;
		is($r->{sqlstate}, '57014', $name) or diag $r->{err};
		gone($key, $name);
	}
}

#
# It is cut off, and then the node that would prepare is done with its part, before it has noticed
#
my $barrier = $c->session(on => 2);
$barrier->sql('SELECT pg_advisory_lock(99)');
mode(2, 'waits');
$key = shift @keys;
connect_again();
$s->send("SELECT act('$key')");
$c->wait_for(q{SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted}, on => 2);
$c->sql('SELECT pg_cancel_backend(' . $s->pid . ')');
is($s->result->{sqlstate}, '57014', 'cancelled while n2 works');
is($c->sql(q{SELECT state FROM plshard_node.transaction ORDER BY written_at DESC LIMIT 1}, on => 2), 'aborted',
	'... and n2 has been told that it must not prepare');
$barrier->sql('SELECT pg_advisory_unlock(99)');
$barrier->quit;
$c->wait_for(q{SELECT count(*) = 0 FROM pg_stat_activity WHERE query ~ 'act\(|PREPARE' AND state = 'active' AND pid <> pg_backend_pid()}, on => 2);
gone($key, 'cancelled while n2 works');
is($s->try("SELECT bump('$warm')")->{sqlstate}, undef, '... and the session goes on');

#
# The node that has prepared ends the session, and then the call fails on the other
#
mode(1, 'waits');
$barrier = $c->session(on => 1);
$barrier->sql('SELECT pg_advisory_lock(99)');
$key = shift @keys;
connect_again();
$s->send("SELECT act('$key')");
$c->wait_for($n2_has_prepared, on => 2);
$c->sql(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'plshard'}, on => 2);
$c->sql('SELECT pg_cancel_backend(' . $s->pid . ')');
is($s->result->{sqlstate}, '57014', 'n2 has prepared and ended the session');
$barrier->quit;
gone($key, 'n2 has prepared and ended the session');

#
# What would cut it off comes when it commits: it is done, and the session's next statement is not ended in its place
#
foreach my $how ('cancelled', 'over statement_timeout')
{
	$key = shift @keys;
	my $late = $c->session;
	$late->sql("SELECT bump('$warm'); SET plshard.inject = 'commit_sent:stop'");
	$late->sql(q{SET statement_timeout = '1 s'}) if $how =~ /timeout/;
	$late->send("SELECT act('$key'); SELECT 5");
	my $pid = $late->wait_until_stopped;
	$c->sql("SELECT pg_cancel_backend($pid)") if $how eq 'cancelled';
	$c->wait_for("SELECT clock_timestamp() - query_start > '1.1 s' FROM pg_stat_activity WHERE pid = $pid") if $how =~ /timeout/;
	kill 'CONT', $pid;
	$r = $late->result;
	is($r->{out}, "1\n5", "$how when it commits") or diag $r->{err};
	is_deeply($c->copies("SELECT k FROM u WHERE k = '$key'"), [ map { "10000|$key" } 1, 2 ], '... it is written');
	$late->quit;
}

#
# A node ends the session that works there: what the other has done is taken back, and the call made again
#
foreach my $node (1, 2)
{
	my $name = "n$node ends its session";
	$key = shift @keys;
	send_slow($node, "SELECT act('$key')");
	mode($node);
	$c->sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE $asleep", on => $node);
	$r = $s->result;
	is($r->{out}, '1', "$name: the call is made again") or diag $r->{err};
	is_deeply($c->copies("SELECT k FROM u WHERE k = '$key'"), [ map { "10000|$key" } 1, 2 ], "$name: it is written once");
	is(prepared(), '0 0', "$name: nothing is prepared");
}

#
# A node dies meanwhile: the call goes on without it
#
foreach my $node (1, 2)
{
	my $name = "n$node dies in the call";
	$key = shift @keys;
	send_slow($node, "SELECT act('$key')");
	$c->node($node)->stop('immediate');
	$r = $s->result;
	is($r->{out}, '1', $name) or diag $r->{err};
	is($c->sql("SELECT state FROM plshard.placements WHERE shard_id = 10000 AND node = 'n$node'"), 'inactive', "$name: it is evicted");
	$c->node($node)->start;
	mode($_) foreach 1, 2;
	$c->sql(q{SELECT count(*) FROM plshard.repair_cluster('c')});
	is_deeply($c->copies("SELECT k FROM u WHERE k = '$key'"), [ map { "10000|$key" } 1, 2 ], "$name: it is written once, on all");
	is(prepared(), '0 0', "$name: nothing is prepared");
	$s->sql("SELECT put('$key', 1)");
}

#
# The key's lock is not free on one node: no session waits for it with something prepared
#
$s->sql("BEGIN; SELECT bump('$hot')");
my $lock = $c->sql(q{SELECT (classid::int8 << 32) | objid::int8 FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock' AND objsubid = 1}, on => 1);
$s->sql('ROLLBACK');
my $value = 0;
foreach my $node (1, 2)
{
	my $name = "the lock is taken on n$node";
	my $caller = $c->session;
	$caller->sql("SELECT bump('$warm')");
	my $holder = $c->session(on => $node);
	$holder->sql("SELECT pg_advisory_lock($lock)");
	$caller->send("SET plshard.log_remote_commands = on; SELECT hit('$hot')");
	$c->wait_for(q{SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted}, on => $node);
	is(prepared(), '0 0', "$name: nothing is prepared while it is waited for");
	$holder->sql("SELECT pg_advisory_unlock($lock)");
	$r = $caller->result;
	is($r->{out}, ++$value, "$name: then it goes on") or diag $r->{err};
	is(shape_of($r), 'ok, PREPARE, ' . ($node == 1 ? 'ROLLBACK PREPARED, ' : '') . $ordinary, "$name: what had been prepared was taken back");
	$holder->quit;
	is_deeply($c->copies("SELECT v FROM t WHERE k = '$hot'"), [ map { "10000|$value" } 1, 2 ], "$name: both have done it");
	my @shapes = map { shape($caller, "SELECT hit('$warm')") } 1 .. 18;
	is((grep { $_ eq "ok, $ordinary" } @shapes), $node == 1 ? 16 : 0, "$name: the next calls of the session") or diag explain \@shapes;
	is($shapes[-1], 'ok, PREPARE, COMMIT PREPARED', '... and then it prepares early again');
	$caller->quit;
}

#
# A deadlock through what has prepared early: the session that waits for x on n1 has touched y
# on n2, which the one that has x waits for
#
connect_again();
my ($one, $two) = splice @keys, 0, 2;
my $other = $c->session;
mode(1, 'touches x');
$other->sql("BEGIN; SELECT act('$two')");
mode(2, 'touches y');
$s->send("SELECT act('$one')");
$c->wait_for($n2_has_prepared, on => 2);
$other->send("SELECT act('$two')");
my @ends = map { $_->result->{sqlstate} // 'none' } $s, $other;
is_deeply([ sort @ends ], [ '40P01', 'none' ], 'a deadlock with what is prepared early is found') or diag "@ends";
$other->sql('ROLLBACK');
$other->quit;
mode($_) foreach 1, 2;
is(prepared(), '0 0', '... and nothing is left prepared');

#
# A node that cannot prepare any more is not asked to while the other one works, and is not evicted
#
my @busy = map { $c->session } 1 .. 9;
$_->sql("SELECT bump('$warm')") foreach @busy;
my $holder = $c->session(on => 1);
$holder->sql('SELECT pg_advisory_lock(99)');
mode(1, 'waits');
my $last = pop @busy;
$_->send(q{SELECT act('} . shift(@keys) . q{')}) foreach @busy;
$c->wait_for('SELECT count(*) = 8 FROM pg_prepared_xacts', on => 2);
$last->send(q{SET plshard.log_remote_commands = on; SELECT act('} . shift(@keys) . q{')});
$c->wait_for(q{SELECT count(*) = 9 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted}, on => 1);
$c->wait_for(q{SELECT count(*) = 9 FROM pg_stat_activity WHERE state = 'idle' AND query LIKE 'PREPARE TRANSACTION%'}, on => 2);
$holder->sql('SELECT pg_advisory_unlock(99)');
is($_->result->{sqlstate}, undef, 'a call whose other node has prepared') foreach @busy;
like(shape_of($last->result), qr/^ok, PREPARE, $ordinary$/, '... and one for which no slot was left');
mode(1);
$_->quit foreach @busy, $last;

$c->sql(join('', map { "BEGIN; PREPARE TRANSACTION 'taken$_';" } 1 .. 8), on => 2);
my $fresh = $c->session;
$fresh->sql("SELECT get('$hot'), get('$warm')");
$key = shift @keys;
$r = $fresh->try("SELECT act('$key')");
is($r->{sqlstate}, '53200', 'no slot for a prepared transaction is left') or diag $r->{err};
$c->sql("ROLLBACK PREPARED 'taken$_'", on => 2) foreach 1 .. 8;
gone($key, 'no slot');
$fresh->quit;

#
# recovery_role owns what is prepared, and a login that is a member of it ends it
#
$c->sql('CREATE ROLE resolver; CREATE ROLE app LOGIN; GRANT resolver TO app', on => $_) foreach 1 .. 3;
$c->sql(<<'SQL');
SELECT plshard.deploy('c', 'GRANT ALL ON u, t TO app');
ALTER SERVER c OPTIONS (ADD recovery_role 'resolver');
CREATE ROLE app;
GRANT USAGE ON FOREIGN SERVER c TO app;
CREATE USER MAPPING FOR app SERVER c OPTIONS ("user" 'app', password_required 'false');
CREATE TABLE here (v int UNIQUE DEFERRABLE INITIALLY DEFERRED);
GRANT ALL ON here TO app;
SQL
my $app = $c->session;
$app->sql("SET ROLE app; SELECT hit('$warm')");
$key = shift @keys;
is(shape($app, "SELECT act('$key')"), 'ok, PREPARE, COMMIT PREPARED', 'with recovery_role: PREPARE with the call');
is(prepared(), '0 0', '... and nothing is left prepared');
foreach my $node (1, 2)
{
	$key = shift @keys;
	$app->sql("SELECT hit('$warm')");
	mode($node, 'fails');
	is($app->try("SELECT act('$key')")->{sqlstate}, 'P0001', "with recovery_role: n$node fails");
	gone($key, "with recovery_role: n$node fails");
}
$key = shift @keys;
is(shape($app, "BEGIN; SELECT act('$key'); COMMIT"), "ok, $ordinary", 'with recovery_role: a block');
$key = shift @keys;
like(shape($app, "BEGIN; INSERT INTO here VALUES (1); SELECT act('$key'); COMMIT"),
	qr/^ok, commit, PREPARE, PREPARE, COMMIT PREPARED, COMMIT PREPARED$/, '... decided by the front');
$key = shift @keys;
is(shape($app, "BEGIN; INSERT INTO here VALUES (1); SELECT act('$key'); COMMIT"), '23505', '... which refuses before');
$app->sql('ROLLBACK');
gone($key, '... which refuses');
$app->quit;
$c->sql(q{ALTER SERVER c OPTIONS (DROP recovery_role)});

#
# The deciding node works for more than a minute: recovery sees that, and leaves what is prepared alone
#
$key = shift @keys;
connect_again();
$holder->sql('SELECT pg_advisory_lock(99)');
mode(1, 'waits');
$s->send("SELECT act('$key')");
$c->wait_for(q{SELECT now() - prepared > '61 s' FROM pg_prepared_xacts}, on => 2);
is($c->sql(q{SELECT outcome, detail FROM plshard.recover('c')}), 'in doubt|Its session is still running it.', 'recovery leaves a long call alone');
$holder->sql('SELECT pg_advisory_unlock(99)');
is($s->result->{out}, '1', '... which succeeds');
mode(1);

is_deeply([ $c->differences ], [], 'the replicas are equal');
is($c->sql('SELECT count(*) FROM plshard.in_doubt'), 0, 'nothing is in doubt');
$s->quit;
done_testing();
