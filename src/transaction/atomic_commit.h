/*
 * atomic_commit.h
 *
 * commit = 'atomic' (PROTOCOL rules 6 to 9, 14 and 15): all participants prepare,
 * one decides, all commit.
 *
 * The deciding node decides by its COMMIT, which includes the transaction's row; it is
 * never prepared itself.  Where the front has changes of its own to commit, or no single
 * node can decide for all, the front decides by its own commit.
 */
#ifndef PLSHARD_ATOMIC_COMMIT_H
#define PLSHARD_ATOMIC_COMMIT_H

#include "connection/node_conn.h"
#include "transaction/participants.h"

typedef struct AtomicCommit AtomicCommit;

/*
 * True where the participants must commit by the protocol above; false where a plain
 * COMMIT of one node does the same.
 */
extern bool plshard_needs_atomic_commit(const Participants *participants);

/*
 * Prepares all participants but the deciding node.  The caller holds interrupts;
 * "participants" must live until the end of the transaction.  Raises the error with which
 * a node has refused, or 08006 where a connection was lost; then nothing stays prepared,
 * except for what recovery rolls back.  08007 where that could not be decided.
 */
extern AtomicCommit *plshard_atomic_prepare(Participants *participants, HTAB *written);

/*
 * The same in steps, where PREPARE travels in the batch of the call (early_prepare.h), which
 * has exactly one participant beside the deciding node.  This one names the transaction.
 */
extern AtomicCommit *plshard_atomic_begin(Participants *participants, HTAB *written);

/*
 * Queues, behind the call, what prepares a participant; for the deciding node, the check
 * of its deferred constraints.  All results are "owner"'s, that of PREPARE with "number".
 */
extern void plshard_atomic_send_with_call(const AtomicCommit *commit, NodeConn *conn,
										  void *owner, int number);

/*
 * Notes the outcome of a participant's batch: COMMAND_DONE where it has prepared.  False
 * where it must not commit.
 */
extern bool plshard_atomic_note(const AtomicCommit *commit, NodeConn *conn, CommandState state);

/*
 * Rolls back what was sent so: the deciding node's part, then what is prepared, or may be
 * later.  Once the node has confirmed that, it is final: only the deciding node, which was
 * not sent COMMIT, or recovery without that node can commit, and then there is nothing
 * left to commit.  The caller holds interrupts.  Raises 08007, as plshard_atomic_abort.
 */
extern void plshard_atomic_undo(AtomicCommit *commit);

/*
 * Decides, and runs COMMIT PREPARED.  Where the front decides, only inserts the row on the
 * front; the callbacks below do the rest.  Raises what plshard_atomic_prepare raises.
 */
extern void plshard_atomic_decide(AtomicCommit *commit);

/* Rolls back the PREPAREs.  Raises 08007 where that cannot be decided, or commit was decided. */
extern void plshard_atomic_abort(AtomicCommit *commit);

/* True between PREPARE and the front's end where the front decides. */
extern bool plshard_atomic_front_decides(void);

/*
 * For the callbacks of the front's commit and abort: end what the front has decided.
 * Bounded in time (abort does not wait at all); never raise.  False where the front has
 * decided nothing.
 */
extern bool plshard_atomic_front_committed(void);
extern bool plshard_atomic_front_aborted(void);

#endif							/* PLSHARD_ATOMIC_COMMIT_H */
