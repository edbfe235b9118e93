/* journal.c -- the SQL on the journal. */
#include "ledger/journal.h"

#include <stdlib.h>
#include <string.h>

#include "wire/conn.h"
#include "base/error.h"
#include "ledger/indexed.h"
#include "ledger/runs.h"
#include "ledger/state.h"
#include "ledger/touched.h"

#define PROVEN "SELECT 1 OPERATOR(pg_catalog./) pg_catalog.count(*) FROM "

/* ---- which row, in which state --------------------------------------- */

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

/* WHERE: the row, if it is this owner's and has this revision. No two states
** of a row, over all attempts, have both in common. */
static int add_where(struct pgmig_conn *conn, const struct pgmig_entry *entry,
                     const char *owner, long revision, struct pgmig_buf *sql,
                     struct pgmig_error *err)
{
    pgmig_buf_adds(sql, " WHERE migration OPERATOR(pg_catalog.=) ");
    if (add_key(conn, entry, sql, err) != 0)
        return -1;
    pgmig_buf_adds(sql, " AND owner OPERATOR(pg_catalog.=) ");
    if (pgmig_conn_add_literal(conn, owner, sql, err) != 0)
        return -1;
    pgmig_buf_addf(sql, " AND revision OPERATOR(pg_catalog.=) %ld", revision);
    return 0;
}

static int add_own(struct pgmig_conn *conn, const struct pgmig_job *job,
                   struct pgmig_buf *sql, struct pgmig_error *err)
{
    return add_where(conn, &job->entry, job->owner, job->revision, sql, err);
}

static void add_next(long revision, struct pgmig_buf *sql)
{
    pgmig_buf_addf(sql, "revision = %ld", revision + 1);
}

/* ---- the claim ------------------------------------------------------- */

static int add_new_row(const struct pgmig_ledger *ledger,
                       struct pgmig_conn *conn, const struct pgmig_job *job,
                       struct pgmig_buf *sql, struct pgmig_error *err)
{
    pgmig_buf_addf(sql,
                   "INSERT INTO %s (migration, direction, owner, state, "
                   "session_known, revision) VALUES (",
                   ledger->journal);
    if (add_key(conn, &job->entry, sql, err) != 0)
        return -1;
    pgmig_buf_addf(sql, ", '%s', ", job->direction == PGMIG_UP ? "up" : "down");
    if (pgmig_conn_add_literal(conn, job->owner, sql, err) != 0)
        return -1;
    pgmig_buf_addf(sql, ", 'ready', true, %d); ", PGMIG_JOURNAL_FIRST);
    return 0;
}

/* Nobody else may have the row: not waited for, since a statement of the file
** that is under way has its own opinion of lock_timeout. */
int pgmig_journal_add_lock(const struct pgmig_ledger *ledger,
                           struct pgmig_conn *conn, const struct pgmig_job *job,
                           struct pgmig_buf *sql, struct pgmig_error *err)
{
    pgmig_buf_addf(sql,
                   "LOCK TABLE %s IN ROW EXCLUSIVE MODE NOWAIT; "
                   "SELECT " PGMIG_ASK_SERVER ", 1 OPERATOR(pg_catalog./) "
                   "pg_catalog.count(*), pg_catalog.set_config('pgmig.left', "
                   "COALESCE(pg_catalog.max(ours.lost), ''), true) "
                   "FROM (SELECT " PGMIG_STATE_LOST " AS lost FROM %s",
                   ledger->journal, ledger->journal);
    if (add_own(conn, job, sql, err) != 0)
        return -1;
    pgmig_buf_adds(sql, " FOR UPDATE NOWAIT) AS ours; ");
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
    int status = job->revision > 0
                     ? pgmig_journal_add_lock(ledger, conn, job, sql, err)
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

/* ---- the session ----------------------------------------------------- */

/* A word for this attempt at this revision. */
static int add_moment(struct pgmig_conn *conn, const struct pgmig_job *job,
                      struct pgmig_buf *sql, struct pgmig_error *err)
{
    struct pgmig_buf moment = {0};
    int status;

    pgmig_buf_addf(&moment, "%s:%ld", job->owner, job->revision);
    status = moment.failed
                 ? pgmig_error_memory(err)
                 : pgmig_conn_add_literal(conn, moment.data, sql, err);
    pgmig_buf_free(&moment);
    return status;
}

/* Add assignments: what was noted, and when. */
static int add_noted(struct pgmig_conn *conn, const struct pgmig_job *job,
                     struct pgmig_buf *sql, struct pgmig_error *err)
{
    pgmig_buf_adds(sql, "session = " PGMIG_STATE_NOTED ", session_of = ");
    return add_moment(conn, job, sql, err);
}

int pgmig_journal_add_session(const struct pgmig_ledger *ledger,
                              struct pgmig_conn *conn,
                              const struct pgmig_job *job,
                              struct pgmig_buf *sql, struct pgmig_error *err)
{
    pgmig_buf_addf(sql, "WITH ours AS (UPDATE %s SET ", ledger->journal);
    add_next(job->revision, sql);
    pgmig_buf_adds(sql, ", base = " PGMIG_STATE_BASE_NOTED
                        ", session_known = true, ");
    if (add_noted(conn, job, sql, err) != 0 ||
        add_own(conn, job, sql, err) != 0)
        return -1;
    pgmig_buf_adds(sql, " RETURNING 1) " PROVEN "ours; ");
    return 0;
}

int pgmig_journal_add_restore(const struct pgmig_ledger *ledger,
                              struct pgmig_conn *conn,
                              const struct pgmig_job *job,
                              struct pgmig_buf *sql, struct pgmig_error *err)
{
    struct pgmig_buf rows = {0};
    int status;

    pgmig_buf_adds(&rows, ledger->journal);
    status = add_own(conn, job, &rows, err);
    if (status == 0 && rows.failed)
        status = pgmig_error_memory(err);
    if (status == 0)
        pgmig_state_add_restore(rows.data, sql);
    pgmig_buf_free(&rows);
    return status;
}

/* ---- statements ------------------------------------------------------ */

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

/* The session that asks. Behind a pooler its server process will not be the
** one that runs the statement, which is found by its text (orphan.lua). */
static void add_session(const struct pgmig_conn *conn, struct pgmig_buf *sql)
{
    pgmig_buf_addf(
        sql,
        "(pid, backend_start, server_start, db_user) = (SELECT CASE WHEN a.pid "
        "OPERATOR(pg_catalog.=) %d THEN a.pid END, a.backend_start, "
        "pg_catalog.pg_postmaster_start_time(), session_user FROM "
        "pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()) a)",
        pgmig_conn_backend_pid(conn));
}

/* Add the SHA-256 of a statement of the file, as a literal. */
static int add_hash(const struct pgmig_job *job, size_t at,
                    struct pgmig_buf *sql, struct pgmig_error *err)
{
    const struct pgmig_statement *st =
        &job->script->sections[job->section].statements[at];
    char hash[65];

    if (pgmig_checksum(job->script->text + st->start, st->end - st->start, hash,
                       err) != 0)
        return -1;
    pgmig_buf_addf(sql, "'%s'", hash);
    return 0;
}

int pgmig_journal_add_running(const struct pgmig_ledger *ledger,
                              struct pgmig_conn *conn,
                              const struct pgmig_job *job, size_t at,
                              const char *text,
                              const struct pgmig_statement *st, bool bare,
                              struct pgmig_buf *sql, struct pgmig_error *err)
{
    struct pgmig_range whole = {st->start, st->end};

    pgmig_buf_addf(sql, "WITH ours AS (UPDATE %s SET ", ledger->journal);
    add_next(job->revision, sql);
    pgmig_buf_adds(sql, ", state = 'running', ");
    add_session(conn, sql);
    pgmig_buf_adds(sql, ", running = ");
    if (add_hash(job, at, sql, err) != 0)
        return -1;
    pgmig_buf_adds(sql, ", statement = ");
    if (add_range(conn, text, whole, sql, err) != 0)
        return -1;
    pgmig_buf_adds(sql, ", ");
    pgmig_indexed_add_columns(sql);
    if (add_own(conn, job, sql, err) != 0)
        return -1;
    pgmig_buf_adds(sql, " RETURNING session::pg_catalog.text "
                        "OPERATOR(pg_catalog.<>) base::pg_catalog.text "
                        "AS differs) SELECT 1 OPERATOR(pg_catalog./) "
                        "pg_catalog.count(*)");
    if (bare) /* the logarithm of zero raises 2201E */
        pgmig_buf_adds(sql, ", pg_catalog.ln(CASE WHEN pg_catalog.bool_or("
                            "differs) THEN 0 ELSE 1 END"
                            "::pg_catalog.float8)");
    pgmig_buf_adds(sql, " FROM ours; ");
    return 0;
}

static int add_session_left(struct pgmig_conn *conn,
                            const struct pgmig_job *job, struct pgmig_done done,
                            struct pgmig_buf *sql, struct pgmig_error *err)
{
    if (done.unseen)
        return 0;
    pgmig_buf_adds(sql, ", ");
    if (add_noted(conn, job, sql, err) != 0)
        return -1;
    pgmig_buf_addf(sql, ", session_known = %s",
                   done.within ? PGMIG_STATE_UNCHANGED : "true");
    if (done.elsewhere)
        pgmig_buf_adds(sql, ", base = " PGMIG_STATE_BASE_NOTED);
    return 0;
}

int pgmig_journal_add_done(const struct pgmig_ledger *ledger,
                           struct pgmig_conn *conn, const struct pgmig_job *job,
                           struct pgmig_done done, struct pgmig_buf *sql,
                           struct pgmig_error *err)
{
    pgmig_buf_addf(sql, "WITH ours AS (UPDATE %s SET ", ledger->journal);
    add_next(job->revision, sql);
    if (pgmig_touched_add_column(ledger, conn, done.within, done.alone, sql,
                                 err) != 0 ||
        add_session_left(conn, job, done, sql, err) != 0)
        return -1;
    pgmig_buf_adds(sql, ", state = 'ready', running = NULL, statement = NULL, "
                        "done = pg_catalog.array_cat(done, ARRAY[");
    for (size_t i = done.first; i <= done.last; i++) {
        if (i > done.first)
            pgmig_buf_adds(sql, ", ");
        if (add_hash(job, i, sql, err) != 0)
            return -1;
    }
    pgmig_buf_adds(sql, "]::pg_catalog.text[])");
    if (add_own(conn, job, sql, err) != 0)
        return -1;
    pgmig_buf_adds(sql, " RETURNING 1) " PROVEN "ours; ");
    return 0;
}

/* Also where the row has another owner by now, who waits for this. */
int pgmig_journal_add_known(const struct pgmig_ledger *ledger,
                            struct pgmig_conn *conn,
                            const struct pgmig_job *job, struct pgmig_buf *sql,
                            struct pgmig_error *err)
{
    pgmig_buf_addf(
        sql,
        "UPDATE %s SET session_known = true, session = " PGMIG_STATE_NOTED
        " WHERE migration OPERATOR(pg_catalog.=) ",
        ledger->journal);
    if (add_key(conn, &job->entry, sql, err) != 0)
        return -1;
    pgmig_buf_adds(sql, " AND session_of OPERATOR(pg_catalog.=) ");
    if (add_moment(conn, job, sql, err) != 0)
        return -1;
    pgmig_buf_adds(sql, " AND NOT (session_known AND session::pg_catalog.text "
                        "OPERATOR(pg_catalog.=) "
                        "pg_catalog.current_setting('pgmig.state')); ");
    return 0;
}

int pgmig_journal_add_failed(const struct pgmig_ledger *ledger,
                             struct pgmig_conn *conn,
                             const struct pgmig_job *job, bool partial,
                             struct pgmig_buf *sql, struct pgmig_error *err)
{
    pgmig_buf_addf(sql, "UPDATE %s SET ", ledger->journal);
    add_next(job->revision, sql);
    pgmig_buf_addf(sql, ", state = '%s'", partial ? "partial" : "failed");
    return add_own(conn, job, sql, err);
}

int pgmig_journal_add_end(const struct pgmig_ledger *ledger,
                          struct pgmig_conn *conn, const struct pgmig_job *job,
                          struct pgmig_buf *sql, struct pgmig_error *err)
{
    pgmig_buf_addf(sql, "WITH gone AS (DELETE FROM %s", ledger->journal);
    if (add_own(conn, job, sql, err) != 0)
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
    if (add_own(conn, job, sql, err) != 0)
        return -1;
    pgmig_buf_adds(sql, ")");
    return 0;
}

/* ---- rows of others -------------------------------------------------- */

static void add_columns(const struct pgmig_ledger *ledger,
                        struct pgmig_buf *sql)
{
    pgmig_buf_adds(sql,
                   "migration, direction, owner, state, "
                   "done::pg_catalog.text AS done, running, statement, "
                   "existed::pg_catalog.text AS existed, pid, "
                   "backend_start::pg_catalog.text AS backend_start, "
                   "pg_catalog.to_json(started_at) OPERATOR(pg_catalog.#>>) "
                   "'{}' AS started_at");
    if (ledger->format < 3)
        return;
    pgmig_buf_adds(sql, ", revision, db_user, "
                        "server_start::pg_catalog.text AS server_start, "
                        "relation::pg_catalog.text AS relation, "
                        "target::pg_catalog.text AS target, "
                        "invalid::pg_catalog.text AS invalid, "
                        "session_known, " PGMIG_STATE_ROLE
                        " AS role, " PGMIG_STATE_PATH
                        " AS path, " PGMIG_STATE_LOST " AS lost, ");
    pgmig_touched_add_gone(sql);
    pgmig_buf_adds(sql, " AS gone");
}

/* Whoever comes next has to wait for what the new owner does about a statement
** that was under way. */
int pgmig_journal_add_take(const struct pgmig_ledger *ledger,
                           struct pgmig_conn *conn,
                           const struct pgmig_entry *entry, const char *by,
                           struct pgmig_buf *sql, struct pgmig_error *err)
{
    pgmig_buf_addf(sql, "UPDATE %s SET ", ledger->journal);
    add_next(entry->revision, sql);
    pgmig_buf_adds(sql, ", ");
    add_session(conn, sql);
    pgmig_buf_adds(sql, ", owner = ");
    if (pgmig_conn_add_literal(conn, by, sql, err) != 0 ||
        add_where(conn, entry, entry->owner, entry->revision, sql, err) != 0)
        return -1;
    pgmig_buf_adds(sql, " RETURNING ");
    add_columns(ledger, sql);
    return 0;
}

int pgmig_journal_add_set_aside(const struct pgmig_ledger *ledger,
                                struct pgmig_conn *conn,
                                const struct pgmig_entry *entry,
                                const struct pgmig_debris *index,
                                struct pgmig_buf *sql, struct pgmig_error *err)
{
    pgmig_buf_addf(sql, PROVEN "(SELECT 1 FROM %s", ledger->journal);
    if (add_where(conn, entry, entry->owner, entry->revision, sql, err) != 0)
        return -1;
    pgmig_buf_adds(sql, " FOR UPDATE) AS ours; ");
    if (index->role != NULL) {
        pgmig_buf_adds(sql, "SELECT pg_catalog.set_config('role', ");
        if (pgmig_conn_add_literal(conn, index->role, sql, err) != 0)
            return -1;
        pgmig_buf_adds(sql, ", true); ");
    }
    pgmig_buf_addf(sql,
                   "ALTER INDEX IF EXISTS %s RENAME TO %s; "
                   "SELECT pg_catalog.ln(pg_catalog.count(*)::pg_catalog.float8"
                   ") FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c "
                   "ON c.oid OPERATOR(pg_catalog.=) i.indexrelid "
                   "WHERE NOT i.indisvalid AND c.relname "
                   "OPERATOR(pg_catalog.=) '%s'::pg_catalog.name "
                   "AND c.oid OPERATOR(pg_catalog.=) ",
                   index->name, index->set_aside, index->set_aside);
    if (pgmig_conn_add_literal(conn, index->oid, sql, err) != 0)
        return -1;
    pgmig_buf_adds(sql, "::pg_catalog.oid");
    return 0;
}

int pgmig_journal_add_change(const struct pgmig_ledger *ledger,
                             struct pgmig_conn *conn,
                             enum pgmig_ledger_change change,
                             const struct pgmig_entry *entry,
                             struct pgmig_buf *sql, struct pgmig_error *err)
{
    static const char *const sets[] = {
        [PGMIG_CHANGE_DONE] = ", done = pg_catalog.array_append(done, running),"
                              " running = NULL, statement = NULL, "
                              "state = 'ready'",
        [PGMIG_CHANGE_REDO] = ", running = NULL, statement = NULL, "
                              "state = 'failed', session_known = true, "
                              "session = " PGMIG_STATE_WITHOUT_LOST};

    pgmig_buf_adds(sql, " WITH changed AS (");
    if (change == PGMIG_CHANGE_RESTART) {
        pgmig_buf_addf(sql, "DELETE FROM %s", ledger->journal);
    } else {
        pgmig_buf_addf(sql, "UPDATE %s SET ", ledger->journal);
        add_next(entry->revision, sql);
        pgmig_buf_adds(sql, sets[change]);
        /* what is gone is no harm, somebody says: the rest is still needed */
        if (change == PGMIG_CHANGE_REDO &&
            pgmig_touched_add_column(ledger, conn, false, false, sql, err) != 0)
            return -1;
    }
    if (add_where(conn, entry, entry->owner, entry->revision, sql, err) != 0)
        return -1;
    pgmig_buf_adds(sql, " RETURNING 1) " PROVEN "changed; ");
    return 0;
}

void pgmig_journal_add_list(const struct pgmig_ledger *ledger,
                            struct pgmig_buf *sql)
{
    pgmig_buf_adds(sql, "SELECT ");
    add_columns(ledger, sql);
    pgmig_buf_addf(sql, " FROM %s AS j", ledger->journal);
    if (ledger->format >= 3 && ledger->has_runs) {
        pgmig_buf_adds(sql, " UNION ALL ");
        pgmig_runs_add_list(ledger, sql);
    }
}
