/*
 * repair_resolve.h
 *
 * What comes before the first repair of a node: no transaction in doubt may name it.
 */
#ifndef PLSHARD_REPAIR_RESOLVE_H
#define PLSHARD_REPAIR_RESOLVE_H

#include "maintenance/repair_job.h"

/*
 * Resolves every transaction in doubt that names the job's destination.  Where that
 * node has no active placement, then terminates the sessions that are still at work on
 * its placements, and rolls back what is left prepared.
 *
 * Errors: 08xxx where a node with active placements, or the destination, cannot be
 * reached; 55000 where a transaction cannot be resolved now.
 */
extern void plshard_repair_resolve(RepairJob *job);

#endif							/* PLSHARD_REPAIR_RESOLVE_H */
