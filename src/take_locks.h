/*
 * take_locks.h
 *
 * The locks of a write's task, and the check of the node's epoch behind them
 * (PROTOCOL rules 1 to 3).
 */
#ifndef PLSHARD_TAKE_LOCKS_H
#define PLSHARD_TAKE_LOCKS_H

#include "task.h"

/*
 * Queues the commands, before those of the call: they try the locks, or wait for
 * them where task->wait_locks.  A lock that is not free at once is
 * SQLSTATE_LOCK_NOT_TAKEN, an old map SQLSTATE_EPOCH_IS_OLD.
 */
extern void plshard_send_locks(const Execution *e, Task *task);

#endif							/* PLSHARD_TAKE_LOCKS_H */
