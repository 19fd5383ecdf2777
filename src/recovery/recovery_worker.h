/*
 * recovery_worker.h
 *
 * The background worker that recovers all catalog clusters of all databases, every
 * plshard.recovery_interval.  It runs where the library is in
 * shared_preload_libraries.
 */
#ifndef PLSHARD_RECOVERY_WORKER_H
#define PLSHARD_RECOVERY_WORKER_H

/* Called by _PG_init, after plshard_settings_init: registers the worker at the server's start. */
extern void plshard_recovery_worker_init(void);

#endif							/* PLSHARD_RECOVERY_WORKER_H */
