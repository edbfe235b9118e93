/* verify.h -- an index that a statement has named must be valid. */
#ifndef PGMIG_VERIFY_H
#define PGMIG_VERIFY_H

#include "buf.h"
#include "pgmig.h"

/* Whether a statement names an index that has to be looked at. */
bool pgmig_verify_needed(const char *text, const struct pgmig_statement *st);

/*
** Add the query for INVALID indexes of the name that the statement has given:
** true when there is something to ask. IF NOT EXISTS says nothing of what is
** there, and a failed CREATE INDEX CONCURRENTLY leaves its index behind
** (manual, CREATE INDEX, "Building Indexes Concurrently").
*/
bool pgmig_verify_add(struct pgmig_conn *conn, const char *text,
                      const struct pgmig_statement *st, struct pgmig_buf *sql,
                      struct pgmig_error *err);

#endif
