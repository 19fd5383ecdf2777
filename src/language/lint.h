/*
 * lint.h
 *
 * What must not be deployed: commands that a shard cannot have, and what would
 * make replicas differ.
 */
#ifndef PLSHARD_LINT_H
#define PLSHARD_LINT_H

#include "ast.h"
#include "nodes/parsenodes.h"
#include "parser/parse_node.h"

/*
 * Checks one command of pstate->p_sourcetext.  "replicated": some shard of the
 * cluster has more than one placement.  Errors: 0A000, with a position in the
 * source and mostly a hint.  Warns of function bodies that compute what each
 * replica would compute for itself.
 */
extern void plshard_lint_command(ParseState *pstate, const RawStmt *command, bool replicated);

/*
 * Warns of what each replica would compute for itself in a statement of a plshard
 * function's body, which has been parsed without an error before.  It is for
 * writes on replicated clusters.
 */
extern void plshard_lint_body(const char *source, SourceSpan sql, const char *function_name);

/*
 * Error context callback, with a source text (char *) as arg: makes an error's
 * position one in that text rather than in the query that the client sent.
 */
extern void plshard_source_error(void *source);

#endif							/* PLSHARD_LINT_H */
