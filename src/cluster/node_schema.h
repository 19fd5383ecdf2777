/*
 * node_schema.h
 *
 * What plshard keeps on each node: schema plshard_node, plain SQL objects.
 *
 *   plshard_node.transaction (gid text PRIMARY KEY, state text NOT NULL, written_at)
 *       how distributed transactions have ended here: "committed" (PROTOCOL rule
 *       7), or "aborted", which keeps a late PREPARE or COMMIT from succeeding
 *   plshard_node."epoch_<cluster id>", a sequence
 *       its last_value is the newest epoch that this node has seen; its comment names the
 *       server that has the data (PROTOCOL rule 18)
 *   plshard_node.shard_lock, and plshard_node."epoch_<cluster id>", domains over bigint
 *       a parameter of these types takes a shard's lock, and checks an epoch, before its
 *       statement runs; a check violation if that fails (write_locks.c)
 *   plshard_node.lock_not_taken() returns boolean
 *       raises SQLSTATE PS001: a write's lock was not free at once
 *   plshard_node.epoch_is_old() returns boolean
 *       raises SQLSTATE PS002: the front's map is older than the node's epoch
 *   plshard_node.call_is_known() returns boolean
 *       raises SQLSTATE PS004: a call with this id has been made
 *   plshard_node."calls_<cluster id>" (shard_id, call_id, function, role, arguments,
 *           result, expires), the results of calls with an id (call_id.h)
 *       each role but the owner sees its own rows only
 *   plshard_node.now() returns timestamptz, plshard_node.unique_id() returns bigint
 *       the values that the front has sent with a write; 55000 elsewhere;
 *       SQLSTATE PS003: the call has used up its ids
 *
 * Every role that may connect may use all of it (writes of any user take locks and read
 * the epoch).
 */
#ifndef PLSHARD_NODE_SCHEMA_H
#define PLSHARD_NODE_SCHEMA_H

#include "cluster/map.h"

#define SQLSTATE_LOCK_NOT_TAKEN MAKE_SQLSTATE('P','S','0','0','1')
#define SQLSTATE_EPOCH_IS_OLD MAKE_SQLSTATE('P','S','0','0','2')
#define SQLSTATE_OUT_OF_IDS MAKE_SQLSTATE('P','S','0','0','3')
#define SQLSTATE_CALL_IS_KNOWN MAKE_SQLSTATE('P','S','0','0','4')

/*
 * The commands that create, or complete, the schema for a cluster on a node:
 * idempotent, each a single statement; *nstatements is their number.  palloc'd.
 */
extern const char *const *plshard_node_schema(const ClusterMap *map, int *nstatements);

/* The quoted, qualified names of the cluster's epoch sequence and table of calls.  palloc'd. */
extern char *plshard_epoch_sequence(const ClusterMap *map);
extern char *plshard_calls_table(const ClusterMap *map);

/*
 * An SQL expression that identifies the server that runs it, by system identifier and
 * timeline, which changes when a backup is restored or a standby promoted; NULL on a
 * standby.
 */
#define PLSHARD_SERVER_SQL \
	"(SELECT system_identifier FROM pg_catalog.pg_control_system()) OPERATOR(pg_catalog.||) '/' OPERATOR(pg_catalog.||)" \
	" CASE WHEN NOT pg_catalog.pg_is_in_recovery() THEN ('x' OPERATOR(pg_catalog.||)" \
	" pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8))::bit(32)::pg_catalog.int8 END"

/* The command that stores, for a cluster, that the node's data is on the server that runs it.  palloc'd. */
extern char *plshard_accept_server_command(const ClusterMap *map);

/* The name of a placement's schema on its node; the argument is the shard's id. */
#define PLSHARD_SHARD_SCHEMA_FORMAT "plshard_" INT64_FORMAT

/*
 * The command that creates a placement's schema.  Every role has USAGE on it, so access
 * depends on the privileges on the objects in it.  palloc'd.
 */
extern char *plshard_shard_schema(int64 shard_id);

/* The values that the front sends with a write, as bits: of now() and of unique_id(). */
#define NODE_VALUE_NOW 1
#define NODE_VALUE_ID 2

/* The values that SQL text may use: bits, possibly too many, never too few. */
extern int	plshard_node_values_in(const char *sql);

#endif							/* PLSHARD_NODE_SCHEMA_H */
