/*
 * copies.pml
 *
 * A transaction that a front decides by a row of its own (rule 14), on two nodes, and a copy
 * of that front: a base backup that is restored or promoted, a snapshot, files that were
 * copied, CREATE DATABASE ... TEMPLATE.  The copy has the same front id, and the front's
 * tables as they were.  Each step is one thing that one server does by itself.
 *
 * At each start a front makes a start id.  A node notes one for each front id: the front's
 * claim.  A claim is taken by compare and set: from any start id that this front has had
 * itself to its newest one, and only where no session of an older start is on the node.
 * Sessions look at the claim when they connect, behind their session lock.
 *
 *	-DFAULTS=n		crashes of fronts and nodes, sessions lost, waits given up, in all
 *	-DSTARTS=n		starts of the front and of its copy, in all
 *	-DACCEPT		an operator may say that the copy (or the front) replaces the other
 *					one, which is never started again
 *
 * Left out: -DNO_CLAIM (recovery looks at its own tables only), -DNO_EVIDENCE (it does not
 * look at what the participants have committed), -DONE_CLAIM (one of them will do),
 * -DNO_DRAIN (a claim does not wait for old sessions), -DNO_COMPARE (the last to start has
 * the claim), -DNO_LOCK_FIRST (a session looks at the claim before it has its lock),
 * -DNO_CHECK (sessions do not look), -DNO_CONNECT_FIRST (recovery reads its row, and then
 * connects), -DNO_TOMBSTONE_READ (an accepted front believes its row
 * whatever the nodes say)
 */
#ifndef FAULTS
#define FAULTS 2
#endif
#ifndef STARTS
#define STARTS 2
#endif

/* the transaction's part on a node */
#define WORKING 0
#define PREPARED 1
#define COMMITTED 2				/* with a row that says so */
#define ABORTED 3

/* on its way to a node, from the session that runs the transaction */
#define PREPARE 1
#define COMMIT_PREPARED 2
#define ROLLBACK_PREPARED 3

#define in(set, n) (((set) >> (n)) & 1)

typedef Node
{
	byte claim = 1;				/* the start id that it has noted */
	byte part;
	byte sent;
	byte sessions = 2			/* the starts of which sessions are here: a bitmap */
}

typedef Front
{
	bit exists;
	bit running;
	bit lost;					/* never started again */
	bit row;					/* in plshard.transaction */
	bit accepted;				/* by an operator, instead of the other one */
	byte start;					/* its newest start id */
	byte starts;				/* all that it knows of its own */
	byte drained				/* the nodes on which it has seen its claim stand alone */
}

Node node[2];
Front front[2];
byte last_start = 1;
bit success;
byte faults = FAULTS;
bit accepted;

#define has_claim(f, n) (node[n].claim == front[f].start)
#ifdef NO_DRAIN
#define others(f, n) false
#else
#define others(f, n) ((node[n].sessions & ~(1 << front[f].start)) != 0)
#endif
#ifdef NO_COMPARE
#define may_claim(f, n) true
#else
#define may_claim(f, n) in(front[f].starts, node[n].claim)
#endif
/* the run that the transaction belongs to */
#define is_open (front[0].running && front[0].start == 1 && !over)
bit over;

/* A lost connection takes nothing. */
inline send(m, what)
{
	atomic {
		if
		:: in(node[m].sessions, 1) -> node[m].sent = what
		:: else
		fi
	}
}

/* The session that runs the transaction, in the front's first run. */
active proctype Transaction()
{
	byte n;

	{
		send(0, PREPARE);
		send(1, PREPARE);
		if
		:: node[0].part == PREPARED && node[1].part == PREPARED
		/* an error, a lost session: the front's abort */
		:: atomic { faults > 0 -> faults-- }; goto undo
		:: !in(node[0].sessions, 1) || !in(node[1].sessions, 1) -> goto undo
		fi;
		front[0].row = 1;
		send(0, COMMIT_PREPARED);
		send(1, COMMIT_PREPARED);
		do
		:: atomic { n < 2 && node[n].part == COMMITTED -> n++ }
		/* over a new connection, where the old one is lost */
		:: n < 2 && !in(node[n].sessions, 1) && node[n].part == PREPARED ->
#ifdef NO_LOCK_FIRST
			if
			:: node[n].claim == 1
			:: node[n].claim != 1 -> goto finished
			fi;
			node[n].sessions = node[n].sessions | 2;
#else
			node[n].sessions = node[n].sessions | 2;
#ifndef NO_CHECK
			if
			:: node[n].claim == 1
			:: atomic { node[n].claim != 1 -> node[n].sessions = node[n].sessions & ~2 }; goto finished
			fi;
#endif
#endif
			send(n, COMMIT_PREPARED)
		/* a warning, no success */
		:: atomic { n < 2 && node[n].part != COMMITTED && faults > 0 -> faults-- }; goto finished
		:: n < 2 && node[n].part == ABORTED -> goto finished
		:: atomic { n == 2 -> success = 1 }; goto finished
		od;
undo:
		send(0, ROLLBACK_PREPARED);
		send(1, ROLLBACK_PREPARED);
finished:
		over = 1
	} unless { !front[0].running || front[0].start != 1 }
}

/* Recovery, by whichever front is running. */
proctype Recovery(byte f)
{
	byte n, what, mine;

end:
	do
	/* first it connects: to nodes that refuse it, it does not come back in this round */
	:: atomic { front[f].running && !(f == 0 && is_open) && (node[0].part == PREPARED || node[1].part == PREPARED) ->
			mine = has_claim(f, 0) | (has_claim(f, 1) << 1) };
		if
		:: front[f].row && !front[f].accepted -> what = COMMITTED
		:: !front[f].row || front[f].accepted ->
#ifndef NO_CLAIM
			/* the claim stands on the participants, and no older session is left there */
			if
#ifdef ONE_CLAIM
			:: atomic { (has_claim(f, 0) && in(front[f].drained, 0)) || (has_claim(f, 1) && in(front[f].drained, 1)) -> mine = 3 }
#else
			:: atomic { has_claim(f, 0) && in(front[f].drained, 0) && has_claim(f, 1) && in(front[f].drained, 1) -> mine = 3 }
#endif
			:: !front[f].running -> goto again
			:: node[0].part != PREPARED && node[1].part != PREPARED -> goto again
			fi;
#endif
#ifndef NO_EVIDENCE
			if
			:: node[0].part == COMMITTED || node[1].part == COMMITTED -> what = COMMITTED
			:: else -> skip
			fi;
#endif
			if
			:: what == 0 ->
#ifdef NO_TOMBSTONE_READ
				what = (front[f].row -> COMMITTED : ABORTED)
#else
				/* the other one may have begun to roll it back */
				what = (front[f].row && node[0].part != ABORTED && node[1].part != ABORTED -> COMMITTED : ABORTED)
#endif
			:: else
			fi
		fi;
		/* each node on a connection of its own, which looks at the claim */
		n = 0;
		do
		:: n == 2 -> break
#if defined(NO_CLAIM) || defined(NO_CHECK)
		:: atomic { n < 2 && front[f].running ->
#else
#ifdef NO_CONNECT_FIRST
#define may_apply(f, n) has_claim(f, n)
#else
#define may_apply(f, n) (has_claim(f, n) && in(mine, n))
#endif
		:: n < 2 && !may_apply(f, n) -> n++
		:: atomic { n < 2 && front[f].running && may_apply(f, n) ->
#endif
				if
				:: node[n].part == PREPARED -> node[n].part = what
				:: node[n].part == WORKING && what == ABORTED -> node[n].part = ABORTED
				:: else
				fi;
				n++ }
		:: !front[f].running -> break
		od;
again:	atomic { n = 0; what = 0; mine = 0 }
	od
}

/* The recovery worker, or whatever session comes first, claims the nodes for the front's newest start. */
proctype Claims(byte f)
{
end:
	do
	:: atomic { front[f].running && !has_claim(f, 0) && may_claim(f, 0) && !others(f, 0) -> node[0].claim = front[f].start }
	:: atomic { front[f].running && !has_claim(f, 1) && may_claim(f, 1) && !others(f, 1) -> node[1].claim = front[f].start }
	/* looked at once more when the claim stands */
	:: atomic { front[f].running && has_claim(f, 0) && !in(front[f].drained, 0) && !others(f, 0) -> front[f].drained = front[f].drained | 1 }
	:: atomic { front[f].running && has_claim(f, 1) && !in(front[f].drained, 1) && !others(f, 1) -> front[f].drained = front[f].drained | 2 }
	od
}

inline starts_anew(f)
{
	last_start++;
	front[f].start = last_start;
	front[f].starts = front[f].starts | (1 << last_start);
	front[f].drained = 0;
	front[f].running = 1
}

/* A node's next step with what has come over its session. */
inline does(m)
{
	if
	:: node[m].sent == PREPARE && node[m].part == WORKING -> node[m].part = PREPARED
	:: node[m].sent == COMMIT_PREPARED && node[m].part == PREPARED -> node[m].part = COMMITTED
	:: node[m].sent == ROLLBACK_PREPARED && node[m].part != COMMITTED -> node[m].part = ABORTED
	:: else
	fi;
	node[m].sent = 0
}

/* Nothing of the session is left, but what it has prepared. */
inline ends(m)
{
	node[m].sessions = node[m].sessions & ~2;
	node[m].sent = 0;
	if
	:: node[m].part == WORKING -> node[m].part = ABORTED
	:: else
	fi
}

active proctype World()
{

end:
	do
	/* also when the front is gone */
	:: atomic { node[0].sent != 0 && in(node[0].sessions, 1) -> does(0) }
	:: atomic { node[1].sent != 0 && in(node[1].sessions, 1) -> does(1) }
	/* it notices that the front is gone */
	:: atomic { in(node[0].sessions, 1) && (!front[0].running || front[0].start != 1) -> ends(0) }
	:: atomic { in(node[1].sessions, 1) && (!front[0].running || front[0].start != 1) -> ends(1) }
	/* a node crashes, or just ends its session */
	:: atomic { faults > 0 && in(node[0].sessions, 1) -> faults--; ends(0) }
	:: atomic { faults > 0 && in(node[1].sessions, 1) -> faults--; ends(1) }
	/* fronts */
	:: atomic { !front[1].exists -> front[1].exists = 1; front[1].row = front[0].row; front[1].starts = front[0].starts; front[1].start = front[0].start }
	:: atomic { faults > 0 && front[0].running -> faults--; front[0].running = 0 }
	:: atomic { faults > 0 && front[1].running -> faults--; front[1].running = 0 }
	:: atomic { !front[0].running && !front[0].lost && last_start < STARTS + 1 -> starts_anew(0) }
	:: atomic { front[1].exists && !front[1].running && !front[1].lost && last_start < STARTS + 1 -> starts_anew(1) }
#ifdef ACCEPT
	:: atomic { !accepted && front[0].running && !front[1].running && (!may_claim(0, 0) || !may_claim(0, 1)) ->
			accepted = 1; front[0].accepted = 1; front[1].lost = 1; front[0].starts = front[0].starts | (1 << node[0].claim) | (1 << node[1].claim) }
	:: atomic { !accepted && front[1].running && !front[0].running && (!may_claim(1, 0) || !may_claim(1, 1)) ->
			accepted = 1; front[1].accepted = 1; front[0].lost = 1; front[1].starts = front[1].starts | (1 << node[0].claim) | (1 << node[1].claim) }
#endif
	od
}

#define holds_all(f) (front[f].running && has_claim(f, 0) && has_claim(f, 1) && in(front[f].drained, 0) && in(front[f].drained, 1))

active proctype Monitor()
{
end:
	do
	/* I3 */
	:: atomic { (node[0].part == COMMITTED && node[1].part == ABORTED) || (node[1].part == COMMITTED && node[0].part == ABORTED) ->
			printf("found: committed here, rolled back there\n"); assert(false) }
	/* I1 */
	:: atomic { success && (node[0].part != COMMITTED || node[1].part != COMMITTED) ->
			printf("found: an acknowledged write is not on every active node\n"); assert(false) }
	/* I4: as the front has it that all nodes accept */
	:: atomic { !accepted && (node[0].part == ABORTED || node[1].part == ABORTED) &&
			((front[0].row && holds_all(0)) || (front[1].row && holds_all(1))) ->
			printf("found: the front says committed, a node has rolled back\n"); assert(false) }
	/* I6: the front comes back, and nobody has copied it */
	:: atomic { timeout && (node[0].part == PREPARED || node[1].part == PREPARED) &&
			((front[0].running && last_start == front[0].start && !front[1].running && front[1].starts == 0)
#ifdef ACCEPT
			 || (!accepted && (front[0].running != front[1].running))
#endif
			) ->
			printf("found: a session waits for ever\n"); assert(false) }
	od
}

init
{
	atomic {
		front[0].exists = 1;
		front[0].running = 1;
		front[0].start = 1;
		front[0].starts = 2;
		run Recovery(0);
		run Recovery(1);
		run Claims(0);
		run Claims(1)
	}
}
