/*
 * parse_state.h
 *
 * What scanner and grammar share during one call of plshard_parse; private to
 * parser/.  The scanner turns bytes into lexemes; the grammar sees those of
 * plshard's own statements, while the lexemes of an SQL fragment are consumed
 * by plshard_read_fragment and friends, which grammar actions call.
 */
#ifndef PLSHARD_PARSE_STATE_H
#define PLSHARD_PARSE_STATE_H

#include <setjmp.h>

#include "body_parser.h"

/* A lexeme: its token (an enumerator of gram.h or a character) and its text. */
typedef struct Lexeme
{
	int			token;
	int			start;
	int			length;
} Lexeme;

typedef struct ParseState
{
	const char *source;
	const ParserAllocator *allocator;
	AstBody    *body;
	AstLet	  **next_let;		/* where the next LET is linked in */
	int			seen;			/* the statements seen, as bits */
	ParseError *error;
	jmp_buf		failed;			/* plshard_fail jumps here */

	/* scanner */
	void	   *scanner;		/* flex's yyscan_t */
	char	   *buffer;			/* flex's copy of the source */
	int			comment_start;
	int			comment_depth;
	int			dollar_start;	/* the opening $tag$ of a dollar-quoted string */
	int			dollar_length;
	Lexeme		pushed_back[2]; /* a stack of lexemes to be read again */
	int			pushed_back_count;

	/* for messages about a syntax error */
	Lexeme		lookahead;		/* the lexeme that the grammar got last */
	int			statement;		/* the first token of the statement */
} ParseState;

/* gram.y */

extern void *plshard_parser_alloc(ParseState *state, size_t size);

/* End the parse with an error; "hint" may be NULL and must outlive the tree. */
extern void plshard_fail(ParseState *state, int position, const char *hint,
						 const char *format,...)
			__attribute__((format(printf, 4, 5), noreturn));

/* Ends the parse with a syntax error at "lexeme". */
extern void plshard_syntax_error(ParseState *state, const Lexeme *lexeme, const char *hint)
			__attribute__((noreturn));

/* The hint with the syntax of the current statement. */
extern const char *plshard_statement_hint(const ParseState *state);

/* scan.l */

extern void plshard_start_scanner(ParseState *state);

/*
 * SQL fragments, from the next lexeme on.  They must not be called while the
 * grammar holds a lookahead token.
 */
extern SourceSpan plshard_read_fragment(ParseState *state, SourceSpan head, int stop);
extern SourceSpan plshard_read_expression(ParseState *state, int stop);
extern SourceSpan plshard_read_reduce_columns(ParseState *state);
extern SourceSpan plshard_read_reduce_query(ParseState *state);

#define NO_SPAN ((SourceSpan) {0, 0})

#define PLSHARD_SEMICOLON_HINT "Statements end with a semicolon."

#endif							/* PLSHARD_PARSE_STATE_H */
