/*
 * split.h
 *
 * SPLIT: arrays of a call, spread over the shards element by element.
 */
#ifndef PLSHARD_SPLIT_H
#define PLSHARD_SPLIT_H

#include "language/function.h"

/* Whether SPLIT can take values of a type: an array, or a domain over one. */
extern bool plshard_can_split(Oid type);

/*
 * Adds a value to those that the function splits; there is room for it.  Throws
 * 42804 where it is no array and 42P13 where it is split already, at "location".
 */
extern void plshard_add_split(PlshardFunction *function, int value, int location);

/* The function's scope as RUN ON sees it: elements in place of the arrays. */
extern ValueScope *plshard_element_scope(const PlshardFunction *function);

/*
 * For a function with SPLIT: checks the arrays, and fills call->targets where
 * RUN ON depends on single elements; returns false where it does not, and every
 * target gets the whole arrays.  A NULL array counts as empty; without elements
 * there are no targets, for any RUN ON.  Expressions are being evaluated.  Throws
 * 2202E for arrays of several dimensions or of different lengths, and as
 * plshard_route.
 */
extern bool plshard_route_split(PlshardCall *call);

/* Afterwards, where it returned true: gives each target its slice of the arrays. */
extern void plshard_encode_split(PlshardCall *call);

#endif							/* PLSHARD_SPLIT_H */
