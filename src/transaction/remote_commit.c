/*
 * remote_commit.c
 *
 * The commit of the caller's transaction on the nodes: which of them still take part,
 * and how they commit.  commit = 'atomic' is in atomic_commit.c.  'fast': COMMIT goes to
 * all participants at once; a node that fails while another replica of its shards has
 * committed is evicted.  Everything is allocated in TopTransactionContext.
 *
 * Once a COMMIT has been sent no cancel is processed, and any error of our own is
 * reported as an unknown outcome, never as a plain failure.
 */
#include "postgres.h"

#include "base/inject.h"
#include "connection/connection.h"
#include "connection/receive.h"
#include "connection/statements.h"
#include "miscadmin.h"
#include "registry/eviction.h"
#include "transaction/atomic_commit.h"
#include "transaction/participants.h"
#include "transaction/remote_commit.h"
#include "transaction/remote_xact.h"
#include "transaction/written_shards.h"
#include "utils/inval.h"
#include "utils/memutils.h"

/* Adds a connection that has written; queues COMMIT for one that has only read. */
static void
collect_participant(NodeConn *conn, void *arg)
{
	if (!plshard_xact_is_open(conn) && !plshard_xact_is_lost(conn))
		return;
	if (!conn->xact.wrote)
	{
		plshard_xact_commit(conn);
		return;
	}
	plshard_add_participant(arg)->conn = conn;
}

/* Whether the participants have work in a cluster. */
static bool
work_in(const Participants *participants, ClusterRef cluster)
{
	for (int i = 0; i < participants->n; i++)
	{
		if (participants->list[i].conn->key.cluster == cluster)
			return true;
	}
	return false;
}

/* Whether some active placement of each shard written in their clusters has committed. */
static bool
all_shards_committed(const Participants *participants, HTAB *written)
{
	HASH_SEQ_STATUS status;
	WrittenShard *w;
	bool		all = true;

	if (written == NULL)
		return true;
	hash_seq_init(&status, written);
	while ((w = hash_seq_search(&status)) != NULL)
	{
		bool		done = !work_in(participants, w->key.cluster);

		for (int i = 0; i < participants->n; i++)
		{
			const Participant *p = &participants->list[i];

			if (p->state == COMMAND_DONE && p->conn->key.cluster == w->key.cluster)
				done |= plshard_cluster_has_active(p->map, w->key.shard_id, p->conn->key.node_id);
		}
		all &= done;
	}
	return all;
}

/* ---- the phases ---- */

/*
 * Handles a connection that was lost before the first COMMIT.  Nothing is lost with it if
 * the replicas have the work as well: a dead node is evicted, if no other session has
 * evicted it, and the rest commits.  Raises 08006 otherwise: a live node that has closed
 * the connection is not evicted.
 */
static void
leave_or_throw(Participants *participants, int i, HTAB *written)
{
	const Participant *p = &participants->list[i];
	NodeConn   *conn = p->conn;
	char	   *message;

	if (plshard_node_matters(conn, p->map, written) &&
		(conn->xact.must_commit || conn->io.refused ||
		 plshard_judge_node(p->map, plshard_cluster_node_by_id(p->map, conn->key.node_id),
							conn->key.userid, conn->io.condemned ? NODE_SILENT : NODE_SUSPECT,
							NO_DEADLINE, &message) != NODE_EVICTED))
		plshard_throw_lost_participant(participants, conn);
	plshard_xact_forget(conn);
	participants->list[i] = participants->list[--participants->n];
}

/* Notes the current maps, and removes participants whose connections were lost. */
static void
check_connections(Participants *participants, HTAB *written)
{
	AcceptInvalidationMessages();
	for (int i = 0; i < participants->n;)
	{
		Participant *p = &participants->list[i];
		NodeConn   *conn = p->conn;

		/* notices a connection that the node has closed */
		plshard_conn_look(conn);
		p->map = plshard_cluster_map_unchecked(conn->key.cluster);
		if (!plshard_xact_is_open(conn))
			leave_or_throw(participants, i, written);
		else
			i++;
	}
}

/*
 * Checks deferred constraints while everything can still be rolled back: shards that
 * commit one by one must not fail one by one.
 */
static void
check_constraints(Participants *participants, HTAB *written)
{
	participants->may_abort = true;
	plshard_participants_run(participants, QUERY_CONSTRAINTS, "SET CONSTRAINTS ALL IMMEDIATE", "SET CONSTRAINTS");
	participants->may_abort = false;
	plshard_throw_refusal(participants);
	for (int i = 0; i < participants->n;)
	{
		if (participants->list[i].state == COMMAND_UNKNOWN)
			leave_or_throw(participants, i, written);
		else
			i++;
	}
}

/* Evicts the nodes that have failed; raises 08007 where that is not possible. */
static void
judge_outcome(Participants *participants, HTAB *written)
{
	bool		failed = false;
	bool		unknown = false;
	bool		done = false;

	AcceptInvalidationMessages();
	for (int i = 0; i < participants->n; i++)
	{
		Participant *p = &participants->list[i];

		p->map = plshard_cluster_map_unchecked(p->conn->key.cluster);
		if (!plshard_node_matters(p->conn, p->map, written))
			continue;
		done |= p->state == COMMAND_DONE;
		failed |= p->state != COMMAND_DONE;
		unknown |= p->state == COMMAND_UNKNOWN;
	}
	if (!failed)
		return;
	if (!done && !unknown)
		plshard_throw_refusal(participants);

	for (int i = 0; i < participants->n; i++)
	{
		Participant *p = &participants->list[i];
		char	   *message;

		if (p->state == COMMAND_DONE || !plshard_node_matters(p->conn, p->map, written))
			continue;
		if (p->conn->xact.must_commit || !all_shards_committed(participants, written))
			plshard_throw_unknown(participants, psprintf(done ? "Node \"%s\" did not commit what other nodes committed." :
								   "The connection to node \"%s\" was lost during commit.",
								   p->conn->node_name),
						  done && p->map->in_registry ? p->map->name : NULL);
		if (plshard_judge_node(p->map, plshard_cluster_node_by_id(p->map, p->conn->key.node_id),
							   p->conn->key.userid, NODE_FAILED, NO_DEADLINE, &message) != NODE_EVICTED)
			plshard_throw_unknown(participants, psprintf("Node \"%s\" did not commit what other nodes committed, and could not be evicted. %s",
								   p->conn->node_name, message ? message : ""), p->map->name);
	}
}

/* COMMIT everywhere at once: of 'fast' clusters, and where there is but one node. */
static void
commit_fast(Participants *participants, HTAB *written)
{
	if (participants->n == 0)
		return;
	participants->begun = true;
	plshard_participants_run(participants, QUERY_COMMIT, "COMMIT", "COMMIT");
	plshard_inject("committed");
	for (int i = 0; i < participants->n; i++)
		plshard_xact_forget(participants->list[i].conn);
	judge_outcome(participants, written);
}

/*
 * The protocol for the participants of atomic clusters.  Those of fast ones commit
 * between PREPARE and the decision, so that they can still stop it.
 */
static void
commit_atomic(Participants *atomic, Participants *fast, HTAB *written)
{
	AtomicCommit *commit = plshard_atomic_prepare(atomic, written);

	PG_TRY();
	{
		commit_fast(fast, written);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		HOLD_INTERRUPTS();
		MemoryContextSwitchTo(TopTransactionContext);
		error = CopyErrorData();
		FlushErrorState();
		atomic->outcome_known = fast->outcome_known;
		plshard_atomic_abort(commit);
		ReThrowError(error);
	}
	PG_END_TRY();
	plshard_atomic_decide(commit);
}

/* Divides the participants by how their clusters commit; drops those that do not matter any more. */
static void
divide_participants(const Participants *participants, HTAB *written,
				  Participants *atomic, Participants *fast)
{
	for (int i = 0; i < participants->n; i++)
	{
		const Participant *p = &participants->list[i];

		if (p->map->options.commit == COMMIT_FAST)
			*plshard_add_participant(fast) = *p;
		else if (plshard_node_matters(p->conn, p->map, written))
			*plshard_add_participant(atomic) = *p;
		else
			plshard_xact_rollback(p->conn);
	}
}

void
plshard_commit_remote(HTAB *written)
{
	MemoryContext context = MemoryContextSwitchTo(TopTransactionContext);
	Participants *participants = palloc0(sizeof(Participants));
	Participants *atomic = palloc0(sizeof(Participants));
	Participants *fast = palloc0(sizeof(Participants));

	plshard_conn_each(collect_participant, participants);
	if (participants->n > 0)
		check_connections(participants, written);
	divide_participants(participants, written, atomic, fast);
	if (!plshard_needs_atomic_commit(atomic))
	{
		for (int i = 0; i < atomic->n; i++)
			*plshard_add_participant(fast) = atomic->list[i];
		atomic->n = 0;
	}
	if (fast->n > 1 && written && hash_get_num_entries(written) > 1)
		check_constraints(fast, written);

	/* until the front has committed, see remote_commit.h */
	HOLD_INTERRUPTS();
	PG_TRY();
	{
		if (atomic->n > 0)
			commit_atomic(atomic, fast, written);
		else
			commit_fast(fast, written);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		/* the outcome is known: what the front decides will not commit */
		if (!(atomic->begun || fast->begun) || atomic->outcome_known || fast->outcome_known ||
			plshard_atomic_front_decides())
			PG_RE_THROW();
		MemoryContextSwitchTo(TopTransactionContext);
		error = CopyErrorData();
		FlushErrorState();
		plshard_throw_unknown(fast, error->message, NULL);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
}
