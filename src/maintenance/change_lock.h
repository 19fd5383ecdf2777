/*
 * change_lock.h
 *
 * Keeps the definition of a cluster (nodes, shards, recorded commands) still
 * while a placement is made from it.
 */
#ifndef PLSHARD_CHANGE_LOCK_H
#define PLSHARD_CHANGE_LOCK_H

/*
 * Waits until no placement is being made from the definition, and holds off
 * further ones until the end of the transaction.  A change of a cluster
 * calls it first, before it locks rows or shards.
 */
extern void plshard_lock_for_change(Oid server_oid);

/*
 * The other side: false where a change is under way.  Never waits, because the
 * caller holds locks of shards that the change may wait for.
 */
extern bool plshard_hold_definition(Oid server_oid);
extern void plshard_release_definition(Oid server_oid);

#endif							/* PLSHARD_CHANGE_LOCK_H */
