/*
 * plshard.c
 *
 * Module start: settings and callbacks of the rooms that keep state between
 * calls.  Memory that outlives a transaction hangs below CacheMemoryContext:
 * cluster maps (cluster.c), compiled functions (funccache.c) and node
 * connections (connection.c).
 */
#include "postgres.h"

#include "call_id.h"
#include "cluster.h"
#include "fmgr.h"
#include "recovery_worker.h"
#include "remote_xact.h"
#include "settings.h"

PG_MODULE_MAGIC;

extern void _PG_init(void);

void
_PG_init(void)
{
	plshard_settings_init();
	plshard_cluster_init();
	plshard_remote_xact_init();
	plshard_call_id_init();
	plshard_recovery_worker_init();
}
