/*
 * fuzz.c
 *
 * Feeds the parser generated and mutated bodies: fuzz SEED COUNT [BODY-FILE ...]
 * runs COUNT rounds of random bytes, random tokens, damaged copies of the given
 * bodies, and correct statements around SQL that hides semicolons, commas and
 * brackets wherever SQL lets it.  Any result must be in order (see check), and
 * of the last kind exactly the hidden fragment must come out.  To be run under
 * the address and undefined-behaviour sanitizers, which find the rest.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"

#define LENGTH_OF(array) (sizeof(array) / sizeof((array)[0]))

typedef struct Text
{
	char	   *bytes;			/* zero-terminated */
	size_t		length;
	size_t		capacity;
} Text;

static uint64_t random_state;

static uint64_t
random_bits(void)
{
	uint64_t	z = (random_state += UINT64_C(0x9E3779B97F4A7C15));

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return z ^ (z >> 31);
}

/* 0 to limit - 1 */
static size_t
random_below(size_t limit)
{
	return (size_t) (random_bits() % limit);
}

static void
text_append(Text *text, const char *bytes, size_t length)
{
	if (text->length + length + 1 > text->capacity)
	{
		text->capacity = (text->length + length + 1) * 2;
		text->bytes = realloc(text->bytes, text->capacity);
		if (text->bytes == NULL)
			abort();
	}
	memcpy(text->bytes + text->length, bytes, length);
	text->length += length;
	text->bytes[text->length] = '\0';
}

static void
text_add(Text *text, const char *string)
{
	text_append(text, string, strlen(string));
}

static void
text_clear(Text *text)
{
	text_append(text, "", 0);
	text->length = 0;
	text->bytes[0] = '\0';
}

static void
broken(const Text *source, const char *what)
{
	printf("%s in this body:\n%s\n", what, source->bytes);
	exit(1);
}

static void
check_location(const Text *source, int location)
{
	if (location < 0 || (size_t) location >= source->length)
		broken(source, "a location outside the source");
}

static void
check_span(const Text *source, SourceSpan span)
{
	static const char blanks[] = " \t\n\r\f\v";

	if (span.length == 0)
		return;
	check_location(source, span.start);
	if (span.length < 0 || (size_t) span.length > source->length - span.start)
		broken(source, "a span outside the source");
	if (strchr(blanks, source->bytes[span.start]) != NULL ||
		strchr(blanks, source->bytes[span.start + span.length - 1]) != NULL)
		broken(source, "a span with blanks around it");
}

static void
check_name(const Text *source, AstName name)
{
	if (name.name == NULL)
		return;
	check_location(source, name.location);
	if (strlen(name.name) > 63)
		broken(source, "a name that is too long");
}

static void
check_args(const Text *source, const AstArg *arg)
{
	for (; arg != NULL; arg = arg->next)
	{
		check_location(source, arg->location);
		if ((arg->name != NULL) == (arg->number > 0))
			broken(source, "an argument with a name and a number, or neither");
	}
}

static void
check_destination(const Text *source, const AstDestination *destination)
{
	int			ways = (destination->text.length > 0) + (destination->arg != NULL);

	if (ways != (destination->location >= 0))
		broken(source, "CLUSTER or CONNECT without a destination, or with several");
	if (destination->name != NULL && destination->text.length < 2)
		broken(source, "CLUSTER or CONNECT with a literal that is nowhere");
	if (ways > 0)
		check_location(source, destination->location);
	check_span(source, destination->text);
	check_args(source, destination->arg);
}

/* Is the tree, or the error, one that the interface allows? */
static void
check(const Text *source, const AstBody *body, const ParseError *error)
{
	if (body == NULL)
	{
		if (error->message == NULL || error->message[0] == '\0')
			broken(source, "an error without message");
		if (error->position < 0 || (size_t) error->position > source->length)
			broken(source, "an error outside the source");
		return;
	}
	if (body->source != source->bytes)
		broken(source, "another source");
	check_destination(source, &body->cluster);
	check_destination(source, &body->connect);
	if (body->split_location >= 0)
		check_location(source, body->split_location);
	else if (body->split_args != NULL)
		broken(source, "SPLIT without a location");
	check_args(source, body->split_args);
	if ((body->run_on != RUN_ON_NONE) != (body->run_on_location >= 0))
		broken(source, "RUN ON without a location");
	if ((body->run_on == RUN_ON_ARG) != (body->run_on_arg != NULL))
		broken(source, "RUN ON and its argument");
	check_span(source, body->run_on_expr);
	check_args(source, body->run_on_arg);
	for (const AstLet *let = body->lets; let != NULL; let = let->next)
	{
		check_location(source, let->location);
		check_name(source, let->name);
		check_span(source, let->type);
		check_span(source, let->expr);
		if (let->name.name == NULL || let->expr.length == 0)
			broken(source, "LET without name or expression");
	}
	check_name(source, body->target_schema);
	check_name(source, body->target_name);
	check_args(source, body->target_args);
	check_span(source, body->sql);
	check_span(source, body->reduce_columns);
	check_span(source, body->reduce_query);
}

/*
 * Parse a body, from memory that ends where it ends.  With "expected", it must
 * be right, and "pick" must find the expected span in its tree.
 */
static void
try(const Text *text, SourceSpan (*pick) (const AstBody *body), const SourceSpan *expected)
{
	Arena		arena = {NULL};
	ParserAllocator allocator = arena_allocator(&arena);
	ParseError	error = {-1, NULL, NULL, NULL};
	Text		source = {allocator.alloc(allocator.arg, text->length + 1), text->length, 0};
	AstBody    *body;

	memcpy(source.bytes, text->bytes, text->length + 1);
	body = plshard_parse(source.bytes, &allocator, &error);
	check(&source, body, &error);
	if (expected != NULL)
	{
		SourceSpan	span;

		if (body == NULL)
			broken(&source, error.message);
		span = pick(body);
		if (span.start != expected->start || span.length != expected->length)
			broken(&source, "not the expected span");
	}
	arena_free(&arena);
}

static void
random_bytes(Text *text)
{
	static const char special[] = "'\"$;,()[]/*-.=:\\eEuU&xn1 \n";

	for (size_t n = random_below(120); n > 0; n--)
	{
		char		byte = random_below(2) ? special[random_below(sizeof(special) - 1)]
		: (char) (1 + random_below(255));

		text_append(text, &byte, 1);
	}
}

static void
random_tokens(Text *text)
{
	static const char *const tokens[] = {
		"CLUSTER", "CONNECT", "SPLIT", "RUN", "ON", "hash", "ALL", "any", "TARGET", "LET", "READ", "WRITE",
		"LOCK", "SHARD", "TIMEOUT", "FAILURE", "SKIP", "REDUCE", "SELECT", "WITH", "VALUES",
		"insert", "a", "\"b;\"", "\"\"", "$1", "$0", "$99999999999", "7", "1.5", "99999999999999999999",
		"'x'", "'", "\"", "E'\\''", "e'\\", "U&'", "$$", "$t$", "$", "(", ")", "[", "]", ".", ",", "=",
		":=", "::", "-", "--", "\n", "/*", "*/", ";", "\x80\xff"
	};

	for (size_t n = random_below(40); n > 0; n--)
	{
		text_add(text, tokens[random_below(LENGTH_OF(tokens))]);
		if (random_below(4) != 0)
			text_add(text, " ");
		if (random_below(4) == 0)
			text_add(text, ";");
	}
}

/* Pieces of bodies one after the other, with some bytes changed. */
static void
damaged_body(Text *text, const Text *bodies, size_t count)
{
	for (size_t pieces = 1 + random_below(4); pieces > 0; pieces--)
	{
		const Text *body = &bodies[random_below(count)];
		size_t		start = random_below(2) ? 0 : random_below(body->length + 1);
		size_t		length = random_below(body->length - start + 1);

		text_append(text, body->bytes + start, length);
	}
	for (size_t n = random_below(4); n > 0 && text->length > 0; n--)
		text->bytes[random_below(text->length)] = (char) (1 + random_below(255));
}

static void
random_blank(Text *text)
{
	static const char *const blanks[] = {
		" ", "\n", "\t\r\n", " /* ; ' $$ */ ", " /*/**/;)*/", " --;'\"(\n", " /* /* ) */ \" */",
	};

	text_add(text, blanks[random_below(LENGTH_OF(blanks))]);
}

/*
 * Add correct SQL that is full of traps; return where it stands.  An x follows
 * each E'...', since a string on the next line would go on with its escapes.
 */
static SourceSpan
hidden_sql(Text *text, const char *first)
{
	static const char *const lexemes[] = {
		"x", "_$1", "\xc3\xa9", "1", "1.5e-3", "$1", "+", "*", "/", "-", "<@", ",", ".", ":", "::", ":=", "=",
		"';'", "''", "');,'", "'it''s;'", "'\\'", "E'\\';' x", "e';\\\\' x", "E''';' x",
		"E'a'\n -- x\n '\\';' x", "N';'", "B';'", "x');'", "U&'\\;'", "u&\";\"", "\";\"", "\"a\"\");\"",
		"$$;$$", "$$'$$", "$a$;$$;$b$;$a$", "$a$$a;$a$", "$\xc3\xa9$;$\xc3\xa9$", "read", "SELECT", "hash"
	};
	SourceSpan	span = {(int) text->length, 0};
	char		closing[16];
	size_t		depth = 0;

	text_add(text, first);
	for (size_t n = random_below(20); n > 0 || depth > 0; n -= (n > 0))
	{
		random_blank(text);
		if (depth > 0 && (n == 0 || random_below(5) == 0))
			text_append(text, &closing[--depth], 1);
		else if (depth < sizeof(closing) && random_below(5) == 0)
		{
			bool		round = random_below(2);

			text_add(text, round ? "(" : "[");
			closing[depth++] = round ? ')' : ']';
		}
		else
			text_add(text, lexemes[random_below(LENGTH_OF(lexemes))]);
	}
	span.length = (int) text->length - span.start;
	return span;
}

static SourceSpan
pick_sql(const AstBody *body)
{
	return body->sql;
}

static SourceSpan
pick_let(const AstBody *body)
{
	return body->lets->expr;
}

static SourceSpan
pick_run_on(const AstBody *body)
{
	return body->run_on_expr;
}

static SourceSpan
pick_columns(const AstBody *body)
{
	return body->reduce_columns;
}

static SourceSpan
pick_query(const AstBody *body)
{
	return body->reduce_query;
}

static void
try_hidden(Text *text)
{
	static const struct
	{
		const char *before;
		const char *first;
		const char *after;
		SourceSpan	(*pick) (const AstBody *body);
	}			places[] =
	{
		{"", "SELECT", ";", pick_sql},
		{"LET a numeric(10,2)[] =", "a", ";", pick_let},
		{"RUN ON hash(", "a", ");", pick_run_on},
		{"REDUCE (", "a", ") VALUES (1);", pick_columns},
		{"REDUCE (a int)", "(SELECT 1)", ";", pick_query},
		{"REDUCE ", "with", ";", pick_query},
	};
	size_t		place = random_below(LENGTH_OF(places));
	SourceSpan	expected;

	random_blank(text);
	text_add(text, places[place].before);
	random_blank(text);
	expected = hidden_sql(text, places[place].first);
	random_blank(text);
	text_add(text, places[place].after);
	try(text, places[place].pick, &expected);
}

/* A body "before" with "middle" n times, "end" and "after" n times. */
static void
try_deep(Text *text, const char *before, const char *middle, const char *end, const char *after)
{
	text_clear(text);
	text_add(text, before);
	for (int i = 0; i < 300000; i++)
		text_add(text, middle);
	text_add(text, end);
	for (int i = 0; i < 300000; i++)
		text_add(text, after);
	text_add(text, ";");
	try(text, NULL, NULL);
}

static Text
read_body(const char *path)
{
	Text		text = {NULL, 0, 0};
	char		chunk[4096];
	size_t		size;
	FILE	   *file = fopen(path, "rb");

	if (file == NULL)
	{
		perror(path);
		exit(1);
	}
	text_clear(&text);
	while ((size = fread(chunk, 1, sizeof(chunk), file)) > 0)
		text_append(&text, chunk, size);
	fclose(file);
	return text;
}

int
main(int argc, char **argv)
{
	size_t		nbodies = argc > 3 ? (size_t) argc - 3 : 0;
	long		count = argc > 2 ? strtol(argv[2], NULL, 10) : 0;
	Text	   *bodies;
	Text		text = {NULL, 0, 0};

	if (count <= 0 || nbodies == 0)
	{
		fprintf(stderr, "usage: fuzz SEED COUNT BODY-FILE ...\n");
		return 2;
	}
	random_state = strtoull(argv[1], NULL, 10);
	bodies = calloc(nbodies, sizeof(Text));
	if (bodies == NULL)
		abort();
	for (size_t i = 0; i < nbodies; i++)
		bodies[i] = read_body(argv[3 + i]);

	try_deep(&text, "SELECT ", "(", "1", ")");
	try_deep(&text, "SELECT ", "(", "1", "");
	try_deep(&text, "SELECT 1", "/*", "", "*/");
	try_deep(&text, "TARGET f(a", ",a", ")", "");
	try_deep(&text, "", "LET a = 1;", "READ", "");
	try_deep(&text, "SELECT ", "E'a'\n", "", "");
	try_deep(&text, "SELECT '", "''", "", "");

	for (long round = 0; round < count; round++)
	{
		text_clear(&text);
		switch (round % 4)
		{
			case 0:
				random_bytes(&text);
				try(&text, NULL, NULL);
				break;
			case 1:
				random_tokens(&text);
				try(&text, NULL, NULL);
				break;
			case 2:
				damaged_body(&text, bodies, nbodies);
				try(&text, NULL, NULL);
				break;
			case 3:
				try_hidden(&text);
				break;
		}
	}

	for (size_t i = 0; i < nbodies; i++)
		free(bodies[i].bytes);
	free(bodies);
	free(text.bytes);
	printf("fuzz: %ld bodies\n", count);
	return 0;
}
