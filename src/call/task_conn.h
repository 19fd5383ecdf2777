/*
 * task_conn.h
 *
 * Which connections the tasks of a call use.
 */
#ifndef PLSHARD_TASK_CONN_H
#define PLSHARD_TASK_CONN_H

#include "call/execution.h"
#include "connection/node_conn.h"

/* Gives a task its connection.  Errors: 08006, 0A000 where it cannot have one. */
extern void plshard_assign_conn(Execution *e, Task *task);

/* What is watched of a connection that some task has. */
extern ConnWatch *plshard_conn_watch(const Execution *e, const NodeConn *conn);

/*
 * For a task whose connection was lost.  A connection that had been idle since an earlier
 * call, with no work of the transaction in it but this call's, may have been closed by the
 * node, which is no failure of it: connects anew and makes its tasks run again.  False where
 * that does not apply.
 */
extern bool plshard_renew_conn(Execution *e, Task *task);

#endif							/* PLSHARD_TASK_CONN_H */
