/*
 * session_key.c
 *
 * The name of this session on the nodes.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "common/hashfn.h"
#include "connection/session_key.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

int32
plshard_server_key(uint64 system_identifier, int64 started)
{
	/* fronts may be copies of one another, but are not started in the same microsecond */
	struct
	{
		uint64		system_identifier;
		int64		started;
	}			server = {system_identifier, started};

	return (int32) hash_bytes((const unsigned char *) &server, sizeof(server));
}

int32
plshard_front_key(void)
{
	return plshard_server_key(GetSystemIdentifier(),
							  PgStartTime + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY);
}

char *
plshard_session_key_sql(bool of_transaction)
{
	return psprintf("pg_catalog.pg_advisory_%slock_shared(%d, %d)", of_transaction ? "xact_" : "",
					plshard_front_key(), MyProcPid);
}
