/*
 * recover_rows.h
 *
 * The deletion of the rows that record how transactions have ended.
 */
#ifndef PLSHARD_RECOVER_ROWS_H
#define PLSHARD_RECOVER_ROWS_H

#include "recovery/recover_nodes.h"

/*
 * Deletes rows of plshard_node.transaction on the connected nodes, and of
 * plshard.decision and plshard.transaction here (in the caller's transaction), by
 * PROTOCOL rule 13: only of transactions all of whose participants that count have
 * answered, and have nothing of it prepared.
 */
extern void plshard_delete_resolved_rows(RecoveryNodes *nodes);

#endif							/* PLSHARD_RECOVER_ROWS_H */
