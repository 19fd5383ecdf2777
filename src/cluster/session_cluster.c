/*
 * session_cluster.c
 *
 * Clusters without a foreign server.  What is known of them lasts as long as the
 * session, below CacheMemoryContext.
 */
#include "postgres.h"

#include "cluster/session_cluster.h"
#include "common/hashfn.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

typedef struct SessionKey
{
	ClusterKind kind;
	const char *text;
} SessionKey;

typedef struct SessionEntry
{
	SessionKey	key;			/* hash key, must be first */
	SessionCluster *cluster;
} SessionEntry;

static HTAB *by_text = NULL;	/* of SessionEntry */
static SessionCluster **by_ref = NULL;	/* index: ref - FIRST_SESSION_CLUSTER */
static int	nclusters = 0;
static int	capacity = 0;		/* of by_ref */

static uint32
hash_session_key(const void *key, Size size)
{
	const SessionKey *k = key;

	return hash_combine(k->kind, hash_bytes((const unsigned char *) k->text, strlen(k->text)));
}

static int
match_session_keys(const void *a, const void *b, Size size)
{
	const SessionKey *x = a;
	const SessionKey *y = b;

	return x->kind == y->kind && strcmp(x->text, y->text) == 0 ? 0 : 1;
}

SessionCluster *
plshard_session_cluster(ClusterKind kind, const char *text)
{
	SessionKey	key = {kind, text};
	SessionEntry *entry;
	SessionCluster *cluster;
	char	   *copy;

	if (by_text == NULL)
	{
		HASHCTL		control = {
			.keysize = sizeof(SessionKey),
			.entrysize = sizeof(SessionEntry),
			.hash = hash_session_key,
			.match = match_session_keys,
			.hcxt = CacheMemoryContext
		};

		by_text = hash_create("plshard clusters without server", 16, &control,
							  HASH_ELEM | HASH_FUNCTION | HASH_COMPARE | HASH_CONTEXT);
	}
	entry = hash_search(by_text, &key, HASH_FIND, NULL);
	if (entry != NULL)
		return entry->cluster;

	if (nclusters == capacity)
	{
		int			larger = Max(16, capacity * 2);

		by_ref = by_ref == NULL ?
			MemoryContextAlloc(CacheMemoryContext, larger * sizeof(SessionCluster *)) :
			repalloc(by_ref, larger * sizeof(SessionCluster *));
		capacity = larger;
	}
	cluster = MemoryContextAllocZero(CacheMemoryContext,
									 sizeof(SessionCluster) + strlen(text) + 1);
	copy = (char *) (cluster + 1);
	strcpy(copy, text);
	cluster->kind = kind;
	cluster->text = key.text = copy;
	cluster->ref = FIRST_SESSION_CLUSTER + nclusters;
	entry = hash_search(by_text, &key, HASH_ENTER, NULL);
	entry->cluster = by_ref[nclusters++] = cluster;
	return cluster;
}

SessionCluster *
plshard_session_cluster_by_ref(ClusterRef ref)
{
	Assert(ref >= FIRST_SESSION_CLUSTER && ref - FIRST_SESSION_CLUSTER < nclusters);
	return by_ref[ref - FIRST_SESSION_CLUSTER];
}
