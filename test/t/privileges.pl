# Who may do what: ownership and USAGE of clusters, whose credentials a call
# uses, and that passwords and connection strings stay where they were put.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PlshardCluster;
use PostgreSQL::Test::Utils;
use Test::More;

# every secret holds this, so that logs can be searched for it
my $secret = 'hush';

my $c = PlshardCluster->new(nodes => 2, define => 0,
	conf => "log_statement = all\nlog_min_messages = debug1\nlog_error_verbosity = verbose\nlog_min_error_statement = panic");
my $superuser = $c->sql('SELECT quote_ident(current_user)');

# Nodes ask for passwords, but for the superuser and a role that they trust.
foreach my $node ($c->nodes)
{
	$node->safe_psql('postgres', <<"SQL");
SET log_statement = none;
CREATE ROLE node_admin LOGIN PASSWORD '$secret-admin';
CREATE ROLE app_on_node LOGIN PASSWORD '$secret-app';
CREATE ROLE teller_on_node LOGIN PASSWORD '$secret-teller';
CREATE ROLE trusted LOGIN;
GRANT CREATE ON DATABASE postgres TO node_admin;
SQL
	my $hba = "local all $superuser trust\nlocal all trusted trust\nlocal all all scram-sha-256\n";
	open my $file, '>', $node->data_dir . '/pg_hba.conf' or die $!;
	print $file $hba;
	close $file;
	$node->reload;
}

$c->sql(<<'SQL');
CREATE ROLE owner LOGIN;
CREATE ROLE app LOGIN;
CREATE ROLE teller LOGIN;
CREATE ROLE trusted LOGIN;
CREATE ROLE nobody LOGIN NOINHERIT;
GRANT CREATE ON SCHEMA public TO PUBLIC;
SQL

my @told;	# what clients were told

sub as
{
	my ($role, $sql) = @_;
	my $r = $c->try("SET SESSION AUTHORIZATION $role;\n$sql");
	push @told, $r->{err};
	return $r;
}

sub refused
{
	my ($role, $sql, $sqlstate, $message, $name) = @_;
	my $r = as($role, $sql);
	is($r->{sqlstate}, $sqlstate, $name) or diag($r->{err});
	like($r->{err}, $message, "$name: said clearly");
	return;
}

sub answers
{
	my ($role, $sql, $expected, $name) = @_;
	my $r = as($role, $sql);
	is($r->{out}, $expected, $name) or diag($r->{err});
	return;
}

#
# Administration is for owners
#
refused('owner', "SELECT plshard.create_cluster('c')", '42501', qr/permission denied for foreign-data wrapper plshard/, 'create_cluster needs USAGE of the wrapper');
$c->sql('GRANT USAGE ON FOREIGN DATA WRAPPER plshard TO owner');
answers('owner', "SELECT plshard.create_cluster('c')", '', 'an ordinary role owns a cluster');
my @conninfo = map { $c->conninfo($_) } 1, 2;

refused('owner', "SELECT plshard.add_node('c', 'n1', '$conninfo[0]')", '2F003', qr/password is required/, 'a node, without a mapping');
refused('owner', "CREATE USER MAPPING FOR owner SERVER c OPTIONS (password_required 'false')", '42501', qr/only a superuser may set option "password_required"/, 'a non-superuser cannot do without a password');
refused('owner', "ALTER SERVER c OPTIONS (ADD password_required 'false')", '42501', qr/only a superuser may set option "password_required"/, 'nor for the server');
refused('owner', "CREATE USER MAPPING FOR owner SERVER c OPTIONS (sslcert '/etc/passwd')", '42501', qr/only a superuser may set option "sslcert"/, 'nor name files');
refused('owner', "SELECT plshard.add_node('c', 'n1', '$conninfo[0] password=$secret-inline')", 'HV00D', qr/connection option "password" is not allowed/, 'a password in the conninfo');
refused('owner', "SELECT plshard.add_node('c', 'n1', '$conninfo[0] user=$superuser')", 'HV00D', qr/connection option "user" is not allowed/, 'a user in the conninfo');
refused('owner', "SELECT plshard.add_node('c', 'n1', '$conninfo[0] passfile=/etc/passwd')", 'HV00D', qr/connection option "passfile" is not allowed/, 'a file in the conninfo');
refused('owner', "SELECT plshard.add_node('c', 'n1', '$conninfo[0] password=''$secret-in-an-error')", '42601', qr/invalid connection string for a node/, 'a broken conninfo');

as('owner', "CREATE USER MAPPING FOR owner SERVER c OPTIONS (\"user\" 'node_admin', password '$secret-wrong')");
refused('owner', "SELECT plshard.add_node('c', 'n1', '$conninfo[0]')", '28P01', qr/password authentication failed for user "node_admin"/, 'a wrong password');
as('owner', "ALTER USER MAPPING FOR owner SERVER c OPTIONS (SET password '$secret-admin')");
answers('owner', "SELECT plshard.add_node('c', 'n1', '$conninfo[0]'), plshard.add_node('c', 'n2', '$conninfo[1]')", '|', 'the right one');
answers('owner', "SELECT plshard.create_shards('c', 4, 2)", '', 'shards');
answers('owner', <<'SQL', '8', 'tables');
SELECT plshard.deploy('c', $$
	CREATE TABLE t (k text PRIMARY KEY, v int, who name DEFAULT session_user);
	GRANT SELECT, INSERT ON t TO app_on_node;
	GRANT SELECT, INSERT ON t TO teller_on_node
$$);
SQL

foreach my $command (
	"plshard.add_node('c', 'n3', 'dbname=x')",
	"plshard.drop_node('c', 'n1')",
	"plshard.create_shards('c', 4)",
	"plshard.deploy('c', 'CREATE TABLE stolen ()')",
	"plshard.drop_cluster('c')",
	"plshard.drop_cluster('c', true)",
	"plshard.repair(10000, 'n1', 'n2')",
	"plshard.repair_cluster('c')")
{
	refused('app', "SELECT $command", '42501', qr/must be owner of foreign server c/, $command);
}
refused('app', "SELECT * FROM plshard.verify('c')", '42501', qr/foreign server c/, 'verify');
refused('app', "CREATE TABLE mine (k text); SELECT plshard.distribute_table('mine', 'k', 'c')", '42501', qr/must be owner of foreign server c/, 'distribute_table');
$c->sql('CREATE TABLE not_mine (k text)');
refused('owner', "SELECT plshard.distribute_table('not_mine', 'k', 'c')", '42501', qr/must be owner of table not_mine/, 'distribute_table: another table');
refused('app', "INSERT INTO plshard.placement SELECT * FROM plshard.placement", '42501', qr/permission denied for table placement/, 'the tables of the registry');
my $id = $c->sql("SELECT cluster_id FROM plshard.clusters WHERE cluster = 'c'");
$c->sql('GRANT USAGE ON FOREIGN DATA WRAPPER plshard TO app');
refused('app', "CREATE SERVER thief FOREIGN DATA WRAPPER plshard OPTIONS (cluster_id '$id')", '42501', qr/names a cluster of another owner/, "another owner's cluster_id");
$c->sql('REVOKE USAGE ON FOREIGN DATA WRAPPER plshard FROM app');

#
# Calls need USAGE, and a password of their own
#
refused('app', <<'SQL', '42501', qr/permission denied for foreign server c/, 'a function, without USAGE');
CREATE FUNCTION get(k text) RETURNS int STABLE LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(k); SELECT t.v FROM t WHERE t.k = get.k; $$;
SQL
as('app', <<'SQL');
SET check_function_bodies = off;
CREATE FUNCTION holder() RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ANY; SELECT 1; $$;
SQL
is($c->sql("SELECT count(*) FROM pg_depend WHERE objid = 'holder()'::regprocedure AND refclassid = 'pg_foreign_server'::regclass"),
	'0', 'no role can hold on to a cluster without USAGE');
answers('owner', <<'SQL', '', 'the owner has it');
CREATE FUNCTION get(k text) RETURNS int STABLE LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(k); SELECT t.v FROM t WHERE t.k = get.k; $$;
CREATE FUNCTION put(k text, v int) RETURNS void LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(k); INSERT INTO t (k, v) VALUES (put.k, put.v); $$;
CREATE FUNCTION who_wrote(k text) RETURNS name STABLE LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(k); SELECT t.who FROM t WHERE t.k = who_wrote.k; $$;
SELECT put('owner', 1);
SQL
refused('app', "SELECT get('owner')", '42501', qr/permission denied for foreign server c/, 'a call, without USAGE');
refused('app', "SELECT plshard.shard_for('c', 'a'::text)", '42501', qr/permission denied for foreign server c/, 'shard_for');
refused('app', "SELECT * FROM plshard.explain_call('get(''a'')')", '42501', qr/permission denied for foreign server c/, 'explain_call');
refused('app', "DO LANGUAGE plshard \$\$ CLUSTER 'c'; RUN ON ANY; SELECT 1; \$\$", '42501', qr/permission denied for foreign server c/, 'DO');

$c->sql('GRANT USAGE ON FOREIGN SERVER c TO app, teller, trusted');
refused('app', "SELECT get('owner')", '2F003', qr/must provide a password in the user mapping of cluster "c"/, 'a call, without a mapping');
$c->sql("CREATE USER MAPPING FOR app SERVER c OPTIONS (\"user\" 'app_on_node')");
refused('app', "SELECT get('owner')", '2F003', qr/must provide a password/, 'a mapping without a password');
$c->sql("ALTER USER MAPPING FOR app SERVER c OPTIONS (ADD password '$secret-wrong')");
refused('app', "SELECT get('owner')", '28P01', qr/password authentication failed for user "app_on_node"/, 'a wrong password');
refused('app', "SELECT put('app', 1)", '28P01', qr/password authentication failed/, 'also for a write');
$c->sql("ALTER USER MAPPING FOR app SERVER c OPTIONS (SET password '$secret-app')");
$c->sql('ALTER ROLE app_on_node NOLOGIN', on => 1);
refused('app', "SELECT put('app', 1)", '28000', qr/role "app_on_node" is not permitted to log in/, 'a role that may not log in to one of the nodes');
$c->sql('ALTER ROLE app_on_node LOGIN CONNECTION LIMIT 0', on => 1);
refused('app', "SELECT put('app', 1)", '53300', qr/too many connections for role "app_on_node"/, 'or has too many connections there');
$c->sql('ALTER ROLE app_on_node CONNECTION LIMIT -1', on => 1);
is_deeply($c->states, { n1 => 'active:4', n2 => 'active:4' }, 'no node is evicted for any of that');
answers('app', "SELECT put('app', 2); SELECT get('app'), who_wrote('app')", "\n2|app_on_node", 'the right one');
refused('app', "DO LANGUAGE plshard \$\$ CLUSTER 'c'; RUN ON ANY; DELETE FROM t; \$\$", '42501', qr/permission denied for table t/, 'rights on the node are those of the mapped role');
answers('app', <<'SQL', '1', 'the language is trusted: anybody may use it');
CREATE FUNCTION own(k text) RETURNS int STABLE LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(k); SELECT t.v FROM t WHERE t.k = own.k; $$;
SELECT own('owner');
SQL

# a node that does not ask for the password lends its own rights to anybody
$c->sql("CREATE USER MAPPING FOR trusted SERVER c OPTIONS (password '$secret-unused')");
refused('trusted', "SELECT get('owner')", '2F003', qr/cannot connect to a node that does not ask for a password/, 'a password that was not used');
$c->sql("ALTER USER MAPPING FOR trusted SERVER c OPTIONS (ADD password_required 'false')");
refused('trusted', "SELECT get('owner')", '42501', qr/permission denied for table t/, "password_required 'false' of the mapping");
$c->sql("DROP USER MAPPING FOR trusted SERVER c");
refused('trusted', "SELECT get('owner')", '2F003', qr/password is required/, 'without a mapping');
$c->sql("ALTER SERVER c OPTIONS (ADD password_required 'false')");
refused('trusted', "SELECT get('owner')", '42501', qr/permission denied for table t/, "password_required 'false' of the server");
$c->sql("CREATE USER MAPPING FOR trusted SERVER c OPTIONS (\"user\" '$superuser')");
refused('trusted', "SELECT get('owner')", '2F003', qr/password is required/, 'which is not for those with a mapping');
refused('owner', "ALTER SERVER c OPTIONS (ADD node_timeout '1 s')", '42501', qr/only a superuser may set option "password_required"/, 'and then the owner cannot change options');
$c->sql("DROP USER MAPPING FOR trusted SERVER c; ALTER SERVER c OPTIONS (DROP password_required)");

#
# An open session: changes of rights and mappings count from its next call
#
my $session = $c->session;
$session->sql('SET SESSION AUTHORIZATION app');
is($session->sql("SELECT get('owner')"), '1', 'an open session');
$c->sql('REVOKE USAGE ON FOREIGN SERVER c FROM app');
is($session->try("SELECT get('owner')")->{sqlstate}, '42501', 'REVOKE');
$c->sql('GRANT USAGE ON FOREIGN SERVER c TO app');
is($session->sql("SELECT get('owner')"), '1', 'GRANT');
$c->sql("ALTER USER MAPPING FOR app SERVER c OPTIONS (SET \"user\" 'teller_on_node', SET password '$secret-teller')");
$session->sql("SELECT put('changed', 3)");
is($session->sql("SELECT who_wrote('changed')"), 'teller_on_node', 'another mapping');
$c->sql("ALTER USER MAPPING FOR app SERVER c OPTIONS (SET \"user\" 'app_on_node', SET password '$secret-app')");
$session->quit;

#
# SET ROLE and SECURITY DEFINER: the current user's credentials, to the commit
#
$c->sql(<<"SQL");
CREATE USER MAPPING FOR teller SERVER c OPTIONS ("user" 'teller_on_node', password '$secret-teller');
GRANT teller TO nobody;
SET ROLE teller;
CREATE FUNCTION put_as_teller(k text, v int) RETURNS void SECURITY DEFINER LANGUAGE sql AS 'SELECT put(k, v)';
CREATE FUNCTION put_as_definer(k text, v int) RETURNS void SECURITY DEFINER LANGUAGE plshard AS
	\$\$ CLUSTER 'c'; RUN ON hash(k); INSERT INTO t (k, v) VALUES (put_as_definer.k, put_as_definer.v); \$\$;
SQL
refused('nobody', "SELECT get('owner')", '42501', qr/permission denied for foreign server c/, 'nobody has no USAGE');
answers('nobody', "SET ROLE teller; SELECT put('role', 4); SELECT who_wrote('role')", "\nteller_on_node", 'SET ROLE');
answers('nobody', "SELECT put_as_teller('definer', 5); SET ROLE teller; SELECT who_wrote('definer')", "\nteller_on_node", 'SECURITY DEFINER');
answers('nobody', "BEGIN; SELECT put_as_teller('d2', 6); SELECT put_as_definer('d3', 7); COMMIT; SET ROLE teller; SELECT get('d2'), who_wrote('d3')",
	"\n\n6|teller_on_node", 'and its commit');
answers('app', "BEGIN; SELECT put('two', 8); SELECT put_as_teller('users', 9); COMMIT; SELECT who_wrote('two'), who_wrote('users')",
	"\n\napp_on_node|teller_on_node", 'two users in one transaction');
answers('app', "BEGIN; SELECT put('gone', 8); SAVEPOINT s; SELECT put_as_teller('gone too', 9); ROLLBACK TO s; ROLLBACK; SELECT get('owner')",
	"\n\n1", 'and rolled back');
my $r = as('app', "SELECT get('gone too')");
is($r->{sqlstate}, 'P0002', 'nothing is left');
$r = as('app', "BEGIN; SELECT put('same', 8); SELECT put_as_teller('same', 9)");
is($r->{sqlstate}, '0A000', 'two roles that write one key in one transaction') or diag($r->{err});
cmp_ok($r->{seconds}, '<', 5, 'do not wait for each other');
answers('app', "SELECT put('same', 10); SELECT get('same')", "\n10", 'one role does');
answers('owner', "SELECT count(*) FROM plshard.verify('c') WHERE NOT consistent", '0', 'replicas are equal');

#
# Secrets: nowhere but in the mappings and in the statements that make them
#
my $host = $c->node(1)->host;
my $conninfo = qr/host=\Q$host\E|dbname=postgres/;
$r = as('app', "SET plshard.log_remote_commands = on; SELECT get('owner'), put('logged', 1)");
like($r->{err}, qr/NOTICE: .*SELECT t\.v FROM t/, 'remote commands are shown');
unlike(join('', @told), qr/\Q$secret\E/, 'no password in what clients were told');
unlike(join('', @told), $conninfo, 'no conninfo either');
$r = as('app', "SELECT * FROM plshard.nodes; SELECT * FROM plshard.clusters; SELECT * FROM pg_user_mappings WHERE usename <> 'app'");
like($r->{out}, qr/teller/, 'an ordinary role sees which roles have a mapping');
unlike($r->{out}, qr/\Q$secret\E/, 'but no password');
foreach my $server ($c->front, $c->nodes)
{
	my $log = slurp_file($server->logfile);
	$log =~ s/ LOG:  (?:00000: )?(?:statement|execute [^:]*): .*(?:\n\t.*)*//g;
	like($log, qr/(?:ERROR|FATAL): .*(?:password|permission denied)/, $server->name . ': the log has errors');
	unlike($log, qr/\Q$secret\E/, $server->name . ': no password in the log');
	unlike($log, $conninfo, $server->name . ': no conninfo in the log');
}

done_testing();
