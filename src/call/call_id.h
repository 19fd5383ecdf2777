/*
 * call_id.h
 *
 * Calls that happen once: a write that is made under an id (plshard.call_id) stores
 * its result on each placement of its shards, in the same transaction; a repetition
 * of the call under that id returns the stored result.
 */
#ifndef PLSHARD_CALL_ID_H
#define PLSHARD_CALL_ID_H

#include "access/xact.h"
#include "call/execution.h"
#include "common/sha2.h"
#include "datatype/timestamp.h"
#include "lib/stringinfo.h"

/* A call's id, as long as the call. */
typedef struct CallId
{
	const char *id;
	const char *function;		/* its qualified signature */
	const char *name;			/* as messages show it */
	uint8		arguments[PG_SHA256_DIGEST_LENGTH];
	TimestampTz now;
	TimestampTz expires;		/* what is kept now */
	StringInfo *stored;			/* of each target: what is to be kept, or NULL */
} CallId;

/* Transaction callbacks: the ids that a transaction has used go with it; never throw. */
extern void plshard_call_id_xact_event(XactEvent event);
extern void plshard_call_id_subxact_event(SubXactEvent event);

/*
 * The current transaction calls a function under an id.  Errors: 22023 where it has called it
 * with other arguments under this id: they may lead to another shard, which has nothing of
 * the first call.
 */
extern void plshard_note_call_id(const CallId *call_id);

/* Appends a field: its length (-1 for NULL) as four bytes, then its bytes. */
extern void plshard_add_field(StringInfo bytes, const char *data, int length);

/*
 * STEP_LOOKUP, between the locks and the call: where a result is stored, the node raises
 * SQLSTATE_CALL_IS_KNOWN, and the call does not run.
 */
extern void plshard_send_result_lookup(const Execution *e, Task *task);

/* STEP_FETCH, in place of a call whose result is stored: queries it. */
extern void plshard_send_result_fetch(const Execution *e, Task *task);

/* STEP_STORE, behind a call: stores its result, and removes some that have expired. */
extern void plshard_send_result_store(const Execution *e, Task *task);

/*
 * Makes what is stored for a target out of the result that is delivered.  Errors: 54000
 * where it is too large.
 */
extern void plshard_make_stored_result(const Execution *e, const Task *task);

/*
 * The result that was fetched, as the call returned it, owned by the current memory
 * context; NULL where none is stored any more.  Errors: 22023 where it is that of
 * other arguments; 0A000 where it was stored in another layout or encoding.
 */
extern PGresult *plshard_read_stored_result(const Execution *e, const Task *task);

/* Throws 22023: another call has just used the id. */
pg_noreturn extern void plshard_throw_call_id_used(const CallId *call_id);

#endif							/* PLSHARD_CALL_ID_H */
