/*
 * catalog_query.h
 *
 * SQL on the registry's tables.
 */
#ifndef PLSHARD_CATALOG_QUERY_H
#define PLSHARD_CATALOG_QUERY_H

/*
 * Runs one SQL command on the registry's tables as their owner, in the caller's
 * transaction and independently of the caller's search_path: names of pg_catalog
 * need no schema in it.  There are up to 6 parameters, of type text (a NULL pointer
 * is SQL NULL); the command casts those that are of another type.  Returns the first
 * column of the first row as text, palloc'd in the current memory context; NULL if
 * there is no row or the value is NULL.  Errors: 42P01 if the registry's tables
 * do not exist, and those of the command.
 */
extern char *plshard_catalog_query(const char *sql, int nparams, const char *const *params);

#endif							/* PLSHARD_CATALOG_QUERY_H */
