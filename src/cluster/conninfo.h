/*
 * conninfo.h
 *
 * What a session may connect to a node with: libpq's keywords from the node's
 * conninfo, the user mapping and our own settings, under the security rules of
 * postgres_fdw.
 */
#ifndef PLSHARD_CONNINFO_H
#define PLSHARD_CONNINFO_H

#include "cluster/map.h"
#include "libpq-fe.h"
#include "miscadmin.h"

typedef struct NodeConninfo
{
	const char **keywords;		/* NULL-terminated, for PQconnectStartParams
								 * with expand_dbname = 0 */
	const char **values;
	bool		password_required;	/* the node must have asked for the
									 * password that is given here */
	int			connect_timeout;	/* ms, as the node's conninfo says; 0: it does not */
	uint32		fingerprint;	/* differs when any keyword or value, or "pooled", does */
} NodeConninfo;

/*
 * Raised whenever something that plshard_build_conninfo reads may have changed
 * (maps, servers, user mappings, roles).  A fingerprint that was compared at a
 * generation need not be compared again while that is the current one.  Written by
 * conninfo.c only.
 */
extern uint64 plshard_conninfo_generation;

/* Raises plshard_conninfo_generation. */
extern void plshard_conninfo_outdate(void);

/*
 * Whom a call of the current user connects as: whose mapping is looked up, whose
 * name is the remote user's where nothing names one, and whose connections are used.
 */
static inline Oid
plshard_connection_role(const ClusterMap *map)
{
	return map->options.session_user ? GetSessionUserId() : GetUserId();
}

/*
 * Builds the connection parameters of a node for a user, in the current memory
 * context.  The remote user is the mapping's, or else that of a static cluster's
 * conninfo, or else the user's own name.
 *
 * Errors: 2F003 (as postgres_fdw) where a non-superuser has no password in the
 * mapping and no superuser said password_required 'false': on the mapping, or,
 * where there is no mapping, on the cluster; and in any case on the cluster where
 * the user is the conninfo's.  Clusters without a foreign server have no mappings:
 * there the password is the conninfo's.  42501 where the server forbids an option.
 */
extern void plshard_build_conninfo(const ClusterMap *map, int node, Oid userid,
								   NodeConninfo *result);

/*
 * After the connection is up: errors 2F003 if a password was required and the
 * node did not ask for one.  The caller closes the connection on error.
 */
extern void plshard_check_connection_security(PGconn *conn, const NodeConninfo *info);

/*
 * Checks a conninfo of a cluster of that kind: parses, allowed keywords only.  Of a
 * node of the registry a user is refused, whoever registers it: with
 * password_required 'false' on the server, a user named here would be a way into any
 * role.  A server's partitions may name one, since only a superuser can change a
 * server with that option.  Passwords are for user mappings (also one FOR PUBLIC),
 * where a server has them.  Errors: HV00D or 42601 with a hint, 42501; never shows
 * the text itself.
 */
extern void plshard_validate_conninfo(const char *conninfo, ClusterKind kind);

#endif							/* PLSHARD_CONNINFO_H */
