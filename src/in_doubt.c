/*
 * in_doubt.c
 *
 * Finding what is prepared on the nodes.  Everything is allocated in the current
 * memory context or in that of the nodes.
 */
#include "postgres.h"

#include "in_doubt.h"
#include "nodes/pg_list.h"
#include "session_key.h"
#include "storage/procarray.h"
#include "utils/builtins.h"

/*
 * A session that lives needs moments from its first PREPARE to the last COMMIT
 * PREPARED, unless nodes fail.  After this many seconds it has given up.
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

		if (PQresultStatus(result) != PGRES_TUPLES_OK)
			continue;
		for (int row = 0; row < PQntuples(result); row++)
		{
			PreparedPart *part = palloc0(sizeof(PreparedPart));
			char	   *text;
			int32		node_id;

			/* others may call theirs what they like */
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

void
plshard_front_sessions(RecoveryNodes *nodes, FrontSessions *sessions)
{
	int			room = 0;

	for (int i = 0; i < nodes->n; i++)
		nodes->list[i].sql = "SELECT DISTINCT classid, objid FROM pg_locks"
			" WHERE locktype = 'advisory' AND objsubid = 2 AND granted";
	plshard_recovery_run(nodes);

	sessions->n = 0;
	for (int i = 0; i < nodes->n; i++)
	{
		if (PQresultStatus(nodes->list[i].result) == PGRES_TUPLES_OK)
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
		}
	}
	qsort(sessions->list, sessions->n, sizeof(FrontSession), compare_sessions);
}

bool
plshard_session_lives_here(const Gid *gid)
{
	return gid->front_key == plshard_front_key() && BackendPidGetProc(gid->session) != NULL;
}

bool
plshard_session_lives(const FrontSessions *sessions, const Gid *gid)
{
	FrontSession key = {gid->front_key, gid->session};

	return plshard_session_lives_here(gid) ||
		bsearch(&key, sessions->list, sessions->n, sizeof(FrontSession), compare_sessions) != NULL;
}

bool
plshard_is_abandoned(const PreparedPart *part, const FrontSessions *sessions)
{
	return part->age > ABANDONED_AFTER || !plshard_session_lives(sessions, &part->gid);
}
