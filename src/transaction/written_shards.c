/*
 * written_shards.c
 *
 * The shards that the current transaction has written, in a hash table in
 * TopTransactionContext.
 */
#include "postgres.h"

#include "cluster/conninfo.h"
#include "miscadmin.h"
#include "transaction/written_shards.h"
#include "utils/memutils.h"

static HTAB *written = NULL;

static WrittenShardKey
key_of(const ClusterMap *map, int shard)
{
	WrittenShardKey key;

	memset(&key, 0, sizeof(key));	/* padding is hashed, too */
	key.cluster = map->ref;
	key.shard_id = map->shards[shard].id;
	return key;
}

HTAB *
plshard_xact_wrote(const ClusterMap *map, int shard)
{
	WrittenShardKey key = key_of(map, shard);
	WrittenShard *entry;
	bool		found;

	if (written == NULL)
	{
		HASHCTL		ctl = {0};

		ctl.keysize = sizeof(WrittenShardKey);
		ctl.entrysize = sizeof(WrittenShard);
		ctl.hcxt = TopTransactionContext;
		written = hash_create("plshard written shards", 16, &ctl,
							  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	entry = hash_search(written, &key, HASH_ENTER, &found);
	if (!found)
	{
		entry->userid = plshard_connection_role(map);
		entry->number = hash_get_num_entries(written);
		entry->epoch = map->epoch;
	}
	else if (entry->userid != plshard_connection_role(map))
		entry->userid = InvalidOid;
	return written;
}

HTAB *
plshard_written_shards(void)
{
	return written;
}

void
plshard_forget_written_shards(void)
{
	written = NULL;
}

void
plshard_xact_refuse_own_locks(const ClusterMap *map, int shard)
{
	WrittenShardKey key;
	WrittenShard *entry;

	if (written == NULL)
		return;
	key = key_of(map, shard);
	entry = hash_search(written, &key, HASH_FIND, NULL);
	if (entry != NULL && entry->userid != plshard_connection_role(map))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("role \"%s\" cannot write what another role has written in this transaction",
						GetUserNameFromId(plshard_connection_role(map), false)),
				 errdetail("Each role has its own connections to the nodes, and would wait for the other's locks on shard " INT64_FORMAT ".",
						   key.shard_id),
				 errhint("Write the same key as one role, or commit first.")));
}

bool
plshard_node_matters(const NodeConn *conn, const ClusterMap *map, HTAB *written_shards)
{
	HASH_SEQ_STATUS status;
	WrittenShard *w;
	bool		matters = conn->xact.must_commit;

	if (written_shards == NULL)
		return matters;
	hash_seq_init(&status, written_shards);
	while ((w = hash_seq_search(&status)) != NULL)
	{
		if (!matters && w->key.cluster == conn->key.cluster)
			matters = plshard_cluster_has_active(map, w->key.shard_id, conn->key.node_id);
	}
	return matters;
}
