/*
 * repair_job.c
 *
 * The repair of one placement, step by step (PROTOCOL rule 20).  Each step
 * takes the result of the one before it, sends the next commands and sets the
 * step that follows; nothing waits, except for the last one's few round trips.
 *
 *   connect to the destination before the lock: writers do not wait for that
 *   lock the shard             on its active placements, in their order
 *   clear the destination      terminate old sessions there, drop the schema
 *   replay the recorded DDL    in the destination's one transaction, like the rest
 *   compare the relations      of source and destination
 *   copy the tables            without triggers and foreign keys, and the results of
 *                              calls with an id
 *   set sequences, refresh materialized views, restore keys and triggers
 *   commit, write the new epoch, activate
 *
 * Everything lives in the job's context.  The connections are closed with it,
 * which releases the locks and, before the commit, rolls back the destination.
 */
#include "postgres.h"

#include "call/node_values.h"
#include "cluster/locks.h"
#include "cluster/node_schema.h"
#include "cluster/recorded_ddl.h"
#include "connection/remote_result.h"
#include "lib/stringinfo.h"
#include "maintenance/change_lock.h"
#include "maintenance/repair_epoch.h"
#include "maintenance/repair_job.h"
#include "maintenance/replay_enum.h"
#include "maintenance/shard_lock.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "utils/builtins.h"

/* How often to wait for a change of the cluster, 0.2 s each time. */
#define DEFINITION_ATTEMPTS 25

/* How often old sessions on the destination are terminated, and for how long (ms). */
#define CLEAR_ATTEMPTS 3
#define CLEAR_TIMEOUT 5000

static void lock_next(RepairJob *job);
static void clear_destination(RepairJob *job, const PGresult *result);
static void replay_next(RepairJob *job, const PGresult *result);
static void copy_next(RepairJob *job);

/* Sends commands to a connection; their last result goes to a step. */
static void
await(RepairJob *job, AdminConnection *conn, const char *sql, RepairStep next)
{
	plshard_admin_send(conn, sql);
	job->awaited = conn;
	job->next = next;
}

/*
 * Checks the state of the placements, and stores their indexes in the map.
 */
static void
check_placements(RepairJob *job)
{
	const ClusterMap *map = job->map;
	bool		source_active = false;
	bool		destination_placed = false;

	job->shard = plshard_cluster_shard_index(map, job->shard_id);
	if (job->shard < 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("shard " INT64_FORMAT " does not exist", job->shard_id)));
	job->source_node = plshard_cluster_node_index(map, job->source_name);
	job->destination_node = plshard_cluster_node_index(map, job->destination_name);
	if (job->source_node < 0 || job->destination_node < 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("node \"%s\" does not exist in cluster \"%s\"",
						job->source_node < 0 ? job->source_name : job->destination_name, map->name)));

	for (int i = 0; i < map->shards[job->shard].nplacements; i++)
	{
		const ClusterPlacement *placement = plshard_placement(map, job->shard, i);
		bool		active = placement->state == PLACEMENT_ACTIVE;

		if (placement->node == job->source_node)
			source_active = active;
		if (placement->node == job->destination_node)
		{
			destination_placed = true;
			job->superfluous = active;
		}
	}
	if (!source_active)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("node \"%s\" holds no active placement of shard " INT64_FORMAT,
						job->source_name, job->shard_id),
				 errhint("View plshard.placements shows which placements are active.")));
	if (!destination_placed)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("node \"%s\" holds no placement of shard " INT64_FORMAT,
						job->destination_name, job->shard_id)));
	if (job->superfluous)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the placement of shard " INT64_FORMAT " on node \"%s\" is active already",
						job->shard_id, job->destination_name)));
}

/* ---- the locks ---- */

/* The destination has answered: take the locks. */
static void
lock_placements(RepairJob *job, const PGresult *result)
{
	job->reached = true;
	job->nlocks = 0;
	job->locks = palloc(job->map->shards[job->shard].nactive * sizeof(AdminConnection *));
	lock_next(job);
}

/* Lets the writers go on, and locks again once the destination has answered. */
static void
unlock_and_retry(RepairJob *job, const char *meanwhile)
{
	for (int i = 0; i < job->nlocks; i++)
		plshard_admin_close(job->locks[i]);
	await(job, job->destination, meanwhile, lock_placements);
}

/* Raises 08P01 where the node that has answered returned other rows than were asked for. */
static void
check_shape(const RepairJob *job, const PGresult *result, int nrows, int ncolumns)
{
	plshard_check_shape(result, job->awaited->node_name, nrows, ncolumns, 0);
}

/* Takes a node's epoch into account. */
static void
note_epoch(RepairJob *job, const PGresult *result)
{
	check_shape(job, result, 1, 1);
	job->seen_epoch = Max(job->seen_epoch, strtoi64(PQgetvalue(result, 0, 0), NULL, 10));
}

/* One placement is locked: locks the next, or checks that the active placements are the same. */
static void
locked(RepairJob *job, const PGresult *result)
{
	ClusterMap *map;
	bool		same;

	note_epoch(job, result);
	if (job->nlocks < job->map->shards[job->shard].nactive)
	{
		lock_next(job);
		return;
	}

	map = plshard_cluster_reload(job->server_oid);
	same = plshard_same_active_placements(job->map, map, job->shard_id);
	job->map = map;
	check_placements(job);
	if (!same)
	{
		if (++job->attempts > SHARD_LOCK_ATTEMPTS)
			plshard_shard_restless(job->shard_id);
		unlock_and_retry(job, "");
		return;
	}
	job->holds_definition = plshard_hold_definition(job->server_oid);
	if (!job->holds_definition)
	{
		if (++job->attempts > DEFINITION_ATTEMPTS)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_IN_USE),
					 errmsg("cluster \"%s\" is being changed", map->name),
					 errdetail("A transaction that has called plshard.deploy or the like is still open."),
					 errhint("Try again when it has ended.")));
		unlock_and_retry(job, "SELECT pg_sleep(0.2)");
		return;
	}
	for (int i = 0; i < job->nlocks; i++)
	{
		if (plshard_placement(map, job->shard, i)->node == job->source_node)
			job->source = job->locks[i];
	}
	job->attempts = 0;
	clear_destination(job, NULL);
}

/* Connects to the next active placement and locks the shard there. */
static void
lock_next(RepairJob *job)
{
	int			node = plshard_placement(job->map, job->shard, job->nlocks)->node;
	AdminConnection *conn = plshard_admin_start(job->map, node);

	job->locks[job->nlocks++] = conn;
	await(job, conn, plshard_lock_shard_command(job->map, job->shard_id), locked);
}

/* ---- clearing the destination ---- */

/*
 * The command that sets search_path on the destination as for calls and deploy; it is
 * pg_catalog before.
 */
static const char *
path_command(const RepairJob *job)
{
	return psprintf("SELECT set_config('search_path', '" PLSHARD_SHARD_SCHEMA_FORMAT "'"
					" || coalesce(', ' || nullif(reset_val, ''), ''), true)"
					" FROM pg_settings WHERE name = 'search_path'", job->shard_id);
}

/* Recreates the shard's schema on the destination, once its lock is held there. */
static void
rebuild_schema(RepairJob *job, const PGresult *result)
{
	check_shape(job, result, 1, 1);
	if (strcmp(PQgetvalue(result, 0, 0), "t") != 0)
	{
		if (++job->attempts < CLEAR_ATTEMPTS)
		{
			await(job, job->destination, "ROLLBACK", clear_destination);
			return;
		}
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("shard " INT64_FORMAT " on node \"%s\" is still locked there",
						job->shard_id, job->destination_name),
				 errdetail("A session that could not be ended, or a prepared transaction, holds the shard's advisory lock."),
				 errhint("Look at pg_locks and pg_prepared_xacts on that node.")));
	}

	job->commands = plshard_merge_enum_values(plshard_recorded_ddl(job->map));
	await(job, job->destination,
		  psprintf("SET LOCAL lock_timeout = %d;"
				   "DROP SCHEMA IF EXISTS " PLSHARD_SHARD_SCHEMA_FORMAT " CASCADE;"
				   "DELETE FROM %s WHERE shard_id = " INT64_FORMAT ";"
				   "SET LOCAL lock_timeout = 0;"
				   "%s;"
				   "SET LOCAL TimeZone = %s;"
				   "%s; %s",
				   CLEAR_TIMEOUT, job->shard_id, plshard_calls_table(job->map), job->shard_id,
				   plshard_shard_schema(job->shard_id),
				   quote_literal_cstr(pg_get_timezone_name(session_timezone)),
				   plshard_node_now_command(), path_command(job)),
		  replay_next);
}

/* Begins the transaction on the destination and tries to take the lock of the shard. */
static void
begin_destination(RepairJob *job, const PGresult *result)
{
	await(job, job->destination,
		  psprintf("BEGIN READ WRITE; SELECT pg_try_advisory_xact_lock(" INT64_FORMAT ")",
				   plshard_shard_lock_key(job->map, job->shard_id)),
		  rebuild_schema);
}

/*
 * Ends sessions that still hold locks of the placement: they belong to fronts that
 * no longer use it, or to fronts that are lost.
 */
static void
clear_destination(RepairJob *job, const PGresult *result)
{
	uint64		key = (uint64) plshard_shard_lock_key(job->map, job->shard_id);

	await(job, job->destination,
		  psprintf("SELECT pg_terminate_backend(pid, %d) FROM (SELECT DISTINCT l.pid"
				   " FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid"
				   " WHERE l.pid <> pg_backend_pid()"
				   " AND a.backend_type IS DISTINCT FROM 'autovacuum worker'"
				   " AND l.database = (SELECT oid FROM pg_database"
				   " WHERE datname = current_database())"
				   " AND (l.locktype = 'advisory' AND l.classid = %u AND l.objid = %u"
				   " AND l.objsubid = 1"
				   " OR l.locktype = 'relation' AND l.relation IN (SELECT oid FROM pg_class"
				   " WHERE relnamespace = to_regnamespace('" PLSHARD_SHARD_SCHEMA_FORMAT "')))) s",
				   CLEAR_TIMEOUT, (uint32) (key >> 32), (uint32) key, job->shard_id),
		  begin_destination);
}

/* ---- what there is, and is to be copied ---- */

/* Columns of the relations' lists. */
enum
{
	REL_NAME,					/* quoted and qualified */
	REL_KIND,
	REL_COLUMNS,				/* a column list for COPY; empty if none */
	REL_SHAPE,					/* columns and types, to compare */
	REL_POPULATED,
	REL_NCOLUMNS
};

/* All names are qualified in it, since search_path is pg_catalog. */
static const char *
relations_query(const RepairJob *job)
{
	return psprintf("SELECT format('%%I.%%I', n.nspname, c.relname), c.relkind,"
					" coalesce('(' || string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)"
					" FILTER (WHERE a.attgenerated = '') || ')', ''),"
					" coalesce(string_agg(format('%%I %%s%%s', a.attname,"
					" format_type(a.atttypid, a.atttypmod),"
					" CASE WHEN a.attgenerated = '' THEN '' ELSE ' generated' END),"
					" ', ' ORDER BY a.attnum) FILTER (WHERE a.attnum IS NOT NULL), ''),"
					" c.relispopulated"
					" FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
					" LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0"
					" AND NOT a.attisdropped"
					" WHERE n.nspname = '" PLSHARD_SHARD_SCHEMA_FORMAT "'"
					" AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f', 'c')"
					" GROUP BY c.oid, n.nspname ORDER BY c.oid", job->shard_id);
}

/*
 * The commands that must run on the destination before and after the rows arrive:
 * foreign keys go and come back, and so do check constraints that old rows need
 * not meet (NOT VALID); triggers of users are switched off and on again; rows
 * that recorded commands have inserted go.
 */
static const char *
frame_query(const RepairJob *job)
{
	return psprintf("WITH relation AS ("
					"SELECT c.oid, c.relkind, format('%%I.%%I', n.nspname, c.relname) AS name"
					" FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
					" WHERE n.nspname = '" PLSHARD_SHARD_SCHEMA_FORMAT "'),"
					" key AS ("
					"SELECT format('ALTER TABLE %%s DROP CONSTRAINT %%I', r.name, k.conname) AS before,"
					" format('ALTER TABLE %%s ADD CONSTRAINT %%I %%s', r.name, k.conname,"
					" pg_get_constraintdef(k.oid)) || coalesce("
					"format('; COMMENT ON CONSTRAINT %%I ON %%s IS %%L', k.conname, r.name,"
					" obj_description(k.oid, 'pg_constraint')), '') AS after"
					" FROM pg_constraint k JOIN relation r ON r.oid = k.conrelid"
					" WHERE k.contype = 'f' AND k.conparentid = 0"
					" OR k.contype = 'c' AND NOT k.convalidated AND k.coninhcount = 0),"
					" off AS ("
					"SELECT format('ALTER TABLE ONLY %%s DISABLE TRIGGER %%I', r.name, t.tgname) AS before,"
					" format('ALTER TABLE ONLY %%s ENABLE %%sTRIGGER %%I', r.name,"
					" CASE t.tgenabled WHEN 'R' THEN 'REPLICA ' WHEN 'A' THEN 'ALWAYS ' ELSE '' END,"
					" t.tgname) AS after"
					" FROM pg_trigger t JOIN relation r ON r.oid = t.tgrelid"
					" WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' AND r.relkind IN ('r', 'p'))"
					" SELECT concat_ws(';\n',"
					" (SELECT string_agg(before, ';\n') FROM key),"
					" (SELECT string_agg(before, ';\n') FROM off),"
					" (SELECT 'TRUNCATE ONLY ' || string_agg(name, ', ONLY ') FROM relation WHERE relkind = 'r')),"
					" concat_ws(';\n',"
					" (SELECT string_agg(after, ';\n') FROM key),"
					" (SELECT string_agg(after, ';\n') FROM off))",
					job->shard_id);
}

/* The row of a relation in a list; -1 if there is none. */
static int
find_relation(const PGresult *relations, const char *name)
{
	for (int i = 0; i < PQntuples(relations); i++)
	{
		if (strcmp(PQgetvalue(relations, i, REL_NAME), name) == 0)
			return i;
	}
	return -1;
}

static bool
relation_is(const PGresult *relations, int i, char kind)
{
	return PQgetvalue(relations, i, REL_KIND)[0] == kind;
}

/* Throws where the recorded commands do not create the relations that the source has. */
static void
compare_relations(const RepairJob *job)
{
	const PGresult *source = job->source_relations;
	const PGresult *destination = job->destination_relations;

	for (int i = 0; i < PQntuples(source); i++)
	{
		const char *name = PQgetvalue(source, i, REL_NAME);
		int			j = find_relation(destination, name);

		if (j < 0)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("relation %s on node \"%s\" was not made through plshard.deploy",
							name, job->source_name),
					 errdetail("The recorded commands do not create it, so it would be missing on node \"%s\".",
							   job->destination_name)));
		if (strcmp(PQgetvalue(source, i, REL_KIND), PQgetvalue(destination, j, REL_KIND)) != 0 ||
			strcmp(PQgetvalue(source, i, REL_SHAPE), PQgetvalue(destination, j, REL_SHAPE)) != 0)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("relation %s on node \"%s\" was changed other than through plshard.deploy",
							name, job->source_name),
					 errdetail("It has the columns (%s); the recorded commands make (%s).",
							   PQgetvalue(source, i, REL_SHAPE), PQgetvalue(destination, j, REL_SHAPE))));
	}
	for (int j = 0; j < PQntuples(destination); j++)
	{
		const char *name = PQgetvalue(destination, j, REL_NAME);

		if (find_relation(source, name) < 0)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("relation %s is missing on node \"%s\"", name, job->source_name),
					 errdetail("The recorded commands create it; it was dropped other than through plshard.deploy.")));
	}
}

/* ---- activation ---- */

/*
 * The destination has committed.  These round trips wait: they are short, and
 * writers of the shard wait for them.
 */
static void
activate(RepairJob *job, const PGresult *result)
{
	char	   *message;

	if (strcmp(PQcmdStatus(unconstify(PGresult *, result)), "COMMIT") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("node \"%s\" did not commit the repair of shard " INT64_FORMAT,
						job->destination_name, job->shard_id)));

	for (int attempts = 0;; attempts++)
	{
		job->map = plshard_cluster_reload(job->server_oid);
		check_placements(job);
		switch (plshard_activate_at_new_epoch(job->map, job->shard_id, job->destination_node,
											  job->seen_epoch, job->source,
											  &job->raised_epoch, &message))
		{
			case REGISTRY_DONE:
				job->finished = true;
				return;
			case REGISTRY_REFUSED:
				/* something else has changed in the cluster: try again */
				if (attempts >= SHARD_LOCK_ATTEMPTS)
					plshard_shard_restless(job->shard_id);
				break;
			case REGISTRY_FAILED:
				ereport(ERROR,
						(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						 errmsg("could not activate the placement of shard " INT64_FORMAT " on node \"%s\"",
								job->shard_id, job->destination_name),
						 errdetail_internal("%s", message)));
		}
	}
}

void
plshard_repair_end(RepairJob *job)
{
	char	   *message;

	if (job->raised_epoch != 0 &&
		plshard_registry_advance(job->map, job->raised_epoch, &message) != REGISTRY_DONE)
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("could not raise the epoch of cluster \"%s\" to that of its nodes",
						job->map->name),
				 errdetail_internal("%s", message)));
	if (job->holds_definition)
		plshard_release_definition(job->server_oid);
}

/* ---- the rows, and what follows them ---- */

/* A node without active placements may be on another server than before: accepts it. */
static void
commit_destination(RepairJob *job, const PGresult *result)
{
	bool		has_active = false;

	for (int shard = 0; shard < job->map->nshards; shard++)
		has_active |= plshard_cluster_has_active(job->map, job->map->shards[shard].id,
												 job->map->nodes[job->destination_node].id);
	await(job, job->destination,
		  has_active ? "COMMIT" : psprintf("%s; COMMIT", plshard_accept_server_command(job->map)),
		  activate);
}

/* The result has one command for each sequence. */
static void
finish_destination(RepairJob *job, const PGresult *sequences)
{
	StringInfoData sql;

	if (sequences != NULL)
		check_shape(job, sequences, ANY_ROWS, 1);
	initStringInfo(&sql);
	for (int i = 0; sequences != NULL && i < PQntuples(sequences); i++)
		appendStringInfo(&sql, "%s;\n", PQgetvalue(sequences, i, 0));
	for (int i = 0; i < PQntuples(job->source_relations); i++)
	{
		if (relation_is(job->source_relations, i, 'm') &&
			strcmp(PQgetvalue(job->source_relations, i, REL_POPULATED), "t") == 0)
			appendStringInfo(&sql, "REFRESH MATERIALIZED VIEW %s;\n",
							 PQgetvalue(job->source_relations, i, REL_NAME));
	}
	appendStringInfoString(&sql, job->afterwards);
	await(job, job->destination, sql.data, commit_destination);
}

/* Reads the values of the sequences from the source, as commands that set them. */
static void
read_sequences(RepairJob *job)
{
	StringInfoData sql;

	initStringInfo(&sql);
	for (int i = 0; i < PQntuples(job->source_relations); i++)
	{
		const char *name = PQgetvalue(job->source_relations, i, REL_NAME);

		if (relation_is(job->source_relations, i, 'S'))
			appendStringInfo(&sql, "%sSELECT format('SELECT pg_catalog.setval(%%L, %%s, %%L)', %s,"
							 " last_value, is_called) FROM %s",
							 sql.len > 0 ? " UNION ALL " : "", quote_literal_cstr(name), name);
	}
	if (sql.len > 0)
		await(job, job->source, sql.data, finish_destination);
	else
		finish_destination(job, NULL);
}

/* Begins to copy the next table, or goes on to the sequences after the last. */
static void
copy_next(RepairJob *job)
{
	const PGresult *relations = job->source_relations;
	const char *name;

	while (job->relation < PQntuples(relations) && !relation_is(relations, job->relation, 'r'))
		job->relation++;
	if (job->relation == PQntuples(relations) && job->copying_calls)
	{
		job->copying = job->copying_calls = false;
		read_sequences(job);
		return;
	}
	job->copying = true;
	if (job->relation == PQntuples(relations))
	{
		const char *calls = plshard_calls_table(job->map);

		job->copying_calls = true;
		plshard_copy_begin(&job->copy, job->source, job->destination,
						   psprintf("(SELECT * FROM %s WHERE shard_id = " INT64_FORMAT ")",
									calls, job->shard_id),
						   calls);
		return;
	}
	name = psprintf("%s%s", PQgetvalue(relations, job->relation, REL_NAME),
					PQgetvalue(relations, job->relation, REL_COLUMNS));
	plshard_copy_begin(&job->copy, job->source, job->destination, name, name);
	job->relation++;
}

static void
start_copying(RepairJob *job, const PGresult *result)
{
	copy_next(job);
}

/* Runs what must run before the rows arrive; keeps what runs afterwards. */
static void
prepare_tables(RepairJob *job, const PGresult *frame)
{
	check_shape(job, frame, 1, 2);
	job->afterwards = PQgetvalue(frame, 0, 1);
	/* pending deferred constraints would make ALTER TABLE fail */
	await(job, job->destination,
		  psprintf("SET CONSTRAINTS ALL IMMEDIATE; %s;\n%s",
				   PQgetvalue(frame, 0, 0), path_command(job)),
		  start_copying);
}

static void
compare(RepairJob *job, const PGresult *destination_relations)
{
	check_shape(job, destination_relations, ANY_ROWS, REL_NCOLUMNS);
	job->destination_relations = destination_relations;
	compare_relations(job);
	await(job, job->destination, frame_query(job), prepare_tables);
}

static void
read_destination_relations(RepairJob *job, const PGresult *source_relations)
{
	check_shape(job, source_relations, ANY_ROWS, REL_NCOLUMNS);
	job->source_relations = source_relations;
	await(job, job->destination,
		  psprintf("SET LOCAL search_path = pg_catalog; %s", relations_query(job)), compare);
}

/* Replays the next recorded command, or goes on to compare the relations. */
static void
replay_next(RepairJob *job, const PGresult *result)
{
	job->command = NULL;
	if (job->commands == NIL)
	{
		await(job, job->source, relations_query(job), read_destination_relations);
		return;
	}
	job->command = linitial(job->commands);
	job->commands = list_delete_first(job->commands);
	await(job, job->destination, job->command, replay_next);
}

/* ---- from outside ---- */

void
plshard_repair_begin(RepairJob *job)
{
	const char *const *statements;
	int			nstatements;
	StringInfoData sql;

	job->map = plshard_cluster_reload(job->server_oid);
	check_placements(job);

	initStringInfo(&sql);
	statements = plshard_node_schema(job->map, &nstatements);
	for (int i = 0; i < nstatements; i++)
		appendStringInfo(&sql, "%s;\n", statements[i]);
	job->destination = plshard_admin_start(job->map, job->destination_node);
	await(job, job->destination, sql.data, lock_placements);
}

static void
add_context(void *arg)
{
	RepairJob  *job = arg;

	if (job->command != NULL)
		errcontext("recorded command: %s", job->command);
	errcontext("repair of shard " INT64_FORMAT " on node \"%s\" from node \"%s\"",
			   job->shard_id, job->destination_name, job->source_name);
}

/* True when there was something to do; false when a node must answer first. */
static bool
take_step(RepairJob *job)
{
	PGresult   *result;

	if (job->copying)
	{
		if (!plshard_copy_turn(&job->copy))
			return false;
		if (!job->copying_calls)
			job->rows += job->copy.rows;
		copy_next(job);
		return true;
	}
	if (!plshard_admin_poll(job->awaited, &result))
		return false;
	plshard_admin_check(job->awaited, result);
	job->next(job, result);
	return true;
}

bool
plshard_repair_turn(RepairJob *job)
{
	ErrorContextCallback callback;

	callback.callback = add_context;
	callback.arg = job;
	callback.previous = error_context_stack;
	error_context_stack = &callback;

	while (!job->finished && take_step(job))
		CHECK_FOR_INTERRUPTS();

	error_context_stack = callback.previous;
	return job->finished;
}

int
plshard_repair_connections(RepairJob *job, AdminConnection **conns)
{
	if (job->copying)
	{
		conns[0] = job->copy.source;
		conns[1] = job->copy.destination;
		return 2;
	}
	conns[0] = job->awaited;
	return 1;
}
