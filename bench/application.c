/*
 * application.c
 *
 * An application that does without a front: what plshard, and anything else that
 * calls functions on shards, is to be held against.  Each of its clients is a process with a
 * connection to each node, as a front's backend is; it calls a prepared statement on a node
 * taken at random, and waits for the answer.
 *
 *	application MODE SECONDS CLIENTS KEYS CONNINFO...
 *
 * prints calls a second.  The modes:
 *	read		SELECT get(key) on one node
 *	write1		SELECT put(key, 1) on one node
 *	write2		the same in a transaction on two nodes at once, then COMMIT on both
 *	atomic2		then PREPARE on one, COMMIT on the other, COMMIT PREPARED on the first
 *	all			SELECT share() on all nodes at once
 *	rows		a million rows in all, from all nodes at once; whole results, as libpq has them
 *				in least time, and nothing is done with them
 * Nothing is locked, compared, or written down for recovery.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_NODES 16

static PGconn *nodes[MAX_NODES];
static int	nnodes;

static void
die(const char *what, const char *why)
{
	fprintf(stderr, "application: %s: %s\n", what, why);
	exit(1);
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void
send_text(PGconn *conn, const char *sql)
{
	if (!PQsendQueryParams(conn, sql, 0, NULL, NULL, NULL, NULL, 1))
		die(sql, PQerrorMessage(conn));
}

/* A statement that was prepared, with the key if it has a parameter. */
static void
send_prepared(PGconn *conn, const char *name, int key)
{
	uint32_t	bytes = htonl(key);
	const char *value = (const char *) &bytes;
	int			length = sizeof(bytes);
	int			format = 1;

	if (!PQsendQueryPrepared(conn, name, strcmp(name, "call") == 0, &value, &length, &format, 1))
		die(name, PQerrorMessage(conn));
}

static void
end_batch(PGconn *conn)
{
	if (!PQpipelineSync(conn))
		die("sync", PQerrorMessage(conn));
}

/* Takes all results up to the end of the batch. */
static void
await(PGconn *conn)
{
	for (;;)
	{
		PGresult   *result;
		ExecStatusType status;

		while (PQisBusy(conn))
		{
			struct pollfd fd = {.fd = PQsocket(conn), .events = POLLIN};

			if (poll(&fd, 1, -1) < 0 && errno != EINTR)
				die("poll", strerror(errno));
			if (!PQconsumeInput(conn))
				die("answer", PQerrorMessage(conn));
		}
		result = PQgetResult(conn);
		if (result == NULL)
			continue;			/* the end of one statement */
		status = PQresultStatus(result);
		if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK && status != PGRES_PIPELINE_SYNC)
			die("call", PQresultErrorMessage(result));
		PQclear(result);
		if (status == PGRES_PIPELINE_SYNC)
			return;
	}
}

static void
run_text(PGconn *conn, const char *sql)
{
	send_text(conn, sql);
	end_batch(conn);
	await(conn);
}

static void
call_one(int key)
{
	PGconn	   *conn = nodes[rand() % nnodes];

	send_prepared(conn, "call", key);
	end_batch(conn);
	await(conn);
}

static void
call_all(const char *name)
{
	for (int i = 0; i < nnodes; i++)
	{
		send_prepared(nodes[i], name, 0);
		end_batch(nodes[i]);
	}
	for (int i = 0; i < nnodes; i++)
		await(nodes[i]);
}

static void
call_two(int key, bool atomic)
{
	static int	serial = 0;
	int			first = rand() % nnodes;
	PGconn	   *pair[2] = {nodes[first], nodes[(first + 1) % nnodes]};
	char		sql[100];

	for (int i = 0; i < 2; i++)
	{
		send_prepared(pair[i], "begin", 0);
		send_prepared(pair[i], "call", key);
		end_batch(pair[i]);
	}
	await(pair[0]);
	await(pair[1]);
	if (!atomic)
	{
		for (int i = 0; i < 2; i++)
		{
			send_prepared(pair[i], "commit", 0);
			end_batch(pair[i]);
		}
		await(pair[0]);
		await(pair[1]);
		return;
	}
	snprintf(sql, sizeof(sql), "PREPARE TRANSACTION 'application_%d_%d'", (int) getpid(), ++serial);
	run_text(pair[1], sql);
	send_prepared(pair[0], "commit", 0);
	end_batch(pair[0]);
	await(pair[0]);
	snprintf(sql, sizeof(sql), "COMMIT PREPARED 'application_%d_%d'", (int) getpid(), serial);
	run_text(pair[1], sql);
}

static void
prepare(PGconn *conn, const char *name, const char *sql)
{
	PGresult   *result = PQprepare(conn, name, sql, 0, NULL);

	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		die(sql, PQerrorMessage(conn));
	PQclear(result);
}

/* A client: reports that it is ready, waits for the start, and writes how many calls a second it made. */
static void
client(const char *mode, double seconds, int keys, char **conninfos, int ready, int go, int done)
{
	double		start;
	double		rate;
	long		calls = 0;
	char		byte = 0;
	char		sql[100];

	srand(getpid());
	for (int i = 0; i < nnodes; i++)
	{
		nodes[i] = PQconnectdb(conninfos[i]);
		if (PQstatus(nodes[i]) != CONNECTION_OK)
			die(conninfos[i], PQerrorMessage(nodes[i]));
		prepare(nodes[i], "call", strcmp(mode, "read") == 0 ? "SELECT get($1)" : "SELECT put($1, 1)");
		prepare(nodes[i], "share", "SELECT share()");
		snprintf(sql, sizeof(sql), "SELECT * FROM many(%d)", 1000000 / nnodes);
		prepare(nodes[i], "rows", sql);
		prepare(nodes[i], "begin", "BEGIN");
		prepare(nodes[i], "commit", "COMMIT");
		if (!PQenterPipelineMode(nodes[i]))
			die("pipeline", PQerrorMessage(nodes[i]));
	}
	if (write(ready, &byte, 1) != 1 || read(go, &byte, 1) < 0)
		die("start", strerror(errno));

	start = now();
	while (now() - start < seconds)
	{
		int			key = 1 + rand() % keys;

		if (strcmp(mode, "all") == 0)
			call_all("share");
		else if (strcmp(mode, "rows") == 0)
			call_all("rows");
		else if (mode[strlen(mode) - 1] == '2')
			call_two(key, mode[0] == 'a');
		else
			call_one(key);
		calls++;
	}
	rate = calls / (now() - start);
	if (write(done, &rate, sizeof(rate)) != sizeof(rate))
		die("result", strerror(errno));
	exit(0);
}

int
main(int argc, char **argv)
{
	int			ready[2];
	int			go[2];
	int			done[2];
	double		seconds;
	int			clients;
	double		sum = 0;
	char		byte;

	if (argc < 6 || argc - 5 > MAX_NODES)
		die("usage", "application read|write1|write2|atomic2|all|rows SECONDS CLIENTS KEYS CONNINFO...");
	seconds = atof(argv[2]);
	clients = atoi(argv[3]);
	nnodes = argc - 5;
	if (pipe(ready) != 0 || pipe(go) != 0 || pipe(done) != 0)
		die("pipe", strerror(errno));
	for (int i = 0; i < clients; i++)
	{
		pid_t		pid = fork();

		if (pid < 0)
			die("fork", strerror(errno));
		if (pid == 0)
		{
			close(go[1]);
			client(argv[1], seconds, atoi(argv[4]), argv + 5, ready[1], go[0], done[1]);
		}
	}
	close(ready[1]);
	close(done[1]);
	for (int i = 0; i < clients; i++)
	{
		if (read(ready[0], &byte, 1) != 1)
			die("start", "a client has ended");
	}
	close(go[1]);				/* all read the end of the pipe */
	for (int i = 0; i < clients; i++)
	{
		double		rate;

		if (read(done[0], &rate, sizeof(rate)) != sizeof(rate))
			die("result", "a client has ended");
		sum += rate;
	}
	while (wait(NULL) > 0)
		;
	printf("%g\n", sum);
	return 0;
}
