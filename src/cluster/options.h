/*
 * options.h
 *
 * The options of clusters (foreign servers, and the wrapper that gives them
 * defaults) and of user mappings.
 */
#ifndef PLSHARD_OPTIONS_H
#define PLSHARD_OPTIONS_H

#include "postgres.h"

#include "nodes/parsenodes.h"
#include "nodes/pg_list.h"
#include "utils/uuid.h"

/* How writes on several nodes commit. */
typedef enum CommitMode
{
	COMMIT_ATOMIC,
	COMMIT_FAST
} CommitMode;

/* A cluster's options, defaults filled in; times in milliseconds. */
typedef struct ClusterOptions
{
	bool		is_catalog;		/* it has a cluster_id */
	pg_uuid_t	cluster_id;
	CommitMode	commit;			/* static clusters are always COMMIT_FAST */
	char		recovery_role[NAMEDATALEN];	/* whose prepared transactions are; "": the connecting role's */
	int			node_timeout;	/* how long a node may take to answer a probe */
	int			connect_timeout;	/* see plshard_connect_timeout */
	int			call_id_lifetime;	/* in seconds: how long results of calls with an id are kept */
	int			query_timeout;	/* of calls without a TIMEOUT; 0: none */
	int			connection_lifetime;	/* in seconds; 0: none */
	int			keepalive_idle; /* of TCP, in seconds; 0: our default */
	int			keepalive_interval;
	int			keepalive_count;
	bool		disable_binary;
	bool		session_user;	/* not the current user is whom calls connect as */
	bool		password_required;	/* of users without a mapping */

	/* static clusters only */
	bool		modular_mapping;
	bool		autocommit;		/* writes are outside the caller's transaction */
	bool		pooled;			/* nothing outlives a transaction: see node_settings.c */
} ClusterOptions;

/* How long one connection attempt may take. */
static inline int
plshard_connect_timeout(const ClusterOptions *options)
{
	return options->connect_timeout > 0 ? options->connect_timeout : options->node_timeout;
}

/* What an option is given to. */
typedef enum OptionPlace
{
	OPTION_OF_WRAPPER = 1,
	OPTION_OF_SERVER = 2,
	OPTION_OF_MAPPING = 4,
	OPTION_OF_CALLBACK = 8		/* a row of plshard.get_cluster_config() */
} OptionPlace;

/* The defaults of all options. */
extern void plshard_default_options(ClusterOptions *options);

/*
 * Takes over one option, but not a partition; an empty value is the default.
 * Errors: HV00D where there is no such option in that place, 22023 for a wrong value.
 */
extern void plshard_set_option(ClusterOptions *options, DefElem *option, OptionPlace place);

/* The value of an option that is on or off.  Errors: 22023. */
extern bool plshard_option_is_on(DefElem *option);

/* True for what only a superuser may say. */
extern bool plshard_option_needs_superuser(DefElem *option);

/* Reads the options of a server and its wrapper.  Errors: 42704 where it is gone. */
extern void plshard_cluster_options(Oid server_oid, ClusterOptions *options);

/* Reads those of the wrapper alone: for what has no server. */
extern void plshard_wrapper_options(ClusterOptions *options);

/* The options (DefElems) of a user's mapping, else of the one for PUBLIC; *found: is there one. */
extern List *plshard_user_mapping_options(Oid server_oid, Oid userid, bool *found);

#endif							/* PLSHARD_OPTIONS_H */
