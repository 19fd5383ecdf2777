/*
 * parse.c
 *
 * Parses standard input and prints the tree, or the error, to standard output.
 * Numbers after @ are byte offsets.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"

static char *
read_all(FILE *file)
{
	size_t		size = 0;
	size_t		capacity = 4096;
	char	   *text = malloc(capacity);

	while (text != NULL)
	{
		size += fread(text + size, 1, capacity - size - 1, file);
		if (size + 1 < capacity)
		{
			text[size] = '\0';
			return text;
		}
		capacity *= 2;
		text = realloc(text, capacity);
	}
	abort();
}

static void
print_span(const char *label, const AstBody *body, SourceSpan span)
{
	if (span.length > 0)
		printf("%s @%d <<%.*s>>\n", label, span.start, span.length, body->source + span.start);
}

static void
print_name(const char *label, AstName name)
{
	if (name.name != NULL)
		printf("%s @%d <<%s>>\n", label, name.location, name.name);
}

static void
print_args(const char *label, const AstArg *arg)
{
	for (; arg != NULL; arg = arg->next)
	{
		printf("%s @%d", label, arg->location);
		if (arg->qualifier != NULL)
			printf(" <<%s>>.", arg->qualifier);
		if (arg->name != NULL)
			printf(" <<%s>>\n", arg->name);
		else
			printf(" $%d\n", arg->number);
	}
}

static void
print_destination(const char *label, const AstBody *body, const AstDestination *destination)
{
	if (destination->name != NULL)
		printf("%s @%d <<%s>>\n", label, destination->location, destination->name);
	else if (destination->location >= 0)
	{
		printf("%s @%d\n", label, destination->location);
		print_span("  call", body, destination->text);
		print_args("  argument", destination->arg);
	}
}

static void
print_run_on(const AstBody *body)
{
	switch (body->run_on)
	{
		case RUN_ON_NONE:
			return;
		case RUN_ON_HASH:
			printf("run on hash @%d\n", body->run_on_location);
			print_span("  keys", body, body->run_on_expr);
			return;
		case RUN_ON_FUNCTION:
			printf("run on function @%d\n", body->run_on_location);
			print_span("  call", body, body->run_on_expr);
			return;
		case RUN_ON_ARG:
			printf("run on argument @%d\n", body->run_on_location);
			print_args("  argument", body->run_on_arg);
			return;
		case RUN_ON_SHARD:
			printf("run on shard @%d %lld\n", body->run_on_location, (long long) body->run_on_shard);
			return;
		case RUN_ON_ALL:
			printf("run on all @%d\n", body->run_on_location);
			return;
		case RUN_ON_ANY:
			printf("run on any @%d\n", body->run_on_location);
			return;
	}
}

static void
print_body(const AstBody *body)
{
	print_destination("cluster", body, &body->cluster);
	print_destination("connect", body, &body->connect);
	print_run_on(body);
	if (body->split_location >= 0)
		printf("split%s @%d\n", body->split_args == NULL ? " all" : "", body->split_location);
	print_args("  argument", body->split_args);
	for (const AstLet *let = body->lets; let != NULL; let = let->next)
	{
		printf("let @%d\n", let->location);
		print_name("  name", let->name);
		print_span("  type", body, let->type);
		print_span("  expression", body, let->expr);
	}
	print_name("target schema", body->target_schema);
	print_name("target", body->target_name);
	if (body->target_has_args)
	{
		printf("target arguments\n");
		print_args("  argument", body->target_args);
	}
	if (body->access != ACCESS_BY_VOLATILITY)
		printf("%s @%d\n", body->access == ACCESS_READ ? "read" : "write", body->access_location);
	if (body->lock_shard)
		printf("lock shard @%d\n", body->lock_shard_location);
	if (body->timeout != NULL)
		printf("timeout @%d <<%s>>\n", body->timeout_location, body->timeout);
	if (body->skip_failures)
		printf("on failure skip @%d\n", body->skip_failures_location);
	print_span("sql", body, body->sql);
	print_span("reduce columns", body, body->reduce_columns);
	print_span("reduce query", body, body->reduce_query);
}

/* The message as psql shows it: with the line, and a caret under the position. */
static void
print_error(const char *source, const ParseError *error)
{
	const char *at = source + error->position;
	const char *start = at;
	int			line = 1;

	while (start > source && start[-1] != '\n')
		start--;
	for (const char *c = source; c < start; c++)
		line += (*c == '\n');

	printf("error @%d: %s\n", error->position, error->message);
	printf("line %d: %.*s\n", line, (int) strcspn(start, "\n"), start);
	printf("line %d: %*s^\n", line, (int) (at - start), "");
	if (error->detail != NULL)
		printf("detail: %s\n", error->detail);
	if (error->hint != NULL)
		printf("hint: %s\n", error->hint);
}

int
main(void)
{
	Arena		arena = {NULL};
	ParserAllocator allocator = arena_allocator(&arena);
	ParseError	error;
	char	   *source = read_all(stdin);
	AstBody    *body = plshard_parse(source, &allocator, &error);

	if (body != NULL)
		print_body(body);
	else
		print_error(source, &error);
	arena_free(&arena);
	free(source);
	return 0;
}
