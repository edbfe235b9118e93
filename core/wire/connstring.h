/*
** connstring.h -- connection strings and parameters, checked before libpq
** connects. What is wrong is said without quoting it: a piece of a password
** may be anywhere in a string that is not written as it should be.
*/
#ifndef PGMIG_CONNSTRING_H
#define PGMIG_CONNSTRING_H

#include <libpq-fe.h>

#include "wire/wire.h"

/* Check lists as of pgmig_conn_open, with the connection string in them. Kind
** "usage". */
PGMIG_NODISCARD int pgmig_connstring_check_all(const char *const *keywords,
                                               const char *const *values,
                                               struct pgmig_error *err);

/* Check what libpq has made of all its sources: numbers that it reads only
** later, or not at all when a connection is stepped, and names that are URLs,
** which the server or the resolver would quote. */
PGMIG_NODISCARD int pgmig_connstring_check_values(PGconn *pg,
                                                  struct pgmig_error *err);

/* Make a usage error of what libpq says about a value that it refuses before
** it connects: true when `text` is that. The value is not quoted. */
bool pgmig_connstring_refusal(const char *text, struct pgmig_error *err);

#endif
