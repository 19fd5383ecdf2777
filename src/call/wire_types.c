/*
 * wire_types.c
 *
 * Which types travel in binary, and what types are called on nodes.  Results are in the
 * current memory context.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "call/wire_types.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

/*
 * The types whose send and receive functions agree in all supported releases.
 * Not among them: reg* types (oids of one server), xml (declares an encoding),
 * interval (17 gave infinity a form that 16 reads as a number), int2vector and
 * oidvector (receive takes no empty ones), anonymous and catalog row types.
 */
static WireKind
wire_kind(Oid type)
{
	switch (type)
	{
		case BOOLOID:
		case BYTEAOID:
		case CHAROID:
		case INT8OID:
		case INT2OID:
		case INT4OID:
		case OIDOID:
		case TIDOID:
		case XIDOID:
		case CIDOID:
		case XID8OID:
		case POINTOID:
		case LSEGOID:
		case PATHOID:
		case BOXOID:
		case POLYGONOID:
		case LINEOID:
		case CIRCLEOID:
		case FLOAT4OID:
		case FLOAT8OID:
		case NUMERICOID:
		case CASHOID:
		case MACADDROID:
		case MACADDR8OID:
		case INETOID:
		case CIDROID:
		case DATEOID:
		case TIMEOID:
		case TIMETZOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
		case BITOID:
		case VARBITOID:
		case UUIDOID:
		case PG_LSNOID:
		case PG_SNAPSHOTOID:
		case INT4RANGEOID:
		case INT8RANGEOID:
		case NUMRANGEOID:
		case DATERANGEOID:
		case TSRANGEOID:
		case TSTZRANGEOID:
		case INT4MULTIRANGEOID:
		case INT8MULTIRANGEOID:
		case NUMMULTIRANGEOID:
		case DATEMULTIRANGEOID:
		case TSMULTIRANGEOID:
		case TSTZMULTIRANGEOID:
			return PLAIN_BINARY;
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case NAMEOID:
		case JSONOID:
		case JSONBOID:
		case JSONPATHOID:
		case TSVECTOROID:
		case TSQUERYOID:
			return CHARACTER_BINARY;
		default:
			return NOT_IN_BINARY;
	}
}

WireKind
plshard_wire_kind(Oid type)
{
	WireKind	kind = wire_kind(type);

	/* other servers' user-defined types may have any Oid above; the vectors look like arrays */
	if (kind == NOT_IN_BINARY && OidIsValid(type) && type < FirstGenbkiObjectId &&
		type != INT2VECTOROID && type != OIDVECTOROID)
		kind = wire_kind(get_element_type(type));
	return kind;
}

bool
plshard_is_common_type(Oid type)
{
	switch (type)
	{
		case INT2VECTOROID:
		case OIDVECTOROID:
		case INTERVALOID:
		case INTERVALARRAYOID:
		case XMLOID:
		case XMLARRAYOID:
			return true;
		default:
			return plshard_wire_kind(type) != NOT_IN_BINARY;
	}
}

Oid
plshard_wire_type(Oid type)
{
	Oid			base = getBaseType(type);

	return plshard_wire_kind(base) != NOT_IN_BINARY ? base : InvalidOid;
}

char *
plshard_remote_type_name(Oid type)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	Form_pg_type form;
	char	   *name;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", type);
	form = (Form_pg_type) GETSTRUCT(tuple);

	/* int2vector and oidvector look like arrays, but have names of their own */
	if (IsTrueArrayType(form) && form->typstorage != TYPSTORAGE_PLAIN)
		name = psprintf("%s[]", plshard_remote_type_name(form->typelem));
	else if (type < FirstNormalObjectId)	/* made by initdb: on every server */
		name = quote_qualified_identifier(get_namespace_name(form->typnamespace),
										  NameStr(form->typname));
	else
		name = pstrdup(quote_identifier(NameStr(form->typname)));

	ReleaseSysCache(tuple);
	return name;
}

char *
plshard_result_cast_name(Oid type)
{
	Oid			base = getBaseType(type);

	if (base >= FirstNormalObjectId || get_typtype(base) == TYPTYPE_PSEUDO)
		return NULL;
	return plshard_remote_type_name(base);
}
