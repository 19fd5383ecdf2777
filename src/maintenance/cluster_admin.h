/*
 * cluster_admin.h
 *
 * What the functions that change a catalog cluster have in common.
 */
#ifndef PLSHARD_CLUSTER_ADMIN_H
#define PLSHARD_CLUSTER_ADMIN_H

#include "cluster/cluster.h"

/*
 * Begins a change of a cluster: the current user must own it, and no other
 * session changes it until the end of the transaction.  Returns its map as of
 * now.  Errors: 42704 no such cluster; 42501 not the owner.
 */
extern ClusterMap *plshard_begin_change(const char *cluster);

#endif							/* PLSHARD_CLUSTER_ADMIN_H */
