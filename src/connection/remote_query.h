/*
 * remote_query.h
 *
 * What a remote statement needs to be sent.
 */
#ifndef PLSHARD_REMOTE_QUERY_H
#define PLSHARD_REMOTE_QUERY_H

/* Values of a remote statement's parameters, as PQsendQueryPrepared takes them. */
typedef struct RemoteParams
{
	const char *const *values;	/* NULL pointer: SQL NULL */
	const int  *lengths;
	const int  *formats;
} RemoteParams;

#endif							/* PLSHARD_REMOTE_QUERY_H */
