/*
 * plshard.c
 *
 * Module start: settings and callbacks of the rooms that keep state between
 * calls.  Memory that outlives a transaction hangs below CacheMemoryContext:
 * cluster maps (cluster.c), compiled functions (funccache.c) and node
 * connections (connection.c).
 */
#include "postgres.h"

#include "base/settings.h"
#include "call/call_id.h"
#include "cluster/cluster.h"
#include "fmgr.h"
#include "recovery/recovery_worker.h"
#include "transaction/remote_xact.h"

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
