/*
 * inject.c
 *
 * Ends, stops or fails a session at a point of the protocol, for tests; empty in builds
 * without PLSHARD_INJECTION.  Allocates nothing.
 */
#include "postgres.h"

#include "base/inject.h"

#ifdef PLSHARD_INJECTION

#include <signal.h>
#include <unistd.h>

#include "utils/guc.h"

static char *injection = NULL;
static bool armed = false;		/* it is set, and has not happened yet */

static const char *const actions[] = {"kill", "stop", "error"};

static bool
check_injection(char **value, void **extra, GucSource source)
{
	const char *colon = strchr(*value, ':');

	if (**value == '\0')
		return true;
	for (int i = 0; colon && i < lengthof(actions); i++)
	{
		if (strcmp(colon + 1, actions[i]) == 0)
			return true;
	}
	GUC_check_errdetail("It must be \"point:action\", where the action is kill, stop or error.");
	return false;
}

static void
assign_injection(const char *value, void *extra)
{
	armed = *value != '\0';
}

void
plshard_inject(const char *point)
{
	size_t		length = strlen(point);
	const char *action;

	if (!armed || strncmp(injection, point, length) != 0 || injection[length] != ':')
		return;
	armed = false;
	action = injection + length + 1;
	ereport(LOG, (errmsg_internal("plshard.inject: %s at %s", action, point)));
	if (strcmp(action, "kill") == 0)
		kill(getpid(), SIGKILL);
	else if (strcmp(action, "stop") == 0)
		kill(getpid(), SIGSTOP);
	else
		ereport(ERROR,
				(errcode(MAKE_SQLSTATE('P', 'S', '9', '9', '9')),
				 errmsg_internal("injected at %s", point)));
}

void
plshard_inject_init(void)
{
	DefineCustomStringVariable("plshard.inject",
							   "What a test does to the session, and where.",
							   NULL,
							   &injection,
							   "",
							   PGC_SUSET, GUC_NOT_IN_SAMPLE,
							   check_injection, assign_injection, NULL);
}

#endif							/* PLSHARD_INJECTION */
