/*
 * body_sql.c
 *
 * The body's own SQL, made a remote statement: where PostgreSQL's raw parser
 * sees a reference to a value, the text becomes ($n::type); all other bytes stay
 * as they were written.  Everything is made in the current memory context.
 */
#include "postgres.h"

#include "call/wire_types.h"
#include "language/body_sql.h"
#include "language/expr.h"
#include "language/query.h"
#include "lib/stringinfo.h"
#include "nodes/nodeFuncs.h"
#include "parser/parser.h"
#include "parser/scanner.h"
#include "utils/builtins.h"

/* A reference to a value in the text. */
typedef struct ValueRef
{
	int			location;
	int			ntokens;		/* a, $1: one; f.a: three */
	int			value;
	const char *as_name;		/* the name that an output column would lose; or NULL */
} ValueRef;

typedef struct BodyScan
{
	const ValueScope *scope;
	const char *source;
	int			start;			/* of the statement in source */
	List	   *refs;
	List	   *output_columns; /* of ColumnRef: unnamed output columns */
	bool		writes;
} BodyScan;

/* Adds a reference to a value. */
static void
add_ref(BodyScan *scan, int location, int ntokens, int value, const char *as_name)
{
	ValueRef   *ref = palloc(sizeof(ValueRef));

	ref->location = location;
	ref->ntokens = ntokens;
	ref->value = value;
	ref->as_name = as_name;
	scan->refs = lappend(scan->refs, ref);
}

/* The rules of pre_column_ref in expr.c, on text. */
static void
scan_column_ref(BodyScan *scan, ColumnRef *cref)
{
	int			nfields = list_length(cref->fields);
	const char *first;
	const char *name;
	int			value;
	int			used;

	if (!IsA(linitial(cref->fields), String))
		return;
	first = strVal(linitial(cref->fields));

	if (nfields >= 2 && IsA(lsecond(cref->fields), String) &&
		(value = plshard_find_value(scan->scope, first, strVal(lsecond(cref->fields)))) >= 0)
		used = 2;
	else if ((value = plshard_find_value(scan->scope, NULL, first)) >= 0)
		used = 1;
	else
		return;
	if (nfields > used && !scan->scope->values[value].is_row)
		return;

	name = strVal(list_nth(cref->fields, used - 1));
	add_ref(scan, cref->location, used == 2 ? 3 : 1, value,
			nfields == used && list_member_ptr(scan->output_columns, cref) ? name : NULL);
}

/* Walks a raw parse tree: collects references to values and output columns, notes writes. */
static bool
scan_node(Node *node, void *context)
{
	BodyScan   *scan = context;

	if (node == NULL)
		return false;

	switch (nodeTag(node))
	{
		case T_ColumnRef:
			scan_column_ref(scan, (ColumnRef *) node);
			return false;

		case T_ParamRef:
			{
				ParamRef   *ref = (ParamRef *) node;

				if (ref->number < 1 || ref->number > scan->scope->nargs)
					ereport(ERROR,
							(errcode(ERRCODE_UNDEFINED_PARAMETER),
							 errmsg("there is no parameter $%d", ref->number),
							 plshard_errposition(scan->source, scan->start + ref->location)));
				add_ref(scan, ref->location, 1, ref->number - 1, NULL);
				return false;
			}

		case T_ResTarget:
			{
				ResTarget  *target = (ResTarget *) node;

				if (target->name == NULL && target->val != NULL && IsA(target->val, ColumnRef))
					scan->output_columns = lappend(scan->output_columns, target->val);
				break;
			}

		case T_TypeName:
			/* the modifiers in geometry(point, 4326) are not columns */
			return false;

		case T_CallStmt:
			scan->writes = true;
			return scan_node((Node *) ((CallStmt *) node)->funccall, context);

		case T_InsertStmt:
		case T_UpdateStmt:
		case T_DeleteStmt:
		case T_MergeStmt:
			scan->writes = true;
			break;

		case T_IntoClause:
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("SELECT INTO is not allowed in a function body"),
					 plshard_errposition(scan->source, scan->start)));

		default:
			break;
	}
	return raw_expression_tree_walker(node, scan_node, context);
}

/* Orders references by their position in the text. */
static int
compare_refs(const ListCell *a, const ListCell *b)
{
	const ValueRef *x = lfirst(a);
	const ValueRef *y = lfirst(b);

	return x->location < y->location ? -1 : x->location > y->location;
}

/*
 * The text with its references replaced.  PostgreSQL's scanner finds where
 * tokens end: it keeps a zero byte behind the current one.
 */
static char *
replace_refs(BodyScan *scan, const char *text, List **params)
{
	core_yyscan_t scanner;
	core_yy_extra_type extra;
	core_YYSTYPE token;
	YYLTYPE		location;
	StringInfoData sql;
	int			copied = 0;
	ListCell   *lc;

	initStringInfo(&sql);
	scanner = scanner_init(text, &extra, &ScanKeywords, ScanKeywordTokens);
	location = -1;
	foreach(lc, scan->refs)
	{
		ValueRef   *ref = lfirst(lc);
		int			end;

		if (ref->location < copied)
			continue;			/* SET (a, b) = (...) shows its source twice */
		while (location < ref->location)
		{
			if (core_yylex(&token, &location, scanner) == 0)
				elog(ERROR, "reference not found in the text of a statement");
		}
		for (int i = 1; i < ref->ntokens; i++)
			core_yylex(&token, &location, scanner);
		end = location + strlen(extra.scanbuf + location);

		appendBinaryStringInfo(&sql, text + copied, ref->location - copied);
		appendStringInfo(&sql, "($%d::%s)", plshard_param_number(params, ref->value),
						 plshard_remote_type_name(scan->scope->values[ref->value].type));
		if (ref->as_name != NULL)
			appendStringInfo(&sql, " AS %s", quote_identifier(ref->as_name));
		copied = end;
	}
	scanner_finish(scanner);
	appendStringInfoString(&sql, text + copied);
	return sql.data;
}

char *
plshard_body_sql(const char *source, SourceSpan span, const ValueScope *scope,
				 bool is_write, bool *is_procedure, List **params)
{
	char	   *text = pnstrdup(source + span.start, span.length);
	BodyScan	scan = {.scope = scope,.source = source,.start = span.start};
	FragmentErrors errors;
	List	   *statements;

	plshard_push_fragment(&errors, source, span.start);
	statements = raw_parser(text, RAW_PARSE_DEFAULT);
	plshard_pop_fragment(&errors);
	if (list_length(statements) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("one SQL statement is expected"),
				 plshard_errposition(source, span.start)));

	scan_node(linitial_node(RawStmt, statements)->stmt, &scan);
	if (scan.writes && !is_write)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a read cannot change data"),
				 errhint("Make the function VOLATILE, or add WRITE;."),
				 plshard_errposition(source, span.start)));

	*is_procedure = IsA(linitial_node(RawStmt, statements)->stmt, CallStmt);
	list_sort(scan.refs, compare_refs);
	return replace_refs(&scan, text, params);
}
