/*
 * settings.c
 *
 * Defines the settings plshard.*.  Every user may set them, except
 * connect_by_expression, which grants a privilege, and recovery_interval, which is the
 * background worker's.
 */
#include "postgres.h"

#include <limits.h>

#include "base/inject.h"
#include "base/settings.h"
#include "miscadmin.h"
#include "utils/guc.h"

bool		plshard_log_remote_commands = false;
int			plshard_max_connections_per_node = 1;
int			plshard_max_prepared_statements = 1000;
bool		plshard_connect_by_expression = false;
int			plshard_recovery_interval = 10000;
int			plshard_deadlock_timeout = 1000;
bool		plshard_compare_results = true;
char	   *plshard_call_id_setting = NULL;
bool		plshard_is_preloaded = false;

static bool
check_call_id(char **value, void **extra, GucSource source)
{
	if (strlen(*value) <= CALL_ID_LENGTH)
		return true;
	GUC_check_errdetail("An id has at most %d bytes.", CALL_ID_LENGTH);
	return false;
}

void
plshard_settings_init(void)
{
	plshard_is_preloaded = process_shared_preload_libraries_in_progress;

	DefineCustomBoolVariable("plshard.log_remote_commands",
							 "Shows every command that is sent to a node as a NOTICE.",
							 NULL,
							 &plshard_log_remote_commands,
							 false,
							 PGC_USERSET, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("plshard.max_connections_per_node",
							"Connections that one session may use for a read of several shards on one node.",
							"Writes always use one connection a node.",
							&plshard_max_connections_per_node,
							1, 1, 64,
							PGC_USERSET, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("plshard.max_prepared_statements",
							"Prepared statements kept on one connection to a node.",
							"The least recently used ones are deallocated first.",
							&plshard_max_prepared_statements,
							1000, 8, INT_MAX,
							PGC_USERSET, 0, NULL, NULL, NULL);

	DefineCustomStringVariable("plshard.call_id",
							   "Identifies the calls of this transaction: repeated under it they are not run again.",
							   "Meant for SET LOCAL.",
							   &plshard_call_id_setting,
							   "",
							   PGC_USERSET, 0, check_call_id, NULL, NULL);

	DefineCustomBoolVariable("plshard.compare_results",
							 "Compares what the replicas of a shard return for a write.",
							 "Off is meant for functions whose results differ though the data does not: ALTER FUNCTION ... SET.",
							 &plshard_compare_results,
							 true,
							 PGC_USERSET, 0, NULL, NULL, NULL);

	DefineCustomBoolVariable("plshard.connect_by_expression",
							 "Lets functions that no superuser owns CONNECT to the value of an expression.",
							 NULL,
							 &plshard_connect_by_expression,
							 false,
							 PGC_SUSET, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("plshard.recovery_interval",
							"How often the background worker resolves transactions in doubt.",
							"0 switches it off. The worker needs plshard in shared_preload_libraries.",
							&plshard_recovery_interval,
							10000, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("plshard.deadlock_timeout",
							"Time that a call waits for an answer before it looks for a deadlock between nodes.",
							NULL,
							&plshard_deadlock_timeout,
							1000, 1, INT_MAX / 1000,
							PGC_USERSET, GUC_UNIT_MS, NULL, NULL, NULL);

	plshard_inject_init();
	MarkGUCPrefixReserved("plshard");
}
