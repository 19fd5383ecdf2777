/*
 * wire_types.h
 *
 * Which types travel in binary, and what types are called on nodes.
 */
#ifndef PLSHARD_WIRE_TYPES_H
#define PLSHARD_WIRE_TYPES_H

/* What of a type's binary format must be known. */
typedef enum WireKind
{
	NOT_IN_BINARY,
	PLAIN_BINARY,
	CHARACTER_BINARY			/* send and receive convert characters between
								 * the database's and the client's encoding */
} WireKind;

/* What holds of exactly this type, or of an array's elements.  Takes any Oid of a node. */
extern WireKind plshard_wire_kind(Oid type);

/*
 * The type in which values of "type" travel in binary: itself or, of a domain,
 * its base type.  The same Oid names it on every server.  InvalidOid: values
 * of the type travel as text.
 */
extern Oid	plshard_wire_type(Oid type);

/* Whether exactly this type is the same on every server, in text at least.  Takes any Oid. */
extern bool plshard_is_common_type(Oid type);

/*
 * The type's name for remote SQL, without a typmod, quoted where necessary:
 * pg_catalog.int4, "My Enum"[].  What is not PostgreSQL's own is left
 * unqualified, for the node's search_path to find.  palloc'd.
 */
extern char *plshard_remote_type_name(Oid type);

/*
 * The name that a result column of the declared type is cast to in remote SQL:
 * that of the type (of a domain: its base type) if it is one of PostgreSQL's
 * own, NULL otherwise: no cast.  palloc'd.
 */
extern char *plshard_result_cast_name(Oid type);

#endif							/* PLSHARD_WIRE_TYPES_H */
