/*
 * shard_hash.c
 *
 * Finds the hash function of a key, and refuses types that cannot be keys because equal
 * values of them hash differently on other servers.  Allocates the FmgrInfo's own memory
 * only, in the context that the caller names.
 */
#include "postgres.h"

#include "access/tupdesc.h"
#include "catalog/pg_type.h"
#include "cluster/shard_hash.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

static void check_portable(Oid type, Oid collation, Oid key_type);

/* Raises 0A000: "key_type" is, or contains, "type". */
static void
refuse_key_type(Oid key_type, Oid type)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("type %s cannot be a shard key", format_type_be(key_type)),
			 type == key_type
			 ? errdetail("Its values hash differently on different servers.")
			 : errdetail("It contains type %s, whose values hash differently on different servers.",
						 format_type_be(type)),
			 errhint("Use its text as the key.")));
}

/* True for the reg... types: OIDs differ between servers. */
static bool
is_object_identifier_alias(Oid type)
{
	switch (type)
	{
		case REGPROCOID:
		case REGPROCEDUREOID:
		case REGOPEROID:
		case REGOPERATOROID:
		case REGCLASSOID:
		case REGTYPEOID:
		case REGROLEOID:
		case REGNAMESPACEOID:
		case REGCONFIGOID:
		case REGDICTIONARYOID:
		case REGCOLLATIONOID:
			return true;
		default:
			return false;
	}
}

/* Checks the columns of a composite type. */
static void
check_columns_portable(Oid type, Oid key_type)
{
	TupleDesc	desc = lookup_rowtype_tupdesc_copy(type, -1);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped)
			check_portable(att->atttypid, att->attcollation, key_type);
	}
	FreeTupleDesc(desc);
}

/* Errors 0A000 if a type, or one that it contains, hashes differently on other servers. */
static void
check_portable(Oid type, Oid collation, Oid key_type)
{
	Oid			base = getBaseType(type);

	check_stack_depth();

	if (OidIsValid(collation) && !get_collation_isdeterministic(collation))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a shard key cannot use the nondeterministic collation \"%s\"",
						get_collation_name(collation)),
				 errdetail("Its hash values change with the version of the ICU library."),
				 errhint("Put COLLATE \"C\", or another deterministic collation, on the key.")));

	if (is_object_identifier_alias(base))
		refuse_key_type(key_type, base);

	switch (get_typtype(base))
	{
		case TYPTYPE_ENUM:
			refuse_key_type(key_type, base);
			break;
		case TYPTYPE_COMPOSITE:
			check_columns_portable(base, key_type);
			break;
		case TYPTYPE_RANGE:
			{
				TypeCacheEntry *range = lookup_type_cache(base, TYPECACHE_RANGE_INFO);

				check_portable(range->rngelemtype->type_id, range->rng_collation, key_type);
				break;
			}
		case TYPTYPE_MULTIRANGE:
			check_portable(get_multirange_range(base), InvalidOid, key_type);
			break;
		default:
			{
				Oid			element = get_base_element_type(base);

				if (OidIsValid(element))
					check_portable(element, InvalidOid, key_type);
				break;
			}
	}
}

void
plshard_shard_hash_init(ShardHash *hash, Oid type, Oid collation, MemoryContext context)
{
	Oid			base = getBaseType(type);
	TypeCacheEntry *entry = lookup_type_cache(base, TYPECACHE_HASH_PROC);

	if (!OidIsValid(entry->hash_proc))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("could not identify a hash function for type %s", format_type_be(type)),
				 errhint("A shard key needs a type with a default hash operator class.")));

	check_portable(base, collation, type);

	fmgr_info_cxt(entry->hash_proc, &hash->function, context);
	/* all deterministic collations hash alike, so any will do if there is none */
	hash->collation = OidIsValid(collation) ? collation : get_typcollation(base);
}

Oid
plshard_shard_hash_family(Oid type)
{
	return lookup_type_cache(getBaseType(type), TYPECACHE_HASH_OPFAMILY)->hash_opf;
}

uint32
plshard_shard_hash_combine(uint32 a, uint32 b)
{
	return hash_combine(a, b);
}
