/*
 * lint.c
 *
 * Finds in raw parse trees what replicas would compute differently.  What a name
 * means on the nodes is not known here, so functions are found by name.  Allocates in the
 * current memory context.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "commands/defrem.h"
#include "common/keywords.h"
#include "language/expr.h"
#include "language/lint.h"
#include "nodes/nodeFuncs.h"
#include "parser/parser.h"
#include "parser/scanner.h"
#include "tcop/utility.h"

/* The core scanner's token of an identifier: the grammar's first, as in PL/pgSQL. */
#define TOKEN_IDENTIFIER 258

/* What each replica would compute for itself, and what does it instead. */
typedef struct ReplicaValue
{
	const char *name;
	bool		is_keyword;		/* not a function */
	const char *let;			/* on the front */
	const char *accessor;		/* on the nodes; or NULL */
} ReplicaValue;

#define NODE_NOW "plshard_node.now()"
#define NODE_ID "plshard_node.unique_id()"

static const ReplicaValue replica_values[] = {
	{"now", false, "ts = now()", NODE_NOW},
	{"current_timestamp", true, "ts = now()", NODE_NOW},
	{"current_date", true, "d = current_date", NODE_NOW},
	{"current_time", true, "t = current_time", NULL},
	{"localtimestamp", true, "ts = localtimestamp", NODE_NOW},
	{"localtime", true, "t = localtime", NULL},
	{"transaction_timestamp", false, "ts = now()", NODE_NOW},
	{"statement_timestamp", false, "ts = statement_timestamp()", NODE_NOW},
	{"clock_timestamp", false, "ts = clock_timestamp()", NODE_NOW},
	{"timeofday", false, "ts = timeofday()", NULL},
	{"random", false, "r = random()", NULL},
	{"random_normal", false, "r = random_normal()", NULL},
	{"gen_random_uuid", false, "id = gen_random_uuid()", NULL},
	{"gen_random_bytes", false, "r = gen_random_bytes(n)", NULL},
	{"uuidv4", false, "id = uuidv4()", NULL},
	{"uuidv7", false, "id = uuidv7()", NULL},
	{"uuid_generate_v1", false, "id = gen_random_uuid()", NULL},
	{"uuid_generate_v1mc", false, "id = gen_random_uuid()", NULL},
	{"uuid_generate_v4", false, "id = gen_random_uuid()", NULL},
	{"nextval", false, "id = plshard.unique_id()", NODE_ID},
	{"currval", false, "id = plshard.unique_id()", NULL},
	{"lastval", false, "id = plshard.unique_id()", NULL},
	{"txid_current", false, "id = plshard.unique_id()", NODE_ID},
	{"pg_current_xact_id", false, "id = plshard.unique_id()", NODE_ID},
	{"pg_backend_pid", false, "id = plshard.unique_id()", NULL},
	{"current_database", false, "db = current_database()", NULL},
	{"current_catalog", true, "db = current_catalog", NULL},
	{"inet_client_addr", false, "addr = inet_client_addr()", NULL},
	{"inet_client_port", false, "port = inet_client_port()", NULL},
	{"inet_server_addr", false, "addr = inet_server_addr()", NULL},
	{"inet_server_port", false, "port = inet_server_port()", NULL}
};

#define CURE_HINT "Let the front compute it once: write LET %s; in the plshard function, and pass it on as an argument."
#define CURE_OR_ACCESSOR_HINT "Use %s, or let the front compute it once: write LET %s; in the plshard function, and pass it on as an argument."
#define BODY_CURE_HINT "Let the front compute it once: write LET %s; and use its name here."
#define LET_UNIQUE_ID "id = plshard.unique_id()"

/* What is inspected, and whether a finding is an error or a warning. */
typedef struct Lint
{
	ParseState *pstate;			/* NULL: it is a statement of a plshard function's body, */
	int			elevel;
	const char *what;			/* subject of the message */
	const char *body;			/* that begins at "start" */
	int			start;
} Lint;

void
plshard_source_error(void *source)
{
	int			position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery(source);
	}
}

/* Throws 0A000 at a location of the command. */
static void
refuse(ParseState *pstate, int location, const char *message, const char *detail, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg_internal("%s", message),
			 detail ? errdetail_internal("%s", detail) : 0,
			 hint ? errhint("%s", hint) : 0,
			 parser_errposition(pstate, location)));
}

/* ---- expressions ---- */

/* The entry for a name, or NULL. */
static const ReplicaValue *
find_value(const char *name, bool is_keyword)
{
	for (int i = 0; i < lengthof(replica_values); i++)
	{
		if (replica_values[i].is_keyword == is_keyword && strcmp(replica_values[i].name, name) == 0)
			return &replica_values[i];
	}
	return NULL;
}

/* In schema plshard_node are the functions that give all replicas the same. */
static bool
is_ours(const char *qualifier)
{
	return strcmp(qualifier, "plshard_node") == 0;
}

/* Reports the use of a value that each replica computes for itself. */
static void
report_value(const Lint *lint, const ReplicaValue *value, int location)
{
	ereport(lint->elevel,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("%s uses %s%s, which each replica computes for itself", lint->what,
					value->name, value->is_keyword ? "" : "()"),
			 lint->pstate == NULL ? errhint(BODY_CURE_HINT, value->let) :
			 value->accessor == NULL ? errhint(CURE_HINT, value->let) :
			 errhint(CURE_OR_ACCESSOR_HINT, value->accessor, value->let),
			 lint->pstate == NULL ? plshard_errposition(lint->body, lint->start + location) :
			 parser_errposition(lint->pstate, location)));
}

static const char *
keyword_of(SQLValueFunctionOp op)
{
	switch (op)
	{
		case SVFOP_CURRENT_DATE:
			return "current_date";
		case SVFOP_CURRENT_TIME:
		case SVFOP_CURRENT_TIME_N:
			return "current_time";
		case SVFOP_CURRENT_TIMESTAMP:
		case SVFOP_CURRENT_TIMESTAMP_N:
			return "current_timestamp";
		case SVFOP_LOCALTIME:
		case SVFOP_LOCALTIME_N:
			return "localtime";
		case SVFOP_LOCALTIMESTAMP:
		case SVFOP_LOCALTIMESTAMP_N:
			return "localtimestamp";
		case SVFOP_CURRENT_CATALOG:
			return "current_catalog";
		default:
			return NULL;		/* roles and schemas are the same on all replicas */
	}
}

/* Walks a raw expression, or a whole query. */
static bool
lint_expression(Node *node, void *arg)
{
	Lint	   *lint = arg;

	if (node == NULL)
		return false;
	if (IsA(node, FuncCall))
	{
		FuncCall   *call = (FuncCall *) node;
		const ReplicaValue *value = find_value(strVal(llast(call->funcname)), false);

		if (value != NULL && !is_ours(strVal(linitial(call->funcname))))
			report_value(lint, value, call->location);
	}
	else if (IsA(node, SQLValueFunction))
	{
		SQLValueFunction *function = (SQLValueFunction *) node;
		const char *keyword = keyword_of(function->op);

		if (keyword != NULL)
			report_value(lint, find_value(keyword, true), function->location);
	}
	/* what PostgreSQL's walker does not handle */
	else if (IsA(node, ReturnStmt))
		return lint_expression(((ReturnStmt *) node)->returnval, arg);
	else if (IsA(node, CallStmt))
		return lint_expression((Node *) ((CallStmt *) node)->funccall, arg);
	else if (IsA(node, ExecuteStmt))
		return lint_expression((Node *) ((ExecuteStmt *) node)->params, arg);
	return raw_expression_tree_walker(node, lint_expression, arg);
}

/* ---- tables ---- */

/* Refuses a default that each replica would compute for itself. */
static void
lint_default(ParseState *pstate, const char *column, Node *expression)
{
	Lint		lint = {.pstate = pstate,.elevel = ERROR,.what = psprintf("the default of \"%s\"", column)};

	(void) lint_expression(expression, &lint);
}

/* A value from a sequence, which each replica counts by itself. */
static void
refuse_counter(ParseState *pstate, const char *column, int location)
{
	refuse(pstate, location,
		   psprintf("column \"%s\" takes its values from a sequence, which each replica advances for itself",
					column),
		   NULL, psprintf(CURE_OR_ACCESSOR_HINT, "DEFAULT " NODE_ID, LET_UNIQUE_ID));
}

/* Whether the type of a column definition is one of the serial types. */
static bool
is_serial(const TypeName *type)
{
	static const char *const serials[] = {
		"serial", "serial2", "serial4", "serial8", "smallserial", "bigserial"
	};

	if (type == NULL || list_length(type->names) != 1)
		return false;
	for (int i = 0; i < lengthof(serials); i++)
	{
		if (strcmp(strVal(linitial(type->names)), serials[i]) == 0)
			return true;
	}
	return false;
}

/* Checks a column definition: its type, its default and its constraints. */
static void
lint_column(ParseState *pstate, const ColumnDef *column)
{
	ListCell   *cell;

	if (is_serial(column->typeName))
		refuse_counter(pstate, column->colname, column->typeName->location);
	foreach(cell, column->constraints)
	{
		Constraint *constraint = lfirst_node(Constraint, cell);

		if (constraint->contype == CONSTR_IDENTITY)
			refuse_counter(pstate, column->colname, constraint->location);
		if (constraint->contype == CONSTR_DEFAULT)
			lint_default(pstate, column->colname, constraint->raw_expr);
	}
}

/* Checks the subcommands of ALTER TABLE. */
static void
lint_alter_table(ParseState *pstate, const AlterTableStmt *alter)
{
	ListCell   *cell;

	foreach(cell, alter->cmds)
	{
		AlterTableCmd *command = lfirst_node(AlterTableCmd, cell);

		switch (command->subtype)
		{
			case AT_AddColumn:
				lint_column(pstate, castNode(ColumnDef, command->def));
				break;
			case AT_ColumnDefault:
				lint_default(pstate, command->name, command->def);
				break;
			case AT_AddIdentity:
				refuse_counter(pstate, command->name,
							   castNode(Constraint, command->def)->location);
				break;
			case AT_AlterColumnType:
				{
					Lint		lint = {.pstate = pstate,.elevel = ERROR,.what = psprintf("the new type of \"%s\"", command->name)};

					(void) lint_expression(castNode(ColumnDef, command->def)->raw_default, &lint);
				}
				break;
			case AT_SetUnLogged:
				refuse(pstate, alter->relation->location, "unlogged tables cannot be replicated",
					   "A crash would empty one replica only.", NULL);
				break;
			default:
				break;
		}
	}
}

/* Where a new relation would live: not in the session, and on replicas logged. */
static void
lint_persistence(ParseState *pstate, const RangeVar *relation, bool replicated)
{
	if (relation == NULL)
		return;
	if (relation->relpersistence == RELPERSISTENCE_TEMP)
		refuse(pstate, relation->location, "temporary objects cannot be deployed",
			   "They would end with a session on the node.", NULL);
	if (replicated && relation->relpersistence == RELPERSISTENCE_UNLOGGED)
		refuse(pstate, relation->location, "unlogged tables cannot be replicated",
			   "A crash would empty one replica only.", NULL);
}

/* ---- function bodies ---- */

/* Finds the names of values in a body's text: keywords, or names before a parenthesis. */
static void
lint_body_text(const Lint *lint, char *body)
{
	ErrorContextCallback callback = {
		.previous = error_context_stack,
		.callback = plshard_source_error,
		.arg = body
	};
	bool		reported[lengthof(replica_values)] = {false};
	const ReplicaValue *name = NULL;
	bool		ours = false;	/* the name before the last dot is our schema's */
	bool		qualified = false;	/* the last token is that dot */
	core_yyscan_t scanner;
	core_yy_extra_type extra;
	core_YYSTYPE token_value;
	YYLTYPE		location;
	int			token;

	error_context_stack = &callback;
	scanner = scanner_init(body, &extra, &ScanKeywords, ScanKeywordTokens);
	extra.escape_string_warning = false;
	while ((token = core_yylex(&token_value, &location, scanner)) != 0)
	{
		const ReplicaValue *found = (token == '(') ? name : NULL;

		name = (token == TOKEN_IDENTIFIER && !qualified) ? find_value(token_value.str, false) : NULL;
		qualified = (token == '.' && ours);
		ours = (token == TOKEN_IDENTIFIER && is_ours(token_value.str));
		for (int i = 0; i < lengthof(replica_values) && token > TOKEN_IDENTIFIER; i++)
		{
			if (replica_values[i].is_keyword &&
				token == ScanKeywordTokens[ScanKeywordLookup(replica_values[i].name, &ScanKeywords)])
				found = &replica_values[i];
		}
		if (found != NULL && !reported[found - replica_values])
		{
			reported[found - replica_values] = true;
			report_value(lint, found, -1);
		}
	}
	scanner_finish(scanner);
	error_context_stack = callback.previous;
}

/* The options of CREATE FUNCTION and DO; bodies in SQL and PL/pgSQL are read. */
static void
lint_function(const Lint *lint, List *options, const char *language, Node *sql_body)
{
	Node	   *as = NULL;
	ListCell   *cell;

	foreach(cell, options)
	{
		DefElem    *option = lfirst_node(DefElem, cell);

		if (strcmp(option->defname, "language") == 0)
			language = strVal(option->arg);
		else if (strcmp(option->defname, "as") == 0)
			as = option->arg;
		else if (strcmp(option->defname, "volatility") == 0 &&
				 strcmp(strVal(option->arg), "volatile") != 0)
			return;				/* it cannot write */
	}
	if (strcmp(language, "sql") != 0 && strcmp(language, "plpgsql") != 0)
		return;
	if (as != NULL)
		lint_body_text(lint, strVal(IsA(as, List) ? linitial((List *) as) : as));
	(void) lint_expression(sql_body, unconstify(Lint *, lint));
}

/* ---- commands ---- */

/* Refuses what no shard can have, and what would change the session on the node. */
static void
check_deployable(ParseState *pstate, const RawStmt *raw)
{
	const char *name = GetCommandTagName(CreateCommandTag(raw->stmt));

	switch (nodeTag(raw->stmt))
	{
		case T_TransactionStmt:
			refuse(pstate, raw->stmt_location, psprintf("%s cannot be deployed", name),
				   "What is deployed belongs to the caller's transaction.", NULL);
			break;
		case T_CreateSchemaStmt:
			refuse(pstate, raw->stmt_location, psprintf("%s cannot be deployed", name),
				   "Each placement is one schema, and what is deployed goes into it.", NULL);
			break;
		case T_VariableSetStmt:
			refuse(pstate, raw->stmt_location, psprintf("%s cannot be deployed", name),
				   "It would change a session on the node that is used again.",
				   "Settings of a function go into its SET clause.");
			break;
		case T_CopyStmt:
		case T_PrepareStmt:
		case T_ExecuteStmt:
		case T_DeallocateStmt:
		case T_DeclareCursorStmt:
		case T_FetchStmt:
		case T_ClosePortalStmt:
		case T_DiscardStmt:
		case T_LoadStmt:
		case T_ListenStmt:
		case T_UnlistenStmt:
		case T_NotifyStmt:
			refuse(pstate, raw->stmt_location, psprintf("%s cannot be deployed", name), NULL, NULL);
			break;
		default:
			break;
	}
}

/* What would make replicas differ. */
static void
check_replicable(ParseState *pstate, Node *command)
{
	switch (nodeTag(command))
	{
		case T_CreateStmt:
			{
				ListCell   *cell;

				foreach(cell, ((CreateStmt *) command)->tableElts)
				{
					if (IsA(lfirst(cell), ColumnDef))
						lint_column(pstate, lfirst(cell));
				}
			}
			break;
		case T_AlterTableStmt:
			lint_alter_table(pstate, (AlterTableStmt *) command);
			break;
		case T_CreateDomainStmt:
			{
				CreateDomainStmt *domain = (CreateDomainStmt *) command;
				ListCell   *cell;

				foreach(cell, domain->constraints)
				{
					Constraint *constraint = lfirst_node(Constraint, cell);

					if (constraint->contype == CONSTR_DEFAULT)
						lint_default(pstate, strVal(llast(domain->domainname)), constraint->raw_expr);
				}
			}
			break;
		case T_AlterDomainStmt:
			{
				AlterDomainStmt *domain = (AlterDomainStmt *) command;

				if (domain->subtype == 'T')
					lint_default(pstate, strVal(llast(domain->typeName)), domain->def);
			}
			break;
		case T_CreateFunctionStmt:
			{
				CreateFunctionStmt *function = (CreateFunctionStmt *) command;
				Lint		lint = {.pstate = pstate,.elevel = WARNING,.what = psprintf("function \"%s\"", strVal(llast(function->funcname)))};

				lint_function(&lint, function->options, "sql", function->sql_body);
			}
			break;
		case T_DoStmt:
			{
				Lint		lint = {.pstate = pstate,.elevel = WARNING,.what = "the code block"};

				lint_function(&lint, ((DoStmt *) command)->args, "plpgsql", NULL);
			}
			break;
		case T_CreateTableAsStmt:
			command = ((CreateTableAsStmt *) command)->query;
			/* FALLTHROUGH */
		case T_SelectStmt:
		case T_InsertStmt:
		case T_UpdateStmt:
		case T_DeleteStmt:
		case T_MergeStmt:
			{
				Lint		lint = {.pstate = pstate,.elevel = ERROR,.what = "the command"};

				(void) lint_expression(command, &lint);
			}
			break;
		default:
			break;
	}
}

/* The relation that a command creates, or NULL. */
static const RangeVar *
created_relation(Node *command)
{
	switch (nodeTag(command))
	{
		case T_CreateStmt:
			return ((CreateStmt *) command)->relation;
		case T_CreateSeqStmt:
			return ((CreateSeqStmt *) command)->sequence;
		case T_ViewStmt:
			return ((ViewStmt *) command)->view;
		case T_CreateTableAsStmt:
			return ((CreateTableAsStmt *) command)->into->rel;
		case T_SelectStmt:
			{
				IntoClause *into = ((SelectStmt *) command)->intoClause;

				return into ? into->rel : NULL;
			}
		default:
			return NULL;
	}
}

void
plshard_lint_command(ParseState *pstate, const RawStmt *raw, bool replicated)
{
	check_deployable(pstate, raw);
	lint_persistence(pstate, created_relation(raw->stmt), replicated);
	if (replicated)
		check_replicable(pstate, raw->stmt);
}

void
plshard_lint_body(const char *source, SourceSpan sql, const char *function_name)
{
	char	   *text = pnstrdup(source + sql.start, sql.length);
	Lint		lint = {
		.elevel = WARNING,
		.what = psprintf("function \"%s\"", function_name),
		.body = source,
		.start = sql.start
	};
	ListCell   *cell;

	foreach(cell, raw_parser(text, RAW_PARSE_DEFAULT))
		(void) lint_expression(lfirst_node(RawStmt, cell)->stmt, &lint);
}
