/* transfer.h -- COPY data within a request, for exchange.c. */
#ifndef PGMIG_TRANSFER_H
#define PGMIG_TRANSFER_H

#include "wire/conn.h"

/* Hand COPY data to libpq, never more than the socket takes; nothing unless the
** request is feeding. What fails gives the connection up. */
void pgmig_transfer_feed(struct pgmig_conn *conn);

/* Take COPY data that has come: true when the server has to be waited for.
** False: a piece is there for the caller, or the COPY has ended, and the phase
** is that of any request. */
bool pgmig_transfer_take(struct pgmig_conn *conn);

#endif
