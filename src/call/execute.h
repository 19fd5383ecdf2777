/*
 * execute.h
 *
 * One call on one or more shards: which placements get it, what happens when
 * one of them fails, and when the whole call is started anew.  read.c and write.c decide that.
 */
#ifndef PLSHARD_EXECUTE_H
#define PLSHARD_EXECUTE_H

#include "call/request.h"

/*
 * Runs a call to its end: on return all rows are in the sink.  A write becomes
 * part of the current transaction on every active placement of its shards.
 *
 * Errors: the node's own (with node, shard and function as context); 57014
 * when "timeout" has passed; 08001/08006 when no placement of a shard answers;
 * 08007 where a one-shot call was cut off and may have been committed;
 * XX001 when replicas disagree; whatever the sink throws.
 */
extern void plshard_execute(CallRequest *request);

/*
 * Runs "nstatements" SQL statements (one command each, no parameters) at each
 * placement, in order at one placement, at all placements at once, as a write in the
 * current transaction (so ROLLBACK undoes it on the nodes).  Placements are in
 * the lock order: by shard, then placement.  Their rows are not read.  Unreachable
 * nodes are errors here: no node is evicted.
 */
extern void plshard_execute_admin(ClusterMap *map, int nplacements, const AdminPlacement *placements,
								  int nstatements, const char *const *statements);

#endif							/* PLSHARD_EXECUTE_H */
