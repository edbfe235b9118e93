/* connect.h -- a connection that is being opened. */
#ifndef PGMIG_CONNECT_H
#define PGMIG_CONNECT_H

#include "wire/conn.h"

/* Go as far as possible: what is waited for, 0 when it is open, or has failed,
** which is the connection's error. */
unsigned pgmig_connect_step(struct pgmig_conn *conn);

#endif
