/*
 * plshard.c
 *
 * Module start: defines the settings and registers the callbacks of the files that
 * keep state between calls.  Memory that outlives a transaction is below
 * CacheMemoryContext: cluster maps (cluster/), connections to nodes (connection/) and
 * compiled functions (language/).
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
