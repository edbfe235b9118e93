/* report.h -- what the server and libpq say: notices and errors. */
#ifndef PGMIG_REPORT_H
#define PGMIG_REPORT_H

#include <libpq-fe.h>

#include "wire/wire.h"

/* A PQnoticeReceiver; its argument is the connection. */
void pgmig_report_notice(void *arg, const PGresult *res);

/* Set the connection's error from libpq's own text. */
void pgmig_report_libpq(struct pgmig_conn *conn);

/* Set the connection's error from a result that the server sent. */
void pgmig_report_result(struct pgmig_conn *conn, const PGresult *res);

#endif
