/*
 * node_values.h
 *
 * What plshard_node.now() and plshard_node.unique_id() return on the nodes: the
 * front sends it with each write, as settings of the remote transaction, the same to
 * all replicas of a shard; where nothing on the shards mentions them, nothing is sent.
 */
#ifndef PLSHARD_NODE_VALUES_H
#define PLSHARD_NODE_VALUES_H

#include "call/execution.h"

/*
 * The command that sets what plshard_node.now() returns for the rest of a
 * transaction on a node, for commands that are no call.  palloc'd.
 */
extern char *plshard_node_now_command(void);

/* Sends a write's values in front of the call, where its shard's code uses some. */
extern void plshard_send_node_values(Execution *e, const Task *task);

/*
 * A call has used up its ids: its function gets more of them from now on.  False
 * where it has had as many as a call may have.
 */
extern bool plshard_raise_id_limit(Execution *e);

#endif							/* PLSHARD_NODE_VALUES_H */
