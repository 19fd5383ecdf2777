/*
 * proxy.c
 *
 * The network between fronts and nodes, which can be cut: a TCP proxy on
 * 127.0.0.1 that passes everything on to a node's unix socket until it is told
 * not to.  A cut never closes a connection, so no side is told of it.
 *
 *     proxy NAME=SOCKET ...
 *
 * prints a line "NAME PORT" for each link and "ready", and then obeys the lines
 * of its standard input, answering each with "ok" when it is in force:
 *
 *     cut NAME hold requests|replies|both     what is sent arrives when it is healed
 *     cut NAME drop requests|replies|both     ... never; these connections stay mute
 *     heal NAME
 *
 * Requests go from front to node.  A connection that a "drop" has hit is reset on
 * both sides after DEAD_SECONDS: what TCP keepalives would do, only sooner.  The
 * end of standard input ends it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define DEAD_SECONDS 10
#define BUFFER_SIZE 65536

enum {FRONT, NODE};				/* the two sides; a direction is named by its sender */

typedef struct Link
{
	char		name[32];
	struct sockaddr_un node;
	int			listener;
	bool		held[2];
	bool		dropped[2];
} Link;

typedef struct Conn
{
	struct Conn *next;
	Link	   *link;
	int			fd[2];			/* -1: closed */
	char		data[2][BUFFER_SIZE];	/* read from that side, not yet written to the other */
	size_t		used[2];
	bool		ended[2];		/* that side has sent all that it will */
	bool		told[2];		/* ... and the other side knows */
	bool		mute[2];		/* what that side sends gets lost */
	double		reset_at;		/* 0: not */
} Conn;

static Link *links;
static int	nlinks;
static Conn *conns;

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void
die(const char *what)
{
	perror(what);
	exit(1);
}

static void
close_side(Conn *c, int side)
{
	if (c->fd[side] >= 0)
		close(c->fd[side]);
	c->fd[side] = -1;
	c->ended[side] = true;
}

static void
reset_conn(Conn *c)
{
	struct linger hard = {1, 0};

	if (c->fd[FRONT] >= 0)
		setsockopt(c->fd[FRONT], SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close_side(c, FRONT);
	close_side(c, NODE);
}

static void
drop_conn(Conn *c)
{
	for (int side = FRONT; side <= NODE; side++)
	{
		if (!c->link->dropped[side])
			continue;
		c->mute[side] = true;
		c->used[side] = 0;
		if (c->reset_at == 0)
			c->reset_at = now() + DEAD_SECONDS;
	}
}

static void
accept_conn(Link *link)
{
	Conn	   *c;
	int			one = 1;
	int			fd = accept4(link->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if ((c = calloc(1, sizeof(Conn))) == NULL)
		die("calloc");
	c->link = link;
	c->fd[FRONT] = fd;
	c->fd[NODE] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	c->next = conns;
	conns = c;
	drop_conn(c);
	if (connect(c->fd[NODE], (struct sockaddr *) &link->node, sizeof(link->node)) == 0)
		return;
	if (errno != EAGAIN)
		reset_conn(c);			/* nothing listens */
	else
	{
		/* a frozen server's queue is full */
		c->mute[FRONT] = c->mute[NODE] = true;
		c->reset_at = now() + DEAD_SECONDS;
	}
}

/* Takes in what a side has sent. */
static void
receive(Conn *c, int side)
{
	ssize_t		n;

	if (c->fd[side] < 0 || c->ended[side])
		return;
	if (c->mute[side])
		c->used[side] = 0;
	n = read(c->fd[side], c->data[side] + c->used[side], BUFFER_SIZE - c->used[side]);
	if (n > 0)
		c->used[side] += c->mute[side] ? 0 : n;
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		c->ended[side] = true;
}

/* Gives what a side has sent to the other, as far as that is allowed. */
static void
pass_on(Conn *c, int side)
{
	int			other = 1 - side;

	if (c->fd[other] < 0)
		c->used[side] = 0;
	if (c->link->held[side] || c->mute[side])
		return;
	while (c->used[side] > 0 && c->fd[other] >= 0)
	{
		ssize_t		n = send(c->fd[other], c->data[side], c->used[side], MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN && errno != EINTR)
		{
			close_side(c, other);
			break;
		}
		if (n <= 0)
			return;
		c->used[side] -= n;
		memmove(c->data[side], c->data[side] + n, c->used[side]);
	}
	if (c->ended[side] && !c->told[side])
	{
		if (c->fd[other] >= 0)
			shutdown(c->fd[other], SHUT_WR);
		c->told[side] = true;
	}
}

/* Ends what is over; a side that cannot be told keeps its connection. */
static bool
is_over(Conn *c)
{
	if (c->reset_at != 0 && now() >= c->reset_at)
		reset_conn(c);
	for (int side = FRONT; side <= NODE; side++)
	{
		/* gone, and what it has sent is not waited for */
		if (c->ended[side] && c->fd[1 - side] < 0)
			close_side(c, side);
	}
	if (c->told[FRONT] && c->told[NODE])
		reset_conn(c);
	return c->fd[FRONT] < 0 && c->fd[NODE] < 0;
}

static void
obey(char *line)
{
	char		verb[16] = "",
				name[32] = "",
				how[16] = "",
				which[16] = "";
	Link	   *link = NULL;

	sscanf(line, "%15s %31s %15s %15s", verb, name, how, which);
	for (int i = 0; i < nlinks; i++)
	{
		if (strcmp(links[i].name, name) == 0)
			link = &links[i];
	}
	if (link == NULL)
	{
		fprintf(stderr, "proxy: no such link: %s\n", line);
		exit(1);
	}
	memset(link->held, 0, sizeof(link->held));
	memset(link->dropped, 0, sizeof(link->dropped));
	if (strcmp(verb, "cut") == 0)
	{
		bool	   *flags = strcmp(how, "drop") == 0 ? link->dropped : link->held;

		flags[FRONT] = strcmp(which, "replies") != 0;
		flags[NODE] = strcmp(which, "requests") != 0;
		for (Conn *c = conns; c; c = c->next)
		{
			if (c->link == link)
				drop_conn(c);
		}
	}
	puts("ok");
	fflush(stdout);
}

static void
listen_on(Link *link)
{
	struct sockaddr_in address = {.sin_family = AF_INET,.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t	size = sizeof(address);

	link->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (link->listener < 0 || bind(link->listener, (struct sockaddr *) &address, size) < 0 ||
		listen(link->listener, 100) < 0 || getsockname(link->listener, (struct sockaddr *) &address, &size) < 0)
		die("listen");
	printf("%s %d\n", link->name, ntohs(address.sin_port));
}

/* One round of the loop: waits for something to do, and does it. */
static void
turn(void)
{
	static struct pollfd *polls;
	static char input[1024];
	static size_t input_used;
	int			n = 1 + nlinks;
	int			i;

	for (Conn *c = conns; c; c = c->next)
		n += 2;
	if ((polls = realloc(polls, n * sizeof(struct pollfd))) == NULL)
		die("realloc");
	memset(polls, 0, n * sizeof(struct pollfd));
	polls[0] = (struct pollfd) {.fd = 0,.events = POLLIN};
	for (i = 0; i < nlinks; i++)
		polls[1 + i] = (struct pollfd) {.fd = links[i].listener,.events = POLLIN};
	i = 1 + nlinks;
	for (Conn *c = conns; c; c = c->next, i += 2)
	{
		for (int side = FRONT; side <= NODE; side++)
		{
			struct pollfd *p = &polls[i + side];
			int			other = 1 - side;
			bool		write = c->used[other] > 0 && !c->link->held[other] && !c->mute[other];

			if (!c->ended[side] && c->used[side] < BUFFER_SIZE)
				p->events |= POLLIN;
			if (write)
				p->events |= POLLOUT;
			/* a side that has ended would report its end again and again */
			p->fd = p->events ? c->fd[side] : -1;
		}
	}
	if (poll(polls, n, 100) < 0 && errno != EINTR)
		die("poll");

	i = 1 + nlinks;
	for (Conn *c = conns; c; c = c->next, i += 2)
	{
		for (int side = FRONT; side <= NODE; side++)
		{
			if (polls[i + side].revents & (POLLIN | POLLHUP | POLLERR) && c->used[side] < BUFFER_SIZE)
				receive(c, side);
		}
		pass_on(c, FRONT);
		pass_on(c, NODE);
	}
	for (Conn **c = &conns; *c;)
	{
		Conn	   *gone = *c;

		if (!is_over(gone))
			c = &gone->next;
		else
		{
			*c = gone->next;
			free(gone);
		}
	}
	for (i = 0; i < nlinks; i++)
	{
		if (polls[1 + i].revents)
			accept_conn(&links[i]);
	}
	if (polls[0].revents)
	{
		ssize_t		got = read(0, input + input_used, sizeof(input) - 1 - input_used);
		char	   *end;

		if (got <= 0)
			exit(0);
		input_used += got;
		input[input_used] = '\0';
		while ((end = strchr(input, '\n')) != NULL)
		{
			*end = '\0';
			obey(input);
			input_used -= end + 1 - input;
			memmove(input, end + 1, input_used + 1);
		}
	}
}

int
main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	nlinks = argc - 1;
	if ((links = calloc(argc, sizeof(Link))) == NULL)
		die("calloc");
	for (int i = 0; i < nlinks; i++)
	{
		char	   *sign = strchr(argv[i + 1], '=');

		if (sign == NULL)
		{
			fprintf(stderr, "usage: proxy NAME=SOCKET ...\n");
			return 1;
		}
		snprintf(links[i].name, sizeof(links[i].name), "%.*s", (int) (sign - argv[i + 1]), argv[i + 1]);
		links[i].node.sun_family = AF_UNIX;
		snprintf(links[i].node.sun_path, sizeof(links[i].node.sun_path), "%s", sign + 1);
		listen_on(&links[i]);
	}
	puts("ready");
	fflush(stdout);
	for (;;)
		turn();
}
