/*
 * participants.h
 *
 * The nodes that the caller's transaction has written to, and commands that run
 * on several of them at once: what the ways to commit have in common.
 *
 * While commands run nothing is cancelled by what the session waits for, other than
 * by a deadlock, where may_abort says so: a node is given up when its connection is
 * lost, when it fails a probe, or when the session is to end.
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
	COMMAND_REFUSED,			/* the node said no: "error" may say why */
	COMMAND_UNKNOWN				/* the connection was lost */
} CommandState;

typedef struct Participant
{
	NodeConn   *conn;
	ClusterMap *map;			/* as it was when the commit began */
	struct DistributedXact *xact;	/* distributed_xact.c */
	bool		prepared;		/* likewise: it has a prepared transaction of ours */
	bool		unsynced;		/* likewise: without having waited for its standby server */

	/* of the last commands */
	CommandState state;
	bool		answered;		/* the command that counts, with its own tag */
	const char *tag;			/* what success of it answers */
	PGresult   *error;			/* owned by the current memory context, or NULL */
	Deadline	probe_at;
	LockWait	lock_wait;
} Participant;

typedef struct Participants
{
	int			n;
	int			size;
	Participant *list;
	Deadline	deadline;		/* if there is one, nobody is probed, and who has not answered then is given up */
	bool		may_abort;		/* what commands wait for may be ended, if it is a deadlock */
	const char *deadlock;		/* then: the description of the one that was, or NULL */
	bool		begun;			/* something was sent that cannot be taken back by ROLLBACK */
	bool		outcome_known;	/* an error that is thrown tells the outcome */
} Participants;

/* Room for one more; returned zeroed. */
extern Participant *plshard_add_participant(Participants *participants);

/* Begins a batch of commands for one participant (nothing is sent to one that was lost). */
extern void plshard_participant_begin(Participant *p);

/*
 * Queues the command of the batch that counts; success must answer "tag" (a constant).
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

/* Throws what a participant that is COMMAND_REFUSED has said. */
pg_noreturn extern void plshard_throw_refused(Participants *participants, const Participant *p);

/* The same for the first that is; returns if none is. */
extern void plshard_throw_refusal(Participants *participants);

/* Throws 08006: the connection was lost, and nothing was or will be written. */
pg_noreturn extern void plshard_throw_lost_participant(Participants *participants,
													   const NodeConn *conn);

/*
 * Throws 08007.  "detail" is a sentence, or more; with a cluster's name the hint
 * is to verify it as well.
 */
pg_noreturn extern void plshard_throw_unknown(Participants *participants, const char *detail,
											  const char *cluster);

#endif							/* PLSHARD_PARTICIPANTS_H */
