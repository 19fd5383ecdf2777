/*
 * end_prepared.c
 *
 * COMMIT PREPARED and ROLLBACK PREPARED, queued by the session that has prepared, or
 * run by recovery.  Everything is allocated in the current memory context.
 */
#include "postgres.h"

#include "cluster/gid.h"
#include "connection/pipeline.h"
#include "connection/remote_error.h"
#include "connection/remote_result.h"
#include "recovery/end_prepared.h"
#include "utils/builtins.h"

char *
plshard_prepared_command(const char *command, const char *gid, int32 node_id)
{
	return psprintf("%s '%s:%d'", command, gid, node_id);
}

/* Queues a change of the role, in a batch of its own, since the command must be one, too. */
static void
send_role(NodeConn *conn, const char *sql)
{
	plshard_conn_send_plain(conn, sql, PENDING_SETTING, NULL, 0, false);
	plshard_conn_send_sync(conn, NULL);
}

void
plshard_send_end_prepared(NodeConn *conn, const char *role, const char *gid,
						  bool commit, void *owner, int number)
{
	if (role[0] != '\0')
		send_role(conn, psprintf("SET ROLE %s", quote_identifier(role)));
	plshard_conn_send_plain(conn, plshard_prepared_command(plshard_end_command(commit), gid,
														   conn->key.node_id),
							PENDING_XACT, owner, number, false);
	plshard_conn_send_sync(conn, owner);
	if (role[0] != '\0')
		send_role(conn, "RESET ROLE");
}

static bool
failed_with(const PGresult *result, int sqlstate)
{
	return PQresultStatus(result) == PGRES_FATAL_ERROR && plshard_result_sqlstate(result) == sqlstate;
}

/* Sets the role to the owner; returns why it could not be set, or NULL. */
static char *
become_owner(RecoveryNodes *nodes, RecoveryNode *node, const char *owner, const char *role)
{
	const PGresult *result = plshard_recovery_ask(nodes, node, psprintf("SET ROLE %s", quote_identifier(owner)));

	if (PQresultStatus(result) == PGRES_COMMAND_OK)
		return NULL;
	if (result != NULL && failed_with(result, ERRCODE_INSUFFICIENT_PRIVILEGE))
		return psprintf("On node \"%s\" role \"%s\" may not finish what role \"%s\" has prepared: run GRANT %s TO %s there, or set the cluster's option recovery_role.",
						node->name, role, owner, quote_identifier(owner), quote_identifier(role));
	return plshard_recovery_reason(node);
}

PreparedEnd
plshard_end_prepared(RecoveryNodes *nodes, RecoveryNode *node, const char *gid, bool commit,
					 char **reason)
{
	const char *name = quote_literal_cstr(plshard_prepared_name(gid, node->id));
	const char *tag = plshard_end_command(commit);
	const PGresult *found;
	const PGresult *result;
	bool		as_owner;
	PreparedEnd end = ENDED_FAILED;

	found = plshard_recovery_ask(nodes, node,
								 psprintf("SELECT owner, current_user, owner = current_user"
										  " OR current_setting('is_superuser') = 'on'"
										  " FROM pg_prepared_xacts WHERE gid = %s"
										  " AND database = current_database()", name));
	if (!plshard_recovery_has_rows(node, ANY_ROWS, 3, 0))
	{
		*reason = plshard_recovery_reason(node);
		return ENDED_FAILED;
	}
	if (PQntuples(found) == 0)
		return ENDED_NOTHING;
	as_owner = PQgetvalue(found, 0, 2)[0] != 't';
	if (as_owner)
	{
		*reason = become_owner(nodes, node, PQgetvalue(found, 0, 0), PQgetvalue(found, 0, 1));
		if (*reason != NULL)
			return ENDED_FAILED;
	}

	result = plshard_recovery_ask(nodes, node, plshard_prepared_command(tag, gid, node->id));
	if (PQresultStatus(result) == PGRES_COMMAND_OK &&
		strcmp(PQcmdStatus(unconstify(PGresult *, result)), tag) == 0)
		end = ENDED_NOW;
	else if (result != NULL && (failed_with(result, ERRCODE_UNDEFINED_OBJECT) ||
								failed_with(result, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE)))
		end = ENDED_BUSY;
	else
		*reason = plshard_recovery_reason(node);
	if (as_owner && node->conn != NULL)
		(void) plshard_recovery_ask(nodes, node, "RESET ROLE");
	return end;
}
