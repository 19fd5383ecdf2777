/*
 * watch.h
 *
 * The clock of a call: its own time, slow and silent nodes, locks, deadlocks.
 */
#ifndef PLSHARD_WATCH_H
#define PLSHARD_WATCH_H

#include "call/execution.h"

/*
 * Ends what has taken too long: the call's own time, each attempt's share of it, connecting, a
 * silent node.  Looks for deadlocks.  Returns when to be called again.  Errors: 57014 when the
 * call's time is over (unless shards may be skipped); as plshard_check_deadlock.
 */
extern Deadline plshard_watch_clock(Execution *e);

/* True where the task's placement is not active any more, as other sessions have committed. */
extern bool plshard_task_is_evicted(const Execution *e, const Task *task);

/* Throws 57014: the call's TIMEOUT is over. */
pg_noreturn extern void plshard_throw_timeout(const Execution *e);

#endif							/* PLSHARD_WATCH_H */
