/*
 * write.h
 *
 * A write: every active placement of its shards.
 */
#ifndef PLSHARD_WRITE_H
#define PLSHARD_WRITE_H

#include "call/execution.h"

/* Runs a write to its end, short of commit.  Errors: see plshard_execute. */
extern void plshard_run_write(CallRequest *request, Execution *e);

/* The same for administration, whose tasks are given: no node is evicted. */
extern void plshard_run_admin(Execution *e);

#endif							/* PLSHARD_WRITE_H */
