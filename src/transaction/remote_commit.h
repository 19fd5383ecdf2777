/*
 * remote_commit.h
 *
 * The end of the caller's transaction on the nodes.
 */
#ifndef PLSHARD_REMOTE_COMMIT_H
#define PLSHARD_REMOTE_COMMIT_H

#include "utils/hsearch.h"

/*
 * Commits the remote transactions of all connections, before the front's own
 * commit: atomically (atomic_commit.h), or 'fast', everywhere at once.  After it
 * interrupts are held: a cancel must not undo on the front what the nodes have
 * committed.  Errors: the node's own where nothing was committed anywhere; 08006
 * where a connection was lost before; 08007 where the outcome is not known, or
 * nodes differ and cannot be evicted.  "written" is the table of written_shards.h.
 */
extern void plshard_commit_remote(HTAB *written);

#endif							/* PLSHARD_REMOTE_COMMIT_H */
