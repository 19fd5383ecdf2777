/*
 * gid_lock.h
 *
 * Which distributed transactions of this server's sessions are still open.
 */
#ifndef PLSHARD_GID_LOCK_H
#define PLSHARD_GID_LOCK_H

#include "cluster/gid.h"

/*
 * To be called before anything is prepared under the gid: it is open until the front's
 * transaction has ended, callbacks included.
 */
extern void plshard_gid_open(const Gid *gid);

/*
 * Closes it before the transaction ends: it is decided to roll back, and recovery may do so
 * where this session has not.
 */
extern void plshard_gid_close(const Gid *gid);

/*
 * Whether it is one of this server that is open.  Once it is not, the decision of its
 * front is visible.
 */
extern bool plshard_gid_is_open(const Gid *gid);

#endif							/* PLSHARD_GID_LOCK_H */
