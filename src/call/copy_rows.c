/*
 * copy_rows.c
 *
 * Takes apart what COPY sends in binary: a header, rows of fields with their
 * lengths, a trailer (PostgreSQL's documentation of COPY, "Binary Format").
 */
#include "postgres.h"

#include "call/copy_rows.h"
#include "lib/stringinfo.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"

/*
 * Rows of a shard from which on a result is long.  Below, COPY costs more: it is planned at each
 * call, and needs the connection for itself.
 */
#define LONG_RESULT 2000

static const char signature[] = {'P', 'G', 'C', 'O', 'P', 'Y', '\n', '\377', '\r', '\n', '\0'};

bool
plshard_expects_long_result(const RemoteQuery *query, int ntargets)
{
	return query->positions != NULL &&
		Max(query->declared_rows, query->last_rows) >= (double) LONG_RESULT * ntargets;
}

char *
plshard_copy_sql(const RemoteQuery *query, const RemoteParams *params)
{
	StringInfoData sql;
	const char *rest = query->sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "COPY (");
	for (int i = 0; i < query->npositions; i++)
	{
		const ParamPosition *position = &query->positions[i];
		const char *value = params->values[position->param];

		appendBinaryStringInfo(&sql, rest, query->sql + position->offset - rest);
		appendStringInfoString(&sql, value ? quote_literal_cstr(value) : "NULL");
		rest = query->sql + position->offset + position->length;
	}
	appendStringInfo(&sql, "%s) TO STDOUT (FORMAT binary)", rest);
	return sql.data;
}

/* ---- reading ---- */

/* Throws 08P01 unless the data is what COPY sends. */
static void
check(bool right)
{
	if (!right)
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("rows that a node has copied are not understood")));
}

/* Takes so many bytes off the message. */
static char *
take(CopyReader *reader, int length)
{
	char	   *bytes = reader->data;

	check(length >= 0 && length <= reader->length);
	reader->data += length;
	reader->length -= length;
	return bytes;
}

/* Takes an integer in network byte order. */
static int32
take_int32(CopyReader *reader)
{
	uint32		number;

	memcpy(&number, take(reader, sizeof(number)), sizeof(number));
	return (int32) pg_ntoh32(number);
}

static int16
take_int16(CopyReader *reader)
{
	uint16		number;

	memcpy(&number, take(reader, sizeof(number)), sizeof(number));
	return (int16) pg_ntoh16(number);
}

void
plshard_copy_message(CopyReader *reader, char *data, int length)
{
	reader->data = data;
	reader->length = length;
	if (reader->began)
		return;
	check(memcmp(take(reader, sizeof(signature)), signature, sizeof(signature)) == 0);
	(void) take_int32(reader);	/* flags: none change the rows */
	(void) take(reader, take_int32(reader));
	reader->began = true;
}

void
plshard_copy_end(const CopyReader *reader)
{
	check(reader->ended);
}

bool
plshard_copy_next_row(CopyReader *reader, int nfields, WireField *fields)
{
	int			n;

	if (reader->length == 0)
		return false;
	check(!reader->ended);
	n = take_int16(reader);
	if (n == -1)
	{
		reader->ended = true;
		check(reader->length == 0);
		return false;
	}
	check(n == nfields);
	for (int i = 0; i < n; i++)
	{
		fields[i].length = take_int32(reader);
		fields[i].bytes = fields[i].length == -1 ? NULL : take(reader, fields[i].length);
	}
	return true;
}
