/*
 * bare.c
 *
 * Functions of a front that call the same function on a node, and do the least that any
 * such function can: what they cost no procedural language can do without.  A session has
 * one connection to each node, on which both calls are prepared; the key's hash chooses the
 * node; parameters and results are binary; and the wait is one that ends when the session
 * shall.  Nothing is routed by a map, locked, compared, tried again or cleaned up: after an
 * error the session is of no more use.
 *
 *	bare_get(k int), bare_put(k int, v int)				by all nodes
 *	bare_get_one(k int), bare_put_one(k int, v int)		by the first node
 *
 * The nodes' connection strings are in setting bare.nodes, with ';' between them.
 */
#include "postgres.h"

#include "base/compat.h"
#include "catalog/pg_type_d.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "libpq-fe.h"
#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "storage/fd.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

PG_MODULE_MAGIC;

#define MAX_NODES 16

typedef struct BareNode
{
	const char *conninfo;
	PGconn	   *conn;			/* NULL: not connected yet */
	WaitEventSet *set;
} BareNode;

/* Those that the setting named when the session made its first call. */
static BareNode nodes[MAX_NODES];
static int	nnodes = 0;
static char *setting = NULL;

void
_PG_init(void)
{
	DefineCustomStringVariable("bare.nodes", "Connection strings of the nodes, with ';' between them.",
							   NULL, &setting, "", PGC_SUSET, 0, NULL, NULL, NULL);
	MarkGUCPrefixReserved("bare");
}

static void
read_setting(void)
{
	char	   *list = MemoryContextStrdup(TopMemoryContext, setting);
	int			n = 0;

	for (char *one = strtok(list, ";"); one != NULL; one = strtok(NULL, ";"))
	{
		if (n == MAX_NODES)
			elog(ERROR, "too many nodes in bare.nodes");
		nodes[n++].conninfo = one;
	}
	if (n == 0)
		elog(ERROR, "no nodes in bare.nodes");
	nnodes = n;
}

static void
prepare(PGconn *conn, const char *name, const char *sql, int nargs)
{
	Oid			types[2] = {INT4OID, INT4OID};
	PGresult   *result = PQprepare(conn, name, sql, nargs, types);

	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		elog(ERROR, "prepare: %s", PQerrorMessage(conn));
	PQclear(result);
}

static void
connect_node(BareNode *node)
{
	PGconn	   *conn = PQconnectdb(node->conninfo);

	if (PQstatus(conn) != CONNECTION_OK)
		elog(ERROR, "connect: %s", PQerrorMessage(conn));
	ReserveExternalFD();
	prepare(conn, "get", "SELECT get($1)", 1);
	prepare(conn, "put", "SELECT put($1, $2)", 2);
	node->set = plshard_create_wait_event_set(3);
	AddWaitEventToSet(node->set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(node->set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(node->set, WL_SOCKET_READABLE, PQsocket(conn), NULL, NULL);
	node->conn = conn;
}

static PGresult *
next_result(BareNode *node)
{
	while (PQisBusy(node->conn))
	{
		WaitEvent	event;

		WaitEventSetWait(node->set, -1, &event, 1, PG_WAIT_EXTENSION);
		if (event.events & WL_LATCH_SET)
		{
			ResetLatch(MyLatch);
			CHECK_FOR_INTERRUPTS();
		}
		else if (!PQconsumeInput(node->conn))
			elog(ERROR, "answer: %s", PQerrorMessage(node->conn));
	}
	return PQgetResult(node->conn);
}

/* Calls the function on one of the first n nodes. */
static int32
call(int n, const char *function, int nargs, int32 key, int32 value)
{
	BareNode   *node = &nodes[n == 1 ? 0 : murmurhash32(key) % n];
	uint32		args[2] = {pg_hton32(key), pg_hton32(value)};
	const char *values[2] = {(const char *) &args[0], (const char *) &args[1]};
	int			lengths[2] = {sizeof(uint32), sizeof(uint32)};
	int			formats[2] = {1, 1};
	PGresult   *result;
	uint32		answer;

	if (node->conn == NULL)
		connect_node(node);
	if (!PQsendQueryPrepared(node->conn, function, nargs, values, lengths, formats, 1))
		elog(ERROR, "send: %s", PQerrorMessage(node->conn));
	result = next_result(node);
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		elog(ERROR, "call: %s", PQerrorMessage(node->conn));
	if (PQntuples(result) != 1 || PQgetlength(result, 0, 0) != sizeof(answer))
		elog(ERROR, "%s(%d) gave no number", function, key);
	memcpy(&answer, PQgetvalue(result, 0, 0), sizeof(answer));
	PQclear(result);
	if (next_result(node) != NULL)
		elog(ERROR, "more than one result");
	return (int32) pg_ntoh32(answer);
}

static int
all_nodes(void)
{
	if (nnodes == 0)
		read_setting();
	return nnodes;
}

static int
first_node(void)
{
	return Min(1, all_nodes());
}

PG_FUNCTION_INFO_V1(bare_get);
Datum
bare_get(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(call(all_nodes(), "get", 1, PG_GETARG_INT32(0), 0));
}

PG_FUNCTION_INFO_V1(bare_put);
Datum
bare_put(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(call(all_nodes(), "put", 2, PG_GETARG_INT32(0), PG_GETARG_INT32(1)));
}

PG_FUNCTION_INFO_V1(bare_get_one);
Datum
bare_get_one(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(call(first_node(), "get", 1, PG_GETARG_INT32(0), 0));
}

PG_FUNCTION_INFO_V1(bare_put_one);
Datum
bare_put_one(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(call(first_node(), "put", 2, PG_GETARG_INT32(0), PG_GETARG_INT32(1)));
}
