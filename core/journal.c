/* journal.c -- the SQL on the journal. */
#include "journal.h"

#include <stdlib.h>
#include <string.h>

#include "conn.h"
#include "error.h"

#define PROVEN "SELECT 1 OPERATOR(pg_catalog./) pg_catalog.count(*) FROM "

/* The key: the version, or for a repeatable migration its name. */
static int add_key(struct pgmig_conn *conn, const struct pgmig_entry *entry,
                   struct pgmig_buf *sql, struct pgmig_error *err)
{
    struct pgmig_buf key = {0};
    int status;

    if (entry->version != NULL)
        pgmig_buf_adds(&key, entry->version);
    else
        pgmig_buf_addf(&key, "repeatable:%s", entry->name);
    status = key.failed ? pgmig_error_memory(err)
                        : pgmig_conn_add_literal(conn, key.data, sql, err);
    pgmig_buf_free(&key);
    return status;
}

/* WHERE: the job's row, as long as it is this owner's. */
static int add_where(struct pgmig_conn *conn, const struct pgmig_job *job,
                     const char *owner, struct pgmig_buf *sql,
                     struct pgmig_error *err)
{
    pgmig_buf_adds(sql, " WHERE migration OPERATOR(pg_catalog.=) ");
    if (add_key(conn, &job->entry, sql, err) != 0)
        return -1;
    pgmig_buf_adds(sql, " AND owner OPERATOR(pg_catalog.=) ");
    return pgmig_conn_add_literal(conn, owner, sql, err);
}

static int add_new_row(const struct pgmig_ledger *ledger,
                       struct pgmig_conn *conn, const struct pgmig_job *job,
                       struct pgmig_buf *sql, struct pgmig_error *err)
{
    pgmig_buf_addf(sql,
                   "INSERT INTO %s (migration, direction, owner, state) "
                   "VALUES (",
                   ledger->journal);
    if (add_key(conn, &job->entry, sql, err) != 0)
        return -1;
    pgmig_buf_addf(sql, ", '%s', ", job->direction == PGMIG_UP ? "up" : "down");
    if (pgmig_conn_add_literal(conn, job->owner, sql, err) != 0)
        return -1;
    pgmig_buf_adds(sql, ", 'ready'); ");
    return 0;
}

static int add_taken_row(const struct pgmig_ledger *ledger,
                         struct pgmig_conn *conn, const struct pgmig_job *job,
                         struct pgmig_buf *sql, struct pgmig_error *err)
{
    pgmig_buf_addf(sql,
                   "WITH taken AS (UPDATE %s SET owner = ", ledger->journal);
    if (pgmig_conn_add_literal(conn, job->owner, sql, err) != 0)
        return -1;
    pgmig_buf_addf(sql,
                   ", state = 'ready', running = NULL, statement = NULL, "
                   "done = done[1:%zu]",
                   job->done);
    if (add_where(conn, job, job->taken_from, sql, err) != 0)
        return -1;
    pgmig_buf_addf(sql, " RETURNING 1) " PROVEN "taken; ");
    return 0;
}

/*
** The proof comes after the row, as a statement of its own: where another
** run's end was waited for, its snapshot shows what that run has committed.
*/
int pgmig_journal_add_claim(const struct pgmig_ledger *ledger,
                            struct pgmig_conn *conn,
                            const struct pgmig_job *job, struct pgmig_buf *sql,
                            struct pgmig_error *err)
{
    int status = job->taken_from ? add_taken_row(ledger, conn, job, sql, err)
                                 : add_new_row(ledger, conn, job, sql, err);

    if (status != 0)
        return -1;
    pgmig_buf_adds(sql, "SELECT 1");
    if (pgmig_claim_add_divisor(ledger, conn, job, job->direction == PGMIG_DOWN,
                                sql, err) != 0)
        return -1;
    pgmig_buf_adds(sql, "; COMMIT; SELECT " PGMIG_ASK_SERVER);
    return 0;
}

int pgmig_journal_add_lock(const struct pgmig_ledger *ledger,
                           struct pgmig_conn *conn, const struct pgmig_job *job,
                           struct pgmig_buf *sql, struct pgmig_error *err)
{
    pgmig_buf_addf(sql, "WITH ours AS (UPDATE %s SET state = 'ready'",
                   ledger->journal);
    if (add_where(conn, job, job->owner, sql, err) != 0)
        return -1;
    pgmig_buf_adds(sql, " RETURNING 1) SELECT " PGMIG_ASK_SERVER ", "
                        "1 OPERATOR(pg_catalog./) pg_catalog.count(*) "
                        "FROM ours");
    return 0;
}

static int add_range(struct pgmig_conn *conn, const char *text,
                     struct pgmig_range range, struct pgmig_buf *sql,
                     struct pgmig_error *err)
{
    char *quoted = pgmig_conn_quote_literal(conn, text + range.start,
                                            range.end - range.start, err);

    if (quoted == NULL)
        return -1;
    pgmig_buf_adds(sql, quoted);
    free(quoted);
    return 0;
}

/* The indexes that the statement's table has now: what it adds to them, or
** leaves INVALID among them, will be its own. */
static int add_existed(struct pgmig_conn *conn, const char *text,
                       const struct pgmig_index *index, struct pgmig_buf *sql,
                       struct pgmig_error *err)
{
    bool table = index->table.end > index->table.start;

    if (index->action == PGMIG_INDEX_NONE) {
        pgmig_buf_adds(sql, "NULL");
        return 0;
    }
    pgmig_buf_adds(sql, "ARRAY(SELECT i.indexrelid FROM pg_catalog.pg_index i "
                        "WHERE i.indrelid OPERATOR(pg_catalog.=) ");
    if (table)
        pgmig_buf_adds(sql, "pg_catalog.to_regclass(");
    else
        pgmig_buf_adds(sql, "(SELECT t.indrelid FROM pg_catalog.pg_index t "
                            "WHERE t.indexrelid OPERATOR(pg_catalog.=) "
                            "pg_catalog.to_regclass(");
    if (add_range(conn, text, table ? index->table : index->name, sql, err))
        return -1;
    pgmig_buf_adds(sql, table ? "))" : ")))");
    return 0;
}

int pgmig_journal_add_running(const struct pgmig_ledger *ledger,
                              struct pgmig_conn *conn,
                              const struct pgmig_job *job,
                              const struct pgmig_statement *st,
                              struct pgmig_buf *sql, struct pgmig_error *err)
{
    const char *text = job->script->text;
    struct pgmig_range whole = {st->start, st->end};
    struct pgmig_index index;
    char hash[65];

    pgmig_index_read(text, st, &index);
    if (pgmig_checksum(text + st->start, st->end - st->start, hash, err) != 0)
        return -1;
    pgmig_buf_addf(sql,
                   "WITH ours AS (UPDATE %s SET state = 'running', "
                   "running = '%s', "
                   "pid = CASE WHEN pg_catalog.pg_backend_pid() "
                   "OPERATOR(pg_catalog.=) %d THEN %d "
                   "END, backend_start = (SELECT a.backend_start FROM "
                   "pg_catalog.pg_stat_activity a "
                   "WHERE a.pid OPERATOR(pg_catalog.=) "
                   "pg_catalog.pg_backend_pid()), statement = ",
                   ledger->journal, hash, pgmig_conn_backend_pid(conn),
                   pgmig_conn_backend_pid(conn));
    if (add_range(conn, text, whole, sql, err) != 0)
        return -1;
    pgmig_buf_adds(sql, ", existed = ");
    if (add_existed(conn, text, &index, sql, err) != 0 ||
        add_where(conn, job, job->owner, sql, err) != 0)
        return -1;
    pgmig_buf_adds(sql, " RETURNING 1) " PROVEN "ours; ");
    return 0;
}

int pgmig_journal_add_done(const struct pgmig_ledger *ledger,
                           struct pgmig_conn *conn, const struct pgmig_job *job,
                           size_t first, size_t last, struct pgmig_buf *sql,
                           struct pgmig_error *err)
{
    const struct pgmig_section *section = &job->script->sections[job->section];
    char hash[65];

    pgmig_buf_addf(sql,
                   "WITH ours AS (UPDATE %s SET state = 'ready', "
                   "running = NULL, statement = NULL, done = "
                   "done OPERATOR(pg_catalog.||) ARRAY[",
                   ledger->journal);
    for (size_t i = first; i <= last; i++) {
        const struct pgmig_statement *st = &section->statements[i];

        if (pgmig_checksum(job->script->text + st->start, st->end - st->start,
                           hash, err) != 0)
            return -1;
        pgmig_buf_addf(sql, "%s'%s'", i > first ? ", " : "", hash);
    }
    pgmig_buf_adds(sql, "]::pg_catalog.text[]");
    if (add_where(conn, job, job->owner, sql, err) != 0)
        return -1;
    pgmig_buf_adds(sql, " RETURNING 1) " PROVEN "ours; ");
    return 0;
}

int pgmig_journal_add_failed(const struct pgmig_ledger *ledger,
                             struct pgmig_conn *conn,
                             const struct pgmig_job *job, struct pgmig_buf *sql,
                             struct pgmig_error *err)
{
    pgmig_buf_addf(sql, "UPDATE %s SET state = 'failed'", ledger->journal);
    return add_where(conn, job, job->owner, sql, err);
}

int pgmig_journal_add_end(const struct pgmig_ledger *ledger,
                          struct pgmig_conn *conn, const struct pgmig_job *job,
                          struct pgmig_buf *sql, struct pgmig_error *err)
{
    pgmig_buf_addf(sql, "WITH gone AS (DELETE FROM %s", ledger->journal);
    if (add_where(conn, job, job->owner, sql, err) != 0)
        return -1;
    pgmig_buf_adds(sql, " RETURNING 1) " PROVEN "gone; ");
    return 0;
}

int pgmig_journal_add_begun(const struct pgmig_ledger *ledger,
                            struct pgmig_conn *conn,
                            const struct pgmig_job *job, struct pgmig_buf *sql,
                            struct pgmig_error *err)
{
    pgmig_buf_addf(sql, "(SELECT started_at FROM %s", ledger->journal);
    if (add_where(conn, job, job->owner, sql, err) != 0)
        return -1;
    pgmig_buf_adds(sql, ")");
    return 0;
}

int pgmig_journal_add_change(const struct pgmig_ledger *ledger,
                             struct pgmig_conn *conn,
                             enum pgmig_ledger_change change,
                             const struct pgmig_entry *entry,
                             struct pgmig_buf *sql, struct pgmig_error *err)
{
    static const char *const changes[][2] = {
        [PGMIG_CHANGE_DONE] = {"UPDATE",
                               "SET done = pg_catalog.array_append(done, "
                               "running), running = NULL, "
                               "statement = NULL, state = 'ready' "
                               "WHERE running IS NOT NULL AND"},
        [PGMIG_CHANGE_REDO] = {"UPDATE",
                               "SET running = NULL, statement = NULL, "
                               "state = 'failed' "
                               "WHERE running IS NOT NULL AND"},
        [PGMIG_CHANGE_RESTART] = {"DELETE FROM", "WHERE"}};

    pgmig_buf_addf(sql, " WITH changed AS (%s %s %s", changes[change][0],
                   ledger->journal, changes[change][1]);
    pgmig_buf_adds(sql, " migration OPERATOR(pg_catalog.=) ");
    if (add_key(conn, entry, sql, err) != 0)
        return -1;
    pgmig_buf_adds(sql, " RETURNING 1) " PROVEN "changed; ");
    return 0;
}

void pgmig_journal_add_list(const struct pgmig_ledger *ledger,
                            struct pgmig_buf *sql)
{
    pgmig_buf_addf(
        sql,
        "SELECT migration, direction, owner, state, "
        "done::pg_catalog.text AS done, running, statement, "
        "existed::pg_catalog.text AS existed, pid, "
        "backend_start::pg_catalog.text AS backend_start, "
        "pg_catalog.to_json(started_at) OPERATOR(pg_catalog.#>>) '{}' "
        "AS started_at FROM %s AS j ORDER BY migration",
        ledger->journal);
}
