/* report.h -- what the server says: notices and errors. */
#ifndef PGMIG_REPORT_H
#define PGMIG_REPORT_H

#include <libpq-fe.h>

#include "wire/wire.h"

/* A PQnoticeReceiver; its argument is the connection. Keeps a copy of the
** notice for pgmig_conn_notice; gives up a connection whose notice is odd. */
void pgmig_report_notice(void *arg, const PGresult *res);

/* Set the connection's error, and its place in the statement, from a result
** that the server sent, which stays the caller's. What libpq has made up itself
** is no answer: then the connection is given up. */
void pgmig_report_result(struct pgmig_conn *conn, const PGresult *res);

#endif
