/*
 * validate.h
 *
 * What is looked at only when a function is created.
 */
#ifndef PLSHARD_VALIDATE_H
#define PLSHARD_VALIDATE_H

#include "language/function.h"

/*
 * Throws 42804 where the function hashes one key, the cluster has distributed
 * tables, and none of their key columns hashes like it.
 */
extern void plshard_check_key_family(const ClusterMap *map, const PlshardFunction *function);

#endif							/* PLSHARD_VALIDATE_H */
