/*
 * session_cluster.h
 *
 * Clusters without a foreign server, which exist in one session only.
 */
#ifndef PLSHARD_SESSION_CLUSTER_H
#define PLSHARD_SESSION_CLUSTER_H

#include "cluster/map.h"

/* Allocated for the rest of the session. */
typedef struct SessionCluster
{
	ClusterKind kind;			/* CLUSTER_CALLBACKS or CLUSTER_CONNECT */
	const char *text;			/* the name, or the conninfo */
	ClusterRef	ref;
	struct VersionCheck *check; /* CLUSTER_CALLBACKS: state of cluster_callbacks.c */
} SessionCluster;

/* The session's cluster of that kind and text; made if there is none yet. */
extern SessionCluster *plshard_session_cluster(ClusterKind kind, const char *text);

/* The one with that number, which a ClusterMap or plshard_session_cluster has given. */
extern SessionCluster *plshard_session_cluster_by_ref(ClusterRef ref);

#endif							/* PLSHARD_SESSION_CLUSTER_H */
