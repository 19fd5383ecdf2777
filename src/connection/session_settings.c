/*
 * session_settings.c
 *
 * The one list of what plshard sets in its sessions on nodes, beside what the caller's
 * own settings decide (node_settings.h).  The text for calls is kept in TopMemoryContext.
 */
#include "postgres.h"

#include "connection/session_settings.h"
#include "lib/stringinfo.h"
#include "utils/memutils.h"

#define CALLS SESSION_FOR_CALLS
#define POOLED SESSION_POOLED
#define ADMIN SESSION_FOR_ADMIN

typedef struct SessionSetting
{
	const char *name;
	const char *value;
	int			uses;			/* SessionUse, as bits */
	int			since;			/* the first server version that has it; 0: all have */
} SessionSetting;

static const SessionSetting settings[] = {
	/* text means the same on both sides, whatever the two servers default to */
	{"intervalstyle", "postgres", CALLS | POOLED | ADMIN, 0},
	{"extra_float_digits", "3", CALLS | POOLED | ADMIN, 0},
	{"bytea_output", "hex", CALLS | ADMIN, 0},
	{"lc_monetary", "C", CALLS | ADMIN, 0},
	{"array_nulls", "on", CALLS | ADMIN, 0},
	{"xmloption", "content", CALLS | ADMIN, 0},
	{"standard_conforming_strings", "on", CALLS | ADMIN, 0},
	{"datestyle", "ISO, YMD", ADMIN, 0},
	{"timezone", "UTC", ADMIN, 0},
	{"quote_all_identifiers", "off", ADMIN, 0},
	{"search_path", "pg_catalog", ADMIN, 0},
	{"row_security", "off", ADMIN, 0},

	{"client_min_messages", "notice", CALLS, 0},
	{"client_min_messages", "warning", ADMIN, 0},

	/* a call writes nothing unless it makes its transaction READ WRITE */
	{"default_transaction_read_only", "on", CALLS, 0},
	{"default_transaction_read_only", "off", ADMIN, 0},
	{"default_transaction_isolation", "read committed", CALLS | ADMIN, 0},
	{"default_transaction_deferrable", "off", ADMIN, 0},

	/* a session whose front is lost ends soon, also while it computes: it may hold locks */
	{"client_connection_check_interval", "500ms", CALLS | POOLED | ADMIN, 0},
	{"tcp_keepalives_idle", "10", CALLS | ADMIN, 0},
	{"tcp_keepalives_interval", "5", CALLS | ADMIN, 0},
	{"tcp_keepalives_count", "3", CALLS | ADMIN, 0},
	{"tcp_user_timeout", "30000", CALLS | ADMIN, 0},

	/* nothing ends a session for administration that waits for others */
	{"statement_timeout", "0", ADMIN, 0},
	{"lock_timeout", "0", ADMIN, 0},
	{"transaction_timeout", "0", ADMIN, 170000},
	{"idle_in_transaction_session_timeout", "0", ADMIN, 0},
	{"idle_session_timeout", "0", ADMIN, 0}
};

/* Lists the settings of a use, in the current memory context. */
static char *
list_settings(SessionUse use, int server_version, int *n)
{
	StringInfoData sql;

	initStringInfo(&sql);
	*n = 0;
	for (int i = 0; i < lengthof(settings); i++)
	{
		const SessionSetting *s = &settings[i];

		if (!(s->uses & use) || server_version < s->since)
			continue;
		appendStringInfo(&sql, "%spg_catalog.set_config('%s', '%s', %s)", *n > 0 ? ", " : "",
						 s->name, s->value, use == POOLED ? "true" : "false");
		++*n;
	}
	return sql.data;
}

const char *
plshard_session_settings(SessionUse use, int server_version, int *n)
{
	static const char *kept[POOLED + 1];
	static int	kept_n[POOLED + 1];

	if (use == ADMIN)
		return list_settings(use, server_version, n);
	if (kept[use] == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		kept[use] = list_settings(use, server_version, &kept_n[use]);
		MemoryContextSwitchTo(old);
	}
	*n = kept_n[use];
	return kept[use];
}
