/*
 * registry.h
 *
 * Changes of placements, and recorded decisions on transactions, that commit by themselves,
 * whatever becomes of the caller's transaction: done by a short-lived background worker in
 * the registry, which is the front's own database.
 *
 * All of them wait for the worker, interruptibly and bounded in time, so they
 * may throw (cancel, termination) and are not for COMMIT and ABORT callbacks.
 * A worker still finishes its work when its caller was cancelled.  After
 * REGISTRY_DONE plshard_cluster_reload brings the new map.
 */
#ifndef PLSHARD_REGISTRY_H
#define PLSHARD_REGISTRY_H

#include "cluster/cluster.h"

typedef enum RegistryOutcome
{
	REGISTRY_DONE,				/* committed (or it already was so) */
	REGISTRY_REFUSED,			/* last active placement; or the epoch is not the expected one */
	REGISTRY_FAILED				/* no worker, time-out, error: nothing is known to have changed */
} RegistryOutcome;

/*
 * Makes every active placement of a node inactive and raises the epoch, in one
 * transaction; refused where the node holds the last active placement of some
 * shard (PROTOCOL rule 16).  *message (palloc'd, a text for errdetail; NULL when
 * REGISTRY_DONE) is why it was not done.
 */
extern RegistryOutcome plshard_registry_evict(const ClusterMap *map, int node, char **message);

/*
 * Makes one placement active and sets the epoch to new_epoch, if the epoch is
 * still expected_epoch (PROTOCOL rule 20); refused otherwise.
 */
extern RegistryOutcome plshard_registry_activate(const ClusterMap *map, int64 shard_id,
												 int32 node_id, int64 expected_epoch,
												 int64 new_epoch, char **message);

/*
 * Stores how a distributed transaction ends, unless that is stored already
 * (PROTOCOL rule 9): *stands is what holds from now on, also where it is not what
 * was asked for.  "gid" is the text of gid.h.
 */
extern RegistryOutcome plshard_registry_decide(const ClusterMap *map, const char *gid,
											   bool commit, bool *stands, char **message);

/* Reads the recorded decision on a transaction, as of now; false where there is none. */
extern bool plshard_registry_decision(const ClusterMap *map, const char *gid, bool *commit);

/*
 * Transactions that the front decides (PROTOCOL rule 14): whether this front has
 * committed one; and the first bytes of this front's id, which no copy of its
 * database has.
 */
extern bool plshard_front_committed(const char *gid);
extern void plshard_front_id(uint8 id[8]);

/* For background workers: no setting of the database or a role changes what they do. */
extern void plshard_registry_pin_settings(void);

/* Raises the epoch to at least "epoch": a node has seen one that was never used. */
extern RegistryOutcome plshard_registry_advance(const ClusterMap *map, int64 epoch,
												char **message);

#endif							/* PLSHARD_REGISTRY_H */
