/*
 * shard_hash.h
 *
 * The shard hash: the 32-bit hash support function of the key type's default hash
 * operator class, which pg_shard and Citus use too.
 */
#ifndef PLSHARD_SHARD_HASH_H
#define PLSHARD_SHARD_HASH_H

#include "fmgr.h"

typedef struct ShardHash
{
	FmgrInfo	function;
	Oid			collation;
} ShardHash;

/*
 * Finds the hash function of a type (of a domain: its base type), for as long as
 * "context" exists.  Errors: 42883 if it has no hash operator class; 0A000 with a hint
 * for types and collations with hash values that differ between servers (enums, reg*
 * types, containers of either, nondeterministic collations).
 */
extern void plshard_shard_hash_init(ShardHash *hash, Oid type, Oid collation,
									MemoryContext context);

/* The hash operator family of a type: equal keys of the types of a family have equal hashes. */
extern Oid	plshard_shard_hash_family(Oid type);

/* The hash of one key, never NULL. */
static inline uint32
plshard_shard_hash(ShardHash *hash, Datum key)
{
	return DatumGetUInt32(FunctionCall1Coll(&hash->function, hash->collation, key));
}

/* The hash of several keys: combine(combine(h1, h2), h3). */
extern uint32 plshard_shard_hash_combine(uint32 a, uint32 b);

#endif							/* PLSHARD_SHARD_HASH_H */
