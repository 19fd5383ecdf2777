%code top {
/*
 * gram.y
 *
 * The grammar of function bodies, and plshard_parse.  It consists of plshard's
 * own statements; SQL inside them is read by calls of plshard_read_* from
 * empty rules, placed where bison reduces without a lookahead token.
 * Any error ends the parse by a jump to plshard_parse; all memory comes from
 * the caller's allocator, so nothing has to be cleaned up.
 */
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
}

%code requires {
#include "parse_state.h"
}

%code provides {
extern int	plshard_yylex(PLSHARD_YYSTYPE *value, int *location, ParseState *state);
}

%code {
/* An identifier has at most NAMEDATALEN - 1 bytes. */
#define MAX_NAME_LENGTH 63

/* bison's stack, should it grow; the rules are left-recursive, so it does not */
#define YYMALLOC(size) plshard_parser_alloc(state, size)
#define YYFREE(ptr) ((void) (ptr))

#define YYLLOC_DEFAULT(current, rhs, n) \
	((current) = (n) ? YYRHSLOC(rhs, 1) : YYRHSLOC(rhs, 0))

/* Where an empty rule reads SQL, bison must not have read ahead. */
#define READING(span) (assert(yychar == PLSHARD_YYEMPTY), (span))

/* What a body has at most one of, and how messages call it. */
#define SEEN_CLUSTER	(1 << 0)
#define SEEN_RUN_ON		(1 << 1)
#define SEEN_TARGET		(1 << 2)
#define SEEN_ACCESS		(1 << 3)
#define SEEN_LOCK		(1 << 4)
#define SEEN_TIMEOUT	(1 << 5)
#define SEEN_ON_FAILURE	(1 << 6)
#define SEEN_SQL		(1 << 7)
#define SEEN_REDUCE		(1 << 8)
#define SEEN_CONNECT	(1 << 9)
#define SEEN_SPLIT		(1 << 10)

static void plshard_yyerror(const int *location, ParseState *state, const char *message);
static void specified_once(ParseState *state, int seen, int location, const char *what);
static AstName make_name(ParseState *state, Lexeme lexeme);
static char *string_value(ParseState *state, Lexeme lexeme);
static AstArg *make_arg(ParseState *state, char *qualifier, AstName name, int location);
static AstArg *make_param(ParseState *state, Lexeme lexeme);
static AstArg *append_arg(AstArg *list, AstArg *arg);
static AstArg *finish_args(AstArg *list);
static int64_t shard_number(ParseState *state, Lexeme lexeme);
static void add_let(ParseState *state, AstName name, SourceSpan type, SourceSpan expr, int location);
}

%require "3.6"
%defines
%define api.pure full
%define api.prefix {plshard_yy}
%define api.location.type {int}
%define parse.error custom
%locations
%expect 0
%parse-param {ParseState *state}
%lex-param {ParseState *state}

%union
{
	Lexeme		lexeme;
	AstName		name;
	AstArg	   *arg;
	AstDestination destination;
	SourceSpan	span;
}

%token END_OF_BODY 0

/* Lexemes of several characters: IDENT is the first, then keywords from K_ALL on. */
%token <lexeme> IDENT QUOTED_IDENT NUMBER PARAM
%token <lexeme> STRING			/* '...' or $tag$...$tag$ */
%token SQL_LEXEME				/* has a meaning in SQL only: E'...', :: and so on */

%token <lexeme> K_ALL K_ANY K_CALL K_CLUSTER K_CONNECT K_DELETE K_FAILURE K_HASH K_INSERT
%token <lexeme> K_LET K_LOCK K_MERGE K_ON K_READ K_REDUCE K_RUN K_SELECT K_SHARD
%token <lexeme> K_SKIP K_SPLIT K_TARGET K_TIMEOUT K_UPDATE K_VALUES K_WITH K_WRITE

%type <lexeme> word unreserved sql_keyword
%type <name> name not_all
%type <arg> arg arg_list split_arg split_list
%type <destination> destination
%type <span> call_arguments let_type let_expression sql_rest
%type <span> reduce_columns reduce_query

%%

body:
	  %empty
		{
			(void) yynerrs;		/* bison counts errors; the count is unused */
		}
	| body statement ';'
	;

/* To add a statement: see doc/internals.md. */
statement:
	  cluster
	| connect
	| run_on
	| split
	| target
	| let
	| access
	| lock_shard
	| timeout
	| on_failure
	| remote_sql
	| reduce
	;

cluster:
	  K_CLUSTER destination
		{
			specified_once(state, SEEN_CLUSTER, @1, "CLUSTER");
			state->body->cluster = $2;
		}
	;

connect:
	  K_CONNECT destination
		{
			specified_once(state, SEEN_CONNECT, @1, "CONNECT");
			state->body->connect = $2;
		}
	;

destination:
	  STRING
		{
			$$ = (AstDestination) {@1, string_value(state, $1), {@1, $1.length}, NULL};
		}
	| arg
		{
			$$ = (AstDestination) {@1, NULL, NO_SPAN, $1};
		}
	| name '(' call_arguments ')'
		{
			$$ = (AstDestination) {@1, NULL, {@1, @4 + 1 - @1}, NULL};
		}
	| name '.' name '(' call_arguments ')'
		{
			$$ = (AstDestination) {@1, NULL, {@1, @6 + 1 - @1}, NULL};
		}
	;

run_on:
	  K_RUN K_ON run_on_where
		{
			specified_once(state, SEEN_RUN_ON, @1, "RUN ON");
			state->body->run_on_location = @3;
		}
	;

run_on_where:
	  K_ALL
		{
			state->body->run_on = RUN_ON_ALL;
		}
	| K_ANY
		{
			state->body->run_on = RUN_ON_ANY;
		}
	| NUMBER
		{
			state->body->run_on = RUN_ON_SHARD;
			state->body->run_on_shard = shard_number(state, $1);
		}
	| '-' NUMBER
		{
			plshard_fail(state, @1, "Shards are numbered from 0.",
						 "shard number must not be negative");
		}
	| PARAM
		{
			state->body->run_on = RUN_ON_ARG;
			state->body->run_on_arg = make_param(state, $1);
		}
	| word
		{
			state->body->run_on = RUN_ON_ARG;
			state->body->run_on_arg = make_arg(state, NULL, make_name(state, $1), @1);
		}
	| word '.' name
		{
			state->body->run_on = RUN_ON_ARG;
			state->body->run_on_arg = make_arg(state, make_name(state, $1).name, $3, @1);
		}
	| word '(' call_arguments ')'
		{
			if ($1.token == K_HASH)
			{
				if ($3.length == 0)
					plshard_fail(state, @4, NULL, "hash needs at least one key");
				state->body->run_on = RUN_ON_HASH;
				state->body->run_on_expr = $3;
			}
			else
			{
				state->body->run_on = RUN_ON_FUNCTION;
				state->body->run_on_expr = (SourceSpan) {@1, @4 + 1 - @1};
			}
		}
	| word '.' name '(' call_arguments ')'
		{
			state->body->run_on = RUN_ON_FUNCTION;
			state->body->run_on_expr = (SourceSpan) {@1, @6 + 1 - @1};
		}
	;

call_arguments:
	  %empty	{ $$ = READING(plshard_read_fragment(state, NO_SPAN, ')')); }
	;

split:
	  K_SPLIT K_ALL
		{
			specified_once(state, SEEN_SPLIT, @1, "SPLIT");
			state->body->split_location = @2;
		}
	| K_SPLIT split_list
		{
			specified_once(state, SEEN_SPLIT, @1, "SPLIT");
			state->body->split_location = @2;
			state->body->split_args = finish_args($2);
		}
	;

split_list:
	  split_arg						{ $$ = append_arg(NULL, $1); }
	| split_list ',' split_arg		{ $$ = append_arg($1, $3); }
	;

split_arg:
	  not_all				{ $$ = make_arg(state, NULL, $1, @1); }
	| not_all '.' name		{ $$ = make_arg(state, $1.name, $3, @1); }
	| PARAM					{ $$ = make_param(state, $1); }
	;

target:
	  K_TARGET target_function target_arguments
		{
			specified_once(state, SEEN_TARGET, @1, "TARGET");
		}
	;

target_function:
	  name
		{
			state->body->target_name = $1;
		}
	| name '.' name
		{
			state->body->target_schema = $1;
			state->body->target_name = $3;
		}
	;

target_arguments:
	  %empty
	| '(' ')'
		{
			state->body->target_has_args = true;
		}
	| '(' arg_list ')'
		{
			state->body->target_has_args = true;
			state->body->target_args = finish_args($2);
		}
	;

arg_list:
	  arg					{ $$ = append_arg(NULL, $1); }
	| arg_list ',' arg		{ $$ = append_arg($1, $3); }
	;

arg:
	  name				{ $$ = make_arg(state, NULL, $1, @1); }
	| name '.' name		{ $$ = make_arg(state, $1.name, $3, @1); }
	| PARAM				{ $$ = make_param(state, $1); }
	;

let:
	  K_LET name let_type '=' let_expression
		{
			add_let(state, $2, $3, $5, @1);
		}
	;

let_type:
	  %empty	{ $$ = READING(plshard_read_fragment(state, NO_SPAN, '=')); }
	;

let_expression:
	  %empty	{ $$ = READING(plshard_read_expression(state, ';')); }
	;

access:
	  K_READ
		{
			specified_once(state, SEEN_ACCESS, @1, "READ or WRITE");
			state->body->access = ACCESS_READ;
			state->body->access_location = @1;
		}
	| K_WRITE
		{
			specified_once(state, SEEN_ACCESS, @1, "READ or WRITE");
			state->body->access = ACCESS_WRITE;
			state->body->access_location = @1;
		}
	;

lock_shard:
	  K_LOCK K_SHARD
		{
			specified_once(state, SEEN_LOCK, @1, "LOCK SHARD");
			state->body->lock_shard = true;
			state->body->lock_shard_location = @1;
		}
	;

timeout:
	  K_TIMEOUT STRING
		{
			specified_once(state, SEEN_TIMEOUT, @1, "TIMEOUT");
			state->body->timeout = string_value(state, $2);
			state->body->timeout_location = @2;
		}
	;

on_failure:
	  K_ON K_FAILURE K_SKIP
		{
			specified_once(state, SEEN_ON_FAILURE, @1, "ON FAILURE");
			state->body->skip_failures = true;
			state->body->skip_failures_location = @1;
		}
	;

remote_sql:
	  sql_keyword sql_rest
		{
			specified_once(state, SEEN_SQL, @1, "SQL statement");
			state->body->sql = (SourceSpan) {@1, $2.start + $2.length - @1};
		}
	;

sql_keyword:
	  K_SELECT | K_INSERT | K_UPDATE | K_DELETE | K_MERGE | K_WITH | K_VALUES | K_CALL
	;

/* $0 is the keyword: a span of it and what follows */
sql_rest:
	  %empty
		{
			SourceSpan	keyword = {$<lexeme>0.start, $<lexeme>0.length};

			$$ = READING(plshard_read_fragment(state, keyword, ';'));
		}
	;

reduce:
	  K_REDUCE reduce_columns reduce_query
		{
			specified_once(state, SEEN_REDUCE, @1, "REDUCE");
			state->body->reduce_columns = $2;
			state->body->reduce_query = $3;
		}
	;

reduce_columns:
	  %empty	{ $$ = READING(plshard_read_reduce_columns(state)); }
	;

reduce_query:
	  %empty	{ $$ = READING(plshard_read_reduce_query(state)); }
	;

/* Any word is a name; but RUN ON ALL, RUN ON ANY and SPLIT ALL mean something else. */
name:
	  not_all
	| K_ALL		{ $$ = make_name(state, $1); }
	;

not_all:
	  word		{ $$ = make_name(state, $1); }
	| K_ANY		{ $$ = make_name(state, $1); }
	;

word:
	  IDENT | QUOTED_IDENT | unreserved
	;

unreserved:
	  K_CALL | K_CLUSTER | K_CONNECT | K_DELETE | K_FAILURE | K_HASH | K_INSERT | K_LET | K_LOCK
	| K_MERGE | K_ON | K_READ | K_REDUCE | K_RUN | K_SELECT | K_SHARD | K_SKIP | K_SPLIT
	| K_TARGET | K_TIMEOUT | K_UPDATE | K_VALUES | K_WITH | K_WRITE
	;

%%

void *
plshard_parser_alloc(ParseState *state, size_t size)
{
	return state->allocator->alloc(state->allocator->arg, size);
}

static char *
copy_text(ParseState *state, int start, int length)
{
	char	   *text = plshard_parser_alloc(state, (size_t) length + 1);

	memcpy(text, state->source + start, length);
	text[length] = '\0';
	return text;
}

void
plshard_fail(ParseState *state, int position, const char *hint, const char *format,...)
{
	va_list		args;
	int			length;
	char	   *message;

	va_start(args, format);
	length = vsnprintf(NULL, 0, format, args);
	va_end(args);
	message = plshard_parser_alloc(state, (size_t) length + 1);
	va_start(args, format);
	vsnprintf(message, (size_t) length + 1, format, args);
	va_end(args);

	state->error->position = position;
	state->error->message = message;
	state->error->detail = NULL;
	state->error->hint = hint;
	longjmp(state->failed, 1);
}

void
plshard_syntax_error(ParseState *state, const Lexeme *lexeme, const char *hint)
{
	if (lexeme->token == END_OF_BODY)
		plshard_fail(state, lexeme->start, hint, "syntax error at end of function body");
	plshard_fail(state, lexeme->start, hint, "syntax error at or near \"%s\"",
				 copy_text(state, lexeme->start, lexeme->length));
}

const char *
plshard_statement_hint(const ParseState *state)
{
	switch (state->statement)
	{
		case K_CLUSTER:
			return "CLUSTER takes a name in quotes, function(...), an argument or $n.";
		case K_CONNECT:
			return "CONNECT takes a connection string in quotes, function(...), an argument or $n.";
		case K_RUN:
			return "RUN ON takes hash(key, ...), function(...), an argument, $n, a shard number, ALL or ANY.";
		case K_SPLIT:
			return "Write SPLIT argument [, ...]; or SPLIT ALL;";
		case K_TARGET:
			return "Write TARGET [schema.]function [(argument, ...)]; where LET can compute arguments.";
		case K_LET:
			return "Write LET name [type] = expression;";
		case K_LOCK:
			return "Write LOCK SHARD;";
		case K_TIMEOUT:
			return "Write TIMEOUT 'duration';";
		case K_ON:
			return "Write ON FAILURE SKIP;";
		case K_REDUCE:
			return "REDUCE takes an optional (column type, ...) and a query that starts with SELECT, WITH or VALUES.";
		default:
			return NULL;		/* what is left can only lack its semicolon */
	}
}

/* bison's own messages: only that its stack is full, which cannot happen */
static void
plshard_yyerror(const int *location, ParseState *state, const char *message)
{
	plshard_fail(state, *location, NULL, "%s", message);
}

/* The lookahead token fits no rule. */
static int
yyreport_syntax_error(const yypcontext_t *context, ParseState *state)
{
	yysymbol_kind_t expected[YYNTOKENS];
	int			count = yypcontext_expected_tokens(context, expected, YYNTOKENS);
	const Lexeme *lexeme = &state->lookahead;

	for (int i = 0; i < count; i++)
	{
		static const char statements[] =
		"Statements are CLUSTER, CONNECT, RUN ON, SPLIT, TARGET, LET, READ, WRITE, LOCK SHARD, TIMEOUT, ON FAILURE SKIP, REDUCE, "
		"and one of SELECT, INSERT, UPDATE, DELETE, MERGE, WITH, VALUES and CALL.";

		if (expected[i] == YYTRANSLATE(';'))
			plshard_syntax_error(state, lexeme, PLSHARD_SEMICOLON_HINT);
		if (expected[i] == YYTRANSLATE(END_OF_BODY))	/* a statement may start here */
		{
			if (lexeme->token == IDENT || lexeme->token >= K_ALL)
				plshard_fail(state, lexeme->start, statements, "unknown statement \"%s\"",
							 copy_text(state, lexeme->start, lexeme->length));
			plshard_syntax_error(state, lexeme, statements);
		}
	}
	plshard_syntax_error(state, lexeme, plshard_statement_hint(state));
}

static void
specified_once(ParseState *state, int seen, int location, const char *what)
{
	if (state->seen & seen)
		plshard_fail(state, location, NULL, "%s is specified more than once", what);
	state->seen |= seen;
}

/* The text between quotes, with doubled quotes reduced to one. */
static char *
unquote(ParseState *state, Lexeme lexeme, char quote)
{
	char	   *text = copy_text(state, lexeme.start + 1, lexeme.length - 2);
	char	   *to = text;

	for (const char *from = text; *from != '\0'; from++)
	{
		*to++ = *from;
		if (*from == quote)
			from++;
	}
	*to = '\0';
	return text;
}

static char *
string_value(ParseState *state, Lexeme lexeme)
{
	int			tag_length;

	if (state->source[lexeme.start] == '\'')
		return unquote(state, lexeme, '\'');
	tag_length = (int) strcspn(state->source + lexeme.start + 1, "$") + 2;
	return copy_text(state, lexeme.start + tag_length, lexeme.length - 2 * tag_length);
}

/*
 * Fold and truncate an identifier as PostgreSQL does.  Other encodings than
 * UTF-8 are not known here: a name of theirs that is too long may lose more, or
 * part of a character, and is then not found.
 */
static AstName
make_name(ParseState *state, Lexeme lexeme)
{
	AstName		name = {NULL, lexeme.start};
	size_t		length;

	if (lexeme.token == QUOTED_IDENT)
		name.name = unquote(state, lexeme, '"');
	else
	{
		name.name = copy_text(state, lexeme.start, lexeme.length);
		for (char *c = name.name; *c != '\0'; c++)
			if (*c >= 'A' && *c <= 'Z')
				*c += 'a' - 'A';
	}
	length = strlen(name.name);
	if (length > MAX_NAME_LENGTH)
	{
		length = MAX_NAME_LENGTH;
		while (length > 0 && ((unsigned char) name.name[length] & 0xC0) == 0x80)
			length--;
		name.name[length] = '\0';
	}
	return name;
}

static AstArg *
make_arg(ParseState *state, char *qualifier, AstName name, int location)
{
	AstArg	   *arg = plshard_parser_alloc(state, sizeof(AstArg));

	*arg = (AstArg) {NULL, qualifier, name.name, 0, location};
	return arg;
}

static AstArg *
make_param(ParseState *state, Lexeme lexeme)
{
	AstArg	   *arg = plshard_parser_alloc(state, sizeof(AstArg));
	const char *digits = copy_text(state, lexeme.start + 1, lexeme.length - 1);
	long		number;

	errno = 0;
	number = strtol(digits, NULL, 10);
	if (errno != 0 || number < 1 || number > INT_MAX)
		plshard_fail(state, lexeme.start, NULL, "there is no parameter $%s", digits);
	*arg = (AstArg) {NULL, NULL, NULL, (int) number, lexeme.start};
	return arg;
}

/* A list under construction is circular: its last member, whose next is the first. */
static AstArg *
append_arg(AstArg *list, AstArg *arg)
{
	if (list == NULL)
		arg->next = arg;
	else
	{
		arg->next = list->next;
		list->next = arg;
	}
	return arg;
}

static AstArg *
finish_args(AstArg *list)
{
	AstArg	   *first = list->next;

	list->next = NULL;
	return first;
}

static int64_t
shard_number(ParseState *state, Lexeme lexeme)
{
	const char *digits = copy_text(state, lexeme.start, lexeme.length);
	long long	number;

	if (strspn(digits, "0123456789") != (size_t) lexeme.length)
		plshard_fail(state, lexeme.start, NULL, "shard number must be an integer: \"%s\"", digits);
	errno = 0;
	number = strtoll(digits, NULL, 10);
	if (errno != 0)
		plshard_fail(state, lexeme.start, NULL, "shard number %s is out of range", digits);
	return number;
}

static void
add_let(ParseState *state, AstName name, SourceSpan type, SourceSpan expr, int location)
{
	AstLet	   *let = plshard_parser_alloc(state, sizeof(AstLet));

	*let = (AstLet) {NULL, name, type, expr, location};
	*state->next_let = let;
	state->next_let = &let->next;
}

AstBody *
plshard_parse(const char *source, const ParserAllocator *allocator, ParseError *error)
{
	ParseState	state = {.source = source,.allocator = allocator,.error = error};

	state.body = plshard_parser_alloc(&state, sizeof(AstBody));
	*state.body = (AstBody) {
		.source = source,
		.cluster.location = -1,
		.connect.location = -1,
		.split_location = -1,
		.run_on_location = -1,
		.target_schema.location = -1,
		.target_name.location = -1,
		.access_location = -1,
		.lock_shard_location = -1,
		.skip_failures_location = -1,
		.timeout_location = -1,
	};
	state.next_let = &state.body->lets;
	state.lookahead.token = ';';	/* the next token starts a statement */

	if (setjmp(state.failed) != 0)
		return NULL;
	plshard_start_scanner(&state);
	plshard_yyparse(&state);
	return state.body;
}
