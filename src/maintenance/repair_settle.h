/*
 * repair_settle.h
 *
 * What comes before the first repair of a node: nothing in doubt may name it.
 */
#ifndef PLSHARD_REPAIR_SETTLE_H
#define PLSHARD_REPAIR_SETTLE_H

#include "maintenance/repair_job.h"

/*
 * Settles every transaction in doubt that names the job's target.  Where the target
 * is out of the cluster as a whole, then ends the sessions that are still at work on
 * placements there, and rolls back what is left prepared.
 *
 * Errors: 08xxx where a node that counts, or the target, cannot be asked; 55000 where
 * a transaction cannot be settled now.
 */
extern void plshard_repair_settle(RepairJob *job);

#endif							/* PLSHARD_REPAIR_SETTLE_H */
