/*
 * recover_cluster.h
 *
 * Recovery of all that is in doubt in a cluster.
 */
#ifndef PLSHARD_RECOVER_CLUSTER_H
#define PLSHARD_RECOVER_CLUSTER_H

#include "cluster/cluster.h"
#include "cluster/gid.h"

/* Told what became of each transaction; detail is a sentence, or NULL. */
typedef void (*RecoverReport) (void *arg, const char *gid, const char *outcome, const char *detail);

/*
 * Resolves what has been left prepared on the nodes of a cluster, and deletes the
 * rows that nobody needs any more.  As the current user, on sessions of its own;
 * what the registry's tables lose is part of the caller's transaction.
 *
 * Transactions with a node that does not answer come last, and after "limit" ms
 * (0: none) the rest of them is left for another time.  Throws what reading the map
 * throws, and a cancel.  "unreached" (may be NULL) is told of each node that could
 * not be asked.
 */
extern void plshard_recover_cluster(ClusterMap *map, int limit,
									RecoverReport report,
									void (*unreached) (void *arg, const char *node, const char *why),
									void *arg);

#endif							/* PLSHARD_RECOVER_CLUSTER_H */
