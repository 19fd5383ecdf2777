/*
 * unique_id.c
 *
 * plshard.unique_id(): 63-bit numbers, unique over all fronts and roughly
 * ordered by time, without communication between the fronts.
 *
 *		| 48 bits: slot of 8 us since 2024 | 15 bits: generator |
 *
 * The generator's number is drawn by the strong random source when the shared
 * memory is set up, that is at each start of the front's server.
 *
 * Within a front: all backends, of all its databases, take the next slots, from
 * max(last slot + 1, now) on, from one atomic word in shared memory.  So no slot is
 * given twice, also when the clock steps back, and the numbers of a front ascend in the
 * order in which they were taken.  125,000 a second can be taken continuously; a faster
 * burst moves the slots ahead of the clock, which then catches up.
 *
 * Between fronts, and between a front before and after a restart: equal numbers
 * need both the same slot of 8 us and the same generator.  The chance that any
 * two of n fronts have drawn the same generator is about n * (n - 1) / 65536,
 * 0.14 % for ten, and two such fronts still collide only if both make a number in the
 * same slot.  So this is very likely, not certain: a key that must be unique
 * has a unique index, which reports the duplicate.  The slots last until 2095.
 *
 * Nothing is allocated but the shared words, which live as long as the server.
 */
#include "postgres.h"

#include "cluster/unique_id.h"
#include "fmgr.h"
#include "port/atomics.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#define SLOT_MICROSECONDS 8

/* 2024-01-01 00:00 UTC in PostgreSQL's microseconds since 2000-01-01 */
#define ID_EPOCH (INT64CONST(8766) * USECS_PER_DAY)

typedef struct UniqueIdState
{
	pg_atomic_uint64 last_slot;
	uint16		generator;
} UniqueIdState;

PG_FUNCTION_INFO_V1(plshard_unique_id);

/* The shared state, initialized at its first use.  Errors: 53200 without shared memory. */
static UniqueIdState *
shared_state(void)
{
	static UniqueIdState *state = NULL;
	uint16		random;
	bool		found;

	if (state != NULL)
		return state;

	/* before the lock, since no error may leave the state uninitialized */
	if (!pg_strong_random(&random, sizeof(random)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate a random number")));
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	state = ShmemInitStruct("plshard unique_id", sizeof(UniqueIdState), &found);
	if (!found)
	{
		pg_atomic_init_u64(&state->last_slot, 0);
		state->generator = random & ((1 << GENERATOR_BITS) - 1);
	}
	LWLockRelease(AddinShmemInitLock);
	return state;
}

int64
plshard_take_unique_ids(int n)
{
	UniqueIdState *state = shared_state();
	int64		now = (GetCurrentTimestamp() - ID_EPOCH) / SLOT_MICROSECONDS;
	uint64		last = pg_atomic_read_u64(&state->last_slot);
	uint64		slot;

	do
	{
		/* with a clock before 2024, ids count from 1 */
		slot = Max((int64) last + 1, now);
	} while (!pg_atomic_compare_exchange_u64(&state->last_slot, &last, slot + n - 1));
	return (int64) (slot << GENERATOR_BITS | state->generator);
}

Datum
plshard_unique_id(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(plshard_take_unique_ids(1));
}
