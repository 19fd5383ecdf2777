/*
 * query.c
 *
 * The text of statements that call a remote function.  Everything is made in
 * the current memory context.
 */
#include "postgres.h"

#include "call/wire_types.h"
#include "language/query.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"

int
plshard_param_number(List **params, int value)
{
	ListCell   *lc;

	foreach(lc, *params)
	{
		if (lfirst_int(lc) == value)
			return foreach_current_index(lc) + 1;
	}
	*params = lappend_int(*params, value);
	return list_length(*params);
}

/* A parameter, cast to the type of its value. */
static void
append_param(StringInfo sql, const ValueScope *scope, int value, List **params, List **positions)
{
	int			number = plshard_param_number(params, value);

	if (positions != NULL)
	{
		ParamPosition *position = palloc(sizeof(ParamPosition));

		position->offset = sql->len;
		position->length = snprintf(NULL, 0, "$%d", number);
		position->param = number - 1;
		*positions = lappend(*positions, position);
	}
	appendStringInfo(sql, "$%d::%s", number, plshard_remote_type_name(scope->values[value].type));
}

/* Appends name(argument, ...), with parameters for the values. */
static void
append_call(StringInfo sql, const ValueScope *scope, const char *schema, const char *name,
			int nargs, const RemoteArg *args, List **params, List **positions)
{
	if (schema != NULL)
		appendStringInfo(sql, "%s.", quote_identifier(schema));
	appendStringInfo(sql, "%s(", quote_identifier(name));
	for (int i = 0; i < nargs; i++)
	{
		if (i > 0)
			appendStringInfoString(sql, ", ");
		if (args[i].variadic)
			appendStringInfoString(sql, "VARIADIC ");
		if (args[i].value < 0)
			appendStringInfo(sql, "NULL::%s", plshard_remote_type_name(args[i].type));
		else
			append_param(sql, scope, args[i].value, params, positions);
	}
	appendStringInfoChar(sql, ')');
}

/* Appends the cast of a result column to its type, if that is one of PostgreSQL's own. */
static void
append_result_cast(StringInfo sql, Oid type)
{
	const char *name = plshard_result_cast_name(type);

	if (name != NULL)
		appendStringInfo(sql, "::%s", name);
}

char *
plshard_call_sql(const ValueScope *scope, RemoteCallForm form,
				 const char *schema, const char *name,
				 int nargs, const RemoteArg *args, TupleDesc columns, List **params,
				 List **positions)
{
	StringInfoData sql;
	const char *separator = "";

	initStringInfo(&sql);
	appendStringInfoString(&sql, form == REMOTE_PROCEDURE ? "CALL " : "SELECT ");
	switch (form)
	{
		case REMOTE_PROCEDURE:
		case REMOTE_VOID:
			append_call(&sql, scope, schema, name, nargs, args, params, positions);
			return sql.data;

		case REMOTE_VALUE:
			append_call(&sql, scope, schema, name, nargs, args, params, positions);
			append_result_cast(&sql, TupleDescAttr(columns, 0)->atttypid);
			return sql.data;

		case REMOTE_ONE_VALUE:
			appendStringInfoString(&sql, "COALESCE(");
			append_call(&sql, scope, schema, name, nargs, args, params, positions);
			append_result_cast(&sql, TupleDescAttr(columns, 0)->atttypid);
			appendStringInfoChar(&sql, ')');
			return sql.data;

		case REMOTE_VALUES:
			appendStringInfoChar(&sql, 'r');
			append_result_cast(&sql, TupleDescAttr(columns, 0)->atttypid);
			appendStringInfo(&sql, " AS %s",
							 quote_identifier(NameStr(TupleDescAttr(columns, 0)->attname)));
			break;

		case REMOTE_ROWS:
		case REMOTE_RECORDS:
			for (int i = 0; i < columns->natts; i++)
			{
				Form_pg_attribute attr = TupleDescAttr(columns, i);

				if (attr->attisdropped)
					continue;
				appendStringInfo(&sql, "%sr.%s", separator,
								 quote_identifier(NameStr(attr->attname)));
				if (form == REMOTE_ROWS)
					append_result_cast(&sql, attr->atttypid);
				separator = ", ";
			}
			break;
	}

	appendStringInfoString(&sql, " FROM ");
	append_call(&sql, scope, schema, name, nargs, args, params, positions);
	appendStringInfoString(&sql, " AS r");
	if (form == REMOTE_RECORDS)
	{
		separator = "(";
		for (int i = 0; i < columns->natts; i++)
		{
			Form_pg_attribute attr = TupleDescAttr(columns, i);
			const char *type = plshard_result_cast_name(attr->atttypid);

			appendStringInfo(&sql, "%s%s %s", separator, quote_identifier(NameStr(attr->attname)),
							 type ? type : plshard_remote_type_name(attr->atttypid));
			separator = ", ";
		}
		appendStringInfoChar(&sql, ')');
	}
	return sql.data;
}
