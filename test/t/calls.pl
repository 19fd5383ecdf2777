
# Calls while all nodes are well: what becomes part of the caller's transaction,
# replicas that stay equal, errors of nodes, plans that a change makes stale.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use PlshardCluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $c = PlshardCluster->new(nodes => 4, shards => 16, replicas => 2);
$c->sample;

# All placements active, and all replicas equal.
sub is_healthy
{
	my ($name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is_deeply($c->states, { map { ("n$_" => 'active:8') } 1 .. 4 }, "$name: all placements are active");
	is_deeply([ $c->differences ], [], "$name: replicas are equal");
	return;
}

# Exactly these keys (of those that match the pattern) are there, each on two nodes.
sub keys_are
{
	my ($pattern, $keys, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my @found = map { (split /\|/)[1] } @{ $c->copies("SELECT k FROM t WHERE k LIKE '$pattern'") };
	is_deeply([ sort @found ], [ sort map { ($_, $_) } @$keys ], $name);
	return;
}

#
# Writing and reading
#
$c->sql(join ';', map { "SELECT put('w$_', $_)" } 1 .. 200);
keys_are('w%', [ map { "w$_" } 1 .. 200 ], 'a write is on both replicas');
is($c->sql(q{SELECT count(DISTINCT plshard.shard_for('c', 'w' || i)) FROM generate_series(1, 200) AS i}),
	16, '... of every shard');
is($c->sql(q{SELECT count(*) FROM generate_series(1, 200) AS i WHERE get('w' || i) = i}),
	200, 'each key is read as it was written');
is($c->try(q{SELECT get('none')})->{sqlstate}, 'P0002', 'a key that is not there');
is($c->sql('SELECT total()'), 200, 'all shards together');
is($c->sql(q{SELECT bump('w1'), bump('w1'), get('w1')}), '2|3|3', 'a statement sees what it wrote');
is_healthy('after writing');

#
# Transactions
#
is($c->sql(q{BEGIN; SELECT put('r1', 1); SELECT put('r2', 2); SELECT get('r1'), total(); ROLLBACK}),
	"\n\n1|202", 'a transaction reads what it wrote');
keys_are('r%', [], 'ROLLBACK leaves nothing');

$c->sql(<<'SQL');
BEGIN;
SELECT put('s1', 1);
SAVEPOINT a;
SELECT put('s2', 2);
SELECT bump('s1');
SAVEPOINT b;
SELECT put('s3', 3);
ROLLBACK TO b;
SELECT put('s4', 4);
ROLLBACK TO a;
SELECT put('s5', 5);
SAVEPOINT d;
SELECT put('s6', 6);
RELEASE d;
COMMIT;
SQL
keys_are('s%', [qw(s1 s5 s6)], 'ROLLBACK TO SAVEPOINT undoes what came after it, and no more');
is($c->sql(q{SELECT get('s1')}), 1, '... also of a row written before it');

$c->sql(<<'SQL');
DO $$
BEGIN
	PERFORM put('e1', 1);
	FOR i IN 1 .. 5 LOOP
		BEGIN
			PERFORM put('e2', 2), put('f' || i, i);
			PERFORM put('e1', 3);
		EXCEPTION WHEN unique_violation THEN
			NULL;
		END;
	END LOOP;
	BEGIN
		PERFORM put('e3', 4);
	EXCEPTION WHEN unique_violation THEN
		RAISE;
	END;
END
$$
SQL
keys_are('e%', [qw(e1 e3)], 'an EXCEPTION block undoes its own calls only');
keys_are('f%', [], '... on all shards');

$c->sql(<<'SQL');
CREATE FUNCTION two_then_raise() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM put('p1', 1);
	PERFORM put('p2', 2);
	RAISE EXCEPTION 'no';
END
$$;
CREATE PROCEDURE commit_between() LANGUAGE plpgsql AS $$
BEGIN
	PERFORM put('q1', 1);
	COMMIT;
	PERFORM put('q2', 2);
	ROLLBACK;
	PERFORM put('q3', 3);
	COMMIT;
	PERFORM put('q4', 4);
	RAISE EXCEPTION 'no';
END
$$
SQL
is($c->try('SELECT two_then_raise()')->{sqlstate}, 'P0001', 'a function that raises after two calls');
keys_are('p%', [], '... leaves nothing');
is($c->try('CALL commit_between()')->{sqlstate}, 'P0001', 'a procedure that raises after COMMIT');
keys_are('q%', [qw(q1 q3)], '... leaves what it committed');

my $s = $c->session;
$s->sql('BEGIN');
$s->sql("SELECT put('x1', 1)");
is($s->try("SELECT 1/0")->{sqlstate}, '22012', 'an error of the front inside a transaction');
is($s->try("SELECT put('x2', 1)")->{sqlstate}, '25P02', '... ends it');
$s->sql('COMMIT');
keys_are('x%', [], '... on the nodes, too');
$s->sql("SELECT put('x3', 1)");
keys_are('x%', ['x3'], '... and the next call works');

#
# Errors of nodes
#
my $r = $c->try("SELECT put('w1', 1)");
is($r->{sqlstate}, '23505', 'a unique violation keeps its SQLSTATE');
like($r->{err}, qr/DETAIL:  Key \(k\)=\(w1\) already exists\./, '... its detail');
like($r->{err}, qr/CONSTRAINT NAME:  t_pkey/, '... and its constraint');
my $shard = $c->sql("SELECT plshard.shard_for('c', 'w1')");
like($r->{err}, qr/CONTEXT:.*plshard function put\(text,integer\) on shard $shard at node n\d/s,
	'... and says where it comes from');

$c->sql(<<'SQL');
SELECT plshard.deploy('c', $d$
	CREATE FUNCTION complain(k text) RETURNS int LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO t VALUES (k, 0);
		RAISE EXCEPTION 'bad %', k USING ERRCODE = 'ZZ123', DETAIL = 'The detail.', HINT = 'The hint.';
	END $$
$d$);
CREATE FUNCTION complain(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); $$;
SQL
$shard = $c->sql("SELECT plshard.shard_for('c', 'c1')");
$r = $c->try("SELECT complain('c1')");
is("$r->{sqlstate} $r->{message}", 'ZZ123 bad c1', "an exception of a node's function");
like($r->{err}, qr/DETAIL:  The detail\.\n/, '... its detail');
like($r->{err}, qr/HINT:  The hint\.\n/, '... its hint');
like($r->{err},
	qr/CONTEXT:  PL\/pgSQL function (plshard_$shard\.)?complain\(text\) line 4 at RAISE\n.*on shard $shard at node n\d/,
	'... its context, and where it happened');
keys_are('c%', [], '... and nothing is written');
is_healthy('after errors');

#
# What is refused
#
$r = $c->try(q{BEGIN; SELECT put('y1', 1); PREPARE TRANSACTION 'x'});
is($r->{sqlstate}, '0A000', 'PREPARE TRANSACTION is refused');
keys_are('y%', [], '... and leaves nothing');
is($c->sql('SELECT count(*) FROM pg_prepared_xacts', on => $_), 0, "... also on node n$_") foreach 1 .. 4;

$r = $c->try(q{BEGIN READ ONLY; SELECT put('y1', 1)});
is($r->{sqlstate}, '25006', 'a write in a READ ONLY transaction');
is($c->sql(q{BEGIN READ ONLY; SELECT get('w2'); COMMIT}), 2, 'a read in one');

$c->sql(<<'SQL');
SELECT plshard.deploy('c', $d$
	CREATE FUNCTION sly(k text) RETURNS int LANGUAGE sql AS 'INSERT INTO t VALUES (k, 0) RETURNING v'
$d$);
CREATE FUNCTION sly(k text) RETURNS int LANGUAGE plshard STABLE AS $$ CLUSTER 'c'; RUN ON hash(k); $$;
SQL
is($c->try(q{SELECT sly('y1')})->{sqlstate}, '25006', 'a STABLE function whose remote function writes');
is($c->try(q{BEGIN; SELECT put('y2', 1); SELECT sly('y2')})->{sqlstate}, '25006', '... also behind a write');
keys_are('y%', [], '... writes nothing');

$c->sql(<<'SQL');
SELECT plshard.deploy('c', $d$
	CREATE FUNCTION chance(k text) RETURNS float8 LANGUAGE sql AS
		$$ INSERT INTO t VALUES (k, 0); SELECT random() $$
$d$);
CREATE FUNCTION chance(k text) RETURNS float8 LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); $$;
SQL
$r = $c->try(q{SELECT chance('z1')});
is($r->{sqlstate}, 'XX001', 'replicas that return different results');
like($r->{message}, qr/returned different results for shard \d+/, '... say so');
keys_are('z%', [], '... and nothing is written');
$s->sql('BEGIN');
$s->sql("SELECT put('z2', 2)");
$s->sql('SAVEPOINT a');
is($s->try(q{SELECT chance('z3')})->{sqlstate}, 'XX001', '... also in a transaction block');
$s->sql('ROLLBACK TO a');
$s->sql('COMMIT');
keys_are('z%', ['z2'], '... of which the rest remains');
is_healthy('after what was refused');

#
# Above READ COMMITTED
#
$s->sql('BEGIN ISOLATION LEVEL REPEATABLE READ');
is($s->sql(q{SELECT get('w10')}), 10, 'REPEATABLE READ reads');
my $total = $s->sql('SELECT total()');
$c->sql(q{SELECT bump('w10'), put('rr', 1)});
is($s->sql(q{SELECT get('w10')}), 10, '... and reads the same again');
is($s->sql('SELECT total()'), $total, '... on all nodes');
is($s->try(q{SELECT bump('w10')})->{sqlstate}, '0A000', '... but may not write to replicas');
$s->sql('ROLLBACK');
is($s->sql(q{SELECT get('w10')}), 11, 'READ COMMITTED reads what is new');

#
# Eight sessions insert the same 300 keys
#
my @results = $c->parallel(
	map { my $i = $_; join '', map { "SELECT put('same$_', $i);\n" } 1 .. 300 } 1 .. 8);
my %errors;
$errors{$_}++ foreach map { $_->{err} =~ /ERROR: +(\w{5}):/g } @results;
is_deeply(\%errors, { 23505 => 7 * 300 }, 'eight sessions insert 300 keys: each losing session got 23505');
is(scalar(grep { /DETAIL:  Key \(k\)=\(same\d+\) already exists\./ } map { split /\n/, $_->{err} } @results),
	7 * 300, '... with its detail');
keys_are('same%', [ map { "same$_" } 1 .. 300 ], '... every key is on both replicas');
is_healthy('after eight sessions');

#
# Writers of overlapping keys
#
$c->sql(join ';', map { "SELECT put('hot$_', 0)" } 1 .. 20);
my $script = $c->front->basedir . '/writers.sql';
append_to_file($script, <<'SQL');
\set a random(1, 20)
SELECT bump('hot' || :a);
SQL
$c->front->command_ok(
	[ 'pgbench', '-n', '-c', 8, '-j', 2, '-t', 200, '-f', $script, 'postgres' ],
	'writers of the same keys');
is($c->sql(q{SELECT sum(get('hot' || i)) FROM generate_series(1, 20) AS i}), 8 * 200, '... lose nothing');
is_healthy('after writers of the same keys');

# Two keys a transaction, in any order: deadlocks, within a node and between
# nodes, must end.
my @pairs = map {
	my $i = $_;
	join '', map {
		my ($a, $b) = (1 + ($i * 7 + $_ * 3) % 20, 1 + ($i * 11 + $_ * 13) % 20);
		"BEGIN; SELECT bump('hot$a'); SELECT bump('hot$b'); COMMIT;\n"
	} 1 .. 50
} 1 .. 4;
@results = $c->parallel(@pairs);
%errors = ();
$errors{$_}++ foreach map { $_->{err} =~ /ERROR: +(\w{5}):/g } @results;
delete $errors{'25P02'};
my $deadlocks = delete $errors{'40P01'} // 0;
is_deeply(\%errors, {}, 'writers of two keys: nothing but deadlocks goes wrong');
is($c->sql(q{SELECT sum(get('hot' || i)) FROM generate_series(1, 20) AS i}),
	8 * 200 + 2 * (4 * 50 - $deadlocks), '... and each transaction is there wholly or not at all');
is_healthy('after writers of two keys');

# Transactions that wait for each other on different nodes: no node sees that.
my ($on_12) = $c->some_keys(1, shard => 10000);
my ($on_34) = $c->some_keys(1, shard => 10002);
$c->sql("SELECT put('$_', 0)") foreach $on_12, $on_34;
my @crosswise = map { $c->session } 1, 2;
$crosswise[0]->sql("BEGIN; SELECT bump('$on_12')");
$crosswise[1]->sql("BEGIN; SELECT bump('$on_34')");
$crosswise[0]->send("SELECT bump('$on_34'); COMMIT");
$c->wait_for(q{SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)}, on => 3);
$crosswise[1]->send("SELECT bump('$on_12'); COMMIT");
@results = map { $_->result } @crosswise;
my @ended = grep { defined } map { $_->{sqlstate} } @results;
ok(@ended > 0, 'a deadlock between nodes ends');
is_deeply([ grep { $_ ne '40P01' } @ended ], [], '... with 40P01');
is($c->sql("SELECT get('$on_12') + get('$on_34')"), 2 * (2 - @ended), '... each wholly done or not at all');
is_healthy('after a deadlock between nodes');
$_->quit foreach @crosswise;

#
# Plans that a change makes stale, under an open session
#
$c->sql(<<'SQL');
SELECT plshard.deploy('c', 'CREATE FUNCTION twice(k text) RETURNS int STABLE LANGUAGE sql AS ''SELECT 2 * v FROM t WHERE t.k = twice.k''');
CREATE FUNCTION twice(k text) RETURNS int LANGUAGE plshard STABLE AS $$ CLUSTER 'c'; RUN ON hash(k); $$;
CREATE FUNCTION row_of(k text) RETURNS TABLE (k2 text, v2 bigint) LANGUAGE plshard STABLE AS
	$$ CLUSTER 'c'; RUN ON hash(k); SELECT t.k AS k2, t.v AS v2 FROM t WHERE t.k = row_of.k; $$;
CREATE FUNCTION add(k text, n int) RETURNS bigint LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(k); UPDATE t SET v = t.v + n WHERE t.k = add.k RETURNING t.v; $$;
SQL
is($s->sql(q{SELECT twice('w5')}), 10, 'a function of the node');
$c->sql(q{SELECT plshard.deploy('c', 'CREATE OR REPLACE FUNCTION twice(k text) RETURNS int STABLE LANGUAGE sql AS ''SELECT 3 * v FROM t WHERE t.k = twice.k''')});
is($s->sql(q{SELECT twice('w5')}), 15, '... replaced');
$c->sql(q{SELECT plshard.deploy('c', $d$ DROP FUNCTION twice(text);
	CREATE FUNCTION twice(k text) RETURNS bigint STABLE LANGUAGE sql AS 'SELECT 4::bigint * v FROM t WHERE t.k = twice.k' $d$)});
is($s->sql(q{SELECT twice('w5')}), 20, '... dropped and made anew');

is($s->sql(q{SELECT * FROM row_of('w5')}), 'w5|5', 'a query of a table');
is($s->sql(q{SELECT add('w5', 1)}), 6, 'a write to it');
$c->sql(q{SELECT plshard.deploy('c', 'ALTER TABLE t ADD COLUMN extra int DEFAULT 7')});
is($s->sql(q{SELECT * FROM row_of('w5')}), 'w5|6', '... read after a new column');
$c->sql(q{SELECT plshard.deploy('c', 'ALTER TABLE t ALTER COLUMN v TYPE bigint')});
is($s->sql(q{SELECT * FROM row_of('w5')}), 'w5|6', '... after a column has changed its type');
is($s->sql(q{SELECT add('w5', 1)}), 7, '... also the write');
$s->sql('BEGIN');
is($s->sql(q{SELECT add('w5', 1), get('w5')}), '8|8', '... in a transaction block');
$s->sql(q{SELECT put('stale', 1)});
# deploy would wait for the transaction
$c->sql(<<'SQL', on => $_) foreach 1 .. 4;
DO $$
DECLARE
	shard text;
BEGIN
	FOR shard IN SELECT nspname FROM pg_namespace WHERE nspname ~ '^plshard_\d+$' LOOP
		EXECUTE format('SET LOCAL search_path = %I', shard);
		CREATE OR REPLACE FUNCTION twice(k text) RETURNS bigint STABLE LANGUAGE sql AS
			'SELECT 5 * v FROM t WHERE t.k = twice.k';
	END LOOP;
END
$$
SQL
is($s->sql(q{SELECT twice('w5')}), 40, '... of which a function is replaced meanwhile');
$s->sql('COMMIT');
keys_are('stale', ['stale'], '... and which then commits');
is_healthy('after changes of plans');

#
# The limit of prepared statements
#
$c->sql(<<'SQL');
CREATE FUNCTION prepared() RETURNS SETOF bigint LANGUAGE plshard STABLE AS
	$$ CLUSTER 'c'; RUN ON ALL; SELECT count(*) FROM pg_prepared_statements WHERE name ~ '^plshard_'; $$;
SQL
$s->sql('SET plshard.max_prepared_statements = 8');
my $ok = 0;
foreach my $round (1 .. 3)
{
	$ok++ if $s->sql(q{SELECT count(*) FROM generate_series(11, 200) AS i WHERE get('w' || i) = i}) == 190;
	$ok++ if $s->sql(q{SELECT count(bump('w' || i)) FROM generate_series(11, 40) AS i}) == 30;
	$ok++ if $s->sql(q{BEGIN; SELECT count(bump('w' || i)) FROM generate_series(11, 40) AS i; ROLLBACK}) == 30;
	$ok++ if $s->sql(q{SELECT count(twice('w' || i)) FROM generate_series(11, 100) AS i}) == 90;
	$ok++ if $s->sql('SELECT total()') > 500;
	$c->sql(q{SELECT sum(add('w' || i, -1)) FROM generate_series(11, 40) AS i});
}
is($ok, 15, 'calls under a limit of 8 prepared statements a connection');
# a call of all shards needs two for each of a node's eight, all at once
cmp_ok($s->sql('SELECT max(n) FROM prepared() AS n'), '<=', 2 * 8 + 2 * 8, '... which is kept to');
is_healthy('after calls with few prepared statements');

#
# Many rows
#
$c->sql(<<'SQL');
CREATE FUNCTION many(n int) RETURNS TABLE (i int, s text) LANGUAGE plshard STABLE AS
	$$ CLUSTER 'c'; RUN ON 0; SELECT g AS i, 'row number ' || g AS s FROM generate_series(1, many.n) AS g; $$;
SQL
sub peak_memory		# of a session's server process, in kB
{
	my ($pid) = @_;
	return slurp_file("/proc/$pid/status") =~ /^VmHWM:\s+(\d+) kB/m ? $1 : die 'no VmHWM';
}
is($s->sql('SELECT count(*) FROM many(10000)'), 10000, 'ten thousand rows');
my $before = peak_memory($s->pid);
is($s->sql('SELECT count(*), sum(i), max(length(s)) FROM many(1000000)'),
	'1000000|500000500000|18', 'a million rows');
cmp_ok(peak_memory($s->pid) - $before, '<', 40_000, '... do not sit in memory');
is($s->sql('SELECT i FROM many(1000000) LIMIT 1'), 1, 'one of a million rows');
is($s->try('SELECT 1 / (i - 500000) FROM many(1000000)')->{sqlstate}, '22012', 'an error amid a million rows');
is($s->sql(q{SELECT get('w2')}), 2, '... and the next call works');
$s->quit;

# a write's are kept until the replicas agree, but once only
$c->sql(<<'SQL');
CREATE FUNCTION many_written(n int) RETURNS TABLE (i int, s text) LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON 0; SELECT g AS i, repeat('x', 100) AS s FROM generate_series(1, many_written.n) AS g; $$;
SQL
$s = $c->session;
is($s->sql('SELECT count(*) FROM many_written(1000)'), 1000, 'a thousand rows of a write');
$before = peak_memory($s->pid);
is($s->sql('SELECT count(*), max(length(s)) FROM many_written(300000)'), '300000|100', '300,000 rows of a write');
cmp_ok(peak_memory($s->pid) - $before, '<', 70_000, '... sit in memory once');

$s->quit;
done_testing();
