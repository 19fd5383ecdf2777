/*
 * repair.c
 *
 * plshard.repair and plshard.repair_cluster.  They work on connections of their
 * own, outside the caller's transaction: what is repaired stays so, also if the
 * caller rolls back.
 *
 * A list of jobs (repair_job.c), each in a memory context of its own below the
 * caller's, is worked off side by side: for each destination node one at a time, and
 * each in a subtransaction, so that one that fails does not stop the others.
 */
#include "postgres.h"

#include "base/arguments.h"
#include "base/compat.h"
#include "base/guard.h"
#include "cluster/catalog_query.h"
#include "fmgr.h"
#include "foreign/foreign.h"
#include "funcapi.h"
#include "maintenance/repair_job.h"
#include "maintenance/repair_resolve.h"
#include "miscadmin.h"
#include "transaction/written_shards.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(plshard_repair);
PG_FUNCTION_INFO_V1(plshard_repair_cluster);

typedef enum EntryState
{
	ENTRY_WAITING,				/* for its destination to be free */
	ENTRY_RUNNING,
	ENTRY_DONE,
	ENTRY_FAILED,
	ENTRY_LEFT_OUT				/* nothing to do any more, or the destination is unreachable */
} EntryState;

/* A placement to be repaired; the strings belong to the map it was found in. */
typedef struct RepairEntry
{
	EntryState	state;
	int64		shard_id;
	const char *source_name;
	const char *destination_name;
	bool		first;			/* of its destination: what is in doubt there comes before */
	RepairJob  *job;			/* while it is running */
	bool		finished;		/* the job is finished */
	uint64		rows;
	ErrorData  *error;
} RepairEntry;

typedef struct RepairList
{
	Oid			server_oid;
	int			nentries;
	RepairEntry *entries;
	bool		go_on;			/* an error is a warning */
	/* called for each entry that has been repaired; may be NULL */
	void		(*done) (void *arg, const RepairEntry *entry);
	void	   *arg;
} RepairList;

/* Throws unless the caller owns the cluster and has written to no cluster. */
static void
check_caller(Oid server_oid)
{
	if (plshard_written_shards() != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("cannot repair in a transaction that has written to a cluster"),
				 errdetail("The repair would wait for this transaction's own locks."),
				 errhint("Commit first.")));
	if (!object_ownercheck(ForeignServerRelationId, server_oid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_FOREIGN_SERVER,
					   GetForeignServer(server_oid)->servername);
}

/* ---- working off a list ---- */

/* Makes an entry's job, in a memory context of its own. */
static void
start_job(RepairEntry *entry, Oid server_oid)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "plshard repair job",
												  ALLOCSET_DEFAULT_SIZES);

	entry->job = MemoryContextAllocZero(context, sizeof(RepairJob));
	entry->job->context = context;
	entry->job->server_oid = server_oid;
	entry->job->shard_id = entry->shard_id;
	entry->job->source_name = entry->source_name;
	entry->job->destination_name = entry->destination_name;
	entry->state = ENTRY_RUNNING;
}

/* Starts or continues an entry's job, in the job's context. */
static void
turn_job(void *arg)
{
	RepairEntry *entry = arg;
	MemoryContext caller = MemoryContextSwitchTo(entry->job->context);

	if (entry->job->map == NULL)
	{
		if (entry->first)
			plshard_repair_resolve(entry->job);
		plshard_repair_begin(entry->job);
	}
	entry->finished = plshard_repair_turn(entry->job);
	MemoryContextSwitchTo(caller);
}

/* Ends an entry's job and frees it. */
static void
end_job(RepairEntry *entry, EntryState state)
{
	MemoryContext context = entry->job->context;

	plshard_repair_end(entry->job);
	entry->rows = entry->job->rows;
	entry->state = state;
	entry->job = NULL;
	MemoryContextDelete(context);
}

/* Leaves out the other entries for an unreachable destination; returns how many. */
static int
leave_out_destination(RepairList *list, const char *destination_name)
{
	int			n = 0;

	for (int i = 0; i < list->nentries; i++)
	{
		RepairEntry *entry = &list->entries[i];

		if (entry->state == ENTRY_WAITING && strcmp(entry->destination_name, destination_name) == 0)
		{
			entry->state = ENTRY_LEFT_OUT;
			n++;
		}
	}
	return n;
}

/* Turns the error of an entry into a WARNING. */
static void
warn(const RepairEntry *entry, int nleft_out)
{
	const ErrorData *error = entry->error;

	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("could not repair shard " INT64_FORMAT " on node \"%s\": %s",
					entry->shard_id, entry->destination_name, error->message),
			 error->detail ? errdetail_internal("%s", error->detail) : 0,
			 nleft_out > 0 ?
			 errhint("%d other shards of node \"%s\" stay inactive, too. Run plshard.repair_cluster again when it is back.",
					 nleft_out, entry->destination_name) :
			 error->hint ? errhint("%s", error->hint) : 0));
}

/* Gives an entry its turn; an error ends its job. */
static void
turn_entry(RepairList *list, RepairEntry *entry)
{
	bool		superfluous;
	bool		reached;

	entry->error = plshard_guard(turn_job, entry);
	if (entry->error == NULL)
	{
		if (entry->finished)
			end_job(entry, ENTRY_DONE);
		return;
	}

	superfluous = entry->job->superfluous;
	reached = entry->job->reached;
	end_job(entry, ENTRY_FAILED);
	if (!list->go_on || plshard_is_cancel(entry->error))
		plshard_rethrow(entry->error);
	if (superfluous)
	{
		/* another session has repaired it */
		entry->state = ENTRY_LEFT_OUT;
		entry->error = NULL;
	}
	else
		warn(entry, reached ? 0 : leave_out_destination(list, entry->destination_name));
}

/* Whether an entry's job may begin: none is running for the same destination. */
static bool
destination_is_free(const RepairList *list, const RepairEntry *entry)
{
	for (int i = 0; i < list->nentries; i++)
	{
		if (list->entries[i].state == ENTRY_RUNNING &&
			strcmp(list->entries[i].destination_name, entry->destination_name) == 0)
			return false;
	}
	return true;
}

/* Whether a placement has been repaired there, and so all been resolved before. */
static bool
destination_is_resolved(const RepairList *list, const RepairEntry *entry)
{
	for (int i = 0; i < list->nentries; i++)
	{
		if (list->entries[i].state == ENTRY_DONE &&
			strcmp(list->entries[i].destination_name, entry->destination_name) == 0)
			return true;
	}
	return false;
}

/* Gives every entry that can run its turn; true when one of them has ended. */
static bool
turn_entries(RepairList *list)
{
	bool		ended = false;

	for (int i = 0; i < list->nentries; i++)
	{
		RepairEntry *entry = &list->entries[i];

		if (entry->state == ENTRY_WAITING && destination_is_free(list, entry))
		{
			entry->first = !destination_is_resolved(list, entry);
			start_job(entry, list->server_oid);
		}
		if (entry->state != ENTRY_RUNNING)
			continue;
		turn_entry(list, entry);
		if (entry->state == ENTRY_DONE && list->done != NULL)
			list->done(list->arg, entry);
		ended |= entry->state != ENTRY_RUNNING;
	}
	return ended;
}

/* Runs all entries of a list to their end. */
static void
run_list(RepairList *list)
{
	AdminConnection **conns = palloc((2 * list->nentries + 1) * sizeof(AdminConnection *));

	for (;;)
	{
		int			nconns = 0;

		if (turn_entries(list))
			continue;			/* a destination has become free */
		for (int i = 0; i < list->nentries; i++)
		{
			if (list->entries[i].state == ENTRY_RUNNING)
				nconns += plshard_repair_connections(list->entries[i].job,
													 conns + nconns);
		}
		if (nconns == 0)
			break;
		plshard_admin_wait(conns, nconns);
	}
}

/* ---- plshard.repair ---- */

/* The cluster that a shard belongs to; InvalidOid if there is none. */
static Oid
cluster_of_shard(int64 shard_id)
{
	char	   *name = plshard_catalog_query("SELECT cluster FROM plshard.shards"
											 " WHERE shard_id = $1::int8", 1,
											 (const char *[]) {psprintf(INT64_FORMAT, shard_id)});

	return name ? plshard_cluster_oid(name, true) : InvalidOid;
}

static void
check_mode(const char *mode)
{
	if (strcmp(mode, "auto") == 0 || strcmp(mode, "locked") == 0)
		return;
	if (strcmp(mode, "online") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("repair mode \"online\" is not supported yet"),
				 errhint("Mode \"locked\" holds off the writers of the one shard while it is copied.")));
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown repair mode \"%s\"", mode),
			 errhint("Modes are \"auto\" and \"locked\".")));
}

Datum
plshard_repair(PG_FUNCTION_ARGS)
{
	RepairEntry entry = {0};
	RepairList	list = {.nentries = 1, .entries = &entry};

	plshard_refuse_nulls(fcinfo);
	entry.shard_id = PG_GETARG_INT64(0);
	entry.source_name = NameStr(*PG_GETARG_NAME(1));
	entry.destination_name = NameStr(*PG_GETARG_NAME(2));
	check_mode(text_to_cstring(PG_GETARG_TEXT_PP(3)));
	if (strcmp(entry.source_name, entry.destination_name) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("source and target are the same node \"%s\"", entry.source_name)));

	AcceptInvalidationMessages();
	list.server_oid = cluster_of_shard(entry.shard_id);
	if (!OidIsValid(list.server_oid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("shard " INT64_FORMAT " does not exist", entry.shard_id)));
	check_caller(list.server_oid);
	run_list(&list);
	PG_RETURN_VOID();
}

/* ---- plshard.repair_cluster ---- */

typedef struct Progress
{
	ReturnSetInfo *result;
	int			ndone;
	int			ntotal;
} Progress;

/* Reports a repaired entry: a NOTICE and a row. */
static void
report_done(void *arg, const RepairEntry *entry)
{
	Progress   *progress = arg;
	Datum		values[4];
	bool		nulls[4] = {0};

	progress->ndone++;
	ereport(NOTICE,
			(errmsg("shard " INT64_FORMAT ": %s repaired from %s, " UINT64_FORMAT " rows (%d of %d)",
					entry->shard_id, entry->destination_name, entry->source_name, entry->rows,
					progress->ndone, progress->ntotal)));
	values[0] = Int64GetDatum(entry->shard_id);
	values[1] = DirectFunctionCall1(namein, CStringGetDatum(entry->source_name));
	values[2] = DirectFunctionCall1(namein, CStringGetDatum(entry->destination_name));
	values[3] = Int64GetDatum((int64) entry->rows);
	tuplestore_putvalues(progress->result->setResult, progress->result->setDesc, values, nulls);
}

/* All placements that are not active, each from its shard's primary. */
static RepairEntry *
inactive_placements(const ClusterMap *map, int *nentries)
{
	int			room = 0;
	RepairEntry *entries;

	for (int shard = 0; shard < map->nshards; shard++)
		room += map->shards[shard].nplacements - map->shards[shard].nactive;
	entries = palloc0(Max(room, 1) * sizeof(RepairEntry));

	*nentries = 0;
	for (int shard = 0; shard < map->nshards; shard++)
	{
		for (int i = map->shards[shard].nactive; i < map->shards[shard].nplacements; i++)
		{
			RepairEntry *entry = &entries[(*nentries)++];

			entry->shard_id = map->shards[shard].id;
			entry->source_name = map->nodes[plshard_placement(map, shard, 0)->node].name;
			entry->destination_name = map->nodes[plshard_placement(map, shard, i)->node].name;
		}
	}
	return entries;
}

Datum
plshard_repair_cluster(PG_FUNCTION_ARGS)
{
	Progress	progress = {0};
	RepairList	list = {.go_on = true, .done = report_done, .arg = &progress};
	ErrorData  *error = NULL;

	plshard_refuse_nulls(fcinfo);
	InitMaterializedSRF(fcinfo, 0);
	progress.result = (ReturnSetInfo *) fcinfo->resultinfo;

	AcceptInvalidationMessages();
	list.server_oid = plshard_cluster_oid(NameStr(*PG_GETARG_NAME(0)), false);
	check_caller(list.server_oid);
	list.entries = inactive_placements(plshard_catalog_map(list.server_oid), &list.nentries);
	progress.ntotal = list.nentries;
	run_list(&list);

	for (int i = 0; i < list.nentries && error == NULL; i++)
		error = list.entries[i].error;
	if (error != NULL && progress.ndone == 0)
		plshard_rethrow(error);
	return (Datum) 0;
}
