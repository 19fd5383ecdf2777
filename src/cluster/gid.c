/*
 * gid.c
 *
 * The name of a distributed transaction:
 *
 *   plshard_<cluster id>_<random>_<front key>_<session>_<epoch>_<decider>_<front id>_<first>.<bits>
 *
 * where the ids, the random part and the front key are hexadecimal, and the
 * participants are the lowest node id and a hexadecimal bitmap of the ids from
 * there on, lowest first.  There is only one way to write a name, so names can be
 * compared as text.  Everything is palloc'd in the current memory context.
 */
#include "postgres.h"

#include "cluster/gid.h"
#include "lib/stringinfo.h"

/* A gid's text with ":" and the longest node id behind it must be a valid name. */
#define MAX_GID_LENGTH (PLSHARD_PREPARED_NAME_SIZE - 1 - (int) strlen(":2147483647"))

/*
 * Node ids that can take part.  Sets of ids have a bit for each, and anything can be the
 * name of a prepared transaction: a larger id must not cost memory.
 */
#define MAX_PARTICIPANT (1 << 20)

/* Appends bytes in hexadecimal. */
static void
append_hex(StringInfo text, const uint8 *bytes, int n)
{
	for (int i = 0; i < n; i++)
		appendStringInfo(text, "%02x", bytes[i]);
}

/* Appends the lowest id and the bitmap, four ids a digit. */
static void
append_participants(StringInfo text, const Bitmapset *participants)
{
	int			first = bms_next_member(participants, -1);
	int			last = bms_prev_member(participants, -1);

	Assert(first > 0);
	appendStringInfo(text, "%d.", first);
	for (int id = first; id <= last; id += 4)
	{
		int			digit = 0;

		for (int bit = 0; bit < 4; bit++)
			digit |= bms_is_member(id + bit, participants) << bit;
		appendStringInfo(text, "%x", digit);
		if (text->len > MAX_GID_LENGTH)
			break;
	}
}

char *
plshard_gid_text(const Gid *gid)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfoString(&text, PLSHARD_GID_PREFIX);
	append_hex(&text, gid->cluster_id.data, UUID_LEN);
	appendStringInfoChar(&text, '_');
	append_hex(&text, gid->random, sizeof(gid->random));
	appendStringInfo(&text, "_%08x_%d_" INT64_FORMAT "_%d_", (uint32) gid->front_key, gid->session,
					 gid->epoch, gid->decider);
	append_hex(&text, gid->front_id, sizeof(gid->front_id));
	appendStringInfoChar(&text, '_');
	append_participants(&text, gid->participants);
	if (text.len > MAX_GID_LENGTH || bms_prev_member(gid->participants, -1) > MAX_PARTICIPANT)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("the transaction has written to too many nodes"),
				 errdetail("The name of a distributed transaction has no room for nodes whose ids lie that far apart, or are larger than %d.", MAX_PARTICIPANT)));
	return text.data;
}

/* The value of a lower-case hexadecimal digit, -1 if it is none. */
static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/*
 * The take_... functions read a part of a name and advance *text behind it; they return
 * false if it is not there.  This one reads n bytes in hexadecimal.
 */
static bool
take_hex(const char **text, uint8 *bytes, int n)
{
	for (int i = 0; i < n; i++)
	{
		int			high = hex_digit((*text)[0]);
		int			low = high < 0 ? -1 : hex_digit((*text)[1]);

		if (low < 0)
			return false;
		bytes[i] = (uint8) (high << 4 | low);
		*text += 2;
	}
	return true;
}

/* A character. */
static bool
take(const char **text, char c)
{
	if (**text != c)
		return false;
	(*text)++;
	return true;
}

/* A number from 0 to "max". */
static bool
take_bigint(const char **text, int64 max, int64 *number)
{
	const char *start = *text;

	*number = 0;
	for (; **text >= '0' && **text <= '9'; (*text)++)
	{
		int			digit = **text - '0';

		if (*number > (max - digit) / 10)
			return false;
		*number = *number * 10 + digit;
	}
	return *text > start;
}

/* A number from 0 on that is an int4. */
static bool
take_number(const char **text, int32 *number)
{
	int64		value;

	if (!take_bigint(text, PG_INT32_MAX, &value))
		return false;
	*number = (int32) value;
	return true;
}

/* The participants, up to the end of the text. */
static bool
take_participants(const char **text, Bitmapset **participants)
{
	int32		first;

	*participants = NULL;
	if (!take_number(text, &first) || first <= 0 || first > MAX_PARTICIPANT || !take(text, '.'))
		return false;
	for (int64 id = first; **text != '\0'; id += 4, (*text)++)
	{
		int			digit = hex_digit(**text);

		if (digit < 0)
			return false;
		for (int bit = 0; bit < 4; bit++)
		{
			if (digit & (1 << bit))
				*participants = bms_add_member(*participants, (int) id + bit);
		}
	}
	return *participants != NULL && bms_prev_member(*participants, -1) <= MAX_PARTICIPANT;
}

bool
plshard_gid_parse(const char *text, Gid *gid)
{
	const char *at = text;
	uint8		key[4];

	if (strlen(text) > MAX_GID_LENGTH || strncmp(text, PLSHARD_GID_PREFIX, strlen(PLSHARD_GID_PREFIX)) != 0)
		return false;
	at += strlen(PLSHARD_GID_PREFIX);
	if (!take_hex(&at, gid->cluster_id.data, UUID_LEN) || !take(&at, '_') ||
		!take_hex(&at, gid->random, sizeof(gid->random)) || !take(&at, '_') ||
		!take_hex(&at, key, sizeof(key)) || !take(&at, '_') ||
		!take_number(&at, &gid->session) || !take(&at, '_') ||
		!take_bigint(&at, PG_INT64_MAX, &gid->epoch) || !take(&at, '_') ||
		!take_number(&at, &gid->decider) || !take(&at, '_') ||
		!take_hex(&at, gid->front_id, sizeof(gid->front_id)) || !take(&at, '_') ||
		!take_participants(&at, &gid->participants))
		return false;
	gid->front_key = (int32) ((uint32) key[0] << 24 | key[1] << 16 | key[2] << 8 | key[3]);
	if (gid->decider != 0 && !bms_is_member(gid->decider, gid->participants))
		return false;
	/* the same name can only be written in one way, without leading zeros and the like */
	return strcmp(plshard_gid_text(gid), text) == 0;
}

char *
plshard_prepared_name(const char *gid_text, int32 node_id)
{
	return psprintf("%s:%d", gid_text, node_id);
}

bool
plshard_prepared_name_parse(const char *name, char **gid_text, Gid *gid, int32 *node_id)
{
	const char *colon = strchr(name, ':');
	const char *at;

	if (colon == NULL)
		return false;
	at = colon + 1;
	*gid_text = pnstrdup(name, colon - name);
	return plshard_gid_parse(*gid_text, gid) &&
		take_number(&at, node_id) && *at == '\0' &&
		bms_is_member(*node_id, gid->participants) &&
		strcmp(plshard_prepared_name(*gid_text, *node_id), name) == 0;
}

bool
plshard_gid_binds(const Gid *gid, const ClusterMap *map, int32 node_id)
{
	int			node = plshard_cluster_node_by_id(map, node_id);

	return node >= 0 && map->nodes[node].evicted_epoch <= gid->epoch;
}
