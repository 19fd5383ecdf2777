/*
 * take_locks.c
 *
 * Sends what takes a task's locks: its shard's shared and its key's exclusively, or
 * the whole shard's exclusively.  The lock tables of nodes are finite, so a
 * transaction with many keys takes whole shards: first only those that are free, since
 * two that share a shard and both want all of it are a deadlock; in the end it waits.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "locks.h"
#include "node_schema.h"
#include "port/pg_bswap.h"
#include "take_locks.h"

/* Keys locked on a node by one transaction until it prefers the whole shard, and until it insists. */
#define MANY_KEY_LOCKS 100
#define MAX_KEY_LOCKS 1000

typedef struct LockQuery
{
	BuiltinQuery id;
	int			nparams;		/* $1 is the shard's lock, $2 the key's */
	const char *sql;
} LockQuery;

static const LockQuery try_key = {
	QUERY_TRY_LOCKS, 2,
	"SELECT CASE WHEN pg_catalog.pg_try_advisory_xact_lock_shared($1)"
	" AND pg_catalog.pg_try_advisory_xact_lock($2)"
	" THEN true ELSE plshard_node.lock_not_taken() END"
};
static const LockQuery wait_key = {
	QUERY_WAIT_LOCKS, 2,
	"SELECT pg_catalog.pg_advisory_xact_lock_shared($1), pg_catalog.pg_advisory_xact_lock($2)"
};
static const LockQuery try_either = {
	QUERY_TRY_EITHER, 2,
	"SELECT CASE WHEN pg_catalog.pg_try_advisory_xact_lock($1) THEN true"
	" WHEN pg_catalog.pg_try_advisory_xact_lock_shared($1)"
	" AND pg_catalog.pg_try_advisory_xact_lock($2)"
	" THEN true ELSE plshard_node.lock_not_taken() END"
};
static const LockQuery wait_either = {
	QUERY_WAIT_EITHER, 2,
	"SELECT pg_catalog.pg_advisory_xact_lock_shared($1), pg_catalog.pg_advisory_xact_lock($2)"
	" WHERE NOT pg_catalog.pg_try_advisory_xact_lock($1)"
};
static const LockQuery try_shard = {
	QUERY_TRY_SHARD, 1,
	"SELECT CASE WHEN pg_catalog.pg_try_advisory_xact_lock($1)"
	" THEN true ELSE plshard_node.lock_not_taken() END"
};
static const LockQuery wait_shard = {
	QUERY_WAIT_SHARD, 1,
	"SELECT pg_catalog.pg_advisory_xact_lock($1)"
};

static const Oid int8s[2] = {INT8OID, INT8OID};
static const int lengths[2] = {sizeof(int64), sizeof(int64)};
static const int binary[2] = {1, 1};

static void
send_epoch_check(const ClusterMap *map, Task *task)
{
	NodeConn   *conn = task->conn;
	uint64		epoch = pg_hton64((uint64) map->epoch);
	const char *value = (const char *) &epoch;
	const RemoteParams params = {&value, lengths, binary};

	if (conn->epoch_sql == NULL)
	{
		char	   *sql = psprintf("SELECT CASE WHEN last_value <= $1 THEN true "
								   "ELSE plshard_node.epoch_is_old() END FROM %s",
								   conn->epoch_sequence);

		conn->epoch_sql = MemoryContextStrdup(conn->context, sql);
		pfree(sql);
	}
	plshard_conn_send_prepared(conn, QUERY_EPOCH, 0, conn->epoch_sql, 1, int8s, &params, 1,
							   PENDING_EPOCH, task, 0, false);
}

void
plshard_send_locks(const Execution *e, Task *task)
{
	NodeConn   *conn = task->conn;
	const CallTarget *target = e->request ? &e->request->targets[task->target] : NULL;
	bool		by_key = target != NULL && !e->request->lock_shard && target->has_key &&
		conn->nkey_locks < MAX_KEY_LOCKS;
	int64		shard_id = e->map->shards[task->shard].id;
	uint64		keys[2];
	const char *values[2] = {(const char *) &keys[0], (const char *) &keys[1]};
	const RemoteParams params = {values, lengths, binary};
	const LockQuery *query = task->wait_locks ? &wait_shard : &try_shard;

	keys[0] = pg_hton64((uint64) plshard_shard_lock_key(e->map, shard_id));
	if (by_key)
	{
		keys[1] = pg_hton64((uint64) plshard_key_lock_key(e->map, shard_id, target->key_hash));
		if (conn->nkey_locks++ < MANY_KEY_LOCKS)
			query = task->wait_locks ? &wait_key : &try_key;
		else
			query = task->wait_locks ? &wait_either : &try_either;
	}
	plshard_conn_send_prepared(conn, query->id, 0, query->sql, query->nparams, int8s, &params, 1,
							   task->wait_locks ? PENDING_LOCK_WAIT : PENDING_LOCK, task, 0, false);
	if (task->wait_locks)
		plshard_conn_send_flush(conn);	/* so that we know what it waits for */
	send_epoch_check(e->map, task);
}
