/*
 * atomic_commit.c
 *
 * The commit protocol of PROTOCOL rules 6 to 9, 14 and 15.  Everything lives in
 * TopTransactionContext.
 *
 * From the first PREPARE on no cancel is processed.  Where this session cannot complete
 * the outcome, it raises 08007, and recovery completes it.
 */
#include "postgres.h"

#include "base/inject.h"
#include "connection/pipeline.h"
#include "connection/receive.h"
#include "connection/statements.h"
#include "miscadmin.h"
#include "recovery/end_prepared.h"
#include "recovery/gid_lock.h"
#include "recovery/recover.h"
#include "registry/eviction.h"
#include "registry/registry.h"
#include "transaction/atomic_commit.h"
#include "transaction/commit_rows.h"
#include "transaction/distributed_xact.h"
#include "transaction/front_decision.h"
#include "transaction/remote_xact.h"
#include "transaction/written_shards.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/memutils.h"

/*
 * How long an error waits for a node to roll back what it has prepared, in milliseconds.
 * What is left then, recovery can roll back as well.
 */
#define UNDO_PATIENCE 1000

struct AtomicCommit
{
	Participants *participants;
	HTAB	   *written;
	List	   *xacts;			/* of DistributedXact */
	Participant *decider;		/* NULL: the front decides */
};

/* A commit that the front decides, between PREPARE and the front's end. */
static AtomicCommit *undecided = NULL;

bool
plshard_needs_atomic_commit(const Participants *participants)
{
	return participants->n > 1 || (participants->n == 1 && plshard_front_decides(participants));
}

/* ---- ending what is prepared ---- */

/* Queues the end of what a participant has prepared; "owner" awaits it, if there is one. */
static void
send_end(const Participant *p, bool commit, Participant *owner)
{
	plshard_send_end_prepared(p->conn, p->xact->map->options.recovery_role, p->xact->text,
							  commit, owner, PARTICIPANT_COMMAND);
}

/* Runs COMMIT PREPARED or ROLLBACK PREPARED on all that are prepared. */
static void
end_prepared(AtomicCommit *atomic, bool commit)
{
	for (int i = 0; i < atomic->participants->n; i++)
	{
		Participant *p = &atomic->participants->list[i];

		p->state = COMMAND_NONE;
		if (!p->prepared)
			continue;
		plshard_participant_begin(p);
		p->tag = plshard_end_command(commit);
		send_end(p, commit, p);
	}
	plshard_inject("prepared_ending");
	plshard_participants_wait(atomic->participants);
}

/* Resolves the one transaction of a commit that a node decides, as the role that runs it. */
static TransactionOutcome
resolve(const DistributedXact *xact, char **message)
{
	TransactionOutcome outcome;
	Oid			user;
	int			sec_context;

	AcceptInvalidationMessages();
	GetUserIdAndSecContext(&user, &sec_context);
	SetUserIdAndSecContext(xact->userid, sec_context | SECURITY_LOCAL_USERID_CHANGE);
	outcome = plshard_resolve_transaction(plshard_cluster_map_unchecked(xact->cluster),
										 &xact->gid, message);
	SetUserIdAndSecContext(user, sec_context);
	return outcome;
}

/*
 * Rolls back a participant's part over a new connection, since the node has closed ours,
 * or still executes what came before PREPARE.  True where nothing is or will be prepared.
 */
static bool
prevent_part(const Participant *p)
{
	Oid			user;
	int			sec_context;
	char	   *why;

	GetUserIdAndSecContext(&user, &sec_context);
	SetUserIdAndSecContext(p->xact->userid, sec_context | SECURITY_LOCAL_USERID_CHANGE);
	why = plshard_prevent_part(p->xact->map, &p->xact->gid, p->conn->key.node_id,
							   deadline_in(UNDO_PATIENCE));
	SetUserIdAndSecContext(user, sec_context);
	return why == NULL;
}

/*
 * Handles a participant that has not answered COMMIT PREPARED, though the decision is to
 * commit: no session may read from it before it has committed (rule 8).  It is evicted,
 * or resolved.  Raises 08007 where neither succeeds.
 */
static void
commit_straggler(AtomicCommit *commit, Participant *p)
{
	NodeConn   *conn = p->conn;
	char	   *message = NULL;

	AcceptInvalidationMessages();
	p->map = plshard_cluster_map_unchecked(conn->key.cluster);
	if (!plshard_node_matters(conn, p->map, commit->written))
		return;
	if (p->state == COMMAND_UNKNOWN && !conn->xact.must_commit &&
		plshard_judge_node(p->map, plshard_cluster_node_by_id(p->map, conn->key.node_id),
						   conn->key.userid, NODE_SUSPECT, NO_DEADLINE, &message) == NODE_EVICTED)
		return;
	/* the node answers, or another session has committed there */
	if (resolve(p->xact, &message) == OUTCOME_COMMITTED && message == NULL)
		return;
	plshard_throw_unknown(commit->participants,
						  psprintf("It is decided to commit, but node \"%s\" has not confirmed it: recovery will commit there. %s",
								   conn->node_name, message ? message : ""), NULL);
}

/* Runs COMMIT PREPARED, and sees to it that all participants have committed. */
static void
commit_everywhere(AtomicCommit *commit)
{
	bool		all = true;

	plshard_inject("before_commit_prepared");
	end_prepared(commit, true);
	plshard_inject("commit_prepared");
	for (int i = 0; i < commit->participants->n; i++)
	{
		Participant *p = &commit->participants->list[i];

		if (!p->prepared || p->state == COMMAND_DONE)
			continue;
		all = false;
		commit_straggler(commit, p);
	}
	for (int i = 0; all && i < commit->participants->n; i++)
		plshard_commit_row_is_resolved(commit->participants->list[i].conn,
									   commit->participants->list[i].xact->text);
}

/* ---- PREPARE ---- */

/*
 * Rolls back the PREPAREs, and raises why the transaction cannot be committed: the error
 * of a node that has refused, or else that a connection was lost.
 */
static void
abort_and_throw(AtomicCommit *commit)
{
	Participants *participants = commit->participants;
	Participant failure = {.state = COMMAND_NONE};

	for (int i = 0; i < participants->n; i++)
	{
		const Participant *p = &participants->list[i];

		if (p->state == COMMAND_REFUSED ||
			(p->state == COMMAND_UNKNOWN && failure.state == COMMAND_NONE))
			failure = *p;
		if (p->state == COMMAND_REFUSED)
			break;
	}
	plshard_atomic_abort(commit);
	if (failure.state == COMMAND_REFUSED)
		plshard_throw_refused(participants, &failure);
	plshard_throw_lost_participant(participants, failure.conn);
}

/* Queues the check of deferred constraints, while everything can still be rolled back. */
static void
send_constraints(NodeConn *conn, void *owner)
{
	plshard_conn_send_prepared(conn, QUERY_CONSTRAINTS, 0, "SET CONSTRAINTS ALL IMMEDIATE",
							   0, NULL, NULL, 0, PENDING_XACT, owner, 0, false);
}

/* Queues a limit of lock waits: the caller cannot cancel a commit. */
static void
send_lock_timeout(NodeConn *conn, void *owner)
{
	plshard_conn_send_prepared(conn, QUERY_COMMIT_LOCK_TIMEOUT, 0, "SET LOCAL lock_timeout = '10s'",
							   0, NULL, NULL, 0, PENDING_SETTING, owner, 0, false);
}

/* Queues what comes before PREPARE: the row, and the role that will own the prepared transaction. */
static void
send_before_prepare(NodeConn *conn, const DistributedXact *xact, void *owner)
{
	const char *role = xact->map->options.recovery_role;
	char	   *sql;

	plshard_send_commit_row(conn, xact->text, owner);
	if (role[0] == '\0')
		return;
	/* deferred triggers must not run as that role */
	send_constraints(conn, owner);
	sql = psprintf("SET LOCAL ROLE %s", quote_identifier(role));
	plshard_conn_send_plain(conn, sql, PENDING_XACT, owner, 0, false);
	pfree(sql);
}

static char *
prepare_command(const DistributedXact *xact, const NodeConn *conn)
{
	return plshard_prepared_command("PREPARE TRANSACTION", xact->text, conn->key.node_id);
}

/* Queues what prepares a participant; for the deciding node, the check of its constraints. */
static void
send_prepare(const AtomicCommit *commit, Participant *p)
{
	plshard_participant_begin(p);
	send_lock_timeout(p->conn, p);
	if (p == commit->decider)
	{
		plshard_participant_send(p, QUERY_CONSTRAINTS, "SET CONSTRAINTS ALL IMMEDIATE", "SET CONSTRAINTS");
		plshard_participant_end(p);
		return;
	}
	send_before_prepare(p->conn, p->xact, p);
	plshard_participant_send(p, 0, prepare_command(p->xact, p->conn),
							 "PREPARE TRANSACTION");
	plshard_participant_end(p);
}

/* Notes a participant's answer to send_prepare; true where it can commit. */
static bool
note_prepared(const AtomicCommit *commit, Participant *p)
{
	if (p == commit->decider)
		return p->state == COMMAND_DONE;
	if (p->state == COMMAND_DONE)
	{
		p->prepared = true;
		plshard_xact_forget(p->conn);
		if (p->conn->session.sync_wait_cancelled)
		{
			p->unsynced = true;
			p->state = COMMAND_REFUSED;
		}
	}
	return p->state == COMMAND_DONE;
}

/* The same for all participants; true where all can commit. */
static bool
note_all_prepared(const AtomicCommit *commit)
{
	bool		well = true;

	for (int i = 0; i < commit->participants->n; i++)
		well &= note_prepared(commit, &commit->participants->list[i]);
	return well;
}

static Participant *
participant_of(const AtomicCommit *commit, const NodeConn *conn)
{
	Participant *p = commit->participants->list;

	while (p->conn != conn)
		p++;
	return p;
}

void
plshard_atomic_send_with_call(const AtomicCommit *commit, NodeConn *conn, void *owner, int number)
{
	const Participant *p = participant_of(commit, conn);

	plshard_conn_expect_sync_wait(conn);
	if (p == commit->decider)
		send_constraints(conn, owner);
	else
	{
		send_before_prepare(conn, p->xact, owner);
		plshard_conn_send_plain(conn, prepare_command(p->xact, conn),
								PENDING_XACT, owner, number, false);
	}
}

bool
plshard_atomic_note(const AtomicCommit *commit, NodeConn *conn, CommandState state)
{
	Participant *p = participant_of(commit, conn);

	p->state = state;
	return note_prepared(commit, p);
}

/* In PG_CATCH, while PREPAREs are in flight: rolls them back, and throws the error again. */
static void
abort_and_rethrow(AtomicCommit *commit)
{
	ErrorData  *error;

	HOLD_INTERRUPTS();			/* the error has reset the commit's own */
	MemoryContextSwitchTo(TopTransactionContext);
	error = CopyErrorData();
	FlushErrorState();
	commit->participants->may_abort = false;
	plshard_participants_abandon(commit->participants);
	note_all_prepared(commit);
	plshard_atomic_abort(commit);
	commit->participants->outcome_known = true;
	ReThrowError(error);
}

AtomicCommit *
plshard_atomic_begin(Participants *participants, HTAB *written)
{
	AtomicCommit *commit = palloc0(sizeof(AtomicCommit));

	commit->participants = participants;
	commit->written = written;
	if (!plshard_front_decides(participants))
		commit->decider = plshard_choose_decider(participants, written);
	commit->xacts = plshard_name_distributed_xacts(participants, commit->decider, written);
	return commit;
}

AtomicCommit *
plshard_atomic_prepare(Participants *participants, HTAB *written)
{
	AtomicCommit *commit = plshard_atomic_begin(participants, written);
	volatile bool well = false;

	plshard_inject("before_prepare");
	if (commit->decider == NULL)
		undecided = commit;
	participants->begun = true;
	PG_TRY();
	{
		for (int i = 0; i < participants->n; i++)
			send_prepare(commit, &participants->list[i]);
		plshard_inject("prepare_sent");
		participants->may_abort = true;
		plshard_participants_wait(participants);
		participants->may_abort = false;
		well = note_all_prepared(commit);
		plshard_inject("prepared");
	}
	PG_CATCH();
	{
		abort_and_rethrow(commit);
	}
	PG_END_TRY();
	if (!well)
		abort_and_throw(commit);
	return commit;
}

/* ---- the decision ---- */

/* Rolls back the deciding node, which was not sent COMMIT, or has refused it. */
static void
roll_back_decider(AtomicCommit *commit)
{
	NodeConn   *decider = commit->decider->conn;

	if (decider->io.state == CONN_READY && plshard_xact_is_open(decider))
		plshard_xact_rollback(decider);
	plshard_xact_forget(decider);
}

/*
 * Decides to abort, by rule 9: once a PREPARE was sent, an abort is final only when the
 * deciding node can no longer commit and the registry has recorded the abort.  True where
 * the registry has recorded a commit: then recovery has resolved the transaction without
 * the deciding node.
 */
static bool
decide_abort(AtomicCommit *commit)
{
	const DistributedXact *xact = commit->decider->xact;
	bool		in_doubt = false;
	bool		committed;
	char	   *message;

	roll_back_decider(commit);
	for (int i = 0; i < commit->participants->n; i++)
	{
		const Participant *p = &commit->participants->list[i];

		in_doubt |= p->prepared || (p != commit->decider && p->state == COMMAND_UNKNOWN);
	}
	if (!in_doubt)
		return false;			/* nothing is prepared, nor will be */

	plshard_inject("before_abort_decision");
	if (plshard_registry_decide(xact->map, xact->text, false, &committed, &message) != REGISTRY_DONE)
		plshard_throw_unknown(commit->participants,
							  psprintf("The rollback of the transaction could not be recorded. %s",
									   message ? message : ""), NULL);
	plshard_inject("abort_decided");
	return committed;
}

void
plshard_atomic_abort(AtomicCommit *commit)
{
	if (commit->decider == NULL)
		return;					/* the front's own abort does it */
	if (decide_abort(commit))
		plshard_throw_unknown(commit->participants,
							  "Recovery has committed it without the deciding node.",
							  commit->decider->map->name);
	commit->participants->deadline = deadline_in(UNDO_PATIENCE);
	end_prepared(commit, false);
	commit->participants->deadline = NO_DEADLINE;
	/* what is left, on a node that has closed our connection, is left to recovery */
	plshard_gid_close(&commit->decider->xact->gid);
}

void
plshard_atomic_undo(AtomicCommit *commit)
{
	Participants *participants = commit->participants;
	const Participant *other = &participants->list[commit->decider == &participants->list[0] ? 1 : 0];
	bool		silent = false;

	Assert(participants->n == 2);
	roll_back_decider(commit);
	if (other->prepared)
	{
		participants->deadline = deadline_in(UNDO_PATIENCE);
		end_prepared(commit, false);
		if (other->state == COMMAND_DONE)
			return;
		silent = deadline_passed(participants->deadline);
	}
	else if (other->state != COMMAND_UNKNOWN)
		return;
	if (!silent && prevent_part(other))
		return;
	plshard_atomic_abort(commit);
}

/*
 * The deciding node's answer to COMMIT, which was sent at "sent", did not arrive: finds
 * out the decision.  If that takes long, recovery may have deleted the row of a commit
 * that is complete; then the absence of the row has no meaning.
 */
static void
resolve_lost_decision(AtomicCommit *commit, Deadline sent)
{
	char	   *message;
	TransactionOutcome outcome = resolve(commit->decider->xact, &message);

	if (outcome == OUTCOME_ABORTED &&
		deadline_passed(sent + (Deadline) PLSHARD_ROWS_KEPT * 1000000))
	{
		outcome = OUTCOME_UNKNOWN;
		message = "It took too long to find out how it has ended.";
	}
	switch (outcome)
	{
		case OUTCOME_COMMITTED:
			if (message != NULL)
				plshard_throw_unknown(commit->participants,
									  psprintf("It is decided to commit, but not all nodes have confirmed it. %s",
											   message), NULL);
			return;
		case OUTCOME_ABORTED:
			plshard_throw_lost_participant(commit->participants, commit->decider->conn);
			break;
		case OUTCOME_UNKNOWN:
			plshard_throw_unknown(commit->participants,
								  psprintf("The connection to node \"%s\" was lost during commit. %s",
										   commit->decider->conn->node_name, message ? message : ""),
								  NULL);
			break;
	}
}

/* The deciding node commits: that is the decision. */
static void
decide_by_node(AtomicCommit *commit)
{
	Participant *decider = commit->decider;
	Deadline	sent;

	plshard_inject("before_commit");
	plshard_participant_begin(decider);
	plshard_send_commit_row(decider->conn, decider->xact->text, decider);
	plshard_participant_send(decider, QUERY_COMMIT, "COMMIT", "COMMIT");
	sent = plshard_clock();
	plshard_participant_end(decider);
	plshard_inject("commit_sent");
	plshard_participants_wait(commit->participants);
	plshard_inject("committed");

	if (decider->state == COMMAND_DONE)
	{
		plshard_xact_forget(decider->conn);
		if (decider->conn->session.sync_wait_cancelled)
			plshard_throw_unknown(commit->participants,
								  psprintf("Node \"%s\" has committed, but did not wait for its standby server.",
										   decider->conn->node_name), NULL);
		commit_everywhere(commit);
	}
	else if (decider->state == COMMAND_UNKNOWN)
	{
		plshard_xact_forget(decider->conn);
		resolve_lost_decision(commit, sent);
	}
	else
		abort_and_throw(commit);
}

void
plshard_atomic_decide(AtomicCommit *commit)
{
	ListCell   *cell;
	List	   *gids = NIL;

	if (commit->decider != NULL)
	{
		decide_by_node(commit);
		return;
	}
	foreach(cell, commit->xacts)
		gids = lappend(gids, ((DistributedXact *) lfirst(cell))->text);
	plshard_front_decide(gids);
	plshard_inject("front_row");
}

/* ---- what the front has decided ---- */

/* Runs COMMIT PREPARED; a part that is not confirmed is left to recovery, with a WARNING. */
static void
commit_decided_by_front(AtomicCommit *commit)
{
	ListCell   *cell;

	plshard_inject("front_committed");
	commit->participants->deadline = deadline_in(commit->participants->list[0].map->options.node_timeout);
	end_prepared(commit, true);
	foreach(cell, commit->xacts)
	{
		const DistributedXact *xact = lfirst(cell);
		bool		all = true;

		for (int i = 0; i < commit->participants->n; i++)
		{
			const Participant *p = &commit->participants->list[i];

			if (p->xact != xact || p->state == COMMAND_DONE)
				continue;
			all = false;
			ereport(WARNING,
					(errcode(ERRCODE_TRANSACTION_RESOLUTION_UNKNOWN),
					 errmsg("node \"%s\" has not confirmed the commit of this transaction",
							p->conn->node_name),
					 errdetail("The transaction is committed; recovery will commit it there.")));
		}
		for (int i = 0; all && i < commit->participants->n; i++)
		{
			if (commit->participants->list[i].xact == xact)
				plshard_commit_row_is_resolved(commit->participants->list[i].conn, xact->text);
		}
		if (all)
			plshard_front_resolved(xact->text);
	}
}

bool
plshard_atomic_front_decides(void)
{
	return undecided != NULL;
}

bool
plshard_atomic_front_committed(void)
{
	AtomicCommit *commit = undecided;
	MemoryContext context = CurrentMemoryContext;

	undecided = NULL;
	if (commit == NULL)
		return false;
	MemoryContextSwitchTo(TopTransactionContext);
	PG_TRY();
	{
		commit_decided_by_front(commit);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		/* the front has committed: an error here would be a PANIC */
		HOLD_INTERRUPTS();
		MemoryContextSwitchTo(TopTransactionContext);
		error = CopyErrorData();
		FlushErrorState();
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("could not commit this transaction on all nodes: %s", error->message),
				 errdetail("The transaction is committed; recovery will commit it on the nodes.")));
		for (int i = 0; i < commit->participants->n; i++)
			plshard_conn_drain(commit->participants->list[i].conn);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	return true;
}

bool
plshard_atomic_front_aborted(void)
{
	AtomicCommit *commit = undecided;

	undecided = NULL;
	for (int i = 0; commit && i < commit->participants->n; i++)
	{
		Participant *p = &commit->participants->list[i];

		plshard_conn_drain(p->conn);
		if (!p->prepared || p->conn->io.state != CONN_READY)
			continue;
		send_end(p, false, NULL);
	}
	return commit != NULL;
}
