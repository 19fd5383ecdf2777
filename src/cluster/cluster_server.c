/*
 * cluster_server.c
 *
 * The provider for clusters whose partitions are options of their foreign server,
 * as in PL/Proxy.  Works in the caller's memory context; the map is allocated in the
 * context that the caller names.
 */
#include "postgres.h"

#include "cluster/cluster_server.h"
#include "cluster/cluster_static.h"
#include "cluster/static_options.h"
#include "foreign/foreign.h"

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
