/* cancel.h -- asking the server to stop a statement, beside the work. */
#ifndef PGMIG_CANCEL_H
#define PGMIG_CANCEL_H

#include "wire/conn.h"

/* A request of a connection's, whether it is over or not. */
struct pgmig_cancel;

/* Forget it, or NULL: what is on its way goes on by itself. */
void pgmig_cancel_free(struct pgmig_cancel *cancel);

#endif
