/*
 * inject.h
 *
 * Points at which a test can end, stop or fail a session, in builds with
 * "make INJECTION=1" (as "make test" makes them).  Other builds have none of them.
 *
 * The setting plshard.inject = 'point:action' does one of these when the session
 * comes to the point, once for each time that it is set:
 *
 *   kill    SIGKILL to itself: the front's server restarts
 *   stop    SIGSTOP to itself, until it receives SIGCONT
 *   error   an error, SQLSTATE PS999
 */
#ifndef PLSHARD_INJECT_H
#define PLSHARD_INJECT_H

#ifdef PLSHARD_INJECTION
/* Defines the setting; called by plshard_settings_init. */
extern void plshard_inject_init(void);

/* Does what the setting has for this point, if anything. */
extern void plshard_inject(const char *point);
#else
#define plshard_inject_init() ((void) 0)
#define plshard_inject(point) ((void) 0)
#endif

#endif							/* PLSHARD_INJECT_H */
