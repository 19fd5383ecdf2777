/*
 * write_locks.h
 *
 * The locks that a write takes on a placement, and the epoch that it is checked
 * against (PROTOCOL rules 1 to 3).
 */
#ifndef PLSHARD_WRITE_LOCKS_H
#define PLSHARD_WRITE_LOCKS_H

#include "call/execution.h"

/*
 * Queues them for a task; behind the settings of its shard and before its call (NULL for
 * administration).  Errors come with PENDING_LOCK; see node_schema.h for their SQLSTATEs.
 * True where the call has to take them (plshard_add_locks); then they are queued only if
 * its statement has to be prepared, which may need what they wait for.
 */
extern bool plshard_send_locks(const Execution *e, Task *task, const RemoteQuery *query);

/* Adds them to a call's parameters: its statement becomes another one.  palloc'd. */
extern void plshard_add_locks(const Execution *e, const Task *task,
							  const RemoteQuery **query, const RemoteParams **params);

/* Whether such a call has failed since a lock was not free, or its epoch is old. */
extern bool plshard_locks_refused(const PGresult *error);

#endif							/* PLSHARD_WRITE_LOCKS_H */
