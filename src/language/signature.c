/*
 * signature.c
 *
 * The arguments and the result of a function, as its pg_proc row and the call
 * it is compiled for have them.  What the function keeps goes into its own
 * context, the rest into the current one.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "language/signature.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

void
plshard_depend_on_type(PlshardFunction *function, Oid type)
{
	TypeDependency *dependency;
	uint32		hash;
	Oid			relation;
	Oid			inner;
	ListCell   *lc;
	MemoryContext old;

	if (type < FirstUnpinnedObjectId)
		return;
	hash = GetSysCacheHashValue1(TYPEOID, ObjectIdGetDatum(type));
	relation = get_typ_typrelid(type);
	foreach(lc, function->type_dependencies)
	{
		dependency = lfirst(lc);
		if (dependency->type_hash == hash && dependency->relation == relation)
			return;
	}

	old = MemoryContextSwitchTo(function->context);
	dependency = palloc(sizeof(TypeDependency));
	dependency->type_hash = hash;
	dependency->relation = relation;
	function->type_dependencies = lappend(function->type_dependencies, dependency);
	MemoryContextSwitchTo(old);

	if (OidIsValid(relation))
	{
		Relation	rel = relation_open(relation, AccessShareLock);

		for (int i = 0; i < RelationGetNumberOfAttributes(rel); i++)
		{
			Form_pg_attribute attr = TupleDescAttr(RelationGetDescr(rel), i);

			if (!attr->attisdropped)
				plshard_depend_on_type(function, attr->atttypid);
		}
		relation_close(rel, AccessShareLock);
	}
	if (OidIsValid(inner = get_element_type(type)))
		plshard_depend_on_type(function, inner);
	inner = getBaseType(type);
	if (inner != type)
		plshard_depend_on_type(function, inner);
}

/* Throws 0A000 where plshard cannot take a type. */
static void
check_argument_type(Oid type)
{
	if (get_typtype(type) == TYPTYPE_PSEUDO)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("plshard functions cannot accept type %s", format_type_be(type))));
}

/* The collation of an argument of a type. */
static Oid
value_collation(Oid type, Oid input_collation)
{
	Oid			collation = get_typcollation(type);

	return OidIsValid(collation) && OidIsValid(input_collation) ? input_collation : collation;
}

bool
plshard_is_input(const Signature *signature, int arg)
{
	return signature->modes == NULL || (signature->modes[arg] != PROARGMODE_OUT &&
										signature->modes[arg] != PROARGMODE_TABLE);
}

void
plshard_make_values(PlshardFunction *function, int nargs, int nlets)
{
	function->values = MemoryContextAllocZero(function->context,
											  (nargs + nlets + 1) * sizeof(FunctionValue));
	function->lets = MemoryContextAllocZero(function->context,
											(nlets + 1) * sizeof(TypedExpr));
	function->nargs = nargs;
}

/*
 * Reads the arguments.  Without a call the types of polymorphic ones are not
 * known; int4 is used in their place.
 */
static void
read_arguments(Signature *signature, PlshardFunction *function, HeapTuple proc_tuple,
			   FunctionCallInfo fcinfo, bool validating, int nlets)
{
	int			nargs = 0;
	int			n = 0;

	signature->nargs = get_func_arg_info(proc_tuple, &signature->types, &signature->names,
										 &signature->modes);
	for (int i = 0; i < signature->nargs; i++)
	{
		nargs += plshard_is_input(signature, i);
		if (IsPolymorphicType(signature->types[i]) && validating)
		{
			signature->types_unknown = true;
			signature->types[i] = INT4OID;
		}
	}
	if (signature->nargs > 0 && !validating &&
		!resolve_polymorphic_argtypes(signature->nargs, signature->types, signature->modes,
									  fcinfo->flinfo->fn_expr))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("could not determine actual argument types of polymorphic function \"%s\"",
						function->name)));

	plshard_make_values(function, nargs, nlets);
	for (int i = 0; i < signature->nargs; i++)
	{
		Oid			type = signature->types[i];
		FunctionValue *value;

		if (!plshard_is_input(signature, i))
			continue;
		check_argument_type(type);
		plshard_depend_on_type(function, type);
		value = &function->values[n++];
		if (signature->names != NULL && signature->names[i][0] != '\0')
			value->name = MemoryContextStrdup(function->context, signature->names[i]);
		value->type = type;
		value->typmod = -1;
		value->collation = value_collation(type, fcinfo->fncollation);
		value->is_row = type_is_rowtype(type);
	}
}

/* The name of a scalar's column: its only OUT argument's, else the function's. */
static const char *
scalar_column_name(const Signature *signature, const PlshardFunction *function)
{
	for (int i = 0; i < signature->nargs; i++)
		if (signature->modes != NULL && signature->names != NULL &&
			signature->names[i][0] != '\0' &&
			(signature->modes[i] == PROARGMODE_INOUT || !plshard_is_input(signature, i)))
			return signature->names[i];
	return function->name;
}

/* Reads what the function returns. */
static void
read_result(Signature *signature, PlshardFunction *function, Form_pg_proc proc,
			FunctionCallInfo fcinfo, bool validating)
{
	TypeFuncClass class;
	TupleDesc	desc = NULL;
	Oid			type;
	MemoryContext old;

	if (proc->prorettype == TRIGGEROID || proc->prorettype == EVENT_TRIGGEROID)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_FUNCTION_DEFINITION),
				 errmsg("plshard functions cannot be triggers")));
	function->returns_set = proc->proretset;
	if (signature->types_unknown)
	{
		signature->result_unknown = true;
		return;
	}

	class = get_call_result_type(fcinfo, &type, &desc);
	switch (class)
	{
		case TYPEFUNC_SCALAR:
			if (type == VOIDOID)
				return;
			if (get_typtype(type) == TYPTYPE_PSEUDO)
				break;
			function->return_kind = RETURN_SCALAR;
			function->return_type = type;
			desc = CreateTemplateTupleDesc(1);
			TupleDescInitEntry(desc, 1, scalar_column_name(signature, function), type, -1, 0);
			TupleDescInitEntryCollation(desc, 1, get_typcollation(type));
			break;

		case TYPEFUNC_COMPOSITE:
			function->return_kind = RETURN_ROW;
			break;

		case TYPEFUNC_COMPOSITE_DOMAIN:
			function->return_kind = RETURN_ROW;
			function->return_domain = type;
			break;

		case TYPEFUNC_RECORD:
			if (validating)
			{
				signature->result_unknown = true;
				return;
			}
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("function returning record called in context that cannot accept type record"),
					 errhint("Call it in FROM, with a column definition list.")));

		case TYPEFUNC_OTHER:
			break;
	}
	if (desc == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("plshard functions cannot return type %s", format_type_be(type))));

	plshard_depend_on_type(function, type);
	for (int i = 0; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped)
			plshard_depend_on_type(function, TupleDescAttr(desc, i)->atttypid);
	old = MemoryContextSwitchTo(function->context);
	function->return_desc = BlessTupleDesc(CreateTupleDescCopy(desc));
	MemoryContextSwitchTo(old);
}

void
plshard_read_signature(Signature *signature, PlshardFunction *function, HeapTuple proc_tuple,
					   FunctionCallInfo fcinfo, bool validating, int nlets)
{
	Form_pg_proc proc = (Form_pg_proc) GETSTRUCT(proc_tuple);

	memset(signature, 0, sizeof(*signature));
	signature->is_procedure = proc->prokind == PROKIND_PROCEDURE;
	signature->rows = proc->prorows;
	read_arguments(signature, function, proc_tuple, fcinfo, validating, nlets);

	signature->is_record = proc->prorettype == RECORDOID;
	for (int i = 0; i < signature->nargs; i++)
		if (signature->modes != NULL && (signature->modes[i] == PROARGMODE_INOUT ||
										 !plshard_is_input(signature, i)))
			signature->is_record = false;
	read_result(signature, function, proc, fcinfo, validating);
}
