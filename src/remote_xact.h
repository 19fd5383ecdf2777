/*
 * remote_xact.h
 *
 * The caller's transaction on the nodes: begin, savepoints, commit and abort
 * follow the front's, through its transaction callbacks.
 */
#ifndef PLSHARD_REMOTE_XACT_H
#define PLSHARD_REMOTE_XACT_H

#include "postgres.h"

/* Registers the transaction callbacks; called once by _PG_init. */
extern void plshard_remote_xact_init(void);

/*
 * True where this session's current transaction has written on some node:
 * repair and the like refuse to run then, they would wait for its locks.
 */
extern bool plshard_remote_xact_has_writes(void);

#endif							/* PLSHARD_REMOTE_XACT_H */
