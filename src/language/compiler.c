/*
 * compiler.c
 *
 * What the files of the compiler share: its begin and end, positions of errors,
 * and the values that arguments in the body name.
 */
#include "postgres.h"

#include "language/compiler.h"
#include "language/expr.h"
#include "utils/guc.h"
#include "utils/memutils.h"

static void
compile_error_callback(void *arg)
{
	Compiler   *c = arg;

	plshard_transpose_error(c->function);
	if (!c->validating && !c->is_inline)
		errcontext("compilation of plshard function \"%s\"", c->function->name);
}

static void
position_error_callback(void *arg)
{
	const PositionErrors *errors = arg;

	plshard_errposition(errors->source, errors->location);
}

void
plshard_push_position(PositionErrors *errors, const Compiler *c, int location)
{
	errors->source = c->function->source;
	errors->location = location;
	errors->callback.callback = position_error_callback;
	errors->callback.arg = errors;
	errors->callback.previous = error_context_stack;
	error_context_stack = &errors->callback;
}

void
plshard_pop_position(PositionErrors *errors)
{
	error_context_stack = errors->callback.previous;
}

/* Whether a body that is not parsed yet may hold the secrets of a connection string. */
static bool
may_connect(const char *source)
{
	for (; *source != '\0'; source++)
	{
		if (pg_strncasecmp(source, "connect", 7) == 0)
			return true;
	}
	return false;
}

void
plshard_begin_compile(Compiler *c, const char *source, const char *name)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "plshard function",
												  ALLOCSET_SMALL_SIZES);
	PlshardFunction *function = MemoryContextAllocZero(context, sizeof(PlshardFunction));

	function->context = context;
	function->source = MemoryContextStrdup(context, source);
	function->shown_source = may_connect(source) ? NULL : function->source;
	function->name = name ? MemoryContextStrdup(context, name) : NULL;
	function->states_keep = true;
	function->call_context = AllocSetContextCreate(context, "plshard call",
												   ALLOCSET_DEFAULT_SIZES);
	function->evaluator.context = AllocSetContextCreate(context, "plshard expressions",
														ALLOCSET_SMALL_SIZES);
	c->function = function;
	c->work = AllocSetContextCreate(context, "plshard compiler", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(c->work);

	c->callback.callback = compile_error_callback;
	c->callback.arg = c;
	c->callback.previous = error_context_stack;
	error_context_stack = &c->callback;
	c->reading = plshard_begin_reading();
}

void
plshard_end_compile(Compiler *c, MemoryContext caller)
{
	AtEOXact_GUC(true, c->reading);
	error_context_stack = c->callback.previous;
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(c->work);
}

int
plshard_lookup_argument(Compiler *c, const AstArg *arg, const char *hint)
{
	int			value;

	if (arg->name == NULL)
	{
		if (arg->number < 1 || arg->number > c->function->nargs)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_PARAMETER),
					 errmsg("there is no parameter $%d", arg->number),
					 errposition_at(c, arg->location)));
		return arg->number - 1;
	}
	value = plshard_find_value(c->function->scope, arg->qualifier, arg->name);
	if (value < 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 arg->qualifier ?
				 errmsg("\"%s.%s\" is not an argument of this function", arg->qualifier, arg->name) :
				 errmsg("\"%s\" is not an argument of this function", arg->name),
				 hint ? errhint("%s", hint) : 0,
				 errposition_at(c, arg->location)));
	return value;
}
