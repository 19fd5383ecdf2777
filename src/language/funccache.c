/*
 * funccache.c
 *
 * The compiled functions of this session: one slot a function, argument types,
 * collation and column list.  Slots are never moved or freed, so that
 * FmgrInfo.fn_extra may point to them; what they hold is replaced when it is
 * outdated, and freed when no call uses it any more.
 *
 * The table lives in CacheMemoryContext, functions below it in their own contexts.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "funcapi.h"
#include "language/compile.h"
#include "language/funccache.h"
#include "miscadmin.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

typedef struct FunctionKey
{
	Oid			function;
	Oid			collation;		/* of the input */
	int32		record_typmod;	/* of the column list of a record, else -1 */
	int32		nargs;
	Oid			argtypes[FUNC_MAX_ARGS];	/* actual ones */
} FunctionKey;

typedef struct FunctionSlot
{
	FunctionKey key;			/* first */
	PlshardFunction *function;	/* NULL: not compiled */
} FunctionSlot;

static HTAB *slots = NULL;

/* Counts invalidations, so that one that arrives during a compilation is noticed. */
static uint64 invalidations = 0;

/* ---- invalidation ---- */

/* Marks the functions that an invalidation hits as stale. */
static void
for_all_functions(bool (*is_hit) (const PlshardFunction *function, uint32 hash, Oid relation),
				  uint32 hash, Oid relation)
{
	HASH_SEQ_STATUS status;
	FunctionSlot *slot;

	invalidations++;
	hash_seq_init(&status, slots);
	while ((slot = hash_seq_search(&status)) != NULL)
	{
		if (slot->function != NULL && is_hit(slot->function, hash, relation))
			slot->function->stale = true;
	}
}

static bool
function_is_hit(const PlshardFunction *function, uint32 hash, Oid relation)
{
	return hash == 0 || function->proc_hash == hash;
}

static bool
type_is_hit(const PlshardFunction *function, uint32 hash, Oid relation)
{
	ListCell   *lc;

	foreach(lc, function->type_dependencies)
	{
		if (hash == 0 || ((TypeDependency *) lfirst(lc))->type_hash == hash)
			return true;
	}
	return false;
}

static bool
relation_is_hit(const PlshardFunction *function, uint32 hash, Oid relation)
{
	ListCell   *lc;

	foreach(lc, function->type_dependencies)
	{
		Oid			dependency = ((TypeDependency *) lfirst(lc))->relation;

		if (OidIsValid(dependency) && (!OidIsValid(relation) || dependency == relation))
			return true;
	}
	return false;
}

static bool
any_is_hit(const PlshardFunction *function, uint32 hash, Oid relation)
{
	return true;
}

static void
syscache_callback(Datum arg, int cacheid, uint32 hash)
{
	for_all_functions(cacheid == PROCOID ? function_is_hit :
					  cacheid == TYPEOID ? type_is_hit :
					  any_is_hit,
					  hash, InvalidOid);
}

static void
relcache_callback(Datum arg, Oid relation)
{
	for_all_functions(relation_is_hit, 0, relation);
}

/* ---- keys: only the first nargs argument types are part of one ---- */

static Size
size_of_key(const FunctionKey *key)
{
	return offsetof(FunctionKey, argtypes) + key->nargs * sizeof(Oid);
}

static uint32
hash_key(const void *key, Size size)
{
	return hash_bytes(key, size_of_key(key));
}

static int
compare_keys(const void *a, const void *b, Size size)
{
	/* nargs comes before the types, so different numbers never compare equal */
	return memcmp(a, b, size_of_key(a));
}

static void *
copy_key(void *to, const void *from, Size size)
{
	return memcpy(to, from, size_of_key(from));
}

static void
create_slots(void)
{
	HASHCTL		info = {0};

	info.keysize = sizeof(FunctionKey);
	info.entrysize = sizeof(FunctionSlot);
	info.hcxt = CacheMemoryContext;
	info.hash = hash_key;
	info.match = compare_keys;
	info.keycopy = copy_key;
	slots = hash_create("plshard functions", 64, &info,
						HASH_ELEM | HASH_FUNCTION | HASH_COMPARE | HASH_KEYCOPY | HASH_CONTEXT);
	CacheRegisterSyscacheCallback(PROCOID, syscache_callback, 0);
	CacheRegisterSyscacheCallback(TYPEOID, syscache_callback, 0);
	CacheRegisterSyscacheCallback(FOREIGNSERVEROID, syscache_callback, 0);
	CacheRegisterRelcacheCallback(relcache_callback, 0);
}

/* ---- slots ---- */

/*
 * Functions are compiled for the types that polymorphic arguments have at a
 * call, and for the column list of a record.
 */
static FunctionSlot *
find_slot(FunctionCallInfo fcinfo, HeapTuple proc_tuple)
{
	Form_pg_proc proc = (Form_pg_proc) GETSTRUCT(proc_tuple);
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	FunctionKey key;
	FunctionSlot *slot;
	bool		found;

	if (slots == NULL)
		create_slots();

	key.function = fcinfo->flinfo->fn_oid;
	key.collation = fcinfo->fncollation;
	key.record_typmod = -1;
	if (proc->prorettype == RECORDOID && rsinfo != NULL && IsA(rsinfo, ReturnSetInfo) &&
		rsinfo->expectedDesc != NULL)
	{
		/* equal lists have equal typmods */
		TupleDesc	columns = CreateTupleDescCopy(rsinfo->expectedDesc);

		columns->tdtypeid = RECORDOID;
		columns->tdtypmod = -1;
		assign_record_type_typmod(columns);
		key.record_typmod = columns->tdtypmod;
	}
	key.nargs = proc->pronargs;
	memcpy(key.argtypes, proc->proargtypes.values, proc->pronargs * sizeof(Oid));
	if (!resolve_polymorphic_argtypes(proc->pronargs, key.argtypes, NULL,
									  fcinfo->flinfo->fn_expr))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("could not determine actual argument types of polymorphic function \"%s\"",
						NameStr(proc->proname))));

	slot = hash_search(slots, &key, HASH_ENTER, &found);
	if (!found)
		slot->function = NULL;
	return slot;
}

/* Whether a compiled function may be used for a new call. */
static bool
is_valid(const PlshardFunction *function)
{
	ListCell   *lc;

	if (function->stale)
		return false;
	if (function->search_path != NULL &&
		!plshard_search_path_is_current(function->search_path))
		return false;
	if (OidIsValid(function->role) && function->role != GetUserId())
		return false;
	foreach(lc, function->cached_expressions)
	{
		if (!((CachedExpression *) lfirst(lc))->is_valid)
			return false;
	}
	foreach(lc, function->plans)
	{
		if (!SPI_plan_is_valid(lfirst(lc)))
			return false;
	}
	return true;
}

/* A remote statement that is the same as before need not be prepared again. */
static void
keep_query_id(PlshardFunction *function, const PlshardFunction *previous)
{
	RemoteQuery *a = &function->query;
	const RemoteQuery *b = &previous->query;

	if (a->nparams == b->nparams && strcmp(a->sql, b->sql) == 0 &&
		memcmp(a->param_types, b->param_types, a->nparams * sizeof(Oid)) == 0)
	{
		a->id = b->id;
		/* its text follows from the other one's */
		if (function->one_shot != NULL && function->one_shot != a &&
			previous->one_shot != NULL && previous->one_shot != b)
			function->one_shot->id = previous->one_shot->id;
	}
}

PlshardFunction *
plshard_function_for_call(FunctionCallInfo fcinfo)
{
	FunctionSlot *slot = fcinfo->flinfo->fn_extra;
	PlshardFunction *function;
	HeapTuple	proc_tuple;

	if (slot != NULL && slot->function != NULL && is_valid(slot->function))
		return slot->function;

	proc_tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(fcinfo->flinfo->fn_oid));
	if (!HeapTupleIsValid(proc_tuple))
		elog(ERROR, "cache lookup failed for function %u", fcinfo->flinfo->fn_oid);
	if (slot == NULL)
		slot = find_slot(fcinfo, proc_tuple);
	if (slot->function == NULL || !is_valid(slot->function))
	{
		uint64		before = invalidations;

		function = plshard_compile(proc_tuple, fcinfo);
		function->stale = invalidations != before;
		if (slot->function != NULL)
		{
			keep_query_id(function, slot->function);
			plshard_forget_function(slot->function);
		}
		slot->function = function;
	}
	ReleaseSysCache(proc_tuple);
	fcinfo->flinfo->fn_extra = slot;
	return slot->function;
}
