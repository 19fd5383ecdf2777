/*
 * repair_copy.c
 *
 * Streams one table from a node to another: COPY TO on one session is fed into
 * COPY FROM on the other.  Nothing is read from the source while the target
 * cannot take more, so memory is bounded by the longest row.  Rows are held in
 * libpq's malloc'ed buffers, and never across a throw.
 */
#include "postgres.h"

#include "maintenance/repair_copy.h"

/* Bytes that libpq may hold for the target before we look whether it takes them. */
#define FLUSH_SIZE (64 * 1024)

/* Bytes after which other copies get their turn. */
#define TURN_SIZE (1024 * 1024)

void
plshard_copy_begin(TableCopy *copy, NodeSession *source, NodeSession *target,
				   const char *from, const char *into)
{
	memset(copy, 0, sizeof(*copy));
	copy->source = source;
	copy->target = target;
	plshard_session_send(source, psprintf("COPY %s TO STDOUT", from));
	plshard_session_send(target, psprintf("COPY %s FROM STDIN", into));
}

/* Polls both sessions; true when both have answered what was sent to them. */
static bool
poll_both(TableCopy *copy, PGresult **target_result)
{
	PGresult   *result;

	if (!copy->source_done && plshard_session_poll(copy->source, &result))
	{
		plshard_session_check(copy->source, result);
		copy->source_done = true;
	}
	if (!copy->target_done && plshard_session_poll(copy->target, target_result))
	{
		plshard_session_check(copy->target, *target_result);
		copy->target_done = true;
	}
	return copy->source_done && copy->target_done;
}

/* Gives one row to the target; returns false where libpq cannot. */
static bool
pass_on(TableCopy *copy, char *row, int length)
{
	int			put = PQputCopyData(copy->target->conn, row, length);

	PQfreemem(row);
	copy->unflushed += length;
	return put == 1;
}

/* Sees whether the target takes what libpq holds for it. */
static bool
target_takes_more(TableCopy *copy)
{
	int			unsent = PQflush(copy->target->conn);

	if (unsent < 0)
		plshard_session_lost(copy->target);
	if (unsent == 0)
		copy->unflushed = 0;
	return unsent == 0;
}

/* True when the last row has been passed on. */
static bool
stream(TableCopy *copy)
{
	NodeSession *source = copy->source;
	NodeSession *target = copy->target;
	size_t		moved = 0;

	plshard_session_check_silence(source);
	plshard_session_check_silence(target);
	if ((target->ready & WL_SOCKET_READABLE) && !PQconsumeInput(target->conn))
		plshard_session_lost(target);
	if ((source->ready & WL_SOCKET_READABLE) && !PQconsumeInput(source->conn))
		plshard_session_lost(source);
	source->ready = target->ready = 0;

	/* wait for read on the target, too: it may tell that it goes away */
	target->events = WL_SOCKET_READABLE | WL_SOCKET_WRITEABLE;
	source->events = 0;
	for (;;)
	{
		char	   *row;
		int			length;

		if (copy->unflushed >= FLUSH_SIZE && !target_takes_more(copy))
			return false;
		if (moved >= TURN_SIZE)
			return false;
		length = PQgetCopyData(source->conn, &row, true);
		if (length > 0)
		{
			if (!pass_on(copy, row, length))
				plshard_session_lost(target);
			moved += length;
		}
		else if (length == 0)
		{
			if (target_takes_more(copy))
				target->events = WL_SOCKET_READABLE;
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
		/* the target must not end well before the source has */
		copy->state = COPY_ENDING;
		copy->source_done = false;
		copy->target_done = false;
		plshard_session_copied(copy->source);
	}
	if (!copy->source_done)
	{
		if (!plshard_session_poll(copy->source, &result))
		{
			copy->target->events = 0;
			return false;
		}
		plshard_session_check(copy->source, result);
		copy->source_done = true;
		if (PQputCopyEnd(copy->target->conn, NULL) != 1)
			plshard_session_lost(copy->target);
		plshard_session_copied(copy->target);
	}
	if (!poll_both(copy, &result))
		return false;
	copy->rows = strtou64(PQcmdTuples(result), NULL, 10);
	return true;
}
