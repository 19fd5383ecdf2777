/*
 * repair_copy.c
 *
 * Streams one table from a node to another: COPY TO on one connection is fed into
 * COPY FROM on the other.  Nothing is read from the source while the destination
 * cannot take more, so memory is bounded by the longest row.  Rows are held in
 * libpq's malloc'ed buffers, and freed before any error is thrown.
 */
#include "postgres.h"

#include "maintenance/repair_copy.h"

/* Bytes that libpq may hold for the destination before they are flushed. */
#define FLUSH_SIZE (64 * 1024)

/* Bytes after which other copies get their turn. */
#define TURN_SIZE (1024 * 1024)

void
plshard_copy_begin(TableCopy *copy, AdminConnection *source, AdminConnection *destination,
				   const char *from, const char *into)
{
	memset(copy, 0, sizeof(*copy));
	copy->source = source;
	copy->destination = destination;
	plshard_admin_send(source, psprintf("COPY %s TO STDOUT", from));
	plshard_admin_send(destination, psprintf("COPY %s FROM STDIN", into));
}

/* Polls both connections; true when both have answered what was sent to them. */
static bool
poll_both(TableCopy *copy, PGresult **destination_result)
{
	PGresult   *result;

	if (!copy->source_done && plshard_admin_poll(copy->source, &result))
	{
		plshard_admin_check(copy->source, result);
		copy->source_done = true;
	}
	if (!copy->destination_done && plshard_admin_poll(copy->destination, destination_result))
	{
		plshard_admin_check(copy->destination, *destination_result);
		copy->destination_done = true;
	}
	return copy->source_done && copy->destination_done;
}

/* Gives one row to libpq for the destination; false where libpq fails. */
static bool
pass_on(TableCopy *copy, char *row, int length)
{
	int			put = PQputCopyData(copy->destination->pg, row, length);

	PQfreemem(row);
	copy->unflushed += length;
	return put == 1;
}

/* Flushes what libpq holds for the destination; true when all of it was sent. */
static bool
destination_takes_more(TableCopy *copy)
{
	int			unsent = PQflush(copy->destination->pg);

	if (unsent < 0)
		plshard_admin_lost(copy->destination);
	if (unsent == 0)
		copy->unflushed = 0;
	return unsent == 0;
}

/* Passes on the rows that have arrived; true when the last one has been. */
static bool
stream(TableCopy *copy)
{
	AdminConnection *source = copy->source;
	AdminConnection *destination = copy->destination;
	size_t		moved = 0;

	plshard_admin_check_silence(source);
	plshard_admin_check_silence(destination);
	if ((destination->ready & WL_SOCKET_READABLE) && !PQconsumeInput(destination->pg))
		plshard_admin_lost(destination);
	if ((source->ready & WL_SOCKET_READABLE) && !PQconsumeInput(source->pg))
		plshard_admin_lost(source);
	source->ready = destination->ready = 0;

	/* wait for read on the destination, too: it may report that it shuts down */
	destination->events = WL_SOCKET_READABLE | WL_SOCKET_WRITEABLE;
	source->events = 0;
	for (;;)
	{
		char	   *row;
		int			length;

		if (copy->unflushed >= FLUSH_SIZE && !destination_takes_more(copy))
			return false;
		if (moved >= TURN_SIZE)
			return false;
		length = PQgetCopyData(source->pg, &row, true);
		if (length > 0)
		{
			if (!pass_on(copy, row, length))
				plshard_admin_lost(destination);
			moved += length;
		}
		else if (length == 0)
		{
			if (destination_takes_more(copy))
				destination->events = WL_SOCKET_READABLE;
			source->events = WL_SOCKET_READABLE;
			return false;
		}
		else
			return true;		/* its end, or an error that the poll finds */
	}
}

bool
plshard_copy_turn(TableCopy *copy)
{
	PGresult   *result = NULL;

	if (copy->state == COPY_STARTING)
	{
		if (!poll_both(copy, &result))
			return false;
		copy->state = COPY_STREAMING;
		copy->source->events = WL_SOCKET_READABLE;
	}
	if (copy->state == COPY_STREAMING)
	{
		if (!stream(copy))
			return false;
		/* the destination must not end well before the source has */
		copy->state = COPY_ENDING;
		copy->source_done = false;
		copy->destination_done = false;
		plshard_admin_copied(copy->source);
	}
	if (!copy->source_done)
	{
		if (!plshard_admin_poll(copy->source, &result))
		{
			copy->destination->events = 0;
			return false;
		}
		plshard_admin_check(copy->source, result);
		copy->source_done = true;
		if (PQputCopyEnd(copy->destination->pg, NULL) != 1)
			plshard_admin_lost(copy->destination);
		plshard_admin_copied(copy->destination);
	}
	if (!poll_both(copy, &result))
		return false;
	copy->rows = strtou64(PQcmdTuples(result), NULL, 10);
	return true;
}
