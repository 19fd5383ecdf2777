/*
 * recover_cluster.h
 *
 * Recovery of all that is in doubt in a cluster.
 */
#ifndef PLSHARD_RECOVER_CLUSTER_H
#define PLSHARD_RECOVER_CLUSTER_H

#include "cluster/map.h"

/* Called for each transaction with its outcome; detail is a sentence, or NULL. */
typedef void (*RecoverReport) (void *arg, const char *gid, const char *outcome, const char *detail);

/*
 * Resolves what has been left prepared on the nodes of a cluster, and deletes the
 * rows that are not needed any more.  Runs as the current user, on connections of its
 * own; rows of the registry's tables are deleted in the caller's transaction.
 *
 * Transactions with a node that does not answer come last, and after "limit" ms
 * (0: none) the rest of them is left for another time.  Raises what reading the map
 * raises, and a cancel.  "unreached" (may be NULL) is called for each node that could
 * not be connected to.
 */
extern void plshard_recover_cluster(ClusterMap *map, int limit,
									RecoverReport report,
									void (*unreached) (void *arg, const char *node, const char *why),
									void *arg);

#endif							/* PLSHARD_RECOVER_CLUSTER_H */
