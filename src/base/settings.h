/*
 * settings.h
 *
 * The settings plshard.*.
 */
#ifndef PLSHARD_SETTINGS_H
#define PLSHARD_SETTINGS_H

/* The maximum length of plshard.call_id in bytes. */
#define CALL_ID_LENGTH 200

extern bool plshard_log_remote_commands;	/* plshard.log_remote_commands */
extern int	plshard_max_connections_per_node;	/* plshard.max_connections_per_node */
extern int	plshard_max_prepared_statements;	/* plshard.max_prepared_statements, a connection */
extern bool plshard_connect_by_expression;	/* plshard.connect_by_expression */
extern int	plshard_recovery_interval;	/* plshard.recovery_interval, in milliseconds; 0: never */
extern int	plshard_deadlock_timeout;	/* plshard.deadlock_timeout, in ms */
extern bool plshard_compare_results;	/* plshard.compare_results */
extern char *plshard_call_id_setting;	/* plshard.call_id */

/* True if the library was loaded by shared_preload_libraries. */
extern bool plshard_is_preloaded;

/* Defines the GUCs; called once, by _PG_init, before all that reads one. */
extern void plshard_settings_init(void);

#endif							/* PLSHARD_SETTINGS_H */
