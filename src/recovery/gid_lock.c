/*
 * gid_lock.c
 *
 * A lock of the front's transaction, which each session of the server can query.
 */
#include "postgres.h"

#include "base/compat.h"
#include "common/hashfn.h"
#include "connection/session_key.h"
#include "recovery/gid_lock.h"
#include "storage/lock.h"
#include "utils/resowner.h"

/* Advisory locks of users have 1 or 2 there. */
#define GID_LOCK 3

/* Not of one database: several of the server may be fronts of a cluster. */
static LOCKTAG
lock_tag(const Gid *gid)
{
	uint64		key = hash_bytes_extended(gid->random, sizeof(gid->random), 0);
	LOCKTAG		tag;

	SET_LOCKTAG_ADVISORY(tag, InvalidOid, (uint32) (key >> 32), (uint32) key, GID_LOCK);
	return tag;
}

static void
lock_or_release(const Gid *gid, bool lock)
{
	ResourceOwner owner = CurrentResourceOwner;
	LOCKTAG		tag = lock_tag(gid);

	PG_TRY();
	{
		CurrentResourceOwner = TopTransactionResourceOwner;
		if (lock)
			(void) LockAcquire(&tag, ExclusiveLock, false, false);
		else
			(void) LockRelease(&tag, ExclusiveLock, false);
	}
	PG_FINALLY();
	{
		CurrentResourceOwner = owner;
	}
	PG_END_TRY();
}

void
plshard_gid_open(const Gid *gid)
{
	lock_or_release(gid, true);
}

void
plshard_gid_close(const Gid *gid)
{
	lock_or_release(gid, false);
}

bool
plshard_gid_is_open(const Gid *gid)
{
	LOCKTAG		tag = lock_tag(gid);
	int			others = 0;

	if (gid->front_key != plshard_front_key())
		return false;
	if (plshard_lock_held_by_me(&tag, ExclusiveLock))
		return true;
	(void) GetLockConflicts(&tag, ExclusiveLock, &others);
	return others > 0;
}
