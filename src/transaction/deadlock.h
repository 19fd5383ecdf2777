/*
 * deadlock.h
 *
 * Deadlocks that no single server can detect: between sessions of fronts that wait for
 * one another on different nodes, or on a node and on the front.  A session that waits
 * long queries the waits of all nodes that may be involved, and searches for a cycle
 * through itself.
 */
#ifndef PLSHARD_DEADLOCK_H
#define PLSHARD_DEADLOCK_H

#include "base/compat.h"
#include "base/wait.h"
#include "connection/node_conn.h"

/* What is known of the wait for one connection's answer; all zero when it begins. */
typedef struct LockWait
{
	Deadline	next_check;		/* when to check next */
	int			checks;			/* how many there were */
	int			yields;			/* how often there was a deadlock that another session is to end */
	int			blind;			/* how often a node could not be queried */
	bool		warned;			/* of a prepared transaction that cannot be resolved */
} LockWait;

/*
 * To be called while a connection's answer is waited for.  When it is time to, checks for
 * a deadlock, and resolves what is in doubt (recover.h) if the connection waits for that;
 * wait->next_check is then when to call it again.  A check takes node_timeout at most, and
 * ends at "limit".
 *
 * Returns NULL where this session is to go on waiting.  Otherwise a description for
 * plshard_throw_deadlock, palloc'd: the waits of the session's connections have been
 * cancelled, so the call ends with 57014 soon, in an intact transaction.  Raises 40P01
 * where they could not be cancelled.
 */
extern char *plshard_check_deadlock(LockWait *wait, NodeConn *conn, Deadline limit);

/* Raises 40P01; "detail" describes the deadlock. */
pg_noreturn extern void plshard_throw_deadlock(const char *detail);

#endif							/* PLSHARD_DEADLOCK_H */
