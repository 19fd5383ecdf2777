/*
 * watch.h
 *
 * The clock of a call: its own time, slow and silent nodes, locks, deadlocks.
 */
#ifndef PLSHARD_WATCH_H
#define PLSHARD_WATCH_H

#include "call/execution.h"

/*
 * Looks at the clock: the call's own time, each attempt's share of it, how long
 * connecting takes, and silent nodes.  Returns when to look again.
 */
extern Deadline plshard_watch_clock(Execution *e);

/*
 * True where the task's placement is not active any more.  Looks at what other
 * sessions have committed.
 */
extern bool plshard_task_is_evicted(const Execution *e, const Task *task);

/* Throws 57014: the call's TIMEOUT is over. */
pg_noreturn extern void plshard_throw_timeout(const Execution *e);

#endif							/* PLSHARD_WATCH_H */
