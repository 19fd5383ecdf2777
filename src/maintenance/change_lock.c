/*
 * change_lock.c
 *
 * A lock on a cluster's foreign server.  Changes do not exclude each other
 * here, nor do repairs.  A held definition belongs to the top transaction, as
 * it outlives the subtransaction in which a repair takes a step.
 */
#include "postgres.h"

#include "catalog/pg_foreign_server.h"
#include "maintenance/change_lock.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/resowner.h"

#define CHANGE_LOCK RowExclusiveLock
#define DEFINITION_LOCK ShareLock

void
plshard_lock_for_change(Oid server_oid)
{
	LockDatabaseObject(ForeignServerRelationId, server_oid, 0, CHANGE_LOCK);
}

bool
plshard_hold_definition(Oid server_oid)
{
	ResourceOwner owner = CurrentResourceOwner;
	LockAcquireResult result = LOCKACQUIRE_NOT_AVAIL;
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, ForeignServerRelationId, server_oid, 0);
	PG_TRY();
	{
		CurrentResourceOwner = TopTransactionResourceOwner;
		result = LockAcquire(&tag, DEFINITION_LOCK, false, true);
	}
	PG_FINALLY();
	{
		CurrentResourceOwner = owner;
	}
	PG_END_TRY();
	return result != LOCKACQUIRE_NOT_AVAIL;
}

void
plshard_release_definition(Oid server_oid)
{
	ResourceOwner owner = CurrentResourceOwner;
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, ForeignServerRelationId, server_oid, 0);
	CurrentResourceOwner = TopTransactionResourceOwner;
	(void) LockRelease(&tag, DEFINITION_LOCK, false);
	CurrentResourceOwner = owner;
}
