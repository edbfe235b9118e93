/*
** claim.c -- the row that a migration takes before it changes anything.
**
** What makes a migration take effect once is here, and nowhere else: one row
** with a unique key, inserted (DOWN: deleted) in the transaction that the
** migration runs in. Who comes second waits at it, inside the server, and then
** is refused. No lock of the run's is part of that (core/README.md).
**
** The claim never looks first and writes then: between the two anybody could
** write. Where there is no unique column (a repeatable migration, another
** tool's table) a lock takes its place, and the look is a statement behind
** that.
*/
#include "ledger/ledger.h"
#include "wire/conn.h"

/* Nothing of such a job needs an answer before the next command is sent. */
bool pgmig_job_pipelined(const struct pgmig_job *job)
{
    return !job->plain && job->pauses == 0 && job->entry.version != NULL &&
           job->script->sections[job->section].transaction;
}

/* Who answers, and in which transaction. */
#define WHO PGMIG_ASK_SERVER ", " PGMIG_ASK_TRANSACTION

/* The same; where no code of others comes between, the transaction is ours, and
** nobody has to ask for its number. */
static const char *who(const struct pgmig_job *job)
{
    return pgmig_job_pipelined(job) ? PGMIG_ASK_SERVER : WHO;
}

#define REPEATABLE_KEY 1885826410 /* class of advisory locks: "pgmj" */

/*
** The row of a repeatable migration is the last one of its name in the history.
** Two statements: the second one's snapshot is taken when the lock is held, so
** it sees what its last holder has committed (READ COMMITTED). The lock is the
** transaction's: it goes with COMMIT and ROLLBACK alike, also behind a pooler.
** Two names with one hash wait for each other, and no more. Events that say
** nothing of the text (a failure) are passed over; where there is no other one,
** the comparison is NULL, which is not "the same".
*/
static void add_repeatable_claim(struct pgmig_sql *s,
                                 const struct pgmig_entry *entry)
{
    pgmig_sql_addf(s,
                   "SELECT pg_catalog.pg_advisory_xact_lock(%d, "
                   "pg_catalog.hashtext(%L))%;"
                   "SELECT " WHO ", 1 %/ (SELECT CASE WHEN checksum %= %L "
                   "THEN 0 ELSE 1 END FROM (SELECT (SELECT checksum FROM %h "
                   "WHERE version IS NULL AND event %<> "
                   "ALL (" PGMIG_PASSING_EVENTS ") AND name %= %L "
                   "ORDER BY id DESC LIMIT 1) AS checksum) AS newest)",
                   REPEATABLE_KEY, entry->name, entry->checksum, entry->name);
}

/* The DELETE of the row itself. */
static void add_delete(struct pgmig_sql *s, const struct pgmig_job *job)
{
    const struct pgmig_layout *layout = s->ledger->layout;

    if (layout != NULL)
        pgmig_layout_add(s, layout->release, &job->entry);
    else
        pgmig_sql_addf(s, "DELETE FROM %t WHERE version %= %s",
                       job->entry.version);
}

/* The DELETE of a row: 22012 when there is none, which the end of the section
** says with transaction=off. DELETE waits for another one's as INSERT does, and
** then finds nothing: that is no error of the server's, so the count makes
** one. */
static void add_release(struct pgmig_sql *s, const struct pgmig_job *job)
{
    pgmig_sql_add(s, "WITH gone AS (");
    add_delete(s, job);
    pgmig_sql_addf(s, " RETURNING 1) SELECT %s", who(job));
    if (job->script->sections[job->section].transaction)
        pgmig_sql_addf(s, ", 1 %/ pg_catalog.count(*)");
    pgmig_sql_add(s, " FROM gone");
}

/* Where no column is unique, an INSERT of nothing says that it is applied: the
** tool's `claim` has the look in it, and the lock of the table is held. */
static void add_locked_claim(struct pgmig_sql *s, const struct pgmig_job *job)
{
    pgmig_sql_add(s, "WITH taken AS (");
    pgmig_layout_add(s, s->ledger->layout->claim, &job->entry);
    pgmig_sql_addf(s,
                   " RETURNING 1) SELECT %s, 1 %/ pg_catalog.count(*) "
                   "FROM taken",
                   who(job));
}

static void add_insert(struct pgmig_sql *s, const struct pgmig_job *job)
{
    const struct pgmig_layout *layout = s->ledger->layout;

    if (layout != NULL)
        pgmig_layout_add(s, layout->claim, &job->entry);
    else
        pgmig_sql_addf(s, "INSERT INTO %t (version, name) VALUES (%s, %L)",
                       job->entry.version, job->entry.name);
}

static void add_row_claim(struct pgmig_sql *s, const struct pgmig_job *job)
{
    bool locked = s->ledger->layout != NULL && s->ledger->layout->locked;

    /* against itself and every INSERT, but not against reading (manual,
    ** "Table-Level Locks") */
    if (locked)
        pgmig_sql_addf(s, "LOCK TABLE %t IN SHARE ROW EXCLUSIVE MODE%;");
    if (job->direction == PGMIG_DOWN) {
        add_release(s, job);
    } else if (locked) {
        add_locked_claim(s, job);
    } else {
        add_insert(s, job);
        if (s->conn->pipeline != NULL) { /* the first one has told */
            pgmig_sql_answers(s, "-");
            return;
        }
        pgmig_sql_addf(s, " RETURNING %s", who(job));
    }
    pgmig_sql_answers(s, pgmig_job_pipelined(job) ? PGMIG_SENT_CLAIM_SHAPE
                                                  : PGMIG_CLAIM_SHAPE);
}

/* The claim is the last of these commands, and its answer the one that is
** looked at. */
void pgmig_claim_add(struct pgmig_sql *s, const struct pgmig_job *job)
{
    if (job->entry.version != NULL) {
        add_row_claim(s, job);
        return;
    }
    add_repeatable_claim(s, &job->entry);
    pgmig_sql_answers(s, PGMIG_CLAIM_SHAPE);
}

/* The rows of a migration, for FROM. */
static void add_rows(struct pgmig_sql *s, const struct pgmig_job *job)
{
    const struct pgmig_layout *layout = s->ledger->layout;

    if (layout == NULL) {
        pgmig_sql_addf(s, "%t WHERE version %= %s", job->entry.version);
        return;
    }
    pgmig_sql_add(s, "(");
    pgmig_layout_add(s, layout->there, &job->entry);
    pgmig_sql_add(s, ") AS there");
}

/* EXISTS as a number is 1 or 0, and the division by 0 ends the transaction at
** the server, where nobody has to look at an answer first. It is added to a
** query that has to run anyway. */
void pgmig_claim_add_divisor(struct pgmig_sql *s, const struct pgmig_job *job,
                             bool there)
{
    if (job->entry.version == NULL)
        return;
    pgmig_sql_addf(s, " %/ (%sEXISTS (SELECT FROM ", there ? "" : "NOT ");
    add_rows(s, job);
    pgmig_sql_add(s, "))::pg_catalog.int4");
}
