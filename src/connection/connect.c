/*
 * connect.c
 *
 * libpq's handshake.  libpq allocates with malloc: the caller that starts a connection ends it.
 */
#include "postgres.h"

#include "base/wait.h"
#include "connection/connect.h"
#include "storage/fd.h"

PGconn *
plshard_connect_start(const NodeConninfo *info, const char *node_name)
{
	PGconn	   *pg;

	if (!AcquireExternalFD())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("could not connect to node \"%s\": this session has too many open files and connections",
						node_name),
				 errhint("Raise max_files_per_process on the front, or use fewer nodes in one session.")));
	pg = PQconnectStartParams(info->keywords, info->values, 0);
	if (pg == NULL)
	{
		ReleaseExternalFD();
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	}
	PQsetErrorVerbosity(pg, PQERRORS_VERBOSE);
	return pg;
}

ConnectStep
plshard_connect_step(PGconn *pg, bool password_required, uint32 *events)
{
	*events = 0;
	switch (PQconnectPoll(pg))
	{
		case PGRES_POLLING_READING:
			*events = WL_SOCKET_READABLE;
			return CONNECT_WAITS;
		case PGRES_POLLING_WRITING:
			*events = WL_SOCKET_WRITEABLE;
			return CONNECT_WAITS;
		case PGRES_POLLING_OK:
			break;
		default:
			return CONNECT_FAILED;
	}
	if (!plshard_connection_is_secure(pg, password_required))
		return CONNECT_INSECURE;
	return PQsetnonblocking(pg, 1) == 0 ? CONNECT_UP : CONNECT_FAILED;
}

void
plshard_connect_end(PGconn **pg, pgsocket *fd)
{
	if (*pg == NULL)
		return;
	plshard_wait_forget(*fd);
	*fd = PGINVALID_SOCKET;
	PQfinish(*pg);
	*pg = NULL;
	ReleaseExternalFD();
}
