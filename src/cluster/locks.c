/*
 * locks.c
 *
 * The keys of the advisory locks that order writes.  Every front must compute the same
 * ones, on any byte order and version, so the hash function is defined here.
 * Allocates nothing.
 */
#include "postgres.h"

#include "cluster/locks.h"

/* A bijection of 64 bits in which every input bit moves about half of the output. */
static uint64
mix(uint64 x)
{
	x ^= x >> 30;
	x *= UINT64CONST(0xbf58476d1ce4e5b9);
	x ^= x >> 27;
	x *= UINT64CONST(0x94d049bb133111eb);
	x ^= x >> 31;
	return x;
}

/* The hash state after one more word. */
static uint64
absorb(uint64 state, uint64 word)
{
	return mix((state ^ word) + UINT64CONST(0x9e3779b97f4a7c15));
}

/* Eight bytes, most significant first. */
static uint64
read_word(const unsigned char *bytes)
{
	uint64		word = 0;

	for (int i = 0; i < 8; i++)
		word = (word << 8) | bytes[i];
	return word;
}

/*
 * "last" is 0 for the shard itself and at least 2^32 for a key.  absorb() is a bijection
 * of its word, so no two locks of a shard have the same key.
 */
static int64
lock_key(const ClusterMap *map, int64 shard_id, uint64 last)
{
	uint64		state = 0;

	state = absorb(state, read_word(map->cluster_id.data));
	state = absorb(state, read_word(map->cluster_id.data + 8));
	state = absorb(state, (uint64) shard_id);
	return (int64) absorb(state, last);
}

int64
plshard_shard_lock_key(const ClusterMap *map, int64 shard_id)
{
	return lock_key(map, shard_id, 0);
}

int64
plshard_key_lock_key(const ClusterMap *map, int64 shard_id, uint32 key_hash)
{
	return lock_key(map, shard_id, (UINT64CONST(1) << 32) | key_hash);
}
