/*
 * unique_id.h
 *
 * Numbers that no other call gets, on any front.
 */
#ifndef PLSHARD_UNIQUE_ID_H
#define PLSHARD_UNIQUE_ID_H

/* The lower bits of an id identify the front's server. */
#define GENERATOR_BITS 15

/* The distance between the ids of a block. */
#define UNIQUE_ID_STEP (INT64CONST(1) << GENERATOR_BITS)

/* Takes a block of n > 0 ids and returns the first one.  Errors: 53200 without shared memory. */
extern int64 plshard_take_unique_ids(int n);

#endif							/* PLSHARD_UNIQUE_ID_H */
