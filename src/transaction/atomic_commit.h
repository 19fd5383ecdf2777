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

#include "connection/node_conn.h"
#include "transaction/participants.h"

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
 * The same in steps, where PREPARE travels in the batch of the call (early_prepare.h), which
 * has exactly one participant beside the deciding node.  First the transaction's name:
 */
extern AtomicCommit *plshard_atomic_begin(Participants *participants, HTAB *written);

/*
 * Queues, behind the call, what prepares a participant, or what the deciding node can do
 * meanwhile.  All results are "owner"'s, that of PREPARE with "number".
 */
extern void plshard_atomic_send_with_call(const AtomicCommit *commit, NodeConn *conn,
										  void *owner, int number);

/*
 * What has become of the batch of a participant: COMMAND_DONE where it has prepared.  False
 * where it must not commit all the same.
 */
extern bool plshard_atomic_note(const AtomicCommit *commit, NodeConn *conn, CommandState state);

/*
 * Takes back what was sent so: the deciding node's part, then what is prepared, or may be later.
 * If the node confirms that, it is final: nobody but the deciding node, which was not told
 * to, and who resolves without it can commit, and then nothing is left to commit.  With
 * interrupts held.  Errors: 08007, as plshard_atomic_abort's.
 */
extern void plshard_atomic_take_back(AtomicCommit *commit);

/*
 * The decision, and COMMIT PREPARED; where the front decides only the row on the
 * front, the rest is done by the transaction callbacks below.  Errors as
 * plshard_atomic_prepare's.
 */
extern void plshard_atomic_decide(AtomicCommit *commit);

/* Takes the PREPAREs back.  Errors: 08007 where that cannot be, or commit stands already. */
extern void plshard_atomic_abort(AtomicCommit *commit);

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
