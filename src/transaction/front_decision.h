/*
 * front_decision.h
 *
 * Transactions that the front decides (PROTOCOL rule 14): their rows in
 * plshard.transaction.
 */
#ifndef PLSHARD_FRONT_DECISION_H
#define PLSHARD_FRONT_DECISION_H

#include "nodes/pg_list.h"

/*
 * In the caller's transaction: inserts a row for each gid (texts), and makes its
 * commit wait for the disk.
 */
extern void plshard_front_decide(List *gids);

/* Notes that all participants have confirmed: a later decision deletes the row.  Never raises. */
extern void plshard_front_resolved(const char *gid);

#endif							/* PLSHARD_FRONT_DECISION_H */
