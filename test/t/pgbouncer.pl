
# Nodes behind PgBouncer: in session mode as they are; in transaction mode, with fewer
# connections to the nodes than sessions, with the option "pooled".  Skipped where
# PgBouncer cannot be had.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use PlshardCluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes ();

my ($pgbouncer) = grep { -x } map { ("$_/usr/sbin/pgbouncer") } '', ($ENV{SANDBOX} ? "$ENV{SANDBOX}/pg" : ());
if (!defined $pgbouncer && $ENV{SANDBOX})
{
	my ($out, $err) = run_command([ 'scripts/unpack', 'pgbouncer' ]);
	plan skip_all => "no PgBouncer: $err" if $out eq '';
	$pgbouncer = "$ENV{SANDBOX}/pg/usr/sbin/pgbouncer";
	$ENV{LD_LIBRARY_PATH} = join ':', glob("$ENV{SANDBOX}/pg/usr/lib/*-linux-gnu"), $ENV{LD_LIBRARY_PATH} // ();
}
plan skip_all => 'no PgBouncer' unless defined $pgbouncer && `$pgbouncer --version 2>&1` =~ /^PgBouncer/;

# A front, and a server with four partitions.
my $c = PlshardCluster->new(nodes => 1, define => 0, node_conf => 'log_statement = all');
my $node = $c->node(1);
foreach my $i (0 .. 3)
{
	$node->safe_psql('postgres', "CREATE DATABASE part$i");
	$node->safe_psql("part$i", <<'SQL');
CREATE TABLE item (k int PRIMARY KEY, v text CHECK (v <> 'refused'), UNIQUE (v) DEFERRABLE INITIALLY DEFERRED);
CREATE FUNCTION put(k int, v text) RETURNS text LANGUAGE sql AS
	'INSERT INTO item VALUES (k, v) RETURNING current_database()::text';
CREATE FUNCTION get(k int) RETURNS text STABLE LANGUAGE sql AS 'SELECT v FROM item WHERE item.k = get.k';
CREATE FUNCTION items() RETURNS SETOF item STABLE LANGUAGE sql AS 'SELECT * FROM item';
CREATE FUNCTION many(n int) RETURNS SETOF text STABLE LANGUAGE sql AS
	'SELECT repeat(md5(x::text), 10) FROM generate_series(1, n) x';
CREATE FUNCTION setting(k int, name text) RETURNS text STABLE LANGUAGE sql AS 'SELECT current_setting(name)';
CREATE FUNCTION sly(k int) RETURNS text STABLE LANGUAGE plpgsql AS $$ BEGIN RETURN put(k, 'sly'); END $$;
CREATE FUNCTION fail(k int) RETURNS text STABLE LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
CREATE FUNCTION nap(k int) RETURNS int STABLE LANGUAGE sql AS 'SELECT 1 FROM pg_sleep(30)';
CREATE FUNCTION moment(t timestamptz, i interval, f float8, b bytea, OUT t2 timestamptz, OUT x text, OUT i2 interval, OUT f2 float8, OUT b2 bytea)
	STABLE LANGUAGE sql AS 'SELECT t, t::text, i, f, b';
SQL
}

#
# PgBouncer: t0 ... t3 in transaction mode, s0 ... s3 in session mode
#
my $dir = PostgreSQL::Test::Utils::tempdir_short();
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $databases = join "\n", map {
	my $at = sprintf 'host=%s port=%s dbname=part%s', $node->host, $node->port, $_;
	("t$_ = $at pool_mode=transaction pool_size=" . ($_ % 2 + 1), "s$_ = $at pool_mode=session pool_size=4");
} 0 .. 3;
append_to_file("$dir/users", qq{"postgres" ""\n});
append_to_file("$dir/pgbouncer.ini", <<"INI");
[databases]
$databases
[pgbouncer]
listen_addr =
listen_port = $port
unix_socket_dir = $dir
auth_type = trust
auth_file = $dir/users
admin_users = postgres
server_reset_query = DISCARD ALL
logfile = $dir/log
pidfile = $dir/pid
INI
sub wait_until
{
	my ($what, $condition) = @_;
	foreach (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return if $condition->();
		Time::HiRes::usleep(100_000);
	}
	die "timed out waiting until $what";
}

sub start_pgbouncer
{
	system_or_bail($pgbouncer, '-d', '-q', "$dir/pgbouncer.ini");
	wait_until('PgBouncer listens', sub { -e "$dir/.s.PGSQL.$port" });
	return;
}

sub stop_pgbouncer
{
	return unless defined $dir && -e "$dir/pid";
	chomp(my $pid = slurp_file("$dir/pid"));
	kill 'TERM', $pid;
	wait_until('PgBouncer ends', sub { !kill 0, $pid });
	return;
}

END
{
	my $status = $?;
	stop_pgbouncer();
	$? = $status;
}
start_pgbouncer();
my $at = "host=$dir port=$port user=postgres";

# What the sessions on the nodes have that a transaction should not have left: asked
# through the pool itself, on all connections of it at once.
sub leftovers
{
	my ($mode) = @_;
	my %seen;
	foreach my $i (0 .. 3)
	{
		foreach my $line (split /\n/, $node->safe_psql('postgres', <<"SQL"))
SELECT l.objid FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE locktype = 'advisory' AND datname = 'part$i'
SQL
		{
			$seen{'advisory lock'}++;
		}
		my $state = q{
SELECT name || ' = ' || setting FROM pg_settings
	WHERE source = 'session' AND setting IS DISTINCT FROM reset_val AND name NOT IN ('application_name', 'client_encoding')
UNION ALL SELECT 'prepared statement ' || name FROM pg_prepared_statements WHERE name <> ''};
		# both connections of a pool of two: the first is kept busy while the second is asked
		my @script = $i % 2 ? ("BEGIN; $state; SELECT pg_sleep(0.3); COMMIT") x 2 : ($state);
		my @runs = map {
			my ($out, $err) = ('', '');
			{ out => \$out, err => \$err, run => IPC::Run::start([ 'psql', '-XAtq', '-d', "$at dbname=$mode$i", '-c', $_ ], '>', \$out, '2>', \$err) }
		} @script;
		foreach (@runs)
		{
			$_->{run}->finish;
			die ${ $_->{err} } if ${ $_->{err} } ne '';
			$seen{$_}++ foreach grep { $_ ne '' } split /\n/, ${ $_->{out} };
		}
	}
	return join ', ', sort keys %seen;
}

sub server
{
	my ($name, $mode, $options) = @_;
	$c->sql("CREATE SERVER $name FOREIGN DATA WRAPPER plshard OPTIONS ("
		  . join(', ', map { "p$_ '$at dbname=$mode$_'" } 0 .. 3) . ", node_timeout '500 ms'$options)");
	return;
}

# Functions of a cluster, each with its name before it.
sub functions
{
	my ($name) = @_;
	$c->sql(<<"SQL");
CREATE SCHEMA $name;
SET search_path = $name, public;
CREATE FUNCTION put(k int, v text) RETURNS text LANGUAGE plshard AS \$\$ CLUSTER '$name'; RUN ON k; \$\$;
CREATE FUNCTION get(k int) RETURNS text LANGUAGE plshard STABLE AS \$\$ CLUSTER '$name'; RUN ON k; \$\$;
CREATE FUNCTION items(OUT k int, OUT v text) RETURNS SETOF record LANGUAGE plshard STABLE AS \$\$ CLUSTER '$name'; RUN ON ALL; \$\$;
CREATE FUNCTION many(n int) RETURNS SETOF text LANGUAGE plshard STABLE AS \$\$ CLUSTER '$name'; RUN ON ALL; \$\$;
CREATE FUNCTION setting(k int, name text) RETURNS text LANGUAGE plshard STABLE AS \$\$ CLUSTER '$name'; RUN ON k; \$\$;
CREATE FUNCTION setting_w(k int, name text) RETURNS text LANGUAGE plshard AS \$\$ CLUSTER '$name'; RUN ON k; TARGET setting; \$\$;
CREATE FUNCTION sly(k int) RETURNS text LANGUAGE plshard STABLE AS \$\$ CLUSTER '$name'; RUN ON k; \$\$;
CREATE FUNCTION fail(k int) RETURNS text LANGUAGE plshard STABLE AS \$\$ CLUSTER '$name'; RUN ON k; \$\$;
CREATE FUNCTION timed(k int) RETURNS int LANGUAGE plshard STABLE AS \$\$ CLUSTER '$name'; RUN ON k; TIMEOUT '300 ms'; TARGET nap; \$\$;
CREATE FUNCTION nap(k int) RETURNS int LANGUAGE plshard STABLE AS \$\$ CLUSTER '$name'; RUN ON k; \$\$;
CREATE FUNCTION limited(k int, name text) RETURNS text LANGUAGE plshard STABLE AS \$\$ CLUSTER '$name'; RUN ON k; TIMEOUT '20 s'; TARGET setting; \$\$;
CREATE FUNCTION moment(t timestamptz, i interval, f float8, b bytea, OUT t2 timestamptz, OUT x text, OUT i2 interval, OUT f2 float8, OUT b2 bytea)
	LANGUAGE plshard STABLE AS \$\$ CLUSTER '$name'; RUN ON 0; \$\$;
CREATE FUNCTION spread(k int[], v text[]) RETURNS SETOF text LANGUAGE plshard AS
	\$\$ CLUSTER '$name'; SPLIT ALL; RUN ON k; INSERT INTO item SELECT * FROM unnest(k, v) RETURNING current_database()::text AS place; \$\$;
SQL
	return;
}

# Everything that calls do, with several sessions in turn.
sub use_it
{
	my ($name, $mode) = @_;
	functions($name);
	my @s = map { $c->session } 1 .. 3;
	my @zones = qw(UTC Asia/Kolkata America/Caracas);
	$s[$_]->sql("SET search_path = $name, public; SET timezone = '$zones[$_]'; SET datestyle = 'SQL, DMY'; SET intervalstyle = iso_8601") foreach 0 .. 2;

	$_->sql('SELECT 1') foreach @s;
	is($s[$_]->sql("SELECT put($_, 'one $_')"), "part$_", "$name: a write of session $_") foreach 0 .. 2;
	is($s[2]->sql('SELECT count(*) FROM items()'), 3, '... each seen by others');
	is($s[0]->sql("SELECT get(k) FROM generate_series(0, 2) k"), "one 0\none 1\none 2", '... one by one');

	# settings of one session are not another's
	my @times = ('01/02/2024 12:00:00 UTC', '01/02/2024 17:30:00 IST', '01/02/2024 08:00:00 -04');
	foreach my $round (1 .. 3)
	{
		foreach (0 .. 2)
		{
			is($s[$_]->sql(q{SELECT t2, i2, f2 = 0.1::float8 + 0.2, b2 FROM moment('01/02/2024 12:00+00', 'P1DT2H', 0.1::float8 + 0.2, '\xff')}),
				"$times[$_]|P1DT2H|t|\\xff", "$name: values of session $_, round $round");
			is($s[$_]->sql("SELECT setting(0, 'timezone'), setting_w(1, 'timezone')"), "$zones[$_]|$zones[$_]", '... its time zone');
		}
	}
	is($s[0]->sql("SELECT limited(0, 'statement_timeout'), setting(0, 'statement_timeout')"), '20s|0', "$name: a TIMEOUT is that of its call");
	is($s[0]->sql("BEGIN; SELECT put(10, 'x'); SELECT limited(10, 'statement_timeout'), setting(10, 'statement_timeout'); ROLLBACK"),
		"part2\n20s|0", '... also in a transaction') if $mode eq 't';

	# transactions, two at a time on the pools that have room for two
	$_->sql('BEGIN') foreach @s[0, 1];
	$s[0]->sql("SELECT put(101, 'a')");
	$s[1]->sql("SELECT put(105, 'b')");
	is($s[0]->sql('SELECT get(101), (SELECT count(*) FROM items())'), 'a|4', "$name: a transaction sees its own rows")
		if $mode eq 's';
	is($s[0]->sql('SELECT get(101)') . $s[1]->sql('SELECT get(105)'), 'ab', "$name: each transaction sees its own row");
	$s[0]->sql('SAVEPOINT s');
	$s[0]->sql("SELECT put(109, 'gone')");
	is($s[0]->sql("SELECT setting(109, 'timezone')"), 'UTC', '... in its own time zone');
	$s[0]->sql('ROLLBACK TO s');
	is($s[0]->sql("SELECT setting(109, 'timezone')"), 'UTC', '... also behind ROLLBACK TO');
	$s[0]->sql('COMMIT');
	$s[1]->sql('ROLLBACK');
	is($s[2]->sql('SELECT k FROM items() WHERE k > 100'), 101, '... and ends as it should');
	is($s[0]->try("SELECT put(0, 'twice')")->{sqlstate}, '23505', "$name: an error of a write");
	is($s[0]->try("SELECT put(50, 'refused')")->{sqlstate}, '23514', '... another');
	is($s[0]->try("SELECT put(4, 'one 0')")->{sqlstate}, '23505', '... at COMMIT');
	is($s[1]->try('SELECT fail(0)')->{sqlstate}, 'P0001', '... of a read');
	is($s[1]->try('SELECT sly(4)')->{sqlstate}, '25006', 'a read cannot write');
	is($s[2]->sql("SELECT get(0), setting(0, 'transaction_read_only'), setting_w(0, 'transaction_read_only')"), 'one 0|on|off', '... a write can');
	is($s[0]->try('SELECT timed(0)')->{sqlstate}, '57014', "$name: a TIMEOUT");
	is($s[1]->sql('SELECT get(0)'), 'one 0', '... and the connection is free again');

	# many rows, from all partitions at once, by all sessions at once
	$_->send('SELECT count(*), count(DISTINCT x), sum(length(x)) FROM many(2000) x') foreach @s;
	is($_->result->{out}, '8000|2000|2560000', "$name: many rows") foreach @s;
	is($s[0]->sql('SELECT spread(ARRAY(SELECT generate_series(1000, 1007)), ARRAY(SELECT md5(x::text) FROM generate_series(1, 8) x)) ORDER BY 1'),
		join("\n", map { ("part$_") x 2 } 0 .. 3), "$name: SPLIT");
	$c->sql(<<"SQL");
SET search_path = $name, public;
DO \$\$
BEGIN
	FOR i IN 1 .. 20 LOOP
		BEGIN
			PERFORM put(2000 + i, 'do ' || i / 2);
			IF i % 2 = 0 THEN RAISE no_data_found; END IF;
		EXCEPTION WHEN no_data_found THEN NULL;
		END;
	END LOOP;
END
\$\$
SQL
	is($s[1]->sql('SELECT count(*), sum(k) FROM items() WHERE k > 2000'), '10|20100', "$name: EXCEPTION blocks");
	is($s[1]->sql('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT get(0); SELECT put(8, $$r$$); COMMIT'), "one 0\npart0", "$name: REPEATABLE READ");
	$_->quit foreach @s;
	$node->safe_psql("part$_", 'DELETE FROM item') foreach 0 .. 3;
	return;
}

server('ses', 's', '');
use_it('ses', 's');
$c->wait_for("SELECT count(*) = 0 FROM pg_locks WHERE locktype = 'advisory'", on => 1);
is(leftovers('s'), '', 'session mode: the reset query leaves nothing');

server('pooled', 't', ", pooled 'true'");
use_it('pooled', 't');
is(leftovers('t'), '', 'pooled: nothing is left in the sessions on the nodes');
ok($node->safe_psql('postgres', "SELECT count(*) <= 6 FROM pg_stat_activity WHERE application_name = 'plshard' AND datname LIKE 'part%'"), '... which are as few as the pools');

#
# The pool is exhausted: a call that waits does not take the node for dead
#
my ($a, $b, $d) = map { my $s = $c->session; $s->sql('SET search_path = pooled, public'); $s } 1 .. 3;
$a->sql('BEGIN');
$a->sql("SELECT put(0, 'held')");
$b->send('SELECT get(0), count(*) FROM items()');
$d->send("SELECT put(4, 'waited')");
$c->wait_for("SELECT count(*) = 2 FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid() AND query_start < clock_timestamp() - interval '1.5 s'");
$a->sql('COMMIT');
is($b->result->{sqlstate}, undef, 'a read waits for a connection of the pool for longer than node_timeout');
is($d->result->{out}, 'part0', '... a write, too');
is($b->sql('SELECT get(0), get(4)'), 'held|waited', '... and go on');

# cancelled in the middle: the pool gets its connection back
$b->send('SELECT nap(0)');
$c->wait_for("SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = 'part0' AND state = 'active' AND query LIKE '%nap%'", on => 1);
$c->sql('SELECT pg_cancel_backend(' . $b->pid . ')');
is($b->result->{sqlstate}, '57014', 'a cancelled read');
is($d->sql('SELECT get(0)'), 'held', '... leaves its connection to others');

$c->wait_for("SELECT count(*) = 0 FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%nap%' AND pid <> pg_backend_pid()", on => 1);

# PgBouncer goes away and comes back
stop_pgbouncer();
is($b->try('SELECT get(0)')->{sqlstate}, '08006', 'without PgBouncer there is an error');
start_pgbouncer();
is($b->sql('SELECT get(0)'), 'held', '... until it is back');

#
# autocommit, callback functions, CONNECT; the option in open sessions; what is refused
#
$c->sql("ALTER SERVER pooled OPTIONS (ADD autocommit 'true')");
is($b->sql("BEGIN; SELECT put(20, 'stays'); SELECT setting(0, 'timezone') <> ''; ROLLBACK; SELECT get(20)"), "part0\nt\nstays", 'autocommit');
is($b->try("SELECT put(24, 'stays')")->{sqlstate}, '23505', '... its error at COMMIT');
is($b->sql("SELECT put(28, 'and on')"), 'part0', '... and the next call');
$c->sql("ALTER SERVER pooled OPTIONS (DROP autocommit)");
$c->sql(<<"SQL");
CREATE FUNCTION plshard.get_cluster_version(text) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1';
CREATE FUNCTION plshard.get_cluster_partitions(text) RETURNS SETOF text LANGUAGE sql AS \$\$ SELECT '$at dbname=t' || i FROM generate_series(0, 3) i \$\$;
CREATE FUNCTION plshard.get_cluster_config(text, OUT key text, OUT val text) RETURNS SETOF record LANGUAGE sql AS \$\$ VALUES ('pooled', '1') \$\$;
CREATE FUNCTION called(k int) RETURNS text LANGUAGE plshard STABLE AS \$\$ CLUSTER 'called'; RUN ON k; TARGET get; \$\$;
ALTER FOREIGN DATA WRAPPER plshard OPTIONS (ADD pooled 'true');
CREATE FUNCTION connected(k int) RETURNS text LANGUAGE plshard STABLE AS \$\$ CONNECT '$at dbname=t0'; TARGET get; \$\$;
SQL
is($b->sql('SELECT called(k), connected(k) FROM generate_series(0, 0) k'), 'held|held', 'callback functions and CONNECT');
is(leftovers('t'), '', '... leave nothing either');
is($c->try("SELECT plshard.create_cluster('c'); ALTER SERVER c OPTIONS (ADD pooled 'true')")->{sqlstate}, 'HV00D', 'a catalog cluster cannot be pooled');

# without the option state is left behind: the test would see it
$c->sql("ALTER FOREIGN DATA WRAPPER plshard OPTIONS (SET pooled 'false'); ALTER SERVER pooled OPTIONS (SET pooled 'false')");
$d->try("SELECT get(0)");
like(leftovers('t'), qr/advisory lock.*default_transaction_read_only = on.*prepared statement/, 'not pooled: settings, locks and statements are left');

$_->quit foreach $a, $b, $d;
done_testing();
