/*
 * execute.c
 *
 * Runs a call: a read on one placement of each shard, going on to the next
 * where one fails; a write on all of them, in the order of PROTOCOL rules 1 to
 * 3.  Everything allocated here lives in the caller's memory context and is
 * gone with the call.
 *
 * A call is a list of tasks, one for each (shard, placement) it goes to, in the
 * one order in which locks are taken.  drive() runs tasks that are let loose
 * until each has ended one way or another; settle_read() and settle_write()
 * look at how they ended and decide: done, run some of them again, start the
 * whole call anew, or throw.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "common/hashfn.h"
#include "connection.h"
#include "health.h"
#include "locks.h"
#include "miscadmin.h"
#include "node_schema.h"
#include "port/pg_bitutils.h"
#include "port/pg_bswap.h"
#include "pump.h"
#include "registry.h"
#include "remote_error.h"
#include "remote_xact.h"
#include "result.h"
#include "session.h"
#include "settings.h"
#include "utils/inval.h"

/* Many keys in one transaction take the whole shard: the lock table is finite. */
#define MAX_KEY_LOCKS 100

/* Placements of a shard that a read can go through: bits of Task.tried. */
#define MAX_TRIED 32

/* How often a call is started anew before we believe that something is wrong. */
#define MAX_RESTARTS 20

typedef enum TaskState
{
	TASK_READY,					/* to be sent as soon as its connection is up */
	TASK_HELD,					/* waits for its turn to take locks */
	TASK_SENT,
	TASK_DONE,
	TASK_LOCKED_OUT,			/* its locks were not free at once */
	TASK_OLD_EPOCH,
	TASK_STALE_PLAN,			/* the prepared statement must be made anew */
	TASK_NOT_RUN,				/* another task's error on its connection came first */
	TASK_ERROR,					/* the node's error is in "error" */
	TASK_LOST,					/* its connection was lost, or it took too long */
	TASK_SKIPPED				/* ON FAILURE SKIP */
} TaskState;

typedef struct Task
{
	int			target;			/* index into Execution.targets */
	int			shard;			/* index into the map; -1: none */
	int			node;
	TaskState	state;
	bool		synced;			/* nothing more will come for it */
	NodeConn   *conn;
	uint32		tried;			/* reads: placements that were tried, as bits */
	bool		sent;			/* writes: it has been on its way in this try */
	bool		sent_again;		/* on a second connection, the first was stale */
	bool		wait_locks;
	int			savepoint;		/* see plshard_xact_begin_call */
	bool		deliver;		/* its rows are the caller's */
	bool		described;
	uint64		nrows;
	RowDigest	digest;
	PGresult   *result;			/* a write's rows, until all replicas agree */
	PGresult   *error;
	Deadline	deadline;		/* of this attempt */
} Task;

typedef struct Execution
{
	ClusterMap *map;
	const CallRequest *request; /* NULL for administration */
	const char *function_name;
	bool		is_write;
	RowSink    *sink;
	int			timeout;
	Deadline	deadline;

	/* administration */
	const AdminTarget *admin;
	int			nstatements;
	const char *const *statements;
	void		(*admin_row) (void *arg, int target, int statement,
							  const PGresult *result, int row);
	void	   *admin_arg;

	int			ntasks;
	Task	   *tasks;
	NodeConn  **conns;			/* of all tasks, each once */
	Deadline   *probe_at;		/* for each of them: when silence becomes suspicious */
	int		   *silences;		/* how often it was found alive after all */
	bool		old_epoch;		/* the write starts anew for this reason */
	int			nconns;
	int			conns_size;
} Execution;

static uint64 next_query_id = FIRST_FUNCTION_QUERY;

static const Oid lock_types[2] = {INT8OID, INT8OID};

static const char try_locks_sql[] =
"SELECT CASE WHEN pg_catalog.pg_try_advisory_xact_lock_shared($1) "
"AND pg_catalog.pg_try_advisory_xact_lock($2) "
"THEN true ELSE plshard_node.lock_not_taken() END";
static const char wait_locks_sql[] =
"SELECT pg_catalog.pg_advisory_xact_lock_shared($1), pg_catalog.pg_advisory_xact_lock($2)";
static const char try_shard_sql[] =
"SELECT CASE WHEN pg_catalog.pg_try_advisory_xact_lock($1) "
"THEN true ELSE plshard_node.lock_not_taken() END";
static const char wait_shard_sql[] =
"SELECT pg_catalog.pg_advisory_xact_lock($1)";

uint64
plshard_next_query_id(void)
{
	return next_query_id++;
}

/* ---- choosing placements and connections ---- */

/*
 * The placement a read goes to: the highest of a hash of session, shard and
 * node, so that a session sticks to a placement, sessions are spread, and a
 * placement that comes or goes moves only those that must.  Nodes that look
 * dead come last.  -1 where all have been tried.
 */
static int
choose_placement(const ClusterMap *map, int shard, uint32 tried)
{
	int			best = -1;
	bool		best_dead = true;
	uint32		best_score = 0;

	if (map->shards[shard].nactive == 1)
		return tried ? -1 : 0;
	for (int i = 0; i < map->shards[shard].nactive && i < MAX_TRIED; i++)
	{
		int			node = plshard_placement(map, shard, i)->node;
		uint32		score;
		bool		dead;

		if (tried & ((uint32) 1 << i))
			continue;
		score = hash_combine(hash_combine(murmurhash32(MyProcPid), murmurhash32(map->nodes[node].id)),
							 murmurhash32((uint32) map->shards[shard].id));
		dead = plshard_node_looks_dead(map, node);
		if (best < 0 || (best_dead && !dead) || (best_dead == dead && score > best_score))
		{
			best = i;
			best_dead = dead;
			best_score = score;
		}
	}
	return best;
}

int
plshard_read_node(const ClusterMap *map, int shard)
{
	int			placement = choose_placement(map, shard, 0);

	return placement < 0 ? -1 : plshard_placement(map, shard, placement)->node;
}

/* Adds a connection to those that are waited for; returns its index. */
static int
note_conn(Execution *e, NodeConn *conn)
{
	for (int i = 0; i < e->nconns; i++)
	{
		if (e->conns[i] == conn)
			return i;
	}
	if (e->nconns == e->conns_size)
	{
		e->conns_size = Max(8, e->conns_size * 2);
		if (e->conns == NULL)
		{
			e->conns = palloc(e->conns_size * sizeof(NodeConn *));
			e->probe_at = palloc(e->conns_size * sizeof(Deadline));
			e->silences = palloc(e->conns_size * sizeof(int));
		}
		else
		{
			e->conns = repalloc(e->conns, e->conns_size * sizeof(NodeConn *));
			e->probe_at = repalloc(e->probe_at, e->conns_size * sizeof(Deadline));
			e->silences = repalloc(e->silences, e->conns_size * sizeof(int));
		}
	}
	e->conns[e->nconns] = conn;
	e->probe_at[e->nconns] = NO_DEADLINE;
	e->silences[e->nconns] = 0;
	return e->nconns++;
}

/*
 * Gives a task its connection.  A write, and a read on a node that the
 * transaction already uses, take the one with the transaction.
 */
static void
assign_conn(Execution *e, Task *task)
{
	NodeConn   *conn = plshard_conn_get(e->map, task->node, 0);

	if (conn->xact_lost)
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_FAILURE),
				 errmsg("this transaction's connection to node \"%s\" was lost",
						e->map->nodes[task->node].name),
				 errhint("Roll back and try the transaction again.")));

	if (!e->is_write && conn->xact_depth == 0 && !IsolationUsesXactSnapshot())
	{
		int			slots = plshard_max_connections_per_node;

		if (slots > 1)
			conn = plshard_conn_get(e->map, task->node, task->target % slots);
		/* a call in the middle of another one's rows takes one that is free */
		for (int slot = slots; plshard_conn_awaited(conn) && conn->state == CONN_READY; slot++)
		{
			bool		mine = false;

			for (int i = 0; i < e->nconns; i++)
				mine |= e->conns[i] == conn;
			if (mine)
				break;
			conn = plshard_conn_get(e->map, task->node, slot);
		}
	}
	else if (plshard_conn_awaited(conn))
	{
		bool		mine = false;

		for (int i = 0; i < e->nconns; i++)
			mine |= e->conns[i] == conn;
		if (!mine)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot use node \"%s\" in this transaction while another call is reading from it",
							e->map->nodes[task->node].name)));
	}

	task->conn = conn;
	note_conn(e, conn);
	if (conn->state == CONN_READY)
		conn->used_before = true;
	else if (conn->state == CONN_CLOSED || conn->state == CONN_LOST)
		plshard_conn_start(conn, e->map, task->node);
}

/* ---- sending ---- */

static void
send_locks(Execution *e, Task *task)
{
	NodeConn   *conn = task->conn;
	const CallTarget *target = e->request ? &e->request->targets[task->target] : NULL;
	bool		whole = target == NULL || e->request->lock_shard || !target->has_key ||
		conn->nkey_locks >= MAX_KEY_LOCKS;
	int64		shard_id = e->map->shards[task->shard].id;
	uint64		keys[2];
	const char *values[2] = {(const char *) &keys[0], (const char *) &keys[1]};
	const int	lengths[2] = {sizeof(uint64), sizeof(uint64)};
	const int	formats[2] = {1, 1};
	const RemoteParams params = {values, lengths, formats};
	uint64		epoch = pg_hton64((uint64) e->map->epoch);
	const char *epoch_value[1] = {(const char *) &epoch};
	const RemoteParams epoch_params = {epoch_value, lengths, formats};

	keys[0] = pg_hton64((uint64) plshard_shard_lock_key(e->map, shard_id));
	if (whole)
		plshard_conn_send_prepared(conn, task->wait_locks ? QUERY_WAIT_SHARD : QUERY_TRY_SHARD, 0,
								   task->wait_locks ? wait_shard_sql : try_shard_sql,
								   1, lock_types, &params, 1, PENDING_LOCK, task, 0, false);
	else
	{
		keys[1] = pg_hton64((uint64) plshard_key_lock_key(e->map, shard_id, target->key_hash));
		plshard_conn_send_prepared(conn, task->wait_locks ? QUERY_WAIT_LOCKS : QUERY_TRY_LOCKS, 0,
								   task->wait_locks ? wait_locks_sql : try_locks_sql,
								   2, lock_types, &params, 1, PENDING_LOCK, task, 0, false);
		conn->nkey_locks++;
	}

	if (conn->epoch_sql == NULL)
	{
		char	   *sequence = plshard_epoch_sequence(e->map);
		char	   *sql = psprintf("SELECT CASE WHEN last_value <= $1 THEN true "
								   "ELSE plshard_node.epoch_is_old() END FROM %s", sequence);

		conn->epoch_sql = MemoryContextStrdup(conn->context, sql);
		pfree(sql);
		pfree(sequence);
	}
	plshard_conn_send_prepared(conn, QUERY_EPOCH, 0, conn->epoch_sql, 1, lock_types, &epoch_params,
							   1, PENDING_EPOCH, task, 0, false);
}

static void
send_task(Execution *e, Task *task)
{
	NodeConn   *conn = task->conn;
	bool		guard = false;
	int64		shard_id = task->shard < 0 ? PATH_BASE : e->map->shards[task->shard].id;

	task->state = TASK_SENT;
	task->synced = false;
	e->probe_at[note_conn(e, conn)] = deadline_in(e->map->node_timeout);

	if (e->is_write)
	{
		task->sent = true;
		task->savepoint = plshard_xact_begin_call(conn, task);
		if (e->admin == NULL || e->admin[task->target].lock_shard)
			send_locks(e, task);
	}
	else if (conn->xact_depth > 0 || IsolationUsesXactSnapshot())
	{
		/* a read in a transaction that may write: it may not */
		plshard_xact_open(conn, false, task);
		guard = !conn->xact_read_only;
		if (guard)
		{
			plshard_conn_send_plain(conn, "SAVEPOINT plshard_read", PENDING_XACT, task, 0, false);
			plshard_conn_send_plain(conn, "SET LOCAL transaction_read_only = on", PENDING_XACT,
									task, 0, false);
		}
	}

	plshard_conn_send_settings(conn, shard_id, e->timeout, task);
	if (e->request)
	{
		const RemoteQuery *query = e->request->query;

		conn->notices_for = task->deliver ? e->function_name : NULL;
		plshard_conn_send_prepared(conn, query->id, shard_id, query->sql, query->nparams,
								   query->param_types, e->request->targets[task->target].params,
								   query->result_format, PENDING_CALL, task, 0,
								   e->sink->streaming && !e->is_write);
	}
	else
	{
		for (int i = 0; i < e->nstatements; i++)
			plshard_conn_send_plain(conn, e->statements[i], PENDING_CALL, task, i, false);
	}
	if (guard)
		plshard_conn_send_plain(conn, "RELEASE SAVEPOINT plshard_read", PENDING_XACT, task, 0, false);
	plshard_conn_send_sync(conn, task);
}

/* ---- results ---- */

/* A prepared statement that a change of its objects, or a pooler, has broken. */
static bool
plan_is_stale(const Pending *pending, const PGresult *error, int sqlstate)
{
	const char *where = PQresultErrorField(error, PG_DIAG_SOURCE_FUNCTION);

	if (pending->kind != PENDING_CALL)
		return false;
	return sqlstate == ERRCODE_UNDEFINED_PSTATEMENT ||
		(sqlstate == ERRCODE_FEATURE_NOT_SUPPORTED && where &&
		 strcmp(where, "RevalidateCachedQuery") == 0);
}

static void
task_failed(Execution *e, Task *task, Pending *pending, PGresult *error)
{
	int			sqlstate = plshard_result_sqlstate(error);

	if (task->state != TASK_SENT)
		return;					/* only the first error tells something */
	if (pending->kind == PENDING_LOCK && sqlstate == SQLSTATE_LOCK_NOT_TAKEN)
		task->state = TASK_LOCKED_OUT;
	else if (pending->kind == PENDING_EPOCH && sqlstate == SQLSTATE_EPOCH_IS_OLD)
		task->state = TASK_OLD_EPOCH;
	else if (sqlstate == ERRCODE_IN_FAILED_SQL_TRANSACTION)
		task->state = TASK_NOT_RUN;
	else
	{
		task->state = TASK_ERROR;
		task->conn->result = NULL;	/* ours now */
		task->error = plshard_own_result(error);
		if (e->request && plan_is_stale(pending, error, sqlstate))
		{
			plshard_conn_forget_statement(task->conn, e->request->query->id,
										  e->map->shards[task->shard].id);
			/* without a savepoint to go back to it remains an error */
			if (e->is_write || !task->conn->xact_read_only || task->conn->xact_depth == 0)
				task->state = TASK_STALE_PLAN;
		}
	}
}

static void
deliver(Execution *e, Task *task, const PGresult *result)
{
	int			nrows = PQntuples(result);

	if (!task->described)
	{
		task->described = true;
		if (e->sink->describe)
			e->sink->describe(e->sink, result);
	}
	for (int row = 0; row < nrows; row++)
	{
		task->nrows++;
		e->sink->row(e->sink, result, row);
	}
}

static void
call_result(Execution *e, Task *task, Pending *pending, PGresult *result)
{
	if (e->request == NULL)
	{
		for (int row = 0; e->admin_row && row < PQntuples(result); row++)
			e->admin_row(e->admin_arg, task->target, pending->number, result, row);
	}
	else if (!e->is_write)
		deliver(e, task, result);
	else
	{
		for (int row = 0; row < PQntuples(result); row++)
			plshard_digest_row(&task->digest, result, row);
		if (task->deliver)
		{
			/* kept until all replicas agree */
			task->conn->result = NULL;
			task->result = plshard_own_result(result);
		}
	}
}

static void
handle_result(NodeConn *conn, Pending *pending, PGresult *result, void *arg)
{
	Execution  *e = arg;
	Task	   *task = pending->owner;

	switch (PQresultStatus(result))
	{
		case PGRES_COMMAND_OK:
		case PGRES_TUPLES_OK:
		case PGRES_SINGLE_TUPLE:
			if (pending->kind == PENDING_CALL && task->state == TASK_SENT)
				call_result(e, task, pending, result);
			break;
		case PGRES_FATAL_ERROR:
			task_failed(e, task, pending, result);
			break;
		case PGRES_PIPELINE_ABORTED:
			break;				/* the error before it has been noted */
		case PGRES_PIPELINE_SYNC:
			if (task->state == TASK_SENT)
				task->state = TASK_DONE;
			task->synced = true;
			break;
		default:
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("node \"%s\" answered a call with %s", conn->node_name,
							PQresStatus(PQresultStatus(result)))));
	}
}

/* ---- the loop ---- */

static bool
task_open(const Task *task)
{
	return task->state == TASK_READY || task->state == TASK_SENT ||
		(!task->synced && task->state > TASK_SENT && task->state < TASK_LOST);
}

/* Tasks on connections that are gone. */
static void
note_lost(Execution *e)
{
	for (int i = 0; i < e->ntasks; i++)
	{
		Task	   *task = &e->tasks[i];

		if (task_open(task) &&
			(task->conn->state == CONN_LOST || task->conn->state == CONN_CLOSED))
		{
			task->state = TASK_LOST;
			task->synced = true;
		}
	}
}

static void
throw_timeout(const Execution *e)
{
	ereport(ERROR,
			(errcode(ERRCODE_QUERY_CANCELED),
			 errmsg("canceling call of %s due to its TIMEOUT of %d ms",
					e->function_name, e->timeout)));
}

/* Drops a connection that is too slow; trying it again would not help. */
static void
give_up(NodeConn *conn, const char *message)
{
	conn->used_before = false;
	plshard_conn_set_lost(conn, 0, message);
}

/*
 * Looks at the clock: the call's own time, each attempt's share of it, how long
 * connecting takes, and silent nodes.  Returns when to look again.
 */
static Deadline
watch_clock(Execution *e)
{
	Deadline	wake = e->deadline;

	if (deadline_passed(e->deadline))
		throw_timeout(e);

	for (int i = 0; i < e->ntasks; i++)
	{
		Task	   *task = &e->tasks[i];

		if (!task_open(task) || task->conn->state == CONN_LOST || task->deadline == NO_DEADLINE)
			continue;
		if (deadline_passed(task->deadline))
			give_up(task->conn, "the node did not answer in time");
		else
			wake = deadline_min(wake, task->deadline);
	}

	for (int i = 0; i < e->nconns; i++)
	{
		NodeConn   *conn = e->conns[i];
		Deadline	suspicious;
		int			node;

		if (conn->state == CONN_CONNECTING)
		{
			Deadline	limit = conn->last_heard + (Deadline) e->map->connect_timeout * 1000;

			if (deadline_passed(limit))
			{
				give_up(conn, "timeout expired");
				conn->condemned = e->map->connect_timeout >= e->map->node_timeout;
			}
			else
				wake = deadline_min(wake, limit);
		}
		if (conn->state != CONN_READY || !plshard_conn_awaited(conn))
			continue;
		/* a read with a TIMEOUT gives up by itself */
		if (!e->is_write && e->timeout > 0)
			continue;

		suspicious = e->probe_at[i];
		if (conn->last_heard + (Deadline) e->map->node_timeout * 1000 > suspicious)
			suspicious = conn->last_heard + (Deadline) e->map->node_timeout * 1000;
		if (!deadline_passed(suspicious))
		{
			wake = deadline_min(wake, suspicious);
			continue;
		}
		node = plshard_cluster_node_by_id(e->map, conn->key.node_id);
		if (!plshard_node_answers(e->map, node, conn->key.userid))
		{
			give_up(conn, "the node does not answer");
			conn->condemned = true;
			continue;
		}
		/* it lives: a slow query; look less often */
		e->silences[i]++;
		e->probe_at[i] = deadline_in(e->map->node_timeout << Min(e->silences[i], 4));
		wake = deadline_min(wake, e->probe_at[i]);
	}
	return wake;
}

/* Runs all tasks that are not held until each has ended. */
static void
drive(Execution *e)
{
	for (;;)
	{
		Deadline	wake;
		bool		open = false;

		note_lost(e);
		for (int i = 0; i < e->ntasks; i++)
		{
			Task	   *task = &e->tasks[i];

			if (task->state == TASK_READY && task->conn->state == CONN_READY)
				send_task(e, task);
			open |= task_open(task);
		}
		if (!open)
			return;
		wake = watch_clock(e);
		note_lost(e);
		open = false;
		for (int i = 0; i < e->ntasks && !open; i++)
			open = task_open(&e->tasks[i]);
		if (!open)
			return;
		plshard_pump(e->conns, e->nconns, handle_result, e, wake);
	}
}

static void
throw_task_error(const Execution *e, const Task *task)
{
	RemoteErrorContext where = {0};

	/* the node may be the first to see that the call's TIMEOUT is over */
	if (plshard_result_sqlstate(task->error) == ERRCODE_QUERY_CANCELED &&
		deadline_passed(e->deadline))
		throw_timeout(e);

	where.function_name = e->function_name;
	where.node_name = e->map->nodes[task->node].name;
	where.shard_id = task->shard < 0 ? 0 : e->map->shards[task->shard].id;
	where.sql = e->request ? e->request->query->sql : NULL;
	plshard_report_result(ERROR, task->error, &where);
}

static void
throw_lost(const Execution *e, const Task *task, const char *hint)
{
	const NodeConn *conn = task->conn;
	const char *node_name = e->map->nodes[task->node].name;

	ereport(ERROR,
			(errcode(conn->sqlstate ? conn->sqlstate : ERRCODE_CONNECTION_FAILURE),
			 task->shard < 0 ?
			 errmsg("could not reach node \"%s\"", node_name) :
			 errmsg("could not reach shard " INT64_FORMAT " on node \"%s\"",
					e->map->shards[task->shard].id, node_name),
			 conn->message ? errdetail_internal("%s", conn->message) : 0,
			 hint ? errhint("%s", hint) : 0,
			 e->function_name ? errcontext("plshard function %s", e->function_name) : 0));
}

/* Eviction leaves a shard its last placement; an operator may not. */
static void
check_has_placement(const ClusterMap *map, int shard)
{
	if (map->shards[shard].nactive == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("shard " INT64_FORMAT " of cluster \"%s\" has no active placement",
						map->shards[shard].id, map->name)));
}

/* ---- reads ---- */

static void
start_read(Execution *e, Task *task)
{
	const ClusterShard *shard = &e->map->shards[task->shard];
	int			placement = choose_placement(e->map, task->shard, task->tried);

	task->tried |= (uint32) 1 << placement;
	task->node = plshard_placement(e->map, task->shard, placement)->node;
	task->state = TASK_READY;
	task->synced = false;
	assign_conn(e, task);
	if (e->deadline != NO_DEADLINE)
	{
		int			left = shard->nactive - pg_popcount32(task->tried);
		Deadline	now = plshard_clock();

		/* an equal share of the time for each placement that is left */
		task->deadline = left > 0 ? now + (e->deadline - now) / (left + 1) : NO_DEADLINE;
	}
}

static void
skip_shard(Execution *e, Task *task)
{
	task->state = TASK_SKIPPED;
	ereport(WARNING,
			(errcode(ERRCODE_CONNECTION_FAILURE),
			 errmsg("shard " INT64_FORMAT " was left out: no placement of it answers",
					e->map->shards[task->shard].id),
			 task->conn && task->conn->message ?
			 errdetail_internal("%s", task->conn->message) : 0));
}

/* True when all is done; false when some tasks must run (again). */
static bool
settle_read(Execution *e, bool *restart)
{
	bool		done = true;

	for (int i = 0; i < e->ntasks; i++)
	{
		Task	   *task = &e->tasks[i];

		switch (task->state)
		{
			case TASK_DONE:
				plshard_node_seen(e->map, task->node, true);
				break;
			case TASK_SKIPPED:
			case TASK_READY:	/* goes again with an earlier one of its connection */
				break;
			case TASK_ERROR:
			case TASK_NOT_RUN:
				/* the first error is in an earlier task of the same connection */
				if (task->error)
					throw_task_error(e, task);
				break;
			case TASK_STALE_PLAN:
				if (task->conn->xact_depth > 0)
				{
					plshard_conn_send_plain(task->conn, "ROLLBACK TO SAVEPOINT plshard_read",
											PENDING_XACT, NULL, 0, false);
					plshard_conn_forget_settings(task->conn);
				}
				task->state = TASK_READY;
				done = false;
				break;
			case TASK_LOST:
				if (task->conn->xact_lost)
					throw_lost(e, task, "Roll back and try the transaction again.");
				if (task->nrows > 0)
				{
					/* what it has delivered cannot be taken back alone */
					*restart = true;
					return false;
				}
				if (task->conn->used_before)
				{
					/* closed by the node while it was idle: not a sign of anything */
					plshard_conn_start(task->conn, e->map, task->node);
					for (int j = i; j < e->ntasks; j++)
					{
						Task	   *other = &e->tasks[j];

						if (other->conn == task->conn && other->state == TASK_LOST &&
							other->nrows == 0)
						{
							other->state = TASK_READY;
							other->synced = false;
						}
					}
					done = false;
					break;
				}
				if (task->deadline == NO_DEADLINE || !deadline_passed(task->deadline))
					plshard_node_seen(e->map, task->node, false);
				if (choose_placement(e->map, task->shard, task->tried) >= 0)
				{
					start_read(e, task);
					done = false;
				}
				else if (e->request->skip_failures)
					skip_shard(e, task);
				else
					throw_lost(e, task, e->map->shards[task->shard].nactive > 1 ?
							   "No other placement of the shard answers." : NULL);
				break;
			default:
				elog(ERROR, "unexpected state %d of a read", (int) task->state);
		}
	}
	return done;
}

/*
 * PROTOCOL rule 22: a placement that was evicted while we read from it may have
 * missed a write that was acknowledged meanwhile.
 */
static bool
read_is_current(Execution *e, ClusterMap **current)
{
	AcceptInvalidationMessages();
	if (e->map->valid)
		return true;
	*current = plshard_cluster_map(e->map->server_oid);
	for (int i = 0; i < e->ntasks; i++)
	{
		const Task *task = &e->tasks[i];
		int			shard;
		bool		active = false;

		if (task->state != TASK_DONE)
			continue;
		shard = plshard_cluster_shard_index(*current, e->map->shards[task->shard].id);
		for (int j = 0; shard >= 0 && j < (*current)->shards[shard].nactive; j++)
		{
			int			node = plshard_placement(*current, shard, j)->node;

			active |= (*current)->nodes[node].id == e->map->nodes[task->node].id;
		}
		if (!active)
			return false;
	}
	return true;
}

/* Puts the targets on a newer map: shards are found again by their ids. */
static void
move_to_map(CallRequest *request, ClusterMap *map)
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

static void
run_read(CallRequest *request, Execution *e)
{
	for (int restarts = 0;; restarts++)
	{
		ClusterMap *current = request->map;
		bool		restart = false;

		if (restarts > MAX_RESTARTS)
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("cluster \"%s\" changes too often for a read of %s",
							request->map->name, request->function_name)));
		e->map = request->map;
		e->ntasks = request->ntargets;
		e->nconns = 0;
		memset(e->tasks, 0, sizeof(Task) * e->ntasks);
		for (int i = 0; i < e->ntasks; i++)
		{
			Task	   *task = &e->tasks[i];

			task->target = i;
			task->shard = request->targets[i].shard;
			task->deliver = true;
			if (request->skip_failures && e->map->shards[task->shard].nactive == 0)
			{
				skip_shard(e, task);
				continue;
			}
			check_has_placement(e->map, task->shard);
			start_read(e, task);
		}
		do
			drive(e);
		while (!settle_read(e, &restart) && !restart);

		if (!restart && read_is_current(e, &current))
			return;
		for (int i = 0; i < e->nconns; i++)
		{
			/* other shards' rows may still be coming */
			if (plshard_conn_awaited(e->conns[i]))
				plshard_conn_close(e->conns[i]);
		}
		e->sink->reset(e->sink);
		move_to_map(request, current);
	}
}

/* ---- writes ---- */

/* As if it had never run. */
static void
reset_task(Task *task, TaskState state)
{
	task->state = state;
	task->synced = false;
	task->sent = false;
	task->nrows = 0;
	memset(&task->digest, 0, sizeof(task->digest));
	task->result = NULL;
	task->error = NULL;
}

/* Takes back the work and the locks of all tasks from the first-th on. */
static void
undo_from(Execution *e, int first)
{
	for (int i = 0; i < e->nconns; i++)
	{
		for (int j = first; j < e->ntasks; j++)
		{
			Task	   *task = &e->tasks[j];

			if (task->conn == e->conns[i] && task->sent)
			{
				plshard_xact_undo_call(task->conn, task->savepoint);
				break;			/* undoes the later ones on it, too */
			}
		}
	}
	for (int j = first; j < e->ntasks; j++)
		reset_task(&e->tasks[j], TASK_HELD);
}

/* PROTOCOL rule 17: what a node alone among the replicas may not fail with. */
static bool
is_node_trouble(int sqlstate)
{
	int			class = ERRCODE_TO_CATEGORY(sqlstate);

	return class == ERRCODE_TO_CATEGORY(ERRCODE_INSUFFICIENT_RESOURCES) ||
		class == ERRCODE_TO_CATEGORY(ERRCODE_SYSTEM_ERROR) ||
		class == ERRCODE_TO_CATEGORY(ERRCODE_INTERNAL_ERROR) ||
		sqlstate == ERRCODE_ADMIN_SHUTDOWN || sqlstate == ERRCODE_CRASH_SHUTDOWN ||
		sqlstate == ERRCODE_CANNOT_CONNECT_NOW || sqlstate == ERRCODE_READ_ONLY_SQL_TRANSACTION;
}

static bool
another_replica_did_it(const Execution *e, const Task *task)
{
	for (int i = 0; i < e->ntasks; i++)
	{
		if (e->tasks[i].target == task->target && e->tasks[i].state == TASK_DONE)
			return true;
	}
	return false;
}

/*
 * A node failed, not the call: evicts it if it may be evicted, so that the call
 * can start anew without it; throws otherwise.
 */
static void
evict_or_throw(Execution *e, Task *task, bool failed)
{
	char	   *message;
	NodeConn   *conn = task->conn;
	NodeVerdict verdict;

	if (e->request == NULL)
		throw_lost(e, task, NULL);
	verdict = plshard_judge_node(e->map, task->node, conn->key.userid,
								 failed ? NODE_FAILED : conn->condemned ? NODE_SILENT : NODE_SUSPECT,
								 &message);
	switch (verdict)
	{
		case NODE_EVICTED:
			plshard_xact_leave(conn);
			return;
		case NODE_ANSWERS:
			if (task->error)
				throw_task_error(e, task);
			throw_lost(e, task, conn->sqlstate ? NULL : "The node answers again: try the transaction again.");
			break;
		case NODE_IS_LAST:
		case NODE_NOT_EVICTED:
			if (task->error)
				throw_task_error(e, task);
			throw_lost(e, task, message);
			break;
	}
}

typedef enum WriteVerdict
{
	WRITE_DONE,
	WRITE_GO_ON,				/* some tasks are ready to run (again) */
	WRITE_RESTART				/* with a fresh map */
} WriteVerdict;

/* True where all that the remote transaction held was this call's. */
static bool
began_in_this_call(const Execution *e, const NodeConn *conn)
{
	for (int i = 0; i < e->ntasks; i++)
	{
		if (e->tasks[i].conn == conn && e->tasks[i].sent && e->tasks[i].savepoint == 0)
			return true;
	}
	return false;
}

/*
 * A lost connection.  One from an earlier call, that the node may have closed
 * while it was idle, is made anew, and all of this call's tasks on it run
 * again; else its node is judged.
 */
static WriteVerdict
settle_lost(Execution *e, Task *task)
{
	NodeConn   *conn = task->conn;

	if (conn->used_before && !task->sent_again &&
		(!conn->xact_lost || began_in_this_call(e, conn)))
	{
		conn->xact_lost = false;
		plshard_conn_start(conn, e->map, task->node);
		for (int i = 0; i < e->ntasks; i++)
		{
			Task	   *other = &e->tasks[i];

			if (other->conn != conn || other->state == TASK_HELD)
				continue;
			reset_task(other, TASK_READY);
			other->sent_again = true;
		}
		return WRITE_GO_ON;
	}
	evict_or_throw(e, task, false);
	return WRITE_RESTART;
}

/* The replicas of each shard must have returned the same rows. */
static void
compare_replicas(const Execution *e)
{
	for (int i = 1; i < e->ntasks; i++)
	{
		const Task *task = &e->tasks[i];
		const Task *first = &e->tasks[i - 1];

		if (task->target != first->target || e->request == NULL)
			continue;
		if (!plshard_digest_equal(&task->digest, &first->digest))
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("nodes \"%s\" and \"%s\" returned different results for shard " INT64_FORMAT,
							e->map->nodes[first->node].name, e->map->nodes[task->node].name,
							e->map->shards[task->shard].id),
					 errdetail("Nothing was written."),
					 errhint("A replicated write may depend only on its arguments and on rows of its key. Pass now(), random() and the like as arguments or by LET."),
					 errcontext("plshard function %s", e->function_name)));
	}
}

static WriteVerdict
settle_write(Execution *e)
{
	for (int i = 0; i < e->ntasks; i++)
	{
		if (e->tasks[i].state == TASK_LOST)
			return settle_lost(e, &e->tasks[i]);
	}
	for (int i = 0; i < e->ntasks; i++)
	{
		e->old_epoch |= e->tasks[i].state == TASK_OLD_EPOCH;
		if (e->old_epoch)
			return WRITE_RESTART;
	}

	/* in the lock order, the first that is not done decides */
	for (int i = 0; i < e->ntasks; i++)
	{
		Task	   *task = &e->tasks[i];

		switch (task->state)
		{
			case TASK_DONE:
				continue;
			case TASK_STALE_PLAN:
				return WRITE_RESTART;
			case TASK_ERROR:
				if (is_node_trouble(plshard_result_sqlstate(task->error)) &&
					e->request && another_replica_did_it(e, task))
				{
					evict_or_throw(e, task, true);
					return WRITE_RESTART;
				}
				throw_task_error(e, task);
				break;
			case TASK_LOCKED_OUT:
			case TASK_NOT_RUN:
				if (task->wait_locks)
					elog(ERROR, "the transaction on node \"%s\" is in a failed state",
						 e->map->nodes[task->node].name);
				/* from here on one by one, waiting: PROTOCOL rule 2 */
				undo_from(e, i);
				/* FALLTHROUGH */
			case TASK_HELD:
				task->wait_locks = true;
				task->state = TASK_READY;
				return WRITE_GO_ON;
			default:
				elog(ERROR, "unexpected state %d of a write", (int) task->state);
		}
	}
	compare_replicas(e);
	return WRITE_DONE;
}

static void
finish_write(Execution *e)
{
	/* backwards: the oldest savepoint of each connection remains */
	for (int i = e->ntasks - 1; i >= 0; i--)
		plshard_xact_end_call(e->tasks[i].conn, e->tasks[i].savepoint);
	for (int i = 0; i < e->ntasks; i++)
	{
		Task	   *task = &e->tasks[i];

		plshard_node_seen(e->map, task->node, true);
		if (task->shard >= 0)
			plshard_xact_wrote(e->map, task->shard);
		if (task->result)
			deliver(e, task, task->result);
	}
}

static void
check_may_write(const ClusterMap *map, int shard)
{
	if (IsolationUsesXactSnapshot() && map->shards[shard].nactive > 1)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot write to replicated shards in a transaction above READ COMMITTED"),
				 errhint("Use BEGIN ISOLATION LEVEL READ COMMITTED.")));
}

/* One try of a write with one map; false where it must start anew. */
static bool
try_write(Execution *e)
{
	for (int i = 0; i < e->ntasks; i++)
		assign_conn(e, &e->tasks[i]);
	for (;;)
	{
		drive(e);
		switch (settle_write(e))
		{
			case WRITE_DONE:
				finish_write(e);
				return true;
			case WRITE_RESTART:
				undo_from(e, 0);
				return false;
			case WRITE_GO_ON:
				break;
		}
	}
}

/*
 * A map with which a write can go on after a node has called ours outdated.
 * Where the registry has nothing newer, a repair died between telling the nodes
 * and the registry: the registry's epoch is raised to the nodes'.
 */
static ClusterMap *
newer_map(Execution *e)
{
	ClusterMap *old = e->map;
	ClusterMap *map = plshard_cluster_reload(old->server_oid);
	int64		epoch = 0;
	char	   *message;

	if (map->epoch != old->epoch)
		return map;
	for (int i = 0; i < e->ntasks; i++)
	{
		NodeSession *session = plshard_session_open(old, e->tasks[i].node);
		PGresult   *result = plshard_session_query(session,
												   psprintf("SELECT last_value FROM %s",
															plshard_epoch_sequence(old)), 0, NULL);

		epoch = Max(epoch, strtoll(PQgetvalue(result, 0, 0), NULL, 10));
		plshard_session_close(session);
	}
	if (epoch > old->epoch &&
		plshard_registry_advance(old, epoch, &message) == REGISTRY_FAILED)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("could not raise the epoch of cluster \"%s\" to that of its nodes", old->name),
				 message ? errdetail("%s", message) : 0));
	return plshard_cluster_reload(old->server_oid);
}

static void
run_write(CallRequest *request, Execution *e)
{
	PreventCommandIfReadOnly("a plshard write");

	for (int restarts = 0;; restarts++)
	{
		int			n = 0;

		if (restarts > MAX_RESTARTS)
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("cluster \"%s\" changes too often for a write of %s",
							request->map->name, request->function_name)));
		e->map = request->map;
		e->nconns = 0;
		for (int i = 0; i < request->ntargets; i++)
			n += e->map->shards[request->targets[i].shard].nactive;
		e->ntasks = n;
		e->tasks = palloc0(sizeof(Task) * n);
		n = 0;
		for (int i = 0; i < request->ntargets; i++)
		{
			int			shard = request->targets[i].shard;

			check_has_placement(e->map, shard);
			check_may_write(e->map, shard);
			for (int j = 0; j < e->map->shards[shard].nactive; j++)
			{
				Task	   *task = &e->tasks[n++];

				task->target = i;
				task->shard = shard;
				task->node = plshard_placement(e->map, shard, j)->node;
				task->deliver = j == 0;
			}
		}
		e->old_epoch = false;
		if (try_write(e))
			return;
		AcceptInvalidationMessages();
		move_to_map(request, e->old_epoch ? newer_map(e) :
					plshard_cluster_map(request->map->server_oid));
	}
}

/* ---- entry points ---- */

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
	e.timeout = request->timeout;
	e.deadline = deadline_in(request->timeout);

	if (request->ntargets == 0)
		return;
	if (request->is_write)
		run_write(request, &e);
	else
	{
		e.tasks = request->ntargets == 1 ? &single : palloc0(sizeof(Task) * request->ntargets);
		run_read(request, &e);
	}
}

void
plshard_execute_admin(ClusterMap *map, int ntargets, const AdminTarget *targets,
					  int nstatements, const char *const *statements,
					  void (*row) (void *arg, int target, int statement,
								   const PGresult *result, int row),
					  void *arg)
{
	Execution	e = {0};

	PreventCommandIfReadOnly("a change of a plshard cluster");
	if (ntargets == 0)
		return;
	e.map = map;
	e.is_write = true;
	e.admin = targets;
	e.nstatements = nstatements;
	e.statements = statements;
	e.admin_row = row;
	e.admin_arg = arg;
	e.ntasks = ntargets;
	e.tasks = palloc0(sizeof(Task) * ntargets);
	for (int i = 0; i < ntargets; i++)
	{
		e.tasks[i].target = i;
		e.tasks[i].shard = targets[i].shard;
		e.tasks[i].node = targets[i].node;
	}
	if (!try_write(&e))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("cluster \"%s\" was changed by another session", map->name),
				 errhint("Try again.")));
}
