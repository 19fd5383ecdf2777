/*
 * body_parser.h
 *
 * Text to syntax tree.  Reentrant; keeps no state of its own; takes its memory
 * from the caller's allocator and never frees, so that a memory context (or an
 * arena, in the stand-alone tests) owns the tree.
 */
#ifndef PLSHARD_BODY_PARSER_H
#define PLSHARD_BODY_PARSER_H

#include <stddef.h>

#include "ast.h"

typedef struct ParserAllocator
{
	void	   *(*alloc) (void *arg, size_t size);	/* must not return NULL */
	void	   *arg;
} ParserAllocator;

/* What was wrong; strings live in the allocator's memory. */
typedef struct ParseError
{
	int			position;		/* byte offset into the source */
	const char *message;		/* by PostgreSQL's error style, no position in it */
	const char *detail;			/* or NULL */
	const char *hint;			/* or NULL */
} ParseError;

/*
 * Parse "source", a zero-terminated string in a server-side encoding (every
 * byte of a multibyte character has its high bit set).  Returns the tree, or
 * NULL with *error filled.  Each statement but LET is accepted once; what
 * statements mean together is the compiler's business.
 */
extern AstBody *plshard_parse(const char *source, const ParserAllocator *allocator,
							  ParseError *error);

#endif							/* PLSHARD_BODY_PARSER_H */
