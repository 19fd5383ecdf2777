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
	const char **keywords;		/* NULL-terminated, for PQconnectStartParams */
	const char **values;
	bool		password_required;	/* the server must have asked for a
									 * password, and it came from the mapping */
	uint32		fingerprint;	/* differs when any keyword or value does */
} NodeConninfo;

/*
 * Builds the connection parameters of a node for a user, in the current memory
 * context.  Without a user mapping the remote user is the user's own name.
 * Errors: 2F003 (as postgres_fdw) where a non-superuser has no password and
 * the server does not say password_required 'false'.
 */
extern void plshard_build_conninfo(const ClusterMap *map, int node, Oid userid,
								   NodeConninfo *result);

/*
 * After the connection is up: errors 2F003 if a password was required and the
 * node did not ask for one.  The caller closes the connection on error.
 */
extern void plshard_check_connection_security(PGconn *conn, const NodeConninfo *info);

/*
 * Checks a conninfo given to add_node: parses, allowed keywords only, no
 * password.  Errors: HV00D or 42601 with a hint; never shows the text itself.
 */
extern void plshard_validate_conninfo(const char *conninfo);

#endif							/* PLSHARD_CONNINFO_H */
