/* claim.c -- the row that a migration takes before it changes anything. */
#include "conn.h"
#include "ledger.h"

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
    pgmig_buf_adds(sql, ")); SELECT pg_catalog.pg_backend_pid(), 1 "
                        "OPERATOR(pg_catalog./) (SELECT CASE WHEN checksum "
                        "OPERATOR(pg_catalog.=) ");
    if (pgmig_conn_add_literal(conn, entry->checksum, sql, err) != 0)
        return -1;
    pgmig_buf_addf(sql,
                   " THEN 0 ELSE 1 END FROM (SELECT (SELECT checksum FROM %s "
                   "WHERE version IS NULL AND event OPERATOR(pg_catalog.<>) "
                   "ALL ('{failed,resolved}') AND name OPERATOR(pg_catalog.=) ",
                   ledger->history);
    if (pgmig_conn_add_literal(conn, entry->name, sql, err) != 0)
        return -1;
    pgmig_buf_adds(sql, " ORDER BY id DESC LIMIT 1) AS checksum) AS newest)");
    return 0;
}

/* The DELETE of a row: 22012 when there is none, which the end of the section
** says with transaction=off. */
static void add_release(const struct pgmig_ledger *ledger,
                        const struct pgmig_job *job, struct pgmig_buf *sql)
{
    bool raises = job->script->sections[job->section].transaction;

    pgmig_buf_addf(sql,
                   "WITH gone AS (DELETE FROM %s WHERE version "
                   "OPERATOR(pg_catalog.=) %s RETURNING 1) "
                   "SELECT pg_catalog.pg_backend_pid()%s FROM gone",
                   ledger->tracking, job->entry.version,
                   raises ? ", 1 OPERATOR(pg_catalog./) pg_catalog.count(*)"
                          : "");
}

int pgmig_claim_add(const struct pgmig_ledger *ledger, struct pgmig_conn *conn,
                    const struct pgmig_job *job, struct pgmig_buf *sql,
                    struct pgmig_error *err)
{
    const struct pgmig_entry *entry = &job->entry;

    if (entry->version == NULL)
        return add_repeatable_claim(ledger, conn, entry, sql, err);
    if (job->direction == PGMIG_DOWN) {
        add_release(ledger, job, sql);
        return 0;
    }
    pgmig_buf_addf(sql, "INSERT INTO %s (version, name) VALUES (%s, ",
                   ledger->tracking, entry->version);
    if (pgmig_conn_add_literal(conn, entry->name, sql, err) != 0)
        return -1;
    pgmig_buf_adds(sql, ") RETURNING pg_catalog.pg_backend_pid()");
    return 0;
}

void pgmig_claim_add_divisor(const struct pgmig_ledger *ledger,
                             const struct pgmig_job *job, bool there,
                             struct pgmig_buf *sql)
{
    if (job->entry.version == NULL)
        return;
    pgmig_buf_addf(sql,
                   " OPERATOR(pg_catalog./) (SELECT CASE pg_catalog.count(*) "
                   "WHEN %d THEN 1 ELSE 0 END FROM %s "
                   "WHERE version OPERATOR(pg_catalog.=) %s)",
                   there ? 1 : 0, ledger->tracking, job->entry.version);
}
