/*
 * wait.h
 *
 * The only place where plshard sleeps: for sockets, the process latch, the
 * postmaster's death and a deadline.  No policy here.
 */
#ifndef PLSHARD_WAIT_H
#define PLSHARD_WAIT_H

#include "postgres.h"

#include "storage/latch.h"

/* Microseconds on a clock that never goes back; 0 as a deadline means none. */
typedef int64 Deadline;

#define NO_DEADLINE ((Deadline) 0)

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
	bool		passing;		/* it may be closed or replaced soon: a handshake is under way */
	uint32		ready;			/* out: those of them that are */
} WaitSocket;

/*
 * Waits until a socket is ready (returns how many; not all that are, where there
 * are many), or the deadline has passed (returns 0).  Serves interrupts first and whenever the latch is set, so it
 * throws on cancel, statement_timeout and termination; ends the process when
 * the postmaster is gone.
 */
extern int	plshard_wait(WaitSocket *sockets, int nsockets, Deadline deadline);

/*
 * Must be called for a socket that was waited for (not as a passing one) when it has been or may be
 * closed, before another one can get its number.  libpq closes sockets as it
 * likes, so the caller keeps the number: PQsocket may not know it any more.
 */
extern void plshard_wait_forget(pgsocket fd);

#endif							/* PLSHARD_WAIT_H */
