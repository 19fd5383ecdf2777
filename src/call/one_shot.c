/*
 * one_shot.c
 *
 * Looks at the portal that runs, and at what the client has sent behind it.
 * Allocates nothing.
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/compat.h"
#include "call/one_shot.h"
#include "libpq/libpq.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"
#include "optimizer/optimizer.h"
#include "tcop/pquery.h"
#include "tcop/tcopprot.h"
#include "utils/portal.h"

/* True for a plan that only evaluates the expression of this call. */
static bool
plan_is_call(const Plan *plan, const Node *call)
{
	if (call == NULL || !IsA(call, FuncExpr) || plan->qual != NIL || plan->lefttree != NULL ||
		plan->initPlan != NIL)
		return false;

	if (IsA(plan, Result))
	{
		return ((const Result *) plan)->resconstantqual == NULL &&
			list_length(plan->targetlist) == 1 &&
			(const Node *) linitial_node(TargetEntry, plan->targetlist)->expr == call;
	}
	if (IsA(plan, FunctionScan))
	{
		const FunctionScan *scan = (const FunctionScan *) plan;
		ListCell   *lc;

		if (list_length(scan->functions) != 1 || scan->funcordinality ||
			linitial_node(RangeTblFunction, scan->functions)->funcexpr != call)
			return false;
		foreach(lc, plan->targetlist)
		{
			if (!IsA(lfirst_node(TargetEntry, lc)->expr, Var))
				return false;
		}
		return true;
	}
	return false;
}

/* True where evaluating the arguments changes nothing that could fail when the front commits. */
static bool
arguments_do_nothing(const FuncExpr *call)
{
	return !contain_volatile_functions((Node *) call->args);
}

/*
 * True where nothing can fail with the result once the call is committed.  The executor and the
 * protocol convert it to the client's encoding, which may not have its characters, and, behind
 * FROM, store it, for which there may be no space if it is long.
 */
static bool
result_is_passed_on(const PlannedStmt *statement, const RemoteQuery *query)
{
	int			encoding = pg_get_client_encoding();

	return (!query->returns_text || encoding == GetDatabaseEncoding() || encoding == PG_SQL_ASCII) &&
		(!query->returns_varlena || !IsA(statement->planTree, FunctionScan));
}

/* True where a portal's statement is SELECT f(...), SELECT * FROM f(...) or CALL p(...) of this call. */
static bool
statement_is_call(const PlannedStmt *statement, FunctionCallInfo fcinfo, const RemoteQuery *query)
{
	if (statement->commandType == CMD_UTILITY)
	{
		const CallStmt *call = (const CallStmt *) statement->utilityStmt;

		/* the tree that runs is a copy */
		return IsA(call, CallStmt) && call->funcexpr->funcid == fcinfo->flinfo->fn_oid &&
			arguments_do_nothing(call->funcexpr) &&
			fcinfo->context != NULL && IsA(fcinfo->context, CallContext) &&
			!((CallContext *) fcinfo->context)->atomic;
	}
	return statement->commandType == CMD_SELECT && !statement->hasModifyingCTE &&
		statement->rowMarks == NIL && statement->subplans == NIL &&
		plan_is_call(statement->planTree, fcinfo->flinfo->fn_expr) &&
		result_is_passed_on(statement, query) &&
		arguments_do_nothing((FuncExpr *) fcinfo->flinfo->fn_expr);
}

/*
 * In the extended protocol an implicit transaction ends with Sync, and whatever comes
 * before that is part of it.  Only what has arrived already can be known.
 */
static bool
sync_is_next(void)
{
	int			next;

	if (!plshard_client_has_sent_more())
		return false;
	pq_startmsgread();
	next = pq_peekbyte();
	pq_endmsgread();
	return next == 'S';
}

bool
plshard_is_whole_transaction(FunctionCallInfo fcinfo, const RemoteQuery *query)
{
	Portal		portal = ActivePortal;

	if (portal == NULL || whereToSendOutput != DestRemote || MyProcPort == NULL)
		return false;

	/* cursors, EXECUTE, and what PL/pgSQL loops over have names */
	if (portal->name[0] != '\0' || (portal->cursorOptions & CURSOR_OPT_HOLD) ||
		list_length(portal->stmts) != 1 ||
		!statement_is_call(linitial_node(PlannedStmt, portal->stmts), fcinfo, query))
		return false;

	if (IsInTransactionBlock(true) || IsolationUsesXactSnapshot() ||
		TransactionIdIsValid(GetTopTransactionIdIfAny()) ||
		(MyXactFlags & XACT_FLAGS_ACCESSEDTEMPNAMESPACE))
		return false;

	/* the simple protocol has no cached plan */
	return portal->cplan == NULL || sync_is_next();
}
