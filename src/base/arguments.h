/*
 * arguments.h
 *
 * Checks of the arguments of SQL functions.
 */
#ifndef PLSHARD_ARGUMENTS_H
#define PLSHARD_ARGUMENTS_H

#include "fmgr.h"

/* Raises 22004 if one of the function's arguments is NULL. */
extern void plshard_refuse_nulls(FunctionCallInfo fcinfo);

#endif							/* PLSHARD_ARGUMENTS_H */
