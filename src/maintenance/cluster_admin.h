/*
 * cluster_admin.h
 *
 * What the functions that change a catalog cluster have in common.
 */
#ifndef PLSHARD_CLUSTER_ADMIN_H
#define PLSHARD_CLUSTER_ADMIN_H

#include "cluster/cluster.h"
#include "fmgr.h"

/* Errors 22004 where one of the function's arguments is null. */
extern void plshard_refuse_nulls(FunctionCallInfo fcinfo);

/*
 * Begins a change of a cluster: the current user must own it, and no other
 * session changes it until the end of the transaction.  Returns its map as of
 * now.  Errors: 42704 no such cluster; 42501 not the owner.
 */
extern ClusterMap *plshard_begin_change(const char *cluster);

/* A cluster's id as text, palloc'd. */
extern char *plshard_cluster_id_text(const ClusterMap *map);

/*
 * Runs one SQL command on the registry's tables as their owner, whatever the
 * caller's search_path: names of pg_catalog stand bare in it.  Parameters are
 * text (NULL pointer: SQL NULL), so the command casts them where they are
 * something else.  Returns the first column of the first row as text, palloc'd
 * in the current memory context, or NULL if there is none.
 */
extern char *plshard_catalog_query(const char *sql, int nparams, const char *const *params);

#endif							/* PLSHARD_CLUSTER_ADMIN_H */
