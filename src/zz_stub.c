#include "postgres.h"
#include "cluster.h"
ClusterMap *plshard_connect_map(const char *c){ ereport(ERROR,(errmsg("stub %s", c))); return NULL; }
