/* claim.c -- the row that a migration takes before it changes anything. */
#include "wire/conn.h"
#include "ledger/layout.h"
#include "ledger/ledger.h"

bool pgmig_job_pipelined(const struct pgmig_job *job)
{
    return !job->plain && job->pauses == 0 && job->entry.version != NULL &&
           job->script->sections[job->section].transaction;
}

/* Who answers, and in which transaction. */
#define WHO PGMIG_ASK_SERVER ", " PGMIG_ASK_TRANSACTION

/* The same; where no code of others comes between, the transaction is ours. */
static const char *who(const struct pgmig_job *job)
{
    return pgmig_job_pipelined(job) ? PGMIG_ASK_SERVER : WHO;
}

#define REPEATABLE_KEY 1885826410 /* class of advisory locks: "pgmj" */

/*
** The row of a repeatable migration is the last one of its name in the
** history. Two statements: the second one's snapshot is taken when the lock
** is held, so it sees what its last holder has committed.
*/
static int add_repeatable_claim(const struct pgmig_ledger *ledger,
                                struct pgmig_conn *conn,
                                const struct pgmig_entry *entry,
                                struct pgmig_buf *sql, struct pgmig_error *err)
{
    pgmig_buf_addf(sql,
                   "SELECT pg_catalog.pg_advisory_xact_lock(%d, "
                   "pg_catalog.hashtext(",
                   REPEATABLE_KEY);
    if (pgmig_conn_add_literal(conn, entry->name, sql, err) != 0)
        return -1;
    pgmig_buf_adds(sql, ")); SELECT " WHO ", 1 "
                        "OPERATOR(pg_catalog./) (SELECT CASE WHEN checksum "
                        "OPERATOR(pg_catalog.=) ");
    if (pgmig_conn_add_literal(conn, entry->checksum, sql, err) != 0)
        return -1;
    pgmig_buf_addf(sql,
                   " THEN 0 ELSE 1 END FROM (SELECT (SELECT checksum FROM %s "
                   "WHERE version IS NULL AND event OPERATOR(pg_catalog.<>) "
                   "ALL (" PGMIG_PASSING_EVENTS
                   ") AND name OPERATOR(pg_catalog.=) ",
                   ledger->history);
    if (pgmig_conn_add_literal(conn, entry->name, sql, err) != 0)
        return -1;
    pgmig_buf_adds(sql, " ORDER BY id DESC LIMIT 1) AS checksum) AS newest)");
    return 0;
}

static int add_template(const struct pgmig_ledger *ledger,
                        struct pgmig_conn *conn, const char *text,
                        const struct pgmig_job *job, struct pgmig_buf *sql,
                        struct pgmig_error *err)
{
    return pgmig_layout_add(text, ledger->tracking, conn, &job->entry, sql,
                            err);
}

/* The DELETE of the row itself. */
static int add_delete(const struct pgmig_ledger *ledger,
                      struct pgmig_conn *conn, const struct pgmig_job *job,
                      struct pgmig_buf *sql, struct pgmig_error *err)
{
    if (ledger->layout != NULL)
        return add_template(ledger, conn, ledger->layout->release, job, sql,
                            err);
    pgmig_buf_addf(sql,
                   "DELETE FROM %s WHERE version OPERATOR(pg_catalog.=) %s",
                   ledger->tracking, job->entry.version);
    return 0;
}

/* The DELETE of a row: 22012 when there is none, which the end of the section
** says with transaction=off. */
static int add_release(const struct pgmig_ledger *ledger,
                       struct pgmig_conn *conn, const struct pgmig_job *job,
                       struct pgmig_buf *sql, struct pgmig_error *err)
{
    bool raises = job->script->sections[job->section].transaction;

    pgmig_buf_adds(sql, "WITH gone AS (");
    if (add_delete(ledger, conn, job, sql, err) != 0)
        return -1;
    pgmig_buf_addf(sql, " RETURNING 1) SELECT %s%s FROM gone", who(job),
                   raises ? ", 1 OPERATOR(pg_catalog./) pg_catalog.count(*)"
                          : "");
    return 0;
}

/* Where no column is unique, an INSERT of nothing says that it is applied. */
static int add_locked_claim(const struct pgmig_ledger *ledger,
                            struct pgmig_conn *conn,
                            const struct pgmig_job *job, struct pgmig_buf *sql,
                            struct pgmig_error *err)
{
    pgmig_buf_adds(sql, "WITH taken AS (");
    if (add_template(ledger, conn, ledger->layout->claim, job, sql, err) != 0)
        return -1;
    pgmig_buf_addf(sql,
                   " RETURNING 1) SELECT %s, "
                   "1 OPERATOR(pg_catalog./) pg_catalog.count(*) FROM taken",
                   who(job));
    return 0;
}

static int add_insert(const struct pgmig_ledger *ledger,
                      struct pgmig_conn *conn, const struct pgmig_job *job,
                      struct pgmig_buf *sql, struct pgmig_error *err)
{
    const struct pgmig_entry *entry = &job->entry;

    if (ledger->layout != NULL)
        return add_template(ledger, conn, ledger->layout->claim, job, sql, err);
    pgmig_buf_addf(sql, "INSERT INTO %s (version, name) VALUES (%s, ",
                   ledger->tracking, entry->version);
    if (pgmig_conn_add_literal(conn, entry->name, sql, err) != 0)
        return -1;
    pgmig_buf_adds(sql, ")");
    return 0;
}

static bool is_locked(const struct pgmig_ledger *ledger)
{
    return ledger->layout != NULL && ledger->layout->locked;
}

int pgmig_claim_commands(const struct pgmig_ledger *ledger,
                         const struct pgmig_job *job)
{
    return job->entry.version == NULL || is_locked(ledger) ? 1 : 0;
}

int pgmig_claim_add(const struct pgmig_ledger *ledger, struct pgmig_conn *conn,
                    const struct pgmig_job *job, struct pgmig_buf *sql,
                    struct pgmig_error *err)
{
    if (job->entry.version == NULL)
        return add_repeatable_claim(ledger, conn, &job->entry, sql, err);
    if (is_locked(ledger))
        pgmig_buf_addf(sql, "LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE; ",
                       ledger->tracking);
    if (job->direction == PGMIG_DOWN)
        return add_release(ledger, conn, job, sql, err);
    if (is_locked(ledger))
        return add_locked_claim(ledger, conn, job, sql, err);
    if (add_insert(ledger, conn, job, sql, err) != 0)
        return -1;
    /* in a pipeline the first one has told */
    if (conn->pipeline == NULL)
        pgmig_buf_addf(sql, " RETURNING %s", who(job));
    return 0;
}

/* The rows of a migration, for FROM. */
static int add_rows(const struct pgmig_ledger *ledger, struct pgmig_conn *conn,
                    const struct pgmig_job *job, struct pgmig_buf *sql,
                    struct pgmig_error *err)
{
    if (ledger->layout == NULL) {
        pgmig_buf_addf(sql, "%s WHERE version OPERATOR(pg_catalog.=) %s",
                       ledger->tracking, job->entry.version);
        return 0;
    }
    pgmig_buf_adds(sql, "(");
    if (add_template(ledger, conn, ledger->layout->there, job, sql, err) != 0)
        return -1;
    pgmig_buf_adds(sql, ") AS there");
    return 0;
}

int pgmig_claim_add_divisor(const struct pgmig_ledger *ledger,
                            struct pgmig_conn *conn,
                            const struct pgmig_job *job, bool there,
                            struct pgmig_buf *sql, struct pgmig_error *err)
{
    if (job->entry.version == NULL)
        return 0;
    pgmig_buf_addf(sql, " OPERATOR(pg_catalog./) (%sEXISTS (SELECT FROM ",
                   there ? "" : "NOT ");
    if (add_rows(ledger, conn, job, sql, err) != 0)
        return -1;
    pgmig_buf_adds(sql, "))::pg_catalog.int4");
    return 0;
}
