/*
 * in_doubt.c
 *
 * Finding what is prepared on the nodes.  Everything is allocated in the current
 * memory context or in that of the nodes.
 */
#include "postgres.h"

#include "connection/remote_result.h"
#include "connection/session_key.h"
#include "nodes/pg_list.h"
#include "recovery/gid_lock.h"
#include "recovery/in_doubt.h"
#include "registry/registry.h"
#include "storage/procarray.h"
#include "utils/builtins.h"

/*
 * A live session needs moments from its first PREPARE to the last COMMIT PREPARED, unless
 * nodes fail, or a node still executes the call behind which another one has prepared.
 * After this many seconds its part counts as abandoned.
 */
#define ABANDONED_AFTER 60

char *
plshard_gid_prefix(const ClusterMap *map)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfoString(&text, PLSHARD_GID_PREFIX);
	for (int i = 0; i < UUID_LEN; i++)
		appendStringInfo(&text, "%02x", map->cluster_id.data[i]);
	appendStringInfoChar(&text, '_');
	return text.data;
}

List *
plshard_prepared_parts(RecoveryNodes *nodes)
{
	char	   *prefix = plshard_gid_prefix(nodes->map);
	List	   *parts = NIL;

	for (int i = 0; i < nodes->n; i++)
		nodes->list[i].sql = psprintf("SELECT gid, prepared, owner,"
									  " extract(epoch FROM clock_timestamp() - prepared)"
									  " FROM pg_prepared_xacts WHERE database = current_database()"
									  " AND starts_with(gid, '%s') ORDER BY gid", prefix);
	plshard_recovery_run(nodes);

	for (int i = 0; i < nodes->n; i++)
	{
		const PGresult *result = nodes->list[i].result;

		if (!plshard_recovery_has_rows(&nodes->list[i], ANY_ROWS, 4, 0))
			continue;
		for (int row = 0; row < PQntuples(result); row++)
		{
			PreparedPart *part = palloc0(sizeof(PreparedPart));
			char	   *text;
			int32		node_id;

			/* other applications may have names of the same form */
			if (!plshard_prepared_name_parse(PQgetvalue(result, row, 0), &text, &part->gid, &node_id) ||
				node_id != nodes->list[i].id)
				continue;
			part->text = text;
			part->node = &nodes->list[i];
			part->prepared_at = PQgetvalue(result, row, 1);
			part->owner = PQgetvalue(result, row, 2);
			part->age = strtod(PQgetvalue(result, row, 3), NULL);
			parts = lappend(parts, part);
		}
	}
	return parts;
}

static int
compare_sessions(const void *a, const void *b)
{
	const FrontSession *x = a;
	const FrontSession *y = b;

	if (x->front_key != y->front_key)
		return x->front_key < y->front_key ? -1 : 1;
	return (x->session > y->session) - (x->session < y->session);
}

/* Makes one entry of those that several nodes have for a session. */
static void
merge_nodes(FrontSessions *sessions)
{
	int			n = 0;

	for (int i = 0; i < sessions->n; i++)
	{
		const FrontSession *next = &sessions->list[i];

		if (n > 0 && compare_sessions(&sessions->list[n - 1], next) == 0)
			sessions->list[n - 1].works_for = Max(sessions->list[n - 1].works_for, next->works_for);
		else
			sessions->list[n++] = *next;
	}
	sessions->n = n;
}

void
plshard_front_sessions(RecoveryNodes *nodes, FrontSessions *sessions)
{
	int			room = 0;

	/* what other roles do only members of pg_read_all_stats see */
	for (int i = 0; i < nodes->n; i++)
		nodes->list[i].sql = "SELECT classid, objid, max(extract(epoch FROM clock_timestamp() - xact_start))"
			" FILTER (WHERE state = 'active') FROM pg_locks LEFT JOIN pg_stat_activity USING (pid)"
			" WHERE locktype = 'advisory' AND objsubid = 2 AND granted GROUP BY classid, objid";
	plshard_recovery_run(nodes);

	sessions->n = 0;
	for (int i = 0; i < nodes->n; i++)
	{
		if (plshard_recovery_has_rows(&nodes->list[i], ANY_ROWS, 3, NULLABLE(2)))
			room += PQntuples(nodes->list[i].result);
	}
	sessions->list = palloc(Max(room, 1) * sizeof(FrontSession));
	for (int i = 0; i < nodes->n; i++)
	{
		const PGresult *result = nodes->list[i].result;

		if (PQresultStatus(result) != PGRES_TUPLES_OK)
			continue;
		for (int row = 0; row < PQntuples(result); row++)
		{
			FrontSession *session = &sessions->list[sessions->n++];

			session->front_key = (int32) strtoul(PQgetvalue(result, row, 0), NULL, 10);
			session->session = (int32) strtoul(PQgetvalue(result, row, 1), NULL, 10);
			session->works_for = strtod(PQgetvalue(result, row, 2), NULL);	/* NULL is "" */
		}
	}
	qsort(sessions->list, sessions->n, sizeof(FrontSession), compare_sessions);
	merge_nodes(sessions);
}

static const FrontSession *
find_session(const FrontSessions *sessions, const Gid *gid)
{
	FrontSession key = {.front_key = gid->front_key, .session = gid->session};

	return bsearch(&key, sessions->list, sessions->n, sizeof(FrontSession), compare_sessions);
}

bool
plshard_session_lives(const FrontSessions *sessions, const Gid *gid)
{
	return (gid->front_key == plshard_front_key() && BackendPidGetProc(gid->session) != NULL) ||
		find_session(sessions, gid) != NULL;
}

bool
plshard_is_abandoned(const RecoveryNodes *nodes, const PreparedPart *part, const FrontSessions *sessions)
{
	const FrontSession *session = find_session(sessions, &part->gid);
	bool		decision;

	/* of this server's transactions the state is known */
	if (part->gid.front_key == plshard_front_key() ? !plshard_gid_is_open(&part->gid) :
		session == NULL || plshard_registry_decision(nodes->map, part->text, &decision))
		return true;
	return part->age > ABANDONED_AFTER && (session == NULL || session->works_for < part->age);
}
