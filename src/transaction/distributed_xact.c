/*
 * distributed_xact.c
 *
 * The names of distributed transactions, and what decides them.  Everything is allocated
 * in the current memory context.
 */
#include "postgres.h"

#include "access/xact.h"
#include "connection/session_key.h"
#include "miscadmin.h"
#include "recovery/gid_lock.h"
#include "registry/registry.h"
#include "transaction/distributed_xact.h"
#include "transaction/written_shards.h"

bool
plshard_front_decides(const Participants *participants)
{
	const NodeConn *first = participants->list[0].conn;

	/* the front's own commit may still fail after the nodes have committed */
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

/* Returns the transaction of a participant's cluster and role; adds it if it is new. */
static DistributedXact *
xact_of(List **xacts, const Participant *p)
{
	ListCell   *cell;
	DistributedXact *xact;

	foreach(cell, *xacts)
	{
		xact = lfirst(cell);
		if (xact->cluster == p->conn->key.cluster && xact->userid == p->conn->key.userid)
			return xact;
	}
	xact = palloc0(sizeof(DistributedXact));
	xact->map = p->map;
	xact->cluster = p->conn->key.cluster;
	xact->userid = p->conn->key.userid;
	*xacts = lappend(*xacts, xact);
	return xact;
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

/* The epoch of the oldest map that a distributed transaction has used. */
static int64
oldest_epoch(const DistributedXact *xact, HTAB *written)
{
	HASH_SEQ_STATUS status;
	WrittenShard *w;
	int64		epoch = xact->map->epoch;

	if (written == NULL)
		return epoch;
	hash_seq_init(&status, written);
	while ((w = hash_seq_search(&status)) != NULL)
	{
		if (w->key.cluster == xact->cluster)
			epoch = Min(epoch, w->epoch);
	}
	return epoch;
}

/* Names and opens a transaction of known participants; without a decider the front decides. */
static void
name_xact(DistributedXact *xact, const NodeConn *decider, HTAB *written)
{
	Gid		   *gid = &xact->gid;

	gid->cluster_id = xact->map->cluster_id;
	if (!pg_strong_random(gid->random, sizeof(gid->random)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random values")));
	gid->front_key = plshard_front_key();
	gid->session = MyProcPid;
	gid->epoch = oldest_epoch(xact, written);
	if (decider)
		gid->decider = decider->key.node_id;
	else
		plshard_front_id(gid->front_id);
	xact->text = plshard_gid_text(gid);
	plshard_gid_open(gid);
}

List *
plshard_name_distributed_xacts(Participants *participants, const Participant *decider, HTAB *written)
{
	List	   *xacts = NIL;
	ListCell   *cell;

	for (int i = 0; i < participants->n; i++)
	{
		Participant *p = &participants->list[i];

		p->xact = xact_of(&xacts, p);
		p->xact->gid.participants = bms_add_member(p->xact->gid.participants,
													 p->conn->key.node_id);
	}
	foreach(cell, xacts)
		name_xact(lfirst(cell), decider ? decider->conn : NULL, written);
	return xacts;
}
