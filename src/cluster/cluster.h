/*
 * cluster.h
 *
 * The cache of cluster maps.  A map is read by the provider of its kind and cached
 * until an invalidation message reports a change.
 *
 * A map returned here never changes.  It stays allocated until the end of the
 * current top-level transaction, even if it is replaced meanwhile, so callers keep
 * plain pointers and there are no reference counts.
 */
#ifndef PLSHARD_CLUSTER_H
#define PLSHARD_CLUSTER_H

#include "access/xact.h"
#include "cluster/map.h"

/* Registers the invalidation callbacks; called once by _PG_init. */
extern void plshard_cluster_init(void);

/* A transaction callback: frees the outdated maps when a top-level transaction has ended; never throws. */
extern void plshard_cluster_xact_event(XactEvent event);

/*
 * Sets the function that is called with each map that is read of a cluster outside
 * the registry, whose nodes may be others than before.  It must not raise errors.
 */
extern void plshard_on_new_nodes(void (*function) (const ClusterMap *map));

/*
 * The OID of the foreign server of a cluster.  If there is no such server, or it is
 * not of the wrapper plshard: InvalidOid with missing_ok, else error 42704.
 */
extern Oid	plshard_cluster_oid(const char *name, bool missing_ok);

/*
 * The cluster of that name: the one of the foreign server, or else, if the callback
 * functions exist, theirs (they are not asked before plshard_cluster_map).  Valid
 * until the next invalidation of foreign servers.  Errors: 42704.
 */
extern ClusterRef plshard_cluster_find(const char *name);

/*
 * The current map.  The caller has called AcceptInvalidationMessages() if it must
 * not miss what other sessions have committed.  Errors: 42501 if the current user
 * lacks USAGE on the server, or EXECUTE on the callback functions; 42704 if the
 * server, or the callback functions, have been dropped; 55000 if the registry has no
 * such cluster, or it has no partitions; XX001 if the registry's rows contradict each
 * other; of callback functions 22004, 22023, and the errors that they raise.
 */
extern ClusterMap *plshard_cluster_map(ClusterRef cluster);

/* The same for a catalog cluster.  Errors: also 0A000 if it is a static one. */
extern ClusterMap *plshard_catalog_map(Oid server_oid);

/*
 * The same as plshard_cluster_map without the check of USAGE: for work that follows
 * from a call that was checked, such as its commit, when the current user may be
 * another one.  Of a static cluster, the map that was used last.
 */
extern ClusterMap *plshard_cluster_map_unchecked(ClusterRef cluster);

/*
 * The current map of a catalog cluster, always read anew: for a map that a
 * node has reported as outdated, or after a change that the caller has caused.  The
 * caller had a map already, so USAGE is not checked again.
 */
extern ClusterMap *plshard_cluster_reload(Oid server_oid);

/*
 * The map of one node and one shard that a CONNECT statement stands for; the same
 * text has the same ClusterRef for the rest of the session.  Errors: those of
 * plshard_validate_conninfo.
 */
extern ClusterMap *plshard_connect_map(const char *conninfo);

/*
 * False once it is known that what the map was read from has changed: by an
 * invalidation message (the caller has called AcceptInvalidationMessages() if it must
 * not miss one), or, for callback functions, by their version.  Errors: those of the
 * callback functions.
 */
extern bool plshard_map_is_current(const ClusterMap *map);

#endif							/* PLSHARD_CLUSTER_H */
