/*
 * wait.c
 *
 * Sleeping, for sockets, the latch, the postmaster and a deadline.
 *
 * Making a WaitEventSet costs several system calls, so sets are kept: one for
 * each socket that was waited for alone, and the last one for several.  They
 * live in TopMemoryContext (17+: without a resource owner); each takes a file
 * descriptor, which PostgreSQL counts.
 */
#include "postgres.h"

#include <time.h>

#include "compat.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"
#include "wait.h"

#define MAX_KEPT_SETS 64

typedef struct KeptSet
{
	WaitEventSet *set;			/* NULL: unused */
	int			nsockets;
	pgsocket   *fds;
	uint32	   *events;
} KeptSet;

/* positions of the sockets in a set begin behind the latch and the postmaster */
#define FIRST_SOCKET 2

static KeptSet single_sets[MAX_KEPT_SETS];	/* by fd modulo the size */
static KeptSet multi_set;

Deadline
plshard_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (Deadline) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void
free_kept(KeptSet *kept)
{
	if (kept->set == NULL)
		return;
	FreeWaitEventSet(kept->set);
	kept->set = NULL;
	pfree(kept->fds);
	pfree(kept->events);
}

void
plshard_wait_forget(pgsocket fd)
{
	KeptSet    *kept;

	if (fd == PGINVALID_SOCKET)
		return;
	kept = &single_sets[fd % MAX_KEPT_SETS];
	if (kept->set && kept->fds[0] == fd)
		free_kept(kept);
	for (int i = 0; multi_set.set && i < multi_set.nsockets; i++)
	{
		if (multi_set.fds[i] == fd)
			free_kept(&multi_set);
	}
}

/* The kept set for exactly these sockets, made or adjusted as needed. */
static KeptSet *
get_kept(const WaitSocket *sockets, int nsockets)
{
	KeptSet    *kept = nsockets == 1 ?
		&single_sets[sockets[0].fd % MAX_KEPT_SETS] : &multi_set;
	bool		fits = kept->set != NULL && kept->nsockets == nsockets;

	for (int i = 0; fits && i < nsockets; i++)
		fits = kept->fds[i] == sockets[i].fd;

	if (!fits)
	{
		free_kept(kept);
		kept->fds = MemoryContextAlloc(TopMemoryContext, sizeof(pgsocket) * Max(nsockets, 1));
		kept->events = MemoryContextAlloc(TopMemoryContext, sizeof(uint32) * Max(nsockets, 1));
		kept->nsockets = nsockets;
		kept->set = plshard_create_wait_event_set(nsockets + FIRST_SOCKET);
		AddWaitEventToSet(kept->set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
		AddWaitEventToSet(kept->set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
		for (int i = 0; i < nsockets; i++)
		{
			kept->fds[i] = sockets[i].fd;
			kept->events[i] = sockets[i].events;
			AddWaitEventToSet(kept->set, sockets[i].events, sockets[i].fd, NULL, NULL);
		}
		return kept;
	}

	for (int i = 0; i < nsockets; i++)
	{
		if (kept->events[i] != sockets[i].events)
		{
			ModifyWaitEvent(kept->set, FIRST_SOCKET + i, sockets[i].events, NULL);
			kept->events[i] = sockets[i].events;
		}
	}
	return kept;
}

int
plshard_wait(WaitSocket *sockets, int nsockets, Deadline deadline)
{
	for (int i = 0; i < nsockets; i++)
		sockets[i].ready = 0;

	for (;;)
	{
		WaitEvent	occurred[16];
		KeptSet    *kept;
		long		timeout = -1;
		int			n;
		int			ready = 0;

		CHECK_FOR_INTERRUPTS();

		if (deadline != NO_DEADLINE)
		{
			Deadline	now = plshard_clock();

			/* round up, so as not to wake before it */
			timeout = deadline <= now ? 0 : (long) ((deadline - now + 999) / 1000);
		}

		kept = get_kept(sockets, nsockets);
		n = WaitEventSetWait(kept->set, timeout, occurred, lengthof(occurred),
							 PG_WAIT_EXTENSION);

		for (int i = 0; i < n; i++)
		{
			if (occurred[i].events & WL_LATCH_SET)
				ResetLatch(MyLatch);
			else if (occurred[i].pos >= FIRST_SOCKET)
			{
				sockets[occurred[i].pos - FIRST_SOCKET].ready = occurred[i].events;
				ready++;
			}
		}
		if (ready > 0)
			return ready;
		if (deadline_passed(deadline))
			return 0;
	}
}
