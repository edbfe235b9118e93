/* refusal.h -- why a server refuses a connection, whatever its language. */
#ifndef PGMIG_REFUSAL_H
#define PGMIG_REFUSAL_H

#include <libpq-fe.h>

/* Take out of libpq's text about a connection that failed what people do not
** want to see there: SQLSTATEs and the places in the server's source. Returns
** what is known of the reason, the code of an error: "too_many_connections",
** "no_password", or NULL. */
const char *pgmig_refusal_read(PGconn *pg, char *text);

#endif
