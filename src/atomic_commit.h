/*
 * atomic_commit.h
 *
 * commit = 'atomic' (PROTOCOL rules 6 to 9, 14 and 15): all participants prepare,
 * one decides, all commit.
 *
 * Who decides: the deciding node, by committing with the transaction's row in
 * the same transaction, is never prepared itself.  Or the front, by its own
 * commit, where it has something to commit too or where no single node can
 * stand for all.
 */
#ifndef PLSHARD_ATOMIC_COMMIT_H
#define PLSHARD_ATOMIC_COMMIT_H

#include "participants.h"

typedef struct AtomicCommit AtomicCommit;

/*
 * True where what the participants have written must be committed by the protocol
 * above; false where a plain COMMIT of one node does the same.
 */
extern bool plshard_needs_atomic_commit(const Participants *participants);

/*
 * Prepares all participants but the deciding node.  With interrupts held; keeps
 * "participants" until the end of the transaction.  Errors: what a node has
 * refused with, 08006 where a connection was lost; then nothing is prepared
 * anywhere, or will be once recovery has been there.  08007 where that could not be
 * brought about.
 */
extern AtomicCommit *plshard_atomic_prepare(Participants *participants, HTAB *written);

/*
 * The decision, and COMMIT PREPARED; where the front decides only the row on the
 * front, the rest is done by the transaction callbacks below.  Errors as
 * plshard_atomic_prepare's.
 */
extern void plshard_atomic_decide(AtomicCommit *commit);

/* Takes the PREPAREs back.  Errors: 08007 where that cannot be, or commit stands already. */
extern void plshard_atomic_abort(AtomicCommit *commit);

/*
 * For a call that is known to be the transaction's only write, and goes to the
 * deciding node and exactly one other (rule 6): the other's PREPARE travels with
 * the call.
 *
 * Between plshard_atomic_announce and the end of the transaction nothing may be cancelled
 * (the caller holds interrupts), and an error may be thrown, or the
 * call sent again, only after plshard_atomic_retract.
 *
 *   announce   gives the transaction its name; the connections have been assigned
 *   queue      queues what prepares, behind the call's commands and before their Sync.
 *              The last of them leaves a Pending of kind PENDING_XACT_PREPARE for the
 *              caller's handler, with its owner
 *   answered   for the result of that (PGRES_COMMAND_OK): true where it is prepared
 *   retract    undoes the call on both nodes, final by rule 9; nothing where
 *              nothing is announced.  Errors: 08007
 *
 * plshard_commit_remote knows what is prepared and sends the rest.
 */
extern void plshard_atomic_announce(ClusterMap *map, NodeConn *decider, NodeConn *other);
extern void plshard_atomic_queue_prepare(NodeConn *other, void *owner);
extern bool plshard_atomic_answered(NodeConn *other, const PGresult *result);
extern void plshard_atomic_retract(void);

/* True where there is something to retract. */
extern bool plshard_atomic_announced(void);

/* The transaction has ended. */
extern void plshard_atomic_forget(void);

/* True between PREPARE and the front's end where the front decides. */
extern bool plshard_atomic_front_decides(void);

/*
 * For the callbacks of the front's commit and abort: end what the front decides,
 * if there is something.  Bounded in time (abort does not wait at all), never
 * throw.  False where there is nothing.
 */
extern bool plshard_atomic_front_committed(void);
extern bool plshard_atomic_front_aborted(void);

#endif							/* PLSHARD_ATOMIC_COMMIT_H */
