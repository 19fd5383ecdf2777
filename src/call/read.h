/*
 * read.h
 *
 * A read: one placement of each shard, going on to the next where one fails.
 */
#ifndef PLSHARD_READ_H
#define PLSHARD_READ_H

#include "call/execution.h"

/* Runs a read to its end; e->tasks has room for all targets.  Errors: see plshard_execute. */
extern void plshard_run_read(CallRequest *request, Execution *e);

/*
 * The node (index into the map) whose placement of a shard a read of this
 * session would go to now; -1 if there is none.  For explain_call.
 */
extern int	plshard_read_node(const ClusterMap *map, int shard);

#endif							/* PLSHARD_READ_H */
