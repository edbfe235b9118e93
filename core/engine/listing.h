/* listing.h -- what a migration does, as a script for psql. */
#ifndef PGMIG_LISTING_H
#define PGMIG_LISTING_H

#include "ledger/sql.h"

/*
** Add to `out` what a migration sends, in its order, for psql: its program's
** commands, its statements with their inline data. One of transaction=off runs
** its statements first, each by itself, and is recorded in a transaction behind
** them: nobody reads its journal in between. The script is held; nothing is
** sent.
*/
PGMIG_NODISCARD int pgmig_listing_add(struct pgmig_buf *out,
                                      struct pgmig_conn *conn,
                                      const struct pgmig_ledger *ledger,
                                      const struct pgmig_job *job,
                                      struct pgmig_error *err);

#endif
