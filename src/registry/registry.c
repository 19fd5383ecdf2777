/*
 * registry.c
 *
 * Changes of placements, and decisions, in a transaction of their own.  The caller's half
 * starts a background worker with the request in bgw_extra and waits for its
 * answer in a small dynamic shared memory segment; the worker's half runs the
 * transaction.  A caller that is cancelled takes only the segment with it.
 * Messages are palloc'd in the caller's memory context.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "base/compat.h"
#include "base/wait.h"
#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "cluster/cluster_catalog.h"
#include "cluster/gid.h"
#include "executor/spi.h"
#include "libpq/pqsignal.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "registry/registry.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"

/* All in milliseconds. */
#define START_TIMEOUT 5000		/* for a free worker slot */
#define WORK_TIMEOUT 10000		/* for the worker's transaction */
#define LOCK_TIMEOUT_TEXT "8s"	/* for a lock in it */
#define ANSWER_TIMEOUT 20000	/* for the worker, from its start to its end */
#define START_POLL 100
#define ANSWER_POLL 5

typedef enum RegistryCommand
{
	COMMAND_EVICT,
	COMMAND_ACTIVATE,
	COMMAND_ADVANCE,
	COMMAND_DECIDE
} RegistryCommand;

/* What the worker does; passed in bgw_extra. */
typedef struct RegistryRequest
{
	RegistryCommand command;
	Oid			database;
	dsm_handle	answer;
	int32		node_id;		/* evict, activate */
	pg_uuid_t	cluster_id;
	int64		shard_id;		/* activate */
	int64		expected_epoch; /* activate */
	int64		epoch;			/* activate, advance: the new one */
	bool		commit;			/* decide */
} RegistryRequest;

StaticAssertDecl(sizeof(RegistryRequest) <= BGW_EXTRALEN,
				 "a registry request must fit into bgw_extra");

/*
 * The outcome; REGISTRY_FAILED without a message until the worker sets it.
 * The gid is here because bgw_extra has no room for it.
 */
typedef struct RegistryAnswer
{
	RegistryOutcome outcome;
	bool		commit;			/* decide: what stands */
	char		gid[PLSHARD_PREPARED_NAME_SIZE];	/* decide: set by the caller */
	char		message[512];
} RegistryAnswer;

PGDLLEXPORT void plshard_registry_main(Datum arg);

/*
 * The worker's half: the transaction
 */

/* Runs one command, with at most three parameters ($1 is the cluster's id). */
static void
run(const RegistryRequest *request, int expected, const char *sql, int nvalues,
	const Oid *types, const Datum *values)
{
	Oid			all_types[4] = {UUIDOID};
	Datum		all_values[4] = {UUIDPGetDatum(&request->cluster_id)};
	int			result;

	Assert(nvalues < lengthof(all_types));
	for (int i = 0; i < nvalues; i++)
	{
		all_types[i + 1] = types[i];
		all_values[i + 1] = values[i];
	}
	result = SPI_execute_with_args(sql, nvalues + 1, all_types, all_values, NULL, false, 0);
	if (result != expected)
		elog(ERROR, "registry command returned %s: %s", SPI_result_code_string(result), sql);
}

/* The first column of the first row of the last command, a bigint. */
static int64
first_bigint(void)
{
	bool		isnull;

	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
}

/* Locks the cluster, so that its changes happen one after the other; returns its epoch. */
static int64
lock_cluster(const RegistryRequest *request)
{
	run(request, SPI_OK_SELECT,
		"SELECT epoch FROM plshard.cluster WHERE cluster_id = $1 FOR NO KEY UPDATE",
		0, NULL, NULL);
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("the cluster is not in the registry any more")));
	return first_bigint();
}

/* Sets the cluster's epoch and invalidates its maps. */
static void
set_epoch(const RegistryRequest *request, int64 epoch)
{
	const Oid	types[] = {INT8OID};
	const Datum values[] = {Int64GetDatum(epoch)};

	run(request, SPI_OK_UPDATE,
		"UPDATE plshard.cluster SET epoch = $2 WHERE cluster_id = $1", 1, types, values);
	/* the tables' triggers do it, too, but may be disabled */
	plshard_cluster_invalidate();
}

/* COMMAND_EVICT: no placement of the node stays active, and the epoch goes up. */
static RegistryOutcome
evict(const RegistryRequest *request, char **message)
{
	const Oid	types[] = {INT4OID};
	const Datum values[] = {Int32GetDatum(request->node_id)};
	int64		epoch = lock_cluster(request);

	run(request, SPI_OK_SELECT,
		"SELECT p.shard_id FROM plshard.placement p"
		" WHERE p.cluster_id = $1 AND p.node_id = $2 AND p.state = 'active'"
		" AND NOT EXISTS (SELECT FROM plshard.placement o"
		" WHERE o.cluster_id = $1 AND o.shard_id = p.shard_id"
		" AND o.node_id <> $2 AND o.state = 'active')"
		" ORDER BY p.shard_id LIMIT 1",
		1, types, values);
	if (SPI_processed > 0)
	{
		*message = psprintf("It holds the last active placement of shard %lld.",
							(long long) first_bigint());
		return REGISTRY_REFUSED;
	}

	run(request, SPI_OK_UPDATE,
		"UPDATE plshard.placement SET state = 'inactive'"
		" WHERE cluster_id = $1 AND node_id = $2 AND state = 'active'",
		1, types, values);
	if (SPI_processed > 0)
	{
		const Oid	epoch_types[] = {INT4OID, INT8OID};
		const Datum epoch_values[] = {values[0], Int64GetDatum(epoch + 1)};

		run(request, SPI_OK_UPDATE,
			"UPDATE plshard.node SET evicted_epoch = $3 WHERE cluster_id = $1 AND node_id = $2",
			2, epoch_types, epoch_values);
		set_epoch(request, epoch + 1);
	}
	return REGISTRY_DONE;
}

/* COMMAND_ACTIVATE: the placement becomes active, in a new epoch. */
static RegistryOutcome
activate(const RegistryRequest *request, char **message)
{
	const Oid	types[] = {INT8OID, INT4OID, INT8OID};
	const Datum values[] = {Int64GetDatum(request->shard_id), Int32GetDatum(request->node_id),
		Int64GetDatum(request->epoch)};
	int64		epoch = lock_cluster(request);

	if (epoch != request->expected_epoch)
	{
		*message = psprintf("The cluster is at epoch %lld, no longer at %lld.",
							(long long) epoch, (long long) request->expected_epoch);
		return REGISTRY_REFUSED;
	}
	run(request, SPI_OK_UPDATE,
		"UPDATE plshard.placement SET state = 'active', active_since = $4"
		" WHERE cluster_id = $1 AND shard_id = $2 AND node_id = $3",
		3, types, values);
	if (SPI_processed == 0)
	{
		*message = psprintf("Shard %lld has no placement on that node any more.",
							(long long) request->shard_id);
		return REGISTRY_REFUSED;
	}
	set_epoch(request, request->epoch);
	return REGISTRY_DONE;
}

/* COMMAND_ADVANCE: the epoch becomes at least the given one. */
static RegistryOutcome
advance(const RegistryRequest *request)
{
	if (lock_cluster(request) < request->epoch)
		set_epoch(request, request->epoch);
	return REGISTRY_DONE;
}

/*
 * COMMAND_DECIDE: stores a decision where there is none, and returns the one that stands.
 * The cluster's row is locked as for evictions, so the insert never meets another
 * one that is under way, and what stands is seen.
 */
static RegistryOutcome
decide(const RegistryRequest *request, RegistryAnswer *answer)
{
	const Oid	types[] = {TEXTOID, BOOLOID};
	const Datum values[] = {CStringGetTextDatum(answer->gid), BoolGetDatum(request->commit)};
	bool		isnull;

	(void) lock_cluster(request);
	run(request, SPI_OK_INSERT,
		"INSERT INTO plshard.decision (cluster_id, gid, state)"
		" VALUES ($1, $2, CASE WHEN $3 THEN 'committed' ELSE 'aborted' END)"
		" ON CONFLICT DO NOTHING", 2, types, values);
	run(request, SPI_OK_SELECT,
		"SELECT state = 'committed' FROM plshard.decision WHERE cluster_id = $1 AND gid = $2",
		1, types, values);
	answer->commit = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1,
												&isnull));
	return REGISTRY_DONE;
}

/* Copies a message to the answer, cut at a character. */
static void
set_message(RegistryAnswer *answer, const char *message)
{
	int			length = pg_mbcliplen(message, strlen(message), sizeof(answer->message) - 1);

	memcpy(answer->message, message, length);
	answer->message[length] = '\0';
}

/* One transaction; throws where it fails. */
static void
run_transaction(const RegistryRequest *request, RegistryAnswer *answer)
{
	RegistryOutcome outcome = REGISTRY_FAILED;
	char	   *message = NULL;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	enable_timeout_after(STATEMENT_TIMEOUT, WORK_TIMEOUT);
	pgstat_report_activity(STATE_RUNNING, "plshard registry");
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	PushActiveSnapshot(GetTransactionSnapshot());

	switch (request->command)
	{
		case COMMAND_EVICT:
			outcome = evict(request, &message);
			break;
		case COMMAND_ACTIVATE:
			outcome = activate(request, &message);
			break;
		case COMMAND_ADVANCE:
			outcome = advance(request);
			break;
		case COMMAND_DECIDE:
			outcome = decide(request, answer);
			break;
	}

	if (message != NULL)
		set_message(answer, message);
	PopActiveSnapshot();
	SPI_finish();
	disable_timeout(STATEMENT_TIMEOUT, false);
	CommitTransactionCommand();
	answer->outcome = outcome;
}

/* The settings of the database and its roles must not change what a change means. */
void
plshard_registry_pin_settings(void)
{
	SetConfigOption("search_path", "pg_catalog, pg_temp", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_read_only", "off", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_isolation", "read committed", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("lock_timeout", LOCK_TIMEOUT_TEXT, PGC_SUSET, PGC_S_OVERRIDE);
	/* an eviction that is lost in a crash would bring a stale replica back */
	if (synchronous_commit < SYNCHRONOUS_COMMIT_ON)
		SetConfigOption("synchronous_commit", "on", PGC_SUSET, PGC_S_OVERRIDE);
}

/* The worker's entry point. */
void
plshard_registry_main(Datum arg)
{
	RegistryRequest request;
	RegistryAnswer unheard;		/* where the caller has gone already */
	RegistryAnswer *volatile answer = &unheard;
	dsm_segment *segment;

	memcpy(&request, MyBgworkerEntry->bgw_extra, sizeof(request));
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(request.database, InvalidOid, 0);
	plshard_registry_pin_settings();

	segment = dsm_attach(request.answer);
	if (segment != NULL)
		answer = dsm_segment_address(segment);
	else if (request.command == COMMAND_DECIDE)
		proc_exit(0);			/* the caller has gone, and the gid with it */

	PG_TRY();
	{
		run_transaction(&request, answer);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		/* the process ends: report here, and let nothing throw again */
		HOLD_INTERRUPTS();
		MemoryContextSwitchTo(TopMemoryContext);
		error = CopyErrorData();
		set_message(answer, error->message);
		EmitErrorReport();
		FlushErrorState();
		AbortCurrentTransaction();
	}
	PG_END_TRY();

	proc_exit(0);
}

/*
 * The caller's half
 */

/* Starts the worker, waiting a while for a slot; false if there is none. */
static bool
start_worker(const RegistryRequest *request, BackgroundWorkerHandle **handle)
{
	BackgroundWorker worker;
	Deadline	deadline = deadline_in(START_TIMEOUT);

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_name, "plshard registry", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "plshard registry", BGW_MAXLEN);
	strlcpy(worker.bgw_library_name, "plshard", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "plshard_registry_main", BGW_MAXLEN);
	memcpy(worker.bgw_extra, request, sizeof(*request));

	while (!RegisterDynamicBackgroundWorker(&worker, handle))
	{
		if (deadline_passed(deadline))
			return false;
		plshard_wait(NULL, 0, deadline_min(deadline, deadline_in(START_POLL)));
	}
	return true;
}

/* Waits until the worker has ended; false when that takes too long. */
static bool
await_worker(BackgroundWorkerHandle *handle)
{
	Deadline	deadline = deadline_in(ANSWER_TIMEOUT);
	pid_t		pid;

	while (GetBackgroundWorkerPid(handle, &pid) != BGWH_STOPPED)
	{
		if (deadline_passed(deadline))
			return false;
		plshard_wait(NULL, 0, deadline_in(ANSWER_POLL));
	}
	return true;
}

/* Starts the worker, waits for its end and returns the outcome, with a message where it is not DONE. */
static RegistryOutcome
ask_worker(const RegistryRequest *request, const RegistryAnswer *answer, char **message)
{
	BackgroundWorkerHandle *handle;

	if (!start_worker(request, &handle))
	{
		*message = pstrdup("No background worker could be started: max_worker_processes is too low, or all are in use.");
		return REGISTRY_FAILED;
	}
	if (!await_worker(handle))
	{
		TerminateBackgroundWorker(handle);
		*message = pstrdup("The registry's background worker did not answer in time.");
		return REGISTRY_FAILED;
	}
	if (answer->outcome == REGISTRY_FAILED)
		*message = answer->message[0] != '\0'
			? psprintf("The registry could not be changed: %s.", answer->message)
			: pstrdup("The registry's background worker ended without an answer: the server log has the reason.");
	else if (answer->outcome == REGISTRY_REFUSED)
		*message = pstrdup(answer->message);
	return answer->outcome;
}

/* A decision's gid goes along, and *commit becomes what stands; NULL elsewhere. */
static RegistryOutcome
change_registry(RegistryRequest *request, const ClusterMap *map, const char *gid, bool *commit,
				char **message)
{
	dsm_segment *segment = dsm_create(sizeof(RegistryAnswer), DSM_CREATE_NULL_IF_MAXSEGMENTS);
	RegistryAnswer *answer;
	RegistryOutcome outcome;

	*message = NULL;
	if (segment == NULL)
	{
		*message = pstrdup("No dynamic shared memory segment is free.");
		return REGISTRY_FAILED;
	}
	answer = dsm_segment_address(segment);
	answer->outcome = REGISTRY_FAILED;
	answer->message[0] = '\0';
	if (gid != NULL)
		strlcpy(answer->gid, gid, sizeof(answer->gid));

	request->database = MyDatabaseId;
	request->cluster_id = map->cluster_id;
	request->answer = dsm_segment_handle(segment);

	PG_TRY();
	{
		outcome = ask_worker(request, answer, message);
		if (commit != NULL)
			*commit = answer->commit;
	}
	PG_FINALLY();
	{
		dsm_detach(segment);
	}
	PG_END_TRY();
	return outcome;
}

RegistryOutcome
plshard_registry_evict(const ClusterMap *map, int node, char **message)
{
	RegistryRequest request = {
		.command = COMMAND_EVICT,
		.node_id = map->nodes[node].id
	};

	return change_registry(&request, map, NULL, NULL, message);
}

RegistryOutcome
plshard_registry_activate(const ClusterMap *map, int64 shard_id, int32 node_id,
						  int64 expected_epoch, int64 new_epoch, char **message)
{
	RegistryRequest request = {
		.command = COMMAND_ACTIVATE,
		.shard_id = shard_id,
		.node_id = node_id,
		.expected_epoch = expected_epoch,
		.epoch = new_epoch
	};

	Assert(new_epoch > expected_epoch);
	return change_registry(&request, map, NULL, NULL, message);
}

RegistryOutcome
plshard_registry_advance(const ClusterMap *map, int64 epoch, char **message)
{
	RegistryRequest request = {
		.command = COMMAND_ADVANCE,
		.epoch = epoch
	};

	return change_registry(&request, map, NULL, NULL, message);
}

RegistryOutcome
plshard_registry_decide(const ClusterMap *map, const char *gid, bool commit, bool *stands,
						char **message)
{
	RegistryRequest request = {
		.command = COMMAND_DECIDE,
		.commit = commit
	};

	Assert(strlen(gid) < PLSHARD_PREPARED_NAME_SIZE);
	return change_registry(&request, map, gid, stands, message);
}

/*
 * Rows as they are now, also where the transaction's snapshot is older
 */

/* The value of a column, NOT NULL, of the first row with that key; false if there is none. */
static bool
look_up(const char *table_name, int nkeys, ScanKey keys, AttrNumber column,
		char *value, Size size)
{
	Oid			oid = get_relname_relid(table_name, get_namespace_oid(PLSHARD_SCHEMA, false));
	Relation	table = table_open(oid, AccessShareLock);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	SysScanDesc scan = systable_beginscan(table, plshard_primary_key_index(table), nkeys > 0,
										  snapshot, nkeys, keys);
	HeapTuple	row = systable_getnext(scan);
	bool		found = HeapTupleIsValid(row);

	if (found)
	{
		Oid			output;
		bool		varlena;
		bool		isnull;
		Datum		datum = heap_getattr(row, column, RelationGetDescr(table), &isnull);

		getTypeOutputInfo(TupleDescAttr(RelationGetDescr(table), column - 1)->atttypid,
						  &output, &varlena);
		strlcpy(value, OidOutputFunctionCall(output, datum), size);
	}
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(table, AccessShareLock);
	return found;
}

bool
plshard_registry_decision(const ClusterMap *map, const char *gid, bool *commit)
{
	ScanKeyData keys[2];
	char		state[NAMEDATALEN];

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(&map->cluster_id));
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(gid));
	keys[1].sk_collation = DEFAULT_COLLATION_OID;
	if (!look_up("decision", 2, keys, 3, state, sizeof(state)))
		return false;
	*commit = strcmp(state, "committed") == 0;
	return true;
}

bool
plshard_front_committed(const char *gid)
{
	ScanKeyData key;
	char		ignored[NAMEDATALEN];

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(gid));
	key.sk_collation = DEFAULT_COLLATION_OID;
	return look_up("transaction", 1, &key, 1, ignored, sizeof(ignored));
}

void
plshard_front_id(uint8 id[8])
{
	char		text[NAMEDATALEN];
	pg_uuid_t  *uuid;

	if (!look_up("front", 0, NULL, 1, text, sizeof(text)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s.front\" is empty", PLSHARD_SCHEMA),
				 errhint("Insert a new id: INSERT INTO plshard.front VALUES (gen_random_uuid()).")));
	uuid = DatumGetUUIDP(DirectFunctionCall1(uuid_in, CStringGetDatum(text)));
	memcpy(id, uuid->data, 8);
}
