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
#include "transaction/front_xact.h"

PG_MODULE_MAGIC;

extern void _PG_init(void);

/*
 * The callbacks of the end of a transaction, in the order in which they must run: the
 * remote transactions use cluster maps, which the last one frees.
 */
static void
xact_callback(XactEvent event, void *arg)
{
	plshard_call_id_xact_event(event);
	plshard_front_xact_event(event);
	plshard_cluster_xact_event(event);
}

static void
subxact_callback(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	plshard_call_id_subxact_event(event);
	plshard_front_subxact_event(event);
}

void
_PG_init(void)
{
	plshard_settings_init();
	plshard_cluster_init();
	RegisterXactCallback(xact_callback, NULL);
	RegisterSubXactCallback(subxact_callback, NULL);
	plshard_recovery_worker_init();
}
