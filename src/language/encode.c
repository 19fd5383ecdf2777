/*
 * encode.c
 *
 * The parameters of a call's remote statement, in the current memory context.
 */
#include "postgres.h"

#include "language/encode.h"

void
plshard_encode_args(const PlshardCall *call, const NullableDatum *args, RemoteParams *params)
{
	const PlshardFunction *function = call->function;
	int			n = function->query.nparams;
	const char **values = palloc((n + 1) * sizeof(char *));
	int		   *lengths = palloc((n + 1) * sizeof(int));
	int		   *formats = palloc((n + 1) * sizeof(int));

	plshard_encode_params(function->encoders, n, args,
						  call->by_copy || call->map->options.disable_binary,
						  values, lengths, formats);
	params->values = values;
	params->lengths = lengths;
	params->formats = formats;
}

void
plshard_encode_values(PlshardCall *call)
{
	const PlshardFunction *function = call->function;
	int			n = function->query.nparams;
	NullableDatum *args = palloc((n + 1) * sizeof(NullableDatum));

	for (int i = 0; i < n; i++)
		args[i] = call->values[function->param_values[i]];
	plshard_encode_args(call, args, &call->remote_params);
}
