/*
 * execution.h
 *
 * A call in pieces: one task for each (shard, placement) that it goes to, in
 * the one order in which locks are taken.  Everything lives in the caller's memory
 * context and is gone with the call.
 */
#ifndef PLSHARD_EXECUTION_H
#define PLSHARD_EXECUTION_H

#include "base/compat.h"
#include "base/wait.h"
#include "call/copy_rows.h"
#include "call/plan.h"
#include "call/request.h"
#include "call/result.h"
#include "connection/node_conn.h"
#include "nodes/bitmapset.h"
#include "transaction/atomic_commit.h"
#include "transaction/deadlock.h"

typedef enum TaskState
{
	TASK_READY,					/* to be sent as soon as its connection is up (for COPY: free) */
	TASK_HELD,					/* waits for its turn to take locks */
	TASK_SENT,
	TASK_DONE,
	TASK_LOCKED_OUT,			/* its locks were not free at once */
	TASK_OLD_EPOCH,
	TASK_OUT_OF_IDS,			/* it needs more ids of plshard_node.unique_id() */
	TASK_CALL_KNOWN,			/* a result is stored under the call's id */
	TASK_STALE_PLAN,			/* the prepared statement must be made anew */
	TASK_NOT_RUN,				/* another task's error on its connection came first */
	TASK_ERROR,					/* the node's error is in "error" */
	TASK_LOST,					/* its connection was lost, or it took too long */
	TASK_SKIPPED				/* ON FAILURE SKIP */
} TaskState;

typedef struct Task
{
	int			target;			/* index into request->targets, or admin */
	int			shard;			/* index into the map; -1: none */
	int			node;
	TaskState	state;
	bool		synced;			/* nothing more will come for it */
	NodeConn   *conn;
	uint32		tried;			/* reads: placements that were tried, as bits */
	Bitmapset  *tried_nodes;	/* RUN ON ANY: nodes that have failed */
	bool		sent;			/* it has been on its way in this try */
	TaskPlan		plan;			/* what is sent for it */
	const char *copy_sql;		/* sent in place of the query; or NULL */
	CopyReader	copied;
	bool		renewed;		/* on a second connection, the first was stale */
	bool		wait_locks;
	int			savepoint;		/* see plshard_xact_begin_call */
	bool		deliver;		/* its rows are the caller's */
	bool		described;
	uint64		nrows;
	RowDigest	digest;			/* a write's rows, and how many it changed */
	uint64		affected;
	PGresult   *result;			/* a write's rows, until all replicas agree; of those that
								 * are not delivered, maybe not all: see plshard_find_difference */
	PGresult   *error;
	bool		called;			/* a write: the call has been done, what failed came behind it */
	bool		committed;		/* one-shot: COMMIT has answered so */
	bool		rejected;		/* its node must not be read from, but is there */
	bool		prepared;		/* early_prepare.c: PREPARE has answered so */
	Deadline	deadline;		/* of this attempt */
} Task;

/* What is watched of a connection while its answer is waited for. */
typedef struct ConnWatch
{
	Deadline	probe_at;		/* when silence becomes suspicious */
	int			silences;		/* how often it was found alive after all */
	LockWait	lock_wait;		/* whether it waits in a deadlock */
} ConnWatch;

#define FEW_CONNS 2

/* How a write ends on its nodes. */
typedef enum WriteEnd
{
	END_WITH_CALLER,			/* with the caller's transaction */
	END_WITH_CALL,				/* one-shot: the call is sent with all that commits it on its only node */
	END_PREPARED				/* the call is sent with what prepares it on its second replica: early_prepare.h */
} WriteEnd;

/* A commit that has begun with the call. */
typedef struct EarlyPrepare
{
	Participants participants;
	AtomicCommit *commit;
} EarlyPrepare;

typedef struct Execution
{
	ClusterMap *map;
	const CallRequest *request; /* NULL for administration */
	const RemoteQuery *query;	/* what is sent of it: query or one_shot */
	void		(*plan) (struct Execution *e, struct Task *task);	/* makes a task's plan */
	const char *function_name;
	bool		is_write;
	RowSink    *sink;
	int			timeout;
	Deadline	deadline;

	/* administration */
	const AdminPlacement *admin;
	int			nstatements;
	const char *const *statements;

	int			ntasks;
	Task	   *tasks;
	NodeConn  **conns;			/* of all tasks, each once */
	ConnWatch  *watches;		/* one for each of them */
	const char *deadlock;		/* describes the one that this call ends; or NULL */
	int64	   *first_ids;		/* of each target's block, or 0; see node_values.c */
	WireField  *copied_fields;	/* room for a copied row */
	bool		expired;		/* the time is over, shards that are missing are skipped */
	WriteEnd	end;
	bool		one_shot_refused;	/* the node does not take request->one_shot */
	EarlyPrepare *early;		 /* END_PREPARED: until that is committed or rolled back */
	int			old_epoch_node; /* a write starts anew because of the epoch of this node (index); or -1 */
	uint64		number;			/* of this call in the session */
	int			nconns;
	int			conns_size;
	NodeConn   *few_conns[FEW_CONNS];	/* room for the common case */
	ConnWatch	few_watches[FEW_CONNS];
} Execution;

/*
 * True where a write on the connection commits by itself on its node: of a cluster
 * with autocommit, unless the node is in the caller's transaction already.
 */
static inline bool
plshard_writes_alone(const Execution *e, const NodeConn *conn)
{
	return e->is_write && e->map->options.autocommit && !plshard_xact_is_open(conn) && !plshard_xact_is_lost(conn);
}

/*
 * True where what is sent commits without a COMMIT of the caller: if the connection is lost
 * then, it is unknown whether it did.
 */
static inline bool
plshard_commits_with_call(const Execution *e, const NodeConn *conn)
{
	return e->end == END_WITH_CALL || plshard_writes_alone(e, conn);
}

/* Prepares an execution; is_write and what is to be sent are filled in by the caller. */
extern void plshard_begin_execution(Execution *e, ClusterMap *map);

/* Releases the connections: calls within the rows of this one may use them. */
extern void plshard_end_execution(Execution *e);

/* Whether reads run in a transaction on the node, for one snapshot. */
extern bool plshard_reads_in_xact(const Execution *e);

/* The shard whose schema comes first in a task's search_path, or PATH_BASE. */
extern int64 plshard_task_path(const Execution *e, const Task *task);

/* As if it had never run. */
extern void plshard_reset_task(Task *task, TaskState state);

/* Whether something of a task is still to come. */
static inline bool
plshard_task_is_open(const Task *task)
{
	return task->state == TASK_READY || task->state == TASK_SENT ||
		(!task->synced && task->state > TASK_SENT && task->state < TASK_LOST);
}

#endif							/* PLSHARD_EXECUTION_H */
