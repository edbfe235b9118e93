/* ledger.h -- the SQL on the tracking table, for the module that applies. */
#ifndef PGMIG_LEDGER_H
#define PGMIG_LEDGER_H

#include "buf.h"
#include "pgmig.h"

/*
** Add the claim of a migration: the INSERT (or DELETE, for DOWN) of its row.
** The primary key makes a second run wait, then fail with 23505 (or delete
** nothing).
*/
PGMIG_NODISCARD int pgmig_ledger_add_claim(const struct pgmig_ledger *ledger,
                                           struct pgmig_conn *conn,
                                           const struct pgmig_job *job,
                                           struct pgmig_buf *sql,
                                           struct pgmig_error *err);

/* Add a statement that fails with 22012 unless the claimed row is there. */
void pgmig_ledger_add_proof(const struct pgmig_ledger *ledger,
                            const struct pgmig_job *job, struct pgmig_buf *sql);

#endif
