/*
 * participants.c
 *
 * Commands to several nodes of a transaction at once, and the errors of its end.
 * Everything is allocated in the current memory context.
 */
#include "postgres.h"

#include "connection/health.h"
#include "connection/pipeline.h"
#include "connection/pump.h"
#include "connection/receive.h"
#include "connection/remote_error.h"
#include "connection/remote_result.h"
#include "miscadmin.h"
#include "transaction/participants.h"
#include "transaction/remote_xact.h"
#include "utils/builtins.h"

Participant *
plshard_add_participant(Participants *participants)
{
	Participant *p;

	if (participants->n == participants->size)
	{
		participants->size = Max(8, participants->size * 2);
		participants->list = participants->list ?
			repalloc(participants->list, participants->size * sizeof(Participant)) :
			palloc(participants->size * sizeof(Participant));
	}
	p = &participants->list[participants->n++];
	memset(p, 0, sizeof(*p));
	return p;
}

/* ---- commands ---- */

/* Notes the results of a batch in its participant; a ResultHandler. */
static void
handle_result(NodeConn *conn, Pending *pending, PGresult *result, void *arg)
{
	Participant *p = pending->owner;

	switch (PQresultStatus(result))
	{
		case PGRES_COMMAND_OK:
			/* in a failed transaction COMMIT and PREPARE answer ROLLBACK, no error */
			if (pending->kind == PENDING_XACT && pending->number == PARTICIPANT_COMMAND)
			{
				p->answered = strcmp(PQcmdStatus(result), p->tag) == 0;
				if (!p->answered && strcmp(PQcmdStatus(result), "ROLLBACK") != 0)
					plshard_conn_violated(conn, "a wrong answer to a transaction command");
				p->probe_at = deadline_in(p->map->options.node_timeout);
			}
			break;
		case PGRES_PIPELINE_SYNC:
			p->state = p->answered && p->error == NULL ? COMMAND_DONE : COMMAND_REFUSED;
			break;
		case PGRES_FATAL_ERROR:
			if (p->error == NULL)
			{
				p->error = plshard_own_result(plshard_conn_take_result(conn));
				p->probe_at = deadline_in(p->map->options.node_timeout);
			}
			break;
		default:
			break;
	}
}

/* Closes the connection: the command's outcome is unknown. */
static void
give_up(Participant *p, const char *message)
{
	plshard_conn_set_lost(p->conn, 0, message);
	p->state = COMMAND_UNKNOWN;
}

/* Gives up a participant that has not answered, where it is lost or silent. */
static void
check_participant(const Participants *participants, Participant *p)
{
	int			node;

	if (p->conn->io.state != CONN_READY)
		p->state = COMMAND_UNKNOWN;
	else if (ProcDiePending)
		/* a node that answers probes, but not the command, must not hold the session */
		give_up(p, "the session was terminated");
	else if (participants->deadline != NO_DEADLINE)
	{
		if (deadline_passed(participants->deadline))
			give_up(p, "the node did not answer in time");
	}
	else if (deadline_passed(p->probe_at) && (p->answered || p->error))
		/* nothing that takes time comes between an answer and the end of its batch */
		give_up(p, "the node has not ended its answer");
	else if (deadline_passed(p->probe_at))
	{
		node = plshard_cluster_node_by_id(p->map, p->conn->key.node_id);
		if (node < 0 || !plshard_node_answers(p->map, node, p->conn->key.userid, NO_DEADLINE))
			give_up(p, "the node does not answer");
		else
			p->probe_at = deadline_in(p->map->options.node_timeout);
	}
}

void
plshard_participant_begin(Participant *p)
{
	p->state = COMMAND_WAITING;
	p->answered = false;
	p->error = NULL;
	p->probe_at = deadline_in(p->map->options.node_timeout);
	memset(&p->lock_wait, 0, sizeof(p->lock_wait));
	plshard_conn_expect_sync_wait(p->conn);
	plshard_xact_release_call(p->conn, p);
}

void
plshard_participant_send(Participant *p, uint64 query, const char *sql, const char *tag)
{
	p->tag = tag;
	if (query)
		plshard_conn_send_prepared(p->conn, query, 0, sql, 0, NULL, NULL, 0, PENDING_XACT, p,
								   PARTICIPANT_COMMAND, false);
	else
		plshard_conn_send_plain(p->conn, sql, PENDING_XACT, p, PARTICIPANT_COMMAND, false);
}

void
plshard_participant_end(Participant *p)
{
	plshard_conn_send_sync(p->conn, p);
}

void
plshard_participants_wait(Participants *participants)
{
	NodeConn  **conns = palloc(participants->n * sizeof(NodeConn *));

	for (;;)
	{
		/* at most a second at once, to notice that the session is terminated */
		Deadline	wake = deadline_min(deadline_in(1000), participants->deadline);
		int			n = 0;

		for (int i = 0; i < participants->n; i++)
		{
			Participant *p = &participants->list[i];

			if (p->state == COMMAND_WAITING)
				check_participant(participants, p);
			if (p->state != COMMAND_WAITING)
				continue;
			if (participants->may_abort)
			{
				const char *deadlock = plshard_check_deadlock(&p->lock_wait, p->conn,
																 participants->deadline);

				if (deadlock)
					participants->deadlock = deadlock;
				wake = deadline_min(wake, p->lock_wait.next_check);
			}
			conns[n++] = p->conn;
			wake = deadline_min(wake, p->probe_at);
		}
		if (n == 0)
			break;
		plshard_pump(conns, n, handle_result, NULL, wake);
	}
	pfree(conns);
}

void
plshard_participants_abandon(Participants *participants)
{
	for (int i = 0; i < participants->n; i++)
	{
		if (participants->list[i].state == COMMAND_WAITING)
			give_up(&participants->list[i], "the transaction was given up");
	}
}

void
plshard_participants_run(Participants *participants, uint64 query, const char *sql, const char *tag)
{
	for (int i = 0; i < participants->n; i++)
	{
		plshard_participant_begin(&participants->list[i]);
		plshard_participant_send(&participants->list[i], query, sql, tag);
		plshard_participant_end(&participants->list[i]);
	}
	plshard_participants_wait(participants);
}

/* ---- errors ---- */

/* Whether recovery was faster: it has written the transaction's row. */
static bool
aborted_by_recovery(const PGresult *error)
{
	const char *schema = PQresultErrorField(error, PG_DIAG_SCHEMA_NAME);
	const char *table = PQresultErrorField(error, PG_DIAG_TABLE_NAME);

	return plshard_result_sqlstate(error) == ERRCODE_UNIQUE_VIOLATION &&
		schema && strcmp(schema, "plshard_node") == 0 &&
		table && strcmp(table, "transaction") == 0;
}

/* Whether the node's max_prepared_transactions is 0. */
static bool
cannot_prepare(const PGresult *error)
{
	return plshard_result_sqlstate(error) == ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE &&
		plshard_error_is_from(error, "MarkAsPreparing");
}

void
plshard_throw_refused(Participants *participants, const Participant *p)
{
	RemoteErrorContext where = {.node_name = p->conn->node_name};

	participants->outcome_known = true;
	if (p->unsynced)
		ereport(ERROR,
				(errcode(ERRCODE_TRANSACTION_ROLLBACK),
				 errmsg("node \"%s\" did not wait for its standby server", p->conn->node_name)));
	if (p->error == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_TRANSACTION_ROLLBACK),
				 errmsg("node \"%s\" rolled back instead of committing", p->conn->node_name)));
	if (aborted_by_recovery(p->error))
		ereport(ERROR,
				(errcode(ERRCODE_TRANSACTION_ROLLBACK),
				 errmsg("the transaction was rolled back by the cluster's recovery"),
				 errdetail("Its commit took so long that its session was considered dead."),
				 errhint("Try the transaction again.")));
	if (participants->deadlock && plshard_result_sqlstate(p->error) == ERRCODE_QUERY_CANCELED)
		plshard_throw_deadlock(participants->deadlock);
	if (cannot_prepare(p->error))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("node \"%s\" cannot take part in an atomic commit", p->conn->node_name),
				 errdetail("Its max_prepared_transactions is 0."),
				 errhint("Set max_prepared_transactions on the node and restart it, or run ALTER SERVER %s OPTIONS (ADD commit 'fast') on the front.",
						 quote_identifier(p->map->name))));
	plshard_report_result(ERROR, p->error, &where);
	pg_unreachable();
}

void
plshard_throw_refusal(Participants *participants)
{
	for (int i = 0; i < participants->n; i++)
	{
		if (participants->list[i].state == COMMAND_REFUSED)
			plshard_throw_refused(participants, &participants->list[i]);
	}
}

void
plshard_throw_lost_participant(Participants *participants, const NodeConn *conn)
{
	participants->outcome_known = true;
	ereport(ERROR,
			(errcode(ERRCODE_CONNECTION_FAILURE),
			 errmsg("this transaction's connection to node \"%s\" was lost before commit",
					conn->node_name),
			 conn->io.message ? errdetail_internal("%s", conn->io.message) : 0,
			 errhint("Nothing was written. Try the transaction again.")));
}

void
plshard_throw_unknown(Participants *participants, const char *detail, const char *cluster)
{
	participants->outcome_known = true;
	ereport(ERROR,
			(errcode(ERRCODE_TRANSACTION_RESOLUTION_UNKNOWN),
			 errmsg("whether the transaction was committed is not known"),
			 errdetail_internal("%s", detail),
			 cluster ?
			 errhint("Read back what it wrote before trying it again, and run SELECT * FROM plshard.verify('%s').",
					 cluster) :
			 errhint("Read back what it wrote before trying it again.")));
}
