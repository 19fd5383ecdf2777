/*
 * recover.c
 *
 * Resolves a distributed transaction: first finds or makes the decision, then ends the
 * parts on the nodes.
 *
 * While the deciding node D counts, the row there is the decision: either the
 * transaction's own commit has written it, or recovery writes "aborted", whichever is
 * first.  When D has been evicted, or the front that decides is lost for good, the state
 * of the other participants replaces it: if each of them that counts is prepared or has
 * committed, the transaction may have been acknowledged, and is committed; if one is
 * neither, it cannot have been.  Where no part has committed yet, each shard that may
 * have been written needs a part that is prepared: else its replicas may have been
 * copied from one that has rolled back.
 *
 * An abort, and any decision without D, is final only when the registry has recorded it.
 *
 * A node that was evicted since the transaction began does not count, also when it is
 * active again: a repair copies data, no rows of transactions.
 *
 * Everything is allocated in the context of the nodes (recover_nodes.h) and in the
 * current one.
 */
#include "postgres.h"

#include "connection/remote_error.h"
#include "miscadmin.h"
#include "recovery/end_prepared.h"
#include "recovery/gid_lock.h"
#include "recovery/in_doubt.h"
#include "recovery/recover.h"
#include "registry/eviction.h"
#include "registry/registry.h"
#include "utils/builtins.h"

/* How often the cluster or the state of a node may change while a decision is made. */
#define DECIDE_ATTEMPTS 10

/* How often a part's end is tried where another session is ending it, too. */
#define APPLY_ATTEMPTS 4

/* The interval at which a live front session is checked again, in milliseconds. */
#define WAIT_POLL 50

typedef struct Resolution
{
	RecoveryNodes *nodes;
	const Gid  *gid;
	int			mode;
	const char *text;			/* the gid's */
	Bitmapset  *participants;	/* that are still in the cluster */
	Bitmapset  *counting;		/* those that count: never evicted since */
	char	   *reason;			/* why it cannot be resolved now: a sentence */
} Resolution;

/* The result of one attempt to decide. */
typedef enum Verdict
{
	VERDICT_COMMIT,
	VERDICT_ABORT,
	VERDICT_UNKNOWN,				/* see "reason" */
	VERDICT_RETRY					/* something has changed meanwhile: decide again */
} Verdict;

/* ---- commands ---- */

/*
 * Inserts an "aborted" row unless there is a row; returns the state of the row.  Waits,
 * up to node_timeout, for a transaction that has written its row and has not ended.
 */
static char *
tombstone_sql(const Resolution *s)
{
	const char *gid = quote_literal_cstr(s->text);

	return psprintf("SET lock_timeout = %d;"
					"INSERT INTO plshard_node.transaction (gid, state) VALUES (%s, 'aborted')"
					" ON CONFLICT DO NOTHING;"
					"SELECT state FROM plshard_node.transaction WHERE gid = %s",
					s->nodes->map->options.node_timeout, gid, gid);
}

/* Returns whether the part is prepared on the node, and the state of the row. */
static char *
part_state_sql(const Resolution *s, const RecoveryNode *node)
{
	return psprintf("SELECT EXISTS (SELECT FROM pg_prepared_xacts"
					" WHERE database = current_database() AND gid = %s),"
					" (SELECT state FROM plshard_node.transaction WHERE gid = %s)",
					quote_literal_cstr(plshard_prepared_name(s->text, node->id)),
					quote_literal_cstr(s->text));
}

static bool
failed_with(const RecoveryNode *node, int sqlstate)
{
	return PQresultStatus(node->result) == PGRES_FATAL_ERROR &&
		plshard_result_sqlstate(node->result) == sqlstate;
}

static bool
returned(const RecoveryNode *node, int column, const char *value)
{
	return PQntuples(node->result) == 1 && column < PQnfields(node->result) &&
		strcmp(PQgetvalue(node->result, 0, column), value) == 0;
}

/* ---- deciding ---- */

/* Sets the participants that count. */
static void
find_counting(Resolution *s)
{
	int			id = -1;

	s->counting = NULL;
	while ((id = bms_next_member(s->participants, id)) >= 0)
	{
		if (bms_is_member(id, s->nodes->current) && plshard_gid_binds(s->gid, s->nodes->map, id))
			s->counting = bms_add_member(s->counting, id);
	}
}

/* Reads the map anew. */
static void
reload(Resolution *s)
{
	plshard_recovery_reload(s->nodes);
	find_counting(s);
}

/*
 * Judges a node that counts and has failed.  VERDICT_RETRY where it was dead and is
 * evicted now; else it is the reason why there is no decision.
 */
static Verdict
judge(Resolution *s, const RecoveryNode *node, NodeSuspicion suspicion)
{
	char	   *message;
	int			index = plshard_cluster_node_by_id(s->nodes->map, node->id);

	if (index < 0)
		return VERDICT_RETRY;
	switch (plshard_judge_node(s->nodes->map, index, GetUserId(), suspicion, s->nodes->deadline, &message))
	{
		case NODE_EVICTED:
			reload(s);
			return VERDICT_RETRY;
		case NODE_IS_LAST:
			s->reason = psprintf("Node \"%s\" is needed, but does not answer, and holds the last active placement of a shard.",
							  node->name);
			return VERDICT_UNKNOWN;
		default:
			s->reason = message ? psprintf("%s %s", plshard_recovery_reason(node), message) :
				plshard_recovery_reason(node);
			return VERDICT_UNKNOWN;
	}
}

/* VERDICT_RETRY where a node that did not answer is not needed any more. */
static Verdict
judge_unreached(Resolution *s, RecoveryNode *node)
{
	/* a server that refuses connections is alive; its error is the reason */
	if (node->sqlstate != 0 &&
		ERRCODE_TO_CATEGORY(node->sqlstate) != ERRCODE_CONNECTION_EXCEPTION &&
		ERRCODE_TO_CATEGORY(node->sqlstate) != ERRCODE_OPERATOR_INTERVENTION)
	{
		s->reason = plshard_recovery_reason(node);
		return VERDICT_UNKNOWN;
	}
	return judge(s, node, NODE_SUSPECT);
}

/* Returns what an error of the query for the row means. */
static Verdict
judge_answer(Resolution *s, const RecoveryNode *node)
{
	if (failed_with(node, ERRCODE_LOCK_NOT_AVAILABLE))
	{
		s->reason = psprintf("It is still in progress on node \"%s\".", node->name);
		return VERDICT_UNKNOWN;
	}
	/* another server is in the node's place */
	if (failed_with(node, ERRCODE_UNDEFINED_TABLE) || failed_with(node, ERRCODE_INVALID_SCHEMA_NAME))
		return judge(s, node, NODE_FAILED);
	s->reason = plshard_recovery_reason(node);
	return VERDICT_UNKNOWN;
}

/* Records the decision at the registry, unless one was recorded before; returns what is recorded. */
static Verdict
decide_at_registry(Resolution *s, bool commit)
{
	bool		stands;

	if (plshard_registry_decide(s->nodes->map, s->text, commit, &stands, &s->reason) != REGISTRY_DONE)
		return VERDICT_UNKNOWN;
	return stands ? VERDICT_COMMIT : VERDICT_ABORT;
}

/* PROTOCOL rule 10: the row on the deciding node. */
static Verdict
query_decider(Resolution *s)
{
	RecoveryNode *node = plshard_recovery_node(s->nodes, s->gid->decider);

	plshard_recovery_connect(s->nodes, bms_make_singleton(node->id));
	if (node->conn == NULL)
		return judge_unreached(s, node);
	if (plshard_recovery_ask(s->nodes, node, tombstone_sql(s)) == NULL)
		return VERDICT_RETRY;
	if (PQresultStatus(node->result) != PGRES_TUPLES_OK)
		return judge_answer(s, node);

	/* the row is the decision only if the node still counts */
	reload(s);
	if (!bms_is_member(node->id, s->counting))
		return VERDICT_RETRY;
	return returned(node, 0, "committed") ? VERDICT_COMMIT : decide_at_registry(s, false);
}

/*
 * Sees to it that none of the participants in "unprepared" can commit any more: they have
 * an "aborted" row.  VERDICT_RETRY where one has prepared or committed meanwhile.
 */
static Verdict
seal(Resolution *s, Bitmapset *unprepared)
{
	int			id = -1;

	while ((id = bms_next_member(unprepared, id)) >= 0)
		plshard_recovery_node(s->nodes, id)->sql = tombstone_sql(s);
	plshard_recovery_run(s->nodes);

	id = -1;
	while ((id = bms_next_member(unprepared, id)) >= 0)
	{
		RecoveryNode *node = plshard_recovery_node(s->nodes, id);

		if (node->result == NULL)
			return VERDICT_RETRY;
		if (PQresultStatus(node->result) != PGRES_TUPLES_OK)
		{
			Verdict		verdict = judge_answer(s, node);

			/* it may have been prepared just now */
			return failed_with(node, ERRCODE_LOCK_NOT_AVAILABLE) ? VERDICT_RETRY : verdict;
		}
		if (!returned(node, 0, "aborted"))
			return VERDICT_RETRY;
	}
	return VERDICT_ABORT;
}

/*
 * Returns a shard that the transaction may have written and of which no node in "asked"
 * has a replica, as an index into the map; -1 if there is none.  A shard was not written
 * if a placement that was active then is on a node that is no participant.
 */
static int
uncovered_shard(const Resolution *s, const Bitmapset *asked)
{
	const ClusterMap *map = s->nodes->map;

	for (int shard = 0; shard < map->nshards; shard++)
	{
		bool		written = false;
		bool		resolved = false;

		for (int i = 0; i < map->shards[shard].nplacements; i++)
		{
			const ClusterPlacement *placement = plshard_placement(map, shard, i);
			int32		node_id = map->nodes[placement->node].id;
			bool		was_active = placement->state == PLACEMENT_ACTIVE &&
				placement->active_since <= s->gid->epoch;

			if (was_active &&
				(bms_is_member(node_id, asked) || !bms_is_member(node_id, s->participants)))
				resolved = true;
			else if (bms_is_member(node_id, s->participants))
				written = true;
		}
		if (written && !resolved)
			return shard;
	}
	return -1;
}

/* PROTOCOL rule 11: the state of the participants that count. */
static Verdict
query_others(Resolution *s)
{
	Bitmapset  *asked = bms_copy(s->counting);
	Bitmapset  *unprepared = NULL;
	bool		committed = false;
	bool		stands;
	int			id = -1;

	if (plshard_registry_decision(s->nodes->map, s->text, &stands))
		return stands ? VERDICT_COMMIT : VERDICT_ABORT;
	if (bms_is_empty(asked))
	{
		s->reason = pstrdup("All its nodes have been taken out of the cluster since.");
		return VERDICT_UNKNOWN;
	}

	plshard_recovery_connect(s->nodes, asked);
	while ((id = bms_next_member(asked, id)) >= 0)
	{
		RecoveryNode *node = plshard_recovery_node(s->nodes, id);

		if (node->conn == NULL)
			return judge_unreached(s, node);
		node->sql = part_state_sql(s, node);
	}
	plshard_recovery_run(s->nodes);

	id = -1;
	while ((id = bms_next_member(asked, id)) >= 0)
	{
		RecoveryNode *node = plshard_recovery_node(s->nodes, id);

		if (node->result == NULL)
			return VERDICT_RETRY;
		if (PQresultStatus(node->result) != PGRES_TUPLES_OK)
			return judge_answer(s, node);
		committed |= returned(node, 1, "committed");
		if (!returned(node, 0, "t") && !returned(node, 1, "committed"))
			unprepared = bms_add_member(unprepared, id);
	}
	/* a part that has committed shows the decision */
	if (!bms_is_empty(unprepared) && !committed)
	{
		Verdict		verdict = seal(s, unprepared);

		return verdict == VERDICT_ABORT ? decide_at_registry(s, false) : verdict;
	}

	reload(s);
	if (!bms_equal(asked, s->counting))
		return VERDICT_RETRY;
	if (!committed)
	{
		int			shard = uncovered_shard(s, asked);

		if (shard >= 0)
		{
			s->reason = psprintf("All replicas of shard " INT64_FORMAT " that may have known the outcome have been evicted since.",
							  s->nodes->map->shards[shard].id);
			return VERDICT_UNKNOWN;
		}
	}
	return decide_at_registry(s, true);
}

/* PROTOCOL rule 14: the row on the front that decides. */
static Verdict
query_front(Resolution *s)
{
	uint8		own_id[sizeof(s->gid->front_id)];
	bool		stands;

	plshard_front_id(own_id);
	if (memcmp(own_id, s->gid->front_id, sizeof(own_id)) == 0)
	{
		/* checked first: once the transaction has ended, its row is visible, or will never be */
		bool		is_open = plshard_gid_is_open(s->gid);

		if (plshard_front_committed(s->text))
			return VERDICT_COMMIT;
		if (!is_open)
			return decide_at_registry(s, false);
		s->reason = psprintf("Session %d, which runs it, decides.", s->gid->session);
		return VERDICT_UNKNOWN;
	}
	if (plshard_registry_decision(s->nodes->map, s->text, &stands))
		return stands ? VERDICT_COMMIT : VERDICT_ABORT;
	s->reason = pstrdup("It has written on another front, too, which decides. If that front is lost, see plshard.forget_front.");
	return VERDICT_UNKNOWN;
}

/* Finds or makes the decision; OUTCOME_UNKNOWN with a reason. */
static TransactionOutcome
decide(Resolution *s)
{
	for (int attempts = 0; attempts < DECIDE_ATTEMPTS; attempts++)
	{
		Verdict		verdict;

		if (s->gid->decider == 0 && !(s->mode & RESOLVE_FORGET_FRONT))
			verdict = query_front(s);
		else if (bms_is_member(s->gid->decider, s->counting))
			verdict = query_decider(s);
		else
			verdict = query_others(s);

		switch (verdict)
		{
			case VERDICT_COMMIT:
				return OUTCOME_COMMITTED;
			case VERDICT_ABORT:
				return OUTCOME_ABORTED;
			case VERDICT_UNKNOWN:
				return OUTCOME_UNKNOWN;
			case VERDICT_RETRY:
				break;
		}
	}
	s->reason = psprintf("Cluster \"%s\" changes too often, or the transaction is still in progress.",
					  s->nodes->map->name);
	return OUTCOME_UNKNOWN;
}

/* ---- ending the parts ---- */

/* Ends the part on one node; returns why it could not be ended, or NULL. */
static char *
end_on_node(Resolution *s, RecoveryNode *node, bool commit)
{
	for (int attempts = 0; attempts < APPLY_ATTEMPTS; attempts++)
	{
		char	   *why;

		switch (plshard_end_prepared(s->nodes, node, s->text, commit, &why))
		{
			case ENDED_NOW:
				return NULL;
			case ENDED_NOTHING:
				break;
			case ENDED_BUSY:
				continue;
			case ENDED_FAILED:
				return why;
		}
		if (commit)
			return NULL;

		/* what is not prepared yet must not be prepared later */
		(void) plshard_recovery_ask(s->nodes, node, tombstone_sql(s));
		if (node->result != NULL && failed_with(node, ERRCODE_LOCK_NOT_AVAILABLE))
			continue;
		if (PQresultStatus(node->result) != PGRES_TUPLES_OK)
			return plshard_recovery_reason(node);
		return returned(node, 0, "aborted") ? NULL :
			psprintf("On node \"%s\" it was committed, although the decision is to abort.", node->name);
	}
	return psprintf("Other sessions are ending it on node \"%s\".", node->name);
}

/*
 * Ends the parts on all nodes that can be reached; returns why one could not be ended, or
 * NULL.  A node that does not count any more may fail: repair rolls back what is left there.
 */
static char *
apply(Resolution *s, bool commit)
{
	char	   *message = NULL;
	int			id = -1;

	if (!bms_is_empty(s->counting))
		plshard_recovery_connect(s->nodes, s->counting);
	while ((id = bms_next_member(s->participants, id)) >= 0)
	{
		RecoveryNode *node = plshard_recovery_node(s->nodes, id);
		char	   *why;

		/* the deciding node is never prepared, and has decided */
		if (id == s->gid->decider && bms_is_member(id, s->counting))
			continue;
		if (node->conn != NULL)
			why = end_on_node(s, node, commit);
		else
			why = plshard_recovery_reason(node);
		if (why == NULL || !bms_is_member(id, s->counting))
			continue;
		if (node->conn == NULL && commit && (s->mode & RESOLVE_EVICT) &&
			judge_unreached(s, node) == VERDICT_RETRY)
			continue;
		if (message == NULL)
			message = why;
	}
	return message;
}

TransactionOutcome
plshard_resolve(RecoveryNodes *nodes, const Gid *gid, int mode, char **message)
{
	Resolution	s = {.nodes = nodes, .gid = gid, .mode = mode, .text = plshard_gid_text(gid)};
	TransactionOutcome outcome;
	int			id = -1;

	while ((id = bms_next_member(gid->participants, id)) >= 0)
	{
		if (plshard_recovery_node(nodes, id) != NULL)
			s.participants = bms_add_member(s.participants, id);
	}
	find_counting(&s);
	outcome = decide(&s);
	*message = outcome == OUTCOME_UNKNOWN ? s.reason : apply(&s, outcome == OUTCOME_COMMITTED);
	return outcome;
}

TransactionOutcome
plshard_resolve_transaction(const ClusterMap *map, const Gid *gid, char **message)
{
	RecoveryNodes *nodes = plshard_recovery_nodes(plshard_cluster_reload(map->server_oid));
	TransactionOutcome outcome = plshard_resolve(nodes, gid, RESOLVE_EVICT, message);

	plshard_recovery_close(nodes);
	return outcome;
}

char *
plshard_prevent_part(ClusterMap *map, const Gid *gid, int32 node_id, Deadline deadline)
{
	RecoveryNodes *nodes = plshard_recovery_nodes(map);
	Resolution	s = {.nodes = nodes, .gid = gid, .text = plshard_gid_text(gid)};
	RecoveryNode *node = plshard_recovery_node(nodes, node_id);
	char	   *why;

	nodes->deadline = deadline;
	plshard_recovery_connect(nodes, bms_make_singleton(node_id));
	why = node->conn ? end_on_node(&s, node, false) : plshard_recovery_reason(node);
	plshard_recovery_close(nodes);
	return why;
}

char *
plshard_roll_back_part(RecoveryNodes *nodes, const PreparedPart *part)
{
	char	   *why = NULL;

	(void) plshard_end_prepared(nodes, part->node, part->text, false, &why);
	return why;
}

/* ---- the parts on a node ---- */

static bool
is_among(List *parts, const PreparedPart *part)
{
	ListCell   *lc;

	foreach(lc, parts)
	{
		const PreparedPart *other = lfirst(lc);

		if (other->node == part->node && strcmp(other->text, part->text) == 0)
			return true;
	}
	return false;
}

/* Returns those of the parts that are prepared now, or may be. */
static List *
still_prepared(RecoveryNodes *nodes, List *parts)
{
	List	   *now = plshard_prepared_parts(nodes);
	List	   *still = NIL;
	ListCell   *lc;

	foreach(lc, parts)
	{
		/* a node that does not answer any more may have it */
		if (is_among(now, lfirst(lc)) || ((PreparedPart *) lfirst(lc))->node->conn == NULL)
			still = lappend(still, lfirst(lc));
	}
	return still;
}

bool
plshard_resolve_parts(RecoveryNodes *nodes, List *parts, int timeout, char **message)
{
	Deadline	patience = deadline_in(timeout);
	bool		last_try = false;

	*message = NULL;
	while ((parts = still_prepared(nodes, parts)) != NIL)
	{
		FrontSessions sessions;
		bool		waiting = false;
		ListCell   *lc;

		if (last_try)
		{
			if (*message == NULL)
				*message = plshard_recovery_reason(((PreparedPart *) linitial(parts))->node);
			return false;
		}
		last_try = deadline_passed(patience) || deadline_passed(nodes->deadline);
		plshard_front_sessions(nodes, &sessions);
		foreach(lc, parts)
		{
			const PreparedPart *part = lfirst(lc);

			if (last_try || plshard_is_abandoned(nodes, part, &sessions))
				(void) plshard_resolve(nodes, &part->gid, 0, message);
			else
				waiting = true;
		}
		if (waiting)
			plshard_wait(NULL, 0, deadline_in(WAIT_POLL));
		else
			last_try = true;
	}
	return true;
}

/* Resolves the parts that are abandoned; false where some are left. */
static bool
resolve_abandoned(RecoveryNodes *nodes, List *parts, char **message)
{
	FrontSessions sessions;
	ListCell   *lc;

	*message = NULL;
	plshard_front_sessions(nodes, &sessions);
	foreach(lc, parts)
	{
		const PreparedPart *part = lfirst(lc);

		if (plshard_is_abandoned(nodes, part, &sessions))
			(void) plshard_resolve(nodes, &part->gid, 0, message);
	}
	return still_prepared(nodes, parts) == NIL;
}

bool
plshard_recover_node(const ClusterMap *map, int node, bool all, Deadline deadline,
					 char **message)
{
	RecoveryNodes *nodes = plshard_recovery_nodes(plshard_cluster_reload(map->server_oid));
	RecoveryNode *here = plshard_recovery_node(nodes, map->nodes[node].id);
	Bitmapset  *participants = NULL;
	bool		resolved = false;
	List	   *parts;
	ListCell   *lc;

	nodes->deadline = deadline;
	if (here == NULL)
	{
		*message = pstrdup("The node is not in the cluster any more.");
		return false;
	}
	plshard_recovery_connect(nodes, bms_make_singleton(here->id));
	parts = plshard_prepared_parts(nodes);
	if (here->conn == NULL)
		*message = plshard_recovery_reason(here);
	else
	{
		/* their front sessions may be known on any of their nodes */
		foreach(lc, parts)
			participants = bms_add_members(participants, ((PreparedPart *) lfirst(lc))->gid.participants);
		if (participants != NULL)
			plshard_recovery_connect(nodes, participants);
		resolved = all ? plshard_resolve_parts(nodes, parts, map->options.node_timeout, message) :
			resolve_abandoned(nodes, parts, message);
	}
	plshard_recovery_close(nodes);
	return resolved;
}
