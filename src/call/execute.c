/*
 * execute.c
 *
 * Takes a call, or a command of administration, to read.c or write.c.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "call/read.h"
#include "call/write.h"
#include "miscadmin.h"

static uint64 next_query_id = FIRST_FUNCTION_QUERY;

uint64
plshard_next_query_id(void)
{
	return next_query_id += 2;
}

void
plshard_check_active(const ClusterMap *map, int shard)
{
	if (map->shards[shard].nactive == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("shard " INT64_FORMAT " of cluster \"%s\" has no active placement",
						map->shards[shard].id, map->name)));
}

void
plshard_move_to_map(CallRequest *request, ClusterMap *map)
{
	for (int i = 0; i < request->ntargets; i++)
	{
		int64		id = request->map->shards[request->targets[i].shard].id;
		int			shard = plshard_cluster_shard_index(map, id);

		if (shard < 0)
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("shard " INT64_FORMAT " of cluster \"%s\" was dropped during a call of %s",
							id, map->name, request->function_name)));
		request->targets[i].shard = shard;
	}
	request->map = map;
}

void
plshard_execute(CallRequest *request)
{
	Execution	e = {0};
	Task		single = {0};

	PreventCommandIfParallelMode("a plshard call");
	e.request = request;
	e.function_name = request->function_name;
	e.is_write = request->is_write;
	e.sink = request->sink;
	e.timeout = request->timeout > 0 ? request->timeout : request->map->options.query_timeout;
	e.deadline = deadline_in(e.timeout);

	if (request->ntargets == 0)
		return;
	if (request->is_write)
		plshard_run_write(request, &e);
	else
	{
		e.tasks = request->ntargets == 1 ? &single : palloc0(sizeof(Task) * request->ntargets);
		plshard_run_read(request, &e);
	}
}

void
plshard_execute_admin(ClusterMap *map, int nplacements, const AdminPlacement *placements,
					  int nstatements, const char *const *statements,
					  void (*row) (void *arg, int placement, int statement,
								   const PGresult *result, int row),
					  void *arg)
{
	Execution	e = {0};

	if (nplacements == 0)
		return;
	e.map = map;
	e.is_write = true;
	e.admin = placements;
	e.nstatements = nstatements;
	e.statements = statements;
	e.admin_row = row;
	e.admin_arg = arg;
	e.ntasks = nplacements;
	e.tasks = palloc0(sizeof(Task) * nplacements);
	for (int i = 0; i < nplacements; i++)
	{
		e.tasks[i].target = i;
		e.tasks[i].shard = placements[i].shard;
		e.tasks[i].node = placements[i].node;
	}
	plshard_run_admin(&e);
}
