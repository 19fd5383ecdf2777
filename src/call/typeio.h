/*
 * typeio.h
 *
 * Datums to parameters of remote statements and back.  Values travel in binary only where
 * servers 15 to 18 are known to read what any of them has written; all others travel as
 * text under fixed settings.
 */
#ifndef PLSHARD_TYPEIO_H
#define PLSHARD_TYPEIO_H

#include "fmgr.h"
#include "libpq-fe.h"

/* How a value is turned into bytes and back in the binary format. */
typedef enum WireMethod
{
	WIRE_TEXT,					/* not at all: the type's output and input functions */
	WIRE_FUNCTION,				/* the type's send and receive functions */
	WIRE_BOOL,					/* the rest without a function call */
	WIRE_INT2,
	WIRE_INT4,					/* and float4, oid */
	WIRE_INT8,					/* and float8 */
	WIRE_BYTES,					/* bytea */
	WIRE_CHARACTERS				/* text and its kin: the same in both formats */
} WireMethod;

/* What is known about a parameter; filled by plshard_init_encoder. */
typedef struct ParamEncoder
{
	Oid			type;
	Oid			wire_type;		/* for PQprepare; 0: text, for which the
								 * statement must have a cast, $1::mood */
	int			format;			/* 0 text, 1 binary */
	WireMethod	method;
	bool		converts;		/* the send function converts to client_encoding */
	bool		needs_settings; /* the output function looks at settings */
	bool		money;			/* ... at lc_monetary too */
	FmgrInfo	function;		/* send or output */
	FmgrInfo	output;			/* if it is needed beside send */
	MemoryContext context;
} ParamEncoder;

/*
 * Prepares for parameters of the type (no polymorphic one); what is cached
 * lives in "context".
 */
extern void plshard_init_encoder(ParamEncoder *encoder, Oid type, MemoryContext context);

/*
 * Encodes "n" values as RemoteParams takes them, all as text if "as_text"; out arrays are the caller's,
 * n long.  Encoded values are made in the current memory context or point into
 * the Datums, so both must live as long as the call does.  Throws what output
 * functions throw.
 */
extern void plshard_encode_params(ParamEncoder *encoders, int n, const NullableDatum *args,
								  bool as_text, const char **values, int *lengths, int *formats);

/* What is known about a result column; filled by plshard_init_decoder. */
typedef struct ColumnDecoder
{
	const char *name;			/* for errors */
	Oid			type;
	int32		typmod;
	Oid			base_type;		/* of a domain; else the type */
	Oid			wire_type;		/* InvalidOid: cannot be read in binary */
	WireMethod	method;
	bool		converts;		/* receive converts from client_encoding */
	bool		money;			/* input looks at lc_monetary */
	FmgrInfo	input;			/* of the base type */
	Oid			input_param;
	FmgrInfo	receive;		/* only if wire_type is valid */
	Oid			receive_param;
	Oid			other_type;		/* another binary type that a node has sent since it was
								 * asked for binary: its values are read as their text */
	FmgrInfo	other_receive;
	Oid			other_param;
	FmgrInfo	other_output;
	void	   *domain_cache;	/* domain_check's */
	MemoryContext context;
} ColumnDecoder;

/*
 * Prepares for values of a type; "name" (copied) is the column's in errors.
 * What is cached lives in "context".
 */
extern void plshard_init_decoder(ColumnDecoder *decoder, Oid type, int32 typmod,
								 const char *name, MemoryContext context);

/*
 * Whether values of a column like this one of the result can be read in binary:
 * its type is the expected one (text and varchar pass for each other).
 */
extern bool plshard_reads_binary(const ColumnDecoder *decoder, const PGresult *result, int column);

/*
 * Makes the decoder ready for a column of a result, once for each result, before
 * its values are read.  False where it is in binary and of a type that is no wire
 * type.  Text is not checked: the input function does that.
 */
extern bool plshard_open_column(ColumnDecoder *decoder, const PGresult *result, int column);

/*
 * True where reading a binary value of the column can throw though the node has sent
 * it: for a domain, a typmod, another server's definition of a type.  *characters is
 * set where that holds only if the node has the front's encoding.
 */
extern bool plshard_decoding_can_fail(const ColumnDecoder *decoder, bool *characters);

/*
 * The value of a field, allocated (with garbage) in the current memory
 * context.  Throws what input functions and domains throw, 22021 where
 * characters are not of the database's encoding, 22P03 where binary data has
 * a wrong length; the caller adds the column as context.
 */
extern Datum plshard_decode_column(ColumnDecoder *decoder, const PGresult *result,
								   int row, int column, bool *isnull);

/*
 * The same of a binary value of the decoder's wire type; bytes NULL: of NULL.  Lies among
 * the bytes where it can, and then overwrites the one before them.
 */
extern Datum plshard_decode_bytes(ColumnDecoder *decoder, char *bytes, int length, bool *isnull);

#endif							/* PLSHARD_TYPEIO_H */
