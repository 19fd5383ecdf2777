/*
 * recover_rows.c
 *
 * Deletes rows that are not needed any more (PROTOCOL rule 13).  The order of the queries
 * matters: first the rows, then the sessions, then what is prepared.  A row that existed
 * before its transaction had nothing prepared anywhere is not needed by recovery: the
 * decision was applied, and to apply it again has no effect.
 *
 * The session must have no connection to any node, either: an "aborted" row may prevent a
 * PREPARE or COMMIT that is still in flight, and the session may query the row after a
 * COMMIT that was not answered.  (It deletes itself the rows that all participants have confirmed.)  If it
 * has lost all its connections, it queries within PLSHARD_ROWS_KEPT.
 *
 * A pass goes over all rows in the order of their keys, some thousand at a time, each
 * batch in a context of its own below the current one.
 */
#include "postgres.h"

#include "cluster/catalog_query.h"
#include "connection/remote_result.h"
#include "lib/stringinfo.h"
#include "recovery/in_doubt.h"
#include "recovery/recover.h"
#include "recovery/recover_rows.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#define BATCH 5000

/* Where rows are kept. */
typedef struct RowSource
{
	RecoveryNode *node;			/* NULL: a table of ours */
	const char *list_sql;		/* %s: the key to begin behind; %d: how many; gids in order */
	const char *delete_sql;		/* %s: an array of gids */
	char	   *last;			/* the key where the last batch ended */
	bool		finished;
} RowSource;

/* What was queried after a batch's rows. */
typedef struct Knowledge
{
	RecoveryNodes *nodes;
	FrontSessions sessions;
	List	   *parts;
} Knowledge;

static bool
is_prepared(const Knowledge *k, const char *gid)
{
	ListCell   *lc;

	foreach(lc, k->parts)
	{
		if (strcmp(((PreparedPart *) lfirst(lc))->text, gid) == 0)
			return true;
	}
	return false;
}

static bool
is_deletable(const Knowledge *k, const char *text)
{
	Gid			gid;

	if (!plshard_gid_parse(text, &gid) || is_prepared(k, text))
		return false;
	for (int i = 0; i < k->nodes->n; i++)
	{
		const RecoveryNode *node = &k->nodes->list[i];

		if (node->conn == NULL && bms_is_member(node->id, gid.participants) &&
			bms_is_member(node->id, k->nodes->current))
			return false;
	}
	return !plshard_session_lives(&k->sessions, &gid);
}

/* Lists gids as lines of text, which is what plshard_catalog_query can return. */
static char *
lines_of(const RowSource *source)
{
	const char *begin = quote_literal_cstr(source->last);

	return psprintf("SELECT string_agg(gid, E'\\n' ORDER BY gid) FROM (%s) rows",
					psprintf(source->list_sql, begin, BATCH));
}

/* The rows of all sources behind their last keys: an array of texts, NULL where there is none. */
static char **
read_batch(RecoveryNodes *nodes, RowSource *sources, int nsources)
{
	char	  **lines = palloc0(nsources * sizeof(char *));

	for (int i = 0; i < nsources; i++)
	{
		if (sources[i].node != NULL && !sources[i].finished)
			sources[i].node->sql = lines_of(&sources[i]);
	}
	plshard_recovery_run(nodes);
	for (int i = 0; i < nsources; i++)
	{
		const RecoveryNode *node = sources[i].node;

		if (sources[i].finished)
			continue;
		if (node == NULL)
			lines[i] = plshard_catalog_query(lines_of(&sources[i]), 0, NULL);
		else if (plshard_has_shape(node->result, 1, 1, NULLABLE(0)) && !PQgetisnull(node->result, 0, 0))
			lines[i] = PQgetvalue(node->result, 0, 0);
	}
	return lines;
}

/* Returns the SQL that deletes those of a source's batch that can be deleted; NULL if none. */
static char *
choose(const Knowledge *k, RowSource *source, char *lines, MemoryContext context)
{
	StringInfoData gids;
	int			nrows = 0;
	char	   *last = NULL;

	initStringInfo(&gids);
	for (char *line = lines; line != NULL;)
	{
		char	   *next = strchr(line, '\n');

		if (next != NULL)
			*next++ = '\0';
		nrows++;
		last = line;
		if (is_deletable(k, line))
			appendStringInfo(&gids, "%s%s", gids.len > 0 ? ", " : "", quote_literal_cstr(line));
		line = next;
	}
	source->finished = nrows < BATCH;
	if (last != NULL)
		source->last = MemoryContextStrdup(context, last);
	return gids.len > 0 ? psprintf(source->delete_sql, psprintf("ARRAY[%s]", gids.data)) : NULL;
}

/* One batch of each source; true when all rows have been seen. */
static bool
delete_batch(RecoveryNodes *nodes, RowSource *sources, int nsources, MemoryContext context)
{
	Knowledge	k = {.nodes = nodes};
	char	  **lines = read_batch(nodes, sources, nsources);
	bool		finished = true;
	bool		some = false;

	for (int i = 0; i < nsources; i++)
		some |= lines[i] != NULL;
	if (!some)
		return true;
	plshard_front_sessions(nodes, &k.sessions);
	k.parts = plshard_prepared_parts(nodes);

	for (int i = 0; i < nsources; i++)
	{
		char	   *sql = sources[i].finished ? NULL : choose(&k, &sources[i], lines[i], context);

		finished &= sources[i].finished;
		if (sql == NULL)
			continue;
		if (sources[i].node != NULL)
			sources[i].node->sql = sql;
		else
			(void) plshard_catalog_query(sql, 0, NULL);
	}
	plshard_recovery_run(nodes);
	return finished;
}

void
plshard_delete_resolved_rows(RecoveryNodes *nodes)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext batch = AllocSetContextCreate(caller, "plshard rows", ALLOCSET_DEFAULT_SIZES);
	RowSource  *sources = palloc0((nodes->n + 2) * sizeof(RowSource));
	char	   *prefix = plshard_gid_prefix(nodes->map);
	char	   *old = psprintf("< clock_timestamp() - interval '%d s'", PLSHARD_ROWS_KEPT);
	int			n = 0;
	bool		finished = false;

	for (int i = 0; i < nodes->n; i++)
	{
		sources[n].node = &nodes->list[i];
		sources[n].list_sql = psprintf("SELECT gid FROM plshard_node.transaction"
									   " WHERE gid > %%s AND starts_with(gid, '%s')"
									   " AND written_at %s ORDER BY gid LIMIT %%d", prefix, old);
		sources[n++].delete_sql = "DELETE FROM plshard_node.transaction WHERE gid = ANY (%s)";
	}
	sources[n].list_sql = psprintf("SELECT gid FROM plshard.decision"
								   " WHERE cluster_id = '%s' AND gid > %%s AND decided_at %s"
								   " ORDER BY gid LIMIT %%d", plshard_cluster_id_text(nodes->map), old);
	sources[n++].delete_sql = psprintf("DELETE FROM plshard.decision"
									   " WHERE cluster_id = '%s' AND gid = ANY (%%s)",
									   plshard_cluster_id_text(nodes->map));
	sources[n].list_sql = psprintf("SELECT gid FROM plshard.transaction"
								   " WHERE gid > %%s AND starts_with(gid, '%s')"
								   " ORDER BY gid LIMIT %%d", prefix);
	sources[n++].delete_sql = "DELETE FROM plshard.transaction WHERE gid = ANY (%s)";
	for (int i = 0; i < n; i++)
		sources[i].last = "";

	while (!finished)
	{
		MemoryContextSwitchTo(batch);
		finished = delete_batch(nodes, sources, n, caller);
		MemoryContextSwitchTo(caller);
		MemoryContextReset(batch);
	}
	MemoryContextDelete(batch);
}
