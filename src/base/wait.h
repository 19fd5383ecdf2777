/*
 * wait.h
 *
 * The only file that sleeps: until a socket is ready, the latch is set, the postmaster
 * has died or a deadline has passed.
 */
#ifndef PLSHARD_WAIT_H
#define PLSHARD_WAIT_H

#include "storage/latch.h"

/* Microseconds of plshard_clock(); NO_DEADLINE means none. */
typedef int64 Deadline;

#define NO_DEADLINE ((Deadline) 0)

/* The time in microseconds, on a clock that is never set back. */
extern Deadline plshard_clock(void);

/* The earlier of two deadlines, either of which may be none. */
static inline Deadline
deadline_min(Deadline a, Deadline b)
{
	if (a == NO_DEADLINE)
		return b;
	if (b == NO_DEADLINE)
		return a;
	return a < b ? a : b;
}

/* "ms" milliseconds from now; no deadline for 0. */
static inline Deadline
deadline_in(int ms)
{
	return ms > 0 ? plshard_clock() + (Deadline) ms * 1000 : NO_DEADLINE;
}

static inline bool
deadline_passed(Deadline d)
{
	return d != NO_DEADLINE && plshard_clock() >= d;
}

typedef struct WaitSocket
{
	pgsocket	fd;
	uint32		events;			/* WL_SOCKET_READABLE | WL_SOCKET_WRITEABLE */
	bool		passing;		/* libpq may close or replace it soon: a connection is being made */
	uint32		ready;			/* out: those of them that are */
} WaitSocket;

/*
 * Waits until a socket is ready or the deadline has passed.  Returns the number of
 * sockets that are ready (of many, perhaps not all), 0 after the deadline.  Serves
 * interrupts first and whenever the latch is set, so it raises the errors of cancel,
 * statement_timeout and termination; exits if the postmaster has died.
 */
extern int	plshard_wait(WaitSocket *sockets, int nsockets, Deadline deadline);

/*
 * Must be called for a socket that was waited for (not as a passing one) when it is
 * closed or may have been, before another one can get its number.  libpq may close a
 * socket at any time, after which PQsocket does not return it, so the caller keeps the
 * number.
 */
extern void plshard_wait_forget(pgsocket fd);

#endif							/* PLSHARD_WAIT_H */
