/*
 * write_locks.c
 *
 * What a write locks on a placement, and how.  Texts are made in the current memory
 * context.
 *
 * The statements are prepared for each shard, though their text is the same: they
 * stand behind the switch to the shard's search_path, and PostgreSQL analyzes and
 * plans a prepared statement anew when it meets another path than last time.
 *
 * A shard's lock that is only tried, and the epoch, need no statement of their own: they
 * travel as parameters of the call, of types the CHECKs of which take the lock and compare the epoch.
 * PostgreSQL reads parameters, in their order, before it looks whether the plan is still good,
 * and takes the snapshot that the statement runs under after that; so nothing that the call
 * does, and nothing that it sees, is older than they are.  (In an expression of the
 * call's own statement they would be younger than its snapshot: see doc/internals.md.)
 */
#include "postgres.h"

#include "call/write_locks.h"
#include "catalog/pg_type_d.h"
#include "cluster/locks.h"
#include "connection/pipeline.h"
#include "connection/remote_error.h"
#include "connection/statements.h"
#include "port/pg_bswap.h"
#include "transaction/remote_xact.h"
#include "utils/builtins.h"

/*
 * Many keys in one transaction take the whole shard, since the lock table is finite:
 * first only if it is free, as two that share a shard and both lock all of it are a
 * deadlock; in the end in any case.
 */
#define MANY_KEY_LOCKS 100
#define MAX_KEY_LOCKS 1000

/*
 * Where a shard has a single active placement, nothing needs to order the writers of
 * a key: the node's own row locks do.  They still exclude a writer that locks the whole shard.
 * Writers with maps of another number of placements never meet them: see
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

/* Queues a statement of bigint parameters. */
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
							   kind, task, STEP_LOCKS, false);
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
					quote_literal_cstr(conn->session.epoch_sequence), parameter);
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

/* A statement that waits for the locks, then one for the epoch. */
static void
wait_for_locks(const Execution *e, Task *task, LockMode mode, int64 shard_id,
			   uint64 shard_lock, uint64 key_lock)
{
	const uint64 numbers[2] = {shard_lock, key_lock};
	const uint64 epoch[1] = {(uint64) e->map->epoch};

	send_statement(task, QUERY_WAIT_LOCK + mode, shard_id, lock_sql[mode].wait,
				   lock_sql[mode].nparams, numbers, PENDING_LOCK_WAIT);
	plshard_conn_send_flush(task->conn);	/* its answer shows what the task waits for */
	send_statement(task, QUERY_EPOCH, shard_id, psprintf("SELECT %s", epoch_check(task->conn, 1)),
				   1, epoch, PENDING_LOCK);
}

bool
plshard_call_takes_locks(const Execution *e, const Task *task)
{
	/* a stored result is looked up under the locks, before the call */
	return !e->request->lock_shard && e->map->shards[task->shard].nactive == 1 &&
		!task->wait_locks && e->request->call_id == NULL &&
		OidIsValid(task->conn->session.lock_types[0]) && OidIsValid(task->conn->session.lock_types[1]);
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
		else if (target->has_key && task->conn->xact.nkey_locks < MAX_KEY_LOCKS)
		{
			mode = plshard_xact_count_key_lock(task->conn) < MANY_KEY_LOCKS ? LOCK_KEY : LOCK_SHARD_OR_KEY;
			key_lock = (uint64) plshard_key_lock_key(e->map, shard_id, target->key_hash);
		}
	}
	if (task->wait_locks)
		wait_for_locks(e, task, mode, shard_id, shard_lock, key_lock);
	else
		try_locks(e, task, mode, shard_id, shard_lock, key_lock);
}

void
plshard_add_locks(const Execution *e, const Task *task, const RemoteQuery **query,
				  const RemoteParams **params)
{
	RemoteQuery *locked = palloc(sizeof(RemoteQuery));
	RemoteParams *locked_params = palloc(sizeof(RemoteParams));
	int64		shard_id = e->map->shards[task->shard].id;
	int			n = (*query)->nparams;
	Oid		   *types = palloc((n + 2) * sizeof(Oid));
	const char **values = palloc((n + 2) * sizeof(char *));
	int		   *lengths = palloc((n + 2) * sizeof(int));
	int		   *formats = palloc((n + 2) * sizeof(int));
	uint64	   *bytes = palloc(2 * sizeof(uint64));

	memcpy(types, (*query)->param_types, n * sizeof(Oid));
	memcpy(values, (*params)->values, n * sizeof(char *));
	memcpy(lengths, (*params)->lengths, n * sizeof(int));
	memcpy(formats, (*params)->formats, n * sizeof(int));
	bytes[0] = pg_hton64((uint64) plshard_shard_lock_key(e->map, shard_id));
	bytes[1] = pg_hton64((uint64) e->map->epoch);
	for (int i = 0; i < 2; i++)
	{
		types[n + i] = task->conn->session.lock_types[i];
		values[n + i] = (char *) &bytes[i];
		lengths[n + i] = sizeof(uint64);
		formats[n + i] = 1;
	}
	*locked = **query;
	locked->id++;
	locked->nparams = n + 2;
	locked->param_types = types;
	*query = locked;
	*locked_params = (RemoteParams) {values, lengths, formats};
	*params = locked_params;
}

bool
plshard_locks_refused(const PGresult *error)
{
	const char *schema = PQresultErrorField(error, PG_DIAG_SCHEMA_NAME);

	return plshard_result_sqlstate(error) == ERRCODE_CHECK_VIOLATION &&
		schema != NULL && strcmp(schema, "plshard_node") == 0;
}
