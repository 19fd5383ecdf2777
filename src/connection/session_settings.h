/*
 * session_settings.h
 *
 * The settings that are the same in every session of plshard on a node.
 */
#ifndef PLSHARD_SESSION_SETTINGS_H
#define PLSHARD_SESSION_SETTINGS_H

typedef enum SessionUse
{
	SESSION_FOR_CALLS = 1,
	SESSION_POOLED = 2,			/* set in each transaction, for that transaction only */
	SESSION_FOR_ADMIN = 4
} SessionUse;

/*
 * The settings as calls of set_config, separated by commas; *n is their number.  The
 * text stays valid until the process ends for calls, else it is palloc'd.  "server_version" is
 * libpq's number for the node.
 */
extern const char *plshard_session_settings(SessionUse use, int server_version, int *n);

#endif							/* PLSHARD_SESSION_SETTINGS_H */
