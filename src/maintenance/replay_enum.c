/*
 * replay_enum.c
 *
 * PostgreSQL refuses an enum value in the transaction that has added it, be it
 * in a default, an index or a row.  Commands that were deployed one by one are
 * replayed in one transaction, and rows follow in the same: so a type is
 * created with its later values at once.  Types are followed by name.
 * Allocates in the current memory context.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "lib/stringinfo.h"
#include "maintenance/replay_enum.h"
#include "nodes/parsenodes.h"
#include "parser/parser.h"
#include "utils/builtins.h"

typedef struct EnumLabel
{
	const char *created;		/* as it was named when it was added */
	const char *current;
} EnumLabel;

typedef struct EnumType
{
	ListCell   *command;		/* that creates it */
	List	   *created_name;
	List	   *name;			/* now, list of String */
	List	   *labels;			/* EnumLabel *, in their order */
	bool		extended;
} EnumType;

/* The enum that now has a name, or NULL. */
static EnumType *
find_type(List *types, const List *name)
{
	ListCell   *cell;

	foreach(cell, types)
	{
		if (equal(((EnumType *) lfirst(cell))->name, name))
			return lfirst(cell);
	}
	return NULL;
}

/* The position of the label that now has a name; -1 if there is none. */
static int
find_label(const EnumType *type, const char *name)
{
	ListCell   *cell;

	foreach(cell, type->labels)
	{
		if (strcmp(((EnumLabel *) lfirst(cell))->current, name) == 0)
			return foreach_current_index(cell);
	}
	return -1;
}

static EnumLabel *
make_label(const char *name)
{
	EnumLabel  *label = palloc(sizeof(EnumLabel));

	label->created = label->current = name;
	return label;
}

/* Follows a type from the command that creates it. */
static EnumType *
note_type(const CreateEnumStmt *statement, ListCell *command)
{
	EnumType   *type = palloc0(sizeof(EnumType));
	ListCell   *cell;

	type->command = command;
	type->created_name = type->name = statement->typeName;
	foreach(cell, statement->vals)
		type->labels = lappend(type->labels, make_label(strVal(lfirst(cell))));
	return type;
}

/*
 * Notes what ALTER TYPE does to an enum's values; true where the type is going
 * to be created so that the command is not needed.
 */
static bool
alter_type(EnumType *type, const AlterEnumStmt *statement)
{
	int			position;
	ListCell   *cell;

	if (statement->oldVal != NULL)
	{
		position = find_label(type, statement->oldVal);
		if (position >= 0)
			((EnumLabel *) list_nth(type->labels, position))->current = statement->newVal;
		return false;
	}
	if (find_label(type, statement->newVal) >= 0)
		return statement->skipIfNewValExists;

	/* an old name that is used again cannot be created twice */
	foreach(cell, type->labels)
	{
		if (strcmp(((EnumLabel *) lfirst(cell))->created, statement->newVal) == 0)
			return false;
	}
	position = list_length(type->labels);
	if (statement->newValNeighbor != NULL)
	{
		position = find_label(type, statement->newValNeighbor);
		if (position < 0)
			return false;
		if (statement->newValIsAfter)
			position++;
	}
	type->labels = list_insert_nth(type->labels, position, make_label(statement->newVal));
	type->extended = true;
	return true;
}

/* The command that creates a type with all its values. */
static char *
create_command(const EnumType *type)
{
	StringInfoData sql;
	ListCell   *cell;

	initStringInfo(&sql);
	appendStringInfo(&sql, "CREATE TYPE %s AS ENUM (", NameListToQuotedString(type->created_name));
	foreach(cell, type->labels)
		appendStringInfo(&sql, "%s%s", foreach_current_index(cell) > 0 ? ", " : "",
						 quote_literal_cstr(((EnumLabel *) lfirst(cell))->created));
	appendStringInfoChar(&sql, ')');
	return sql.data;
}

/* Follows one command; true where it is not needed any more. */
static bool
follow_command(List **types, ListCell *command)
{
	List	   *parsed = raw_parser(lfirst(command), RAW_PARSE_DEFAULT);
	Node	   *statement = linitial_node(RawStmt, parsed)->stmt;
	EnumType   *type;

	if (IsA(statement, CreateEnumStmt))
	{
		/* the newest of a name comes first */
		*types = lcons(note_type((CreateEnumStmt *) statement, command), *types);
	}
	else if (IsA(statement, AlterEnumStmt))
	{
		type = find_type(*types, ((AlterEnumStmt *) statement)->typeName);
		return type != NULL && alter_type(type, (AlterEnumStmt *) statement);
	}
	else if (IsA(statement, RenameStmt) && ((RenameStmt *) statement)->renameType == OBJECT_TYPE)
	{
		type = find_type(*types, (List *) ((RenameStmt *) statement)->object);
		if (type != NULL)
		{
			type->name = list_copy(type->name);
			llast(type->name) = makeString(((RenameStmt *) statement)->newname);
		}
	}
	return false;
}

List *
plshard_merge_enum_values(List *commands)
{
	List	   *types = NIL;
	List	   *merged = NIL;
	ListCell   *cell;

	foreach(cell, commands)
	{
		if (follow_command(&types, cell))
			lfirst(cell) = NULL;
	}
	foreach(cell, types)
	{
		EnumType   *type = lfirst(cell);

		if (type->extended)
			lfirst(type->command) = create_command(type);
	}
	foreach(cell, commands)
	{
		if (lfirst(cell) != NULL)
			merged = lappend(merged, lfirst(cell));
	}
	return merged;
}
