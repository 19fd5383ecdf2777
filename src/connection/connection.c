/*
 * connection.c
 *
 * Cached connections to nodes.  The cache and each connection's own memory
 * (context "plshard connection") hang below CacheMemoryContext; libpq's is
 * malloc'ed and freed by plshard_conn_close.
 */
#include "postgres.h"

#include "base/compat.h"
#include "base/settings.h"
#include "cluster/cluster.h"
#include "cluster/conninfo.h"
#include "cluster/node_schema.h"
#include "common/pg_prng.h"
#include "connection/connect.h"
#include "connection/connection.h"
#include "connection/remote_error.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

static HTAB *connections = NULL;

/* Keeps a notice of a call until libpq has returned. */
static void
receive_notice(void *arg, const PGresult *result)
{
	NodeConn   *conn = arg;
	const Pending *p = &conn->io.pending[conn->io.pending_head];
	RemoteNotice *notice;

	/* the node has committed, but did not wait for its standby server */
	if (plshard_error_is_from(result, "SyncRepWaitForLSN"))
		conn->session.sync_wait_cancelled = true;
	if (conn->io.npending == 0)
	{
		/* libpq's own complaints have no SQLSTATE */
		if (PQresultErrorField(result, PG_DIAG_SQLSTATE) == NULL)
			conn->io.surplus = ERRCODE_PROTOCOL_VIOLATION;
		else if (plshard_error_is_fatal(result))
			conn->io.surplus = plshard_result_sqlstate(result);
		return;
	}
	if (p->notices_for == NULL || p->owner == NULL)
		return;
	if (conn->io.notices == NULL)
		conn->io.notices_size = 0;
	else if (conn->io.notices_size > NOTICES_LIMIT)
		return;
	notice = plshard_copy_notice(conn->context, result, p->notices_for);
	if (notice == NULL)
		return;
	conn->io.notices_size += notice->size;
	if (conn->io.notices == NULL)
		conn->io.notices = notice;
	else
		conn->io.last_notice->next = notice;
	conn->io.last_notice = notice;
}

/* Whether its lifetime is over.  Connections that were made together do not end together. */
static bool
is_too_old(const NodeConn *conn, const ClusterMap *map)
{
	return plshard_clock() - conn->io.connected_at >
		(Deadline) (map->options.connection_lifetime * 1000000.0 * conn->lifetime_jitter);
}

/* For plshard_conn_each: closes an idle connection to a node that its cluster no longer has. */
static void
close_if_gone(NodeConn *conn, void *arg)
{
	const ClusterMap *map = arg;

	if (conn->key.cluster == map->ref && conn->io.state == CONN_READY && !plshard_xact_is_open(conn) &&
		conn->in_use == 0 && plshard_cluster_node_by_id(map, conn->key.node_id) < 0)
		plshard_conn_close(conn);
}

/* Closes idle connections to nodes that are no longer in the map of their cluster. */
static void
close_others(const ClusterMap *map)
{
	plshard_conn_each(close_if_gone, unconstify(ClusterMap *, map));
}

NodeConn *
plshard_conn_get(const ClusterMap *map, int node, int slot)
{
	return plshard_conn_get_as(map, node, plshard_connection_role(map), slot);
}

NodeConn *
plshard_conn_get_as(const ClusterMap *map, int node, Oid userid, int slot)
{
	NodeConnKey key;
	NodeConn   *conn;
	bool		found;

	if (connections == NULL)
	{
		HASHCTL		ctl = {0};

		ctl.keysize = sizeof(NodeConnKey);
		ctl.entrysize = sizeof(NodeConn);
		ctl.hcxt = CacheMemoryContext;
		connections = hash_create("plshard connections", 32, &ctl,
								  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
		plshard_on_new_nodes(close_others);
	}

	memset(&key, 0, sizeof(key));
	key.cluster = map->ref;
	key.node_id = map->nodes[node].id;
	key.userid = userid;
	key.slot = slot;
	conn = hash_search(connections, &key, HASH_ENTER, &found);
	if (!found)
	{
		memset((char *) conn + sizeof(NodeConnKey), 0, sizeof(NodeConn) - sizeof(NodeConnKey));
		conn->context = AllocSetContextCreate(CacheMemoryContext, "plshard connection",
											  ALLOCSET_SMALL_SIZES);
		conn->io.state = CONN_CLOSED;
		conn->io.fd = PGINVALID_SOCKET;
		dlist_init(&conn->session.lru);
	}

	/* one in use may have nothing on its way between two COPYs */
	if (conn->io.state != CONN_READY || plshard_xact_is_open(conn) || conn->in_use != 0 ||
		plshard_conn_awaited(conn))
		return conn;
	if (map->options.connection_lifetime > 0 && is_too_old(conn, map))
		plshard_conn_close(conn);
	else if (conn->checked_generation != plshard_conninfo_generation)
	{
		uint64		generation = plshard_conninfo_generation;
		NodeConninfo info;

		plshard_build_conninfo(map, node, key.userid, &info);
		if (info.fingerprint != conn->fingerprint)
			plshard_conn_close(conn);
		else
			conn->checked_generation = generation;
	}
	return conn;
}

void
plshard_conn_start(NodeConn *conn, const ClusterMap *map, int node)
{
	NodeConninfo info;
	uint64		generation = plshard_conninfo_generation;

	Assert(conn->io.pg == NULL);
	plshard_build_conninfo(map, node, conn->key.userid, &info);

	MemoryContextReset(conn->context);
	conn->io.message = NULL;
	conn->session.base_path = NULL;
	conn->resolved_rows = NULL;
	conn->session.epoch_sequence = NULL;
	if (map->has_epoch)
	{
		char	   *sequence = plshard_epoch_sequence(map);

		conn->session.epoch_sequence = MemoryContextStrdup(conn->context, sequence);
		pfree(sequence);
	}
	conn->io.pending = NULL;
	conn->io.pending_size = 0;
	strlcpy(conn->node_name, map->nodes[node].name, NAMEDATALEN);
	conn->fingerprint = info.fingerprint;
	conn->io.password_required = info.password_required;
	conn->io.connect_timeout = info.connect_timeout > 0 ? info.connect_timeout :
		plshard_connect_timeout(&map->options);
	conn->session.pooled = map->options.pooled;
	conn->checked_generation = generation;
	conn->io.used_before = false;
	conn->io.condemned = false;
	conn->io.refused = false;
	conn->io.sqlstate = 0;
	conn->io.notices = NULL;
	conn->io.last_heard = conn->io.connected_at = plshard_clock();
	conn->lifetime_jitter = 0.8 + 0.2 * pg_prng_double(&pg_global_prng_state);

	conn->io.state = CONN_CLOSED;
	conn->io.pg = plshard_connect_start(&info, conn->node_name);
	PQsetNoticeReceiver(conn->io.pg, receive_notice, conn);
	conn->io.state = CONN_CONNECTING;
	conn->io.poll_events = WL_SOCKET_WRITEABLE;
	if (PQstatus(conn->io.pg) == CONNECTION_BAD)
		plshard_conn_lost_by_libpq(conn);
}

void
plshard_conn_each(void (*visit) (NodeConn *conn, void *arg), void *arg)
{
	HASH_SEQ_STATUS status;
	NodeConn   *conn;

	if (connections == NULL)
		return;
	hash_seq_init(&status, connections);
	while ((conn = hash_seq_search(&status)) != NULL)
		visit(conn, arg);
}
