/*
 * write_locks.c
 *
 * What a write locks on a placement, and how.  Texts are made in the current memory
 * context.
 *
 * The statements are prepared for each shard, though their text is the same: they
 * stand behind the switch to the shard's search_path, and PostgreSQL analyzes and
 * plans a prepared statement anew when it meets another path than last time.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "locks.h"
#include "pipeline.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"
#include "write_locks.h"

/*
 * Many keys in one transaction take the whole shard, since the lock table is finite:
 * first only if it is free, as two that share a shard and both want all of it are a
 * deadlock; in the end in any case.
 */
#define MANY_KEY_LOCKS 100
#define MAX_KEY_LOCKS 1000

/*
 * Where a shard has a single active placement, nothing needs to order the writers of
 * a key: the node's own row locks do.  They still keep off who wants the whole shard.
 * Writers that know of another number of placements never meet them: see
 * doc/internals.md.
 */
typedef enum LockMode
{
	LOCK_SHARD_SHARED,
	LOCK_KEY,					/* and the shard's, shared */
	LOCK_SHARD_OR_KEY,			/* the whole shard if that is free */
	LOCK_WHOLE_SHARD
} LockMode;

/* $1 is the shard's lock, $2 the epoch (while only trying), the last one the key's lock. */
static const struct
{
	const char *try;
	const char *wait;
	int			nparams;		/* while waiting; one more while trying */
}			lock_sql[] = {
	[LOCK_SHARD_SHARED] = {
		"pg_catalog.pg_try_advisory_xact_lock_shared($1)",
		"SELECT pg_catalog.pg_advisory_xact_lock_shared($1)",
		1
	},
	[LOCK_KEY] = {
		"pg_catalog.pg_try_advisory_xact_lock_shared($1) AND pg_catalog.pg_try_advisory_xact_lock($3)",
		"SELECT pg_catalog.pg_advisory_xact_lock_shared($1), pg_catalog.pg_advisory_xact_lock($2)",
		2
	},
	[LOCK_SHARD_OR_KEY] = {
		"CASE WHEN pg_catalog.pg_try_advisory_xact_lock($1) THEN true"
		" ELSE pg_catalog.pg_try_advisory_xact_lock_shared($1) AND pg_catalog.pg_try_advisory_xact_lock($3) END",
		"SELECT pg_catalog.pg_advisory_xact_lock_shared($1), pg_catalog.pg_advisory_xact_lock($2)"
		" WHERE NOT pg_catalog.pg_try_advisory_xact_lock($1)",
		2
	},
	[LOCK_WHOLE_SHARD] = {
		"pg_catalog.pg_try_advisory_xact_lock($1)",
		"SELECT pg_catalog.pg_advisory_xact_lock($1)",
		1
	}
};

static const Oid int8_types[3] = {INT8OID, INT8OID, INT8OID};
static const int int8_lengths[3] = {sizeof(uint64), sizeof(uint64), sizeof(uint64)};
static const int binary_formats[3] = {1, 1, 1};

static void
send_statement(Task *task, uint64 id, int64 shard_id, const char *sql, int nparams,
			   const uint64 *numbers, PendingKind kind)
{
	uint64		bytes[3];
	const char *values[3] = {(char *) &bytes[0], (char *) &bytes[1], (char *) &bytes[2]};
	const RemoteParams params = {values, int8_lengths, binary_formats};

	for (int i = 0; i < nparams; i++)
		bytes[i] = pg_hton64(numbers[i]);
	plshard_conn_send_prepared(task->conn, id, shard_id, sql, nparams, int8_types, &params, 1,
							   kind, task, 0, false);
}

/*
 * That the epoch is not above the parameter of that number.  The function reads the sequence
 * as it is when it is called, whatever the snapshot (NULL would be an error); a sub-select
 * would cost several times as much.
 */
static char *
epoch_check(const NodeConn *conn, int parameter)
{
	return psprintf("CASE WHEN pg_catalog.pg_sequence_last_value(%s) OPERATOR(pg_catalog.<=) $%d THEN true "
					"ELSE plshard_node.epoch_is_old() END",
					quote_literal_cstr(conn->epoch_sequence), parameter);
}

/* All in one statement: CASE comes to the epoch only when it has the locks. */
static void
try_locks(const Execution *e, Task *task, LockMode mode, int64 shard_id,
		  uint64 shard_lock, uint64 key_lock)
{
	const uint64 numbers[3] = {shard_lock, (uint64) e->map->epoch, key_lock};
	char	   *sql = NULL;

	if (plshard_conn_needs_text(task->conn, QUERY_LOCK + mode, shard_id))
		sql = psprintf("SELECT CASE WHEN %s THEN %s ELSE plshard_node.lock_not_taken() END",
					   lock_sql[mode].try, epoch_check(task->conn, 2));
	send_statement(task, QUERY_LOCK + mode, shard_id, sql, lock_sql[mode].nparams + 1, numbers, PENDING_LOCK);
}

static void
wait_for_locks(const Execution *e, Task *task, LockMode mode, int64 shard_id,
			   uint64 shard_lock, uint64 key_lock)
{
	const uint64 numbers[2] = {shard_lock, key_lock};
	const uint64 epoch[1] = {(uint64) e->map->epoch};

	send_statement(task, QUERY_WAIT_LOCK + mode, shard_id, lock_sql[mode].wait,
				   lock_sql[mode].nparams, numbers, PENDING_LOCK_WAIT);
	plshard_conn_send_flush(task->conn);	/* so that we know what it waits for */
	send_statement(task, QUERY_EPOCH, shard_id, psprintf("SELECT %s", epoch_check(task->conn, 1)),
				   1, epoch, PENDING_LOCK);
}

void
plshard_send_locks(const Execution *e, Task *task)
{
	const CallTarget *target = e->request ? &e->request->targets[task->target] : NULL;
	int64		shard_id = e->map->shards[task->shard].id;
	uint64		shard_lock = (uint64) plshard_shard_lock_key(e->map, shard_id);
	uint64		key_lock = 0;
	LockMode	mode = LOCK_WHOLE_SHARD;

	if (target != NULL && !e->request->lock_shard)
	{
		if (e->map->shards[task->shard].nactive == 1)
			mode = LOCK_SHARD_SHARED;
		else if (target->has_key && task->conn->nkey_locks < MAX_KEY_LOCKS)
		{
			mode = task->conn->nkey_locks++ < MANY_KEY_LOCKS ? LOCK_KEY : LOCK_SHARD_OR_KEY;
			key_lock = (uint64) plshard_key_lock_key(e->map, shard_id, target->key_hash);
		}
	}
	if (task->wait_locks)
		wait_for_locks(e, task, mode, shard_id, shard_lock, key_lock);
	else
		try_locks(e, task, mode, shard_id, shard_lock, key_lock);
}
