
# PL/Proxy beside plshard: a front with PL/Proxy 2.10 is dumped, the name changed by
# sed, and restored; then each function gives the same rows under both languages.
# Skipped where PL/Proxy's package cannot be had.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $server = PostgreSQL::Test::Cluster->new('server');
$server->init;
$server->append_conf('postgresql.conf', "fsync = off\nmax_connections = 100\n");
$server->start;

if (!$server->safe_psql('postgres', q{SELECT 1 FROM pg_available_extensions WHERE name = 'plproxy'}))
{
	my ($major) = `pg_config --version` =~ /(\d+)/;
	my ($out, $err) = run_command([ 'scripts/unpack', "postgresql-$major-plproxy" ]);
	plan skip_all => "no PL/Proxy to compare with: $err" if $out eq '';
}

my $at = sprintf 'host=%s port=%s', $server->host, $server->port;
$server->safe_psql('postgres', "CREATE DATABASE $_") foreach qw(old moved again part0 part1 part2 part3);
$server->safe_psql('postgres', 'CREATE ROLE app LOGIN');

#
# What is on the nodes
#
my $types = <<'SQL';
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN small AS int CHECK (VALUE < 100);
CREATE TABLE shrunk (a int, gone int, c text);
ALTER TABLE shrunk DROP COLUMN gone;
SQL
my $node = <<'SQL';
INSERT INTO shrunk VALUES (1, 'c');
CREATE TABLE item (k text, v int);
CREATE FUNCTION place(k int) RETURNS text LANGUAGE sql AS $$ SELECT current_database()::text || ':' || k $$;
CREATE FUNCTION place(k bigint) RETURNS text LANGUAGE sql AS $$ SELECT current_database()::text || ':' || k $$;
CREATE FUNCTION place(k text) RETURNS text LANGUAGE sql AS $$ SELECT current_database()::text || ':' || k $$;
CREATE FUNCTION put(k text, v int) RETURNS text LANGUAGE sql AS $$ INSERT INTO item VALUES (k, v) RETURNING current_database()::text $$;
CREATE FUNCTION items(OUT k text, OUT v int) RETURNS SETOF record LANGUAGE sql AS 'SELECT * FROM item';
CREATE FUNCTION outs(n int, OUT b text, OUT a int) LANGUAGE sql AS $$ SELECT 'b' || n, n $$;
CREATE FUNCTION get_pair(n int) RETURNS pair LANGUAGE sql AS $$ SELECT n, 'x'::text $$;
CREATE FUNCTION get_pairs(n int) RETURNS SETOF pair LANGUAGE sql AS $$ SELECT x, 'x'::text FROM generate_series(1, n) x $$;
CREATE FUNCTION get_table(n int) RETURNS TABLE (x int, y text) LANGUAGE sql AS $$ SELECT n, current_database()::text $$;
CREATE FUNCTION get_shrunk() RETURNS SETOF shrunk LANGUAGE sql AS 'SELECT * FROM shrunk';
CREATE FUNCTION take_pair(p pair) RETURNS pair LANGUAGE sql AS 'SELECT p';
CREATE FUNCTION dynamic(q text) RETURNS SETOF record LANGUAGE plpgsql AS 'BEGIN RETURN QUERY EXECUTE q; END';
CREATE FUNCTION nothing(n int) RETURNS void LANGUAGE sql AS 'SELECT';
CREATE FUNCTION numbers(n int) RETURNS SETOF int LANGUAGE sql AS 'SELECT generate_series(1, n)';
CREATE FUNCTION with_default(a int, b int DEFAULT 5) RETURNS int LANGUAGE sql AS 'SELECT a * 10 + b';
CREATE FUNCTION spread(k text[], v int[]) RETURNS SETOF text LANGUAGE sql AS
	$$ SELECT current_database() || k::text || coalesce(v::text, 'NULL') $$;
CREATE FUNCTION fail(n int) RETURNS int LANGUAGE plpgsql AS
	$$ BEGIN RAISE 'no' USING ERRCODE = 'ZZ123', DETAIL = 'The detail.', HINT = 'The hint.'; END $$;
CREATE FUNCTION every(a int2, b int8, c float4, d float8, e numeric, f text, g bytea, h bool, i date, j timestamptz,
	k interval, l json, m mood, n int[], o int4range, p small, q varchar, r char(3), s uuid, t inet, u pair[],
	OUT a2 int2, OUT b2 int8, OUT c2 float4, OUT d2 float8, OUT e2 numeric, OUT f2 text, OUT g2 bytea, OUT h2 bool,
	OUT i2 date, OUT j2 timestamptz, OUT k2 interval, OUT l2 json, OUT m2 mood, OUT n2 int[], OUT o2 int4range,
	OUT p2 small, OUT q2 varchar, OUT r2 char(3), OUT s2 uuid, OUT t2 inet, OUT u2 pair[]) LANGUAGE sql AS
	'SELECT a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u';
SQL
$server->safe_psql($_, "$types $node") foreach qw(part0 part1 part2 part3);

#
# The front with PL/Proxy: clusters in both ways, and a function of every kind
#
my @functions = (
	# RUN ON
	'place(k int) RETURNS text' => q{CLUSTER 'c'; RUN ON k;},
	'place(k bigint) RETURNS text' => q{CLUSTER 'c'; RUN ON $1;},
	'place(k text) RETURNS text' => q{CLUSTER 'c'; RUN ON hashtext(k);},
	'run_int2(k int2) RETURNS text' => q{CLUSTER 'c'; RUN ON k; SELECT current_database()::text;},
	'run_number(k int) RETURNS text' => q{CLUSTER 'c'; RUN ON 2; TARGET place;},
	'run_all(k int) RETURNS SETOF text' => q{CLUSTER 'c'; RUN ON ALL; TARGET place;},
	'run_any(k int) RETURNS text' => q{CLUSTER 'c'; RUN ON ANY; TARGET place;},
	'run_left_out(k int) RETURNS text' => q{CLUSTER 'c'; TARGET place;},
	'run_set(k int) RETURNS SETOF text' => q{CLUSTER 'c'; RUN ON generate_series(0, $1); TARGET place;},
	'run_expression(k text) RETURNS text' => q{CLUSTER 'c'; RUN ON pg_catalog.hashtext(lower(k) || ';'); TARGET place;},
	'run_own(k text) RETURNS SETOF text' => q{CLUSTER 'c'; RUN ON hashes(k); TARGET place;},
	'run_bigint(k int) RETURNS text' => q{CLUSTER 'c'; RUN ON int8(4294967296 + k); TARGET place;},
	'run_modular(k bigint) RETURNS text' => q{CLUSTER 'three'; RUN ON k; TARGET place;},
	# CLUSTER, CONNECT
	'cluster_function(k int) RETURNS text' => q{CLUSTER which(k, 'c'); RUN ON k; TARGET place;},
	'cluster_called(k int) RETURNS text' => q{CLUSTER 'called'; RUN ON k; TARGET place;},
	'connect_string(k int) RETURNS text' => qq{CONNECT '$at dbname=part1 connect_timeout=10'; TARGET place;},
	'connect_argument(k text) RETURNS SETOF text' => q{CONNECT k; SELECT current_database()::text;},
	'connect_number(k text) RETURNS text' => q{CONNECT $1; SELECT current_database()::text;},
	'connect_function(k int) RETURNS text' => q{CONNECT where_to(k); TARGET place;},
	'connect_split(k int[]) RETURNS SETOF int[]' => qq{CONNECT '$at dbname=part1'; SPLIT k; SELECT k;},
	# SPLIT
	'spread(k text[], v int[]) RETURNS SETOF text' => q{CLUSTER 'c'; SPLIT k, v; RUN ON hashtext(k);},
	'spread_one(k text[], v int[]) RETURNS SETOF text' => q{CLUSTER 'c'; SPLIT k; RUN ON hashtext(k); TARGET spread;},
	'spread_every(k text[], v int[]) RETURNS SETOF text' => q{CLUSTER 'c'; SPLIT ALL; RUN ON hashtext($1); TARGET spread;},
	'spread_number(k text[], v int[]) RETURNS SETOF text' => q{CLUSTER 'c'; SPLIT $1, $2; RUN ON 1; TARGET spread;},
	'spread_all(k text[], v int[]) RETURNS SETOF text' => q{CLUSTER 'c'; SPLIT ALL; RUN ON ALL; TARGET spread;},
	'spread_hashes(k text[], v int[]) RETURNS SETOF text' => q{CLUSTER 'c'; SPLIT ALL; RUN ON v; TARGET spread;},
	'spread_param(k text[], v int[]) RETURNS SETOF text' => q{CLUSTER 'c'; SPLIT k, v; RUN ON $2; TARGET spread;},
	'spread_set(k text[], v int[]) RETURNS SETOF text' => q{CLUSTER 'c'; SPLIT ALL; RUN ON generate_series(v, v + 1); TARGET spread;},
	'spread_any(v int[]) RETURNS SETOF int[]' => q{CLUSTER 'c'; SPLIT v; RUN ON ANY; SELECT v;},
	'spread_left_out(v int[]) RETURNS SETOF int[]' => q{CLUSTER 'c'; SPLIT v; SELECT v;},
	# what is called, and what comes back
	'outs(n int, OUT b text, OUT a int)' => q{CLUSTER 'c'; RUN ON 0;},
	'outs_turned(n int, OUT a int, OUT b text)' => q{CLUSTER 'c'; RUN ON 0; TARGET public.outs;},
	'get_pair(n int) RETURNS pair' => q{CLUSTER 'c'; RUN ON n;},
	'get_pairs(n int) RETURNS SETOF pair' => q{CLUSTER 'c'; RUN ON ALL;},
	'get_table(n int) RETURNS TABLE (y text, x int)' => q{CLUSTER 'c'; RUN ON ALL;},
	'get_shrunk() RETURNS SETOF shrunk' => q{CLUSTER 'c'; RUN ON ALL;},
	'take_pair(p pair) RETURNS pair' => q{CLUSTER 'c'; RUN ON 0;},
	'dynamic(q text) RETURNS SETOF record' => q{CLUSTER 'c'; RUN ON ALL;},
	'dynamic_row(q text) RETURNS record' => q{CLUSTER 'c'; RUN ON 1; TARGET dynamic;},
	'nothing(n int) RETURNS void' => q{CLUSTER 'c'; RUN ON 0;},
	'nothings(n int) RETURNS SETOF void' => q{CLUSTER 'c'; RUN ON ALL; TARGET nothing;},
	'numbers(n int) RETURNS SETOF int' => q{CLUSTER 'c'; RUN ON ALL;},
	'one_number(n int) RETURNS int' => q{CLUSTER 'c'; RUN ON 0; TARGET numbers;},
	'with_default(a int, b int DEFAULT 6) RETURNS int' => q{CLUSTER 'c'; RUN ON 0;},
	'put(k text, v int) RETURNS text' => q{CLUSTER 'c'; RUN ON hashtext(k);},
	'items(OUT k text, OUT v int) RETURNS SETOF record' => q{CLUSTER 'c'; RUN ON ALL;},
	'fail(n int) RETURNS int' => q{CLUSTER 'c'; RUN ON 0;},
	'every(a int2, b int8, c float4, d float8, e numeric, f text, g bytea, h bool, i date, j timestamptz,
	k interval, l json, m mood, n int[], o int4range, p small, q varchar, r char(3), s uuid, t inet, u pair[],
	OUT a2 int2, OUT b2 int8, OUT c2 float4, OUT d2 float8, OUT e2 numeric, OUT f2 text, OUT g2 bytea, OUT h2 bool,
	OUT i2 date, OUT j2 timestamptz, OUT k2 interval, OUT l2 json, OUT m2 mood, OUT n2 int[], OUT o2 int4range,
	OUT p2 small, OUT q2 varchar, OUT r2 char(3), OUT s2 uuid, OUT t2 inet, OUT u2 pair[])' => q{CLUSTER 'c'; RUN ON 0;},
	# SELECT: what is an argument, and what only looks like one
	'select_names(a int, b text) RETURNS text' => q{CLUSTER 'c'; RUN ON 0; SELECT a || b || $1 || $2 || A;},
	'select_twice(a text, b text) RETURNS text' => q{CLUSTER 'c'; RUN ON 0; SELECT b || a || b;},
	'select_literal(a int, b text) RETURNS text' => q{CLUSTER 'c'; RUN ON 0; SELECT 'a $1 it''s' || E'\'b' || b;},
	'select_dollar(a int, b text) RETURNS text' => q{CLUSTER 'c'; RUN ON 0; SELECT $q$a $1 ;$q$ || b;},
	'select_comment(a int, b text) RETURNS text' => qq{CLUSTER 'c'; RUN ON 0; -- a ;\nSELECT /* a \$1 ; */ b -- a\n;},
	'select_dot(v int, k text) RETURNS SETOF text' => q{CLUSTER 'c'; RUN ON ALL; SELECT i.k || i.v FROM item i WHERE i.v >= v AND i.k <> k;},
	'select_cast(a text) RETURNS text' => q{CLUSTER 'c'; RUN ON 0; SELECT a::varchar(2)::text || $1::char(1);},
	'select_row(p pair) RETURNS text' => q{CLUSTER 'c'; RUN ON 0; SELECT (p).b || ($1).a;},
	'select_parenthesis(a int) RETURNS int' => q{CLUSTER 'c'; RUN ON 0; SELECT (a + 1) * (2);},
	'select_columns(n int, OUT a int, OUT b text)' => q{CLUSTER 'c'; RUN ON 0; SELECT 'b'::text AS b, n AS a;},
	'select_rows(n int) RETURNS SETOF pair' => q{CLUSTER 'c'; RUN ON ALL; SELECT 'r'::text AS b, x AS a FROM generate_series(1, $1) x WHERE x < n;},
	'select_first() RETURNS text' => q{SELECT 'first'::text; RUN ON 0; CLUSTER 'c';},
	'lower_case(k int) RETURNS text' => q{cluster 'c'; run on k; target place;},
	'strict(k int) RETURNS int STRICT' => q{CLUSTER 'c'; RUN ON k; SELECT 1;},
);

my %numbers = (c => [ 2, 0, 3, 1 ], three => [ 0 .. 2 ]);
my $front = $types . <<"SQL";
CREATE EXTENSION plproxy;
CREATE SCHEMA plproxy;
GRANT USAGE ON SCHEMA plproxy TO PUBLIC;
CREATE FUNCTION plproxy.get_cluster_version(cluster_name text) RETURNS int LANGUAGE plpgsql AS \$\$
BEGIN
	IF cluster_name = 'called' THEN RETURN 1; END IF;
	RAISE 'Unknown cluster';
END \$\$;
CREATE FUNCTION plproxy.get_cluster_partitions(cluster_name text) RETURNS SETOF text LANGUAGE plpgsql AS \$\$
BEGIN
	RETURN NEXT '$at dbname=part2';
	RETURN NEXT '$at dbname=part3';
END \$\$;
CREATE FUNCTION plproxy.get_cluster_config(cluster_name text, OUT key text, OUT val text) RETURNS SETOF record LANGUAGE plpgsql AS \$\$
BEGIN
	key := 'connection_lifetime'; val := 30 * 60; RETURN NEXT;
	key := 'statement_timeout'; val := '10'; RETURN NEXT;
END \$\$;
CREATE FUNCTION which(k int, name text) RETURNS text LANGUAGE sql AS 'SELECT name';
CREATE FUNCTION hashes(k text) RETURNS SETOF int LANGUAGE sql AS 'VALUES (hashtext(k)), (hashtext(k) + 1)';
CREATE FUNCTION where_to(k int) RETURNS text LANGUAGE sql AS \$\$ SELECT '$at dbname=part' || k \$\$;
SQL
foreach my $name (sort keys %numbers)
{
	my $partitions = join ', ', map { "p$_ '$at dbname=part$_'" } @{ $numbers{$name} };
	my $mapping = $name eq 'three' ? ", modular_mapping '1'" : '';
	$front .= <<"SQL";
CREATE SERVER $name FOREIGN DATA WRAPPER plproxy OPTIONS (connection_lifetime '1800', query_timeout '60', $partitions$mapping);
CREATE USER MAPPING FOR PUBLIC SERVER $name;
GRANT USAGE ON FOREIGN SERVER $name TO app;
SQL
}
for (my $i = 0; $i < @functions; $i += 2)
{
	$front .= "CREATE FUNCTION $functions[$i] LANGUAGE plproxy AS \$body\$\n$functions[$i + 1]\n\$body\$;\n";
}
$server->safe_psql('old', $front);

#
# The recipe: dump, sed, restore
#
sub restore
{
	my ($from, $to, $sed) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir() . "/$from.sql";
	my ($dump) = run_command([ 'pg_dump', '-d', $server->connstr($from) ]);
	my ($left, $right) = @$sed;
	$dump =~ s/$left/$right/g if defined $left;
	append_to_file($file, $dump);
	command_ok([ 'psql', '-X', '-q', '-1', '-v', 'ON_ERROR_STOP=1', '-d', $server->connstr($to), '-f', $file ],
		"the dump of \"$from\" is restored into \"$to\" without an error");
	return;
}
restore('old', 'moved', [ 'plproxy', 'plshard' ]);
is($server->safe_psql('moved', <<'SQL'), $server->safe_psql('old', <<'SQL'), 'all functions are there');
SELECT proname, count(*) FROM pg_proc p JOIN pg_language l ON l.oid = prolang AND lanname = 'plshard' GROUP BY 1 ORDER BY 1
SQL
SELECT proname, count(*) FROM pg_proc p JOIN pg_language l ON l.oid = prolang AND lanname = 'plproxy' GROUP BY 1 ORDER BY 1
SQL

#
# The same rows
#
my @equal = (
	'SELECT k, place(k) FROM unnest(ARRAY[0, 1, 2, 3, 4, -1, -2, 2147483647, -2147483648]) k',
	q{SELECT k, place(k) FROM unnest('{0,5,-1,4294967297,-4294967297,9223372036854775807}'::bigint[]) k},
	q{SELECT place(k) FROM unnest('{a,b,c,d,e,f,"",é}'::text[]) k},
	'SELECT run_int2(k::int2) FROM generate_series(-5, 5) k',
	'SELECT run_number(7)',
	'SELECT run_all(7)',
	"SELECT DISTINCT run_any(k % 1) = ANY ('{part0:0,part1:0,part2:0,part3:0}') FROM generate_series(1, 20) k",
	"SELECT count(DISTINCT run_any(k % 1)) > 1 FROM generate_series(1, 50) k",
	"SELECT count(DISTINCT run_left_out(k % 1)) > 1 FROM generate_series(1, 50) k",
	'SELECT run_set(2)', 'SELECT run_set(5)', 'SELECT run_set(-1)',
	q{SELECT run_expression(k) FROM unnest('{A,B,C,D}'::text[]) k},
	q{SELECT k, run_own(k) FROM unnest('{a,b}'::text[]) k},
	'SELECT run_bigint(k) FROM generate_series(0, 4) k',
	q{SELECT k, run_modular(k) FROM unnest('{0,1,2,3,-1,-2,-3,-4,4294967295,4294967297,2147483648,-4294967299}'::bigint[]) k},
	'SELECT cluster_function(k) FROM generate_series(0, 4) k',
	'SELECT cluster_called(k) FROM generate_series(0, 4) k',
	'SELECT connect_string(1)',
	"SELECT connect_argument('$at dbname=part3'), connect_number('$at dbname=part0')",
	'SELECT connect_function(k) FROM generate_series(0, 3) k',
	q{SELECT connect_split('{1,2}')}, q{SELECT count(*) FROM connect_split('{}')},
	q{SELECT spread('{a,b,c,d,e,f,g}', '{1,2,3,4,5,6,7}')}, q{SELECT spread('{a,NULL,b}', '{1,2,3}') LIMIT 0},
	q{SELECT spread('[5:7]={a,b,c}', '{1,NULL,3}')},
	q{SELECT count(*) FROM spread('{}', '{}')}, 'SELECT count(*) FROM spread(NULL, NULL)', q{SELECT count(*) FROM spread('{}', NULL)},
	q{SELECT spread_one('{a,b,c,d}', '{7}')}, q{SELECT spread_every('{a,b,c,d}', '{1,2,3,4}')},
	q{SELECT spread_number('{a,b}', '{1,2}')}, q{SELECT count(*) FROM spread_number('{}', '{}')}, 'SELECT count(*) FROM spread_number(NULL, NULL)',
	q{SELECT spread_all('{a,b}', '{1,2}')}, q{SELECT count(*) FROM spread_all('{}', '{}')}, 'SELECT count(*) FROM spread_all(NULL, NULL)',
	q{SELECT spread_hashes('{a,b,c,d,e}', '{0,1,2,1,-1}')}, q{SELECT spread_param('{a,b,c,d,e}', '{0,1,2,1,-1}')},
	q{SELECT spread_set('{a,b,c}', '{0,1,5}')},
	q{SELECT sum(x), count(*) FROM spread_any(ARRAY(SELECT generate_series(1, 100))) v, unnest(v) x},
	q{SELECT sum(x), count(*) FROM spread_left_out(ARRAY(SELECT generate_series(1, 100))) v, unnest(v) x},
	'SELECT * FROM outs(5)', 'SELECT outs(5)', 'SELECT * FROM outs_turned(5)',
	'SELECT * FROM get_pair(1)', 'SELECT get_pair(1), (get_pair(2)).b', 'SELECT * FROM get_pairs(2)', 'SELECT * FROM get_table(3)',
	'SELECT * FROM get_shrunk()', q{SELECT * FROM take_pair((1, 'x"y'))}, 'SELECT * FROM take_pair((NULL, NULL))',
	q{SELECT * FROM dynamic('SELECT 1, current_database()::text') AS (a int, b text)},
	q{SELECT * FROM dynamic('SELECT now() = now()') AS (a bool)},
	q{SELECT * FROM dynamic_row('SELECT 1, ARRAY[1,2], NULL::date') AS (a int, b int[], c date)},
	'SELECT nothing(1)', 'SELECT nothing(1) IS NULL', 'SELECT count(*) FROM nothings(1)',
	'SELECT numbers(2)', 'SELECT count(*) FROM numbers(0)', 'SELECT one_number(1)',
	'SELECT with_default(1), with_default(1, 2)',
	'SELECT select_names(1, $$x$$)', q{SELECT select_twice('a', 'b'), select_twice(NULL, 'b')}, 'SELECT select_literal(1, $$x$$)',
	'SELECT select_dollar(1, $$x$$)', 'SELECT select_comment(1, $$x$$)', 'SELECT select_dot(1, $$x$$)', q{SELECT select_cast('abc')},
	q{SELECT select_row((7, 'seven'))}, 'SELECT select_parenthesis(4)', 'SELECT * FROM select_columns(9)', 'SELECT * FROM select_rows(4)',
	'SELECT select_first()', 'SELECT lower_case(3)', 'SELECT strict(NULL), strict(1)',
	q{SELECT * FROM every(1::int2, 2, 1.1, 0.1::float8 + 0.2, 3.30, 'é', '\x00ff', true, '2024-02-29', '2024-01-01 00:00+00', '1 day 2h -3 min',
			'{"a":1}', 'ok', '{1,NULL}', '[1,5)', 7, 'v', 'c', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '10.0.0.1/8', '{"(1,x)",NULL}')},
	q{SELECT * FROM every(NULL, NULL, 'NaN', '-inf', 'NaN', '', '', false, 'infinity', '-infinity', NULL, NULL, NULL, '{}', 'empty', NULL, '', '', NULL, NULL, '{}')},
	q{SELECT * FROM every((-32768)::int2, -9223372036854775808, 1e-38, 1e300, -1e30, E'\n\t\\\\', '\x', NULL, '4713-01-01 BC', '1999-12-31 23:59:59.999999+00', '-1 mon', '[1,2]', 'sad', '[0:1]={1,2}', '(,)', -5, repeat('x', 1000), 'abc', NULL, '::1', NULL)},
	q{SELECT count(x), sum(length(x)) FROM (SELECT place(repeat('x', i)) AS x FROM generate_series(1, 200) i) q},
);
foreach my $sql (@equal)
{
	my %rows = map { $_ => join "\n", sort split /\n/, $server->safe_psql($_, $sql) } qw(old moved);
	is($rows{moved}, $rows{old}, $sql =~ s/\s+/ /gr);
}

# Settings that differ from the nodes' make PL/Proxy fail, or change values.
my $settings = q{SET timezone = 'Asia/Kolkata'; SET datestyle = 'SQL, DMY'; SET intervalstyle = 'iso_8601'};
is($server->safe_psql('moved', <<"SQL"), '29/02/2024|29/02/2024 17:30:00 IST|P1DT2H', 'dates follow the settings of the session');
$settings;
SELECT i2, j2, k2 FROM every(1::int2, 1, 1, 1, 1, '', '', true, '29.02.2024', '29.02.2024 12:00+00', '1 day 2h',
	NULL, NULL, NULL, NULL, NULL, '', '', NULL, NULL, NULL)
SQL

# What is an error there is one here; SQLSTATEs of PL/pgSQL's handlers and of nodes are the same.
my @errors = (
	[ 'SELECT one_number(0)', 'P0002' ],
	[ 'SELECT one_number(2)', 'P0003' ],
	[ 'SELECT fail(1)', 'ZZ123' ],
	[ 'SELECT place(NULL::int)' ],
	[ 'SELECT place(NULL::text)' ],
	[ q{SELECT spread('{a,NULL}', '{1,2}')} ],
	[ q{SELECT spread('{a,b}', '{1}')} ],
	[ q{SELECT spread('{a,b}', NULL)} ],
	[ q{SELECT spread('{{a,b}}', '{{1,2}}')} ],
	[ q{SELECT connect_split('{{1}}')} ],
	[ q{SELECT * FROM dynamic('SELECT 1') AS (a text)}, '42804' ],
	[ q{SELECT dynamic_row('SELECT 1')} ],
	[ q{SELECT cluster_function(1) FROM (SELECT 1) q WHERE cluster_called(NULL) = ''} ],
	[ q{SELECT connect_number('no connection string')} ],
	[ q{SELECT connect_number(NULL)} ],
);
foreach (@errors)
{
	my ($sql, $code) = @$_;
	foreach my $database (qw(old moved))
	{
		my ($out, $err);
		$server->psql($database, "\\set VERBOSITY verbose\n$sql", stdout => \$out, stderr => \$err, on_error_die => 0);
		like($err, defined $code ? qr/ERROR:  $code:/ : qr/ERROR: /, "$sql is an error in \"$database\"");
	}
}

#
# What changes: writes are in the caller's transaction, unless the cluster says autocommit
#
my $write = q{BEGIN; SELECT put('t', 1); ROLLBACK; SELECT count(*) FROM items() WHERE k = 't'};
like($server->safe_psql('old', $write), qr/^1$/m, "with PL/Proxy a call stays when its transaction is rolled back");
$server->safe_psql($_, 'DELETE FROM item') foreach qw(part0 part1 part2 part3);
like($server->safe_psql('moved', $write), qr/^0$/m, '... here it does not');
$server->safe_psql('moved', "ALTER SERVER c OPTIONS (ADD autocommit 'true')");
like($server->safe_psql('moved', $write), qr/^1$/m, '... but with autocommit');

# roles without a password, which PL/Proxy lets connect as the server does
my $as_app = "SET ROLE app; SELECT place(1)";
is($server->safe_psql('old', $as_app), 'part1:1', "with PL/Proxy any role connects without a password");
my ($out, $err);
$server->psql('moved', "\\set VERBOSITY verbose\n$as_app", stderr => \$err, on_error_die => 0);
like($err, qr/ERROR:  2F003:/, '... here it needs one');
$server->safe_psql('moved', "ALTER USER MAPPING FOR PUBLIC SERVER c OPTIONS (ADD password_required 'false')");
is($server->safe_psql('moved', $as_app), 'part1:1', '... unless a superuser says otherwise');

# and the dump of the new front can be restored
restore('moved', 'again', []);
is($server->safe_psql('again', 'SELECT k, place(k) FROM generate_series(0, 5) k ORDER BY 1'),
	$server->safe_psql('old', 'SELECT k, place(k) FROM generate_series(0, 5) k ORDER BY 1'),
	'a dump of the new front is as good');

done_testing();
