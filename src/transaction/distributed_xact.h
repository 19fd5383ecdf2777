/*
 * distributed_xact.h
 *
 * The distributed transactions of a commit: what each cluster and role has written has a
 * name of its own.
 */
#ifndef PLSHARD_DISTRIBUTED_XACT_H
#define PLSHARD_DISTRIBUTED_XACT_H

#include "cluster/gid.h"
#include "transaction/participants.h"

/*
 * What one role has written in one cluster.  A node's share of it is a part.  Only where
 * the front decides can a commit have several of them.
 */
typedef struct DistributedXact
{
	Gid			gid;
	char	   *text;			/* of the gid */
	ClusterMap *map;
	ClusterRef	cluster;
	Oid			userid;
} DistributedXact;

/* PROTOCOL rule 14: whether the front decides, not a node. */
extern bool plshard_front_decides(const Participants *participants);

/*
 * Returns the deciding node, where the front does not decide: that of the primary of the
 * first shard that was written ("written" is the table of written_shards.h).  Without a
 * written shard (the nodes' own objects were changed) any node will do.
 */
extern Participant *plshard_choose_decider(const Participants *participants, HTAB *written);

/*
 * Sets each participant's distributed transaction, names and opens them (gid_lock.h), and
 * returns a list of them (DistributedXact).  Without a decider the front decides.
 */
extern List *plshard_name_distributed_xacts(Participants *participants, const Participant *decider,
											HTAB *written);

#endif							/* PLSHARD_DISTRIBUTED_XACT_H */
