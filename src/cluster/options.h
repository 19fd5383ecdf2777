/*
 * options.h
 *
 * The options of clusters (foreign servers, and the wrapper that gives them
 * defaults) and of user mappings.
 */
#ifndef PLSHARD_OPTIONS_H
#define PLSHARD_OPTIONS_H

#include "nodes/parsenodes.h"
#include "nodes/pg_list.h"
#include "utils/uuid.h"

/* The foreign data wrapper that clusters' servers belong to. */
#define PLSHARD_FDW_NAME "plshard"

/* How writes on several nodes commit. */
typedef enum CommitMode
{
	COMMIT_ATOMIC,
	COMMIT_FAST
} CommitMode;

/* A cluster's options, defaults filled in; times in milliseconds. */
typedef struct ClusterOptions
{
	bool		is_catalog;		/* it has a cluster_id: its nodes and shards are in the registry */
	pg_uuid_t	cluster_id;
	CommitMode	commit;			/* of static clusters COMMIT_FAST in their maps */
	char		recovery_role[NAMEDATALEN];	/* the owner of prepared transactions; "": the connecting role */
	int			node_timeout;	/* how long a node may take to answer a probe */
	int			connect_timeout;	/* see plshard_connect_timeout */
	int			call_id_lifetime;	/* in seconds: how long results of calls with an id are stored */
	int			query_timeout;	/* of calls without a TIMEOUT; 0: none */
	int			connection_lifetime;	/* in seconds; 0: none */
	int			keepalive_idle; /* of TCP, in seconds; 0: our default */
	int			keepalive_interval;
	int			keepalive_count;
	bool		disable_binary;
	bool		session_user;	/* calls connect as the session's user, not the current one */
	bool		password_required;	/* of users without a mapping */

	/* static clusters only */
	bool		modular_mapping;
	bool		autocommit;		/* writes commit at once, outside the caller's transaction */
	bool		pooled;			/* a pooler may be between: nothing outlives a transaction, see node_settings.c */
} ClusterOptions;

/* How long one connection attempt may take, in milliseconds. */
static inline int
plshard_connect_timeout(const ClusterOptions *options)
{
	return options->connect_timeout > 0 ? options->connect_timeout : options->node_timeout;
}

/* What an option belongs to. */
typedef enum OptionContext
{
	OPTION_OF_WRAPPER = 1,
	OPTION_OF_SERVER = 2,
	OPTION_OF_MAPPING = 4,
	OPTION_OF_CALLBACK = 8		/* a row of plshard.get_cluster_config() */
} OptionContext;

/* Sets the defaults of all options. */
extern void plshard_default_options(ClusterOptions *options);

/*
 * Reads one option into "options", but not a partition; an empty value is the default.
 * Errors: HV00D if there is no such option in that context, 22023 for a wrong value.
 */
extern void plshard_set_option(ClusterOptions *options, DefElem *option, OptionContext context);

/* The same for a list of options, of which partitions are skipped. */
extern void plshard_set_options(ClusterOptions *options, List *list, OptionContext context);

/* Errors HV00D if there is no such option in that context. */
extern void plshard_check_option_name(const DefElem *option, OptionContext context);

/* True if an option has that name. */
static inline bool
plshard_option_is(const DefElem *option, const char *name)
{
	return strcmp(option->defname, name) == 0;
}

/* The value of a boolean option.  Errors: 22023. */
extern bool plshard_option_is_on(DefElem *option);

/* The value of option "commit".  Errors: 22023. */
extern CommitMode plshard_option_commit(DefElem *option);

/* True for an option and value that only a superuser may set.  Errors: 22023. */
extern bool plshard_option_needs_superuser(DefElem *option);

/* Reads the options of a server and its wrapper.  Errors: 42704 if it has been dropped. */
extern void plshard_cluster_options(Oid server_oid, ClusterOptions *options);

/* Reads those of the wrapper alone, for a cluster without a server. */
extern void plshard_wrapper_options(ClusterOptions *options);

/*
 * The options (DefElems) of a user's mapping, or else of the one for PUBLIC; *found is
 * false if there is neither.  palloc'd.
 */
extern List *plshard_user_mapping_options(Oid server_oid, Oid userid, bool *found);

#endif							/* PLSHARD_OPTIONS_H */
