/*
 * health.h
 *
 * Whether nodes answer: what all sessions of this front have seen lately, and
 * a probe where that must be known.
 */
#ifndef PLSHARD_HEALTH_H
#define PLSHARD_HEALTH_H

#include "base/wait.h"
#include "cluster/cluster.h"

/* True where some session found the node dead, and it is not yet time to try it again. */
extern bool plshard_node_looks_dead(const ClusterMap *map, int node);

/*
 * To be called before a node that does not look dead is tried: if it did before,
 * it does again for other sessions, until a session reports what it has seen.
 */
extern void plshard_node_try(const ClusterMap *map, int node);

/* Reports what this session has just seen. */
extern void plshard_node_seen(const ClusterMap *map, int node, bool alive);

/*
 * PROTOCOL rule 17: a new connection as the user, and SELECT 1, within
 * node_timeout, or until the caller's deadline; a server that refuses the user
 * still answers.
 */
extern bool plshard_node_answers(const ClusterMap *map, int node, Oid userid, Deadline deadline);

/*
 * The same, with more: a node that is known to be dead is not probed itself; and where
 * "other_answers" is not NULL, up to three other nodes are probed at the same time, and it
 * is set to whether one of them answers.
 */
extern bool plshard_probe_node(const ClusterMap *map, int node, Oid userid, bool known_dead,
							   Deadline deadline, bool *other_answers);

#endif							/* PLSHARD_HEALTH_H */
