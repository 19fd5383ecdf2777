
# One-shot calls: a write that is all of its transaction commits with the call, in one
# round trip.  And each case in which that would be wrong, and must not happen.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use PlshardCluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $c = PlshardCluster->new(nodes => 2, shards => 4, replicas => 1);

$c->sql(<<'SQL');
SELECT plshard.deploy('c', $ddl$
	CREATE TABLE t (k text PRIMARY KEY, v int);
	CREATE TABLE later (k text UNIQUE DEFERRABLE INITIALLY DEFERRED);
	CREATE FUNCTION put(k text, v int) RETURNS int LANGUAGE plpgsql AS $$
	BEGIN
		RAISE NOTICE 'putting';
		INSERT INTO t VALUES (put.k, put.v);
		RETURN put.v;
	END $$;
	CREATE FUNCTION put_void(k text, v int) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		RAISE NOTICE 'putting';
		INSERT INTO t VALUES (put_void.k, put_void.v);
	END $$;
	CREATE FUNCTION put_text(k text, v int) RETURNS text LANGUAGE plpgsql AS $$
	BEGIN
		RAISE NOTICE 'putting';
		INSERT INTO t VALUES (put_text.k, put_text.v);
		RETURN repeat(chr(8364), put_text.v - 1) || 'text';
	END $$;
	CREATE FUNCTION put_rows(k text, v int, n int) RETURNS SETOF int LANGUAGE plpgsql AS $$
	BEGIN
		RAISE NOTICE 'putting';
		INSERT INTO t VALUES (put_rows.k, put_rows.v);
		RETURN QUERY SELECT generate_series(1, n);
	END $$;
	CREATE PROCEDURE put_proc(k text, v int) LANGUAGE plpgsql AS $$
	BEGIN
		RAISE NOTICE 'putting';
		INSERT INTO t VALUES (put_proc.k, put_proc.v);
	END $$;
	CREATE PROCEDURE put_commit(k text, v int) LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO t VALUES (put_commit.k, put_commit.v);
		COMMIT;
	END $$;
	CREATE FUNCTION put_later(k text) RETURNS int LANGUAGE sql AS
		'INSERT INTO later VALUES (k), (k); SELECT 1';
	CREATE FUNCTION put_and_die(k text) RETURNS int LANGUAGE sql AS
		'INSERT INTO t VALUES (k, 0); SELECT pg_terminate_backend(pg_backend_pid())::int';
	CREATE FUNCTION put_and_sleep(k text) RETURNS int LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO t VALUES (put_and_sleep.k, 0);
		PERFORM pg_sleep(600);
		RETURN 1;
	END $$;
$ddl$);

CREATE FUNCTION put(k text, v int) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); $$;
CREATE FUNCTION put_void(k text, v int) RETURNS void LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); $$;
CREATE FUNCTION put_text(k text, v int) RETURNS text LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); $$;
CREATE FUNCTION put_stable(k text, v int) RETURNS int LANGUAGE plshard STABLE AS
	$$ CLUSTER 'c'; RUN ON hash(k); TARGET put; $$;
CREATE FUNCTION put_body(k text, v int) RETURNS void LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(k); INSERT INTO t VALUES (put_body.k, put_body.v); $$;
CREATE FUNCTION put_returning(k text, v int) RETURNS int LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(k); INSERT INTO t VALUES (put_returning.k, put_returning.v) RETURNING v; $$;
CREATE FUNCTION put_rows(k text, v int, n int) RETURNS SETOF int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); $$;
CREATE FUNCTION put_one(k text, v int, n int) RETURNS int LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(k); TARGET put_rows; $$;
CREATE DOMAIN small AS int CHECK (VALUE < 10);
CREATE FUNCTION put_domain(k text, v int) RETURNS small LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(k); TARGET put; $$;
CREATE TYPE narrow AS (s varchar(3));
CREATE FUNCTION put_typmod(k text, v int) RETURNS narrow LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(k); INSERT INTO t VALUES (put_typmod.k, put_typmod.v) RETURNING t.k AS s; $$;
CREATE FUNCTION put_reduced(k text, v int) RETURNS int LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(k); TARGET put; REDUCE (v int) SELECT 10 / v FROM result; $$;
CREATE PROCEDURE put_proc(k text, v int) LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); $$;
CREATE PROCEDURE put_commit(k text, v int) LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); $$;
CREATE FUNCTION put_later(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); $$;
CREATE FUNCTION put_and_die(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); $$;
CREATE FUNCTION put_and_sleep(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON hash(k); $$;
CREATE FUNCTION total() RETURNS bigint LANGUAGE plshard STABLE AS
	$$ CLUSTER 'c'; RUN ON ALL; SELECT count(*) AS n FROM t; REDUCE SELECT sum(n)::bigint FROM result; $$;

CREATE TABLE here (v int);
CREATE FUNCTION insert_here() RETURNS text LANGUAGE sql AS 'INSERT INTO here VALUES (1) RETURNING ''local'' || random()';
CREATE FUNCTION inlined(k text) RETURNS int LANGUAGE sql AS 'SELECT put(k, 1)';
CREATE TABLE with_trigger (k text);
CREATE FUNCTION on_insert() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM put(NEW.k, 1); RETURN NEW; END $$;
CREATE TRIGGER call_put AFTER INSERT ON with_trigger FOR EACH ROW EXECUTE FUNCTION on_insert();
SQL

my $n = 0;

# What the front sent to nodes for a statement, in which %k stands for a new key: the
# commands before the remote function's own notice, and those after it.  What a session
# prepares and asks the first time is not of interest.
sub shape_of_log
{
	my ($log) = @_;
	my ($before, $after) = split /NOTICE:(?:  00000:)?  putting/, $log, 2;
	my $sent = sub { return () = ($_[0] // '') =~ /node n\d: $_[1]/g; };
	return 'one-shot' if !$sent->($log, 'BEGIN|COMMIT') && $sent->($log, 'SET transaction_read_only = off') == 1;
	return 'one-shot with BEGIN' if defined $after && !$sent->($after, '')
	  && $sent->($before, 'BEGIN') == 1 && $sent->($before, 'COMMIT') == 1;
	return 'in a block' if $sent->($log, 'BEGIN') && !$sent->($log, 'SET transaction_read_only');
	return "unexpected: $log";
}

sub log_of
{
	my ($sql) = @_;
	$sql =~ s/%k/'key' . ++$n/ge;
	my ($out, $err);
	local $ENV{PGOPTIONS} = '-c plshard.log_remote_commands=on';
	$c->front->psql('postgres', $sql, stdout => \$out, stderr => \$err, on_error_stop => 0);
	return $err;
}

sub shape { return shape_of_log(log_of(@_)); }

# Round trips: what was sent before the call's own notice has come, and what after it;
# of a session that has its connections.
sub trips
{
	my ($sql) = @_;
	my (undef, $log) = split /NOTICE:  warm/, log_of("$sql; DO \$\$ BEGIN RAISE NOTICE 'warm'; END \$\$; $sql"), 2;
	return join ' then ', map { my %sent; $sent{$_}++ foreach /node (n\d): /g; join '+', sort keys %sent }
	  grep { /node n\d: / } split /NOTICE:  putting/, $log;
}

# The same of a script that pgbench runs, in its mode.
sub pgbench_shape
{
	my ($mode, $script) = @_;
	my $file = $c->front->basedir . '/script.sql';
	$script =~ s/%k/'key' . ++$n/ge;
	unlink $file;
	append_to_file($file, $script);
	local $ENV{PGOPTIONS} = '-c plshard.log_remote_commands=on';
	my ($out, $err) = run_command([ 'pgbench', '-n', '-t', '1', '-M', $mode, '-f', $file,
		$c->front->connstr('postgres') ]);
	$err =~ s/^pgbench: .*\n//gm;
	return shape_of_log($err);
}

my $missing = 0;
sub written
{
	my ($name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($c->sql("SELECT total()"), $n - $missing, "$name: each key is there once");
	return;
}

#
# What is a one-shot
#
is(shape(q{SELECT put('%k', 1)}), 'one-shot', 'SELECT f()');
is(shape(q{SELECT * FROM put('%k', 1)}), 'one-shot', 'SELECT * FROM f()');
is(shape(q{SELECT put_void('%k', 1)}), 'one-shot', 'a void function');
is(shape(q{SELECT put_text('%k', 1)}), 'one-shot', 'a function that returns text');
is(shape(q{SELECT put_body('%k', 1)}), 'one-shot', 'a void function with body SQL');
is(shape(q{CALL put_proc('%k', 1)}), 'one-shot with BEGIN', 'CALL p(): in a block, since it could commit by itself');
is(shape(q{SELECT inlined('%k')}), 'one-shot', 'a call that the planner finds in an SQL function');
is(pgbench_shape($_, q{SELECT put('%k', 1);}), 'one-shot', "... in pgbench -M $_") foreach qw(simple extended prepared);
is(pgbench_shape('prepared', q{SELECT * FROM put('%k', 1);}), 'one-shot', '... with SELECT * FROM');
written('one-shot calls');

#
# What is none, since there is more in the transaction
#
is(shape($_->[1]), 'in a block', $_->[0]) foreach (
	[ 'BEGIN' => q{BEGIN; SELECT put('%k', 1); COMMIT} ],
	[ 'several statements in one message' => q{SELECT put('%k', 1)\; SELECT 1;} ],
	[ '... the call last' => q{SELECT 1\; SELECT put('%k', 1);} ],
	[ 'a cursor WITH HOLD' => q{DECLARE d CURSOR WITH HOLD FOR SELECT put('%k', 1); FETCH d} ],
	[ 'a cursor' => q{BEGIN; DECLARE d CURSOR FOR SELECT put('%k', 1); FETCH d; COMMIT} ],
	[ 'PREPARE and EXECUTE' => q{PREPARE p AS SELECT put('%k', 1); EXECUTE p} ],
	[ 'PERFORM' => q{DO $$ BEGIN PERFORM put('%k', 1); END $$} ],
	[ 'dynamic EXECUTE' => q{DO $$ BEGIN EXECUTE 'SELECT put(''%k'', 1)'; END $$} ],
	[ 'a loop over its rows' => q{DO $$ DECLARE v int; BEGIN FOR v IN SELECT put('%k', 1) LOOP END LOOP; END $$} ],
	[ 'CALL in PL/pgSQL' => q{DO $$ BEGIN CALL put_proc('%k', 1); END $$} ],
	[ 'two calls' => q{SELECT put('%k', 1), put('%k', 2)} ],
	[ 'a call and more' => q{SELECT put('%k', 1), random()} ],
	[ 'a call in an expression' => q{SELECT put('%k', 1) + 1} ],
	[ 'a call in a call' => q{SELECT put('%k', put('%k', 1))} ],
	[ 'several rows' => q{SELECT put(k, 1) FROM unnest(ARRAY['%k', '%k']) AS k} ],
	[ 'a condition' => q{SELECT * FROM put('%k', 1) AS v WHERE v > random() - 1} ],
	[ 'INSERT ... SELECT' => q{INSERT INTO here SELECT put('%k', 1)} ],
	[ 'CREATE TABLE AS' => q{CREATE TEMP TABLE made AS SELECT put('%k', 1)} ],
	[ 'COPY' => q{COPY (SELECT put('%k', 1)) TO STDOUT} ],
	[ 'EXPLAIN ANALYZE' => q{EXPLAIN ANALYZE SELECT put('%k', 1)} ],
	[ 'WITH' => q{WITH w AS (INSERT INTO here VALUES (1) RETURNING v) SELECT put('%k', v) FROM w} ],
	[ 'a trigger' => q{INSERT INTO with_trigger VALUES ('%k')} ],
	[ 'a local write in the arguments' => q{SELECT put('%k' || left(insert_here(), 0), 1)} ],
	[ 'a volatile function in the arguments' => q{SELECT put('%k', (random() * 0)::int)} ],
	[ '... of a procedure' => q{CALL put_proc('%k', (random() * 0)::int)} ],
	[ 'SERIALIZABLE' => q{SET default_transaction_isolation = 'serializable'; SELECT put('%k', 1)} ],
	[ 'REPEATABLE READ' => q{SET default_transaction_isolation = 'repeatable read'; SELECT put('%k', 1)} ],
);
is(pgbench_shape('extended', qq{\\startpipeline\nSELECT put('%k', 1);\nSELECT 1;\n\\endpipeline\n}),
	'in a block', 'a batch of the extended protocol');
is(pgbench_shape('prepared', qq{\\startpipeline\nSELECT put('%k', 1);\nSELECT put('%k', 1);\n\\endpipeline\n}),
	'in a block', '... with several calls');
written('transactions with more than a call');

# ... and what comes behind it fails
$missing += 2;
is(shape(q{SELECT put('%k', 1)\; SELECT 1 / 0;}), 'in a block', 'an error behind the call');
is(pgbench_shape('extended', qq{\\startpipeline\nSELECT put('%k', 1);\nSELECT 1 / 0;\n\\endpipeline\n}),
	'in a block', '... in a batch');
written('errors behind the call');

#
# What is none, since the front could refuse the result
#
is(shape($_->[1]), 'in a block', $_->[0]) foreach (
	[ 'a domain' => q{SELECT put_domain('%k', 1)} ],
	[ 'a typmod' => q{SELECT put_typmod(right('%k', 3), 1)} ],
	[ 'REDUCE' => q{SELECT put_reduced('%k', 1)} ],
	[ 'a set' => q{SELECT * FROM put_rows('%k', 1, 2)} ],
	[ 'a statement that may return no row' => q{SELECT put_returning('%k', 1)} ],
	[ 'text, which the client may not have characters for' => q{SET client_encoding = 'LATIN1'; SELECT put_text('%k', 1)} ],
	[ 'text in FROM, which there may be no space for' => q{SELECT * FROM put_text('%k', 1)} ],
);
$missing += 3;
is($c->try(q{SET client_encoding = 'LATIN1'; SELECT put_text('none0', 2)})->{sqlstate}, '22P05', 'a character that the client has not');
is($c->try(q{SET temp_file_limit = 100; SET work_mem = 64; SELECT * FROM put_text('none0', 1000000)})->{sqlstate}, '53400',
	'text that is too long to be stored');
is($c->try(q{SELECT put_domain('none1', 10)})->{sqlstate}, '23514', 'a value that the domain refuses');
is($c->try(q{SELECT put_reduced('none2', 0)})->{sqlstate}, '22012', 'an error in REDUCE');
is($c->try(q{SELECT put_one('none3', 1, 2)})->{sqlstate}, 'P0003', 'a remote function that returns two rows');
is($c->try(q{SELECT put_one('none4', 1, 0)})->{sqlstate}, 'P0002', '... or none');
$n += 3;
my $s = $c->session;
is($s->sql(q{SELECT put_one('one1', 1, 1)}), 1, '... or one of a set');
$n++;
is($s->try(q{SELECT put_one('none5', 1, 2)})->{sqlstate}, 'P0003', '... and then two again');
written('results that the front refuses');

#
# Locks that are not free, and an old epoch: as any other write
#
my $key = 'waits';
my $shard = $c->sql(qq{SELECT plshard.shard_for('c', '$key')});
my $node = $c->sql("SELECT substr(node, 2) FROM plshard.placements WHERE shard_id = $shard");
$c->sql(<<'SQL');
CREATE FUNCTION lock_shard(k text) RETURNS void LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(k); LOCK SHARD; SELECT 1; $$;
SQL
$s->sql("BEGIN; SELECT lock_shard('$key')");
my $waiting = $c->begin("SELECT put('$key', 1)");
$c->wait_for(q{SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)}, on => $node);
$s->sql('COMMIT');
is($c->finish($waiting)->{sqlstate}, undef, 'a call waits for the lock of the whole shard');
$n++;

# the statement that tries the locks reads the epoch only when it has them
my ($try_sql) = log_of(q{SELECT put('%k', 1)}) =~ /node n\d: (SELECT CASE WHEN pg_catalog.pg_try_advisory.*)/;
$try_sql =~ s/plshard_node\.lock_not_taken\(\)/false/;
$try_sql =~ s/\$1/77/;
$try_sql =~ s/\$2/0/;
my $lock = $c->session(on => $node);
$lock->sql('SELECT pg_advisory_lock(77)');
is($c->sql($try_sql, on => $node), 'f', 'the epoch is not looked at before there are locks');
$lock->quit;
like($c->try($try_sql, on => $node)->{err}, qr/the cluster has changed/, '... and with them it is');
is($c->sql(q{SELECT provolatile FROM pg_proc WHERE proname = 'pg_sequence_last_value'}, on => $node), 'v',
	'... at that time, and not when the statement is planned');

$c->sql(q{SELECT setval(oid::regclass, 1000) FROM pg_class WHERE relname ~ '^epoch_'}, on => $node);
my ($on_node) = $c->some_keys(1, on => $node);
is($c->try("SELECT put('$on_node', 1)")->{sqlstate}, undef, 'a call after the epoch was raised');
$n++;
cmp_ok($c->sql(q{SELECT max(epoch) FROM plshard.cluster}), '>=', 1000, '... which the front has learned');
written('locks and epochs');

#
# A session that only writes: it need not say so each time, and reads as READ ONLY all the same
#
my (undef, $first, @others) = $c->some_keys(30, on => 1);
$s = $c->session;
my $sets = sub {
	my ($function, $key) = @_;
	my $r = $s->try("SET plshard.log_remote_commands = on; SELECT $function('$key', 1)");
	$s->sql('SET plshard.log_remote_commands = off');
	$n++ unless defined $r->{sqlstate};
	return join ', ', $r->{sqlstate} // 'ok', $r->{err} =~ /node n1: (SET \w*transaction_read_only = \w+|BEGIN)/g;
};
like($sets->('put', $first), qr/ok, SET transaction_read_only = off/, 'the first write of a session');
my @said = map { $sets->('put', $_) } @others[ 0 .. 19 ];
is((grep { $_ eq 'ok, SET default_transaction_read_only = off' } @said), 1, 'after some of them the session is switched') or diag "@said";
is($said[-1], 'ok', '... and they say no more');
is($sets->('put', $others[0]), '23505', '... also the one that fails');
is($sets->('put', $others[20]), 'ok, SET default_transaction_read_only = off', '... after which nothing is known of the session');
is($sets->('put_stable', $others[21]), '25006, SET default_transaction_read_only = on, SET transaction_read_only = on',
	'a read after that writes nothing, whatever becomes of the switch');
like($sets->('put', $others[22]), qr/^ok, SET \w*transaction_read_only = off/, '... and the next write does');
written('a session that only writes');

#
# Errors, and what remains of them
#
$s = $c->session;
is($s->try(q{SELECT put_later('later')})->{sqlstate}, '23505', 'a deferred constraint speaks after the rows');
is($s->try(q{SELECT put('key1', 1)})->{sqlstate}, '23505', 'an error in the call');
is($s->sql(qq{SELECT put('after', 1)}), 1, '... and a call after it');
$n++;
is($c->try(q{CALL put_commit('commits', 1)})->{sqlstate}, '2D000', 'a remote procedure cannot commit by itself');
is($c->try(q{CALL put_proc('key1', 1)})->{sqlstate}, '23505', 'an error in a procedure');
is($s->sql(q{CALL put_proc('after2', 1); SELECT total() > 0}), 't', '... and a call after it');
$n++;
is($c->try(q{SET default_transaction_read_only = on; SELECT put('readonly', 1)})->{sqlstate}, '25006',
	'a read-only transaction');
written('errors');

#
# Connections that are lost, before and after
#
$c->sql(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'plshard%'}, on => $_)
  foreach 1, 2;
is($s->try(q{SELECT put('stale1', 1)})->{sqlstate}, undef, 'an idle connection that the node has ended');
$c->node($_)->restart foreach 1, 2;
is($s->try(q{SELECT put('stale2', 1)})->{sqlstate}, undef, '... or that went with the server');
$n += 2;

my $died = $s->try(q{SELECT put_and_die('dies')});
is($died->{sqlstate}, '08007', 'a connection that is lost during the call: not known');
like($died->{err}, qr/Read back whether it was done/, '... as it says');
my $cancelled = $s->try(q{SET statement_timeout = '1s'; SELECT put_and_sleep('sleeps')});
is($cancelled->{sqlstate}, '08007', 'so does a cancel');
like($cancelled->{err}, qr/canceling statement due to statement timeout/, '... with its reason');
$s->sql('RESET statement_timeout');
$c->wait_for(q{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE '%put_and_sleep%' AND state = 'active' AND pid <> pg_backend_pid())}, on => $_)
  foreach 1, 2;
$s->sql(q{SELECT put('last', 1)});
$n++;
written('lost connections');

#
# Characters that the node has to convert
#
$c->sql('CREATE DATABASE latin ENCODING LATIN1 LOCALE \'C\' TEMPLATE template0', on => 1);
$c->sql(sprintf <<'SQL', $c->conninfo(1) =~ s/dbname=\S+/dbname=latin/r);
SELECT plshard.create_cluster('l');
SELECT plshard.add_node('l', 'n1', '%s');
SELECT plshard.create_shards('l', 1, 1);
SELECT plshard.deploy('l', $$
	CREATE FUNCTION say_text(k text) RETURNS text LANGUAGE sql AS 'SELECT k';
	CREATE FUNCTION say_int(k text) RETURNS int LANGUAGE sql AS 'SELECT 1';
$$);
CREATE FUNCTION say_text(k text) RETURNS text LANGUAGE plshard AS $$ CLUSTER 'l'; RUN ON hash(k); $$;
CREATE FUNCTION say_int(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'l'; RUN ON hash(k); $$;
SQL
is(shape(q{SELECT say_text('%k')}), 'in a block', 'text of a database with another encoding');
is(shape(q{SELECT say_int('%k')}), 'one-shot', '... and a number');

#
# Round trips
#
$c->sql(sprintf <<'SQL', map { $c->conninfo($_) } 1, 2);
SELECT plshard.create_cluster('r');
ALTER SERVER r OPTIONS (ADD commit 'fast');
SELECT plshard.add_node('r', 'n1', '%s');
SELECT plshard.add_node('r', 'n2', '%s');
SELECT plshard.create_shards('r', 1, 2);
SELECT plshard.deploy('r', $$
	CREATE FUNCTION f(k text) RETURNS int LANGUAGE plpgsql AS 'BEGIN RAISE NOTICE ''putting''; RETURN 1; END';
	CREATE FUNCTION g(k text) RETURNS int STABLE LANGUAGE plpgsql AS 'BEGIN RAISE NOTICE ''putting''; RETURN 1; END';
$$);
CREATE FUNCTION f(k text) RETURNS int LANGUAGE plshard AS $$ CLUSTER 'r'; RUN ON hash(k); $$;
CREATE FUNCTION g(k text) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER 'r'; RUN ON hash(k); $$;
SQL
like(trips(q{SELECT g('%k')}), qr/^n\d$/, 'a read: one round trip');
like(trips(q{SELECT put('%k', 1)}), qr/^n\d$/, 'a one-shot write: one');
like(trips(q{CALL put_proc('%k', 1)}), qr/^n\d$/, '... and CALL');
like(trips(q{BEGIN; SELECT put('%k', 1); COMMIT}), qr/^(n\d) then \1$/, 'a write in a transaction: one, and one for the commit');
is(trips(q{SELECT f('%k')}), 'n1+n2 then n1+n2', 'with two replicas, fast: one to both, and one for the commit');
$n -= 6;						# no keys: those of f and g, and the two before
written('counting round trips');

done_testing();
