/*
 * conninfo.h
 *
 * What a session may connect to a node with: libpq's keywords from the node's
 * conninfo, the user mapping and our own settings, under the security rules of
 * postgres_fdw.
 */
#ifndef PLSHARD_CONNINFO_H
#define PLSHARD_CONNINFO_H

#include "cluster.h"
#include "libpq-fe.h"

typedef struct NodeConninfo
{
	const char **keywords;		/* NULL-terminated, for PQconnectStartParams
								 * with expand_dbname = 0 */
	const char **values;
	bool		password_required;	/* the server must have asked for a
									 * password, and it came from the mapping */
	uint32		fingerprint;	/* differs when any keyword or value does */
} NodeConninfo;

/*
 * Moves whenever something that plshard_build_conninfo reads may have changed
 * (maps, servers, user mappings, roles).  A fingerprint that was compared at a
 * generation needs no new look while it stands.
 */
extern uint64 plshard_conninfo_generation;

/*
 * Builds the connection parameters of a node for a user, in the current memory
 * context.  The remote user is the mapping's, or the user's own name where
 * there is no mapping or it names none; never one from the node's conninfo.
 *
 * Errors: 2F003 (as postgres_fdw) where a non-superuser has no password in the
 * mapping and no superuser said password_required 'false': on the mapping, or,
 * where there is no mapping, on the server.  42501 where the server forbids
 * an option.
 */
extern void plshard_build_conninfo(const ClusterMap *map, int node, Oid userid,
								   NodeConninfo *result);

/*
 * After the connection is up: errors 2F003 if a password was required and the
 * node did not ask for one.  The caller closes the connection on error.
 */
extern void plshard_check_connection_security(PGconn *conn, const NodeConninfo *info);

/*
 * Checks a conninfo given to add_node: parses, allowed keywords only.  A user
 * or password is refused, whoever registers the node: with password_required
 * 'false' on the server, a user named here would be a way into any role.  User
 * mappings (also one FOR PUBLIC) hold them.  Errors: HV00D or 42601 with a
 * hint, 42501; never shows the text itself.
 */
extern void plshard_validate_conninfo(const char *conninfo);

#endif							/* PLSHARD_CONNINFO_H */
