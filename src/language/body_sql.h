/*
 * body_sql.h
 *
 * The body's own SQL, made a remote statement.
 */
#ifndef PLSHARD_BODY_SQL_H
#define PLSHARD_BODY_SQL_H

#include "language/function.h"

/*
 * The body's own statement, with $n::type where it names values; "params" as
 * for plshard_call_sql; *is_procedure where it is CALL.  Throws what PostgreSQL's
 * parser throws and 42601 for more than one statement, with positions in the
 * body; 0A000 for what is not allowed in a read, or at all.  palloc'd.
 */
extern char *plshard_body_sql(const char *source, SourceSpan span, const ValueScope *scope,
							  bool is_write, bool *is_procedure, List **params);

#endif							/* PLSHARD_BODY_SQL_H */
