/*
 * connection.c
 *
 * Cached connections to nodes.  The cache and each connection's own memory
 * (context "plshard connection") hang below CacheMemoryContext; libpq's is
 * malloc'ed and freed by plshard_conn_close.  A result that is being handled
 * is kept in the connection, so an error thrown by the handler leaks nothing.
 */
#include "postgres.h"

#include <sys/socket.h>

#include "compat.h"
#include "conninfo.h"
#include "connection.h"
#include "common/pg_prng.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "node_schema.h"
#include "node_settings.h"
#include "remote_error.h"
#include "settings.h"
#include "statements.h"
#include "storage/fd.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

static HTAB *connections = NULL;

static void
log_command(const NodeConn *conn, const char *sql)
{
	if (plshard_log_remote_commands)
		ereport(NOTICE, (errmsg_internal("node %s: %s", conn->node_name, sql)));
}

/* Frees what libpq holds; the entry's own fields are left to the caller. */
static void
release_pg(NodeConn *conn)
{
	if (conn->result)
	{
		PQclear(conn->result);
		conn->result = NULL;
	}
	if (conn->pg)
	{
		plshard_wait_forget(conn->fd);
		conn->fd = PGINVALID_SOCKET;
		PQfinish(conn->pg);
		conn->pg = NULL;
		ReleaseExternalFD();
	}
	conn->npending = 0;
	conn->pending_head = 0;
	conn->unsent = false;
	conn->notices = NULL;
	conn->statements = NULL;	/* went with the context, or will */
	conn->nstatements = 0;
	conn->last_found = NULL;
	dlist_init(&conn->lru);
	conn->release_call = 0;
	plshard_conn_forget_settings(conn);
}

/* A remote transaction that ends with its connection, unless it was idle. */
static void
lose_xact(NodeConn *conn)
{
	if (conn->xact_depth > 0)
		conn->xact_lost = true;
	conn->xact_depth = 0;
}

void
plshard_conn_close(NodeConn *conn)
{
	release_pg(conn);
	lose_xact(conn);
	conn->state = CONN_CLOSED;
}

void
plshard_conn_set_lost(NodeConn *conn, int sqlstate, const char *message)
{
	char	   *copy = MemoryContextStrdup(conn->context, message);

	release_pg(conn);
	lose_xact(conn);
	conn->state = CONN_LOST;
	conn->sqlstate = sqlstate;
	conn->message = copy;
}

/* Lost as libpq tells it. */
static void
lost_by_libpq(NodeConn *conn)
{
	char	   *message = plshard_connection_message(conn->pg);

	if (conn->state == CONN_CONNECTING)
	{
		/* a new connection that fails without an answer is as good as a probe */
		conn->refused = plshard_server_answered(conn->pg);
		conn->condemned = !conn->refused && plshard_connection_sqlstate(conn->pg) == 0;
	}
	plshard_conn_set_lost(conn, plshard_connection_sqlstate(conn->pg), message);
	pfree(message);
}

/* Keeps a notice of a call until libpq has returned. */
static void
receive_notice(void *arg, const PGresult *result)
{
	NodeConn   *conn = arg;
	const Pending *p = &conn->pending[conn->pending_head];
	RemoteNotice *notice;
	RemoteNotice **end;

	/* a warning that tells of no harm to the node itself, but to what it has promised */
	if (plshard_error_is_from(result, "SyncRepWaitForLSN"))
		conn->sync_wait_cancelled = true;
	if (conn->npending == 0 || p->notices_for == NULL || p->owner == NULL)
		return;
	notice = plshard_copy_notice(conn->context, result, p->notices_for);
	if (notice == NULL)
		return;
	for (end = &conn->notices; *end; end = &(*end)->next)
		;
	*end = notice;
}

static void
report_notices(NodeConn *conn)
{
	while (conn->notices)
	{
		RemoteNotice *notice = conn->notices;

		conn->notices = notice->next;
		plshard_report_notice(notice, conn->node_name);
	}
}

/* Connections that were made together do not end together. */
static bool
is_too_old(const NodeConn *conn, const ClusterMap *map)
{
	return plshard_clock() - conn->connected_at >
		(Deadline) (map->options.connection_lifetime * 1000000.0 * conn->lifetime_jitter);
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
		conn->state = CONN_CLOSED;
		conn->fd = PGINVALID_SOCKET;
		dlist_init(&conn->lru);
	}

	if (conn->state != CONN_READY || conn->xact_depth > 0 || plshard_conn_awaited(conn))
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

	Assert(conn->pg == NULL);
	plshard_build_conninfo(map, node, conn->key.userid, &info);

	MemoryContextReset(conn->context);
	conn->message = NULL;
	conn->base_path = NULL;
	conn->settled_rows = NULL;
	conn->nsettled_rows = 0;
	conn->epoch_sequence = NULL;
	if (!plshard_is_static(map))
	{
		char	   *sequence = plshard_epoch_sequence(map);

		conn->epoch_sequence = MemoryContextStrdup(conn->context, sequence);
		pfree(sequence);
	}
	conn->pending = NULL;
	conn->pending_size = 0;
	strlcpy(conn->node_name, map->nodes[node].name, NAMEDATALEN);
	conn->fingerprint = info.fingerprint;
	conn->password_required = info.password_required;
	conn->connect_timeout = info.connect_timeout > 0 ? info.connect_timeout :
		plshard_connect_timeout(&map->options);
	conn->pooled = map->options.pooled;
	conn->checked_generation = generation;
	conn->used_before = false;
	conn->condemned = false;
	conn->refused = false;
	conn->sqlstate = 0;
	conn->xact_depth = 0;
	conn->notices = NULL;
	conn->last_heard = conn->connected_at = plshard_clock();
	conn->lifetime_jitter = 0.8 + 0.2 * pg_prng_double(&pg_global_prng_state);

	if (!AcquireExternalFD())
	{
		conn->state = CONN_CLOSED;
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("could not connect to node \"%s\": this session has too many open files and connections",
						conn->node_name),
				 errhint("Raise max_files_per_process on the front, or use fewer nodes in one session.")));
	}
	conn->pg = PQconnectStartParams(info.keywords, info.values, 0);
	if (conn->pg == NULL)
	{
		ReleaseExternalFD();
		plshard_conn_set_lost(conn, 0, "out of memory");
		return;
	}
	PQsetErrorVerbosity(conn->pg, PQERRORS_VERBOSE);
	PQsetNoticeReceiver(conn->pg, receive_notice, conn);
	conn->state = CONN_CONNECTING;
	conn->poll_events = WL_SOCKET_WRITEABLE;
	if (PQstatus(conn->pg) == CONNECTION_BAD)
		lost_by_libpq(conn);
}

/* Makes room for the entries of the commands that are sent next: it may throw. */
static void
reserve_pending(NodeConn *conn, int n)
{
	int			size = Max(conn->pending_size * 2, 16);
	Pending    *ring;

	if (conn->npending + n <= conn->pending_size)
		return;
	ring = MemoryContextAlloc(conn->context, size * sizeof(Pending));
	for (int i = 0; i < conn->npending; i++)
		ring[i] = conn->pending[(conn->pending_head + i) % conn->pending_size];
	if (conn->pending)
		pfree(conn->pending);
	conn->pending = ring;
	conn->pending_size = size;
	conn->pending_head = 0;
}

static Pending *
push_pending(NodeConn *conn, PendingKind kind, void *owner, int number, bool row_mode)
{
	Pending    *p;

	Assert(conn->npending < conn->pending_size);
	p = &conn->pending[(conn->pending_head + conn->npending) % conn->pending_size];
	memset(p, 0, sizeof(*p));
	p->kind = kind;
	p->owner = owner;
	p->number = number;
	p->row_mode = row_mode;
	conn->npending++;
	return p;
}

static void
pop_pending(NodeConn *conn)
{
	Assert(conn->npending > 0);
	conn->pending_head = (conn->pending_head + 1) % conn->pending_size;
	conn->npending--;
}

bool
plshard_conn_awaited(const NodeConn *conn)
{
	for (int i = 0; i < conn->npending; i++)
	{
		if (conn->pending[(conn->pending_head + i) % conn->pending_size].owner)
			return true;
	}
	return false;
}

bool
plshard_conn_waits_for_lock(const NodeConn *conn)
{
	for (int i = 0; i < conn->npending; i++)
	{
		if (conn->pending[(conn->pending_head + i) % conn->pending_size].kind == PENDING_LOCK_WAIT)
			return true;
	}
	return false;
}

void
plshard_conn_pass_notices(NodeConn *conn, const char *function_name)
{
	if (conn->npending > 0)
		conn->pending[(conn->pending_head + conn->npending - 1) % conn->pending_size].notices_for =
			function_name;
}

static void
close_if_gone(NodeConn *conn, void *arg)
{
	const ClusterMap *map = arg;

	if (conn->key.cluster == map->ref && conn->state == CONN_READY && conn->xact_depth == 0 &&
		conn->in_use == 0 && plshard_cluster_node_by_id(map, conn->key.node_id) < 0)
		plshard_conn_close(conn);
}

void
plshard_conn_close_others(const ClusterMap *map)
{
	plshard_conn_each(close_if_gone, unconstify(ClusterMap *, map));
}

static void
ignore_result(NodeConn *conn, Pending *pending, PGresult *result, void *arg)
{
}

void
plshard_conn_settle(NodeConn *conn)
{
	for (int i = 0; i < conn->npending; i++)
		conn->pending[(conn->pending_head + i) % conn->pending_size].notices_for = NULL;
	conn->notices = NULL;
	if (conn->state == CONN_READY && plshard_conn_awaited(conn))
		plshard_conn_advance(conn, ignore_result, NULL);
	if (conn->state == CONN_CONNECTING ||
		(conn->state == CONN_READY && plshard_conn_awaited(conn)))
		plshard_conn_close(conn);
	conn->in_use = 0;
}

static void
become_ready(NodeConn *conn)
{
	const char *encoding = PQparameterStatus(conn->pg, "server_encoding");

	conn->same_encoding = encoding && strcmp(encoding, GetDatabaseEncodingName()) == 0;
	plshard_init_statements(conn);
	conn->state = CONN_READY;
}

/* The handshake is done: pipeline mode, and our settings. */
static void
begin_setup(NodeConn *conn)
{
	NodeConninfo info = {0};
	char	   *sql;

	info.password_required = conn->password_required;
	PG_TRY();
	{
		plshard_check_connection_security(conn->pg, &info);
	}
	PG_CATCH();
	{
		plshard_conn_close(conn);
		PG_RE_THROW();
	}
	PG_END_TRY();

	if (PQsetnonblocking(conn->pg, 1) != 0 || !PQenterPipelineMode(conn->pg))
	{
		lost_by_libpq(conn);
		return;
	}
	conn->poll_events = 0;
	if (conn->pooled)
	{
		conn->has_schema = true;	/* only static clusters are */
		conn->other_server = false;
		become_ready(conn);
		return;
	}
	sql = plshard_conn_setup_command(conn);
	conn->date_order = DateOrder;
	conn->changed_date_order = false;
	plshard_conn_send_plain(conn, sql, PENDING_SETUP, NULL, 0, false);
	pfree(sql);
	plshard_conn_send_sync(conn, NULL);
}

static void
finish_setup(NodeConn *conn, const PGresult *result)
{
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
	{
		plshard_conn_set_lost(conn, plshard_result_sqlstate(result),
							  PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) ?
							  PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) :
							  "could not set up the session");
		return;
	}
	conn->base_path = MemoryContextStrdup(conn->context, PQgetvalue(result, 0, 0));
	conn->has_schema = PQgetvalue(result, 0, 1)[0] == 't';
	conn->other_server = PQgetvalue(result, 0, 2)[0] == 'f';	/* not where it is not known */
	plshard_conn_forget_settings(conn);
	conn->path_shard = PATH_BASE;
	conn->statement_timeout = 0;
	conn->read_only = READ_ONLY_ON;
	conn->was_writable = false;
	conn->writes_in_a_row = 0;
	become_ready(conn);
}

/* An error result whose connection ends with it. */
static bool
is_fatal(const PGresult *result)
{
	const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);

	return severity && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0);
}

static void
receive(NodeConn *conn, ResultHandler handler, void *arg)
{
	/* what a node said last may still be in libpq's buffer: read on */
	bool		broken = !PQconsumeInput(conn->pg);

	conn->last_heard = plshard_clock();
	while (conn->npending > 0)
	{
		Pending    *p = &conn->pending[conn->pending_head];
		ExecStatusType status;

		if (p->row_mode && !p->row_mode_set)
		{
			plshard_set_row_mode(conn->pg);
			p->row_mode_set = true;
		}
		if (PQisBusy(conn->pg))
		{
			if (broken)
				lost_by_libpq(conn);
			return;
		}

		conn->result = PQgetResult(conn->pg);
		if (conn->result == NULL)
		{
			if (!p->answered)
			{
				lost_by_libpq(conn);
				return;
			}
			if (p->kind == PENDING_SYNC)
				p->answered = false;	/* what failed at the very end comes before it */
			else
				pop_pending(conn);
			continue;
		}
		status = PQresultStatus(conn->result);
		report_notices(conn);

		if (status == PGRES_FATAL_ERROR && is_fatal(conn->result))
		{
			char	   *message = pstrdup(PQresultErrorField(conn->result, PG_DIAG_MESSAGE_PRIMARY));

			plshard_conn_set_lost(conn, plshard_result_sqlstate(conn->result), message);
			pfree(message);
			return;
		}
		if (PQstatus(conn->pg) == CONNECTION_BAD)
		{
			lost_by_libpq(conn);
			return;
		}

		if (status == PGRES_FATAL_ERROR)
			plshard_conn_forget_settings(conn);
		if (p->kind == PENDING_SETUP)
		{
			finish_setup(conn, conn->result);
			if (conn->state == CONN_LOST)
				return;
		}
		if (p->kind == PENDING_PREPARE && p->statement)
		{
			plshard_statement_answered(conn, p->statement, status == PGRES_COMMAND_OK);
			p->statement = NULL;
		}

		if (status == PGRES_PIPELINE_SYNC)
		{
			Pending		sync = *p;

			Assert(p->kind == PENDING_SYNC);
			pop_pending(conn);	/* no NULL follows */
			if (sync.owner)
				handler(conn, &sync, conn->result, arg);
		}
		else
		{
			p->answered = true;
			if (p->owner)
				handler(conn, p, conn->result, arg);
		}
		/* the handler may have closed the connection */
		if (conn->result)
		{
			PQclear(conn->result);
			conn->result = NULL;
		}
		if (conn->state != CONN_READY && conn->state != CONN_CONNECTING)
			return;
	}
	if (broken)
		lost_by_libpq(conn);
}

void
plshard_conn_advance(NodeConn *conn, ResultHandler handler, void *arg)
{
	if (conn->state == CONN_CONNECTING && conn->poll_events != 0)
	{
		switch (PQconnectPoll(conn->pg))
		{
			case PGRES_POLLING_READING:
				conn->poll_events = WL_SOCKET_READABLE;
				return;
			case PGRES_POLLING_WRITING:
				conn->poll_events = WL_SOCKET_WRITEABLE;
				return;
			case PGRES_POLLING_OK:
				begin_setup(conn);
				return;
			default:
				lost_by_libpq(conn);
				return;
		}
	}
	if (conn->state != CONN_READY && conn->state != CONN_CONNECTING)
		return;

	if (conn->result)
	{
		/* left by an error in the handler */
		PQclear(conn->result);
		conn->result = NULL;
	}
	if (conn->unsent)
	{
		int			rc = PQflush(conn->pg);

		if (rc < 0)
		{
			lost_by_libpq(conn);
			return;
		}
		conn->unsent = rc > 0;
	}
	receive(conn, handler, arg);
}

void
plshard_conn_look(NodeConn *conn)
{
	char		byte;

	if (conn->state != CONN_READY ||
		(recv(PQsocket(conn->pg), &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
		 (errno == EAGAIN || errno == EWOULDBLOCK)))
		return;
	/* its last words, then the end */
	plshard_conn_advance(conn, ignore_result, NULL);
	plshard_conn_advance(conn, ignore_result, NULL);
}

uint32
plshard_conn_events(NodeConn *conn)
{
	if (conn->state == CONN_CONNECTING && conn->poll_events != 0)
		return conn->poll_events;
	if (conn->state != CONN_READY && conn->state != CONN_CONNECTING)
		return 0;
	return (conn->npending > 0 ? WL_SOCKET_READABLE : 0) |
		(conn->unsent ? WL_SOCKET_WRITEABLE : 0);
}

bool
plshard_conn_needs_text(NodeConn *conn, uint64 id, int64 shard_id)
{
	return plshard_log_remote_commands || plshard_find_statement(conn, id, shard_id) == NULL;
}

/*
 * Makes room for one more prepared statement by deallocating the oldest.  Those
 * that are on their way stay: there may be more than the limit until they are
 * known.
 */
static void
make_room(NodeConn *conn)
{
	while (conn->nstatements >= plshard_max_prepared_statements && conn->state == CONN_READY)
	{
		PreparedStatement *oldest = plshard_oldest_statement(conn);
		char		sql[64];

		if (!oldest->prepared)
			return;
		snprintf(sql, sizeof(sql), "DEALLOCATE %s", oldest->name);
		plshard_remove_statement(conn, oldest);
		plshard_conn_send_plain(conn, sql, PENDING_SETTING, NULL, 0, false);
	}
}

/* Queues that a statement be prepared; NULL where the connection is lost. */
static PreparedStatement *
prepare(NodeConn *conn, uint64 id, int64 shard_id, const char *sql,
		int nparams, const Oid *types, void *owner, int number)
{
	PreparedStatement *statement;

	/* our own few come before all else in a transaction, where DEALLOCATE may not */
	if (id >= FIRST_FUNCTION_QUERY || shard_id != NO_SHARD)
		make_room(conn);
	if (conn->state != CONN_READY)
		return NULL;
	reserve_pending(conn, 1);
	statement = plshard_enter_statement(conn, id, shard_id);
	if (!PQsendPrepare(conn->pg, statement->name, sql, nparams, types))
	{
		lost_by_libpq(conn);
		return NULL;
	}
	push_pending(conn, PENDING_PREPARE, owner, number, false)->statement = statement;
	return statement;
}

static void
send_unnamed(NodeConn *conn, const char *sql, int nparams, const Oid *types,
			 const RemoteParams *params, int result_format, PendingKind kind,
			 void *owner, int number, bool row_mode)
{
	reserve_pending(conn, 1);
	if (!PQsendQueryParams(conn->pg, sql, nparams, types,
						   params ? params->values : NULL,
						   params ? params->lengths : NULL,
						   params ? params->formats : NULL,
						   result_format))
	{
		lost_by_libpq(conn);
		return;
	}
	push_pending(conn, kind, owner, number, row_mode);
}

void
plshard_conn_send_prepared(NodeConn *conn, uint64 id, int64 shard_id, const char *sql,
						   int nparams, const Oid *types, const RemoteParams *params,
						   int result_format, PendingKind kind,
						   void *owner, int number, bool row_mode)
{
	PreparedStatement *statement;
	bool		reused;

	if (conn->state != CONN_READY)
		return;
	log_command(conn, sql);
	if (conn->pooled)
	{
		send_unnamed(conn, sql, nparams, types, params, result_format, kind, owner, number, row_mode);
		return;
	}

	statement = plshard_find_statement(conn, id, shard_id);
	if (statement == NULL && shard_id != NO_SHARD && plshard_conn_is_full(conn))
	{
		shard_id = NO_SHARD;
		statement = plshard_find_statement(conn, id, shard_id);
	}
	reused = statement != NULL;
	if (statement == NULL)
	{
		statement = prepare(conn, id, shard_id, sql, nparams, types, owner, number);
		if (statement == NULL)
			return;
	}
	plshard_use_statement(conn, statement);

	reserve_pending(conn, 1);
	if (!PQsendQueryPrepared(conn->pg, statement->name, nparams,
							 params ? params->values : NULL,
							 params ? params->lengths : NULL,
							 params ? params->formats : NULL,
							 result_format))
	{
		lost_by_libpq(conn);
		return;
	}
	push_pending(conn, kind, owner, number, row_mode)->reused = reused;
}

void
plshard_conn_send_plain(NodeConn *conn, const char *sql, PendingKind kind,
						void *owner, int number, bool row_mode)
{
	if (conn->state != CONN_READY && conn->state != CONN_CONNECTING)
		return;
	if (kind != PENDING_SETUP && kind != PENDING_LOOK)
		log_command(conn, sql);
	send_unnamed(conn, sql, 0, NULL, NULL, 0, kind, owner, number, row_mode);
}

void
plshard_conn_send_flush(NodeConn *conn)
{
	/* goes out with what follows it */
	if (conn->state == CONN_READY && !PQsendFlushRequest(conn->pg))
		lost_by_libpq(conn);
}

void
plshard_conn_send_sync(NodeConn *conn, void *owner)
{
	int			rc;

	if (conn->state != CONN_READY && conn->state != CONN_CONNECTING)
		return;
	reserve_pending(conn, 1);
	if (!PQpipelineSync(conn->pg) || (rc = PQflush(conn->pg)) < 0)
	{
		lost_by_libpq(conn);
		return;
	}
	conn->unsent = rc > 0;
	push_pending(conn, PENDING_SYNC, owner, 0, false);
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
