/*
** runs.h -- the runs that are under way: a row for each, from before its first
** migration to the end of its last. What is left belongs to a run that has not
** told how it ended.
*/
#ifndef PGMIG_RUNS_H
#define PGMIG_RUNS_H

#include "ledger/ledger.h"

/* Add what makes the table. */
void pgmig_runs_add_table(const struct pgmig_ledger *ledger,
                          struct pgmig_buf *sql);

/* Add the row of a run, with a semicolon: the entry's run, host, program, and
** its direction as event; `plan` is what it is about to do, a text. */
PGMIG_NODISCARD int
pgmig_runs_add_begin(const struct pgmig_ledger *ledger, struct pgmig_conn *conn,
                     const struct pgmig_entry *entry, const char *plan,
                     struct pgmig_buf *sql, struct pgmig_error *err);

/* Add its end, with a semicolon. */
PGMIG_NODISCARD int pgmig_runs_add_end(const struct pgmig_ledger *ledger,
                                       struct pgmig_conn *conn, const char *run,
                                       struct pgmig_buf *sql,
                                       struct pgmig_error *err);

/* Add a query for all rows, with the columns of the journal's: the run as
** migration, its host as owner, its program as running, its plan as
** statement. */
void pgmig_runs_add_list(const struct pgmig_ledger *ledger,
                         struct pgmig_buf *sql);

#endif
