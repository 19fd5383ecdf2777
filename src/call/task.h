/*
 * task.h
 *
 * The loop that runs a call's tasks.  What their outcomes mean is for read.c and write.c.
 */
#ifndef PLSHARD_TASK_H
#define PLSHARD_TASK_H

#include "call/execution.h"

/*
 * Runs all tasks that are not held until each has ended one way or another.
 * Errors: 57014 when the call's time is over (unless shards may be skipped).
 */
extern void plshard_drive(Execution *e);

/* Throws the failure of a task's connection (08006, if it has no SQLSTATE). */
pg_noreturn extern void plshard_throw_lost(const Execution *e, const Task *task, const char *hint);

#endif							/* PLSHARD_TASK_H */
