/*
 * answer.h
 *
 * What nodes answer to the steps of a task: rows, and how the task ends.
 */
#ifndef PLSHARD_ANSWER_H
#define PLSHARD_ANSWER_H

#include "call/execution.h"
#include "connection/node_conn.h"

/*
 * Takes in a result of a task, which is the owner of "pending"; "arg" is the Execution.  The
 * task's state is how it has ended, once its Sync has come.  Errors: whatever the sink
 * throws; 0A000 where a node answers with what no call does.
 */
extern void plshard_take_answer(NodeConn *conn, Pending *pending, PGresult *result, void *arg);

/* Gives rows to the sink. */
extern void plshard_deliver(Execution *e, Task *task, const PGresult *result);

/* Throws the node's error that a task has failed with, or 57014 where the call's time is over. */
pg_noreturn extern void plshard_throw_task_error(const Execution *e, const Task *task);

#endif							/* PLSHARD_ANSWER_H */
