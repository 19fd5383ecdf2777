/*
 * session_key.h
 *
 * What names this session of this front on the nodes: each connection holds a
 * shared advisory lock with this two-part key for as long as it lives (a pooled one
 * in each of the caller's transactions), so that
 * pg_locks shows which sessions of a node belong to one session of a
 * front, and whether that session is still there.  (The one-part keys of
 * locks.h cannot meet it.)
 */
#ifndef PLSHARD_SESSION_KEY_H
#define PLSHARD_SESSION_KEY_H

/*
 * The first part is the front's: it changes with each start of its server.  The
 * second is the process id of the session.
 */
extern int32 plshard_front_key(void);

/*
 * The key that a server has as a front: its system identifier, and when it was
 * started, in microseconds since 1970.
 */
extern int32 plshard_server_key(uint64 system_identifier, int64 started);

/*
 * The call of a SQL function that takes the lock, for the session or (behind a
 * pooler) for the transaction, for a target list.  palloc'd.
 */
extern char *plshard_session_key_sql(bool of_transaction);

#endif							/* PLSHARD_SESSION_KEY_H */
