/*
 * static_options.h
 *
 * The options of a foreign server that are partitions: p0, p1, ... or partition_0,
 * partition_1, ...
 */
#ifndef PLSHARD_STATIC_OPTIONS_H
#define PLSHARD_STATIC_OPTIONS_H

#include "nodes/pg_list.h"

/*
 * The number of the partition that an option of that name gives; -1 if it is no such
 * option.  Errors: 22023 if the number is too large.
 */
extern int	plshard_partition_number(const char *option);

/*
 * The conninfos of the partitions among a server's options (DefElems), by number; *n
 * is how many there are, possibly 0.  The array is palloc'd, its strings are the
 * options'.  Errors: 22023 if a partition is missing or given twice.
 */
extern const char **plshard_partitions(List *options, int *n);

#endif							/* PLSHARD_STATIC_OPTIONS_H */
