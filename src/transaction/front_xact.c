/*
 * front_xact.c
 *
 * The front's transaction ends: the nodes' transactions commit before it, or roll
 * back after it.  Subtransactions of the front are savepoints on the nodes.
 *
 * The state here is of the current top-level transaction, and static.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/tablecmds.h"
#include "connection/connection.h"
#include "connection/receive.h"
#include "miscadmin.h"
#include "transaction/atomic_commit.h"
#include "transaction/front_xact.h"
#include "transaction/remote_commit.h"
#include "transaction/remote_xact.h"
#include "transaction/written_shards.h"
#include "utils/timeout.h"

static bool committed = false;	/* the nodes have committed, or the front will decide it */
static bool cancels_held = false;	/* plshard_xact_committed_by_call */

void
plshard_xact_committed_by_call(void)
{
	committed = true;
	if (cancels_held)
		return;
	HOLD_CANCEL_INTERRUPTS();
	cancels_held = true;
}

/* Rolls back a connection's remote transaction; a call in the middle of its rows is dropped. */
static void
abort_connection(NodeConn *conn, void *arg)
{
	plshard_conn_drain(conn);
	plshard_xact_rollback(conn);
}

static void
commit_connection(NodeConn *conn, void *arg)
{
	Assert(!plshard_xact_is_open(conn));
	plshard_xact_forget(conn);
}

/* Resets the state of the transaction that has ended. */
static void
forget_xact(void)
{
	plshard_remote_xact_reset();
	plshard_forget_written_shards();
	committed = false;
	if (cancels_held)
	{
		/* a cancel that arrived too late must not end the session's next statement */
		QueryCancelPending = false;
		(void) get_timeout_indicator(STATEMENT_TIMEOUT, true);
		/* an error has already reset the count */
		if (QueryCancelHoldoffCount > 0)
			RESUME_CANCEL_INTERRUPTS();
	}
	cancels_held = false;
}

void
plshard_front_xact_event(XactEvent event)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			if (plshard_remote_xact_is_open())
			{
				/* its errors must come before the nodes commit */
				PreCommit_on_commit_actions();
				plshard_commit_remote(plshard_written_shards());
				committed = true;
			}
			break;
		case XACT_EVENT_PRE_PREPARE:
			if (plshard_remote_xact_is_open())
				ereport(ERROR,
						(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						 errmsg("cannot PREPARE a transaction that has used plshard functions")));
			break;
		case XACT_EVENT_COMMIT:
			if (plshard_remote_xact_is_open())
			{
				RESUME_INTERRUPTS();	/* commit holds them itself */
				plshard_atomic_front_committed();
				plshard_conn_each(commit_connection, NULL);
			}
			forget_xact();
			break;
		case XACT_EVENT_ABORT:
			if (!plshard_atomic_front_aborted() && committed)
				ereport(WARNING,
						(errcode(ERRCODE_TRANSACTION_RESOLUTION_UNKNOWN),
						 errmsg("the transaction failed here after the nodes had committed"),
						 errdetail("What it has written on the nodes stays.")));
			plshard_conn_each(abort_connection, NULL);
			forget_xact();
			break;
		default:
			break;
	}
}

static void
subcommit_connection(NodeConn *conn, void *arg)
{
	plshard_xact_commit_level(conn, GetCurrentTransactionNestLevel());
}

static void
subabort_connection(NodeConn *conn, void *arg)
{
	int			level = GetCurrentTransactionNestLevel();

	/* a call of an outer level may be in the middle of its rows: leave it alone */
	if (conn->in_use >= level)
		plshard_conn_drain(conn);
	plshard_xact_abort_level(conn, level);
}

void
plshard_front_subxact_event(SubXactEvent event)
{
	if (event == SUBXACT_EVENT_PRE_COMMIT_SUB && plshard_remote_xact_is_open())
		plshard_conn_each(subcommit_connection, NULL);
	else if (event == SUBXACT_EVENT_ABORT_SUB)
		plshard_conn_each(subabort_connection, NULL);
}
