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
 * True where a task's call can take them, as parameters (plshard_add_locks).  Statements must
 * go before it all the same where its own has to be prepared: that may need what the locks
 * wait for.
 */
extern bool plshard_call_takes_locks(const Execution *e, const Task *task);

/*
 * Queues them for a task, as statements; behind the settings of its shard and before its call.
 * See node_schema.h for the SQLSTATEs of their errors.
 */
extern void plshard_send_locks(const Execution *e, Task *task);

/* Adds them to a call's parameters: its statement becomes another one.  palloc'd. */
extern void plshard_add_locks(const Execution *e, const Task *task,
							  const RemoteQuery **query, const RemoteParams **params);

/* True where a call with such parameters has failed since a lock was not free, or the epoch is old. */
extern bool plshard_locks_refused(const PGresult *error);

#endif							/* PLSHARD_WRITE_LOCKS_H */
