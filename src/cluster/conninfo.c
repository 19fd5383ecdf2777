/*
 * conninfo.c
 *
 * The parameters of connections to nodes, under the security rules of postgres_fdw.
 * Results are allocated in the caller's memory context; libpq's own structures are
 * freed on error too.
 */
#include "postgres.h"

#include "base/compat.h"
#include "cluster/conninfo.h"
#include "cluster/options.h"
#include "commands/defrem.h"
#include "common/hashfn.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/guc.h"

/*
 * The keywords of a node's conninfo: where the node is and how to reach it, but no
 * credentials, and no settings of the remote session.
 */
static const char *const node_keywords[] = {
	"channel_binding", "dbname", "gssencmode", "host", "hostaddr", "keepalives",
	"keepalives_count", "keepalives_idle", "keepalives_interval", "krbsrvname",
	"load_balance_hosts", "max_protocol_version", "min_protocol_version", "port",
	"require_auth", "requirepeer", "ssl_max_protocol_version",
	"ssl_min_protocol_version", "sslcrl", "sslcrldir", "sslmode",
	"sslnegotiation", "sslrootcert", "sslsni", "target_session_attrs",
	"tcp_user_timeout"
};

/* The additional ones of a static cluster. */
static const char *const static_keywords[] = {
	"application_name", "connect_timeout", "options", "user"
};

/* The options of user mappings that are keywords of libpq. */
static const char *const mapping_keywords[] = {
	"password", "sslcert", "sslkey", "sslpassword", "user"
};

/*
 * Defaults of keywords: the connection to a node that has disappeared without closing
 * it is lost within half a minute.  (Calls do not wait for that: they have deadlines
 * and probes of their own.)
 */
static const char *const defaults[][2] = {
	{"keepalives", "1"},
	{"keepalives_idle", "15"},
	{"keepalives_interval", "5"},
	{"keepalives_count", "3"},
	{"tcp_user_timeout", "30000"}
};

uint64		plshard_conninfo_generation = 0;

void
plshard_conninfo_outdate(void)
{
	plshard_conninfo_generation++;
}

static bool
is_one_of(const char *keyword, const char *const *keywords, int nkeywords)
{
	for (int i = 0; i < nkeywords; i++)
	{
		if (strcmp(keywords[i], keyword) == 0)
			return true;
	}
	return false;
}

/* Appends a copy of a setting; of several of one keyword, libpq uses the last. */
static void
add_setting(NodeConninfo *info, int *n, const char *keyword, const char *value)
{
	if (!plshard_proxy_option_allowed(keyword))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("this server does not permit the connection option \"%s\"", keyword)));
	info->keywords[*n] = pstrdup(keyword);
	info->values[*n] = pstrdup(value);
	(*n)++;
}

/* True for keywords of node conninfos in a cluster of that kind. */
static bool
keyword_allowed(const char *keyword, ClusterKind kind)
{
	if (is_one_of(keyword, node_keywords, lengthof(node_keywords)))
		return true;
	if (kind != CLUSTER_CATALOG && is_one_of(keyword, static_keywords, lengthof(static_keywords)))
		return true;
	return (kind == CLUSTER_CALLBACKS || kind == CLUSTER_CONNECT) && strcmp(keyword, "password") == 0;
}

/* Errors HV00D for a keyword that is not allowed, 42501 for one that the server forbids. */
static void
check_node_keyword(const char *keyword, ClusterKind kind)
{
	StringInfoData valid;

	if (keyword_allowed(keyword, kind))
	{
		if (!plshard_proxy_option_allowed(keyword))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("this server does not permit the connection option \"%s\"",
							keyword)));
		return;
	}
	if (is_one_of(keyword, mapping_keywords, lengthof(mapping_keywords)) &&
		(kind == CLUSTER_CATALOG || kind == CLUSTER_SERVER))
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
				 errmsg("connection option \"%s\" is not allowed for a node", keyword),
				 errhint("Use CREATE USER MAPPING, which may also be FOR PUBLIC, to set the user name for the cluster's nodes.")));

	initStringInfo(&valid);
	for (int i = 0; i < lengthof(node_keywords); i++)
		appendStringInfo(&valid, "%s%s", i > 0 ? ", " : "", node_keywords[i]);
	for (int i = 0; kind != CLUSTER_CATALOG && i < lengthof(static_keywords); i++)
		appendStringInfo(&valid, ", %s", static_keywords[i]);
	if (keyword_allowed("password", kind))
		appendStringInfoString(&valid, ", password");
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
			 errmsg("connection option \"%s\" is not allowed for a node", keyword),
			 errhint("Valid options in this context are: %s.", valid.data)));
}

/* Parses a node's conninfo; the result is libpq's, for PQconninfoFree. */
static PQconninfoOption *
parse_conninfo(const char *conninfo)
{
	char	   *message = NULL;
	PQconninfoOption *options = PQconninfoParse(conninfo, &message);

	if (options == NULL)
	{
		/* the message is not shown: it quotes the text */
		PQfreemem(message);
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("invalid connection string for a node"),
				 errhint("Give pairs like \"host=db1 port=5432 dbname=shop\", or a postgresql:// URI, of options that this server's libpq knows.")));
	}
	return options;
}

/* The value of connect_timeout in milliseconds, which libpq's nonblocking functions ignore. */
static int
parse_connect_timeout(const char *value)
{
	int			seconds;

	if (!parse_int(value, &seconds, 0, NULL) || seconds > INT_MAX / 1000)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid connect_timeout in the connection string of a node"),
				 errhint("Give a number of seconds.")));
	return Max(seconds, 0) * 1000;
}

void
plshard_validate_conninfo(const char *conninfo, ClusterKind kind)
{
	PQconninfoOption *options = parse_conninfo(conninfo);

	PG_TRY();
	{
		for (PQconninfoOption *option = options; option->keyword; option++)
		{
			if (option->val == NULL)
				continue;
			check_node_keyword(option->keyword, kind);
			if (strcmp(option->keyword, "connect_timeout") == 0)
				(void) parse_connect_timeout(option->val);
		}
	}
	PG_FINALLY();
	{
		PQconninfoFree(options);
	}
	PG_END_TRY();
}

/* The credentials that a node's conninfo contains. */
typedef struct Credentials
{
	bool		user;
	bool		password;
} Credentials;

/* Adds the settings of a node's conninfo to arrays that are large enough. */
static Credentials
add_node_settings(NodeConninfo *info, int *n, const char *conninfo, ClusterKind kind)
{
	PQconninfoOption *options = parse_conninfo(conninfo);
	Credentials given = {false, false};

	PG_TRY();
	{
		for (PQconninfoOption *option = options; option->keyword; option++)
		{
			if (option->val == NULL)
				continue;
			check_node_keyword(option->keyword, kind);
			add_setting(info, n, option->keyword, option->val);
			if (strcmp(option->keyword, "connect_timeout") == 0)
				info->connect_timeout = parse_connect_timeout(option->val);
			if (option->val[0] != '\0')
			{
				given.user |= strcmp(option->keyword, "user") == 0;
				given.password |= strcmp(option->keyword, "password") == 0;
			}
		}
	}
	PG_FINALLY();
	{
		PQconninfoFree(options);
	}
	PG_END_TRY();
	return given;
}

/* Adds a keepalive setting of the cluster, if it has one. */
static void
add_keepalive(NodeConninfo *info, int *n, const char *keyword, int value)
{
	if (value > 0)
		add_setting(info, n, keyword, psprintf("%d", value));
}

/* A hash of all keywords and values. */
static uint32
fingerprint(const NodeConninfo *info)
{
	uint32		hash = info->password_required;

	for (int i = 0; info->keywords[i] != NULL; i++)
	{
		const char *keyword = info->keywords[i];
		const char *value = info->values[i];

		hash = hash_combine(hash, hash_bytes((const unsigned char *) keyword, strlen(keyword)));
		hash = hash_combine(hash, hash_bytes((const unsigned char *) value, strlen(value)));
	}
	return hash;
}

void
plshard_build_conninfo(const ClusterMap *map, int node, Oid userid, NodeConninfo *result)
{
	const ClusterOptions *options = &map->options;
	List	   *mapping = NIL;
	ListCell   *cell;
	Credentials given;
	bool		has_mapping = false;
	bool		required;
	bool		server = OidIsValid(map->server_oid);
	int			capacity;
	int			n = 0;

	Assert(node >= 0 && node < map->nnodes);

	if (server)
		mapping = plshard_user_mapping_options(map->server_oid, userid, &has_mapping);
	required = has_mapping ? true : options->password_required;

	/* user and password, client_encoding, application_name and the end, three keepalives */
	capacity = lengthof(defaults) + lengthof(node_keywords) + lengthof(static_keywords) +
		list_length(mapping) + 8;
	result->keywords = palloc0(capacity * sizeof(char *));
	result->values = palloc0(capacity * sizeof(char *));
	result->connect_timeout = 0;

	for (int i = 0; i < lengthof(defaults); i++)
		add_setting(result, &n, defaults[i][0], defaults[i][1]);
	add_keepalive(result, &n, "keepalives_idle", options->keepalive_idle);
	add_keepalive(result, &n, "keepalives_interval", options->keepalive_interval);
	add_keepalive(result, &n, "keepalives_count", options->keepalive_count);
	add_setting(result, &n, "user", GetUserNameFromId(userid, false));
	add_setting(result, &n, "application_name", "plshard");
	given = add_node_settings(result, &n, map->nodes[node].conninfo, map->kind);
	foreach(cell, mapping)
	{
		DefElem    *option = lfirst_node(DefElem, cell);

		if (strcmp(option->defname, "password_required") == 0)
			required = plshard_option_is_on(option);
		else if (is_one_of(option->defname, mapping_keywords, lengthof(mapping_keywords)))
		{
			char	   *value = defGetString(option);

			add_setting(result, &n, option->defname, value);
			if (strcmp(option->defname, "password") == 0 && *value != '\0')
				given.password = true;
			if (strcmp(option->defname, "user") == 0)
				given.user = false;
		}
	}
	add_setting(result, &n, "client_encoding", GetDatabaseEncodingName());

	/* a mapping that exempts its own role does not exempt the role that the conninfo names */
	if (given.user && options->password_required)
		required = true;
	result->password_required = required && !superuser_arg(userid);
	if (result->password_required && !given.password)
		ereport(ERROR,
				(errcode(ERRCODE_S_R_E_PROHIBITED_SQL_STATEMENT_ATTEMPTED),
				 errmsg("password is required"),
				 server ?
				 errdetail("Non-superusers must provide a password in the user mapping of cluster \"%s\".",
						   map->name) :
				 errdetail("Non-superusers must provide a password in the connection string.")));
	result->fingerprint = hash_combine(fingerprint(result), options->pooled);
}

bool
plshard_connection_is_secure(PGconn *conn, bool password_required)
{
	return !password_required || PQconnectionUsedPassword(conn);
}

void
plshard_refuse_connection(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_S_R_E_PROHIBITED_SQL_STATEMENT_ATTEMPTED),
			 errmsg("password is required"),
			 errdetail("A non-superuser cannot connect to a node that does not ask for a password."),
			 errhint("Change the node's authentication method, or let a superuser set password_required to false.")));
}
