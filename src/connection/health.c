/*
 * health.c
 *
 * Which nodes answer.  What sessions have seen is shared in a small table in
 * shared memory, made by the first session that needs it (no preload needed);
 * where there is no room for it, each session has only its own.  Probes use
 * connections of their own, freed on error by a PG_TRY block.
 */
#include "postgres.h"

#include "base/compat.h"
#include "base/wait.h"
#include "connection/connect.h"
#include "connection/health.h"
#include "connection/remote_error.h"
#include "connection/remote_result.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "storage/spin.h"
#include "utils/memutils.h"

#define HEALTH_SLOTS 512

typedef struct HealthSlot
{
	uint64		node;			/* ClusterNode.identity; 0: free */
	Deadline	retry_at;		/* 0: alive */
} HealthSlot;

typedef struct HealthTable
{
	slock_t		mutex;
	volatile int ndead;			/* slots with a retry_at: mostly none, and then
								 * the slots need not be searched */
	HealthSlot	slots[HEALTH_SLOTS];
} HealthTable;

static HealthTable *table = NULL;

/* The table of a new piece of memory: no node is dead. */
static void
init_table(void *memory)
{
	HealthTable *new = memory;

	memset(new, 0, sizeof(HealthTable));
	SpinLockInit(&new->mutex);
}

#ifdef plshard_named_segment

static HealthTable *
get_table(void)
{
	bool		found;

	if (table == NULL)
		table = plshard_named_segment("plshard health", sizeof(HealthTable), init_table, &found);
	return table;
}

#else

/*
 * Finds or makes the table in shared memory; NULL where there is no room left for it.  That
 * error alone is caught: ShmemInitStruct raises it when it holds nothing any more, so there is
 * nothing to clean up but the error itself.
 */
static HealthTable *
find_shared_table(bool *found)
{
	MemoryContext context = CurrentMemoryContext;
	HealthTable *volatile shared = NULL;

	PG_TRY();
	{
		shared = ShmemInitStruct("plshard health", sizeof(HealthTable), found);
	}
	PG_CATCH();
	{
		if (geterrcode() != ERRCODE_OUT_OF_MEMORY)
			PG_RE_THROW();
		HOLD_INTERRUPTS();		/* as AddinShmemInitLock did: the error has reset that */
		MemoryContextSwitchTo(context);
		FlushErrorState();
	}
	PG_END_TRY();
	return shared;
}

/* The table; this process's own where shared memory is full. */
static HealthTable *
get_table(void)
{
	bool		found = false;

	if (table != NULL)
		return table;
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	table = find_shared_table(&found);
	if (table == NULL)
		table = MemoryContextAlloc(TopMemoryContext, sizeof(HealthTable));
	if (!found)
		init_table(table);
	LWLockRelease(AddinShmemInitLock);
	return table;
}

#endif

/* The node's slot; a free one, or an old one in its place, if it has none.  Under the mutex. */
static HealthSlot *
find_slot(HealthTable *t, const ClusterMap *map, int node, bool make)
{
	uint64		id = map->nodes[node].identity;
	int			start = id % HEALTH_SLOTS;

	for (int i = 0; i < 8; i++)
	{
		HealthSlot *slot = &t->slots[(start + i) % HEALTH_SLOTS];

		if (slot->node == id)
			return slot;
		if (make && (slot->node == 0 || slot->retry_at == 0))
		{
			slot->node = id;
			return slot;
		}
	}
	return NULL;
}

bool
plshard_node_looks_dead(const ClusterMap *map, int node)
{
	HealthTable *t = get_table();
	HealthSlot *slot;
	Deadline	retry_at = 0;

	if (t->ndead == 0)
		return false;
	SpinLockAcquire(&t->mutex);
	slot = find_slot(t, map, node, false);
	if (slot)
		retry_at = slot->retry_at;
	SpinLockRelease(&t->mutex);
	return retry_at != 0 && plshard_clock() < retry_at;
}

void
plshard_node_try(const ClusterMap *map, int node)
{
	HealthTable *t = get_table();
	HealthSlot *slot;

	if (t->ndead == 0)
		return;
	SpinLockAcquire(&t->mutex);
	slot = find_slot(t, map, node, false);
	if (slot && slot->retry_at != 0)
		slot->retry_at = plshard_clock() + (Deadline) map->options.node_timeout * 1000;
	SpinLockRelease(&t->mutex);
}

void
plshard_node_seen(const ClusterMap *map, int node, bool alive)
{
	HealthTable *t = get_table();
	HealthSlot *slot;
	Deadline	retry_at = alive ? 0 : plshard_clock() + (Deadline) map->options.node_timeout * 1000;

	if (alive && t->ndead == 0)
		return;
	SpinLockAcquire(&t->mutex);
	slot = find_slot(t, map, node, !alive);
	if (slot)
	{
		t->ndead += (retry_at != 0) - (slot->retry_at != 0);
		slot->retry_at = retry_at;
	}
	SpinLockRelease(&t->mutex);
}

/* The node in question, and some that show whether the front itself is cut off. */
#define NPROBES 4

typedef enum ProbeState
{
	PROBE_PAUSED,				/* the server starts or stops: connect again at "again" */
	PROBE_CONNECTING,
	PROBE_ASKING,
	PROBE_ANSWERED,
	PROBE_FAILED
} ProbeState;

typedef struct Probe
{
	int			node;
	ProbeState	state;
	PGconn	   *pg;
	bool		password_required;
	uint32		events;
	Deadline	again;
} Probe;

/* Ends the probe's connection, if it has one. */
static void
probe_close(Probe *probe)
{
	pgsocket	fd = PGINVALID_SOCKET;	/* waited for as a passing one only */

	plshard_connect_end(&probe->pg, &fd);
}

/* The connection has failed: whether that is an answer, or to be tried again. */
static void
probe_refused(Probe *probe)
{
	int			sqlstate = plshard_connection_sqlstate(probe->pg);
	bool		answered = plshard_server_answered(probe->pg);

	probe_close(probe);
	if (answered)
		probe->state = PROBE_ANSWERED;
	else if (sqlstate == ERRCODE_CANNOT_CONNECT_NOW)
	{
		/* it is starting, or stopping: the time-out decides */
		probe->state = PROBE_PAUSED;
		probe->again = plshard_clock() + 50 * 1000;
	}
	else
		probe->state = PROBE_FAILED;
}

/* Begins to connect. */
static void
probe_start(Probe *probe, const ClusterMap *map, Oid userid)
{
	NodeConninfo info;

	plshard_build_conninfo(map, probe->node, userid, &info);
	probe->pg = plshard_connect_start(&info, map->nodes[probe->node].name);
	probe->password_required = info.password_required;
	probe->state = PROBE_CONNECTING;
	probe->events = WL_SOCKET_WRITEABLE;
	if (PQstatus(probe->pg) == CONNECTION_BAD)
		probe_refused(probe);
}

/* Sends what libpq still holds of the question, and sets what to wait for. */
static void
probe_flush(Probe *probe)
{
	int			unsent = PQflush(probe->pg);

	if (unsent < 0)
		probe->state = PROBE_FAILED;
	probe->events = WL_SOCKET_READABLE | (unsent > 0 ? WL_SOCKET_WRITEABLE : 0);
}

/* Goes on after its socket has become ready. */
static void
probe_advance(Probe *probe, bool pooled)
{
	PGresult   *result;

	if (probe->state == PROBE_CONNECTING)
	{
		switch (plshard_connect_step(probe->pg, probe->password_required, &probe->events))
		{
			case CONNECT_WAITS:
				return;
			case CONNECT_UP:
				if (pooled)
					/* an answer can take as long as other sessions keep their connections */
					probe->state = PROBE_ANSWERED;
				else
				{
					probe->state = PQsendQuery(probe->pg, "SELECT 1") ? PROBE_ASKING : PROBE_FAILED;
					probe_flush(probe);
				}
				return;
			case CONNECT_INSECURE:
				/* nothing may be sent on it, but the server is there */
				probe_close(probe);
				probe->state = PROBE_ANSWERED;
				return;
			case CONNECT_FAILED:
				probe_refused(probe);
				return;
		}
	}

	Assert(probe->state == PROBE_ASKING);
	probe_flush(probe);
	if (!PQconsumeInput(probe->pg))
		probe->state = PROBE_FAILED;
	if (probe->state == PROBE_FAILED || PQisBusy(probe->pg))
		return;
	result = PQgetResult(probe->pg);
	probe->state = plshard_has_shape(result, 1, 1, 0) ? PROBE_ANSWERED : PROBE_FAILED;
	PQclear(result);
}

/*
 * Probes nodes at once, until the first one's state is clear and (where there are more)
 * one of the others has answered, at the longest until the deadline.  What has
 * come is read before the clock is: a front that was stopped itself must not
 * take that for the node's silence.
 */
static void
run_probes(Probe *probes, const ClusterMap *map, Oid userid, Deadline deadline)
{
	bool		expired = false;

	for (;;)
	{
		WaitSocket	sockets[NPROBES];
		Probe	   *waiting[NPROBES];
		int			n = 0;
		bool		other_answers = false;
		bool		others_open = false;
		Deadline	wake = deadline;

		for (int i = 0; i < NPROBES; i++)
		{
			Probe	   *p = &probes[i];

			if (p->state == PROBE_PAUSED && deadline_passed(p->again))
				probe_start(p, map, userid);
			if (p->state == PROBE_PAUSED)
				wake = deadline_min(wake, p->again);
			else if (p->state == PROBE_CONNECTING || p->state == PROBE_ASKING)
			{
				sockets[n].fd = PQsocket(p->pg);
				sockets[n].events = p->events;
				sockets[n].passing = true;
				waiting[n++] = p;
			}
			if (i > 0)
			{
				other_answers |= p->state == PROBE_ANSWERED;
				others_open |= p->state < PROBE_ANSWERED;
			}
		}
		if (probes[0].state == PROBE_ANSWERED ||
			(probes[0].state == PROBE_FAILED && (other_answers || !others_open)) || expired)
			return;
		expired = plshard_wait(sockets, n, wake) == 0 && deadline_passed(deadline);
		for (int i = 0; i < n; i++)
		{
			if (sockets[i].ready)
				probe_advance(waiting[i], map->options.pooled);
		}
	}
}

bool
plshard_probe_node(const ClusterMap *map, int node, Oid userid, bool known_dead, Deadline deadline,
				   bool *other_answers)
{
	Probe		probes[NPROBES];
	bool		answers;

	memset(probes, 0, sizeof(probes));
	for (int i = 0; i < NPROBES; i++)
	{
		bool		wanted = i == 0 ? !known_dead : other_answers && i < map->nnodes;

		probes[i].node = (node + i) % map->nnodes;
		probes[i].state = wanted ? PROBE_PAUSED : PROBE_FAILED;
		probes[i].again = plshard_clock();
	}

	PG_TRY();
	{
		run_probes(probes, map, userid, deadline_min(deadline, deadline_in(map->options.node_timeout)));
	}
	PG_FINALLY();
	{
		for (int i = 0; i < NPROBES; i++)
			probe_close(&probes[i]);
	}
	PG_END_TRY();

	answers = probes[0].state == PROBE_ANSWERED;
	for (int i = 1; other_answers && i < NPROBES; i++)
		*other_answers |= probes[i].state == PROBE_ANSWERED;
	if (answers || !deadline_passed(deadline))
		plshard_node_seen(map, node, answers);
	return answers;
}

bool
plshard_node_answers(const ClusterMap *map, int node, Oid userid, Deadline deadline)
{
	return plshard_probe_node(map, node, userid, false, deadline, NULL);
}
