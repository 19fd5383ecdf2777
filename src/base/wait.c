/*
 * wait.c
 *
 * Sleeps until a socket is ready, the latch is set, the postmaster has died or a
 * deadline has passed.
 *
 * Making a WaitEventSet costs several system calls, so one is kept that contains all
 * sockets that were ever waited for.  A socket that is not being waited for rarely
 * becomes ready; if it does, the set is made anew without it.  The set and its
 * bookkeeping are in TopMemoryContext (17 and later: without a resource owner); it takes
 * a file descriptor, which PostgreSQL counts.
 */
#include "postgres.h"

#include <time.h>

#include "base/compat.h"
#include "base/wait.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

/* positions of the sockets in a set begin behind the latch and the postmaster */
#define FIRST_SOCKET 2

/* A clock that goes on while the machine is suspended, as the clocks of other machines do. */
#ifdef CLOCK_BOOTTIME
#define PLSHARD_CLOCK CLOCK_BOOTTIME
#else
#define PLSHARD_CLOCK CLOCK_MONOTONIC
#endif

#define INITIAL_SIZE 32

typedef struct KeptSocket
{
	pgsocket	fd;
	uint32		events;
	uint64		wait;			/* the wait_number of the last wait for it */
	int			index;			/* in the sockets of that wait */
} KeptSocket;

static WaitEventSet *kept_set = NULL;
static KeptSocket *kept = NULL; /* by position in the set */
static int	kept_size = 0;
static int	nkept = 0;			/* positions in use */
static int *positions = NULL;	/* by fd; 0: not in the set */
static int	npositions = 0;
static uint64 wait_number = 0;

Deadline
plshard_clock(void)
{
	struct timespec now;

	clock_gettime(PLSHARD_CLOCK, &now);
	return (Deadline) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* A set of the latch and the postmaster, with space for up to size events. */
static WaitEventSet *
make_set(int size)
{
	WaitEventSet *set = plshard_create_wait_event_set(size);

	AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	return set;
}

/* Frees the kept set. */
static void
drop_kept(void)
{
	WaitEventSet *set = kept_set;

	if (set == NULL)
		return;
	kept_set = NULL;
	memset(positions, 0, npositions * sizeof(int));
	FreeWaitEventSet(set);
}

void
plshard_wait_forget(pgsocket fd)
{
	if (kept_set != NULL && fd >= 0 && fd < npositions && positions[fd] != 0)
		drop_kept();
}

/* Makes an empty kept set. */
static void
begin_kept(int size)
{
	if (kept == NULL)
		kept = MemoryContextAlloc(TopMemoryContext, size * sizeof(KeptSocket));
	else if (size > kept_size)
		kept = repalloc(kept, size * sizeof(KeptSocket));
	kept_size = Max(size, kept_size);
	nkept = FIRST_SOCKET;
	kept_set = make_set(kept_size);
}

/* Enlarges positions[] to contain fd. */
static void
enlarge_positions(pgsocket fd)
{
	int			n = Max(npositions, INITIAL_SIZE);

	if (fd < npositions)
		return;
	while (n <= fd)
		n *= 2;
	positions = positions ? repalloc(positions, n * sizeof(int)) :
		MemoryContextAlloc(TopMemoryContext, n * sizeof(int));
	memset(positions + npositions, 0, (n - npositions) * sizeof(int));
	npositions = n;
}

/* Adds a socket to the kept set. */
static void
add_kept(const WaitSocket *socket)
{
	int			position;

	enlarge_positions(socket->fd);
	position = AddWaitEventToSet(kept_set, socket->events, socket->fd, NULL, NULL);
	positions[socket->fd] = position;
	kept[position].fd = socket->fd;
	kept[position].events = socket->events;
	nkept = position + 1;
}

/* The position of a socket in the kept set, 0 if it is not in it. */
static int
position_of(const WaitSocket *socket)
{
	return socket->fd < npositions ? positions[socket->fd] : 0;
}

/* Makes the kept set contain these sockets with their events, among others. */
static void
prepare_kept(const WaitSocket *sockets, int nsockets)
{
	int			missing = 0;

	for (int i = 0; i < nsockets; i++)
		missing += position_of(&sockets[i]) == 0;
	if (kept_set != NULL && nkept + missing > kept_size)
	{
		drop_kept();
		begin_kept(2 * kept_size + nsockets);
	}
	else if (kept_set == NULL)
		begin_kept(nsockets + INITIAL_SIZE);

	wait_number++;
	for (int i = 0; i < nsockets; i++)
	{
		KeptSocket *known;

		if (position_of(&sockets[i]) == 0)
			add_kept(&sockets[i]);
		known = &kept[position_of(&sockets[i])];
		if (known->events != sockets[i].events)
		{
			ModifyWaitEvent(kept_set, position_of(&sockets[i]), sockets[i].events, NULL);
			known->events = sockets[i].events;
		}
		known->wait = wait_number;
		known->index = i;
	}
}

/* A set for one wait: during a handshake libpq may close and open sockets at any time. */
static WaitEventSet *
make_passing_set(const WaitSocket *sockets, int nsockets)
{
	WaitEventSet *set = make_set(nsockets + FIRST_SOCKET);

	for (int i = 0; i < nsockets; i++)
		AddWaitEventToSet(set, sockets[i].events, sockets[i].fd, NULL, NULL);
	return set;
}

/* Waits once.  The number of sockets that are ready; 0 after another event or the timeout. */
static int
wait_once(WaitSocket *sockets, int nsockets, bool passing, long timeout)
{
	WaitEvent	occurred[16];
	WaitEventSet *set;
	int			n;
	int			ready = 0;

	if (passing)
		set = make_passing_set(sockets, nsockets);
	else
	{
		prepare_kept(sockets, nsockets);
		set = kept_set;
	}
	n = WaitEventSetWait(set, timeout, occurred, lengthof(occurred), PG_WAIT_EXTENSION);

	for (int i = 0; i < n; i++)
	{
		int			position = occurred[i].pos;

		if (occurred[i].events & WL_LATCH_SET)
			ResetLatch(MyLatch);
		else if (passing)
		{
			sockets[position - FIRST_SOCKET].ready = occurred[i].events;
			ready++;
		}
		else if (position >= FIRST_SOCKET && kept[position].wait == wait_number)
		{
			sockets[kept[position].index].ready = occurred[i].events;
			ready++;
		}
		else
			drop_kept();		/* a socket that is not waited for would end every wait */
	}
	if (passing)
		FreeWaitEventSet(set);
	return ready;
}

int
plshard_wait(WaitSocket *sockets, int nsockets, Deadline deadline)
{
	bool		passing = false;

	for (int i = 0; i < nsockets; i++)
	{
		sockets[i].ready = 0;
		passing |= sockets[i].passing;
	}

	for (;;)
	{
		long		timeout = -1;
		int			ready;

		CHECK_FOR_INTERRUPTS();

		if (deadline != NO_DEADLINE)
		{
			Deadline	now = plshard_clock();

			/* rounded up, so as not to wake up too early */
			timeout = deadline <= now ? 0 : (long) ((deadline - now + 999) / 1000);
		}
		ready = wait_once(sockets, nsockets, passing, timeout);
		if (ready > 0)
			return ready;
		if (deadline_passed(deadline))
			return 0;
	}
}
