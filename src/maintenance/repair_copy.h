/*
 * repair_copy.h
 *
 * Streams one table from a node to another.
 */
#ifndef PLSHARD_REPAIR_COPY_H
#define PLSHARD_REPAIR_COPY_H

#include "connection/admin_connection.h"

typedef enum CopyState
{
	COPY_STARTING,
	COPY_STREAMING,
	COPY_ENDING
} CopyState;

typedef struct TableCopy
{
	AdminConnection *source;
	AdminConnection *destination;
	CopyState	state;
	bool		source_done;	/* of starting, or of ending */
	bool		destination_done;
	size_t		unflushed;		/* bytes given to libpq since it last sent all */
	uint64		rows;			/* once it has ended */
} TableCopy;

/*
 * Begins to copy rows, in the transactions that the connections are in: "from" and
 * "into" are what COPY TO and COPY FROM are to name, a table with its columns or, to
 * copy from, a query in parentheses.
 */
extern void plshard_copy_begin(TableCopy *copy, AdminConnection *source, AdminConnection *destination,
							   const char *from, const char *into);

/*
 * Moves what can be moved without waiting, holding at most one row and a small
 * buffer; true when the table is copied.  Otherwise the connections' events are
 * what to wait for.  Throws either node's error.
 */
extern bool plshard_copy_turn(TableCopy *copy);

#endif							/* PLSHARD_REPAIR_COPY_H */
