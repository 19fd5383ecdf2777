/*
 * execute.c
 *
 * Takes a call, or a command of administration, to read.c or write.c.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "call/execute.h"
#include "call/read.h"
#include "call/write.h"
#include "miscadmin.h"

void
plshard_execute(CallRequest *request)
{
	Execution	e = {0};
	Task		single = {0};

	PreventCommandIfParallelMode("a plshard call");
	e.request = request;
	e.query = request->query;
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
					  int nstatements, const char *const *statements)
{
	Execution	e = {0};

	if (nplacements == 0)
		return;
	e.map = map;
	e.is_write = true;
	e.admin = placements;
	e.nstatements = nstatements;
	e.statements = statements;
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
