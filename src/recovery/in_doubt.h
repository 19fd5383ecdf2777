/*
 * in_doubt.h
 *
 * What distributed transactions have left prepared on the nodes of a cluster, and which
 * of their sessions still live.
 */
#ifndef PLSHARD_IN_DOUBT_H
#define PLSHARD_IN_DOUBT_H

#include "cluster/gid.h"
#include "recovery/recover_nodes.h"

/* One transaction's part on one node. */
typedef struct PreparedPart
{
	const char *text;			/* of the gid */
	Gid			gid;
	RecoveryNode *node;
	const char *prepared_at;	/* a timestamptz, as text */
	const char *owner;			/* a role of the node */
	double		age;			/* in seconds, by the node's clock */
} PreparedPart;

/* A list of PreparedPart: this cluster's, of all nodes that are connected. */
extern List *plshard_prepared_parts(RecoveryNodes *nodes);

/* The sessions of fronts whose locks are seen on the connected nodes. */
typedef struct FrontSession
{
	int32		front_key;		/* session_key.h */
	int32		session;
	double		works_for;		/* seconds since the transaction began that a node works on; 0: none */
} FrontSession;

typedef struct FrontSessions
{
	int			n;
	FrontSession *list;			/* sorted */
} FrontSessions;

extern void plshard_front_sessions(RecoveryNodes *nodes, FrontSessions *sessions);

/* Is the session that runs, or has run, a transaction among them, or one of this front's? */
extern bool plshard_session_lives(const FrontSessions *sessions, const Gid *gid);

/*
 * Whether a prepared part is abandoned: its transaction has ended (which only its own
 * server can find out), its session has ended, or the registry has recorded the decision; or its
 * session has not ended it for very long, and no node executes something that the session
 * began before.  "sessions" must have been queried after the part.
 */
extern bool plshard_is_abandoned(const RecoveryNodes *nodes, const PreparedPart *part,
								 const FrontSessions *sessions);

/* What the texts of all gids of a cluster begin with.  palloc'd. */
extern char *plshard_gid_prefix(const ClusterMap *map);

#endif							/* PLSHARD_IN_DOUBT_H */
