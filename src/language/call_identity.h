/*
 * call_identity.h
 *
 * The id of a call (call_id.h), from the setting plshard.call_id and the function.
 */
#ifndef PLSHARD_CALL_IDENTITY_H
#define PLSHARD_CALL_IDENTITY_H

#include "call/call_id.h"
#include "language/function.h"

/*
 * The id of a call that has been prepared (plshard_prepare_call), in the current
 * memory context; NULL where it is a read, or no id is set.  Errors: 0A000 where the
 * cluster is static, or a repetition may go to other shards; as plshard_note_call_id.
 */
extern CallId *plshard_call_id(PlshardCall *call);

#endif							/* PLSHARD_CALL_IDENTITY_H */
