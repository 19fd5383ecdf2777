/*
 * gid.h
 *
 * The name of a distributed transaction.  It contains all that is needed to
 * resolve a prepared transaction: the session that ran it, the node that decides, and
 * the nodes that take part.  Pure text, in the current memory context.
 *
 * The text is the key of the transaction's row in plshard_node.transaction, and
 * in plshard.decision.  A prepared transaction on a node is named by it with
 * the node's id behind it, since one server may hold several nodes' databases
 * and such names are unique per server.
 */
#ifndef PLSHARD_GID_H
#define PLSHARD_GID_H

#include "cluster/map.h"
#include "nodes/bitmapset.h"
#include "utils/uuid.h"

/* What PostgreSQL allows for the name of a prepared transaction, with its '\0'. */
#define PLSHARD_PREPARED_NAME_SIZE 200

/* What every gid's text begins with; then comes the cluster's id. */
#define PLSHARD_GID_PREFIX "plshard_"

typedef struct Gid
{
	pg_uuid_t	cluster_id;
	uint8		random[16];
	int32		front_key;		/* the session that runs it: session_key.h */
	int32		session;
	int64		epoch;			/* of the oldest map that it used: see plshard_gid_binds */
	int32		decider;		/* node id; 0: the front decides */
	uint8		front_id[8];	/* which front: the first bytes of plshard.front's id */
	Bitmapset  *participants;	/* node ids, the decider's included; never empty */
} Gid;

/*
 * The gid's text, palloc'd.  Errors: 54000 if the participants' ids do not fit (they do
 * within any range of 100 ids up to 2^20).
 */
extern char *plshard_gid_text(const Gid *gid);

/* Parses a gid's text, whatever it is.  False if it is none; *gid is then undefined. */
extern bool plshard_gid_parse(const char *text, Gid *gid);

/*
 * True if the answer of a participant (of the map's cluster) about the transaction
 * counts.  A node that has been evicted since may have lost its part of it, also if it
 * has been repaired: a repair copies the data, but no rows of transactions.  (Otherwise
 * the model finds a committed write that is reported as failed.)
 */
extern bool plshard_gid_binds(const Gid *gid, const ClusterMap *map, int32 node_id);

/* The name of a transaction's part on a node, from the gid's text.  palloc'd. */
extern char *plshard_prepared_name(const char *gid_text, int32 node_id);

/*
 * Parses such a name: *gid_text is palloc'd, and is parsed into *gid.  False if the
 * name is not of that form.
 */
extern bool plshard_prepared_name_parse(const char *name, char **gid_text, Gid *gid,
										int32 *node_id);

#endif							/* PLSHARD_GID_H */
