/*
 * compat.h
 *
 * The differences between PostgreSQL 15, 16, 17 and 18, and between libpq
 * versions.  No other file looks at a version number.
 */
#ifndef PLSHARD_COMPAT_H
#define PLSHARD_COMPAT_H

#include "postgres.h"

#include "catalog/pg_foreign_server.h"
#include "catalog/pg_language.h"
#include "catalog/namespace.h"
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

#if PG_VERSION_NUM >= 180000
#include "storage/waiteventset.h"
#endif

/* A wait event set that lives as long as the session. */
#if PG_VERSION_NUM >= 170000
#define plshard_create_wait_event_set(n) CreateWaitEventSet(NULL, (n))
#else
#define plshard_create_wait_event_set(n) CreateWaitEventSet(TopMemoryContext, (n))
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

#if PG_VERSION_NUM < 160000
#define object_aclcheck(classid, objectid, roleid, mode) \
	((classid) == ForeignServerRelationId ? \
	 pg_foreign_server_aclcheck((objectid), (roleid), (mode)) : \
	 (classid) == ProcedureRelationId ? \
	 pg_proc_aclcheck((objectid), (roleid), (mode)) : \
	 (elog(ERROR, "unexpected object class"), ACLCHECK_NO_PRIV))
#define object_ownercheck(classid, objectid, roleid) \
	((classid) == ForeignServerRelationId ? \
	 pg_foreign_server_ownercheck((objectid), (roleid)) : \
	 (elog(ERROR, "unexpected object class"), false))
#endif

#endif							/* PLSHARD_COMPAT_H */
