
# Atomic commit: what each step sends, and what remains when a node or the front
# dies at it.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use PlshardCluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes ();

# Four shards: 10000 on n1 and n2, 10001 on n2 and n3, 10002 on n3 and n1, 10003 as 10000.
my $c = PlshardCluster->new(nodes => 3, shards => 4, replicas => 2,
	front_conf => 'restart_after_crash = on', node_conf => "wal_level = replica\nmax_wal_senders = 2");
$c->sample;

# The nodes' own view: prepared transactions, and a session's rows, on each.
sub prepared
{
	return join ' ', map { $c->sql('SELECT count(*) FROM pg_prepared_xacts', on => $_) } @_ ? @_ : 1 .. 3;
}

sub rows
{
	my ($session) = @_;
	my $pid = $session->pid;
	return join ' ', map { $c->sql("SELECT count(*) FROM plshard_node.transaction WHERE gid ~ '_${pid}_'", on => $_) } 1 .. 3;
}

# What a session has sent, by node, shortened (what goes out at once: round_trips.pl).
sub commands
{
	my ($r) = @_;
	my @commands;
	foreach ($r->{err} =~ /^(?:psql:[^\n]*?)?NOTICE: +00000: node (.*)$/mg)
	{
		s/^(\w+): /$1 /;
		next if /SAVEPOINT|SET (?!CONSTRAINTS|LOCAL ROLE)/;
		s/ INSERT INTO plshard_node.transaction.*/ row/;
		s/ (PREPARED|TRANSACTION) .*/ $1/;
		push @commands, $_;
	}
	return \@commands;
}

sub everywhere
{
	my ($key, $value, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my %seen = map { (split /\|/)[2] => 1 } grep { /\|\Q$key\E\|/ } @{ $c->copies('SELECT k, v FROM t') };
	is(join(',', sort keys %seen), $value, $name);
	return;
}

#
# What is sent
#
my $s = $c->session;
my $log = 'SET plshard.log_remote_commands = on';
my $quiet = 'SET plshard.log_remote_commands = off';
my ($a) = $c->some_keys(1, shard => 10000);
my ($b) = $c->some_keys(1, shard => 10001);
my ($d) = $c->some_keys(1, shard => 10002);

$s->sql("BEGIN; SELECT put('$a', 1); $log");
my $r = $s->try('COMMIT');
$s->sql($quiet);
is_deeply([ sort(@{ commands($r) }[ 0 .. 2 ]), @{ commands($r) }[ 3 .. 5 ] ],
	[ 'n1 SET CONSTRAINTS ALL IMMEDIATE', 'n2 PREPARE TRANSACTION', 'n2 row', 'n1 row', 'n1 COMMIT', 'n2 COMMIT PREPARED' ],
	'two replicas: one prepares, the primary decides, one commits') or diag $r->{err};
is(rows($s), '1 1 0', '... and both have the row');
is(prepared(), '0 0 0', '... and nothing is prepared any more');

$s->sql("BEGIN; SELECT put('$b', 1); SELECT put('$d', 1); SELECT bump('$a'); $log");
$r = $s->try('COMMIT');
$s->sql($quiet);
my @sent = @{ commands($r) };
is_deeply([ sort(@sent[ 0 .. 4 ]), @sent[ 5, 6 ], sort(@sent[ 7 .. $#sent ]) ],
	[ 'n1 PREPARE TRANSACTION', 'n1 row', 'n2 SET CONSTRAINTS ALL IMMEDIATE', 'n3 PREPARE TRANSACTION', 'n3 row',
	  'n2 row', 'n2 COMMIT', 'n1 COMMIT PREPARED', 'n3 COMMIT PREPARED' ],
	'three shards: the first one written has the deciding node') or diag $r->{err};
is(rows($s), '2 2 1', '... and its rows beside those of the one before');
$s->sql("SELECT bump('$a')") foreach 1 .. 6;
is(rows($s), '8 8 1', 'a session has eight rows at most on a node');
$s->sql("SELECT bump('$a')");
is(rows($s), '1 1 1', '... which the next transaction deletes');
everywhere($a, 9, '... all of it is there');

$s->sql(q{ALTER SERVER c OPTIONS (ADD commit 'fast')});
$s->sql("BEGIN; SELECT bump('$a'); $log");
is_deeply([ sort @{ commands($s->try('COMMIT')) } ], [ 'n1 COMMIT', 'n2 COMMIT' ], q{commit 'fast'});
$s->sql("$quiet; ALTER SERVER c OPTIONS (SET commit 'atomic')");

$c->deactivate('n2', 10003);
my ($alone) = $c->some_keys(1, shard => 10003);
$s->sql("BEGIN; SELECT put('$alone', 1); $log");
is_deeply(commands($s->try('COMMIT')), ['n1 COMMIT'], 'one node: a plain COMMIT');
$s->sql($quiet);
$c->sql("SELECT count(*) FROM plshard.repair_cluster('c')");

#
# A commit waits for the disk, whatever the node is set to
#
$c->sql('ALTER DATABASE postgres SET synchronous_commit = off', on => $_) foreach 1 .. 3;
$c->sql(<<'SQL');
SELECT plshard.deploy('c', $$
	CREATE TABLE said (k text, what text);
	CREATE FUNCTION say() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN
		INSERT INTO said VALUES (NEW.k, current_setting(''synchronous_commit''));
		IF NEW.v < 0 THEN RAISE check_violation USING MESSAGE = ''v is negative''; END IF;
		RETURN NULL; END';
	CREATE CONSTRAINT TRIGGER say AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW EXECUTE FUNCTION say()$$);
SQL
my $new = $c->session;
# the keys of the tests below
my @a = $c->some_keys(40, shard => 10000);
my @b = $c->some_keys(40, shard => 10001);
$new->sql("BEGIN; SELECT put('$a[1]', 1); COMMIT");
is_deeply($c->copies("SELECT what FROM said WHERE k = '$a[1]'"), [ '10000|off', '10000|on' ],
	'the deferred trigger of PREPARE runs behind synchronous_commit = on; that of the deciding node before it');
$c->sql('ALTER DATABASE postgres RESET synchronous_commit', on => $_) foreach 1 .. 3;

#
# A deferred constraint that fails on one shard only, or on the deciding node
#
foreach my $bad ([ -1, 1 ], [ 1, -1 ])
{
	my ($x, $y) = @$bad;
	$r = $new->try("BEGIN; SELECT put('$a[2]', $x); SELECT put('$b[2]', $y); COMMIT");
	is($r->{sqlstate}, '23514', 'a deferred constraint fails') or diag $r->{err};
	$new->try('ROLLBACK');
	is_deeply($c->copies("SELECT k FROM t WHERE k IN ('$a[2]', '$b[2]')"), [], '... and all is rolled back');
	is(prepared(), '0 0 0', '... and nothing is left prepared');
}
is($new->try("SELECT put('$a[2]', 1)")->{sqlstate}, undef, '... nor locked');
$new->quit;
$c->sql(q{SELECT plshard.deploy('c', 'DROP TABLE said; DROP FUNCTION say() CASCADE')});

#
# Nodes that die while the front stands between two steps
#

# Runs SQL in a session that stops itself at a point; returns it once it has.
sub stopped_at
{
	my ($point, $sql) = @_;
	my $session = $c->session;
	$session->sql("SET plshard.inject = '$point:stop'");
	$session->send($sql);
	$session->wait_until_stopped;
	return $session;
}

sub resumed
{
	my ($session) = @_;
	kill 'CONT', $session->pid;
	my $result = $session->result;
	$session->quit unless $result->{lost};
	return $result;
}

# Which replicas are inactive.
sub inactive
{
	my $states = $c->states;
	return join ' ', grep { $states->{$_} =~ /inactive/ } sort keys %$states;
}

sub repaired
{
	my ($name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$c->sql("SELECT count(*) FROM plshard.repair_cluster('c')");
	is(inactive(), '', "$name: repaired");
	is(prepared(), '0 0 0', "$name: nothing is prepared");
	is_deeply([ $c->differences ], [], "$name: replicas are equal");
	return;
}

my $write = "BEGIN; SELECT put('%s', 1); SELECT put('%s', 1); COMMIT";

# Before PREPARE: it fails, and is undone everywhere.
my $front = stopped_at('before_prepare', sprintf $write, $a[3], $b[3]);
$c->node(3)->stop('immediate');
$r = resumed($front);
is($r->{sqlstate}, '08006', 'a node dies before PREPARE') or diag $r->{err};
is(prepared(1, 2), '0 0', '... what others had prepared is rolled back');
is_deeply($c->copies("SELECT k FROM t WHERE k IN ('$a[3]', '$b[3]')"), [], '... nothing is there');
is($c->sql(q{SELECT state FROM plshard.decision WHERE gid ~ '_} . $front->pid . q{_'}), 'aborted',
	'... which is written down at the registry');
$c->node(3)->start;
is(inactive(), '', '... and no node is evicted');

# Between PREPARE and COMMIT: it is decided to commit, and the dead node evicted.
$front = stopped_at('prepared', sprintf $write, $a[4], $b[4]);
$c->node(3)->stop('immediate');
$r = resumed($front);
is($r->{sqlstate}, undef, 'a node dies when it is prepared: the transaction commits') or diag $r->{err};
like($r->{err}, qr/WARNING: .*node "n3" of cluster "c" failed/, '... and the node is evicted');
is(inactive(), 'n3', '... with all its placements');
is_deeply($c->copies("SELECT k FROM t WHERE k IN ('$a[4]', '$b[4]')"), [ "10000|$a[4]", "10000|$a[4]", "10001|$b[4]" ],
	'... the others have it all');
$c->node(3)->start;
repaired('a prepared node');

# The deciding node dies before COMMIT: it is evicted, and what the others have prepared
# is all there is of its shards, so recovery decides to commit; or it was not told
# everything, and it is undone.
$front = stopped_at('before_commit', sprintf $write, $a[5], $b[5]);
$c->node(1)->stop('immediate');
$r = resumed($front);
my $expected = defined $r->{sqlstate} ? 0 : 3;
like($r->{sqlstate} // '08006', qr/^0800[67]$/, 'the deciding node dies before COMMIT') or diag $r->{err};
$c->node(1)->start;
is(prepared(2, 3), '0 0', '... nothing is left prepared');
is(scalar(grep { !/^10000\|\w+\|n1/ } @{ $c->copies("SELECT k FROM t WHERE k IN ('$a[5]', '$b[5]')") }), $expected,
	'... and all nodes have what the caller heard');
repaired('the deciding node');

# The deciding node hangs: whether it has committed is unknown until it is evicted
# and the others' word stands.
$front = stopped_at('before_commit', sprintf $write, $a[15], $b[15]);
$c->freeze(1);
$r = resumed($front);
is($r->{sqlstate}, undef, 'the deciding node hangs at COMMIT: recovery decides without it') or diag $r->{err};
is(inactive(), 'n1', '... and evicts it');
is($c->sql(q{SELECT state FROM plshard.decision WHERE gid ~ '_} . $front->pid . q{_'}), 'committed',
	'... which is written down at the registry');
is(prepared(2, 3), '0 0', '... and nothing is left prepared');
$c->thaw(1);
repaired('the deciding node that hung');
everywhere($b[15], 1, '... and what was committed is there');

# Another one hangs at COMMIT PREPARED.
$front = stopped_at('before_commit_prepared', sprintf $write, $a[16], $b[16]);
$c->freeze(3);
$r = resumed($front);
is($r->{sqlstate}, undef, 'a node hangs at COMMIT PREPARED: the transaction is committed') or diag $r->{err};
is(inactive(), 'n3', '... and the node evicted before that is said');
is(prepared(1, 2), '0 0', '... and nothing else is left prepared');
$c->thaw(3);
repaired('a node that hung at COMMIT PREPARED');
everywhere($b[16], 1, '... and what was committed is there');

#
# The front writes, too: its own commit decides
#
$c->sql('CREATE TABLE local (k text PRIMARY KEY, v int CHECK (v > 0), UNIQUE (v) DEFERRABLE INITIALLY DEFERRED)');
$s->sql("BEGIN; INSERT INTO local VALUES ('$a[6]', 1); SELECT put('$a[6]', 1); $log");
$r = $s->try('COMMIT');
$s->sql($quiet);
@sent = @{ commands($r) };
is_deeply([ sort(@sent[ 0 .. 3 ]), sort(@sent[ 4 .. $#sent ]) ],
	[ 'n1 PREPARE TRANSACTION', 'n1 row', 'n2 PREPARE TRANSACTION', 'n2 row', 'n1 COMMIT PREPARED', 'n2 COMMIT PREPARED' ],
	'a mixed transaction: all prepare, the front decides') or diag $r->{err};
everywhere($a[6], 1, '... and it is there');
my $in_front = "SELECT count(*) FROM plshard.transaction WHERE gid ~ '_" . $s->pid . "_'";
is($c->sql($in_front), 1, '... with a row on the front');
$s->sql("BEGIN; INSERT INTO local VALUES ('$a[7]', 2); SELECT put('$a[7]', 1); COMMIT");
is($c->sql($in_front), 1, '... that the next one deletes');

$c->deactivate('n2', 10003);
$s->sql("BEGIN; INSERT INTO local VALUES ('alone', 3); SELECT bump('$alone'); $log");
is_deeply(commands($s->try('COMMIT')), [ 'n1 row', 'n1 PREPARE TRANSACTION', 'n1 COMMIT PREPARED' ],
	'... also with a single node');
$s->sql($quiet);
$c->sql("SELECT count(*) FROM plshard.repair_cluster('c')");

$s->sql("BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT get('$a'); $log");
unlike(join(' ', @{ commands($s->try('COMMIT')) }), qr/PREPARE/, 'a SERIALIZABLE transaction that only reads prepares nothing');
$s->sql($quiet);

# ... and one that has written is decided by the front, though it has written on the nodes only
$c->sql(<<"SQL");
SELECT plshard.create_cluster('single');
SELECT plshard.add_node('single', 's1', '@{[ $c->conninfo(1) ]}');
SELECT plshard.add_node('single', 's2', '@{[ $c->conninfo(2) ]}');
SELECT plshard.create_shards('single', 2, 1);
SELECT plshard.deploy('single', 'CREATE TABLE t (k text, v int)');
CREATE FUNCTION put_everywhere() RETURNS SETOF text LANGUAGE plshard AS
	\$\$ CLUSTER 'single'; RUN ON ALL; INSERT INTO t VALUES ('single') RETURNING k; \$\$;
CREATE FUNCTION put_single(k text) RETURNS void LANGUAGE plshard AS
	\$\$ CLUSTER 'single'; RUN ON hash(k); INSERT INTO t VALUES (put_single.k); \$\$;
SQL
foreach my $case ([ 'SERIALIZABLE', '1 1 0', 1 ], [ 'REPEATABLE READ', '0 1 0', 0 ])
{
	my ($level, $prepare, $rows) = @$case;
	$front = stopped_at('prepared', "BEGIN ISOLATION LEVEL $level; SELECT count(*) FROM put_everywhere(); COMMIT");
	is(prepared(), $prepare, "$level: what is prepared before it is decided");
	$r = resumed($front);
	is($r->{sqlstate}, undef, '... it commits') or diag $r->{err};
	is($c->sql("SELECT count(*) FROM plshard.transaction WHERE gid ~ '_" . $front->pid . "_'"), $rows, "... rows on the front");
	is(prepared(), '0 0 0', '... and nothing is left prepared');
}
$s->sql("BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT put_single('single'); $log");
is_deeply([ map { s/^s\d //r } @{ commands($s->try('COMMIT')) } ], [ 'row', 'PREPARE TRANSACTION', 'COMMIT PREPARED' ],
	'SERIALIZABLE: also with a single node');
$s->sql($quiet);

# What fails on the front fails on the nodes, at whatever step.
foreach my $point (qw(before_prepare prepared front_row))
{
	$r = $s->try("SET plshard.inject = '$point:error'; BEGIN; INSERT INTO local VALUES ('$point', 4); SELECT put('$a[8]', 1); COMMIT");
	is($r->{sqlstate}, 'PS999', "an error on the front at $point") or diag $r->{err};
	is($c->sql("SELECT count(*) FROM local WHERE v = 4"), 0, '... undoes the front');
	is_deeply($c->copies("SELECT k FROM t WHERE k = '$a[8]'"), [], '... and the nodes');
	is(prepared(), '0 0 0', '... and nothing is left prepared');
}

#
# The front's session is killed at each step
#
my @fresh = map { [ $a[ $_ + 20 ], $b[ $_ + 20 ] ] } 0 .. 19;

# Runs SQL until the session kills itself (and with it all of its server); then everything
# is resolved.
sub killed_at
{
	my ($point, $sql) = @_;
	my $session = $c->session;
	my $lost = $session->try("SET plshard.inject = '$point:kill'; $sql")->{lost};
	ok($lost, "a session is killed at $point");
	$c->wait_for_restart($session);
	$c->sql("SELECT plshard.recover('c')");
	is(prepared(), '0 0 0', '... nothing is left prepared');
	is($c->sql('SELECT count(*) FROM plshard.in_doubt'), 0, '... or in doubt');
	return;
}

my %committed = (before_prepare => 'no', prepare_sent => 'no', prepared => 'no', before_commit => 'no',
	commit_sent => 'perhaps', committed => 'yes', before_commit_prepared => 'yes', prepared_ending => 'yes',
	commit_prepared => 'yes', front_row => 'no', front_committed => 'yes');

sub all_or_nothing
{
	my ($point, $x, $y) = @_;
	my $there = join ' ', @{ $c->copies("SELECT k FROM t WHERE k IN ('$x', '$y')") };
	my $all = "10000|$x 10000|$x 10001|$y 10001|$y";
	my $name = "... committed: $committed{$point}";
	$committed{$point} eq 'yes' ? is($there, $all, $name) :
	$committed{$point} eq 'no' ? is($there, '', $name) : like($there, qr/^(?:\Q$all\E|)$/, $name);
	return $there ne '';
}

foreach my $point (qw(before_prepare prepare_sent prepared before_commit commit_sent committed
	before_commit_prepared prepared_ending commit_prepared))
{
	my ($x, $y) = @{ shift @fresh };
	killed_at($point, sprintf $write, $x, $y);
	all_or_nothing($point, $x, $y);
}
foreach my $point (qw(prepare_sent prepared front_row front_committed prepared_ending))
{
	my ($x, $y) = @{ shift @fresh };
	killed_at($point, "BEGIN; INSERT INTO local VALUES ('$x', 5); SELECT put('$x', 1); SELECT put('$y', 1); COMMIT");
	my $there = all_or_nothing($point, $x, $y);
	is($c->sql("DELETE FROM local WHERE v = 5 RETURNING k"), $there ? $x : '', '... as on the front');
}
is(inactive(), '', 'no node was evicted');
is_deeply([ $c->differences ], [], 'replicas are equal');
$s = $c->session;

#
# Several clusters in one transaction: no node can stand for both
#
$c->sql(<<"SQL");
SELECT plshard.create_cluster('other');
SELECT plshard.add_node('other', 'o1', '@{[ $c->conninfo(1) ]}');
SELECT plshard.add_node('other', 'o3', '@{[ $c->conninfo(3) ]}');
SELECT plshard.create_shards('other', 1, 2);
SELECT plshard.deploy('other', 'CREATE TABLE t (k text PRIMARY KEY, v int)');
CREATE FUNCTION put_other(k text, v int) RETURNS void LANGUAGE plshard AS
	\$\$ CLUSTER 'other'; RUN ON hash(k); INSERT INTO t VALUES (put_other.k, put_other.v); \$\$;
SQL
$s->sql("BEGIN; SELECT put('$a[9]', 1), put_other('both', 1); $log");
@sent = @{ commands($s->try('COMMIT')) };
$s->sql($quiet);
is(scalar(grep { /PREPARE TRANSACTION/ } @sent), 4, 'two clusters: all nodes prepare');
is(scalar(grep { /COMMIT PREPARED/ } @sent), 4, '... and commit');
is(scalar(grep { /\d COMMIT$/ } @sent), 0, '... and the front decides');
everywhere('both', 1, '... it is in one');
everywhere($a[9], 1, '... and in the other');

# A fast one commits once the atomic one is prepared, and can still stop it.
$c->sql(q{ALTER SERVER other OPTIONS (ADD commit 'fast')});
$s->sql("BEGIN; SELECT put('$a[10]', 1), put_other('mixed', 1); $log");
@sent = @{ commands($s->try('COMMIT')) };
$s->sql($quiet);
is_deeply([ map { s/^o\d/other/r } grep { /COMMIT|PREPARE/ } @sent ],
	[ 'n2 PREPARE TRANSACTION', 'other COMMIT', 'other COMMIT', 'n1 COMMIT', 'n2 COMMIT PREPARED' ],
	'an atomic and a fast cluster') or diag explain \@sent;
$c->sql(<<'SQL');
SELECT plshard.deploy('other', $$CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''no''; END';
	CREATE CONSTRAINT TRIGGER no AFTER UPDATE ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION no()$$);
CREATE FUNCTION change_other(k text) RETURNS void LANGUAGE plshard AS
	$$ CLUSTER 'other'; RUN ON hash(k); UPDATE t SET v = 2 WHERE t.k = change_other.k; $$;
SQL
is($s->try("BEGIN; SELECT put('$a[11]', 1), change_other('mixed'); COMMIT")->{sqlstate}, 'P0001',
	'a fast cluster that fails') or diag $r->{err};
$s->try('ROLLBACK');
is_deeply($c->copies("SELECT k FROM t WHERE k = '$a[11]'"), [], '... undoes what the atomic one has prepared');
is(prepared(), '0 0 0', '... and nothing is left prepared');

#
# Whose the prepared transactions are
#
$c->sql('CREATE ROLE resolver', on => $_) foreach 1 .. 3;
$c->sql(q{ALTER SERVER c OPTIONS (ADD recovery_role 'resolver')});
$front = stopped_at('prepared', sprintf $write, $a[12], $b[12]);
is($c->sql('SELECT owner FROM pg_prepared_xacts', on => 3), 'resolver', 'recovery_role owns what is prepared');
$r = resumed($front);
is($r->{sqlstate}, undef, '... and it is committed') or diag $r->{err};
everywhere($b[12], 1, '... everywhere');
$c->sql('ALTER SERVER c OPTIONS (DROP recovery_role)');

#
# A commit that does not wait for the node's standby server is none
#
sub awaiting_standby
{
	my ($i, $session) = @_;
	$c->wait_for("SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name = 'plshard'", on => $i);
	$c->sql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'", on => $i);
	return;
}

sub standby
{
	my ($i, $name) = @_;
	$c->sql("ALTER SYSTEM SET synchronous_standby_names = '$name'", on => $i);
	$c->sql('SELECT pg_reload_conf()', on => $i);
	$c->wait_for("SELECT current_setting('synchronous_standby_names') = '$name'", on => $i);
	return;
}
standby(2, 'nobody');
$s->send("BEGIN; SELECT put('$a[13]', 1); COMMIT");
awaiting_standby(2);
$r = $s->result;
is($r->{sqlstate}, '40000', 'PREPARE did not wait for the standby server: rolled back') or diag $r->{err};
like($r->{message}, qr/node "n2" did not wait for its standby server/, '... which is said');
standby(2, '');
is_deeply($c->copies("SELECT k FROM t WHERE k = '$a[13]'"), [], '... everywhere');

#
# max_prepared_transactions
#
$c->node(3)->append_conf('postgresql.conf', 'max_prepared_transactions = 0');
$c->node(3)->restart;
my $conninfo = $c->conninfo(3);
$r = $c->try("SELECT plshard.create_cluster('late'); SELECT plshard.add_node('late', 'n', '$conninfo')");
is($r->{sqlstate}, '55000', 'add_node refuses a node with max_prepared_transactions = 0');
like($r->{err}, qr/HINT: .*ALTER SERVER late OPTIONS \(ADD commit 'fast'\)/, '... with a hint');
$r = $c->try("ALTER SERVER late OPTIONS (ADD commit 'fast'); SELECT plshard.add_node('late', 'n', '$conninfo')");
is($r->{sqlstate}, undef, q{with commit 'fast' it does not}) or diag $r->{err};
$r = $c->try(sprintf $write, $a[14], $b[14]);
is($r->{sqlstate}, '55000', 'a node that cannot prepare any more');
like($r->{err}, qr/DETAIL: +Its max_prepared_transactions is 0\.\nHINT: .*max_prepared_transactions.*ALTER SERVER c OPTIONS \(ADD commit 'fast'\)/,
	'... says so at commit') or diag $r->{err};
is(prepared(), '0 0 0', '... and leaves nothing prepared');
is_deeply($c->copies("SELECT k FROM t WHERE k IN ('$a[14]', '$b[14]')"), [], '... or written');
$c->sql(q{ALTER SERVER c OPTIONS (SET commit 'fast')});
is($c->try(sprintf $write, $a[14], $b[14])->{sqlstate}, undef, q{... commit 'fast' works});

done_testing();
