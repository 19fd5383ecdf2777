/*
 * characters.h
 *
 * Checks that bytes from a node are valid in the database's encoding.
 */
#ifndef PLSHARD_CHARACTERS_H
#define PLSHARD_CHARACTERS_H

#include "mb/pg_wchar.h"

/* True for seven-bit characters other than zero, which are valid in every server encoding. */
static inline bool
is_ascii(const char *bytes, int length)
{
	const uint64 ones = UINT64CONST(0x0101010101010101);
	const uint64 high_bits = ones << 7;

	for (; length >= (int) sizeof(uint64); bytes += sizeof(uint64), length -= sizeof(uint64))
	{
		uint64		word;

		memcpy(&word, bytes, sizeof(word));
		if ((word | (word - ones)) & high_bits)
			return false;		/* a high bit that is set, or that the subtraction from a zero sets */
	}
	for (; length > 0; bytes++, length--)
	{
		if (*bytes == 0 || IS_HIGHBIT_SET(*bytes))
			return false;
	}
	return true;
}

/* Errors 22021 if the bytes are not valid in the database's encoding. */
static inline void
plshard_verify_characters(const char *bytes, int length)
{
	if (!is_ascii(bytes, length))
		(void) pg_verify_mbstr(GetDatabaseEncoding(), bytes, length, false);
}

#endif							/* PLSHARD_CHARACTERS_H */
