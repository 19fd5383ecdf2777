/*
 * arena.c
 *
 * The allocator of the stand-alone tests: see arena.h.
 */
#include <stdlib.h>

#include "arena.h"

struct ArenaChunk
{
	ArenaChunk *next;
	void	   *memory;
};

static void *
arena_alloc(void *arg, size_t size)
{
	Arena	   *arena = arg;
	ArenaChunk *chunk = malloc(sizeof(ArenaChunk));

	if (chunk == NULL || (chunk->memory = malloc(size)) == NULL)
		abort();
	chunk->next = arena->chunks;
	arena->chunks = chunk;
	return chunk->memory;
}

ParserAllocator
arena_allocator(Arena *arena)
{
	ParserAllocator allocator = {arena_alloc, arena};

	return allocator;
}

void
arena_free(Arena *arena)
{
	while (arena->chunks != NULL)
	{
		ArenaChunk *chunk = arena->chunks;

		arena->chunks = chunk->next;
		free(chunk->memory);
		free(chunk);
	}
}
