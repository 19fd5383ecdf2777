/*
 * front_decision.h
 *
 * Transactions that the front decides (PROTOCOL rule 14): their rows in
 * plshard.transaction, and who the front is.
 */
#ifndef PLSHARD_FRONT_DECISION_H
#define PLSHARD_FRONT_DECISION_H

#include "nodes/pg_list.h"

/*
 * The first bytes of this front's id (plshard.front), as a Gid has them.  Errors:
 * 55000 where it has none.
 */
extern void plshard_front_id(uint8 *id, int n);

/*
 * In the caller's transaction: inserts a row for each gid (texts), and makes its
 * commit wait for the disk.
 */
extern void plshard_front_decide(List *gids);

/* All participants have confirmed: the row may go with a later decision.  Never throws. */
extern void plshard_front_settled(const char *gid);

#endif							/* PLSHARD_FRONT_DECISION_H */
