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
#include "connection/connection.h"
#include "connection/node_settings.h"
#include "connection/pipeline.h"
#include "connection/remote_error.h"
#include "connection/statements.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

static HTAB *connections = NULL;

/* Frees what libpq holds; the entry's own fields are left to the caller. */
static void
release_pg(NodeConn *conn)
{
	if (conn->io.result)
	{
		PQclear(conn->io.result);
		conn->io.result = NULL;
	}
	if (conn->io.copied)
	{
		PQfreemem(conn->io.copied);
		conn->io.copied = NULL;
	}
	if (conn->io.pg)
	{
		plshard_wait_forget(conn->io.fd);
		conn->io.fd = PGINVALID_SOCKET;
		PQfinish(conn->io.pg);
		conn->io.pg = NULL;
		ReleaseExternalFD();
	}
	conn->io.npending = 0;
	conn->io.pending_head = 0;
	conn->io.unsent = false;
	conn->io.notices = NULL;
	conn->session.statements = NULL;	/* went with the context, or will */
	conn->session.nstatements = 0;
	conn->session.last_found = NULL;
	dlist_init(&conn->session.lru);
	conn->xact.release_call = 0;
	plshard_conn_forget_settings(conn);
}

/* A remote transaction that ends with its connection, unless it was idle. */
static void
lose_xact(NodeConn *conn)
{
	if (conn->xact.depth > 0)
		conn->xact.lost = true;
	conn->xact.depth = 0;
}

void
plshard_conn_close(NodeConn *conn)
{
	release_pg(conn);
	lose_xact(conn);
	conn->io.state = CONN_CLOSED;
}

void
plshard_conn_set_lost(NodeConn *conn, int sqlstate, const char *message)
{
	char	   *copy = MemoryContextStrdup(conn->context, message);

	release_pg(conn);
	lose_xact(conn);
	conn->io.state = CONN_LOST;
	conn->io.sqlstate = sqlstate;
	conn->io.message = copy;
}

void
plshard_conn_lost_by_libpq(NodeConn *conn)
{
	char	   *message = plshard_connection_message(conn->io.pg);

	if (conn->io.state == CONN_CONNECTING)
	{
		/* a new connection that fails without an answer is as good as a probe */
		conn->io.refused = plshard_server_answered(conn->io.pg);
		conn->io.condemned = !conn->io.refused && plshard_connection_sqlstate(conn->io.pg) == 0;
	}
	plshard_conn_set_lost(conn, plshard_connection_sqlstate(conn->io.pg), message);
	pfree(message);
}

/* Keeps a notice of a call until libpq has returned. */
static void
receive_notice(void *arg, const PGresult *result)
{
	NodeConn   *conn = arg;
	const Pending *p = &conn->io.pending[conn->io.pending_head];
	RemoteNotice *notice;
	RemoteNotice **end;

	/* a warning that tells of no harm to the node itself, but to what it has promised */
	if (plshard_error_is_from(result, "SyncRepWaitForLSN"))
		conn->session.sync_wait_cancelled = true;
	if (conn->io.npending == 0 || p->notices_for == NULL || p->owner == NULL)
		return;
	notice = plshard_copy_notice(conn->context, result, p->notices_for);
	if (notice == NULL)
		return;
	for (end = &conn->io.notices; *end; end = &(*end)->next)
		;
	*end = notice;
}

/* Connections that were made together do not end together. */
static bool
is_too_old(const NodeConn *conn, const ClusterMap *map)
{
	return plshard_clock() - conn->io.connected_at >
		(Deadline) (map->options.connection_lifetime * 1000000.0 * conn->lifetime_jitter);
}

static void
close_if_gone(NodeConn *conn, void *arg)
{
	const ClusterMap *map = arg;

	if (conn->key.cluster == map->ref && conn->io.state == CONN_READY && conn->xact.depth == 0 &&
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
	if (conn->io.state != CONN_READY || conn->xact.depth > 0 || conn->in_use != 0 ||
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
	conn->session.resolved_rows = NULL;
	conn->session.nresolved_rows = 0;
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
	conn->xact.depth = 0;
	conn->io.notices = NULL;
	conn->io.last_heard = conn->io.connected_at = plshard_clock();
	conn->lifetime_jitter = 0.8 + 0.2 * pg_prng_double(&pg_global_prng_state);

	if (!AcquireExternalFD())
	{
		conn->io.state = CONN_CLOSED;
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("could not connect to node \"%s\": this session has too many open files and connections",
						conn->node_name),
				 errhint("Raise max_files_per_process on the front, or use fewer nodes in one session.")));
	}
	conn->io.pg = PQconnectStartParams(info.keywords, info.values, 0);
	if (conn->io.pg == NULL)
	{
		ReleaseExternalFD();
		plshard_conn_set_lost(conn, 0, "out of memory");
		return;
	}
	PQsetErrorVerbosity(conn->io.pg, PQERRORS_VERBOSE);
	PQsetNoticeReceiver(conn->io.pg, receive_notice, conn);
	conn->io.state = CONN_CONNECTING;
	conn->io.poll_events = WL_SOCKET_WRITEABLE;
	if (PQstatus(conn->io.pg) == CONNECTION_BAD)
		plshard_conn_lost_by_libpq(conn);
}

static void
become_ready(NodeConn *conn)
{
	const char *encoding = PQparameterStatus(conn->io.pg, "server_encoding");

	conn->session.same_encoding = encoding && strcmp(encoding, GetDatabaseEncodingName()) == 0;
	plshard_init_statements(conn);
	conn->io.state = CONN_READY;
}

void
plshard_conn_begin_setup(NodeConn *conn)
{
	NodeConninfo info = {0};
	char	   *sql;

	info.password_required = conn->io.password_required;
	PG_TRY();
	{
		plshard_check_connection_security(conn->io.pg, &info);
	}
	PG_CATCH();
	{
		plshard_conn_close(conn);
		PG_RE_THROW();
	}
	PG_END_TRY();

	if (PQsetnonblocking(conn->io.pg, 1) != 0 || !PQenterPipelineMode(conn->io.pg))
	{
		plshard_conn_lost_by_libpq(conn);
		return;
	}
	conn->io.poll_events = 0;
	if (conn->session.pooled)
	{
		conn->session.has_schema = true;	/* only static clusters are */
		conn->session.other_server = false;
		become_ready(conn);
		return;
	}
	sql = plshard_conn_setup_command(conn);
	conn->session.date_order = DateOrder;
	conn->session.changed_date_order = false;
	plshard_conn_send_plain(conn, sql, PENDING_SETUP, NULL, 0, false);
	pfree(sql);
	plshard_conn_send_sync(conn, NULL);
}

void
plshard_conn_finish_setup(NodeConn *conn, const PGresult *result)
{
	if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != 1 || PQnfields(result) < 5)
	{
		plshard_conn_set_lost(conn, plshard_result_sqlstate(result),
							  PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) ?
							  PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) :
							  "could not set up the session");
		return;
	}
	conn->session.base_path = MemoryContextStrdup(conn->context, PQgetvalue(result, 0, 0));
	conn->session.has_schema = PQgetvalue(result, 0, 1)[0] == 't';
	conn->session.other_server = PQgetvalue(result, 0, 2)[0] == 'f';	/* not where it is not known */
	conn->session.lock_types[0] = atooid(PQgetvalue(result, 0, 3));
	conn->session.lock_types[1] = atooid(PQgetvalue(result, 0, 4));
	plshard_conn_forget_settings(conn);
	conn->session.path_shard = PATH_BASE;
	conn->session.statement_timeout = 0;
	conn->session.read_only = READ_ONLY_ON;
	conn->session.was_writable = false;
	conn->session.writes_in_a_row = 0;
	become_ready(conn);
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
