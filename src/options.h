/*
 * options.h
 *
 * The options of clusters (foreign servers) and user mappings.
 */
#ifndef PLSHARD_OPTIONS_H
#define PLSHARD_OPTIONS_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/uuid.h"

/* A server's options, defaults filled in; times in milliseconds. */
typedef struct ClusterOptions
{
	bool		is_catalog;		/* it has a cluster_id */
	pg_uuid_t	cluster_id;
	int			node_timeout;
	int			connect_timeout;
	bool		password_required;	/* of users without a mapping */
} ClusterOptions;

/* Reads the options of a server.  Errors: 42704 where it is gone. */
extern void plshard_cluster_options(Oid server_oid, ClusterOptions *options);

/* The options (DefElems) of a user's mapping, else of the one for PUBLIC; *found: is there one. */
extern List *plshard_user_mapping_options(Oid server_oid, Oid userid, bool *found);

#endif							/* PLSHARD_OPTIONS_H */
