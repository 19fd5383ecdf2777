/*
 * compat.h
 *
 * The differences between PostgreSQL 15, 16, 17 and 18, and between libpq
 * versions.  No other file tests a version number.
 */
#ifndef PLSHARD_COMPAT_H
#define PLSHARD_COMPAT_H

#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "libpq-fe.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/acl.h"

#if PG_VERSION_NUM < 150000
#error "plshard needs PostgreSQL 15 or later"
#endif

#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* 18 writes it before a declaration. */
#ifndef pg_noreturn
#define pg_noreturn pg_attribute_noreturn()
#endif

#if PG_VERSION_NUM >= 170000
#include "storage/dsm_registry.h"
#endif

#if PG_VERSION_NUM >= 180000
#include "storage/waiteventset.h"
#endif

/* Creates a wait event set for the rest of the session. */
#if PG_VERSION_NUM >= 170000
#define plshard_create_wait_event_set(n) CreateWaitEventSet(NULL, (n))
#else
#define plshard_create_wait_event_set(n) CreateWaitEventSet(TopMemoryContext, (n))
#endif

/*
 * Rows of long results are received some at a time: few, since they may be wide.  For
 * each such result libpq copies the result's description.
 */
#ifdef LIBPQ_HAS_CHUNK_MODE
#define PLSHARD_SOME_ROWS PGRES_TUPLES_CHUNK
#define plshard_set_row_mode(conn) PQsetChunkedRowsMode((conn), 32)
#else
#define PLSHARD_SOME_ROWS PGRES_SINGLE_TUPLE
#define plshard_set_row_mode(conn) PQsetSingleRowMode(conn)
#endif

/* Shared memory by its name, made and initialized by the first process that asks; 15 and 16 lack it. */
#if PG_VERSION_NUM >= 170000
#define plshard_named_segment(name, size, init, found) GetNamedDSMSegment((name), (size), (init), (found))
#endif

/* A search_path that can later be compared with the current one. */
#if PG_VERSION_NUM >= 170000
typedef SearchPathMatcher SearchPathState;
#define plshard_search_path(context) GetSearchPathMatcher(context)
#define plshard_search_path_is_current(path) SearchPathMatchesCurrentEnvironment(path)
#else
typedef OverrideSearchPath SearchPathState;
#define plshard_search_path(context) GetOverrideSearchPath(context)
#define plshard_search_path_is_current(path) OverrideSearchPathMatchesCurrent(path)
#endif

#if PG_VERSION_NUM >= 170000
#define plshard_local_xid() (MyProc->vxid.lxid)
#else
#define plshard_local_xid() (MyProc->lxid)
#endif

#if PG_VERSION_NUM >= 170000
#define plshard_lock_held_by_me(tag, mode) LockHeldByMe((tag), (mode), false)
#else
#define plshard_lock_held_by_me(tag, mode) LockHeldByMe((tag), (mode))
#endif

#if PG_VERSION_NUM < 160000
static inline AclResult
object_aclcheck(Oid classid, Oid objectid, Oid roleid, AclMode mode)
{
	if (classid == ForeignServerRelationId)
		return pg_foreign_server_aclcheck(objectid, roleid, mode);
	Assert(classid == ProcedureRelationId);
	return pg_proc_aclcheck(objectid, roleid, mode);
}

static inline bool
object_ownercheck(Oid classid, Oid objectid, Oid roleid)
{
	if (classid == ForeignServerRelationId)
		return pg_foreign_server_ownercheck(objectid, roleid);
	Assert(classid == RelationRelationId);
	return pg_class_ownercheck(objectid, roleid);
}
#endif

/* A relation's primary key index, InvalidOid if there is none. */
#if PG_VERSION_NUM >= 180000
#define plshard_primary_key_index(rel) RelationGetPrimaryKeyIndex((rel), false)
#else
#define plshard_primary_key_index(rel) RelationGetPrimaryKeyIndex(rel)
#endif

/* True if the client has sent something that has not been read yet. */
#if PG_VERSION_NUM >= 170000
#define plshard_client_has_sent_more() (pq_buffer_remaining_data() > 0)
#else
#define plshard_client_has_sent_more() pq_buffer_has_data()
#endif

/*
 * Minor releases of 2026 and later have a function that returns whether a
 * server-side proxy may set a libpq option.  Weak, since the server may be older than the one that the
 * module was built with.
 */
#ifdef __ELF__
extern bool libpqsrv_is_valid_proxy_option(const char *keyword) __attribute__((weak));
#define plshard_proxy_option_allowed(keyword) \
	(libpqsrv_is_valid_proxy_option == NULL || libpqsrv_is_valid_proxy_option(keyword))
#else
#define plshard_proxy_option_allowed(keyword) true
#endif

#endif							/* PLSHARD_COMPAT_H */
