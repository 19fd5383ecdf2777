/*
 * early_prepare.h
 *
 * A write of one shard with two replicas that is all of its transaction: the second
 * replica prepares in the batch of the call (PROTOCOL rule 6; STEP_PREPARE of plan.h), so that
 * commit takes two more round trips, the deciding node's COMMIT and COMMIT PREPARED.
 *
 * Until the deciding node commits the call can still fail in any way.  What may be
 * prepared is then rolled back before the caller sees the error, and before the call is tried again.
 */
#ifndef PLSHARD_EARLY_PREPARE_H
#define PLSHARD_EARLY_PREPARE_H

#include "call/execution.h"

/* Whether a write is sent so: request->one_shot is set where it is all of the caller's transaction. */
extern bool plshard_early_applies(const Execution *e);

/*
 * Begins the commit of an execution whose tasks have been given their connections: sets e->early.
 * False where one of them has to connect first: the other's part would be prepared long before.
 */
extern bool plshard_early_begin(Execution *e);

/*
 * plshard_drive for it.  Errors: as plshard_drive's, after all is rolled back; 08007 where that
 * failed.
 */
extern void plshard_early_drive(Execution *e);

/* True where something is prepared, or may be: it must be committed or rolled back. */
extern bool plshard_early_is_open(const Execution *e);

/* Rolls it back, and with it all work of the call.  Errors: 08007. */
extern void plshard_early_take_back(Execution *e);

/* The same for an error that was caught, which it throws again; "context" is the catcher's. */
pg_noreturn extern void plshard_early_fail(Execution *e, MemoryContext context);

/*
 * Commits.  Errors: what a node has refused with, or 08006, and nothing is committed or will
 * be; 08007.
 */
extern void plshard_early_commit(Execution *e);

/*
 * Throws the error of a step behind the call, if one has failed.  True where the node only had
 * no room for one more prepared transaction: the call is to be made again, without early prepare.
 */
extern bool plshard_early_refused(const Execution *e);

#endif							/* PLSHARD_EARLY_PREPARE_H */
