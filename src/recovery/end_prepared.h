/*
 * end_prepared.h
 *
 * COMMIT PREPARED and ROLLBACK PREPARED: how a part of a distributed transaction ends
 * on its node.  Only the owner of a prepared transaction may end it, or a superuser.
 */
#ifndef PLSHARD_END_PREPARED_H
#define PLSHARD_END_PREPARED_H

#include "connection/node_conn.h"
#include "recovery/recover_nodes.h"

/* What a node answers where it has ended the part. */
static inline const char *
plshard_end_command(bool commit)
{
	return commit ? "COMMIT PREPARED" : "ROLLBACK PREPARED";
}

/*
 * A command with the name of a transaction's part on a node: one of the two above, or
 * PREPARE TRANSACTION.  "gid" is the transaction's text, in which no character needs to be
 * quoted (plshard_gid_parse lets no other pass).  palloc'd.
 */
extern char *plshard_prepared_command(const char *command, const char *gid, int32 node_id);

/*
 * Queues the end of a part on the connection of the session that has prepared it.
 * "role" is the cluster's recovery_role, which owns the part; "" where the session's
 * role does.  The result of the command is "owner"'s, with "number", and so is the Sync
 * behind it; NULL: they are not awaited.
 */
extern void plshard_send_end_prepared(NodeConn *conn, const char *role, const char *gid,
									  bool commit, void *owner, int number);

typedef enum PreparedEnd
{
	ENDED_NOW,
	ENDED_NOTHING,				/* nothing is prepared there */
	ENDED_BUSY,					/* another session is ending it */
	ENDED_FAILED				/* *reason is a sentence, palloc'd */
} PreparedEnd;

/*
 * Ends the part on a node that recovery is connected to, as whatever role owns it, and
 * waits for the answer.  Raises only a cancel.
 */
extern PreparedEnd plshard_end_prepared(RecoveryNodes *nodes, RecoveryNode *node, const char *gid,
										bool commit, char **reason);

#endif							/* PLSHARD_END_PREPARED_H */
