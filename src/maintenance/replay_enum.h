/*
 * replay_enum.h
 *
 * Recorded commands that add values to enums, made fit for one transaction.
 */
#ifndef PLSHARD_REPLAY_ENUM_H
#define PLSHARD_REPLAY_ENUM_H

#include "nodes/pg_list.h"

/*
 * Takes recorded commands (char *, one command each) and returns a list in
 * which enums are created with all the values that later commands add to them,
 * without those later commands; the list given is changed.  The order of values, and
 * the names that a value has in between, stay the same.  palloc'd; strings are shared.
 */
extern List *plshard_merge_enum_values(List *commands);

#endif							/* PLSHARD_REPLAY_ENUM_H */
