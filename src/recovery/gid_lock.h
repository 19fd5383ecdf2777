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

/* Before: it is decided to roll back, and for others to do where it has not been done. */
extern void plshard_gid_close(const Gid *gid);

/* Is it one of this server that is open?  What it has decided is visible when it no longer is. */
extern bool plshard_gid_is_open(const Gid *gid);

#endif							/* PLSHARD_GID_LOCK_H */
