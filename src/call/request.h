/*
 * request.h
 *
 * What is to be done on the shards, and where the rows go: the input of execute.h.
 */
#ifndef PLSHARD_REQUEST_H
#define PLSHARD_REQUEST_H

#include "cluster/map.h"
#include "connection/remote_query.h"
#include "libpq-fe.h"

/* Where "$1" stands in a statement. */
typedef struct ParamPosition
{
	int			offset;
	int			length;
	int			param;			/* from 0 */
} ParamPosition;

/*
 * A remote statement.  It is prepared once for each connection and shard that
 * runs it, under a name derived from "id", which must be unique in the session
 * (plshard_next_query_id) and change whenever the text or a type does; id + 1 is the
 * same statement with locks among its parameters (write_locks.c).
 */
typedef struct RemoteQuery
{
	uint64		id;
	const char *sql;
	int			nparams;
	const Oid  *param_types;	/* 0: the node infers it (the text has a cast) */
	int			result_format;	/* 0 text, 1 binary: for all columns; state */
	bool		text_only;		/* state: binary results have turned out not to be readable */
	bool		is_call;		/* of a function that must be on the nodes */
	bool		returns_text;	/* whose characters may have to be converted */
	bool		returns_varlena;	/* of any length */
	bool		is_procedure;	/* CALL: it could commit, were it not in a transaction block */
	int			node_values;	/* that it uses itself: NODE_VALUE_... bits (node_schema.h) */
	const ParamPosition *positions;	/* of the parameters in the text, in order; NULL: COPY
										 * cannot return its rows (see copy_rows.h) */
	int			npositions;
	double		declared_rows;	/* of all shards */
	double		last_rows;		/* state: how many there were the last time */
} RemoteQuery;

/* One shard that a call goes to. */
typedef struct CallTarget
{
	int			shard;			/* index into the map's shards */
	bool		has_key;		/* a write locks the key, else the whole shard */
	uint32		key_hash;
	const RemoteParams *params;
	bool		is_stored;		/* its result is stored under the call's id */
} CallTarget;

/*
 * The bytes of a value in the binary format.
 */
typedef struct WireField
{
	char	   *bytes;
	int			length;			/* -1: NULL */
} WireField;

/*
 * Takes the rows of a call.  Rows of one target arrive together, or mixed with
 * others' in a scatter call; for a replicated write only one placement's rows
 * arrive.  All functions may throw.
 */
typedef struct RowSink
{
	bool		streaming;		/* many rows may come: read them a few at a time */
	struct RowDecoder *decoder; /* how they are read; NULL: whatever comes is taken */
	RemoteQuery *query;			/* where the format to ask for the next time is noted */
	void		(*row) (struct RowSink *sink, const PGresult *result, int row);
	/* a row of COPY: all expected columns, in order; NULL where the sink does not stream */
	void		(*copied_row) (struct RowSink *sink, const WireField *fields);
	void		(*reset) (struct RowSink *sink);	/* forget all rows: the call
													 * is started anew */
	/* called once for each target with a result that has the columns (it may
	 * have no rows), before that target's rows; may be NULL */
	void		(*describe) (struct RowSink *sink, const PGresult *result);
} RowSink;

typedef struct CallRequest
{
	ClusterMap *map;			/* replaced by execute when it has to be reloaded */
	const RemoteQuery *query;
	const char *function_name;	/* for the context of errors: add_review(text,integer) */
	int			ntargets;
	CallTarget *targets;		/* shards ascending, each at most once */
	bool		is_write;
	bool		lock_shard;		/* a write locks whole shards, also where targets have keys */
	bool		any_shard;		/* RUN ON ANY: another shard will do as well */
	bool		skip_failures;	/* reads: leave unreachable shards out, with a WARNING */
	bool		by_copy;		/* a read whose rows COPY may return: parameters are text */
	int			timeout;		/* of the whole call in ms, 0: none */
	int		   *id_limit;		/* of a write: how many of plshard_node.unique_id()'s ids a
								 * shard gets; 0: not known yet.  Kept with the function. */

	/*
	 * What to send where the call is all of the caller's transaction and may commit
	 * on its node at once; NULL: it is not.  Set to NULL where the node refuses it.
	 */
	const RemoteQuery *one_shot;
	RowSink    *sink;

	/*
	 * Of a write, or NULL: see call_id.h.  Something follows such a call in its
	 * transaction, so nothing that ends it may be sent together with the call.
	 */
	struct CallId *call_id;
} CallRequest;

/* Where the statements of an administrative command run: a node, or a shard's schema there. */
typedef struct AdminPlacement
{
	int			node;			/* index into the map's nodes */
	int			shard;			/* run with this shard's search_path; -1: none */
	bool		lock_shard;		/* take the shard's lock first */
} AdminPlacement;

/* Errors: 55000 where a shard (index into the map) has no active placement. */
extern void plshard_check_active(const ClusterMap *map, int shard);

/*
 * Puts the targets of a call on a newer map: shards are found again by their ids.  Errors:
 * 40001 where one was dropped.
 */
extern void plshard_move_to_map(CallRequest *request, ClusterMap *map);

#endif							/* PLSHARD_REQUEST_H */
