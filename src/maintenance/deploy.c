/*
 * deploy.c
 *
 * plshard.deploy: splits a text into its commands, checks them, runs and
 * records them.  Everything is allocated in the caller's
 * context.
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/arguments.h"
#include "call/execute.h"
#include "call/node_values.h"
#include "cluster/catalog_query.h"
#include "cluster/node_schema.h"
#include "language/lint.h"
#include "maintenance/cluster_admin.h"
#include "maintenance/deploy.h"
#include "parser/parser.h"
#include "parser/scansup.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(plshard_deploy);

/* All active placements, in the lock order. */
static AdminPlacement *
active_placements(const ClusterMap *map, int *nplacements)
{
	AdminPlacement *placements;
	int			n = 0;

	for (int shard = 0; shard < map->nshards; shard++)
		n += map->shards[shard].nactive;
	placements = palloc_extended(Max(n, 1) * sizeof(AdminPlacement), MCXT_ALLOC_HUGE);
	n = 0;
	for (int shard = 0; shard < map->nshards; shard++)
	{
		for (int i = 0; i < map->shards[shard].nactive; i++)
		{
			placements[n].node = plshard_placement(map, shard, i)->node;
			placements[n].shard = shard;
			placements[n].lock_shard = true;
			n++;
		}
	}
	*nplacements = n;
	return placements;
}

/* A command's own text, without the white space around it. */
static char *
command_text(const char *text, const RawStmt *raw)
{
	const char *start = text + raw->stmt_location;
	int			length = raw->stmt_len > 0 ? raw->stmt_len : strlen(start);

	while (length > 0 && scanner_isspace(*start))
	{
		start++;
		length--;
	}
	while (length > 0 && scanner_isspace(start[length - 1]))
		length--;
	return pnstrdup(start, length);
}

/* Whether a command is part of the definition of a placement; rows are not: repair copies them. */
static bool
defines_something(const Node *command)
{
	switch (nodeTag(command))
	{
		case T_InsertStmt:
		case T_UpdateStmt:
		case T_DeleteStmt:
		case T_MergeStmt:
			return false;
		case T_SelectStmt:
			return ((const SelectStmt *) command)->intoClause != NULL;
		default:
			return true;
	}
}

/* The parsed commands of a text; throws where one cannot be deployed. */
static List *
parse_commands(const ClusterMap *map, char *text)
{
	ErrorContextCallback callback = {
		.previous = error_context_stack,
		.callback = plshard_source_error,
		.arg = text
	};
	ParseState *pstate = make_parsestate(NULL);
	bool		replicated = plshard_is_replicated(map);
	List	   *commands;
	ListCell   *cell;

	error_context_stack = &callback;
	pstate->p_sourcetext = text;
	commands = raw_parser(text, RAW_PARSE_DEFAULT);
	foreach(cell, commands)
		plshard_lint_command(pstate, lfirst_node(RawStmt, cell), replicated);
	error_context_stack = callback.previous;
	free_parsestate(pstate);
	return commands;
}

int64
plshard_deploy_commands(ClusterMap *map, char *text)
{
	List	   *commands;
	const char **texts;
	int			ntexts = 0;
	AdminPlacement *placements;
	int			nplacements;
	ListCell   *cell;

	if (map->nshards == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cluster \"%s\" has no shards yet", map->name),
				 errhint("Create them by plshard.create_shards.")));
	/* after waiting for a lock, replicas would work on snapshots of different age */
	if (IsolationUsesXactSnapshot() && plshard_is_replicated(map))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot deploy to replicated shards in a transaction above READ COMMITTED"),
				 errhint("Use BEGIN ISOLATION LEVEL READ COMMITTED.")));
	commands = parse_commands(map, text);
	if (commands == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("there is no command to deploy")));

	texts = palloc((list_length(commands) + 1) * sizeof(char *));
	/* a new column's default is evaluated for the existing rows */
	if (plshard_node_values_in(text) & NODE_VALUE_NOW)
		texts[ntexts++] = plshard_node_now_command();
	foreach(cell, commands)
	{
		const RawStmt *raw = lfirst_node(RawStmt, cell);
		char	   *command = command_text(text, raw);

		texts[ntexts++] = command;
		if (defines_something(raw->stmt))
			(void) plshard_catalog_query("INSERT INTO plshard.ddl (cluster_id, command)"
										 " VALUES ($1::uuid, $2)",
										 2, (const char *[]) {plshard_cluster_id_text(map), command});
	}
	placements = active_placements(map, &nplacements);
	plshard_execute_admin(map, nplacements, placements, ntexts, texts);
	return nplacements;
}

Datum
plshard_deploy(PG_FUNCTION_ARGS)
{
	ClusterMap *map;

	plshard_refuse_nulls(fcinfo);
	map = plshard_begin_change(NameStr(*PG_GETARG_NAME(0)));
	PG_RETURN_INT64(plshard_deploy_commands(map, text_to_cstring(PG_GETARG_TEXT_PP(1))));
}
