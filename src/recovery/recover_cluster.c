/*
 * recover_cluster.c
 *
 * Recovery of a cluster, for plshard.recover, plshard.forget_front and the background
 * worker, and the function of view plshard.in_doubt.  Everything is allocated in the
 * caller's context.
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/arguments.h"
#include "base/compat.h"
#include "catalog/pg_type.h"
#include "cluster/catalog_query.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "foreign/foreign.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "recovery/in_doubt.h"
#include "recovery/recover.h"
#include "recovery/recover_cluster.h"
#include "recovery/recover_rows.h"
#include "registry/registry.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

PG_FUNCTION_INFO_V1(plshard_recover);
PG_FUNCTION_INFO_V1(plshard_forget_front);
PG_FUNCTION_INFO_V1(plshard_in_doubt);

/* A transaction, put together from its parts. */
typedef struct InDoubt
{
	const PreparedPart *part;	/* one of them */
	bool		counts;			/* one of its parts is on a node that counts */
	bool		abandoned;
} InDoubt;

static int
compare_parts(const ListCell *a, const ListCell *b)
{
	return strcmp(((PreparedPart *) lfirst(a))->text, ((PreparedPart *) lfirst(b))->text);
}

/* Returns the transactions (InDoubt) of a list of parts. */
static List *
put_together(RecoveryNodes *nodes, List *parts, const FrontSessions *sessions)
{
	List	   *list = NIL;
	InDoubt    *current = NULL;
	ListCell   *lc;

	list_sort(parts, compare_parts);
	foreach(lc, parts)
	{
		const PreparedPart *part = lfirst(lc);

		if (current == NULL || strcmp(current->part->text, part->text) != 0)
		{
			current = palloc0(sizeof(InDoubt));
			current->part = part;
			list = lappend(list, current);
		}
		current->counts |= bms_is_member(part->node->id, nodes->current);
		current->abandoned |= plshard_is_abandoned(nodes, part, sessions);
	}
	return list;
}

/* Whether each participant that counts is connected. */
static bool
all_answer(RecoveryNodes *nodes, const Gid *gid)
{
	for (int i = 0; i < nodes->n; i++)
	{
		const RecoveryNode *node = &nodes->list[i];

		if (node->conn == NULL && bms_is_member(node->id, gid->participants) &&
			bms_is_member(node->id, nodes->current))
			return false;
	}
	return true;
}

/* Resolves one transaction, and reports its outcome. */
static void
resolve_one(RecoveryNodes *nodes, const Gid *gid, const char *text, int mode,
		   RecoverReport report, void *arg)
{
	char	   *detail;

	switch (plshard_resolve(nodes, gid, mode, &detail))
	{
		case OUTCOME_COMMITTED:
			report(arg, text, "committed", detail);
			break;
		case OUTCOME_ABORTED:
			report(arg, text, "aborted", detail);
			break;
		case OUTCOME_UNKNOWN:
			report(arg, text, "in doubt", detail);
			break;
	}
}

/* Resolves the transactions whose nodes all answer, or the others. */
static void
resolve_list(RecoveryNodes *nodes, List *list, bool answering, Deadline deadline,
			RecoverReport report, void *arg)
{
	ListCell   *lc;

	foreach(lc, list)
	{
		InDoubt    *t = lfirst(lc);

		if (t->part == NULL || all_answer(nodes, &t->part->gid) != answering)
			continue;
		if (!t->counts)
			report(arg, t->part->text, "in doubt",
				   "It is left only on nodes whose placements are inactive: repair rolls it back.");
		else if (!t->abandoned)
			report(arg, t->part->text, "in doubt", "Its session is still running it.");
		else if (deadline_passed(deadline))
			report(arg, t->part->text, "in doubt", "The time was over before it was its turn.");
		else
			resolve_one(nodes, &t->part->gid, t->part->text, 0, report, arg);
		t->part = NULL;			/* done */
	}
}

void
plshard_recover_cluster(ClusterMap *map, int limit, RecoverReport report,
						void (*unreached) (void *arg, const char *node, const char *why),
						void *arg)
{
	RecoveryNodes *nodes = plshard_recovery_nodes(map);
	Deadline	deadline = deadline_in(limit);
	FrontSessions sessions;
	List	   *parts;

	plshard_recovery_connect(nodes, NULL);
	for (int i = 0; unreached != NULL && i < nodes->n; i++)
	{
		if (nodes->list[i].conn == NULL)
			unreached(arg, nodes->list[i].name, plshard_recovery_reason(&nodes->list[i]));
	}

	parts = plshard_prepared_parts(nodes);
	if (parts != NIL)
	{
		List	   *list;

		/* after the parts: the session that has prepared one is found here, or has ended */
		plshard_front_sessions(nodes, &sessions);
		list = put_together(nodes, parts, &sessions);
		resolve_list(nodes, list, true, deadline, report, arg);
		resolve_list(nodes, list, false, deadline, report, arg);
	}
	plshard_delete_resolved_rows(nodes);
	plshard_recovery_close(nodes);
}

/* ---- plshard.recover ---- */

/* Appends a row to the function's result; the values are texts. */
static void
put_row(ReturnSetInfo *result, int n, const char *const *values)
{
	HeapTuple	row = BuildTupleFromCStrings(TupleDescGetAttInMetadata(result->setDesc),
											 (char **) values);

	Assert(n == result->setDesc->natts);
	tuplestore_puttuple(result->setResult, row);
	heap_freetuple(row);
}

typedef struct RecoverResult
{
	ReturnSetInfo *result;
	const char *cluster;
	bool		with_cluster;	/* is its first column */
} RecoverResult;

static void
return_outcome(void *arg, const char *gid, const char *outcome, const char *detail)
{
	RecoverResult *r = arg;
	const char *const values[] = {r->cluster, gid, outcome, detail};

	put_row(r->result, r->with_cluster ? 4 : 3, r->with_cluster ? values : values + 1);
}

static void
warn_unreached(void *arg, const char *node, const char *why)
{
	RecoverResult *r = arg;

	ereport(WARNING,
			(errcode(ERRCODE_CONNECTION_FAILURE),
			 errmsg("node \"%s\" of cluster \"%s\" could not be asked for transactions in doubt",
					node, r->cluster),
			 errdetail_internal("%s", why)));
}

static void
check_owner(Oid server_oid)
{
	if (!object_ownercheck(ForeignServerRelationId, server_oid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_FOREIGN_SERVER,
					   GetForeignServer(server_oid)->servername);
}

Datum
plshard_recover(PG_FUNCTION_ARGS)
{
	RecoverResult r = {0};
	Oid			server_oid;

	plshard_refuse_nulls(fcinfo);
	InitMaterializedSRF(fcinfo, 0);
	r.result = (ReturnSetInfo *) fcinfo->resultinfo;
	r.cluster = NameStr(*PG_GETARG_NAME(0));

	PreventCommandIfReadOnly("plshard.recover");
	AcceptInvalidationMessages();
	server_oid = plshard_cluster_oid(r.cluster, false);
	check_owner(server_oid);
	plshard_recover_cluster(plshard_catalog_map(server_oid), 0, return_outcome, warn_unreached, &r);
	return (Datum) 0;
}

/* ---- the clusters of the registry ---- */

/* The oids of the foreign servers of all catalog clusters, by name. */
static List *
catalog_clusters(void)
{
	char	   *oids = plshard_catalog_query("SELECT string_agg(s.oid::text, ' ' ORDER BY s.srvname)"
											 " FROM pg_foreign_server s"
											 " JOIN plshard.clusters c ON c.cluster = s.srvname",
											 0, NULL);
	List	   *list = NIL;

	for (char *at = oids; at != NULL && *at != '\0';)
		list = lappend_oid(list, (Oid) strtoul(at, &at, 10));
	return list;
}

/* ---- plshard.forget_front ---- */

Datum
plshard_forget_front(PG_FUNCTION_ARGS)
{
	RecoverResult r = {.with_cluster = true};
	pg_uuid_t  *front_id;
	uint8		own_id[8];
	ListCell   *lc;

	plshard_refuse_nulls(fcinfo);
	InitMaterializedSRF(fcinfo, 0);
	r.result = (ReturnSetInfo *) fcinfo->resultinfo;
	front_id = PG_GETARG_UUID_P(0);

	PreventCommandIfReadOnly("plshard.forget_front");
	AcceptInvalidationMessages();
	plshard_front_id(own_id);
	if (memcmp(own_id, front_id->data, sizeof(own_id)) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("that is the id of this front"),
				 errhint("What this front has left in doubt is resolved by plshard.recover.")));

	foreach(lc, catalog_clusters())
	{
		RecoveryNodes *nodes;
		FrontSessions sessions;
		List	   *parts;
		ListCell   *part;

		if (!object_ownercheck(ForeignServerRelationId, lfirst_oid(lc), GetUserId()))
			continue;
		nodes = plshard_recovery_nodes(plshard_catalog_map(lfirst_oid(lc)));
		r.cluster = nodes->map->name;
		plshard_recovery_connect(nodes, NULL);
		parts = plshard_prepared_parts(nodes);
		plshard_front_sessions(nodes, &sessions);
		foreach(part, put_together(nodes, parts, &sessions))
		{
			const InDoubt *t = lfirst(part);
			const Gid  *gid = &t->part->gid;

			if (gid->decider != 0 || memcmp(gid->front_id, front_id->data, sizeof(gid->front_id)) != 0)
				continue;
			if (plshard_session_lives(&sessions, gid))
				ereport(ERROR,
						(errcode(ERRCODE_OBJECT_IN_USE),
						 errmsg("the front is not lost: it has sessions on nodes of cluster \"%s\"",
								r.cluster)));
			resolve_one(nodes, gid, t->part->text, RESOLVE_FORGET_FRONT, return_outcome, &r);
		}
		plshard_recovery_close(nodes);
	}
	return (Datum) 0;
}

/* ---- plshard.in_doubt ---- */

/* Returns the decision on a transaction, as far as it is known; else NULL. */
static const char *
known_decision(RecoveryNodes *nodes, const PreparedPart *part)
{
	RecoveryNode *decider = part->gid.decider == 0 ? NULL :
		plshard_recovery_node(nodes, part->gid.decider);
	const PGresult *result;
	bool		commit;

	if (plshard_registry_decision(nodes->map, part->text, &commit))
		return commit ? "committed" : "aborted";
	if (part->gid.decider == 0)
	{
		uint8		own_id[8];

		plshard_front_id(own_id);
		return memcmp(own_id, part->gid.front_id, sizeof(own_id)) == 0 &&
			plshard_front_committed(part->text) ? "committed" : NULL;
	}
	if (decider == NULL || decider->conn == NULL ||
		!bms_is_member(decider->id, nodes->current))
		return NULL;
	result = plshard_recovery_ask(nodes, decider,
								  psprintf("SELECT FROM plshard_node.transaction"
										   " WHERE gid = %s AND state = 'committed'",
										   quote_literal_cstr(part->text)));
	return PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) > 0 ? "committed" : NULL;
}

/* Appends the parts that are prepared on the nodes of one cluster. */
static void
return_in_doubt(RecoverResult *r, Oid server_oid)
{
	RecoveryNodes *nodes = plshard_recovery_nodes(plshard_catalog_map(server_oid));
	FrontSessions sessions;
	List	   *parts;
	ListCell   *lc;

	r->cluster = nodes->map->name;
	plshard_recovery_connect(nodes, NULL);
	for (int i = 0; i < nodes->n; i++)
	{
		if (nodes->list[i].conn == NULL)
			warn_unreached(r, nodes->list[i].name, plshard_recovery_reason(&nodes->list[i]));
	}
	parts = plshard_prepared_parts(nodes);
	if (parts != NIL)
		plshard_front_sessions(nodes, &sessions);
	foreach(lc, parts)
	{
		const PreparedPart *part = lfirst(lc);
		const char *values[9] = {r->cluster, part->text, part->node->name, part->prepared_at,
		part->owner};

		if (part->gid.decider == 0)
		{
			pg_uuid_t	id = {0};

			/* the gid contains only these bytes, and forget_front compares only these */
			memcpy(id.data, part->gid.front_id, sizeof(part->gid.front_id));
			values[6] = DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&id)));
		}
		else
		{
			RecoveryNode *decider = plshard_recovery_node(nodes, part->gid.decider);

			values[5] = decider ? decider->name : NULL;
		}
		values[7] = known_decision(nodes, part);
		values[8] = plshard_session_lives(&sessions, &part->gid) ? "t" : "f";
		put_row(r->result, lengthof(values), values);
	}
	plshard_recovery_close(nodes);
}

Datum
plshard_in_doubt(PG_FUNCTION_ARGS)
{
	RecoverResult r = {0};
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	r.result = (ReturnSetInfo *) fcinfo->resultinfo;

	AcceptInvalidationMessages();
	foreach(lc, catalog_clusters())
	{
		if (object_aclcheck(ForeignServerRelationId, lfirst_oid(lc), GetUserId(), ACL_USAGE)
			== ACLCHECK_OK)
			return_in_doubt(&r, lfirst_oid(lc));
	}
	return (Datum) 0;
}
