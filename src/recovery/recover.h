/*
 * recover.h
 *
 * Resolves a distributed transaction that its own session cannot end (PROTOCOL rules 9
 * to 11 and 14).  Any session may do it, several at once; all reach the same outcome.
 *
 * Works on admin connections (admin_connection.h) as the current user, each step bounded
 * in time by the cluster's node_timeout.  Errors of nodes and of the registry are
 * not thrown: *message has them.
 */
#ifndef PLSHARD_RECOVER_H
#define PLSHARD_RECOVER_H

#include "cluster/gid.h"
#include "recovery/in_doubt.h"

typedef enum TransactionOutcome
{
	OUTCOME_COMMITTED,
	OUTCOME_ABORTED,
	OUTCOME_UNKNOWN				/* not resolved now: *message is the reason */
} TransactionOutcome;

/*
 * How long the row of a resolved transaction stays at least, in seconds.  A session that
 * has sent COMMIT to the deciding node must query the row within that time, and treats a
 * later "aborted" as unknown.
 */
#ifdef PLSHARD_INJECTION
#define PLSHARD_ROWS_KEPT 10	/* a test waits for it */
#else
#define PLSHARD_ROWS_KEPT 60
#endif

/*
 * Resolves one transaction on all its nodes.  COMMITTED and ABORTED are final.  A
 * node that could not be reached keeps its part prepared until recovery ends it;
 * *message (palloc'd) then names it, else it is NULL.  After COMMITTED such a node is
 * evicted if it is dead, so that *message means that one could not be evicted.
 */
extern TransactionOutcome plshard_resolve_transaction(const ClusterMap *map, const Gid *gid,
													 char **message);

/*
 * Resolves what was in doubt on one node (an index into the map) when it was called,
 * for a session that waits for it or moves a read there.  A transaction whose session
 * still lives is left alone, or with "all" waited for, up to node_timeout, before it
 * is resolved too.  True when all of it has ended; else *message (palloc'd) names what
 * has not, NULL where sessions of such transactions still live.  What is not done at
 * the deadline (if any) is left.
 */
extern bool plshard_recover_node(const ClusterMap *map, int node, bool all, Deadline deadline,
								 char **message);

/*
 * For the session that runs a transaction, which has not sent COMMIT to the deciding node
 * and will not: sees to it that no part of it is or will be prepared on a node.  Returns
 * why that could not be done (palloc'd), or NULL.
 */
extern char *plshard_prevent_part(ClusterMap *map, const Gid *gid, int32 node_id, Deadline deadline);

/* ---- for recovery itself: with nodes that the caller has connected to ---- */

typedef enum ResolveMode
{
	RESOLVE_EVICT = 1,			/* evict dead nodes on which it cannot commit */
	RESOLVE_FORGET_FRONT = 2	/* the front that decides is lost: decide without it */
} ResolveMode;

extern TransactionOutcome plshard_resolve(RecoveryNodes *nodes, const Gid *gid, int mode,
										 char **message);

/*
 * Sees to it that none of some parts (in_doubt.h) is prepared any more: resolves what
 * is abandoned, waits for the others, and resolves them too after "timeout" ms.  False
 * where some are left; *message (palloc'd) is then the reason.
 */
extern bool plshard_resolve_parts(RecoveryNodes *nodes, List *parts, int timeout, char **message);

/*
 * Rolls back one part, on a node whose copy does not count.  Returns why it could not
 * be done (a sentence, palloc'd), or NULL.
 */
extern char *plshard_roll_back_part(RecoveryNodes *nodes, const PreparedPart *part);

#endif							/* PLSHARD_RECOVER_H */
