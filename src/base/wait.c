/*
 * wait.c
 *
 * Sleeping, for sockets, the latch, the postmaster and a deadline.
 *
 * Making a WaitEventSet costs several system calls, so one is kept that has all
 * sockets that were ever waited for: which of them a call waits for makes no
 * difference to the kernel.  One that nobody waits for is quiet, as a rule; should
 * it speak, the set is made anew without it.  The set and what is known of it live
 * in TopMemoryContext (17+: without a resource owner); it takes a file descriptor,
 * which PostgreSQL counts.
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

/* The time that a machine sleeps passes for the others, too. */
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
	uint64		wait;			/* the last one that was for it */
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

static WaitEventSet *
make_set(int size)
{
	WaitEventSet *set = plshard_create_wait_event_set(size);

	AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	return set;
}

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

static void
make_room_for_fd(pgsocket fd)
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

static void
add_kept(const WaitSocket *socket)
{
	int			position;

	make_room_for_fd(socket->fd);
	position = AddWaitEventToSet(kept_set, socket->events, socket->fd, NULL, NULL);
	positions[socket->fd] = position;
	kept[position].fd = socket->fd;
	kept[position].events = socket->events;
	nkept = position + 1;
}

static int
position_of(const WaitSocket *socket)
{
	return socket->fd < npositions ? positions[socket->fd] : 0;
}

/* Brings the kept set to wait for these sockets, whatever else is in it. */
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

/* A set for one wait: sockets of a handshake come and go as libpq likes. */
static WaitEventSet *
make_passing_set(const WaitSocket *sockets, int nsockets)
{
	WaitEventSet *set = make_set(nsockets + FIRST_SOCKET);

	for (int i = 0; i < nsockets; i++)
		AddWaitEventToSet(set, sockets[i].events, sockets[i].fd, NULL, NULL);
	return set;
}

/* How many of the sockets are ready; or 0, for another reason to wake. */
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
			drop_kept();		/* it would wake us again and again */
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

			/* round up, so as not to wake before it */
			timeout = deadline <= now ? 0 : (long) ((deadline - now + 999) / 1000);
		}
		ready = wait_once(sockets, nsockets, passing, timeout);
		if (ready > 0)
			return ready;
		if (deadline_passed(deadline))
			return 0;
	}
}
