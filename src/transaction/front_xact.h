/*
 * front_xact.h
 *
 * The end of the front's transaction, and of its subtransactions, as the nodes follow it.
 */
#ifndef PLSHARD_FRONT_XACT_H
#define PLSHARD_FRONT_XACT_H

#include "access/xact.h"

/*
 * The transaction callbacks, which plshard.c registers.  PRE_COMMIT commits on the
 * nodes, and raises what plshard_commit_remote raises; PRE_PREPARE raises 0A000 where
 * the transaction has used a node.  COMMIT and ABORT never raise.
 */
extern void plshard_front_xact_event(XactEvent event);
extern void plshard_front_subxact_event(SubXactEvent event);

/*
 * The nodes have committed within the call that is all of the transaction: from here
 * to its end a cancel is held off, and one that has arrived by then is discarded.
 */
extern void plshard_xact_committed_by_call(void);

#endif							/* PLSHARD_FRONT_XACT_H */
