/*
 * send.h
 *
 * Sending a task.
 */
#ifndef PLSHARD_SEND_H
#define PLSHARD_SEND_H

#include "call/execution.h"

/*
 * Plans a task whose connection is up, and sends it: it is TASK_SENT afterwards.  Not yet where
 * COPY needs the connection for itself and an answer is awaited on it: then it stays TASK_READY.
 */
extern void plshard_send_task(Execution *e, Task *task);

#endif							/* PLSHARD_SEND_H */
