/*
 * static_options.c
 *
 * Reads the partitions among a foreign server's options, named as in PL/Proxy.
 * Allocates in the caller's memory context.
 */
#include "postgres.h"

#include "cluster/static_options.h"
#include "commands/defrem.h"

/* Nodes are numbered by uint16. */
#define MAX_PARTITIONS PG_UINT16_MAX

int
plshard_partition_number(const char *option)
{
	const char *digits;
	unsigned long number;

	if (strncmp(option, "partition_", strlen("partition_")) == 0)
		digits = option + strlen("partition_");
	else if (option[0] == 'p')
		digits = option + 1;
	else
		return -1;
	if (*digits == '\0' || digits[strspn(digits, "0123456789")] != '\0')
		return -1;
	number = strtoul(digits, NULL, 10);
	if (number >= MAX_PARTITIONS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("partition number of option \"%s\" is out of range", option),
				 errdetail("A cluster can have up to %d partitions.", MAX_PARTITIONS)));
	return number;
}

const char **
plshard_partitions(List *options, int *n)
{
	int			max = list_length(options);
	const DefElem **given = palloc0((max + 1) * sizeof(DefElem *));
	const char **conninfos = palloc0((max + 1) * sizeof(char *));
	ListCell   *cell;
	int			highest = -1;

	*n = 0;
	foreach(cell, options)
	{
		DefElem    *option = lfirst_node(DefElem, cell);
		int			number = plshard_partition_number(option->defname);

		if (number < 0)
			continue;
		(*n)++;
		highest = Max(highest, number);
		if (number >= max)
			continue;			/* then one of the numbers below is missing */
		if (given[number] != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("partition %d is given twice", number),
					 errdetail("It is given by the options \"%s\" and \"%s\".",
							   given[number]->defname, option->defname)));
		given[number] = option;
		conninfos[number] = defGetString(option);
	}
	for (int i = 0; i <= highest; i++)
	{
		if (i >= max || given[i] == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("partition %d is missing", i),
					 errdetail("The partition with the highest number is %d.", highest),
					 errhint("Number the partitions 0, 1, 2, ... without gaps.")));
	}
	return conninfos;
}
