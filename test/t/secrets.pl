
# Passwords are only where they were put: every way to give one, every way
# to fail, and then a look through the logs of all servers, all that clients were
# told, and all that other roles may read.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PlshardCluster;
use PostgreSQL::Test::Utils;
use Test::More;

# every secret holds this
my $mark = 'hush';

my $c = PlshardCluster->new(nodes => 2, define => 0, conf => <<'CONF');
log_statement = all
log_min_messages = debug5
log_min_error_statement = debug5
log_min_duration_statement = 0
log_error_verbosity = verbose
log_parameter_max_length = -1
log_parameter_max_length_on_error = -1
log_connections = on
log_line_prefix = '%m [%p] %a: %q%i '
CONF
my $superuser = $c->sql('SELECT quote_ident(current_user)');

# Statements that hold secrets themselves stand in the log, as PostgreSQL has it: so
# they are kept out of it, and nothing else may be there.
my $silently = <<'SQL';
SET log_statement = none;
SET log_min_messages = panic;
SET log_min_error_statement = panic;
SET log_min_duration_statement = -1;
SQL

foreach my $node ($c->nodes)
{
	$node->safe_psql('postgres', <<"SQL");
$silently
CREATE ROLE app LOGIN PASSWORD '$mark-right';
CREATE ROLE locked NOLOGIN PASSWORD '$mark-right';
CREATE FUNCTION complain(a int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RAISE WARNING ''hm''; RAISE ''no %'', a; END';
CREATE FUNCTION answer(a int) RETURNS int LANGUAGE sql AS 'SELECT a';
SQL
	open my $file, '>', $node->data_dir . '/pg_hba.conf' or die $!;
	print $file "local all $superuser trust\nlocal all all scram-sha-256\n";
	close $file;
	$node->reload;
}

my $place = $c->conninfo(1);
my $other = $c->conninfo(2);
my ($host) = $place =~ /host=(\S+)/;
my %passwords = (right => "$mark-right", wrong => "$mark-wrong");

# Everything that a client was told.
my $told = '';

sub told
{
	my ($sql, $role) = @_;
	my $r = $c->try(($role ? "SET SESSION AUTHORIZATION $role;\n" : '') .
		  "SET client_min_messages = debug5; SET plshard.log_remote_commands = on;\n$sql");
	$told .= "$r->{out}\n$r->{err}\n";
	return $r;
}

sub fails
{
	my ($sql, $sqlstate, $name, $role) = @_;
	my $r = told($sql, $role);
	is($r->{sqlstate}, $sqlstate, $name) or diag($r->{err} =~ /(ERROR.*)/s);
	return;
}

sub answers
{
	my ($sql, $answer, $name, $role) = @_;
	my $r = told($sql, $role);
	is($r->{out}, $answer, $name) or diag($r->{err} =~ /(ERROR.*)/s);
	return;
}

# told() of a statement that holds a secret itself: what psql and the log repeat of it
# is the caller's own, so the message is taken apart by PL/pgSQL.
$c->sql(<<'SQL');
CREATE ROLE app LOGIN;
CREATE ROLE nosy LOGIN;
CREATE TABLE secret (id text PRIMARY KEY, text text);
CREATE FUNCTION error_of(statement_id text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	message text;
	detail text;
	hint text;
BEGIN
	EXECUTE (SELECT s.text FROM secret s WHERE s.id = statement_id);
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN SQLSTATE || ' ' || message || ' ' || detail || ' ' || hint;
END $$;
GRANT CREATE ON SCHEMA public TO app;
SQL

sub error_of
{
	my ($sql, $expected, $name, $role) = @_;
	my $id = 'statement ' . length $told;
	$c->sql("$silently INSERT INTO secret VALUES (\$id\$$id\$id\$, \$text\$$sql\$text\$)");
	# (what happens inside is in the log, but not the statement: that would be PL/pgSQL's context)
	my $r = $c->try("$silently SET log_min_messages = warning; SET log_error_verbosity = default; SET plshard.log_remote_commands = on; SELECT error_of('$id')");
	$told .= $r->{out};
	like($r->{out}, $expected, $name);
	return;
}

#
# The catalog's cluster, with user mappings
#
$c->sql(<<"SQL");
SELECT plshard.create_cluster('c');
SELECT plshard.add_node('c', 'n1', '$place'), plshard.add_node('c', 'n2', '$other');
SELECT plshard.create_shards('c', 4, 2);
GRANT USAGE ON FOREIGN SERVER c TO app;
SELECT plshard.deploy('c', 'CREATE FUNCTION answer(a int) RETURNS int LANGUAGE sql AS ''SELECT a''');
CREATE FUNCTION answer(a int) RETURNS int STABLE LANGUAGE plshard AS \$\$ CLUSTER 'c'; RUN ON hash(a); \$\$;
CREATE FUNCTION complain(a int) RETURNS int LANGUAGE plshard AS \$\$ CLUSTER 'c'; RUN ON hash(a); TARGET public.complain; \$\$;
SQL
fails('SELECT answer(1)', '2F003', 'no mapping', 'app');
$c->sql("$silently CREATE USER MAPPING FOR app SERVER c OPTIONS (password '$passwords{wrong}', sslpassword '$mark-ssl')");
fails('SELECT answer(1)', '28P01', 'a wrong password', 'app');
fails('SELECT complain(1)', '28P01', '... of a write', 'app');
fails("SELECT plshard.create_shards('c', 1)", '42501', 'a command of administration', 'app');
$c->sql("$silently ALTER USER MAPPING FOR app SERVER c OPTIONS (SET password '$passwords{right}')");
answers('SELECT answer(1)', 1, 'the right password', 'app');
fails('SELECT complain(1)', 'P0001', 'an error of the node', 'app');
answers("SELECT node IS NOT NULL FROM plshard.explain_call('answer(1)')", 't', 'explain_call', 'app');
told('EXPLAIN (VERBOSE, ANALYZE) SELECT answer(1)', 'app');
$c->sql("$silently ALTER USER MAPPING FOR app SERVER c OPTIONS (ADD \"user\" 'locked')");
fails('SELECT answer(1)', '28000', 'a user that may not log in', 'app');
$c->sql("$silently ALTER USER MAPPING FOR app SERVER c OPTIONS (SET \"user\" 'no such user')");
fails('SELECT answer(1)', '28P01', 'a user that is not there', 'app');
$c->sql("$silently ALTER USER MAPPING FOR app SERVER c OPTIONS (SET \"user\" 'app')");

told("SELECT consistent FROM plshard.verify('c')");
error_of("SELECT plshard.add_node('c', 'n3', '$place password=$passwords{right}')", qr/^HV00D /, 'a password in a conninfo');
error_of("SELECT plshard.add_node('c', 'n3', 'postgresql://app:$passwords{right}\@localhost:1/x')", qr/^HV00D /, '... as a URI');
error_of("SELECT plshard.add_node('c', 'n3', '$place password=$passwords{right}''')", qr/^(?:HV00D|42601) /, '... not closed');
error_of("SELECT plshard.add_node('c', 'n3', '$place $passwords{right}')", qr/^42601 /, '... without a keyword');
error_of("SELECT plshard.add_node('c', 'n3', 'postgresql://app:$passwords{right}\@[x')", qr/^42601 /, '... and a broken URI');
error_of("CREATE USER MAPPING FOR nosy SERVER c OPTIONS (pasword '$passwords{right}')", qr/^HV00D /, 'a misspelt option of a mapping');
error_of("CREATE USER MAPPING FOR app SERVER c OPTIONS (password '$passwords{right}')", qr/^42710 /, 'a mapping that is there');

#
# Static clusters
#
error_of("CREATE SERVER s FOREIGN DATA WRAPPER plshard OPTIONS (p0 '$place password=$passwords{right}')", qr/^HV00D /, 'a password in a partition');
error_of("CREATE SERVER s FOREIGN DATA WRAPPER plshard OPTIONS (p0 'password=$passwords{right} host')", qr/^42601 /, '... in a broken one');
error_of("CREATE SERVER s FOREIGN DATA WRAPPER plshard OPTIONS (pp0 'password=$passwords{right}')", qr/^HV00D /, '... in a misspelt one');
$c->sql(<<"SQL");
CREATE SERVER s FOREIGN DATA WRAPPER plshard OPTIONS (p0 '$place', p1 'host=$host/nowhere dbname=x');
GRANT USAGE ON FOREIGN SERVER s TO app;
CREATE FUNCTION on_s(a int) RETURNS int STABLE LANGUAGE plshard AS \$\$ CLUSTER 's'; RUN ON a; TARGET answer; \$\$;
CREATE FUNCTION complain_on_s(a int) RETURNS int LANGUAGE plshard AS \$\$ CLUSTER 's'; RUN ON a; TARGET complain; \$\$;
SQL
$c->sql("$silently CREATE USER MAPPING FOR app SERVER s OPTIONS (password '$passwords{right}')");
answers('SELECT on_s(0)', 0, 'a partition that is there', 'app');
fails('SELECT complain_on_s(0)', 'P0001', 'its error', 'app');
fails('SELECT on_s(1)', '08006', 'a partition that is not', 'app');
fails('SELECT complain_on_s(1)', '08006', '... for a write', 'app');

#
# Callback functions
#
$c->sql(<<'SQL');
CREATE FUNCTION plshard.get_cluster_version(text) RETURNS int LANGUAGE sql AS 'SELECT count(*)::int FROM public.secret';
CREATE FUNCTION plshard.get_cluster_partitions(text) RETURNS SETOF text LANGUAGE sql AS 'SELECT s.text FROM public.secret s WHERE s.id = $1';
CREATE FUNCTION called(cluster text, a int) RETURNS int STABLE LANGUAGE plshard AS $$ CLUSTER cluster; RUN ON 0; TARGET answer(a); $$;
CREATE FUNCTION called_complain(cluster text, a int) RETURNS int LANGUAGE plshard AS $$ CLUSTER cluster; RUN ON 0; TARGET complain(a); $$;
SQL
my %partition = (
	right => "$place user=app password=$passwords{right}",
	wrong => "$place user=app password=$passwords{wrong}",
	unreachable => "host=$host/nowhere user=app password=$passwords{right}",
	'no address' => "hostaddr=nowhere user=app password=$passwords{right}",
	'no port' => "host=localhost port=none user=app password=$passwords{right}",
	'no such option' => "$place user=app pasword=$passwords{right}",
	'not allowed' => "$place user=app service=x password=$passwords{right}",
	'not closed' => "$place user=app password='$passwords{right}",
	'no string' => "$passwords{right}",
	'a broken URI' => "postgresql://app:$passwords{right}\@[localhost/x",
	'a URI to nowhere' => "postgresql://app:$passwords{right}\@localhost:1/x");
my %expected = (
	wrong => '28P01', unreachable => '08006', 'no address' => '08006', 'no port' => '08006', 'no such option' => '42601',
	'not allowed' => 'HV00D', 'not closed' => '42601', 'no string' => '42601', 'a broken URI' => '42601', 'a URI to nowhere' => '08006');
$c->sql($silently . join '', map { "INSERT INTO secret VALUES (\$\$$_\$\$, \$\$$partition{$_}\$\$);\n" } keys %partition);
answers("SELECT called('right', 1)", 1, 'a conninfo with a password');
fails("SELECT called_complain('right', 1)", 'P0001', '... and an error of the node');
fails("SELECT called('$_', 1)", $expected{$_}, "a callback's conninfo: $_") foreach sort keys %expected;
told("SELECT plshard.shard_for('right', 1); SELECT * FROM plshard.explain_call('called(''right'', 1)')");

#
# CONNECT
#
$c->sql(<<'SQL');
CREATE FUNCTION place_of(id text) RETURNS text STABLE LANGUAGE sql AS 'SELECT s.text FROM secret s WHERE s.id = place_of.id';
CREATE FUNCTION by_function(id text, a int) RETURNS int STABLE LANGUAGE plshard AS $$ CONNECT place_of(id); TARGET answer(a); $$;
CREATE FUNCTION by_argument(place text, a int) RETURNS int LANGUAGE plshard AS $$ CONNECT place; TARGET complain(a); $$;
CREATE FUNCTION by_wrong_sql(place text) RETURNS int STABLE LANGUAGE plshard AS $$ CONNECT place; SELECT nothing FROM nowhere; $$;
CREATE FUNCTION by_two_columns(place text) RETURNS int STABLE LANGUAGE plshard AS $$ CONNECT place; SELECT 1, 2; $$;
CREATE FUNCTION by_slow(place text) RETURNS int STABLE LANGUAGE plshard AS $$ CONNECT place; TIMEOUT '100 ms'; SELECT 1 FROM pg_sleep(60); $$;
SQL
answers("SELECT by_function('right', 1)", 1, 'CONNECT by a function');
fails("SELECT by_argument(text, 1) FROM secret WHERE id = 'right'", 'P0001', 'CONNECT by an argument, and an error of the node');
fails("SELECT by_wrong_sql(text) FROM secret WHERE id = 'right'", '42P01', '... wrong SQL');
fails("SELECT by_two_columns(text) FROM secret WHERE id = 'right'", '42804', '... a wrong result');
fails("SELECT by_slow(text) FROM secret WHERE id = 'right'", '57014', '... a TIMEOUT');
foreach (sort keys %expected)
{
	fails("SELECT by_function('$_', 1)", $expected{$_}, "CONNECT by a function: $_");
	fails("SELECT by_argument(text, 1) FROM secret WHERE id = '$_'", $expected{$_}, "CONNECT by an argument: $_");
}
told("SELECT e.* FROM secret, plshard.explain_call('by_function(''right'', 1)') e");
told("EXPLAIN (VERBOSE, ANALYZE) SELECT by_argument(text, 1) FROM secret WHERE id = 'none'");

$c->sql("$silently CREATE FUNCTION literal_$_(a int) RETURNS int LANGUAGE plshard AS \$\$ CONNECT '$partition{$_}'; TARGET complain; \$\$")
  foreach qw(right wrong unreachable);
$c->sql("$silently SET check_function_bodies = off; CREATE FUNCTION literal_bad(a int) RETURNS int LANGUAGE plshard AS \$\$ CONNECT '$partition{right}'; TARGET complain(b); \$\$");
$c->sql("$silently SET check_function_bodies = off; CREATE FUNCTION literal_syntax(a int) RETURNS int LANGUAGE plshard AS \$\$ CONNECT '$partition{right}'; TARGETT complain; \$\$");
$c->sql("$silently SET check_function_bodies = off; CREATE FUNCTION literal_sql(a int) RETURNS int LANGUAGE plshard AS \$\$ CONNECT '$partition{right}'; SELECT FROM FROM; \$\$");
fails('SELECT literal_right(1)', 'P0001', 'CONNECT with a password');
fails('SELECT literal_wrong(1)', '28P01', '... a wrong one');
fails('SELECT literal_unreachable(1)', '08006', '... unreachable');
fails('SELECT literal_bad(1)', '42703', '... in a body with a mistake');
fails('SELECT literal_syntax(1)', '42601', '... with one of syntax');
fails('SELECT literal_sql(1)', '42601', '... with one in its SQL');
fails('BEGIN; SELECT literal_right(1); COMMIT; SELECT literal_wrong(1)', 'P0001', '... in a transaction');
told("SELECT * FROM plshard.explain_call('literal_right(1)')");

#
# A session with all of these connections, as others see it
#
my $session = $c->session;
$session->try("SELECT by_function('right', 1), called('right', 1)");
$session->try('SELECT literal_right(1)');
$session->try("SELECT literal_$_(1)") foreach qw(wrong unreachable);
$told .= $session->sql(<<'SQL');
SELECT a::text FROM pg_stat_activity a;
SELECT p::text FROM pg_prepared_statements p;
SELECT m::text FROM pg_backend_memory_contexts m;
SELECT s::text FROM pg_settings s;
SQL
$session->sql("SELECT pg_log_backend_memory_contexts(pg_backend_pid())");
foreach my $i (1, 2)
{
	$told .= $c->sql('SELECT a::text FROM pg_stat_activity a; SELECT r::text FROM pg_roles r', on => $i);
}
foreach my $role ('nosy', 'app')
{
	my $r = told(<<'SQL', $role);
SELECT * FROM plshard.clusters; SELECT * FROM plshard.nodes; SELECT * FROM plshard.shards; SELECT * FROM plshard.placements;
SELECT * FROM plshard.distributed_tables; SELECT * FROM plshard.in_doubt;
SELECT * FROM pg_foreign_server; SELECT * FROM pg_foreign_data_wrapper; SELECT * FROM pg_stat_activity;
SELECT * FROM pg_user_mappings WHERE usename <> current_user;
SQL
	like($r->{out}, qr/\|\|n1\||\|n1\|/, "$role may read the views");
}
$session->quit;

#
# What all of them said
#
is(scalar($c->sql("SELECT array_to_string(umoptions, ' ') FROM pg_user_mapping ORDER BY 1 LIMIT 1") =~ /\Q$mark\E/), 1,
	'a superuser can read a password where it was put');
like($told, qr/node \S+: SELECT/, 'remote commands were shown');
like($told, qr/password authentication failed/, 'errors were told');
my @leaks = grep { /\Q$mark\E/ } split /\n/, $told;
is_deeply(\@leaks, [], 'no password in what clients were told');
foreach my $server ($c->front, $c->nodes)
{
	my $log = slurp_file($server->logfile);
	like($log, qr/DEBUG:  .*\n(?:.*\n)*.*(?:ERROR|FATAL): /, $server->name . ': its log has details and errors');
	@leaks = grep { /\Q$mark\E/ } split /\n/, $log;
	is_deeply(\@leaks, [], $server->name . ': no password in its log');
}

done_testing();
