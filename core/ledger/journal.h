/*
** journal.h -- the journal: a row for each migration under way that runs
** without a transaction of its own (transaction=off).
**
** The row says which statements are done (their hashes), which one is under
** way, and whose the migration is. An attempt knows the row's revision as it
** has left it: every change is a compare-and-set, made only where owner and
** revision are what they were, and counts the revision up; else 22012 tells
** that another run has taken over.
*/
#ifndef PGMIG_JOURNAL_H
#define PGMIG_JOURNAL_H

#include "ledger/ledger.h"

#define PGMIG_JOURNAL_FIRST 1 /* the revision of a new row */

/* Add the claim, in a transaction of its own: a new row, or the lock of the
** one that was taken over. 23505 and 22012 tell that another run was first. */
void pgmig_journal_add_claim(struct pgmig_sql *s, const struct pgmig_job *job);

/* Add that the session begins with what was noted of it (state.h). */
void pgmig_journal_add_session(struct pgmig_sql *s,
                               const struct pgmig_job *job);

/* Add what brings the session to where the row says it was. */
void pgmig_journal_add_restore(struct pgmig_sql *s,
                               const struct pgmig_job *job);

/* Add the row's lock, which a statement and its `done` share; 55P03 when
** somebody else has it. What the session had that cannot be made again is
** noted, for a column of that name. */
#define PGMIG_JOURNAL_LEFT "pg_catalog.current_setting('pgmig.left')"
#define PGMIG_JOURNAL_LOST "pgmig_lost"
void pgmig_journal_add_lock(struct pgmig_sql *s, const struct pgmig_job *job);

/* Add that a statement which runs alone is about to be sent: the one at `at`,
** as `st` of `text`, which may stand in its place; pgmig_indexed_add_note comes
** before. `bare`: it will not have the session's own state; 2201E when there is
** one. */
void pgmig_journal_add_running(struct pgmig_sql *s, const struct pgmig_job *job,
                               size_t at, const char *text,
                               const struct pgmig_statement *st, bool bare);

/* Add that the statements first .. last are done, and what was noted of the
** session. `within`: in their transaction, whose end may take a part of that
** back. `alone`: it ran in none. `elsewhere`: the next one may have another
** session. `unseen`: that is not the one that was noted. */
struct pgmig_done {
    size_t first, last;
    bool within, alone, elsewhere, unseen;
};
void pgmig_journal_add_done(struct pgmig_sql *s, const struct pgmig_job *job,
                            struct pgmig_done done);

/* Add, behind the COMMIT of that, in a transaction of its own, what was noted
** of the session anew; it changes nothing where that is the same. */
void pgmig_journal_add_known(struct pgmig_sql *s, const struct pgmig_job *job);

/* Add that the statement under way has failed: the server said so. `partial`:
** what it has committed before that stays. */
void pgmig_journal_add_failed(struct pgmig_sql *s, const struct pgmig_job *job,
                              bool partial);

/* Add the end of the row. */
void pgmig_journal_add_end(struct pgmig_sql *s, const struct pgmig_job *job);

/* Add an expression: when the migration was begun, over all its runs. */
void pgmig_journal_add_begun(struct pgmig_sql *s, const struct pgmig_job *job);

/* Add that a row gets another owner, which yields it as it is then; nothing
** where it is not as `entry` says. */
void pgmig_journal_add_take(struct pgmig_sql *s,
                            const struct pgmig_entry *entry, const char *by);

/* Add that an index gets a name that tells its oid, `set_aside`, while nobody
** else can take the row over. 22012: somebody has, the row is not as `entry`
** says; 2201E: the index is not that one, or not INVALID. */
void pgmig_journal_add_set_aside(struct pgmig_sql *s,
                                 const struct pgmig_entry *entry,
                                 const struct pgmig_debris *index);

/* Add what settles a statement of unknown outcome. */
void pgmig_journal_add_change(struct pgmig_sql *s,
                              enum pgmig_ledger_change change,
                              const struct pgmig_entry *entry);

/*
** The runs that are under way, in a table of their own: a row for each, from
** before its first migration to the end of its last. What is left belongs to a
** run that has not told how it ended.
*/

/* Add what makes the table. */
void pgmig_runs_add_table(struct pgmig_sql *s);

/* Add the row of a run: the entry's run, host, program, and its direction as
** event; `plan` is what it is about to do, a text. */
void pgmig_runs_add_begin(struct pgmig_sql *s, const struct pgmig_entry *entry,
                          const char *plan);

/* Add its end; a row that is not there is no error. */
void pgmig_runs_add_end(struct pgmig_sql *s, const char *run);

/* Add the query for all rows, and for those of the runs, with the same columns:
** the run as migration, its host as owner, its program as running, its plan as
** statement. */
void pgmig_journal_add_list(struct pgmig_sql *s);

#endif
