/*
 * pump.c
 *
 * Waits for the sockets of connections, and lets those go on that are ready.
 */
#include "postgres.h"

#include "connection/pump.h"
#include "connection/receive.h"

#define SOCKETS_ON_STACK 32

void
plshard_pump(NodeConn **conns, int nconns, ResultHandler handler, void *arg, Deadline deadline)
{
	WaitSocket	on_stack[SOCKETS_ON_STACK];
	WaitSocket *sockets = on_stack;
	NodeConn   *waiting_on_stack[SOCKETS_ON_STACK];
	NodeConn  **waiting = waiting_on_stack;
	int			n = 0;

	if (nconns > SOCKETS_ON_STACK)
	{
		sockets = palloc(sizeof(WaitSocket) * nconns);
		waiting = palloc(sizeof(NodeConn *) * nconns);
	}
	for (int i = 0; i < nconns; i++)
	{
		uint32		events = plshard_conn_events(conns[i]);

		if (events == 0)
			continue;
		sockets[n].fd = PQsocket(conns[i]->io.pg);
		if (sockets[n].fd == PGINVALID_SOCKET)
		{
			plshard_conn_set_lost(conns[i], 0, "connection lost");
			deadline = plshard_clock();	/* the caller must see it at once */
			continue;
		}
		conns[i]->io.fd = sockets[n].fd;
		sockets[n].events = events;
		sockets[n].passing = conns[i]->io.state == CONN_CONNECTING && conns[i]->io.poll_events != 0;
		waiting[n++] = conns[i];
	}

	if (plshard_wait(sockets, n, deadline) > 0)
	{
		for (int i = 0; i < n; i++)
		{
			if (sockets[i].ready)
				plshard_conn_advance(waiting[i], handler, arg);
		}
	}
	if (sockets != on_stack)
	{
		pfree(sockets);
		pfree(waiting);
	}
}
