/*
 * protocol.pml
 *
 * The protocol of replicated writes as a model for spin: writers of one key, the
 * nodes that hold it, a recoverer, a repair, a cleaner of decision rows, a reader
 * on another front, and faults.  Each step is one thing that one server does by
 * itself; spin goes through all orders of the steps.  "Rule" is one of
 * doc/protocol.md.  -DNO_... leaves one out: test/model/run expects spin to find
 * what breaks then.
 *
 *	-DNODES=n		the shard has replicas on nodes 0 ... n-1 (2 or 3)
 *	-DLONELY		one more node, with the only replica of a second shard, which
 *					every write writes too
 *	-DWRITERS=n		1 or 2
 *	-DFAULTS=n		crashes, deaths and lost messages, in all
 *	-DREPAIR -DCLEAN -DREADER	with these processes; -DREPAIRS=n: at most so many
 *	-DEARLY			with two replicas PREPARE is sent with the call (rule 6)
 *	-DROLES			another role on the nodes does what it may, and a session of a third one meets
 *					what is prepared: it may not write a tombstone, and asks the recovery worker
 *					(one writer only); -DFORGERIES=n: how often that role acts
 */
#ifndef NODES
#define NODES 2
#endif
#ifndef WRITERS
#define WRITERS 2
#endif
#ifndef FAULTS
#define FAULTS 2
#endif
#ifndef REPAIRS
#define REPAIRS 2
#endif
#ifndef FORGERIES
#define FORGERIES 2
#endif
#ifdef LONELY
#define ALL_NODES (NODES + 1)
#else
#define ALL_NODES NODES
#endif
#define EVERYBODY ((1 << ALL_NODES) - 1)

/* a writer's transaction on a node */
#define NONE 0
#define WORKING 1				/* has done its work, holds its locks */
#define PREPARED 2

/* its row in plshard_node.transaction; the decision at the registry */
#define UNSAID 0
#define COMMITTED 1
#define ABORTED 2
#define UNKNOWN 3

/* what the caller has heard */
#define NOTHING 0
#define SUCCESS 1
#define FAILURE 2
#define GONE 3					/* its client is gone, or was told that the outcome is unknown */

typedef Node
{
	bit alive = 1;
	bit current = 1;			/* its placement is active, says the registry */
#ifdef READER
	bit leaving;				/* it is about to be evicted */
#endif
#ifdef EARLY
	bit blank;					/* its disk was lost, and no repair has been there */
#endif
	bit held;					/* the shard's lock, exclusively, by a repair's session */
	byte evicted;				/* the registry's epoch when it was, last */
	byte epoch;					/* the newest that it was told */
	byte history;				/* the key's writes in their order, to base 3 */
	byte tx[WRITERS];
	byte row[WRITERS];
#ifdef ROLES
	byte forged;				/* a row with the same gid, of another role */
	bit fake;					/* a part that another role has prepared under the name of the transaction's */
#endif
	bit done[WRITERS]			/* the write is in its data */
}

Node node[ALL_NODES];
byte epoch;						/* the registry's */
byte decision[WRITERS];			/* at the registry */
byte members[WRITERS];			/* the participants, as the gid names them */
byte born[WRITERS];				/* the epoch of the map that it began with, likewise */
byte heard[WRITERS];
byte faults = FAULTS;
#ifdef ROLES
bit asked;						/* the recovery worker, which runs as the cluster's owner */
byte forgeries = FORGERIES;
#endif

/* sets of nodes are bitmaps */
#define has(set, n) (((set) >> (n)) & 1)
#define without(set, n) ((set) & ~(1 << (n)))
#define first(set) (has(set, 0) -> 0 : (has(set, 1) -> 1 : (has(set, 2) -> 2 : 3)))

#if ALL_NODES == 2
#define set_of(p) (p(0) | (p(1) << 1))
#elif ALL_NODES == 3
#define set_of(p) (p(0) | (p(1) << 1) | (p(2) << 2))
#else
#define set_of(p) (p(0) | (p(1) << 1) | (p(2) << 2) | (p(3) << 3))
#endif
#if NODES == 2
#define NCURRENT (node[0].current + node[1].current)
#else
#define NCURRENT (node[0].current + node[1].current + node[2].current)
#endif

#define is_current(n) node[n].current
/* Rule 24: its repair took the rows. */
#ifdef NO_BIRTH
#define still(n, w) node[n].current
#else
#define still(n, w) (node[n].current && node[n].evicted <= born[w])
#endif
#define still_0(n) still(n, 0)
#define still_1(n) still(n, WRITERS - 1)
#define set_of_still(w) (w == 0 -> set_of(still_0) & members[0] : set_of(still_1) & members[WRITERS - 1])
#define is_dead(n) (!node[n].alive)
#define is_late_0(n) (node[n].tx[0] == WORKING)
#define is_late_1(n) (node[n].tx[WRITERS - 1] == WORKING)
#define of_shard(set) ((set) & ((1 << NODES) - 1))

/* Rule 16: never the last one of a shard. */
#define may_evict(n) (node[n].current && (n) < NODES && NCURRENT > 1)

/* Rules 1 and 3. */
#ifdef NO_LOCKS
#define locked(n, w) false
#else
#define locked(n, w) (node[n].held || (WRITERS > 1 && node[n].tx[WRITERS - 1 - (w)] != NONE))
#endif
#ifdef NO_EPOCH
#define outdated(n) false
#else
#define outdated(n) (node[n].epoch > seen)
#endif

/* Rule 7: a tombstone makes the insert fail. */
#ifdef NO_ROW
#define may_insert(n, w) true
#else
#define may_insert(n, w) (node[n].row[w] == UNSAID)
#endif

/* What a node says of a transaction: a row counts by its key, which names the transaction's role. */
#if defined(ROLES) && defined(NO_ROLE_READ)
#define word(n, w) (node[n].row[w] == UNSAID -> node[n].forged : node[n].row[w])
#else
#define word(n, w) node[n].row[w]
#endif
/* A part counts if its owner is the transaction's role, or recovery_role. */
#if defined(ROLES) && defined(NO_PART_OWNER)
#define is_prepared(n, w) (node[n].tx[w] == PREPARED || node[n].fake)
#else
#define is_prepared(n, w) (node[n].tx[w] == PREPARED)
#endif

#ifdef READER
/* Another front: what it knows, while its lease lasts. */
byte known = EVERYBODY;
bit lease = 1;
#define is_staying(n) (node[n].current && !node[n].leaving)
#endif

/* What is on its way to a node.  It may come when the writer waits for it no longer, or is dead. */
#define SENT 1
#define ANSWERED 2				/* it is done */
#define REFUSED 3				/* it is not */
byte last_word[WRITERS];		/* COMMIT, to the deciding node */

#ifdef EARLY
/* A batch with the call and PREPARE, to the only other participant. */
#define CUT_OFF 4				/* the session is lost */
byte batch[WRITERS];
#define goes_to(w) first(without(members[w], first(members[w])))
#ifdef NO_BLANK
#define lost_all(n) false
#else
#define lost_all(n) node[n].blank
#endif

inline run_batch(w)
{
	if
	:: node[goes_to(w)].tx[w] == NONE && !locked(goes_to(w), w) && !lost_all(goes_to(w)) &&
			may_insert(goes_to(w), w) && node[goes_to(w)].epoch <= born[w] ->
		node[goes_to(w)].tx[w] = PREPARED; batch[w] = ANSWERED
	:: else -> batch[w] = REFUSED
	fi
}

inline cut_off(n, w)
{
	if
	:: (batch[w] == SENT || batch[w] == ANSWERED) && goes_to(w) == n -> batch[w] = CUT_OFF
	:: else
	fi
}
#endif

/* Some member of a set that is not empty. */
inline pick(set, n)
{
	n = 0;
	do
	:: has(set, n) -> break
	:: ((set) >> (n + 1)) != 0 -> n++
	od
}

/*
 * Evicts n.  With other fronts in two steps: first they must know, or have lost
 * their leases; only then it is not waited for any more.
 */
inline evict(n)
{
#ifdef READER
	atomic {
		if
		:: may_evict(n) -> node[n].leaving = 1
		:: else
		fi
	};
#ifndef NO_LEASE
	(!lease || !has(known, n) || !node[n].current);
#endif
#endif
	atomic {
		if
		:: may_evict(n) -> node[n].current = 0; epoch++; node[n].evicted = epoch
		:: else
		fi;
#ifdef READER
		node[n].leaving = 0
#endif
	}
}

inline commit_on(n, w)
{
	node[n].tx[w] = NONE;
	node[n].row[w] = COMMITTED;
	node[n].done[w] = 1;
	node[n].history = node[n].history * 3 + w + 1
}

#define deciding(w) first(members[w])

inline run_commit(w)
{
	if
	:: node[deciding(w)].tx[w] == WORKING && may_insert(deciding(w), w) ->
		commit_on(deciding(w), w); last_word[w] = ANSWERED
	:: else -> node[deciding(w)].tx[w] = NONE; last_word[w] = REFUSED
	fi
}

/* Takes an outcome to the participants "todo". */
inline apply(w, what, todo)
{
	do
	:: todo == 0 -> break
	/* one that is evicted is made anew by its repair */
	:: atomic { todo != 0 && !still(first(todo), w) -> todo = without(todo, first(todo)) }
	:: atomic { todo != 0 && still(first(todo), w) && node[first(todo)].alive ->
			if
			:: node[first(todo)].tx[w] == PREPARED && what == COMMITTED -> commit_on(first(todo), w)
			:: node[first(todo)].tx[w] == NONE && what == ABORTED && node[first(todo)].row[w] == UNSAID ->
				node[first(todo)].row[w] = ABORTED
			:: else -> node[first(todo)].tx[w] = NONE
			fi;
			todo = without(todo, first(todo)) }
	:: todo != 0 && !node[first(todo)].alive && may_evict(first(todo)) -> evict(first(todo))
	/* cut off from us alone: a fresh probe fails as well */
	:: atomic { todo != 0 && what == COMMITTED && faults > 0 && node[first(todo)].alive &&
			may_evict(first(todo)) -> faults-- };
		evict(first(todo))
	od
}

/* Rules 9 to 11: resolves transaction w, whose deciding node is d. */
inline resolve(w, what, d, todo, saw)
{
	atomic { what = UNSAID; d = first(members[w]) };
	do
	/* D itself says it.  (Its commit is one step, so its row is never waited for.) */
	:: atomic { still(d, w) && node[d].alive ->
			if
			:: word(d, w) == COMMITTED -> what = COMMITTED
			:: else -> node[d].row[w] = ABORTED; what = ABORTED
			fi };
		break
	:: still(d, w) && !node[d].alive && may_evict(d) -> evict(d)
	:: atomic { !still(d, w) -> saw = 0; todo = without(members[w], d) };
		/* D is lost: what stands, or else what the others say */
#ifndef NO_REGISTRY
		if
		:: atomic { decision[w] != UNSAID -> what = decision[w]; todo = 0 }
		:: decision[w] == UNSAID
		fi;
#endif
		do
		:: todo == 0 -> break
		:: atomic { todo != 0 && !still(first(todo), w) -> todo = without(todo, first(todo)) }
		:: todo != 0 && !node[first(todo)].alive && may_evict(first(todo)) -> evict(first(todo))
		:: atomic { todo != 0 && still(first(todo), w) && node[first(todo)].alive ->
				if
				:: is_prepared(first(todo), w) || word(first(todo), w) == COMMITTED ->
					saw = saw | (1 << first(todo)); todo = without(todo, first(todo))
				:: else -> node[first(todo)].row[w] = ABORTED; what = ABORTED; todo = 0
				fi }
		od;
		if
#ifdef NO_COVER
		:: atomic { what == UNSAID && saw != 0 -> what = COMMITTED; saw = 0 }
#else
		/* every shard needs one that has it; else all that is left is to wait */
		:: atomic { what == UNSAID && of_shard(saw) != 0 && has(saw | (ALL_NODES == NODES), NODES * (ALL_NODES - NODES)) ->
				what = COMMITTED; saw = 0 }
#endif
		:: atomic { what != UNSAID -> saw = 0 }
		:: atomic { what == UNSAID && decision[w] != UNSAID -> what = decision[w]; saw = 0 }
		/* rule 15: all that knew it are gone */
		:: atomic { what == UNSAID && set_of_still(w) == 0 -> saw = 0; todo = 0; what = UNKNOWN }
		fi;
		break
	od;
#ifndef NO_REGISTRY
	/* rule 9: an abort, and what was decided without D, stands there first */
	atomic {
		if
		:: what == UNKNOWN
		:: what == COMMITTED && word(d, w) == COMMITTED && still(d, w)
		:: else ->
			if
			:: decision[w] == UNSAID -> decision[w] = what
			:: else -> what = decision[w]
			fi
		fi
	};
#endif
	todo = without(members[w], d);
	apply(w, what, todo)
}

proctype Writer(byte w)
{
	byte i, d, view, done, late, todo, what, saw, seen;

	{
		skip;
#ifdef EARLY
		/* ---- a single call: D works, the other works and prepares ---- */
		atomic { view = set_of(is_current);
			if
			:: view != EVERYBODY || w > 0 -> view = 0; goto start	/* the second one may be no single call */
			:: view == EVERYBODY -> seen = epoch; members[w] = view; born[w] = seen; d = first(view); batch[w] = SENT
			fi };
		if
		:: atomic { node[d].alive && !locked(d, w) && !outdated(d) && !lost_all(d) -> node[d].tx[w] = WORKING }
		:: !node[d].alive || locked(d, w) || outdated(d) || lost_all(d) -> goto way_back
		fi;
		if
		:: atomic { batch[w] == ANSWERED -> seen = 0 }; goto decide
		:: batch[w] == REFUSED || batch[w] == CUT_OFF || !node[goes_to(w)].alive -> goto way_back
		/* cancelled, or the results differ */
		:: atomic { faults > 0 -> faults-- }; goto way_back
		fi;

		/* before the failure is reported, or the next try (under another gid) begins */
way_back:
		atomic { node[d].tx[w] = NONE; seen = 0 };
#ifdef NO_WAY_BACK
		atomic { heard[w] = FAILURE }; goto over;
#endif
		if
		/* its session rolls back what it has prepared: the registry need not know */
		:: atomic { batch[w] == ANSWERED && node[goes_to(w)].tx[w] == PREPARED ->
				node[goes_to(w)].tx[w] = NONE; heard[w] = FAILURE }; goto over
		:: atomic { batch[w] == REFUSED -> heard[w] = FAILURE }; goto over
		/* another session does, or sees to it that what comes late is not prepared: likewise */
		:: atomic { (batch[w] == CUT_OFF || batch[w] == SENT) && node[goes_to(w)].alive &&
				!lost_all(goes_to(w)) && node[goes_to(w)].row[w] != COMMITTED ->
				if
				:: node[goes_to(w)].tx[w] == PREPARED -> node[goes_to(w)].tx[w] = NONE
				:: node[goes_to(w)].tx[w] != PREPARED
#ifndef NO_TOMBSTONE
					-> node[goes_to(w)].row[w] = ABORTED
#endif
				fi;
				heard[w] = FAILURE }; goto over
		:: batch[w] == CUT_OFF || batch[w] == SENT ||
			(batch[w] == ANSWERED && node[goes_to(w)].tx[w] != PREPARED) -> goto abort
		fi;
#endif
start:
		/* ---- locks and work, rules 1 to 3: all nodes at once try, in whatever order ---- */
		atomic { view = set_of(is_current); seen = epoch; done = 0; late = 0 };
		do
		:: atomic { (done | late) == view -> d = 0; i = 0 }; break
		:: atomic { (done | late) != view -> pick(view & ~(done | late), i) };
			if
			:: atomic { node[i].alive && !locked(i, w) ->
					if
					:: outdated(i) -> i = 0; goto again
					:: else -> node[i].tx[w] = WORKING; done = done | (1 << i); i = 0
					fi }
			:: atomic { node[i].alive && locked(i, w) -> late = late | (1 << i); i = 0 }
			:: !node[i].alive && may_evict(i) -> evict(i); goto again
			:: !node[i].alive && !may_evict(i) -> goto give_up
			fi
		od;
		if
		:: late == 0 -> goto commit
		:: else
		fi;
		/* rule 2: what comes after the first failure is undone, and taken one by one, waiting */
#ifndef NO_ORDER
		todo = done & ~((1 << first(late)) - 1);
		late = view & ~((1 << first(late)) - 1);
		do
		:: atomic { todo != 0 -> node[first(todo)].tx[w] = NONE; todo = without(todo, first(todo)) }
		:: todo == 0 -> break
		od;
#endif
		do
		:: late == 0 -> goto commit
		:: atomic { late != 0 && node[first(late)].alive && !locked(first(late), w) ->
				if
				:: outdated(first(late)) -> goto again
				:: else -> node[first(late)].tx[w] = WORKING; late = without(late, first(late))
				fi }
		:: late != 0 && !node[first(late)].alive && may_evict(first(late)) -> evict(first(late)); goto again
		:: late != 0 && !node[first(late)].alive && !may_evict(first(late)) -> goto give_up
#ifndef NO_LOOK_WHILE_WAITING
		/* rule 25: what holds the lock on a node that is evicted may stay there until its repair */
		:: late != 0 && epoch != seen -> goto again
#endif
		od;

again:	/* undo, and start with a fresh map; a repair tells the registry after the nodes */
		todo = view;
		do
		:: atomic { todo != 0 -> node[first(todo)].tx[w] = NONE; todo = without(todo, first(todo)) }
		:: atomic { todo == 0 && epoch > seen -> i = 0; late = 0; done = 0; seen = 0; view = 0 }; goto start
		od;

give_up:
		todo = view;
		do
		:: atomic { todo != 0 -> node[first(todo)].tx[w] = NONE; todo = without(todo, first(todo)) }
		:: atomic { todo == 0 -> heard[w] = FAILURE }; goto over
		od;

		/* ---- commit, rules 6 to 9: the others prepare ---- */
commit:
		atomic { members[w] = view; born[w] = seen; d = first(view); todo = without(view, d); done = 0; late = 0; seen = 0; i = 0 };
		do
		:: todo == 0 -> break
		:: atomic { todo != 0 && node[first(todo)].alive && node[first(todo)].tx[w] == WORKING &&
				may_insert(first(todo), w) ->
				node[first(todo)].tx[w] = PREPARED; todo = without(todo, first(todo)) }
		/* the answer is lost, whether it was done or not; or it is an error */
		:: atomic { todo != 0 && faults > 0 && node[first(todo)].alive && node[first(todo)].tx[w] == WORKING &&
				may_insert(first(todo), w) ->
				faults--;
				if
				:: node[first(todo)].tx[w] = PREPARED
				:: node[first(todo)].tx[w] = NONE
				fi };
			goto abort
		:: todo != 0 && (!node[first(todo)].alive || node[first(todo)].tx[w] != WORKING ||
				!may_insert(first(todo), w)) -> goto abort
		od;
		/* then D commits: that is the decision */
decide:	last_word[w] = SENT;
		if
		:: atomic { last_word[w] == ANSWERED -> last_word[w] = 0; what = COMMITTED }
		:: atomic { last_word[w] == REFUSED -> last_word[w] = 0 }
		:: last_word[w] == SENT && !node[d].alive
		:: atomic { faults > 0 -> faults-- }	/* the answer is lost, or COMMIT comes late */
		fi;
		if
		:: atomic { what == COMMITTED -> todo = without(view, d);
#ifdef NO_WAIT
				heard[w] = SUCCESS
#endif
			};
			apply(w, COMMITTED, todo)
		:: what != COMMITTED -> resolve(w, what, d, todo, saw)
		fi;
		goto tell;

abort:	/* D first, which cannot commit any more; then the decision, then the others */
		todo = without(view, d);
#ifdef NO_REGISTRY
		atomic { node[d].tx[w] = NONE; what = ABORTED };
#else
		node[d].tx[w] = NONE;
		atomic {
			if
			:: decision[w] == UNSAID -> decision[w] = ABORTED
			:: else
			fi;
			what = decision[w]
		};
#endif
		apply(w, what, todo);

tell:	atomic {
			if
			:: last_word[w] != SENT -> node[d].tx[w] = NONE
			:: else				/* what is on its way comes before the session's end */
			fi;
			heard[w] = (what == COMMITTED -> SUCCESS : (what == ABORTED -> FAILURE : GONE))
		};
over:	skip
	} unless { heard[w] == GONE }
}

#define in_doubt_of(w, n) (still(n, w) && node[n].tx[w] == PREPARED)
#define doubt_0(n) in_doubt_of(0, n)
#define doubt_1(n) in_doubt_of(WRITERS - 1, n)

#ifdef ROLES
#define is_asked asked
#else
#define is_asked true
#endif

/* Any session, at any time, also while the writer lives: it may just look dead. */
active proctype Recoverer()
{
	byte w, what, d, todo, saw;

end:
	do
	:: atomic { is_asked && set_of(doubt_0) != 0 -> w = 0 };
		resolve(w, what, d, todo, saw);
		atomic { what = 0; d = 0 }
#if WRITERS > 1
	:: atomic { set_of(doubt_1) != 0 -> w = 1 };
		resolve(w, what, d, todo, saw);
		atomic { what = 0; d = 0; w = 0 }
#endif
	od
}

#ifdef ROLES
/*
 * Rule 12 for a session of a role that is neither the transaction's nor the owner's: a tombstone of
 * its own would not be met by anything.
 */
active proctype Waiter()
{
	byte d;

end:
	do
#ifndef NO_ASKING
	:: atomic { !asked && set_of(doubt_0) != 0 -> asked = 1 }
#endif
	:: atomic { asked && set_of(doubt_0) == 0 -> asked = 0 }
#ifdef GUESSING
	/* it reads that there is no row, and takes that for an answer */
	:: atomic { d = first(members[0]); set_of(doubt_0) != 0 && still(d, 0) && node[d].alive && node[d].row[0] == UNSAID ->
			pick(set_of(doubt_0), d); node[d].tx[0] = NONE; d = 0 }
#endif
	od
}

/* A role that may use the nodes, knows the gid (pg_prepared_xacts shows it), and means harm. */
active proctype Forger()
{
	byte n;

end:
	do
	:: atomic { forgeries > 0 && members[0] != 0 ->
			forgeries--;
			pick(members[0], n);
			if
			:: n = n
			:: without(members[0], n) != 0 -> pick(without(members[0], n), n)
			fi;
			if
#ifdef NO_ROLE_KEY
			/* the key is the gid alone */
			:: node[n].row[0] == UNSAID -> node[n].row[0] = COMMITTED
			:: node[n].row[0] == UNSAID -> node[n].row[0] = ABORTED
#else
			:: node[n].forged = COMMITTED
			:: node[n].forged = ABORTED
#endif
			:: node[n].tx[0] == NONE -> node[n].fake = 1
#ifdef MAY_DELETE
			:: node[n].row[0] = UNSAID
#endif
			:: true
			fi;
			n = 0 }
	od
}
#endif

#ifdef REPAIR
#define is_repairable(n) ((n) < NODES && !node[n].current && node[n].alive)
#define is_source(n) ((n) < NODES && node[n].current)
#define idle(n) (node[n].tx[0] == NONE && node[n].tx[WRITERS - 1] == NONE)
#define doubt_about(n) \
	((set_of(doubt_0) != 0 && has(members[0], n)) || (set_of(doubt_1) != 0 && has(members[WRITERS - 1], n)))

/* Rule 20: node t from node s.  A crash of either ends the repair's session, and with it its locks. */
active proctype Repair()
{
	byte t, s, todo, base, times;

end:
	do
	:: atomic { set_of(is_repairable) != 0 && times < REPAIRS -> times++; pick(set_of(is_repairable), t); s = first(set_of(is_source)); base = epoch };
		/* first every transaction that names the target is resolved; then the shard's lock; then a look under it */
#ifdef NO_RESOLVE_FIRST
		atomic { node[s].alive && node[t].alive && idle(s) -> node[s].held = 1; node[t].held = 1 };
#else
		if
		:: !doubt_about(t)
		:: node[t].current || !node[s].current -> goto over
		fi;
		if
		:: atomic { node[s].alive && node[t].alive && idle(s) -> node[s].held = 1; node[t].held = 1 }
		:: !node[s].alive || !node[t].alive -> goto over
		:: node[s].alive && doubt_about(t) -> goto over
		fi;
		if
		:: doubt_about(t) || !node[s].current -> goto over
		:: else
		fi;
#endif
		/* old sessions end, what is prepared is rolled back, the rows are copied: one transaction */
		if
		:: atomic { node[s].held && node[t].held ->
#ifndef NO_OLD_SESSIONS
				node[t].tx[0] = NONE;
				node[t].tx[WRITERS - 1] = NONE;
#endif
				node[t].done[0] = node[s].done[0];
				node[t].done[WRITERS - 1] = node[s].done[WRITERS - 1];
				node[t].history = node[s].history;
#ifdef EARLY
				node[t].blank = 0;
#endif
				}
		:: !(node[s].held && node[t].held) -> goto over
		fi;
		/* the nodes learn the new epoch, then the registry */
		todo = set_of(is_current) | (1 << t);
		do
		:: atomic { todo != 0 && node[first(todo)].alive ->
#ifndef NO_TELL_NODES
				node[first(todo)].epoch = base + 1;
#endif
				todo = without(todo, first(todo)) }
		:: todo != 0 && !node[first(todo)].alive -> break
		:: todo == 0 -> break
		od;
		atomic {
			if
			:: todo == 0 && epoch == base && node[t].held && node[s].held -> node[t].current = 1; epoch = base + 1
			/* the nodes' epoch was raised for nothing: the registry catches up */
			:: epoch == base && !(todo == 0 && node[t].held && node[s].held) -> epoch = base + 1
			:: epoch != base
			fi
		};
over:	atomic { node[s].held = 0; node[t].held = 0; t = 0; s = 0; todo = 0; base = 0 }
	od
}
#endif

#ifdef CLEAN
/*
 * Rule 13: a transaction's rows go when nothing of it is left on any participant,
 * and nothing can come: its caller has heard, or its sessions are over.  The session on a
 * node that still works on a batch holds the lock that says so.
 */
#ifdef EARLY
#define may_come(w) (batch[w] == SENT)
#else
#define may_come(w) false
#endif
#define any_row(w) (node[0].row[w] != UNSAID || node[1].row[w] != UNSAID)
#define unresolved_0(n) (has(members[0], n) && node[n].current && !(node[n].alive && node[n].tx[0] == NONE))
#ifdef NO_CLEAN_RULE
#define cleanable any_row(0)
#else
#define cleanable (any_row(0) && heard[0] != NOTHING && !may_come(0) && set_of(unresolved_0) == 0)
#endif

active proctype Cleaner()
{
	byte todo;

end:
	do
	:: atomic { cleanable -> todo = EVERYBODY };
		do
		:: todo == 0 -> break
		:: atomic { todo != 0 && node[first(todo)].alive -> node[first(todo)].row[0] = UNSAID; todo = without(todo, first(todo)) }
		:: atomic { todo != 0 && !node[first(todo)].alive -> todo = without(todo, first(todo)) }
		od
	od
}
#endif

#ifdef READER
/*
 * A session of another front.  Time passes for its lease as it likes; a lease that
 * is over is renewed only together with the map.
 */
active proctype Front()
{
end:
	do
	:: atomic { lease -> lease = 0 }
	:: atomic { known != set_of(is_staying) || !lease -> known = set_of(is_staying); lease = 1 }
	od
}

active proctype Reader()
{
	byte n;
	bit must, saw, again;

	/* a placement by the map and under a lease */
	atomic { lease -> pick(known & ((1 << NODES) - 1), n); must = (heard[0] == SUCCESS) };
	if
	:: atomic { node[n].alive -> saw = node[n].done[0] }
	:: atomic { !node[n].alive -> again = 1 }
	fi;
#ifndef NO_LOOK_AFTER
	/* rule 22: the lease and the map are looked at after the reply, too */
	atomic { again = again | !(lease && has(known, n)) };
#endif
	assert(again || !must || saw)
}
#endif

/* What goes wrong, and what gets well again. */
active proctype World()
{
	byte n;

end:
	do
	/* a node crashes: it is down, or back before any session notices */
	:: atomic { faults > 0 && set_of(is_dead) != EVERYBODY ->
			faults--;
			pick(EVERYBODY & ~set_of(is_dead), n);
			node[n].tx[0] = (node[n].tx[0] == WORKING -> NONE : node[n].tx[0]);
			node[n].tx[WRITERS - 1] = (node[n].tx[WRITERS - 1] == WORKING -> NONE : node[n].tx[WRITERS - 1]);
			node[n].held = 0;
#ifdef EARLY
			cut_off(n, 0);
			cut_off(n, WRITERS - 1);
#endif
			if
			:: node[n].alive = 0
			:: true
			fi;
			n = 0 }
	/* it is back; an evicted one perhaps with an empty disk */
	:: atomic { set_of(is_dead) != 0 ->
			pick(set_of(is_dead), n);
			node[n].alive = 1;
			if
			:: true
			:: !node[n].current ->
				node[n].tx[0] = NONE; node[n].row[0] = UNSAID; node[n].done[0] = 0;
				node[n].tx[WRITERS - 1] = NONE; node[n].row[WRITERS - 1] = UNSAID; node[n].done[WRITERS - 1] = 0;
				node[n].history = 0;
#ifdef EARLY
				node[n].blank = 1
#endif
			fi;
			n = 0 }
#ifdef EARLY
	:: atomic { batch[0] == SENT && node[goes_to(0)].alive -> run_batch(0) }
#if WRITERS > 1
	:: atomic { batch[1] == SENT && node[goes_to(1)].alive -> run_batch(1) }
#endif
#endif
	:: atomic { last_word[0] == SENT && node[deciding(0)].alive -> run_commit(0) }
#if WRITERS > 1
	:: atomic { last_word[1] == SENT && node[deciding(1)].alive -> run_commit(1) }
#endif
	/* a writer dies; the nodes notice that, before or after what it has sent last */
	:: atomic { faults > 0 && heard[0] == NOTHING -> faults--; heard[0] = GONE }
	:: atomic { heard[0] == GONE && set_of(is_late_0) != 0 -> pick(set_of(is_late_0), n); node[n].tx[0] = NONE; n = 0 }
#if WRITERS > 1
	:: atomic { faults > 0 && heard[1] == NOTHING -> faults--; heard[1] = GONE }
	:: atomic { heard[1] == GONE && set_of(is_late_1) != 0 -> pick(set_of(is_late_1), n); node[n].tx[1] = NONE; n = 0 }
#endif
	od
}

/* ---- the invariants ---- */

#define missing_0(n) (node[n].current && !node[n].done[0])
#define missing_1(n) (node[n].current && !node[n].done[WRITERS - 1])
#define there_0(n) (node[n].current && node[n].done[0])
#define there_1(n) (node[n].current && node[n].done[WRITERS - 1])
#define undone_0(n) (node[n].current && !node[n].done[0] && node[n].tx[0] == NONE)
#define undone_1(n) (node[n].current && !node[n].done[WRITERS - 1] && node[n].tx[WRITERS - 1] == NONE)
#define other_order(a, b) (node[a].current && node[b].current && node[a].history != node[b].history && \
	node[a].done[0] && node[a].done[WRITERS - 1] && node[b].done[0] && node[b].done[WRITERS - 1])

active proctype Monitor()
{
end:
	do
	/* I1, I5 */
	:: atomic { (heard[0] == SUCCESS && set_of(missing_0) != 0) ||
			(heard[WRITERS - 1] == SUCCESS && set_of(missing_1) != 0) ->
			printf("found: an acknowledged write is not on every active node\n"); assert(false) }
	/* I2, I3 */
	:: atomic { (set_of(there_0) != 0 && set_of(undone_0) != 0) || (set_of(there_1) != 0 && set_of(undone_1) != 0) ->
			printf("found: committed here, rolled back there\n"); assert(false) }
	/* I4 */
	:: atomic { (heard[0] == FAILURE && set_of(there_0) != 0) ||
			(heard[WRITERS - 1] == FAILURE && set_of(there_1) != 0) ->
			printf("found: a failure was reported of what is committed\n"); assert(false) }
	/* I7 */
	:: atomic { other_order(0, 1) || other_order(0, NODES - 1) ->
			printf("found: two writes in two orders\n"); assert(false) }
	/* I6: when nothing else can move, nothing waits */
	:: atomic { timeout && (set_of(doubt_0) != 0 || set_of(doubt_1) != 0 || heard[0] == NOTHING || heard[WRITERS - 1] == NOTHING) ->
			printf("found: a session waits for ever\n"); assert(false) }
	od
}

init
{
	atomic {
		run Writer(0);
#if WRITERS > 1
		run Writer(1)
#endif
	}
}
