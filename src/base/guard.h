/*
 * guard.h
 *
 * Runs a function so that its error does not end the whole command.
 */
#ifndef PLSHARD_GUARD_H
#define PLSHARD_GUARD_H

#include "base/compat.h"

/*
 * Calls function(arg) in a subtransaction of its own, in the current memory
 * context.  Returns NULL, or the error that it raised, palloc'd; the caller raises a
 * cancel (plshard_is_cancel) again once it has cleaned up.
 */
extern ErrorData *plshard_guard(void (*function) (void *arg), void *arg);

/* Throws such an error again; resets what holds interrupts, as each error does. */
pg_noreturn extern void plshard_rethrow(ErrorData *error);

/* True for an error that must end the whole command. */
extern bool plshard_is_cancel(const ErrorData *error);

#endif							/* PLSHARD_GUARD_H */
