/*
 * verify.c
 *
 * plshard.verify: counts and checksums of all tables of all placements.
 *
 * All nodes are read at once, without locks, on a connection each.  Where
 * active placements differ, the shard may just have been written to: it is read
 * again under its lock before it is reported as inconsistent.  Results live in
 * the caller's context; connections in one of their own below it, closed with it.
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/arguments.h"
#include "base/guard.h"
#include "cluster/node_schema.h"
#include "connection/admin_connection.h"
#include "connection/remote_result.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "maintenance/shard_lock.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(plshard_verify);

/* What is known of one placement. */
typedef struct Reading
{
	int64		shard_id;
	int			node;			/* index into the map */
	int32		node_id;
	const char *node_name;
	bool		active;
	bool		read;			/* else the node did not answer */
	const PGresult *sums;		/* NULL: no tables */
} Reading;

/* Columns of the sums. */
enum
{
	SUM_TABLE,
	SUM_ROWS,
	SUM_CHECKSUM,
	SUM_NCOLUMNS
};

/* One node's share of the work. */
typedef struct Reader
{
	AdminConnection *conn;		/* NULL until it is started */
	const ClusterMap *map;
	int			node;
	MemoryContext results;		/* where sums go */
	int			nreadings;
	Reading   **readings;
	int			current;		/* the one that is being read */
	bool		listing;		/* its tables are being listed */
	bool		ended;
} Reader;

/* ---- reading ---- */

/* Asks for the tables of the current placement. */
static void
send_list(Reader *reader)
{
	int64		shard_id = reader->readings[reader->current]->shard_id;

	reader->listing = true;
	plshard_admin_send(reader->conn,
						 psprintf("SELECT c.relname, quote_literal(c.relname),"
								  " format('%%I.%%I', n.nspname, c.relname)"
								  " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
								  " WHERE n.nspname = '" PLSHARD_SHARD_SCHEMA_FORMAT "'"
								  " AND c.relkind = 'r'", shard_id));
}

/*
 * The rows' sum does not depend on their order.  A column may be named like the
 * row, hence "(r.*)".
 */
static void
send_sums(Reader *reader, const PGresult *tables)
{
	StringInfoData sql;

	initStringInfo(&sql);
	for (int i = 0; i < PQntuples(tables); i++)
		appendStringInfo(&sql, "%sSELECT %s::text, count(*),"
						 " coalesce(sum(hashtextextended((r.*)::text COLLATE \"C\", 0)), 0)"
						 " FROM ONLY %s r",
						 i > 0 ? " UNION ALL " : "",
						 PQgetvalue(tables, i, 1), PQgetvalue(tables, i, 2));
	/* stored results of calls with an id; expired ones may be deleted on some nodes only */
	appendStringInfo(&sql, " UNION ALL SELECT 'plshard_node.calls', count(*),"
					 " sum(hashtextextended((r.*)::text COLLATE \"C\", 0)) FROM %s r"
					 " WHERE shard_id = " INT64_FORMAT " AND expires > %s HAVING count(*) > 0",
					 plshard_calls_table(reader->map), reader->readings[reader->current]->shard_id,
					 quote_literal_cstr(timestamptz_to_str(GetCurrentTransactionStartTimestamp())));
	reader->listing = false;
	plshard_admin_send(reader->conn, sql.data);
}

/* Goes on as far as possible without waiting. */
static void
turn_reader(void *arg)
{
	Reader	   *reader = arg;

	if (reader->conn == NULL)
	{
		reader->conn = plshard_admin_start(reader->map, reader->node);
		send_list(reader);
	}
	while (reader->current < reader->nreadings)
	{
		Reading    *reading = reader->readings[reader->current];
		MemoryContext old = MemoryContextSwitchTo(reader->results);
		PGresult   *result;
		bool		answered = plshard_admin_poll(reader->conn, &result);

		MemoryContextSwitchTo(old);
		if (!answered)
			return;
		plshard_admin_check(reader->conn, result);
		plshard_check_shape(result, reader->conn->node_name, ANY_ROWS,
							reader->listing ? 3 : SUM_NCOLUMNS, 0);
		if (reader->listing && PQntuples(result) > 0)
		{
			send_sums(reader, result);
			continue;
		}
		reading->sums = reader->listing ? NULL : result;
		reading->read = true;
		if (++reader->current < reader->nreadings)
			send_list(reader);
	}
	reader->ended = true;
}

/* Runs readers to their end; "turn" is how one of them gets its turn. */
static void
run_readers(Reader *readers, int nreaders, void (*turn) (Reader *reader))
{
	AdminConnection **conns = palloc(nreaders * sizeof(AdminConnection *));

	for (;;)
	{
		int			n = 0;

		for (int i = 0; i < nreaders; i++)
		{
			if (!readers[i].ended)
				turn(&readers[i]);
			if (!readers[i].ended)
				conns[n++] = readers[i].conn;
		}
		if (n == 0)
			return;
		plshard_admin_wait(conns, n);
	}
}

/* ---- without locks ---- */

/* A node that fails is left out, with a warning. */
static void
turn_or_warn(Reader *reader)
{
	ErrorData  *error = plshard_guard(turn_reader, reader);

	if (error == NULL)
		return;
	if (plshard_is_cancel(error))
		plshard_rethrow(error);
	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("could not verify node \"%s\": %s",
					reader->map->nodes[reader->node].name, error->message),
			 error->detail ? errdetail_internal("%s", error->detail) : 0));
	reader->ended = true;
}

/* Reads all placements, all nodes at once. */
static void
read_all(const ClusterMap *map, Reading *readings, int nreadings)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "plshard verify",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	Reader	   *by_node = palloc0(map->nnodes * sizeof(Reader));

	for (int i = 0; i < map->nnodes; i++)
	{
		by_node[i].map = map;
		by_node[i].node = i;
		by_node[i].results = caller;
		by_node[i].readings = palloc(nreadings * sizeof(Reading *));
	}
	for (int i = 0; i < nreadings; i++)
	{
		Reader	   *reader = &by_node[readings[i].node];

		reader->readings[reader->nreadings++] = &readings[i];
	}
	for (int i = 0; i < map->nnodes; i++)
		by_node[i].ended = by_node[i].nreadings == 0;
	run_readers(by_node, map->nnodes, turn_or_warn);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}

/* ---- comparing ---- */

/* A table's row in the sums; -1 if it is not there. */
static int
find_table(const Reading *reading, const char *table)
{
	for (int i = 0; reading->sums != NULL && i < PQntuples(reading->sums); i++)
	{
		if (strcmp(PQgetvalue(reading->sums, i, SUM_TABLE), table) == 0)
			return i;
	}
	return -1;
}

/* What the others are compared with: the first active placement that was read. */
static const Reading *
find_reference(const Reading *readings, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (readings[i].active && readings[i].read)
			return &readings[i];
	}
	return NULL;
}

/* Whether two placements have the same rows of a table. */
static bool
same_table(const Reading *a, const Reading *b, const char *table)
{
	int			i = find_table(a, table);
	int			j = find_table(b, table);

	return i >= 0 && j >= 0 &&
		strcmp(PQgetvalue(a->sums, i, SUM_ROWS), PQgetvalue(b->sums, j, SUM_ROWS)) == 0 &&
		strcmp(PQgetvalue(a->sums, i, SUM_CHECKSUM), PQgetvalue(b->sums, j, SUM_CHECKSUM)) == 0;
}

/* Whether two placements have the same tables and rows. */
static bool
same_tables(const Reading *a, const Reading *b)
{
	int			na = a->sums ? PQntuples(a->sums) : 0;
	int			nb = b->sums ? PQntuples(b->sums) : 0;

	for (int i = 0; i < na; i++)
	{
		if (!same_table(a, b, PQgetvalue(a->sums, i, SUM_TABLE)))
			return false;
	}
	return na == nb;
}

/* Whether active placements of a shard that could be read differ. */
static bool
actives_differ(const Reading *readings, int n)
{
	const Reading *reference = find_reference(readings, n);

	for (int i = 0; i < n; i++)
	{
		if (readings[i].active && readings[i].read && !same_tables(reference, &readings[i]))
			return true;
	}
	return false;
}

/* ---- under the lock ---- */

typedef struct Recheck
{
	Oid			server_oid;
	Reading    *readings;		/* of one shard */
	int			nreadings;
	MemoryContext results;
} Recheck;

static void
turn_or_throw(Reader *reader)
{
	turn_reader(reader);
}

/*
 * Locks the shard on its active placements; their connections, in placement order.
 */
static AdminConnection **
lock_shard(Oid server_oid, int64 shard_id, ClusterMap **map)
{
	for (int attempts = 0; attempts < SHARD_LOCK_ATTEMPTS; attempts++)
	{
		ClusterMap *before = plshard_cluster_reload(server_oid);
		int			shard = plshard_cluster_shard_index(before, shard_id);
		int			n = shard < 0 ? 0 : before->shards[shard].nactive;
		AdminConnection **conns = palloc((n + 1) * sizeof(AdminConnection *));

		for (int i = 0; i < n; i++)
		{
			conns[i] = plshard_admin_open(before, plshard_placement(before, shard, i)->node);
			(void) plshard_admin_query(conns[i],
										 plshard_lock_shard_command(before, shard_id), 0, NULL);
		}
		*map = plshard_cluster_reload(server_oid);
		if (plshard_same_active_placements(before, *map, shard_id))
			return conns;
		for (int i = 0; i < n; i++)
			plshard_admin_close(conns[i]);
	}
	plshard_shard_restless(shard_id);
}

/* Reads a shard's active placements again. */
static void
recheck_locked(void *arg)
{
	Recheck    *recheck = arg;
	int64		shard_id = recheck->readings[0].shard_id;
	ClusterMap *map;
	AdminConnection **conns = lock_shard(recheck->server_oid, shard_id, &map);
	int			shard = plshard_cluster_shard_index(map, shard_id);
	int			nactive = map->shards[shard].nactive;
	Reader	   *readers = palloc0(nactive * sizeof(Reader));
	int			n = 0;

	for (int i = 0; i < recheck->nreadings; i++)
		recheck->readings[i].active = false;
	for (int i = 0; i < nactive; i++)
	{
		int			node = plshard_placement(map, shard, i)->node;

		for (int j = 0; j < recheck->nreadings; j++)
		{
			Reading    *reading = &recheck->readings[j];
			Reader	   *reader = &readers[n];

			if (reading->node_id != map->nodes[node].id)
				continue;
			reading->active = true;
			reading->read = false;
			reading->sums = NULL;
			reader->conn = conns[i];
			reader->map = map;
			reader->node = node;
			reader->results = recheck->results;
			reader->nreadings = 1;
			reader->readings = palloc(sizeof(Reading *));
			reader->readings[0] = reading;
			send_list(reader);
			n++;
		}
	}
	run_readers(readers, n, turn_or_throw);
}

/* Reads a shard again under its lock; an error is a WARNING. */
static void
recheck_shard(Oid server_oid, Reading *readings, int nreadings)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "plshard verify",
												  ALLOCSET_DEFAULT_SIZES);
	Recheck		recheck = {server_oid, readings, nreadings, CurrentMemoryContext};
	MemoryContext caller = MemoryContextSwitchTo(context);
	ErrorData  *error = plshard_guard(recheck_locked, &recheck);

	MemoryContextSwitchTo(caller);
	if (error != NULL)
	{
		if (plshard_is_cancel(error))
			plshard_rethrow(error);
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("could not verify shard " INT64_FORMAT ": %s",
						readings[0].shard_id, error->message),
				 error->detail ? errdetail_internal("%s", error->detail) : 0));
	}
	MemoryContextDelete(context);
}

/* ---- the answer ---- */

static int
compare_names(const ListCell *a, const ListCell *b)
{
	return strcmp(lfirst(a), lfirst(b));
}

/* The names of all tables of a shard, wherever they are, sorted. */
static List *
table_names(const Reading *readings, int n)
{
	List	   *names = NIL;

	for (int i = 0; i < n; i++)
	{
		for (int j = 0; readings[i].sums != NULL && j < PQntuples(readings[i].sums); j++)
		{
			char	   *name = PQgetvalue(readings[i].sums, j, SUM_TABLE);
			bool		first = true;

			for (int k = 0; first && k < i; k++)
				first = find_table(&readings[k], name) < 0;
			if (first)
				names = lappend(names, name);
		}
	}
	list_sort(names, compare_names);
	return names;
}

/* Returns a row for each placement and table of a shard. */
static void
answer_shard(ReturnSetInfo *answer, const Reading *readings, int n)
{
	const Reading *reference = find_reference(readings, n);
	List	   *names = table_names(readings, n);

	for (int i = 0; i < n; i++)
	{
		ListCell   *cell;

		foreach(cell, names)
		{
			const char *table = lfirst(cell);
			int			row = find_table(&readings[i], table);
			Datum		values[6] = {0};
			bool		nulls[6] = {0};

			values[0] = Int64GetDatum(readings[i].shard_id);
			values[1] = DirectFunctionCall1(namein, CStringGetDatum(readings[i].node_name));
			values[2] = CStringGetTextDatum(table);
			nulls[3] = nulls[4] = row < 0;
			if (row >= 0)
			{
				values[3] = Int64GetDatum(strtoi64(PQgetvalue(readings[i].sums, row, SUM_ROWS),
												   NULL, 10));
				values[4] = CStringGetTextDatum(PQgetvalue(readings[i].sums, row, SUM_CHECKSUM));
			}
			values[5] = BoolGetDatum(reference != NULL &&
									 same_table(reference, &readings[i], table));
			tuplestore_putvalues(answer->setResult, answer->setDesc, values, nulls);
		}
	}
}

/* A reading for each placement, those of a shard together. */
static Reading *
make_readings(const ClusterMap *map, int *nreadings)
{
	Reading    *readings;
	int			n = 0;

	for (int shard = 0; shard < map->nshards; shard++)
		n += map->shards[shard].nplacements;
	readings = palloc0(Max(n, 1) * sizeof(Reading));

	n = 0;
	for (int shard = 0; shard < map->nshards; shard++)
	{
		for (int i = 0; i < map->shards[shard].nplacements; i++)
		{
			const ClusterPlacement *placement = plshard_placement(map, shard, i);
			Reading    *reading = &readings[n++];

			reading->shard_id = map->shards[shard].id;
			reading->node = placement->node;
			reading->node_id = map->nodes[placement->node].id;
			reading->node_name = map->nodes[placement->node].name;
			reading->active = placement->state == PLACEMENT_ACTIVE;
		}
	}
	*nreadings = n;
	return readings;
}

Datum
plshard_verify(PG_FUNCTION_ARGS)
{
	Oid			server_oid;
	const ClusterMap *map;
	Reading    *readings;
	int			nreadings;

	plshard_refuse_nulls(fcinfo);
	InitMaterializedSRF(fcinfo, 0);
	AcceptInvalidationMessages();
	server_oid = plshard_cluster_oid(NameStr(*PG_GETARG_NAME(0)), false);
	map = plshard_catalog_map(server_oid);
	readings = make_readings(map, &nreadings);
	read_all(map, readings, nreadings);

	for (int i = 0, n; i < nreadings; i += n)
	{
		for (n = 1; i + n < nreadings && readings[i + n].shard_id == readings[i].shard_id; n++)
			;
		if (actives_differ(&readings[i], n))
			recheck_shard(server_oid, &readings[i], n);
		answer_shard((ReturnSetInfo *) fcinfo->resultinfo, &readings[i], n);
	}
	return (Datum) 0;
}
