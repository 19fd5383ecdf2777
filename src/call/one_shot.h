/*
 * one_shot.h
 *
 * Whether a call is all that the caller's transaction does: then its node can commit with it.
 */
#ifndef PLSHARD_ONE_SHOT_H
#define PLSHARD_ONE_SHOT_H

#include "call/request.h"
#include "fmgr.h"

/*
 * True where the front's transaction consists of this call: outside a transaction
 * block, of a client's SELECT f(...), SELECT * FROM f(...) or CALL p(...), with
 * nothing behind it before the transaction commits, and nothing done yet that
 * could fail then, nor while the client is sent what "query" returns.  The nodes are not looked at.
 */
extern bool plshard_is_whole_transaction(FunctionCallInfo fcinfo, const RemoteQuery *query);

#endif							/* PLSHARD_ONE_SHOT_H */
