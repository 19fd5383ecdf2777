/*
 * write_locks.h
 *
 * The locks that a write takes on a placement, and the epoch that it is checked
 * against (PROTOCOL rules 1 to 3).
 */
#ifndef PLSHARD_WRITE_LOCKS_H
#define PLSHARD_WRITE_LOCKS_H

#include "task.h"

/*
 * Queues them for a task; behind the settings of its shard and before its call.
 * Errors
 * come with PENDING_LOCK; see node_schema.h for their SQLSTATEs.
 */
extern void plshard_send_locks(const Execution *e, Task *task);

#endif							/* PLSHARD_WRITE_LOCKS_H */
