/*
 * repair_resolve.h
 *
 * What comes before the first repair of a node: nothing in doubt may name it.
 */
#ifndef PLSHARD_REPAIR_RESOLVE_H
#define PLSHARD_REPAIR_RESOLVE_H

#include "maintenance/repair_job.h"

/*
 * Resolves every transaction in doubt that names the job's destination.  Where the destination
 * is out of the cluster as a whole, then ends the sessions that are still at work on
 * placements there, and rolls back what is left prepared.
 *
 * Errors: 08xxx where a node that counts, or the destination, cannot be asked; 55000 where
 * a transaction cannot be resolved now.
 */
extern void plshard_repair_resolve(RepairJob *job);

#endif							/* PLSHARD_REPAIR_RESOLVE_H */
