/*
 * deadlock.h
 *
 * Deadlocks that no single server sees: between sessions of fronts that wait for
 * one another on different nodes, or on a node and on the front.  Who waits long
 * asks all nodes that may have to do with it who waits for whom, and looks for
 * a cycle through itself.
 */
#ifndef PLSHARD_DEADLOCK_H
#define PLSHARD_DEADLOCK_H

#include "base/compat.h"
#include "base/wait.h"
#include "connection/node_conn.h"

/* What is known of the wait for one connection's answer; all zero when it begins. */
typedef struct LockWait
{
	Deadline	look_at;		/* when to look next */
	int			looks;			/* how often we have */
	int			yields;			/* how often there was a deadlock that another session is to end */
	int			blind;			/* how often a node could not be asked */
	bool		warned;			/* of a prepared transaction that cannot be resolved */
} LockWait;

/*
 * To be called while a connection's answer is waited for.  When it is time to, it
 * looks for a deadlock, and resolves what is in doubt (recover.h) if that is what it
 * waits for; wait->look_at then says when to be called again.  Looking takes
 * node_timeout at most, and ends at "limit".
 *
 * NULL where this session is to go on waiting.  Otherwise a description for
 * plshard_throw_deadlock, palloc'd: what the session's connections wait for has
 * been cancelled, so the call ends with 57014 soon, in an intact transaction.
 * Errors: 40P01 where it could not be cancelled.
 */
extern char *plshard_look_for_deadlock(LockWait *wait, NodeConn *conn, Deadline limit);

/* Throws 40P01. */
pg_noreturn extern void plshard_throw_deadlock(const char *detail);

#endif							/* PLSHARD_DEADLOCK_H */
