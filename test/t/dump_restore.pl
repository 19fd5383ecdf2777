# A front's definition is the user's data: pg_dump brings it to another server,
# DROP takes it away, and what changes it is seen by open sessions.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PlshardCluster;
use PlshardSession;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $c = PlshardCluster->new(nodes => 3, define => 0);
my $front = $c->front;
my $dumps = PostgreSQL::Test::Utils::tempdir();

#
# A front with everything
#
my $superuser = $c->sql('SELECT current_user');
$c->sql(<<"SQL");
CREATE ROLE app LOGIN;
CREATE ROLE "shard owner" LOGIN;
GRANT USAGE ON FOREIGN DATA WRAPPER plshard TO "shard owner";
GRANT CREATE ON SCHEMA public TO app;
SET ROLE "shard owner";
SELECT plshard.create_cluster('c');
GRANT USAGE ON FOREIGN SERVER c TO app;
RESET ROLE;
ALTER SERVER c OPTIONS (ADD node_timeout '3 s');
CREATE USER MAPPING FOR PUBLIC SERVER c OPTIONS (password 'p''w', password_required 'false', "user" '$superuser');
SQL
$c->add_node($_) foreach 1, 2;
# a number that is never used again
$c->add_node(3);
$c->sql(<<'SQL');
SELECT plshard.drop_node('c', 'n3');
SELECT plshard.create_shards('c', 4, 2);
CREATE SCHEMA app AUTHORIZATION app;
CREATE TABLE public.review (customer text, day date, rating int NOT NULL, PRIMARY KEY (customer, day));
CREATE INDEX review_day ON public.review (day);
SELECT plshard.distribute_table('public.review', 'customer', 'c');
SELECT plshard.deploy('c', $$
	CREATE TABLE note (k text PRIMARY KEY, v text);
	CREATE FUNCTION note_of(k text) RETURNS text LANGUAGE sql STABLE AS 'SELECT v FROM note WHERE note.k = $1'
$$);
SET ROLE app;
CREATE TYPE app.review_line AS (day date, rating int);
CREATE FUNCTION app.add_review(customer text, day date, rating int) RETURNS void LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(customer); INSERT INTO review VALUES (customer, day, rating); $$;
CREATE FUNCTION app.reviews(customer text) RETURNS SETOF app.review_line STABLE LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(customer); SELECT r.day, r.rating FROM review r WHERE r.customer = reviews.customer; $$;
CREATE FUNCTION app.total() RETURNS bigint STABLE LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON ALL; SELECT count(*) AS n FROM review; REDUCE (n bigint) SELECT sum(n)::bigint FROM result; $$;
CREATE FUNCTION public.note_of(k text) RETURNS text STABLE LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(k); $$;
CREATE PROCEDURE app.set_note(k text, v text) LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(k); INSERT INTO note VALUES (set_note.k, set_note.v); $$;
CREATE VIEW app.all_reviews AS SELECT app.total() AS n;
SELECT app.add_review('c' || i % 20, DATE '2024-01-01' + i, i % 5) FROM generate_series(1, 100) AS i;
CALL app.set_note('a', 'one');
RESET ROLE;
SQL

# Everything that defines it, names instead of oids.
my $definition = <<'SQL';
SELECT * FROM plshard.cluster ORDER BY 1;
SELECT * FROM plshard.node ORDER BY 1, 2;
SELECT * FROM plshard.shard ORDER BY 1, 2;
SELECT * FROM plshard.placement ORDER BY 1, 2, 3;
SELECT * FROM plshard.ddl ORDER BY 1, 2;
SELECT cluster_id, relation::text, key_column FROM plshard.distributed_table ORDER BY 1, 2;
SELECT last_value, is_called FROM plshard.shard_id_seq;
SELECT last_value, is_called FROM plshard.ddl_ddl_id_seq;
SELECT srvname, srvowner::regrole, srvacl, srvoptions FROM pg_foreign_server ORDER BY 1;
SELECT srvname, usename, umoptions FROM pg_user_mappings ORDER BY 1, 2;
SELECT pg_get_functiondef(p.oid), proowner::regrole FROM pg_proc p JOIN pg_language l ON l.oid = prolang
 WHERE lanname = 'plshard' ORDER BY p.oid::regprocedure::text COLLATE "C";
SELECT objid::regprocedure, deptype, srvname FROM pg_depend JOIN pg_foreign_server s ON s.oid = refobjid
 WHERE classid = 'pg_proc'::regclass AND refclassid = 'pg_foreign_server'::regclass ORDER BY objid::regprocedure::text COLLATE "C";
SQL
my $calls = <<'SQL';
SET ROLE app;
SELECT app.total(), (SELECT n FROM app.all_reviews), note_of('a');
SELECT * FROM app.reviews('c7') ORDER BY day;
SQL
my $defined = $c->sql($definition);
my $called = $c->sql($calls);
like($called, qr/^100\|100\|one\n/, 'the front works');
my $dependencies = () = $defined =~ /\|n\|c$/mg;
is($dependencies, 5, 'each function depends on its cluster');

#
# Dump and restore
#
my $other = PostgreSQL::Test::Cluster->new('other');
$other->init;
$other->append_conf('postgresql.conf', "fsync = off\nshared_buffers = 16MB\nmax_prepared_transactions = 20");
$other->start;

sub run_ok
{
	my ($name, @command) = @_;
	my ($out, $err);
	my $ok = PostgreSQL::Test::Utils::run_log(\@command, '>', \$out, '2>', \$err);
	ok($ok && $err eq '', $name) or diag($err);
	return;
}

sub slurp_dump
{
	my ($program, @options) = @_;
	run_ok(join(' ', $program, @options), $program, '-d', $front->connstr('postgres'), '-f', "$dumps/sql", @options);
	return slurp_file("$dumps/sql");
}

# roles first, as always; the superuser is there
my $roles = slurp_dump('pg_dumpall', '--roles-only', '--no-role-passwords');
$roles =~ s/^(CREATE|ALTER) ROLE \Q$superuser\E\b.*\n//mg;
$other->safe_psql('postgres', $roles);

my $sql = slurp_dump('pg_dump');
cmp_ok(index($sql, 'CREATE SERVER c '), '<', index($sql, 'CREATE FUNCTION'), 'pg_dump writes servers before functions');

my %restored = (plain => [], custom => [], clean => [], parallel => []);
$other->safe_psql('postgres', "CREATE DATABASE $_ TEMPLATE template0") foreach sort keys %restored;
run_ok('plain: restored', 'psql', '-qX', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-d', $other->connstr('plain'), '-f', "$dumps/sql");
run_ok('custom: dumped', 'pg_dump', '-Fc', '-d', $front->connstr('postgres'), '-f', "$dumps/custom");
run_ok("$_->[0]: restored", 'pg_restore', '--exit-on-error', '-d', $other->connstr($_->[0]), @{ $_->[1] }, "$dumps/custom")
  foreach [ custom => [] ], [ parallel => [ '-j', 3 ] ], [ clean => [] ], [ clean => [ '--clean', '--if-exists' ] ];

foreach my $database (sort keys %restored)
{
	is($other->safe_psql($database, $definition), $defined, "$database: the same definition");
	is($other->safe_psql($database, $calls), $called, "$database: calls work");
}
is($other->safe_psql('plain', "SELECT bool_and(consistent) FROM plshard.verify('c')"), 't', 'verify works');

# schema only: said clearly
$other->safe_psql('postgres', 'CREATE DATABASE schema_only TEMPLATE template0');
run_ok('schema only: restored', 'pg_restore', '--exit-on-error', '-s', '-d', $other->connstr('schema_only'), "$dumps/custom");
my ($status, $out, $err) = $other->psql('schema_only', 'SELECT app.total()');
like($err, qr/cluster "c" is not in the registry/, 'schema only: the registry is empty');

#
# Both fronts serve the same cluster, and the restored one goes on where the old one stood.
#
$other->safe_psql('plain', "SELECT app.add_review('new', '2025-01-01', 5); CALL app.set_note('b', 'two')");
is($c->sql("SELECT app.total(), note_of('b')"), '101|two', 'what one front writes the other reads');
$c->sql("SELECT app.add_review('new', '2025-01-02', 4)");
is($other->safe_psql('plain', "SELECT sum(rating) FROM app.reviews('new')"), '9', 'in both directions');
($status, $out, $err) = $other->psql('plain', "\\set VERBOSITY verbose\nSELECT app.add_review('new', '2025-01-02', 4)");
like($err, qr/23505/, 'also unique keys');
is_deeply([ $c->differences ], [], 'all replicas are equal');

$other->safe_psql('plain', 'CREATE DATABASE extra_node');
my $extra = sprintf 'host=%s port=%s dbname=extra_node', $other->host, $other->port;
$other->safe_psql('plain', <<"SQL");
SELECT plshard.add_node('c', 'n3', '$extra');
SELECT plshard.create_cluster('d');
SELECT plshard.add_node('d', 'x', '$extra');
SELECT plshard.create_shards('d', 2, 1);
SELECT plshard.deploy('c', 'CREATE TABLE later (k int)');
SQL
is($other->safe_psql('plain', "SELECT node_id FROM plshard.nodes WHERE cluster = 'c' AND node = 'n3'"), '4', 'a new node gets a new number');
is($other->safe_psql('plain', <<'SQL'), 't', 'new shards get new numbers');
SELECT (SELECT min(shard_id) FROM plshard.shards WHERE cluster = 'd') > (SELECT max(shard_id) FROM plshard.shards WHERE cluster = 'c')
SQL

#
# ALTER SERVER
#
my $session = $c->session;
is($session->sql('SELECT app.total()'), '102', 'an open session');
$c->sql('ALTER SERVER c RENAME TO renamed');
is($session->try('SELECT app.total()')->{sqlstate}, '42704', 'after RENAME, functions name no cluster');
my $r = $c->try('SELECT app.total()');
like($r->{message}, qr/cluster "c" does not exist/, 'which is said');
is($c->sql("SELECT count(*) FROM plshard.placements WHERE cluster = 'renamed'"), '8', 'the cluster has kept everything');
$c->sql(<<'SQL');
CREATE OR REPLACE FUNCTION app.total() RETURNS bigint STABLE LANGUAGE plshard AS
	$$ CLUSTER 'renamed'; RUN ON ALL; SELECT count(*) AS n FROM review; REDUCE (n bigint) SELECT sum(n)::bigint FROM result; $$;
SQL
is($session->sql('SELECT app.total()'), '102', 'functions can be replaced');
$c->sql('ALTER SERVER renamed RENAME TO c');
is($session->sql('SELECT count(*) FROM app.reviews(\'c7\')'), '5', 'and the name given back');
$c->sql(<<'SQL');
CREATE OR REPLACE FUNCTION app.total() RETURNS bigint STABLE LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON ALL; SELECT count(*) AS n FROM review; REDUCE (n bigint) SELECT sum(n)::bigint FROM result; $$;
SQL

# options: from the next call on
$c->sql(<<'SQL');
CREATE FUNCTION on_port(k text) RETURNS int STABLE LANGUAGE plshard AS
	$$ CLUSTER 'c'; RUN ON hash(k); SELECT current_setting('port')::int; $$;
SQL
my $port = $session->sql("SELECT on_port('a')");
my ($read) = grep { $c->node($_)->port == $port } 1, 2;
my $not_read = 3 - $read;
$c->sql("ALTER SERVER c OPTIONS (SET node_timeout '200 ms')");
$c->freeze($read);
my $started = Time::HiRes::time();
is($session->sql("SELECT on_port('a')"), $c->node($not_read)->port, 'a frozen node is passed over');
cmp_ok(Time::HiRes::time() - $started, '<', 2, 'after the new node_timeout');
$c->thaw($read);
$c->sql("ALTER SERVER c OPTIONS (SET node_timeout '3 s')");

# placements: seen by the next call, also within a transaction
foreach my $level ('READ COMMITTED', 'REPEATABLE READ')
{
	$session->sql("BEGIN ISOLATION LEVEL $level; SELECT 1");
	foreach my $i (1, 2)
	{
		my $away = 3 - $i;
		$c->sql(<<"SQL");
UPDATE plshard.placement p SET state = CASE node_name WHEN 'n$i' THEN 'active' ELSE 'inactive' END
 FROM plshard.node n WHERE n.cluster_id = p.cluster_id AND n.node_id = p.node_id;
UPDATE plshard.cluster SET epoch = epoch + 1;
SQL
		is($session->sql("SELECT on_port('a')"), $c->node($i)->port, "$level: without node n$away");
	}
	$session->sql('COMMIT');
}
$c->sql("UPDATE plshard.placement SET state = 'active'; UPDATE plshard.cluster SET epoch = epoch + 1");
$session->quit;

#
# DROP
#
my $in_registry = <<'SQL';
SELECT (SELECT count(*) FROM plshard.cluster), (SELECT count(*) FROM plshard.node), (SELECT count(*) FROM plshard.shard),
       (SELECT count(*) FROM plshard.placement), (SELECT count(*) FROM plshard.ddl), (SELECT count(*) FROM plshard.distributed_table)
SQL
$r = $c->try('DROP SERVER c');
is($r->{sqlstate}, '2BP01', 'DROP SERVER is refused while functions depend on it');
like($r->{err}, qr/function app\.total\(\) depends on server c/, 'and says which');
$r = $c->try("SELECT plshard.drop_cluster('c')");
is($r->{sqlstate}, '2BP01', 'drop_cluster too');
is($c->sql('SELECT app.total()'), '102', 'nothing has changed');

# a function that moves to another cluster, or goes, depends no more
$c->sql(<<'SQL');
SELECT plshard.create_cluster('e');
CREATE FUNCTION moving() RETURNS int LANGUAGE plshard AS $$ CLUSTER 'e'; RUN ON ANY; SELECT 1; $$;
CREATE FUNCTION going() RETURNS int LANGUAGE plshard AS $$ CLUSTER 'e'; RUN ON ANY; SELECT 1; $$;
CREATE OR REPLACE FUNCTION moving() RETURNS int LANGUAGE plshard AS $$ CLUSTER 'c'; RUN ON ANY; SELECT 1; $$;
DROP FUNCTION going();
DROP SERVER e;
SQL
is($c->sql('SELECT moving()'), '1', 'a function has moved to another cluster');
is($c->sql('SELECT count(*) FROM plshard.cluster'), '1', 'the dropped cluster is not in the registry');
is($c->sql("SELECT deptype, refobjid = (SELECT oid FROM pg_foreign_server) FROM pg_depend WHERE objid = 'moving()'::regprocedure AND refclassid = 'pg_foreign_server'::regclass"),
	'n|t', 'and the function depends on the other');

$session = $c->session;
is($session->sql('SELECT app.total()'), '102', 'an open session');
is($session->sql('BEGIN; DROP SERVER c CASCADE; ROLLBACK; SELECT app.total()'), '102', 'a DROP that is rolled back');
$c->sql('DROP TABLE public.review');
is($c->sql('SELECT count(*) FROM plshard.distributed_table'), '0', 'a dropped table is not in the registry');
is($c->sql('SELECT app.total()'), '102', 'but on the nodes');
$c->sql('DROP SERVER c CASCADE');
is($c->sql($in_registry), '0|0|0|0|0|0', 'DROP SERVER CASCADE leaves nothing');
is($c->sql("SELECT count(*) FROM pg_proc p JOIN pg_language l ON l.oid = prolang WHERE lanname = 'plshard'"), '0', 'no function');
is($session->try('SELECT app.total()')->{sqlstate}, '42883', 'and the open session calls nothing');
$session->quit;

# the extension itself
$session = PlshardSession->new($other);
$session->sql('\connect custom');
is($session->sql('SELECT app.total()'), '102', 'an open session');
$r = $other->psql('custom', 'DROP EXTENSION plshard');
isnt($r, 0, 'DROP EXTENSION is refused while clusters and functions depend on it');
$other->safe_psql('custom', 'DROP EXTENSION plshard CASCADE');
is($other->safe_psql('custom', "SELECT count(*) FROM pg_foreign_server"), '0', 'DROP EXTENSION CASCADE takes them along');
is($session->try('SELECT app.total()')->{sqlstate}, '42883', 'the open session calls nothing');
$other->safe_psql('custom', 'CREATE DATABASE one_more_node');
my $one_more = sprintf 'host=%s port=%s dbname=one_more_node', $other->host, $other->port;
$other->safe_psql('custom', <<"SQL");
CREATE EXTENSION plshard;
SELECT plshard.create_cluster('c');
SELECT plshard.add_node('c', 'n1', '$one_more');
SELECT plshard.create_shards('c', 2, 1);
CREATE FUNCTION app.total() RETURNS bigint LANGUAGE plshard AS
	\$\$ CLUSTER 'c'; RUN ON ALL; SELECT 1 AS n; REDUCE (n bigint) SELECT sum(n)::bigint FROM result; \$\$;
SQL
is($session->sql('SELECT app.total()'), '2', 'until there is a new one');
$session->quit;

done_testing();
