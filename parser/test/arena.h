/*
 * arena.h
 *
 * Memory for the stand-alone tests of the parser: every allocation is a malloc
 * of its own, so that the address sanitizer sees each overrun, and all end
 * together.
 */
#ifndef ARENA_H
#define ARENA_H

#include "body_parser.h"

typedef struct ArenaChunk ArenaChunk;

typedef struct Arena
{
	ArenaChunk *chunks;
} Arena;

extern ParserAllocator arena_allocator(Arena *arena);
extern void arena_free(Arena *arena);

#endif							/* ARENA_H */
