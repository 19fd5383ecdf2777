/*
 * cluster_admin.c
 *
 * The functions that define a catalog cluster: its foreign server, its nodes
 * and its shards.  Each is part of the caller's transaction, on the nodes too,
 * so ROLLBACK undoes it.  Everything is allocated in the caller's context.
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/arguments.h"
#include "base/compat.h"
#include "base/settings.h"
#include "call/execute.h"
#include "cluster/catalog_query.h"
#include "cluster/conninfo.h"
#include "cluster/node_schema.h"
#include "connection/admin_connection.h"
#include "connection/remote_result.h"
#include "executor/spi.h"
#include "maintenance/change_lock.h"
#include "maintenance/cluster_admin.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/resowner.h"
#include "utils/uuid.h"

#define MIN_NODE_VERSION 150000
#define MAX_SHARDS 65536

PG_FUNCTION_INFO_V1(plshard_create_cluster);
PG_FUNCTION_INFO_V1(plshard_drop_cluster);
PG_FUNCTION_INFO_V1(plshard_add_node);
PG_FUNCTION_INFO_V1(plshard_drop_node);
PG_FUNCTION_INFO_V1(plshard_accept_node);
PG_FUNCTION_INFO_V1(plshard_create_shards);

/* ---- what the functions have in common ---- */

/* Runs a utility command with the caller's rights. */
static void
run_utility(const char *sql)
{
	int			code;

	SPI_connect();
	code = SPI_execute(sql, false, 0);
	if (code < 0)
		elog(ERROR, "SPI_execute returned %s: %s", SPI_result_code_string(code), sql);
	SPI_finish();
}

ClusterMap *
plshard_begin_change(const char *cluster)
{
	Oid			server = plshard_cluster_oid(cluster, false);
	ClusterMap *map;
	const char *id;

	PreventCommandIfReadOnly("a change of a plshard cluster");
	if (!object_ownercheck(ForeignServerRelationId, server, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_FOREIGN_SERVER, cluster);
	plshard_lock_for_change(server);
	map = plshard_catalog_map(server);
	id = plshard_cluster_id_text(map);

	/* evictions lock this row too */
	(void) plshard_catalog_query("SELECT cluster_id FROM plshard.cluster"
								 " WHERE cluster_id = $1::uuid FOR NO KEY UPDATE",
								 1, &id);
	return plshard_cluster_reload(server);
}

/* The index of a node.  Errors: 42704 if there is none. */
static int
find_node(const ClusterMap *map, const char *name)
{
	int			node = plshard_cluster_node_index(map, name);

	if (node < 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("node \"%s\" of cluster \"%s\" does not exist", name, map->name)));
	return node;
}

/* ---- create_cluster, drop_cluster ---- */

Datum
plshard_create_cluster(PG_FUNCTION_ARGS)
{
	const char *id;

	plshard_refuse_nulls(fcinfo);
	id = DatumGetCString(DirectFunctionCall1(uuid_out, OidFunctionCall0(F_GEN_RANDOM_UUID)));
	run_utility(psprintf("CREATE SERVER %s FOREIGN DATA WRAPPER %s OPTIONS (cluster_id '%s')",
						 quote_identifier(NameStr(*PG_GETARG_NAME(0))), PLSHARD_FDW_NAME, id));
	(void) plshard_catalog_query("INSERT INTO plshard.cluster (cluster_id)"
								 " VALUES ($1::uuid)", 1, &id);
	if (!plshard_is_preloaded)
		ereport(NOTICE,
				(errmsg("nothing resolves transactions in doubt in the background"),
				 errdetail("The library is not in shared_preload_libraries."),
				 errhint("Add plshard there, or run plshard.recover after failures.")));
	PG_RETURN_VOID();
}

/*
 * Runs one command on a node, in a subtransaction: false, with a WARNING, where
 * the node cannot be reached.
 */
static bool
run_if_reachable(ClusterMap *map, const AdminPlacement *placement, const char *command)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool reached = true;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		plshard_execute_admin(map, 1, placement, 1, &command);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		if (ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_CONNECTION_EXCEPTION)
			ReThrowError(error);
		reached = false;
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("the data of cluster \"%s\" stays on node \"%s\"", map->name,
						map->nodes[placement->node].name),
				 errdetail("The node cannot be reached."),
				 errhint("Drop the schemas of its placements there by hand.")));
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return reached;
}

/*
 * Drops what the cluster has on its nodes.  Active placements are locked, in
 * the order in which writers lock them.
 */
static void
drop_data(ClusterMap *map)
{
	bool	   *unreachable = palloc0(map->nnodes * sizeof(bool));
	AdminPlacement where;

	for (int shard = 0; shard < map->nshards; shard++)
	{
		char	   *command = psprintf("DROP SCHEMA IF EXISTS " PLSHARD_SHARD_SCHEMA_FORMAT " CASCADE",
									   map->shards[shard].id);

		for (int i = 0; i < map->shards[shard].nplacements; i++)
		{
			const ClusterPlacement *placement = plshard_placement(map, shard, i);
			bool		active = (placement->state == PLACEMENT_ACTIVE);

			where.node = placement->node;
			where.shard = active ? shard : -1;
			where.lock_shard = active;
			if (!unreachable[where.node])
				unreachable[where.node] = !run_if_reachable(map, &where, command);
		}
	}
	for (int node = 0; node < map->nnodes; node++)
	{
		char	   *epoch = plshard_epoch_sequence(map);
		char	   *command = psprintf("DO $$BEGIN DROP DOMAIN IF EXISTS %s; DROP SEQUENCE IF EXISTS %s;"
									   " DROP TABLE IF EXISTS %s; END$$",
									   epoch, epoch, plshard_calls_table(map));

		where = (AdminPlacement) {.node = node, .shard = -1};
		if (!unreachable[node])
			(void) run_if_reachable(map, &where, command);
	}
}

/* The event trigger deletes the cluster's rows, as for a plain DROP SERVER. */
Datum
plshard_drop_cluster(PG_FUNCTION_ARGS)
{
	ClusterMap *map;
	char	   *mappings;
	const char *server;

	plshard_refuse_nulls(fcinfo);
	map = plshard_begin_change(NameStr(*PG_GETARG_NAME(0)));
	if (PG_GETARG_BOOL(1))
		drop_data(map);

	/* user mappings are dropped with the cluster; they were needed up to here */
	server = quote_identifier(map->name);
	mappings = plshard_catalog_query("SELECT string_agg(format("
									 "'DROP USER MAPPING FOR %s SERVER %s', CASE WHEN umuser = 0"
									 " THEN 'PUBLIC' ELSE quote_ident("
									 "pg_get_userbyid(umuser)) END, $2), '; ')"
									 " FROM pg_user_mapping"
									 " WHERE umserver = $1::oid",
									 2, (const char *[]) {psprintf("%u", map->server_oid), server});
	if (mappings != NULL)
		run_utility(mappings);
	run_utility(psprintf("DROP SERVER %s", server));
	PG_RETURN_VOID();
}

/* ---- add_node, drop_node ---- */

/*
 * Inspects a new node through a connection of its own, and stores in the registry
 * which database of which server it is.
 */
static void
inspect_node(const ClusterMap *map, int node)
{
	const char *params[5];
	AdminConnection *conn = plshard_admin_open(map, node);
	PGresult   *result;
	char	   *same;

	result = plshard_admin_query(conn,
								   "SELECT pg_catalog.current_setting('server_version_num'),"
								   " pg_catalog.current_setting('server_version'),"
								   " pg_catalog.pg_is_in_recovery(),"
								   " pg_catalog.has_database_privilege(d.oid, 'CREATE'),"
								   " d.oid, d.datname, current_user,"
								   " pg_catalog.has_function_privilege("
								   "'pg_catalog.pg_control_system()', 'EXECUTE')"
								   " AND pg_catalog.has_function_privilege("
								   "'pg_catalog.pg_control_checkpoint()', 'EXECUTE'),"
								   " (SELECT pg_catalog.has_schema_privilege(oid, 'CREATE')"
								   " FROM pg_catalog.pg_namespace WHERE nspname = 'plshard_node'),"
								   " pg_catalog.current_setting('max_prepared_transactions')"
								   " FROM pg_catalog.pg_database d"
								   " WHERE d.datname = pg_catalog.current_database()",
								   0, NULL);
	plshard_check_shape(result, map->nodes[node].name, 1, 10, NULLABLE(8));
	if (atoi(PQgetvalue(result, 0, 0)) < MIN_NODE_VERSION)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("node \"%s\" runs PostgreSQL %s", map->nodes[node].name,
						PQgetvalue(result, 0, 1)),
				 errdetail("A node needs PostgreSQL %d or later.", MIN_NODE_VERSION / 10000)));
	if (*PQgetvalue(result, 0, 2) == 't')
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("node \"%s\" is a standby server", map->nodes[node].name),
				 errhint("Give the address of its primary.")));
	if (*PQgetvalue(result, 0, 3) != 't')
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("role \"%s\" may not create schemas on node \"%s\"",
						PQgetvalue(result, 0, 6), map->nodes[node].name),
				 errhint("Run GRANT CREATE ON DATABASE %s TO %s on the node.",
						 quote_identifier(PQgetvalue(result, 0, 5)),
						 quote_identifier(PQgetvalue(result, 0, 6)))));
	if (!PQgetisnull(result, 0, 8) && *PQgetvalue(result, 0, 8) != 't')
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("role \"%s\" may not create objects in schema plshard_node on node \"%s\"",
						PQgetvalue(result, 0, 6), map->nodes[node].name),
				 errdetail("A cluster of another owner uses the node already."),
				 errhint("Run GRANT CREATE ON SCHEMA plshard_node TO %s on the node.",
						 quote_identifier(PQgetvalue(result, 0, 6)))));

	if (map->options.commit == COMMIT_ATOMIC && atoi(PQgetvalue(result, 0, 9)) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("node \"%s\" cannot take part in atomic commits", map->nodes[node].name),
				 errdetail("Its max_prepared_transactions is 0."),
				 errhint("Set it to the number of connections that the node allows and restart the node, or run ALTER SERVER %s OPTIONS (ADD commit 'fast') first.",
						 quote_identifier(map->name))));

	params[0] = plshard_cluster_id_text(map);
	params[1] = psprintf("%d", map->nodes[node].id);
	params[2] = PQgetvalue(result, 0, 4);
	params[3] = params[4] = NULL;
	if (*PQgetvalue(result, 0, 7) == 't')
	{
		result = plshard_admin_query(conn,
									   "SELECT s.system_identifier, c.timeline_id"
									   " FROM pg_catalog.pg_control_system() s,"
									   " pg_catalog.pg_control_checkpoint() c",
									   0, NULL);
		plshard_check_shape(result, map->nodes[node].name, 1, 2, 0);
		params[3] = PQgetvalue(result, 0, 0);
		params[4] = PQgetvalue(result, 0, 1);
	}
	same = plshard_catalog_query("SELECT node_name FROM plshard.node"
								 " WHERE cluster_id = $1::uuid"
								 " AND node_id <> $2::int4"
								 " AND database_id = $3::oid AND system_identifier = $4",
								 4, params);
	if (same != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("node \"%s\" would be the same database as node \"%s\"",
						map->nodes[node].name, same),
				 errdetail("Two replicas of a shard must not share a database.")));
	(void) plshard_catalog_query("UPDATE plshard.node SET database_id = $3::oid,"
								 " system_identifier = $4, timeline = $5::int4"
								 " WHERE cluster_id = $1::uuid"
								 " AND node_id = $2::int4",
								 5, params);
	plshard_admin_close(conn);
}

Datum
plshard_add_node(PG_FUNCTION_ARGS)
{
	const char *name;
	const char *id;
	const char *conninfo;
	const char *node_id;
	ClusterMap *map;
	AdminPlacement where = {.shard = -1};
	const char *const *commands;
	int			ncommands;

	plshard_refuse_nulls(fcinfo);
	name = NameStr(*PG_GETARG_NAME(1));
	conninfo = text_to_cstring(PG_GETARG_TEXT_PP(2));
	map = plshard_begin_change(NameStr(*PG_GETARG_NAME(0)));
	if (*name == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("the name of a node must not be empty")));
	if (plshard_cluster_node_index(map, name) >= 0)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("node \"%s\" of cluster \"%s\" already exists", name, map->name)));
	plshard_validate_conninfo(conninfo, CLUSTER_CATALOG);

	id = plshard_cluster_id_text(map);
	node_id = plshard_catalog_query("UPDATE plshard.cluster SET last_node_id = last_node_id + 1"
									" WHERE cluster_id = $1::uuid"
									" RETURNING last_node_id", 1, &id);
	(void) plshard_catalog_query("INSERT INTO plshard.node (cluster_id, node_id, node_name, conninfo)"
								 " VALUES ($1::uuid, $2::int4,"
								 " $3::name, $4)",
								 4, (const char *[]) {id, node_id, name, conninfo});
	map = plshard_cluster_reload(map->server_oid);
	where.node = find_node(map, name);

	inspect_node(map, where.node);
	commands = plshard_node_schema(map, &ncommands);
	plshard_execute_admin(map, 1, &where, ncommands, commands);
	PG_RETURN_VOID();
}

/*
 * Through a connection of its own, so that ROLLBACK does not undo it: cached connections
 * would not notice that.  Raises an error if the node does not meet the requirements.
 */
Datum
plshard_accept_node(PG_FUNCTION_ARGS)
{
	ClusterMap *map;
	int			node;
	AdminConnection *conn;

	plshard_refuse_nulls(fcinfo);
	map = plshard_begin_change(NameStr(*PG_GETARG_NAME(0)));
	node = find_node(map, NameStr(*PG_GETARG_NAME(1)));
	inspect_node(map, node);
	conn = plshard_admin_open(map, node);
	(void) plshard_admin_query(conn, plshard_accept_server_command(map), 0, NULL);
	plshard_admin_close(conn);
	PG_RETURN_VOID();
}

/* The objects that add_node created on the node stay: other clusters may use them. */
Datum
plshard_drop_node(PG_FUNCTION_ARGS)
{
	const char *params[2];
	ClusterMap *map;
	int			node;
	int			nplacements = 0;

	plshard_refuse_nulls(fcinfo);
	map = plshard_begin_change(NameStr(*PG_GETARG_NAME(0)));
	node = find_node(map, NameStr(*PG_GETARG_NAME(1)));
	for (int shard = 0; shard < map->nshards; shard++)
	{
		for (int i = 0; i < map->shards[shard].nplacements; i++)
			nplacements += (plshard_placement(map, shard, i)->node == node);
	}
	if (nplacements > 0)
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("node \"%s\" of cluster \"%s\" cannot be dropped", map->nodes[node].name,
						map->name),
				 errdetail_plural("It holds %d placement.", "It holds %d placements.",
								  nplacements, nplacements)));

	params[0] = plshard_cluster_id_text(map);
	params[1] = psprintf("%d", map->nodes[node].id);
	(void) plshard_catalog_query("DELETE FROM plshard.node WHERE cluster_id = $1::uuid"
								 " AND node_id = $2::int4", 2, params);
	PG_RETURN_VOID();
}

/* ---- create_shards ---- */

/* Throws where so many shards and replicas cannot be created. */
static void
check_shard_numbers(const ClusterMap *map, int shard_count, int replicas)
{
	if (map->nshards > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cluster \"%s\" already has shards", map->name)));
	if (shard_count < 1 || shard_count > MAX_SHARDS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the number of shards must be between 1 and %d", MAX_SHARDS)));
	if (map->nnodes == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cluster \"%s\" has no nodes yet", map->name),
				 errhint("Add them by plshard.add_node.")));
	if (replicas < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the number of replicas must be at least 1")));
	if (replicas > map->nnodes)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%d replicas need as many nodes", replicas),
				 errdetail_plural("Cluster \"%s\" has %d node.", "Cluster \"%s\" has %d nodes.",
								  map->nnodes, map->name, map->nnodes),
				 errhint("Add nodes by plshard.add_node, or ask for fewer replicas.")));
}

/* Adds a hint to a node's error that a schema exists already. */
static void
explain_duplicate_schema(void *arg)
{
	if (geterrcode() == ERRCODE_DUPLICATE_SCHEMA)
		errhint("The node holds data of another cluster, or what is left of an earlier one. Drop the schema there, or move on by ALTER SEQUENCE %s.shard_id_seq RESTART.",
				PLSHARD_SCHEMA);
}

/* Creates the schemas of the placements, on one node after the other. */
static void
create_schemas(ClusterMap *map)
{
	const char **commands = palloc_extended(map->nshards * sizeof(char *), MCXT_ALLOC_HUGE);
	ErrorContextCallback callback = {
		.previous = error_context_stack,
		.callback = explain_duplicate_schema
	};

	error_context_stack = &callback;
	for (int node = 0; node < map->nnodes; node++)
	{
		AdminPlacement where = {.node = node, .shard = -1};
		int			ncommands = 0;

		for (int shard = 0; shard < map->nshards; shard++)
		{
			for (int i = 0; i < map->shards[shard].nplacements; i++)
			{
				if (plshard_placement(map, shard, i)->node == node)
					commands[ncommands++] = plshard_shard_schema(map->shards[shard].id);
			}
		}
		if (ncommands > 0)
			plshard_execute_admin(map, 1, &where, ncommands, commands);
	}
	error_context_stack = callback.previous;
}

/* Accepts the current servers of all nodes, which hold no data yet. */
static void
accept_empty_nodes(ClusterMap *map)
{
	const char *command = plshard_accept_server_command(map);
	AdminPlacement *nodes = palloc(map->nnodes * sizeof(AdminPlacement));

	for (int i = 0; i < map->nnodes; i++)
		nodes[i] = (AdminPlacement) {.node = i, .shard = -1};
	plshard_execute_admin(map, map->nnodes, nodes, 1, &command);
	pfree(nodes);
}

Datum
plshard_create_shards(PG_FUNCTION_ARGS)
{
	const char *params[3];
	ClusterMap *map;

	plshard_refuse_nulls(fcinfo);
	map = plshard_begin_change(NameStr(*PG_GETARG_NAME(0)));
	check_shard_numbers(map, PG_GETARG_INT32(1), PG_GETARG_INT32(2));

	params[0] = plshard_cluster_id_text(map);
	params[1] = psprintf("%d", PG_GETARG_INT32(1));
	params[2] = psprintf("%d", PG_GETARG_INT32(2));
	(void) plshard_catalog_query("WITH new AS ("
								 "SELECT i, nextval('plshard.shard_id_seq') AS shard_id"
								 " FROM generate_series(0, $2::int8 - 1) i"
								 "), ignored AS ("
								 "INSERT INTO plshard.shard (cluster_id, shard_id, min_value, max_value)"
								 " SELECT $1::uuid, shard_id,"
								 " i * (4294967296 / $2::int8) - 2147483648,"
								 " CASE WHEN i = $2::int8 - 1 THEN 2147483647"
								 " ELSE (i + 1) * (4294967296 / $2::int8) - 2147483649 END"
								 " FROM new"
								 "), nodes AS ("
								 "SELECT array_agg(node_id ORDER BY node_id) AS ids,"
								 " count(*) AS n FROM plshard.node"
								 " WHERE cluster_id = $1::uuid)"
								 "INSERT INTO plshard.placement (cluster_id, shard_id, position, node_id)"
								 " SELECT $1::uuid, shard_id, p, ids[1 + (i + p) % n]"
								 " FROM new, nodes,"
								 " generate_series(0, $3::int4 - 1) p",
								 3, params);
	(void) plshard_catalog_query("UPDATE plshard.cluster SET epoch = epoch + 1"
								 " WHERE cluster_id = $1::uuid", 1, params);
	map = plshard_cluster_reload(map->server_oid);
	accept_empty_nodes(map);
	create_schemas(map);
	PG_RETURN_VOID();
}
