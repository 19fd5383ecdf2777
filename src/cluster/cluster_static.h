/*
 * cluster_static.h
 *
 * Clusters of one placement a shard, whose partitions somebody lists: what their
 * providers have in common.
 */
#ifndef PLSHARD_CLUSTER_STATIC_H
#define PLSHARD_CLUSTER_STATIC_H

#include "cluster/cluster.h"

/* A cluster without a foreign server; it stays as long as the session. */
typedef struct SessionCluster
{
	ClusterKind kind;			/* CLUSTER_CALLBACKS or CLUSTER_CONNECT */
	const char *text;			/* the name, or the conninfo */
	ClusterRef	ref;
	struct VersionCheck *check; /* CLUSTER_CALLBACKS: cluster_callbacks.c's */
} SessionCluster;

/* The session's cluster of that kind and text, known from now on. */
extern SessionCluster *plshard_session_cluster(ClusterKind kind, const char *text);

/* The one with that number, which must be at least FIRST_SESSION_CLUSTER. */
extern SessionCluster *plshard_session_cluster_by_ref(ClusterRef ref);

/*
 * Throws unless the partitions make a cluster: 22023 where their number (at least
 * one) is none that can be mapped, and as plshard_validate_conninfo.
 */
extern void plshard_check_static(ClusterKind kind, int n, const char *const *conninfos,
								 bool modular_mapping);

/*
 * Makes a map of n partitions in "context"; nothing of the arguments is kept.
 * Equal conninfos are one node.  Errors as plshard_check_static.
 */
extern ClusterMap *plshard_static_map(ClusterKind kind, ClusterRef ref, const char *name,
									  const ClusterOptions *options,
									  int n, const char *const *conninfos, MemoryContext context);

/* The map of a CONNECT statement.  Errors as plshard_static_map. */
extern ClusterMap *plshard_connect_load(SessionCluster *cluster, MemoryContext context);

/* ---- cluster_options.c: partitions among a server's options ---- */

/*
 * The number of the partition that an option called p0 or partition_0 gives; -1 if
 * it is no such option.  Errors: 22023 for a number that is too large.
 */
extern int	plshard_partition_number(const char *option);

/*
 * The conninfos of the partitions that are among a server's options, in their
 * order; *n is 0 where there are none.  Errors: 22023 where one is missing, or
 * given twice.
 */
extern const char **plshard_partitions(List *options, int *n);

/* Throws unless the partitions among a server's options make a cluster, or there are none. */
extern void plshard_check_partitions(List *options, bool modular_mapping);

/* ---- cluster_callbacks.c ---- */

/* Registers for changes of the functions: "changed" is called for each. */
extern void plshard_callbacks_init(void (*changed) (void));

/* Whether there are functions to ask about clusters. */
extern bool plshard_callbacks_exist(void);

/* Errors: 42501 where a user may not execute the functions; 42704 where they are gone. */
extern void plshard_callbacks_check_usage(const SessionCluster *cluster, Oid userid);

/* Whether a map is still what the functions say; looks as seldom as it may. */
extern bool plshard_callbacks_current(const ClusterMap *map);

/* Reads a map by them.  Errors: as plshard_cluster_map. */
extern ClusterMap *plshard_callbacks_load(SessionCluster *cluster, MemoryContext context);

#endif							/* PLSHARD_CLUSTER_STATIC_H */
