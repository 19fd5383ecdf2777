/*
 * recover.h
 *
 * Finding out, and bringing about, how a distributed transaction ends that its
 * own session cannot end (PROTOCOL rules 9 to 11).  Everybody may do it, several
 * at once; all come to the same end.
 *
 * Works on sessions of its own (session.h) as the current user, each bounded in
 * time by the cluster's node_timeout.  Throws only what interrupts it (cancel,
 * termination); what a node or the registry says against it is in *message.
 */
#ifndef PLSHARD_RECOVER_H
#define PLSHARD_RECOVER_H

#include "cluster.h"
#include "gid.h"

typedef enum TransactionOutcome
{
	OUTCOME_COMMITTED,
	OUTCOME_ABORTED,
	OUTCOME_UNKNOWN				/* not settled now: *message says what is missing */
} TransactionOutcome;

/*
 * Settles one transaction on all its nodes.  COMMITTED and ABORTED are final; a
 * node whose part could not be ended then keeps it prepared, which *message
 * tells (NULL otherwise; palloc'd): recovery does it later.
 *
 * Whoever has sent COMMIT to the decider calls this only within
 * PLSHARD_ROWS_KEPT of that, and takes a later "aborted" for unknown: rows of
 * settled transactions are deleted.
 */
extern TransactionOutcome plshard_settle_transaction(const ClusterMap *map, const Gid *gid,
													 char **message);

/*
 * Settles what is in doubt on one node (an index into the map) and whose
 * session has gone, for somebody who waits behind it or moves a read there.  True
 * when nothing of that kind is left there; else *message (palloc'd) says why.
 */
extern bool plshard_recover_node(const ClusterMap *map, int node, char **message);

/* How long a row stays at least, in seconds. */
#define PLSHARD_ROWS_KEPT 600

#endif							/* PLSHARD_RECOVER_H */
