/*
** runs.h -- the runs that are under way: a row for each, from before its first
** migration to the end of its last. What is left belongs to a run that has not
** told how it ended.
*/
#ifndef PGMIG_RUNS_H
#define PGMIG_RUNS_H

#include "ledger/sql.h"

/* Add what makes the table. */
void pgmig_runs_add_table(struct pgmig_sql *s);

/* Add the row of a run: the entry's run, host, program, and its direction as
** event; `plan` is what it is about to do, a text. */
void pgmig_runs_add_begin(struct pgmig_sql *s, const struct pgmig_entry *entry,
                          const char *plan);

/* Add its end; a row that is not there is no error. */
void pgmig_runs_add_end(struct pgmig_sql *s, const char *run);

/* Add a query for all rows, with the columns of the journal's: the run as
** migration, its host as owner, its program as running, its plan as
** statement. */
void pgmig_runs_add_list(struct pgmig_sql *s);

#endif
