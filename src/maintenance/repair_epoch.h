/*
 * repair_epoch.h
 *
 * The last step of a repair: the new epoch, and the placement made active.
 */
#ifndef PLSHARD_REPAIR_EPOCH_H
#define PLSHARD_REPAIR_EPOCH_H

#include "connection/admin_connection.h"
#include "registry/registry.h"

/*
 * Writes a new epoch, above those of the registry and the nodes and above the
 * caller's seen_epoch, to every node that holds active placements and to the
 * repair's destination, checks that the source's connection has held the shard's lock until
 * then, and makes the placement active at that epoch.
 *
 * *raised is the epoch from before it is first written anywhere until the
 * registry has it, else 0: a caller that gives up then calls
 * plshard_registry_advance.  REGISTRY_REFUSED: the cluster has changed since
 * the map was read, *message is the reason.  Throws where the epoch cannot be written to a node, or
 * the lock was lost.
 */
extern RegistryOutcome plshard_activate_at_new_epoch(const ClusterMap *map, int64 shard_id,
													 int destination_node, int64 seen_epoch,
													 AdminConnection *source,
													 int64 *raised, char **message);

#endif							/* PLSHARD_REPAIR_EPOCH_H */
