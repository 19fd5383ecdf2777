/*
 * distributed_xact.h
 *
 * The parts of a commit that have names of their own, and who decides.
 */
#ifndef PLSHARD_DISTRIBUTED_XACT_H
#define PLSHARD_DISTRIBUTED_XACT_H

#include "cluster/gid.h"
#include "transaction/participants.h"

/*
 * What one role has written in one cluster: a distributed transaction of its own
 * name.  Only where the front decides there can be several of them.
 */
typedef struct DistributedXact
{
	Gid			gid;
	char	   *text;
	ClusterMap *map;
	ClusterRef	cluster;
	Oid			userid;
} DistributedXact;

/* PROTOCOL rule 14: whether it is the front that decides. */
extern bool plshard_front_decides(const Participants *participants);

/*
 * The deciding node, if the front does not decide: that of the primary of the first shard that
 * was written ("written" is the table of
 * written_shards.h).  Without a written shard (the nodes' own objects
 * were changed) any will do.
 */
extern Participant *plshard_choose_decider(const Participants *participants, HTAB *written);

/*
 * Gives each participant its distributed transaction, and names them, a list of DistributedXact; without a
 * decider the front decides.  They are open then (gid_lock.h).
 */
extern List *plshard_name_distributed_xacts(Participants *participants, const Participant *decider,
								   HTAB *written);

#endif							/* PLSHARD_DISTRIBUTED_XACT_H */
