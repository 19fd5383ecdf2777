/*
 * task.h
 *
 * Tasks are sent, watched and their results taken in here; what their outcomes mean is for
 * read.c and write.c.
 */
#ifndef PLSHARD_TASK_H
#define PLSHARD_TASK_H

#include "call/execution.h"

/*
 * Runs all tasks that are not held until each has ended one way or another.
 * Errors: 57014 when the call's time is over (unless shards may be skipped).
 */
extern void plshard_drive(Execution *e);

/* Gives rows to the sink. */
extern void plshard_deliver(Execution *e, Task *task, const PGresult *result);

/* Throws what a task has failed with: the node's error, or that it is out of reach. */
pg_noreturn extern void plshard_throw_task_error(const Execution *e, const Task *task);
pg_noreturn extern void plshard_throw_lost(const Execution *e, const Task *task, const char *hint);

#endif							/* PLSHARD_TASK_H */
