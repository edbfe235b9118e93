/*
** journal.h -- the journal: a row for each migration under way that runs
** without a transaction of its own (transaction=off).
**
** The row says which statements are done (their hashes), which one is under
** way, and whose the migration is. Who writes must own it: every change names
** the owner, and fails with 22012 when another run has taken over.
*/
#ifndef PGMIG_JOURNAL_H
#define PGMIG_JOURNAL_H

#include "ledger.h"

/* Add the claim, in a transaction of its own: a new row, or the row of the
** run `job->taken_from`. 23505 and 22012 tell that another run was first. */
PGMIG_NODISCARD int pgmig_journal_add_claim(const struct pgmig_ledger *ledger,
                                            struct pgmig_conn *conn,
                                            const struct pgmig_job *job,
                                            struct pgmig_buf *sql,
                                            struct pgmig_error *err);

/* Add the row's lock, which a statement and its `done` share. */
PGMIG_NODISCARD int pgmig_journal_add_lock(const struct pgmig_ledger *ledger,
                                           struct pgmig_conn *conn,
                                           const struct pgmig_job *job,
                                           struct pgmig_buf *sql,
                                           struct pgmig_error *err);

/* Add that a statement which runs alone is about to be sent. */
PGMIG_NODISCARD int pgmig_journal_add_running(const struct pgmig_ledger *ledger,
                                              struct pgmig_conn *conn,
                                              const struct pgmig_job *job,
                                              const struct pgmig_statement *st,
                                              struct pgmig_buf *sql,
                                              struct pgmig_error *err);

/* Add that the statements first .. last are done. */
PGMIG_NODISCARD int pgmig_journal_add_done(const struct pgmig_ledger *ledger,
                                           struct pgmig_conn *conn,
                                           const struct pgmig_job *job,
                                           size_t first, size_t last,
                                           struct pgmig_buf *sql,
                                           struct pgmig_error *err);

/* Add that the statement under way has failed: the server said so. */
PGMIG_NODISCARD int pgmig_journal_add_failed(const struct pgmig_ledger *ledger,
                                             struct pgmig_conn *conn,
                                             const struct pgmig_job *job,
                                             struct pgmig_buf *sql,
                                             struct pgmig_error *err);

/* Add the end of the row; 22012 unless it is still the job's. */
PGMIG_NODISCARD int pgmig_journal_add_end(const struct pgmig_ledger *ledger,
                                          struct pgmig_conn *conn,
                                          const struct pgmig_job *job,
                                          struct pgmig_buf *sql,
                                          struct pgmig_error *err);

/* Add an expression: when the migration was begun, over all its runs. */
PGMIG_NODISCARD int pgmig_journal_add_begun(const struct pgmig_ledger *ledger,
                                            struct pgmig_conn *conn,
                                            const struct pgmig_job *job,
                                            struct pgmig_buf *sql,
                                            struct pgmig_error *err);

/* Add what settles a statement of unknown outcome. */
PGMIG_NODISCARD int pgmig_journal_add_change(const struct pgmig_ledger *ledger,
                                             struct pgmig_conn *conn,
                                             enum pgmig_ledger_change change,
                                             const struct pgmig_entry *entry,
                                             struct pgmig_buf *sql,
                                             struct pgmig_error *err);

/* Add the query for all rows. */
void pgmig_journal_add_list(const struct pgmig_ledger *ledger,
                            struct pgmig_buf *sql);

#endif
