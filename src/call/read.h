/*
 * read.h
 *
 * A read: one placement of each shard, going on to the next where one fails.
 */
#ifndef PLSHARD_READ_H
#define PLSHARD_READ_H

#include "call/task.h"

/* Runs a read to its end; e->tasks has room for all targets.  Errors: see plshard_execute. */
extern void plshard_run_read(CallRequest *request, Execution *e);

#endif							/* PLSHARD_READ_H */
