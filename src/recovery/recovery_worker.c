/*
 * recovery_worker.c
 *
 * A launcher, connected to no database, starts a short-lived worker in one database
 * after the other; that one recovers the clusters it finds there, each in a
 * transaction of its own and as the cluster's owner.  So nothing holds up DROP
 * DATABASE or DROP EXTENSION between the rounds, and an error ends one cluster's
 * turn only.  A round's memory is its transactions'.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "base/settings.h"
#include "base/wait.h"
#include "catalog/pg_database.h"
#include "cluster/cluster.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "recovery/recover_cluster.h"
#include "recovery/recovery_worker.h"
#include "registry/registry.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#define WORKER_NAME "plshard recovery"

/* How long one cluster may keep the others waiting, about (ms). */
#define CLUSTER_TIME 20000

/* When the launcher is started again after an error (s). */
#define RESTART_AFTER 10

PGDLLEXPORT void plshard_recovery_launcher_main(Datum arg);
PGDLLEXPORT void plshard_recovery_main(Datum arg);

/* ---- in one database ---- */

typedef struct OwnedCluster
{
	Oid			server_oid;
	Oid			owner;
} OwnedCluster;

static void
begin_transaction(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
}

static void
end_transaction(void)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
}

/* The catalog clusters, in "context"; none where the extension is not there. */
static int
list_clusters(MemoryContext context, OwnedCluster **clusters)
{
	int			n = 0;
	bool		isnull;

	begin_transaction();
	if (OidIsValid(get_extension_oid("plshard", true)))
	{
		if (SPI_connect() != SPI_OK_CONNECT ||
			SPI_execute("SELECT s.oid, s.srvowner FROM plshard.clusters c"
						" JOIN pg_catalog.pg_foreign_server s ON s.srvname = c.cluster"
						" ORDER BY s.oid", true, 0) != SPI_OK_SELECT)
			elog(ERROR, "could not list the clusters");
		n = (int) SPI_processed;
		*clusters = MemoryContextAlloc(context, Max(n, 1) * sizeof(OwnedCluster));
		for (int i = 0; i < n; i++)
		{
			HeapTuple	row = SPI_tuptable->vals[i];
			TupleDesc	desc = SPI_tuptable->tupdesc;

			(*clusters)[i].server_oid = DatumGetObjectId(SPI_getbinval(row, desc, 1, &isnull));
			(*clusters)[i].owner = DatumGetObjectId(SPI_getbinval(row, desc, 2, &isnull));
		}
		SPI_finish();
	}
	end_transaction();
	return n;
}

static void
log_outcome(void *arg, const char *gid, const char *outcome, const char *detail)
{
	ereport(LOG,
			(errmsg("transaction %s of cluster \"%s\": %s", gid, (const char *) arg, outcome),
			 detail ? errdetail_internal("%s", detail) : 0));
}

static void
recover_one(const OwnedCluster *cluster)
{
	ClusterMap *map;
	Oid			user;
	int			sec_context;

	begin_transaction();
	GetUserIdAndSecContext(&user, &sec_context);
	/* undone by the end of the transaction, if that is an error */
	SetUserIdAndSecContext(cluster->owner, sec_context | SECURITY_LOCAL_USERID_CHANGE);
	map = plshard_catalog_map(cluster->server_oid);
	pgstat_report_activity(STATE_RUNNING, map->name);
	plshard_recover_cluster(map, CLUSTER_TIME, log_outcome, NULL, map->name);
	SetUserIdAndSecContext(user, sec_context);
	end_transaction();
	pgstat_report_activity(STATE_IDLE, NULL);
}

/* An error ends this cluster's turn only. */
static void
try_to_recover(const OwnedCluster *cluster)
{
	PG_TRY();
	{
		recover_one(cluster);
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();
		EmitErrorReport();
		AbortCurrentTransaction();
		MemoryContextSwitchTo(TopMemoryContext);
		FlushErrorState();
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
}

/* The entry point in a database. */
void
plshard_recovery_main(Datum arg)
{
	OwnedCluster *clusters = NULL;
	int			n;

	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(arg), InvalidOid, 0);
	plshard_registry_pin_settings();

	n = list_clusters(TopMemoryContext, &clusters);
	for (int i = 0; i < n; i++)
	{
		try_to_recover(&clusters[i]);
		CHECK_FOR_INTERRUPTS();
	}
	proc_exit(0);
}

/* ---- the launcher ---- */

static List *
list_databases(void)
{
	List	   *databases = NIL;
	Relation	table;
	TableScanDesc scan;
	HeapTuple	row;

	begin_transaction();
	table = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(table, 0, NULL);
	while (HeapTupleIsValid(row = heap_getnext(scan, ForwardScanDirection)))
	{
		Form_pg_database database = (Form_pg_database) GETSTRUCT(row);

		if (database->datallowconn && !database->datistemplate)
		{
			MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);

			databases = lappend_oid(databases, database->oid);
			MemoryContextSwitchTo(caller);
		}
	}
	table_endscan(scan);
	table_close(table, AccessShareLock);
	end_transaction();
	return databases;
}

/* Where no worker can be started now, the next round tries again. */
static void
recover_database(Oid database)
{
	BackgroundWorker worker;
	BackgroundWorkerHandle *handle;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_name, WORKER_NAME, BGW_MAXLEN);
	strlcpy(worker.bgw_type, WORKER_NAME, BGW_MAXLEN);
	strlcpy(worker.bgw_library_name, "plshard", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "plshard_recovery_main", BGW_MAXLEN);
	worker.bgw_main_arg = ObjectIdGetDatum(database);
	worker.bgw_notify_pid = MyProcPid;

	if (!RegisterDynamicBackgroundWorker(&worker, &handle))
	{
		ereport(LOG,
				(errmsg("no background worker is free for the recovery of transactions"),
				 errhint("Raise max_worker_processes.")));
		return;
	}
	(void) WaitForBackgroundWorkerShutdown(handle);
	pfree(handle);
}

static void
recover_all(void)
{
	List	   *databases = list_databases();
	ListCell   *lc;

	foreach(lc, databases)
	{
		CHECK_FOR_INTERRUPTS();
		recover_database(lfirst_oid(lc));
	}
	list_free(databases);
}

/* Until then (NO_DEADLINE: for ever), or something happens. */
static void
sleep_until(Deadline next)
{
	long		timeout = next == NO_DEADLINE ? -1 : Max((next - plshard_clock() + 999) / 1000, 0);

	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | (timeout >= 0 ? WL_TIMEOUT : 0),
					 timeout, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/* The entry point of the launcher. */
void
plshard_recovery_launcher_main(Datum arg)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	/* only what all databases share */
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);

	for (;;)
	{
		Deadline	next = deadline_in(plshard_recovery_interval);

		if (plshard_recovery_interval > 0)
			recover_all();
		/* the latch is set by each worker that comes and goes, too */
		while (!ConfigReloadPending && !deadline_passed(next))
			sleep_until(next);
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
	}
}

void
plshard_recovery_worker_init(void)
{
	BackgroundWorker worker;

	if (!plshard_is_preloaded || IsBinaryUpgrade)
		return;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = RESTART_AFTER;
	strlcpy(worker.bgw_name, WORKER_NAME " launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_type, WORKER_NAME " launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_library_name, "plshard", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "plshard_recovery_launcher_main", BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}
