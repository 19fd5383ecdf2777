/*
 * cluster_options.c
 *
 * The provider for clusters whose partitions are options of their foreign server,
 * as in PL/Proxy: p0, p1 ... or partition_0, partition_1 ...  Works in the caller's
 * memory context; the map goes to the one that it names.
 */
#include "postgres.h"

#include "cluster/cluster_static.h"
#include "commands/defrem.h"
#include "foreign/foreign.h"

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
	int			room = list_length(options);
	const DefElem **given = palloc0((room + 1) * sizeof(DefElem *));
	const char **conninfos = palloc0((room + 1) * sizeof(char *));
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
		if (number >= room)
			continue;			/* so that one below is missing */
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
		if (i >= room || given[i] == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("partition %d is missing", i),
					 errdetail("The partition with the highest number is %d.", highest),
					 errhint("Number the partitions 0, 1, 2, ... without gaps.")));
	}
	return conninfos;
}

void
plshard_check_partitions(List *options, bool modular_mapping)
{
	const char **conninfos;
	int			n;

	conninfos = plshard_partitions(options, &n);
	if (n == 0)
		return;
	plshard_check_static(CLUSTER_SERVER, n, conninfos, modular_mapping);
}

ClusterMap *
plshard_server_load(Oid server_oid, MemoryContext context)
{
	ForeignServer *server = GetForeignServer(server_oid);
	ClusterOptions options;
	const char **conninfos;
	ClusterMap *map;
	int			n;

	plshard_cluster_options(server_oid, &options);
	conninfos = plshard_partitions(server->options, &n);
	if (n == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cluster \"%s\" has no partitions", server->servername),
				 errdetail("Its server has neither options \"p0\", \"p1\", ... nor \"cluster_id\"."),
				 errhint("Give the server partitions by ALTER SERVER, or create the cluster by plshard.create_cluster.")));
	map = plshard_static_map(CLUSTER_SERVER, server_oid, server->servername, &options,
							 n, conninfos, context);
	map->server_oid = server_oid;
	return map;
}
