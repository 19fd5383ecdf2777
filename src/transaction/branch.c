/*
 * branch.c
 *
 * Who decides a distributed transaction, and its names.  Everything is allocated in the
 * current memory context.
 */
#include "postgres.h"

#include "access/xact.h"
#include "connection/session_key.h"
#include "miscadmin.h"
#include "recovery/gid_lock.h"
#include "registry/registry.h"
#include "transaction/branch.h"

bool
plshard_front_decides(const Participants *participants)
{
	const NodeConn *first = participants->list[0].conn;

	/* the front's own commit may still fail when the nodes have committed */
	if (TransactionIdIsValid(GetTopTransactionIdIfAny()) || IsolationIsSerializable())
		return true;
	for (int i = 1; i < participants->n; i++)
	{
		const NodeConn *conn = participants->list[i].conn;

		if (conn->key.cluster != first->key.cluster || conn->key.userid != first->key.userid)
			return true;
	}
	return false;
}

static Branch *
branch_of(List **branches, const Participant *p)
{
	ListCell   *cell;
	Branch	   *branch;

	foreach(cell, *branches)
	{
		branch = lfirst(cell);
		if (branch->cluster == p->conn->key.cluster && branch->userid == p->conn->key.userid)
			return branch;
	}
	branch = palloc0(sizeof(Branch));
	branch->map = p->map;
	branch->cluster = p->conn->key.cluster;
	branch->userid = p->conn->key.userid;
	*branches = lappend(*branches, branch);
	return branch;
}

Participant *
plshard_choose_decider(const Participants *participants, HTAB *written)
{
	HASH_SEQ_STATUS status;
	WrittenShard *w;
	WrittenShard *first = NULL;

	if (written != NULL)
	{
		hash_seq_init(&status, written);
		while ((w = hash_seq_search(&status)) != NULL)
		{
			if (w->key.cluster == participants->list[0].conn->key.cluster &&
				(first == NULL || w->number < first->number))
				first = w;
		}
	}
	for (int i = 0; first && i < participants->n; i++)
	{
		const Participant *p = &participants->list[i];
		int			shard = plshard_cluster_shard_index(p->map, first->key.shard_id);

		if (shard >= 0 && p->map->shards[shard].nactive > 0 &&
			p->map->nodes[plshard_placement(p->map, shard, 0)->node].id == p->conn->key.node_id)
			return &participants->list[i];
	}
	return &participants->list[0];
}

/* The epoch of the oldest map that a branch has used. */
static int64
oldest_epoch(const Branch *branch, HTAB *written)
{
	HASH_SEQ_STATUS status;
	WrittenShard *w;
	int64		epoch = branch->map->epoch;

	if (written == NULL)
		return epoch;
	hash_seq_init(&status, written);
	while ((w = hash_seq_search(&status)) != NULL)
	{
		if (w->key.cluster == branch->cluster)
			epoch = Min(epoch, w->epoch);
	}
	return epoch;
}

/* Names a branch whose participants are known; without a decider the front decides. */
static void
name_branch(Branch *branch, const NodeConn *decider, HTAB *written)
{
	Gid		   *gid = &branch->gid;

	gid->cluster_id = branch->map->cluster_id;
	if (!pg_strong_random(gid->random, sizeof(gid->random)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random values")));
	gid->front_key = plshard_front_key();
	gid->session = MyProcPid;
	gid->epoch = oldest_epoch(branch, written);
	if (decider)
		gid->decider = decider->key.node_id;
	else
		plshard_front_id(gid->front_id);
	branch->text = plshard_gid_text(gid);
	plshard_gid_open(gid);
}

List *
plshard_name_branches(Participants *participants, const Participant *decider, HTAB *written)
{
	List	   *branches = NIL;
	ListCell   *cell;

	for (int i = 0; i < participants->n; i++)
	{
		Participant *p = &participants->list[i];

		p->branch = branch_of(&branches, p);
		p->branch->gid.participants = bms_add_member(p->branch->gid.participants,
													 p->conn->key.node_id);
	}
	foreach(cell, branches)
		name_branch(lfirst(cell), decider ? decider->conn : NULL, written);
	return branches;
}
