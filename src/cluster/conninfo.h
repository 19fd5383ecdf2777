/*
 * conninfo.h
 *
 * The parameters of a connection to a node: libpq's keywords from the node's conninfo,
 * the user mapping and our own settings, under the security rules of postgres_fdw.
 */
#ifndef PLSHARD_CONNINFO_H
#define PLSHARD_CONNINFO_H

#include "base/compat.h"
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
	int			connect_timeout;	/* ms, from the node's conninfo; 0: it has none */
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
 * The role of a call of the current user: its user mapping is used, its name is the
 * default of the remote user, and its connections are the ones that the call uses.
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
 * Errors: 2F003 (as postgres_fdw) if a non-superuser has no password in the mapping,
 * unless a superuser has set password_required to false: on the mapping, or, if there
 * is no mapping, on the cluster; and always on the cluster if the user is the
 * conninfo's.  Clusters without a foreign server have no mappings: their password is
 * the conninfo's.  42501 if the server forbids an option.
 */
extern void plshard_build_conninfo(const ClusterMap *map, int node, Oid userid,
								   NodeConninfo *result);

/*
 * Whether a connection that is up may be used: where a password is required, the node must
 * have asked for it.
 */
extern bool plshard_connection_is_secure(PGconn *conn, bool password_required);

/* Raises the error for one that may not (2F003). */
pg_noreturn extern void plshard_refuse_connection(void);

/*
 * Checks that a conninfo of a cluster of that kind can be parsed, and has allowed
 * keywords only.  A node of the registry cannot have a user, also if a superuser
 * registers it: with password_required 'false' on the server, any role could be named.
 * A server's partitions may have one, since only a superuser can change a server with
 * that option.  Passwords belong into user mappings (which may be FOR PUBLIC), if the
 * cluster has a server.  Errors: HV00D or 42601 with a hint, 42501; no message contains
 * the conninfo.
 */
extern void plshard_validate_conninfo(const char *conninfo, ClusterKind kind);

#endif							/* PLSHARD_CONNINFO_H */
