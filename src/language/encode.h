/*
 * encode.h
 *
 * The values of a call, as parameters of its remote statement.
 */
#ifndef PLSHARD_ENCODE_H
#define PLSHARD_ENCODE_H

#include "language/function.h"

/*
 * Encodes the values of the parameters, "args", in the current memory context or
 * pointing into them.  Throws what output functions throw.
 */
extern void plshard_encode_args(const PlshardCall *call, const NullableDatum *args,
								RemoteParams *params);

/* The same for the call's own values, into call->remote_params. */
extern void plshard_encode_values(PlshardCall *call);

#endif							/* PLSHARD_ENCODE_H */
