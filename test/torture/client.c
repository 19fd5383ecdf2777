/*
 * client.c
 *
 * The clients of the torture test: each is a thread with a session on the front
 * that does one operation after the other and logs it, with what it knows of the
 * outcome.  setup.sql has the tables and functions.
 *
 *     client DIR CLIENTS SEED ACCOUNTS REGISTERS PAUSE_MS
 *
 * DIR/front holds the connection string of the front, read anew for each session.
 * If DIR/inject appears, the client that takes it first sets plshard.inject to what it
 * says.  DIR/client-N.log gets a line for each operation, of fields separated by tabs:
 *
 *     kind begin end class sqlstate session commit cluster ...
 *
 *     transfer: id from to amount     put, get: id (found)
 *     write: register value version   read: register version value
 *
 * Times are microseconds of the monotonic clock.  "commit" is, for the first WATCHED clients
 * only, "early" if PREPARE went with the call alone, "ordinary" if a commit came after it, or "none".
 * The class is
 *     ok        acknowledged
 *     refused   certainly not done: an error that says so, or no COMMIT was sent
 *     unknown   08007, or the connection was lost after the last command was sent
 *     hang      no answer within BOUND seconds; counts as unknown otherwise
 * SIGTERM ends it, after the operations under way.
 */
#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BOUND 60				/* seconds */
#define ID_STEP 1000000000L		/* ids of a client: from its number times this */
#define PUTS 32
#define WATCHED 2				/* clients that look at what is sent to the nodes */

typedef enum Outcome
{
	OK, REFUSED, UNKNOWN, HANG
} Outcome;

static const char *const outcome_names[] = {"ok", "refused", "unknown", "hang"};
static const char *const clusters[] = {"r2", "r3"};

typedef struct Client
{
	int			number;
	uint64_t	random;
	FILE	   *log;
	PGconn	   *conn;
	long		session;		/* a number for each connection */
	long		last_id;
	long		put[2][PUTS];	/* what was put last into each cluster, a ring */
	int			nputs[2];
	long		deadline;		/* of the operation */
	char		sqlstate[16];	/* of its first error; "-": none; "lost" */
	char		row[2][32];		/* of the last command's first row */
	int			nrows;
	bool		prepared;		/* the operation has sent a PREPARE */
	bool		ordinary;		/* ... by a commit that came after its calls */
} Client;

static const char *dir;
static int	naccounts;
static int	nregisters;
static int	pause_ms;
static volatile sig_atomic_t ending;

static void
end(int signal)
{
	(void) signal;
	ending = 1;
}

static long
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000L + t.tv_nsec / 1000;
}

static int
random_below(Client *c, int n)
{
	c->random = c->random * 6364136223846793005u + 1442695040888963407u;
	return (c->random >> 33) % n;
}

/* ---- one command ---- */

static void
keep_first_row(Client *c, const PGresult *result)
{
	c->nrows = PQntuples(result);
	for (int i = 0; c->nrows > 0 && i < PQnfields(result) && i < 2; i++)
		snprintf(c->row[i], sizeof(c->row[i]), "%s", PQgetvalue(result, 0, i));
}

/*
 * Runs a command.  UNKNOWN: the connection was lost meanwhile, or the server says
 * so.  "tag", unless NULL, is what success answers.
 */
static Outcome
run(Client *c, const char *tag, const char *format,...)
{
	char		sql[512];
	va_list		args;
	Outcome		outcome = OK;
	PGresult   *result;

	va_start(args, format);
	vsnprintf(sql, sizeof(sql), format, args);
	va_end(args);

	c->nrows = 0;
	if (PQsendQuery(c->conn, sql) == 0)
		outcome = UNKNOWN;
	while (outcome != UNKNOWN)
	{
		struct pollfd p = {.fd = PQsocket(c->conn),.events = POLLIN};
		long		left = c->deadline - now();

		if (PQisBusy(c->conn))
		{
			if (left <= 0)
			{
				PQfinish(c->conn);
				c->conn = NULL;
				snprintf(c->sqlstate, sizeof(c->sqlstate), "hang");
				return HANG;
			}
			poll(&p, 1, left / 1000 + 1);
			if (PQconsumeInput(c->conn) == 0)
				outcome = UNKNOWN;
			continue;
		}
		if ((result = PQgetResult(c->conn)) == NULL)
			break;
		if (PQresultStatus(result) == PGRES_FATAL_ERROR)
		{
			const char *code = PQresultErrorField(result, PG_DIAG_SQLSTATE);

			snprintf(c->sqlstate, sizeof(c->sqlstate), "%s", code ? code : "lost");
			outcome = code && strcmp(code, "08007") != 0 ? REFUSED : UNKNOWN;
		}
		else
			keep_first_row(c, result);
		if (outcome == OK && tag && strcmp(PQcmdStatus(result), tag) != 0)
		{
			snprintf(c->sqlstate, sizeof(c->sqlstate), "tag");
			outcome = REFUSED;
		}
		PQclear(result);
	}
	/* a session that is being ended may have said so in the middle of COMMIT */
	if (PQstatus(c->conn) != CONNECTION_OK)
	{
		if (strcmp(c->sqlstate, "-") == 0)
			snprintf(c->sqlstate, sizeof(c->sqlstate), "lost");
		outcome = UNKNOWN;
	}
	return outcome;
}

/* A command after which another one is needed to have any effect. */
static Outcome
run_inside(Client *c, const char *tag, const char *sql)
{
	Outcome		outcome = run(c, tag, "%s", sql);

	if (outcome == UNKNOWN && strcmp(c->sqlstate, "08007") != 0)
		outcome = REFUSED;
	return outcome;
}

/* ---- operations ---- */

static void
log_operation(Client *c, const char *kind, long begin, Outcome outcome, const char *format,...)
{
	va_list		args;
	const char *commit = c->number > WATCHED ? "-" : c->ordinary ? "ordinary" : c->prepared ? "early" : "none";

	fprintf(c->log, "%s\t%ld\t%ld\t%s\t%s\t%ld\t%s\t", kind, begin, now(), outcome_names[outcome],
			c->sqlstate, c->session, commit);
	va_start(args, format);
	vfprintf(c->log, format, args);
	va_end(args);
	fputc('\n', c->log);
	fflush(c->log);
}

static void
transfer(Client *c, const char *cluster)
{
	long		begin = now();
	long		id = ++c->last_id;
	int			from = random_below(c, naccounts);
	int			to = (from + 1 + random_below(c, naccounts - 1)) % naccounts;
	int			amount = 1 + random_below(c, 100);
	int			form = random_below(c, 4);
	char		take[128];
	char		give[128];
	Outcome		outcome;

	snprintf(take, sizeof(take), "SELECT %s.add(%d, %d, %ld)", cluster, from, -amount, id);
	snprintf(give, sizeof(give), "SELECT %s.add(%d, %d, %ld)", cluster, to, amount, id);
	if (form == 0)
		/* one statement, by a function of the front */
		outcome = run(c, NULL, "SELECT %s.transfer(%d, %d, %d, %ld)", cluster, from, to, amount, id);
	else
	{
		outcome = run_inside(c, NULL, "BEGIN");
		if (outcome == OK)
			outcome = run_inside(c, NULL, take);
		if (outcome == OK && form == 1)
		{
			/* something that is taken back */
			outcome = run_inside(c, NULL, "SAVEPOINT s");
			if (outcome == OK)
				outcome = run_inside(c, NULL, give);
			if (outcome == OK)
				outcome = run_inside(c, NULL, "ROLLBACK TO s");
		}
		if (outcome == OK)
			outcome = run_inside(c, NULL, give);
		if (outcome == OK && form == 2)
		{
			/* certainly not done: no trace of it may be seen */
			outcome = run_inside(c, NULL, "ROLLBACK");
			if (outcome == OK)
			{
				snprintf(c->sqlstate, sizeof(c->sqlstate), "undone");
				outcome = REFUSED;
			}
		}
		if (outcome == OK)
			outcome = run(c, "COMMIT", "COMMIT");
	}
	log_operation(c, "transfer", begin, outcome, "%s\t%ld\t%d\t%d\t%d", cluster, id, from, to, amount);
}

static void
put(Client *c, int cluster)
{
	long		begin = now();
	long		id = ++c->last_id;
	Outcome		outcome = run(c, NULL, "SELECT %s.put(%ld)", clusters[cluster], id);

	c->put[cluster][c->nputs[cluster]++ % PUTS] = id;
	log_operation(c, "put", begin, outcome, "%s\t%ld", clusters[cluster], id);
}

/* Reads back what this client has put, or has failed to put. */
static void
get(Client *c, int cluster)
{
	long		begin = now();
	int			n = c->nputs[cluster];
	long		id = n == 0 ? 0 : c->put[cluster][random_below(c, n < PUTS ? n : PUTS)];
	Outcome		outcome = run(c, NULL, "SELECT * FROM %s.get(%ld)", clusters[cluster], id);

	log_operation(c, "get", begin, outcome, "%s\t%ld\t%d", clusters[cluster], id, c->nrows);
}

/* Mostly a single call of a function on the nodes; all ways meet on the same few keys. */
static void
write_register(Client *c, const char *cluster)
{
	long		begin = now();
	long		value = ++c->last_id;
	int			key = random_below(c, nregisters);
	int			form = random_below(c, 6);
	char		version[32] = "-";
	char		call[128];
	Outcome		outcome;

	snprintf(call, sizeof(call), "SELECT %s.%s(%d, %ld)", cluster, form == 0 ? "write_by_sql" : "write", key, value);
	if (form == 1)
	{
		outcome = run_inside(c, NULL, "BEGIN");
		if (outcome == OK)
			outcome = run_inside(c, NULL, call);
	}
	else
		outcome = run(c, NULL, "%s", call);
	if (outcome == OK && c->nrows)
		snprintf(version, sizeof(version), "%s", c->row[0]);
	if (outcome == OK && form == 1)
		outcome = run(c, "COMMIT", "COMMIT");
	log_operation(c, "write", begin, outcome, "%s\t%d\t%ld\t%s", cluster, key, value,
				  outcome == OK ? version : "-");
}

static void
read_register(Client *c, const char *cluster)
{
	long		begin = now();
	int			key = random_below(c, nregisters);
	Outcome		outcome = run(c, NULL, "SELECT * FROM %s.read(%d)", cluster, key);

	log_operation(c, "read", begin, outcome, "%s\t%d\t%s\t%s", cluster, key,
				  outcome == OK && c->nrows ? c->row[0] : "-",
				  outcome == OK && c->nrows ? c->row[1] : "-");
}

/*
 * What is sent to the nodes, where the client looks at that; all else that is said besides the
 * results, a node's eviction for instance, is in the front's log.
 */
static void
take_notice(void *arg, const char *message)
{
	Client	   *c = arg;

	if (strstr(message, ": PREPARE TRANSACTION"))
		c->prepared = true;
	/* what a commit sends first that begins after the calls */
	if (strstr(message, ": SET LOCAL lock_timeout"))
		c->ordinary = true;
}

static bool
connected(Client *c)
{
	char		path[1024];
	char		conninfo[1024];
	FILE	   *file;

	if (c->conn && PQstatus(c->conn) == CONNECTION_OK)
	{
		if (PQtransactionStatus(c->conn) == PQTRANS_IDLE)
			return true;
		/* left by a transfer that failed */
		c->deadline = now() + BOUND * 1000000L;
		if (run(c, "ROLLBACK", "ROLLBACK") == OK)
			return true;
	}
	if (c->conn)
		PQfinish(c->conn);
	c->conn = NULL;
	c->session++;
	snprintf(path, sizeof(path), "%s/front", dir);
	if ((file = fopen(path, "r")) == NULL)
		return false;
	if (fgets(conninfo, sizeof(conninfo), file) == NULL)
		conninfo[0] = '\0';
	fclose(file);
	if (conninfo[0] == '\0')
		return false;
	c->conn = PQconnectdb(conninfo);
	PQsetNoticeProcessor(c->conn, take_notice, c);
	c->deadline = now() + BOUND * 1000000L;
	return PQstatus(c->conn) == CONNECTION_OK &&
		(c->number > WATCHED || run(c, "SET", "SET plshard.log_remote_commands = on") == OK);
}

/* Takes on what the nemesis has in store for one of the sessions. */
static void
take_injection(Client *c)
{
	char		path[1024];
	char		mine[1024];
	char		injection[64] = "";
	FILE	   *file;

	snprintf(path, sizeof(path), "%s/inject", dir);
	snprintf(mine, sizeof(mine), "%s/inject-%d", dir, c->number);
	if (rename(path, mine) != 0 || (file = fopen(mine, "r")) == NULL)
		return;
	if (fgets(injection, sizeof(injection), file) != NULL)
		run(c, "SET", "SET plshard.inject = '%s'", injection);
	fclose(file);
}

static void
wait_ms(int ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000L};

	nanosleep(&t, NULL);
}

static void *
work(void *arg)
{
	Client	   *c = arg;

	while (!ending)
	{
		int			cluster = random_below(c, 2);

		if (!connected(c))
		{
			wait_ms(50);
			continue;
		}
		c->deadline = now() + BOUND * 1000000L;
		take_injection(c);
		if (PQstatus(c->conn) != CONNECTION_OK)
			continue;
		snprintf(c->sqlstate, sizeof(c->sqlstate), "-");
		c->prepared = c->ordinary = false;
		switch (random_below(c, 10))
		{
			case 0:
			case 1:
			case 2:
				transfer(c, clusters[cluster]);
				break;
			case 3:
				put(c, cluster);
				break;
			case 4:
				get(c, cluster);
				break;
			case 5:
			case 6:
			case 7:
				write_register(c, clusters[cluster]);
				break;
			default:
				read_register(c, clusters[cluster]);
				break;
		}
		wait_ms(random_below(c, 2 * pause_ms + 1));
	}
	if (c->conn)
		PQfinish(c->conn);
	fclose(c->log);
	return NULL;
}

int
main(int argc, char **argv)
{
	int			nclients;
	pthread_t  *threads;
	struct sigaction on_term = {.sa_handler = end};

	if (argc != 7)
	{
		fprintf(stderr, "usage: client DIR CLIENTS SEED ACCOUNTS REGISTERS PAUSE_MS\n");
		return 1;
	}
	dir = argv[1];
	nclients = atoi(argv[2]);
	naccounts = atoi(argv[4]);
	nregisters = atoi(argv[5]);
	pause_ms = atoi(argv[6]);
	sigaction(SIGTERM, &on_term, NULL);
	signal(SIGPIPE, SIG_IGN);
	threads = calloc(nclients, sizeof(pthread_t));

	for (int i = 0; i < nclients; i++)
	{
		Client	   *c = calloc(1, sizeof(Client));
		char		path[1024];

		snprintf(path, sizeof(path), "%s/client-%d.log", dir, i + 1);
		if (c == NULL || (c->log = fopen(path, "w")) == NULL)
		{
			perror(path);
			return 1;
		}
		c->number = i + 1;
		c->random = strtoul(argv[3], NULL, 10) * 1000 + i;
		c->session = c->number * 1000000L;
		c->last_id = c->number * ID_STEP;
		if (pthread_create(&threads[i], NULL, work, c) != 0)
		{
			fprintf(stderr, "no thread\n");
			return 1;
		}
	}
	for (int i = 0; i < nclients; i++)
		pthread_join(threads[i], NULL);
	return 0;
}
