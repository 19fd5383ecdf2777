/*
 * repair_job.h
 *
 * The repair of one placement, as a job that never waits by itself, so that
 * several run side by side in one session.
 */
#ifndef PLSHARD_REPAIR_JOB_H
#define PLSHARD_REPAIR_JOB_H

#include "maintenance/repair_copy.h"
#include "nodes/pg_list.h"

struct RepairJob;
typedef void (*RepairStep) (struct RepairJob *job, const PGresult *result);

typedef struct RepairJob
{
	/* set by the caller; the rest zeroed */
	MemoryContext context;		/* current in all functions below; connections
								 * are closed with it */
	Oid			server_oid;
	int64		shard_id;
	const char *source_name;
	const char *destination_name;

	/* for the caller */
	bool		reached;		/* the destination has answered */
	bool		superfluous;	/* the placement turned out to be active already */
	uint64		rows;			/* copied so far */

	/* of repair_job.c alone */
	ClusterMap *map;
	int			shard;			/* indexes into the map */
	int			source_node;
	int			destination_node;
	int			attempts;		/* to find the placements unchanged */
	int			nlocks;			/* connections that hold the shard's lock, */
	AdminConnection **locks;	/* in placement order */
	int64		seen_epoch;		/* the newest of a node */
	int64		raised_epoch;	/* nodes may have it, the registry does not */
	AdminConnection *source;	/* one of locks */
	AdminConnection *destination;
	bool		holds_definition;	/* of the cluster, see change_lock.h */
	List	   *commands;		/* recorded ones that are left to replay */
	const char *command;		/* the one that is running */
	const PGresult *source_relations;
	const PGresult *destination_relations;
	int			relation;		/* the one being copied */
	bool		copying;
	bool		copying_calls;	/* after all relations: plshard_node's table of calls */
	TableCopy	copy;
	const char *afterwards;		/* commands to run once the rows are there */
	AdminConnection *awaited;	/* its result goes to */
	RepairStep	next;
	bool		finished;
} RepairJob;

/*
 * Begins, after checking that it can be done.  Errors: 42704 unknown shard or
 * node; 55000 where the source holds no active placement, or the destination none or
 * an active one.
 */
extern void plshard_repair_begin(RepairJob *job);

/*
 * Goes on as far as possible without waiting; true when the placement is
 * active.  Throws what stopped it.  Either way the caller then calls
 * plshard_repair_end and deletes the context, which releases the locks and
 * rolls back what was not committed on the nodes.
 */
extern bool plshard_repair_turn(RepairJob *job);

/* Adds the connections that the job waits for (at most two) to an array. */
extern int	plshard_repair_connections(RepairJob *job, AdminConnection **conns);

/*
 * Ends a job, also after an error: then it raises the registry's epoch if nodes may
 * have a newer one.  The context is left to the caller.
 */
extern void plshard_repair_end(RepairJob *job);

#endif							/* PLSHARD_REPAIR_JOB_H */
