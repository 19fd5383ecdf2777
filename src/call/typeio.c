/*
 * typeio.c
 *
 * Datums to parameters of remote statements and back.  Encoders and decoders
 * are cached with a function and keep what they need in its context; values
 * are made in the current memory context.
 */
#include "postgres.h"

#include "base/characters.h"
#include "base/compat.h"
#include "call/typeio.h"
#include "call/wire_types.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"
#include "utils/xml.h"

/*
 * Settings under which text is written and read
 */

/* Whether values of the type are money, or hold some. */
static bool
holds_money(Oid type)
{
	Oid			base = getBaseType(type);
	Oid			inner = get_element_type(base);

	if (!OidIsValid(inner))
		inner = get_range_subtype(base);
	if (!OidIsValid(inner) && get_typtype(base) == TYPTYPE_MULTIRANGE)
		inner = get_multirange_range(base);
	if (OidIsValid(inner))
		return holds_money(inner);
	if (get_typtype(base) == TYPTYPE_COMPOSITE)
	{
		TupleDesc	desc = lookup_rowtype_tupdesc_copy(base, -1);

		for (int i = 0; i < desc->natts; i++)
			if (!TupleDescAttr(desc, i)->attisdropped &&
				holds_money(TupleDescAttr(desc, i)->atttypid))
				return true;
	}
	return base == CASHOID;
}

/* Sets a setting until the nest level ends. */
static void
pin(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
}

/*
 * Text that the node reads as it was meant, whatever the settings here: the
 * connection pins the same ones there.  Returns a nest level for AtEOXact_GUC;
 * after an error the (sub)transaction's end undoes them.
 */
static int
pin_output_settings(void)
{
	int			nest_level = NewGUCNestLevel();

	pin("datestyle", "ISO");
	pin("intervalstyle", "postgres");
	pin("extra_float_digits", "3");
	pin("search_path", "pg_catalog");	/* so that reg* values are qualified */
	return nest_level;
}

/*
 * The same for the node's text: what is written under its settings is read
 * alike under any DateStyle and IntervalStyle.  Returns 0 where nothing had to
 * be set, which is usual.
 */
static int
pin_input_settings(bool money)
{
	int			nest_level;

	if (!money && Array_nulls && xmloption == XMLOPTION_CONTENT)
		return 0;
	nest_level = NewGUCNestLevel();
	pin("array_nulls", "on");
	pin("xmloption", "content");
	if (money)
		pin("lc_monetary", "C");
	return nest_level;
}

/*
 * Encoding
 */

/* How values of a type are encoded. */
static WireMethod
encoding_method(Oid type)
{
	switch (type)
	{
		case BOOLOID:
			return WIRE_BOOL;
		case INT2OID:
			return WIRE_INT2;
		case INT4OID:
		case OIDOID:
		case FLOAT4OID:
		case DATEOID:
			return WIRE_INT4;
		case INT8OID:
		case FLOAT8OID:
		case CASHOID:
		case TIMEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return WIRE_INT8;
		case BYTEAOID:
			return WIRE_BYTES;
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case JSONOID:
			return WIRE_CHARACTERS;
		default:
			return WIRE_FUNCTION;
	}
}

void
plshard_init_encoder(ParamEncoder *encoder, Oid type, MemoryContext context)
{
	Oid			function;
	bool		is_varlena;

	encoder->type = type;
	encoder->wire_type = plshard_wire_type(type);
	encoder->converts = false;
	encoder->needs_settings = false;
	encoder->money = holds_money(type);
	encoder->output.fn_oid = InvalidOid;
	encoder->context = context;

	if (OidIsValid(encoder->wire_type))
	{
		encoder->format = 1;
		encoder->method = encoding_method(encoder->wire_type);
		encoder->converts = plshard_wire_kind(encoder->wire_type) == CHARACTER_BINARY;
		getTypeBinaryOutputInfo(encoder->wire_type, &function, &is_varlena);
	}
	else
	{
		encoder->format = 0;
		encoder->method = WIRE_TEXT;
		/* a label looks the same under all settings */
		encoder->needs_settings = get_typtype(getBaseType(type)) != TYPTYPE_ENUM;
		getTypeOutputInfo(type, &function, &is_varlena);
	}
	fmgr_info_cxt(function, &encoder->function, context);
}

/*
 * Send and receive functions convert characters between the database's and the
 * client's encoding.  The node's session is not the client: it has the
 * database's encoding.
 */
static bool
must_switch_encoding(bool converts)
{
	return converts && pg_get_client_encoding() != GetDatabaseEncoding();
}

/* No inlining: setjmp would cost the usual path its registers. */
static pg_noinline bytea *
send_in_own_encoding(ParamEncoder *encoder, Datum value)
{
	int			client_encoding = pg_get_client_encoding();
	bytea	   *volatile bytes;

	PG_TRY();
	{
		(void) SetClientEncoding(GetDatabaseEncoding());
		bytes = SendFunctionCall(&encoder->function, value);
	}
	PG_FINALLY();
	{
		(void) SetClientEncoding(client_encoding);	/* it was in use, so it cannot fail */
	}
	PG_END_TRY();
	return bytes;
}

/* Returns the bytes of a value that is not NULL. */
static const char *
encode_value(ParamEncoder *encoder, Datum value, int *length)
{
	switch (encoder->method)
	{
		case WIRE_BOOL:
			{
				*length = 1;
				return DatumGetBool(value) ? "\001" : "\000";
			}
		case WIRE_INT2:
			{
				uint16	   *bytes = palloc(sizeof(uint16));

				*bytes = pg_hton16((uint16) DatumGetInt16(value));
				*length = sizeof(uint16);
				return (char *) bytes;
			}
		case WIRE_INT4:
			{
				uint32	   *bytes = palloc(sizeof(uint32));

				*bytes = pg_hton32((uint32) DatumGetInt32(value));
				*length = sizeof(uint32);
				return (char *) bytes;
			}
		case WIRE_INT8:
			{
				uint64	   *bytes = palloc(sizeof(uint64));

				*bytes = pg_hton64((uint64) DatumGetInt64(value));
				*length = sizeof(uint64);
				return (char *) bytes;
			}
		case WIRE_BYTES:
		case WIRE_CHARACTERS:
			{
				struct varlena *bytes = PG_DETOAST_DATUM_PACKED(value);

				*length = VARSIZE_ANY_EXHDR(bytes);
				return VARDATA_ANY(bytes);
			}
		case WIRE_FUNCTION:
			{
				bytea	   *bytes = must_switch_encoding(encoder->converts) ?
					send_in_own_encoding(encoder, value) :
					SendFunctionCall(&encoder->function, value);

				*length = VARSIZE(bytes) - VARHDRSZ;
				return VARDATA(bytes);
			}
		case WIRE_TEXT:
			{
				char	   *string = OutputFunctionCall(&encoder->function, value);

				*length = strlen(string);
				return string;
			}
	}
	elog(ERROR, "unexpected wire method %d", (int) encoder->method);
	return NULL;				/* keep the compiler quiet */
}

/* As text what would travel in binary. */
static const char *
encode_as_text(ParamEncoder *encoder, Datum value, int *length)
{
	char	   *string;

	if (!OidIsValid(encoder->output.fn_oid))
	{
		Oid			function;
		bool		is_varlena;

		getTypeOutputInfo(encoder->wire_type, &function, &is_varlena);
		fmgr_info_cxt(function, &encoder->output, encoder->context);
	}
	string = OutputFunctionCall(&encoder->output, value);
	*length = strlen(string);
	return string;
}

void
plshard_encode_params(ParamEncoder *encoders, int n, const NullableDatum *args, bool as_text,
					  const char **values, int *lengths, int *formats)
{
	int			nest_level = 0;

	for (int i = 0; i < n; i++)
	{
		ParamEncoder *encoder = &encoders[i];

		bool		converted = as_text && encoder->format == 1;

		formats[i] = converted ? 0 : encoder->format;
		if (args[i].isnull)
		{
			values[i] = NULL;
			lengths[i] = 0;
			continue;
		}
		if ((encoder->needs_settings || converted) && nest_level == 0)
			nest_level = pin_output_settings();
		if (encoder->money && formats[i] == 0)
			pin("lc_monetary", "C");
		values[i] = converted ? encode_as_text(encoder, args[i].value, &lengths[i]) :
			encode_value(encoder, args[i].value, &lengths[i]);
	}

	if (nest_level != 0)
		AtEOXact_GUC(true, nest_level);
}

/*
 * Decoding
 */

/* How to read the base type in binary: shortcuts only where receive checks nothing. */
static WireMethod
decoding_method(Oid type, int32 typmod)
{
	switch (type)
	{
		case BOOLOID:
			return WIRE_BOOL;
		case INT2OID:
			return WIRE_INT2;
		case INT4OID:
		case OIDOID:
		case FLOAT4OID:
			return WIRE_INT4;
		case INT8OID:
		case FLOAT8OID:
		case CASHOID:
			return WIRE_INT8;
		case BYTEAOID:
			return WIRE_BYTES;
		case TEXTOID:
			return WIRE_CHARACTERS;
		case VARCHAROID:
		case BPCHAROID:
			return typmod < 0 ? WIRE_CHARACTERS : WIRE_FUNCTION;
		default:
			return WIRE_FUNCTION;
	}
}

void
plshard_init_decoder(ColumnDecoder *decoder, Oid type, int32 typmod,
					 const char *name, MemoryContext context)
{
	Oid			function;

	decoder->name = MemoryContextStrdup(context, name);
	decoder->type = type;
	decoder->typmod = typmod;
	decoder->base_type = getBaseTypeAndTypmod(type, &decoder->typmod);
	decoder->wire_type = plshard_wire_type(decoder->base_type);
	decoder->method = WIRE_TEXT;
	decoder->converts = false;
	decoder->money = holds_money(decoder->base_type);
	decoder->other_type = InvalidOid;
	decoder->domain_cache = NULL;
	decoder->context = context;

	getTypeInputInfo(decoder->base_type, &function, &decoder->input_param);
	fmgr_info_cxt(function, &decoder->input, context);

	if (OidIsValid(decoder->wire_type))
	{
		decoder->method = decoding_method(decoder->wire_type, decoder->typmod);
		decoder->converts = plshard_wire_kind(decoder->wire_type) == CHARACTER_BINARY;
		getTypeBinaryInputInfo(decoder->wire_type, &function, &decoder->receive_param);
		fmgr_info_cxt(function, &decoder->receive, context);
	}
}

bool
plshard_decoding_can_fail(const ColumnDecoder *decoder, bool *characters)
{
	*characters = false;
	if (decoder->base_type != decoder->type || decoder->typmod >= 0)
		return true;
	switch (decoder->method)
	{
		case WIRE_BOOL:
		case WIRE_INT2:
		case WIRE_INT4:
		case WIRE_INT8:
		case WIRE_BYTES:
			return false;
		case WIRE_CHARACTERS:
			*characters = true;
			return false;
		case WIRE_FUNCTION:
			return decoder->wire_type != DATEOID && decoder->wire_type != TIMESTAMPOID &&
				decoder->wire_type != TIMESTAMPTZOID && decoder->wire_type != NUMERICOID &&
				decoder->wire_type != UUIDOID;
		case WIRE_TEXT:
			break;
	}
	return true;
}

/* Whether the type's binary format is the one that the decoder reads. */
static bool
is_expected(const ColumnDecoder *decoder, Oid type)
{
	return type == decoder->wire_type ||
		((type == TEXTOID || type == VARCHAROID) &&
		 (decoder->wire_type == TEXTOID || decoder->wire_type == VARCHAROID));
}

bool
plshard_reads_binary(const ColumnDecoder *decoder, const PGresult *result, int column)
{
	return OidIsValid(decoder->wire_type) && is_expected(decoder, PQftype(result, column));
}

bool
plshard_open_column(ColumnDecoder *decoder, const PGresult *result, int column)
{
	Oid			actual = PQftype(result, column);
	Oid			function;
	bool		is_varlena;

	if (PQfformat(result, column) == 0 || is_expected(decoder, actual) ||
		actual == decoder->other_type)
		return true;
	if (plshard_wire_kind(actual) == NOT_IN_BINARY)
		return false;

	decoder->other_type = actual;
	getTypeBinaryInputInfo(actual, &function, &decoder->other_param);
	fmgr_info_cxt(function, &decoder->other_receive, decoder->context);
	getTypeOutputInfo(actual, &function, &is_varlena);
	fmgr_info_cxt(function, &decoder->other_output, decoder->context);
	return true;
}

/* Throws 22P03 where a binary value has another length. */
static void
check_length(int length, int expected)
{
	if (length != expected)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("binary value has %d bytes instead of %d", length, expected)));
}

static pg_noinline Datum
receive_in_own_encoding(FmgrInfo *receive, StringInfo buffer, Oid param, int32 typmod)
{
	int			client_encoding = pg_get_client_encoding();
	volatile Datum value;

	PG_TRY();
	{
		(void) SetClientEncoding(GetDatabaseEncoding());
		value = ReceiveFunctionCall(receive, buffer, param, typmod);
	}
	PG_FINALLY();
	{
		(void) SetClientEncoding(client_encoding);
	}
	PG_END_TRY();
	return value;
}

/* Reads a value by a type's own function. */
static Datum
receive(FmgrInfo *function, Oid param, int32 typmod, bool converts, char *bytes, int length)
{
	StringInfoData buffer = {.data = bytes, .len = length};
	Datum		value = must_switch_encoding(converts) ?
		receive_in_own_encoding(function, &buffer, param, typmod) :
		ReceiveFunctionCall(function, &buffer, param, typmod);

	check_length(length, buffer.cursor);
	return value;
}

/* A text value from its bytes, which must be of the database's encoding. */
static Datum
decode_characters(const char *bytes, int length)
{
	plshard_verify_characters(bytes, length);
	return PointerGetDatum(cstring_to_text_with_len(bytes, length));
}

/* A value from the wire type's binary format. */
static Datum
decode_binary(ColumnDecoder *decoder, char *bytes, int length)
{
	switch (decoder->method)
	{
		case WIRE_BOOL:
			check_length(length, 1);
			return BoolGetDatum(bytes[0] != 0);
		case WIRE_INT2:
			{
				uint16		number;

				check_length(length, sizeof(number));
				memcpy(&number, bytes, sizeof(number));
				return Int16GetDatum((int16) pg_ntoh16(number));
			}
		case WIRE_INT4:
			{
				uint32		number;

				check_length(length, sizeof(number));
				memcpy(&number, bytes, sizeof(number));
				return Int32GetDatum((int32) pg_ntoh32(number));
			}
		case WIRE_INT8:
			{
				uint64		number;

				check_length(length, sizeof(number));
				memcpy(&number, bytes, sizeof(number));
				return Int64GetDatum((int64) pg_ntoh64(number));
			}
		case WIRE_BYTES:
			return PointerGetDatum(cstring_to_text_with_len(bytes, length));
		case WIRE_CHARACTERS:
			return decode_characters(bytes, length);
		case WIRE_FUNCTION:
			return receive(&decoder->receive, decoder->receive_param, decoder->typmod,
						   decoder->converts, bytes, length);
		case WIRE_TEXT:			/* plshard_open_column has refused it */
			break;
	}
	elog(ERROR, "unexpected binary value of column \"%s\"", decoder->name);
	return (Datum) 0;			/* keep the compiler quiet */
}

/* A value by the type's input function. */
static Datum
input(ColumnDecoder *decoder, char *string)
{
	int			nest_level = pin_input_settings(decoder->money);
	Datum		value = InputFunctionCall(&decoder->input, string, decoder->input_param,
										  decoder->typmod);

	if (nest_level != 0)
		AtEOXact_GUC(true, nest_level);
	return value;
}

/* A value from its text, under settings that the text was written under. */
static Datum
decode_text(ColumnDecoder *decoder, char *string, int length)
{
	if (decoder->method == WIRE_CHARACTERS)
		return decode_characters(string, length);
	plshard_verify_characters(string, length);
	return input(decoder, string);
}

/* A value in the binary format of another type, as its text would be read. */
static pg_noinline Datum
decode_other(ColumnDecoder *decoder, char *bytes, int length)
{
	Datum		value = receive(&decoder->other_receive, decoder->other_param, -1,
								plshard_wire_kind(decoder->other_type) == CHARACTER_BINARY,
								bytes, length);
	int			nest_level = pin_output_settings();
	char	   *string;

	pin("lc_monetary", "C");
	string = OutputFunctionCall(&decoder->other_output, value);
	AtEOXact_GUC(true, nest_level);
	return input(decoder, string);
}

/* The value of a domain, checked. */
static inline void
check_domain(ColumnDecoder *decoder, Datum value, bool isnull)
{
	if (decoder->base_type != decoder->type)
		domain_check(value, isnull, decoder->type, &decoder->domain_cache, decoder->context);
}

/* Short characters or bytes become a value where they are: a header of one byte needs no alignment. */
static inline bool
decode_in_place(const ColumnDecoder *decoder, char *bytes, int length, Datum *value)
{
	if (length + VARHDRSZ_SHORT > VARATT_SHORT_MAX ||
		(decoder->method != WIRE_CHARACTERS && decoder->method != WIRE_BYTES))
		return false;
	if (decoder->method == WIRE_CHARACTERS)
		plshard_verify_characters(bytes, length);
	SET_VARSIZE_SHORT(bytes - 1, length + VARHDRSZ_SHORT);
	*value = PointerGetDatum(bytes - 1);
	return true;
}

Datum
plshard_decode_bytes(ColumnDecoder *decoder, char *bytes, int length, bool *isnull)
{
	Datum		value = (Datum) 0;

	*isnull = bytes == NULL;
	if (!*isnull && !decode_in_place(decoder, bytes, length, &value))
		value = decode_binary(decoder, bytes, length);
	check_domain(decoder, value, *isnull);
	return value;
}

Datum
plshard_decode_column(ColumnDecoder *decoder, const PGresult *result,
					  int row, int column, bool *isnull)
{
	Datum		value = (Datum) 0;

	*isnull = PQgetisnull(result, row, column);
	if (!*isnull)
	{
		char	   *bytes = PQgetvalue(result, row, column);
		int			length = PQgetlength(result, row, column);

		if (PQfformat(result, column) == 0)
			value = decode_text(decoder, bytes, length);
		else if (OidIsValid(decoder->other_type) &&
				 PQftype(result, column) == decoder->other_type)
			value = decode_other(decoder, bytes, length);
		else
			value = decode_binary(decoder, bytes, length);
	}

	check_domain(decoder, value, *isnull);
	return value;
}
