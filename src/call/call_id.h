/*
 * call_id.h
 *
 * Calls that happen once: a write that is made under an id (plshard.call_id) leaves
 * its result on each placement of its shards, in the same transaction; who makes the
 * call again under that id is given that result.
 */
#ifndef PLSHARD_CALL_ID_H
#define PLSHARD_CALL_ID_H

#include "call/task.h"
#include "common/sha2.h"
#include "datatype/timestamp.h"
#include "language/function.h"

/* A call's id, as long as the call. */
typedef struct CallId
{
	const char *id;
	const char *function;		/* its qualified signature */
	const char *name;			/* as messages show it */
	uint8		arguments[PG_SHA256_DIGEST_LENGTH];
	TimestampTz now;
	TimestampTz expires;		/* what is kept now */
	StringInfo *records;		/* of each target: what is to be kept, or NULL */
} CallId;

/* Registers transaction callbacks; called once by _PG_init. */
extern void plshard_call_id_init(void);

/*
 * The id of a call that has been prepared (plshard_prepare_call), in the current
 * memory context; NULL where it is a read, or no id is set.  Errors: 0A000 where the
 * cluster is static, or a repetition may go to other shards; 22023 where this
 * transaction has called the function with other arguments under this id.
 */
extern CallId *plshard_call_id(PlshardCall *call);

/*
 * In front of the call, behind the locks: is there a result already?  If so the node
 * says SQLSTATE_CALL_IS_KNOWN (PENDING_RECORD), and the call does not run.
 */
extern void plshard_send_call_lookup(const Execution *e, Task *task);

/* In place of a call whose result is known: asks for it. */
extern void plshard_send_call_fetch(const Execution *e, Task *task);

/* Behind a call: keeps its result (PENDING_RECORD), and removes some old ones. */
extern void plshard_send_call_record(const Execution *e, Task *task);

/*
 * Makes the record of a target out of the result that is delivered.  Errors: 54000
 * where it is too large.
 */
extern void plshard_make_call_record(const Execution *e, const Task *task);

/*
 * The result that was fetched, as the call returned it, owned by the current memory
 * context; NULL where there was none any more.  Errors: 22023 where it is that of
 * other arguments.
 */
extern PGresult *plshard_read_call_record(const Execution *e, const Task *task);

/* Throws 22023: another call has just used the id. */
pg_noreturn extern void plshard_throw_call_id_used(const CallId *call_id);

#endif							/* PLSHARD_CALL_ID_H */
