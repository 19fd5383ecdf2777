/*
 * shard_hash.h
 *
 * The shard hash: the key type's 32-bit hash support function of its default
 * hash operator class, as pg_shard and Citus use it.
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
 * Looks up how values of a type (domains: their base type) hash.  Errors:
 * 42883 where it has no hash operator class; 0A000 for types and collations
 * whose hash differs between servers (enums, reg* types, containers of either,
 * nondeterministic collations), with a hint.
 */
extern void plshard_shard_hash_init(ShardHash *hash, Oid type, Oid collation,
									MemoryContext context);

/* The hash operator family of a type; types of one family hash equal keys alike. */
extern Oid	plshard_shard_hash_family(Oid type);

/* The hash of one key, never NULL. */
static inline uint32
plshard_shard_hash(ShardHash *hash, Datum key)
{
	return DatumGetUInt32(FunctionCall1Coll(&hash->function, hash->collation, key));
}

/* Several keys: combine(combine(h1, h2), h3). */
extern uint32 plshard_shard_hash_combine(uint32 a, uint32 b);

#endif							/* PLSHARD_SHARD_HASH_H */
