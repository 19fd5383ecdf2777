/*
 * deploy.h
 *
 * DDL on all placements of a cluster.
 */
#ifndef PLSHARD_DEPLOY_H
#define PLSHARD_DEPLOY_H

#include "cluster/cluster.h"

/*
 * Runs the commands of a text on every active placement of every shard, in the
 * caller's transaction, and records those that define something.  The caller
 * has called plshard_begin_change.  Returns the number of placements.  Errors:
 * 42601 and 0A000 with a position in the text; 55000 where there are no shards;
 * the nodes' own.
 */
extern int64 plshard_deploy_commands(ClusterMap *map, char *text);

#endif							/* PLSHARD_DEPLOY_H */
