# Deadlocks that no server sees alone: between nodes, between fronts, and between
# a node and a front.  One of the sessions that wait gets 40P01, the others go on.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use PlshardCluster;
use PlshardInDoubt;
use PlshardSession;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $c = PlshardCluster->new(nodes => 4, shards => 16, replicas => 2);
$c->sample;
$c->sql(<<'SQL');
SELECT plshard.deploy('c', 'CREATE TABLE u (id int PRIMARY KEY, v int)');
SELECT plshard.deploy('c', 'INSERT INTO u VALUES (1, 0), (2, 0)');
CREATE FUNCTION touch(k text, id int) RETURNS int LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(k); UPDATE u SET v = u.v + 1 WHERE u.id = touch.id RETURNING u.v; $$;
CREATE FUNCTION slow(k text) RETURNS text LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(k); SELECT pg_sleep(1.5)::text; $$;
CREATE TABLE here (id int PRIMARY KEY);
INSERT INTO here VALUES (1);
SQL

# Keys by the nodes of their shards: 10000 is on n1 and n2, 10001 on n2 and n3, ...
my @on_12 = $c->some_keys(4, shard => 10000);
my @on_23 = $c->some_keys(3, shard => 10001);
my @on_34 = $c->some_keys(4, shard => 10002);
$c->sql("SELECT put('$_', 0)") foreach @on_12, @on_23, @on_34;

# Another front of the same cluster.
my $other = PostgreSQL::Test::Cluster->new('other');
$other->init;
$other->append_conf('postgresql.conf', "fsync = off\nshared_buffers = 16MB\nmax_prepared_transactions = 20");
$other->start;
my $dump = PostgreSQL::Test::Utils::tempdir() . '/front.sql';
$c->front->command_ok([ 'pg_dump', '-f', $dump, '-d', $c->front->connstr('postgres') ], 'a front is dumped');
$other->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', $other->connstr('postgres') ],
	'... and restored as another one');

# So many processes wait for a lock on a node.
sub wait_for_waiters
{
	my ($i, $n) = @_;
	$c->wait_for("SELECT count(DISTINCT pid) = $n FROM pg_locks WHERE NOT granted", on => $i);
	return;
}

# Of those that wait in a circle exactly one has got 40P01; returns its result.
sub one_victim
{
	my ($name, @results) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my @victims = grep { defined $_->{sqlstate} } @results;
	is(join(' ', map { $_->{sqlstate} } @victims), '40P01', "$name: one session gets 40P01");
	is($victims[0]->{message}, 'deadlock detected', '... with what it is');
	cmp_ok($_->{seconds}, '<', 30, '... and none waits for long') foreach @results;
	return $victims[0];
}

sub values_are
{
	my ($expected, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my @keys = sort keys %$expected;
	my %values = map { ($_ => $c->sql("SELECT get('$_')")) } @keys;
	is_deeply(\%values, $expected, $name);
	is_deeply([ $c->differences ], [], '... and replicas are equal');
	return;
}

# Each session has written its key, and then asks for that of the next: by
# transaction blocks that end with the second call.  [session, own key, next key,
# node on which it waits].
sub circle
{
	my ($name, @members) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my %before = map { ($_->[1] => $c->sql("SELECT get('$_->[1]')")) } @members;
	$_->[0]->sql("BEGIN; SELECT bump('$_->[1]')") foreach @members;
	foreach (@members)
	{
		my ($session, $own, $next, $node) = @$_;
		$session->send("SELECT bump('$next'); COMMIT");
		wait_for_waiters($node, 1) if $_ != $members[-1];
	}
	my @results = map { $_->[0]->result } @members;
	my $victim = one_victim($name, @results);
	my %expected = map { ($_ => $before{$_}) } keys %before;
	foreach my $i (0 .. $#members)
	{
		next if $results[$i] == $victim;
		$expected{$_}++ foreach @{ $members[$i] }[ 1, 2 ];
	}
	values_are(\%expected, '... and its transaction is undone, those of the others are done');
	return ($victim, @results);
}

#
# Two keys in opposite order, on different nodes
#
my @s = map { $c->session } 1 .. 3;
my ($victim) = circle('two keys in opposite order',
	[ $s[0], $on_12[0], $on_34[0], 3 ], [ $s[1], $on_34[0], $on_12[0], 1 ]);
my $line = qr/On node "n[13]", session (\d+) of this front waits for session (\d+) of this front\./;
like($victim->{err}, qr/^DETAIL:  $line\n$line\n/m, '... the error lists the lock waits');
is_deeply([ sort $victim->{err} =~ /\bsession (\d+)/g ], [ sort map { ($_->pid) x 2 } @s[ 0, 1 ] ],
	'... by the process ids of the sessions on the front');
like($victim->{err}, qr/^HINT:  Roll back and try the transaction again\./m, '... and what to do');
is($c->sql(q{SELECT count(*) FROM pg_stat_activity WHERE application_name = 'plshard'}, on => 1), 2,
	'... and the connections that looked are closed, those of the sessions are not');

# The victim is the same, in whatever order they come.
circle('... the other way round', [ $s[1], $on_34[0], $on_12[0], 1 ], [ $s[0], $on_12[0], $on_34[0], 3 ]);

# ... however often and at the same time they look
$_->sql("SET plshard.deadlock_timeout = '10 ms'") foreach @s[ 0, 1 ];
my @ends;
foreach (1 .. 20)
{
	my @keys = ($on_12[0], $on_34[0]);
	$s[$_]->sql("BEGIN; SELECT bump('$keys[$_]')") foreach 0, 1;
	$s[$_]->send("SELECT bump('$keys[1 - $_]'); COMMIT") foreach 0, 1;
	push @ends, join ' ', sort map { $_->{sqlstate} // 'done' } map { $_->result } @s[ 0, 1 ];
}
is_deeply(\@ends, [ ('40P01 done') x 20 ], 'of two that look often it is always one that gives up');
$_->sql('RESET plshard.deadlock_timeout') foreach @s[ 0, 1 ];

#
# A deadlock caught by the caller: the rest of the transaction goes on
#
$c->sql(<<'SQL');
CREATE FUNCTION careful(own text, next text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM bump(own);
	BEGIN
		PERFORM bump(next);
		RETURN 'both';
	EXCEPTION WHEN deadlock_detected THEN
		RETURN 'own';
	END;
END $$;
SQL
my $greater = $s[0]->pid > $s[1]->pid ? 0 : 1;
my ($catching, $waiting) = @s[ $greater, 1 - $greater ];
my %before = map { ($_ => $c->sql("SELECT get('$_')")) } $on_12[0], $on_34[0];
$waiting->sql("BEGIN; SELECT bump('$on_12[0]')");
$catching->send("SELECT careful('$on_34[0]', '$on_12[0]')");
wait_for_waiters(1, 1);
$waiting->send("SELECT bump('$on_34[0]')");
is($catching->result->{out}, 'own', 'a deadlock can be caught');
is($waiting->result->{out}, $before{ $on_34[0] } + 2, '... and the other one goes on');
$waiting->sql('COMMIT');
values_are({ $on_12[0] => $before{ $on_12[0] } + 1, $on_34[0] => $before{ $on_34[0] } + 2 },
	'... and what was done before is committed');

#
# Two fronts
#
my $there = PlshardSession->new($other);
($victim) = circle('two fronts', [ $s[0], $on_12[0], $on_34[0], 3 ], [ $there, $on_34[0], $on_12[0], 1 ]);
like($victim->{err}, qr/session \d+ of this front waits for session \d+ of front [0-9a-f]{8}\./, '... named');
circle('... the other way round', [ $there, $on_34[0], $on_12[0], 1 ], [ $s[0], $on_12[0], $on_34[0], 3 ]);

#
# Three in a ring, one of them of another front
#
circle('three sessions', [ $s[0], $on_12[0], $on_23[0], 2 ], [ $s[1], $on_23[0], $on_34[0], 3 ],
	[ $s[2], $on_34[0], $on_12[0], 1 ]);
circle('three sessions of two fronts', [ $s[0], $on_12[0], $on_23[0], 2 ], [ $there, $on_23[0], $on_34[0], 3 ],
	[ $s[2], $on_34[0], $on_12[0], 1 ]);

#
# Through a table of the front
#
my $before = $c->sql("SELECT get('$on_12[0]')");
$s[0]->sql('BEGIN; SELECT * FROM here FOR UPDATE');
$s[1]->sql("BEGIN; SELECT bump('$on_12[0]')");
$s[1]->send('SELECT * FROM here FOR UPDATE; COMMIT');
$c->wait_for('SELECT count(*) = 1 FROM pg_locks WHERE NOT granted');
$s[0]->send("SELECT bump('$on_12[0]'); COMMIT");
my @results = map { $_->result } @s[ 0, 1 ];
$victim = one_victim('a row of the front and a key', @results);
is($victim, $results[0], '... it is the session that waits on a node: the other cannot look');
like($victim->{err}, qr/^On the front, session \d+ of this front waits for session \d+ of this front\.$/m, '... the front is named');
values_are({ $on_12[0] => $before + 1 }, '... and the other one is done');

# ... of three sessions, of which two can look, one of them of a front that does not see it all
my %values = map { ($_ => $c->sql("SELECT get('$_')")) } $on_12[0], $on_34[0];
$s[0]->sql('BEGIN; SELECT * FROM here FOR UPDATE');
$there->sql("BEGIN; SELECT bump('$on_34[0]')");
$s[1]->sql("BEGIN; SELECT bump('$on_12[0]')");
$s[1]->send('SELECT * FROM here FOR UPDATE; COMMIT');
$c->wait_for('SELECT count(*) = 1 FROM pg_locks WHERE NOT granted');
$there->send("SELECT bump('$on_12[0]'); COMMIT");
wait_for_waiters(1, 1);
$s[0]->send("SELECT bump('$on_34[0]'); COMMIT");
@results = map { $_->result } @s[ 0, 1 ], $there;
$victim = one_victim('a row of the front and keys of two fronts', @results);
is($victim, $results[0], '... it is the session whose front sees all of it');
values_are({ $on_12[0] => $values{ $on_12[0] } + 2, $on_34[0] => $values{ $on_34[0] } + 1 }, '... and the others are done');

#
# Rows that the called functions lock: no lock of plshard's, and on all replicas at once
#
$s[0]->sql("BEGIN; SELECT touch('$on_12[0]', 1)");
$s[1]->sql("BEGIN; SELECT touch('$on_34[0]', 1)");
$s[0]->send("SELECT touch('$on_34[1]', 1); COMMIT");
wait_for_waiters($_, 1) foreach 3, 4;
$s[1]->send("SELECT touch('$on_12[1]', 1); COMMIT");
@results = map { $_->result } @s[ 0, 1 ];
one_victim('row locks in functions', @results);
is_deeply([ sort map { $_->{out} } grep { !defined $_->{sqlstate} } @results ], ['1'], '... the other one is done');
is_deeply([ $c->differences ], [], '... and replicas are equal');

#
# Through a session of a node, which has nothing to do with plshard
#
%values = map { ($_ => $c->sql("SELECT get('$_')")) } $on_12[0], $on_34[0];
my $direct = $c->session(on => 3);
$direct->sql('BEGIN; LOCK TABLE plshard_10001.u');
$s[0]->sql("BEGIN; SELECT bump('$on_12[0]')");
$s[1]->sql("BEGIN; SELECT bump('$on_34[0]')");
$direct->send("SELECT FROM plshard_10002.t WHERE k = '$on_34[0]' FOR UPDATE; COMMIT");
wait_for_waiters(3, 1);
$s[0]->send("SELECT touch('$on_23[0]', 1); COMMIT");
wait_for_waiters(3, 2);
$s[1]->send("SELECT bump('$on_12[0]'); COMMIT");
@results = map { $_->result } @s[ 0, 1 ];
$victim = one_victim('a session of a node', @results);
like($victim->{err}, qr/session \d+ of this front waits for process \d+ of the node\./, '... named');
is($direct->result->{sqlstate}, undef, '... which goes on');
is_deeply([ $c->differences ], [], '... and replicas are equal');

#
# Connections of two roles of one session
#
$c->sql('CREATE ROLE second SUPERUSER LOGIN', on => $_) foreach 1 .. 4;
$c->sql('CREATE ROLE second SUPERUSER LOGIN');
my $r = $s[0]->try("BEGIN; SELECT touch('$on_12[0]', 2); SET LOCAL ROLE second; SELECT touch('$on_12[1]', 2)");
is($r->{sqlstate}, '40P01', 'a session that waits for itself gets 40P01');
$s[0]->sql('ROLLBACK; RESET ROLE');

#
# What a server sees itself it ends itself
#
%values = map { ($_ => $c->sql("SELECT get('$_')")) } @on_12[ 0, 1 ];
$s[0]->sql("BEGIN; SELECT bump('$on_12[0]')");
$s[1]->sql("BEGIN; SELECT bump('$on_12[1]')");
$s[0]->send("SELECT bump('$on_12[1]'); COMMIT");
wait_for_waiters(1, 1);
$s[1]->send("SELECT bump('$on_12[0]'); COMMIT");
@results = map { $_->result } @s[ 0, 1 ];
$victim = one_victim('two keys on the same nodes', @results);
like($victim->{err}, qr/^DETAIL:  Process \d+ waits for /m, '... from the node itself');
values_are({ map { ($_ => $values{$_} + 1) } @on_12[ 0, 1 ] }, '... and the other one is done');

#
# No deadlock: a session that just waits goes on waiting
#
my $seen = $c->sql(q{SELECT sessions FROM pg_stat_database WHERE datname = 'postgres'}, on => 3);
$before = $c->sql("SELECT get('$on_34[0]')");
$s[2]->sql("SET plshard.deadlock_timeout = '50 ms'; BEGIN; SELECT bump('$on_12[0]')");
$s[0]->sql("BEGIN; SELECT bump('$on_34[0]')");
$s[1]->send("SELECT bump('$on_12[0]')");
wait_for_waiters(1, 1);
$s[2]->send("SELECT bump('$on_34[0]'); COMMIT");
wait_for_waiters(3, 1);
$c->wait_for("SELECT sessions > $seen + 20 FROM pg_stat_database WHERE datname = 'postgres'", on => 3);
$s[0]->sql('COMMIT');
$r = $s[2]->result;
is($r->{sqlstate}, undef, 'a long wait that is no deadlock ends with the lock');
is($r->{out}, $before + 2, '... and the write is done');
is($s[1]->result->{sqlstate}, undef, '... as is that of the session behind it');
is($s[2]->try("BEGIN; SELECT bump('$on_12[0]'); SELECT slow('$on_34[0]'); COMMIT")->{sqlstate}, undef,
	'a slow call is no deadlock');

# many keys of one shard: whole shards are locked only where that takes nothing from others
my @many = split /\n/, $c->sql(<<'SQL');
SELECT 'm' || i FROM generate_series(1, 8000) AS i WHERE plshard.shard_for('c', 'm' || i) = 10000 ORDER BY i LIMIT 320
SQL
my @halves = map { 'ARRAY[' . join(',', map { "'$_'" } @many[ $_ * 160 .. $_ * 160 + 159 ]) . ']' } 0, 1;
my $locks = q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1};
$s[$_]->sql("BEGIN; SELECT put(($halves[$_])[1], 0)") foreach 0, 1;
is($s[$_]->sql("SELECT count(put(k, 0)) FROM unnest($halves[$_]) WITH ORDINALITY AS m(k, i) WHERE i > 1"), 159,
	'two transactions with many keys do not wait for each other') foreach 0, 1;
is($c->sql($locks, on => 1), 2 * 161, '... and lock each of them');
$_->sql('COMMIT') foreach @s[ 0, 1 ];
is($s[0]->sql("BEGIN; SELECT count(bump(k)) FROM unnest($halves[0]) AS k"), 160, 'one alone');
is($c->sql($locks, on => 1), 102, '... locks the shard');
$s[1]->send("SELECT bump('$many[319]')");
wait_for_waiters(1, 1);
is($s[0]->sql("SELECT bump('$many[318]'); COMMIT"), 1, '... which keeps others out');
is($s[1]->result->{out}, 1, '... until its end');

#
# Behind a prepared transaction: a session that waits resolves it, unless its own session lives
#
my $d = PlshardInDoubt->new($c, shard => 10000);
my @new = grep { my $k = $_; !grep { $_ eq $k } @on_12 } $c->some_keys(8, shard => 10000);
my $t = $d->begin(nodes => [ 1, 2 ]);
$t->{key} = $new[0];
$t->prepare(2);
$r = $s[0]->try("SELECT put('$new[0]', 1)");
is($r->{sqlstate}, undef, 'a call that waits behind a prepared transaction that is to be undone');
is($c->sql("SELECT get('$new[0]')"), 1, '... is done');
cmp_ok($r->{seconds}, '<', 30, '... soon');
is($c->sql('SELECT count(*) FROM pg_prepared_xacts', on => 2), 0, '... since it has resolved it');
$t = $d->begin(nodes => [ 1, 2 ]);
$t->{key} = $new[1];
$t->prepare(2);
$t->commit(1);
is($s[0]->try("SELECT put('$new[1]', 2)")->{sqlstate}, '23505', '... behind one that is to be committed: sees it');
is($t->where, '1:committed 2:committed', '... since it has resolved it');
is_deeply([ $c->differences ], [], '... and replicas are equal');

my $owner = $c->session(on => 1);
$owner->sql('SELECT pg_advisory_lock_shared(77, 78)');
$t = $d->begin(nodes => [ 1, 2 ], front_key => 77, session => 78);
$t->{key} = $new[2];
$t->prepare(2);
$s[0]->sql("SET plshard.deadlock_timeout = '50 ms'");
$seen = $c->sql(q{SELECT sessions FROM pg_stat_database WHERE datname = 'postgres'}, on => 2);
$s[0]->send("SELECT put('$new[2]', 3)");
$c->wait_for("SELECT sessions > $seen + 20 FROM pg_stat_database WHERE datname = 'postgres'", on => 2);
is($c->sql('SELECT count(*) FROM pg_prepared_xacts', on => 2), 1, 'what a session that lives has prepared is left to it');
$owner->quit;
is($s[0]->result->{sqlstate}, undef, '... until it is gone');
is($c->sql("SELECT get('$new[2]')"), 3, '... and the call is done');
$s[0]->sql('RESET plshard.deadlock_timeout');

# a front that is to decide, and is not there
$t = $d->begin(nodes => [ 1, 2 ], decider => 0, front => 'f' x 16);
$t->{key} = $new[3];
$t->prepare($_) foreach 1, 2;
$r = $s[0]->try("SET statement_timeout = '4 s'; SELECT put('$new[3]', 4)");
is($r->{sqlstate}, '57014', 'what cannot be resolved is waited for');
like($r->{err}, qr/WARNING:  01000: a call waits for a transaction in doubt on node "n1"\nDETAIL:  /, '... with a WARNING that says why');
is(scalar(() = $r->{err} =~ /WARNING/g), 2, '... one a node');
is($t->where, '1:prepared 2:prepared', '... and it is as it was');
$c->sql("ROLLBACK PREPARED '" . $t->gid . ":$_'", on => $_) foreach 1, 2;
$s[0]->sql('RESET statement_timeout');

#
# A node that cannot be asked
#
%values = map { ($_ => $c->sql("SELECT get('$_')")) } $on_12[0], $on_34[0];
$_->sql("SET plshard.deadlock_timeout = '50 ms'; BEGIN") foreach @s[ 0, 1 ];
$s[0]->sql("SELECT bump('$on_12[0]')");
$s[1]->sql("SELECT bump('$on_34[0]')");
my $hba = $c->node(1)->data_dir . '/pg_hba.conf';
my $rules = slurp_file($hba);
PostgreSQL::Test::Utils::append_to_file("$hba.new", "local all all reject\n");
rename "$hba.new", $hba or die;
$c->node(1)->reload;
$s[0]->send("SELECT bump('$on_34[0]'); COMMIT");
wait_for_waiters(3, 1);
$s[1]->send("SELECT bump('$on_12[0]'); COMMIT");
@results = map { $_->result } @s[ 0, 1 ];
my @victims = grep { defined $_->{sqlstate} } @results;
is_deeply([ grep { $_ ne '40P01' } map { $_->{sqlstate} } @victims ], [], 'where a node cannot be asked');
ok(@victims > 0, '... the wait for a lock ends, too');
like($victims[0]->{err}, qr/^DETAIL:  Whether this is a deadlock is not known: the lock waits on node "n1" cannot be read/m, '... with the reason');
PostgreSQL::Test::Utils::append_to_file("$hba.new", $rules);
rename "$hba.new", $hba or die;
$c->node(1)->reload;
$c->node(1)->poll_query_until('postgres', 'SELECT true');
values_are({ map { ($_ => $values{$_} + 2 - @victims) } $on_12[0], $on_34[0] }, '... each is wholly done or not at all');

#
# Deferred constraints that wait for each other during COMMIT
#
$c->sql(<<'SQL');
SELECT plshard.deploy('c', $$
	CREATE TABLE late (k text PRIMARY KEY, id int);
	CREATE FUNCTION touch_late() RETURNS trigger LANGUAGE plpgsql AS
		'BEGIN UPDATE u SET v = u.v WHERE u.id = NEW.id; RETURN NULL; END';
	CREATE CONSTRAINT TRIGGER touch_late AFTER INSERT ON late DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW EXECUTE FUNCTION touch_late() $$);
CREATE FUNCTION late(k text, id int) RETURNS void LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(k); INSERT INTO late VALUES (k, id); $$;
SQL
foreach my $i (1 .. 3)
{
	# the deciding nodes are those where no session waits, or those where both do: then what
	# they wait for is prepared
	my $commit = $i == 3 ? 'fast' : 'atomic';
	my @parts = ([ "touch('$on_12[0]', 2)", "late('$on_34[$i]', 2)" ], [ "touch('$on_34[0]', 2)", "late('$on_12[$i]', 2)" ]);
	$c->sql(q{ALTER SERVER c OPTIONS (ADD commit 'fast')}) if $commit eq 'fast';
	foreach (0, 1)
	{
		my ($first, $second) = $i == 2 ? reverse @{ $parts[$_] } : @{ $parts[$_] };
		$s[$_]->sql("BEGIN; SELECT $first; SELECT $second");
	}
	$_->send('COMMIT') foreach @s[ 0, 1 ];
	my $loser = one_victim("deferred constraints that wait for each other ($i)", map { $_->result } @s[ 0, 1 ]);
	like($loser->{err}, qr/^DETAIL:  On node "n\d", session \d+ of this front waits for session \d+ of this front\./m,
		'... found by looking');
	is($c->sql('SELECT count(*) FROM pg_prepared_xacts', on => $_), 0, "... and nothing is left on n$_") foreach 1 .. 4;
	my @copies = @{ $c->copies("SELECT k FROM late WHERE k IN ('$on_34[$i]', '$on_12[$i]')") };
	is(scalar(@copies), 2, '... one transaction is committed, on both replicas') or diag "@copies";
	is_deeply([ $c->differences ], [], '... which are equal');
}
$c->sql('ALTER SERVER c OPTIONS (DROP commit)');

$_->quit foreach @s, $there, $direct;
done_testing();
