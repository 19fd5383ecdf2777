/*
 * session_key.c
 *
 * The name of this session on the nodes.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "session_key.h"
#include "utils/timestamp.h"

int32
plshard_front_key(void)
{
	/* fronts may be copies of one another, but are not started in the same microsecond */
	struct
	{
		uint64		system_identifier;
		int64		started;
	}			front = {GetSystemIdentifier(), PgStartTime};

	return (int32) hash_bytes((const unsigned char *) &front, sizeof(front));
}

char *
plshard_session_key_sql(void)
{
	return psprintf("pg_catalog.pg_advisory_lock_shared(%d, %d)", plshard_front_key(), MyProcPid);
}
