/*
 * participants.h
 *
 * The nodes that the caller's transaction has written to, and commands that run on
 * several of them at once: what the ways to commit have in common.
 *
 * While commands run the session cannot be cancelled.  A wait is ended by a deadlock,
 * where may_abort is set; a node is given up when its connection is lost, when it fails a
 * probe, or when the session is terminated.
 */
#ifndef PLSHARD_PARTICIPANTS_H
#define PLSHARD_PARTICIPANTS_H

#include "base/compat.h"
#include "connection/node_conn.h"
#include "transaction/deadlock.h"

typedef enum CommandState
{
	COMMAND_NONE,				/* nothing was sent */
	COMMAND_WAITING,
	COMMAND_DONE,				/* answered with the command's own tag */
	COMMAND_REFUSED,			/* the node has not executed it: "error" is why, if it is set */
	COMMAND_UNKNOWN				/* the connection was lost */
} CommandState;

/* Pending.number of the command of a batch that decides its outcome. */
#define PARTICIPANT_COMMAND 1

typedef struct Participant
{
	NodeConn   *conn;
	ClusterMap *map;			/* as it was when the commit began */
	struct DistributedXact *xact;	/* set by plshard_name_distributed_xacts */
	bool		prepared;		/* it has a prepared transaction of ours */
	bool		unsynced;		/* and has not waited for its standby server */

	/* of the last commands */
	CommandState state;
	bool		answered;		/* the deciding command, with its own tag */
	const char *tag;			/* of its success */
	PGresult   *error;			/* owned by the current memory context, or NULL */
	Deadline	probe_at;
	LockWait	lock_wait;
} Participant;

typedef struct Participants
{
	int			n;
	int			size;
	Participant *list;
	Deadline	deadline;		/* if set, nodes are not probed, but given up when it has passed */
	bool		may_abort;		/* waits of commands may be cancelled, if they are a deadlock */
	const char *deadlock;		/* describes the one that was; or NULL */
	bool		begun;			/* something was sent that ROLLBACK cannot undo */
	bool		outcome_known;	/* the error that is raised shows the outcome */
} Participants;

/* Adds a participant, zeroed; pointers to others are invalid then. */
extern Participant *plshard_add_participant(Participants *participants);

/* Begins a batch of commands for one participant (nothing is sent to one that was lost). */
extern void plshard_participant_begin(Participant *p);

/*
 * Queues the command that decides the batch's outcome; success must answer "tag" (a constant).
 * "query" is its BuiltinQuery where it is to be prepared, 0 for text that differs each time.
 */
extern void plshard_participant_send(Participant *p, uint64 query, const char *sql, const char *tag);

/* Ends the batch, and sends it. */
extern void plshard_participant_end(Participant *p);

/* Waits until no participant is COMMAND_WAITING. */
extern void plshard_participants_wait(Participants *participants);

/* Closes the connections of those that are COMMAND_WAITING. */
extern void plshard_participants_abandon(Participants *participants);

/* The three for all participants: one command everywhere, its arguments as above. */
extern void plshard_participants_run(Participants *participants, uint64 query, const char *sql, const char *tag);

/* Raises the error of a participant that is COMMAND_REFUSED. */
pg_noreturn extern void plshard_throw_refused(Participants *participants, const Participant *p);

/* The same for the first that is; returns where none is. */
extern void plshard_throw_refusal(Participants *participants);

/* Raises 08006: the connection was lost, and nothing was or will be written. */
pg_noreturn extern void plshard_throw_lost_participant(Participants *participants,
													   const NodeConn *conn);

/*
 * Raises 08007.  "detail" is a sentence, or more; with a cluster's name the hint
 * is to verify it as well.
 */
pg_noreturn extern void plshard_throw_unknown(Participants *participants, const char *detail,
											  const char *cluster);

#endif							/* PLSHARD_PARTICIPANTS_H */
