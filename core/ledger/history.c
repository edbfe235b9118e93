/* history.c -- the history: one row for each event, never changed. */
#include <string.h>

#include "wire/conn.h"
#include "base/error.h"
#include "ledger/ledger.h"
#include "ledger/runs.h"

/*
** Format n is what the steps 1 to n make, of the history and, from 2, of the
** journal; a new format is a step more. The default of `format` tells which one
** they have, and each row of the history which one it was written in. A journal
** that is gone is made by all of its steps.
*/
static const char step_1[] =
    " CREATE TABLE IF NOT EXISTS %s (id BIGINT GENERATED ALWAYS AS IDENTITY "
    "PRIMARY KEY,"
    " format INTEGER NOT NULL DEFAULT 1, event pg_catalog.text NOT NULL,"
    " version NUMERIC, name pg_catalog.text NOT NULL,"
    " checksum pg_catalog.text, started_at pg_catalog.timestamptz NOT NULL,"
    " finished_at pg_catalog.timestamptz NOT NULL"
    "  DEFAULT pg_catalog.clock_timestamp(),"
    " db_user pg_catalog.text NOT NULL DEFAULT session_user,"
    " host pg_catalog.text, program pg_catalog.text,"
    " message pg_catalog.text);";
static const char step_2[] =
    " ALTER TABLE %s ADD COLUMN IF NOT EXISTS run pg_catalog.text,"
    " ALTER COLUMN format SET DEFAULT 2;";
static const char step_3[] =
    " ALTER TABLE %s ADD COLUMN IF NOT EXISTS sqlstate pg_catalog.text,"
    " ADD COLUMN IF NOT EXISTS detail pg_catalog.text,"
    " ADD COLUMN IF NOT EXISTS file pg_catalog.text,"
    " ADD COLUMN IF NOT EXISTS line INTEGER,"
    " ADD COLUMN IF NOT EXISTS \"column\" INTEGER,"
    " ALTER COLUMN format SET DEFAULT 3;";
static const char journal_step_2[] =
    " CREATE TABLE IF NOT EXISTS %s (migration pg_catalog.text PRIMARY KEY,"
    " direction pg_catalog.text NOT NULL, owner pg_catalog.text NOT NULL,"
    " state pg_catalog.text NOT NULL,"
    " done pg_catalog.text[] NOT NULL DEFAULT '{}', running pg_catalog.text,"
    " statement pg_catalog.text, existed pg_catalog.oid[], pid INTEGER,"
    " backend_start pg_catalog.timestamptz,"
    " started_at pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now());";
static const char journal_step_3[] =
    " ALTER TABLE %s"
    " ADD COLUMN IF NOT EXISTS revision BIGINT NOT NULL DEFAULT 0,"
    " ADD COLUMN IF NOT EXISTS server_start pg_catalog.timestamptz,"
    " ADD COLUMN IF NOT EXISTS db_user pg_catalog.text,"
    " ADD COLUMN IF NOT EXISTS relation pg_catalog.oid,"
    " ADD COLUMN IF NOT EXISTS target pg_catalog.oid,"
    " ADD COLUMN IF NOT EXISTS invalid pg_catalog.oid[],"
    " ADD COLUMN IF NOT EXISTS base pg_catalog.json,"
    " ADD COLUMN IF NOT EXISTS session pg_catalog.json,"
    " ADD COLUMN IF NOT EXISTS session_known BOOLEAN,"
    " ADD COLUMN IF NOT EXISTS session_of pg_catalog.text,"
    " ADD COLUMN IF NOT EXISTS touched pg_catalog.json;";

void pgmig_history_add_tables(const struct pgmig_ledger *ledger,
                              struct pgmig_buf *sql)
{
    int journal = ledger->journaled ? ledger->format : 0;

    if (ledger->format < 1)
        pgmig_buf_addf(sql, step_1, ledger->history);
    if (ledger->format < 2)
        pgmig_buf_addf(sql, step_2, ledger->history);
    if (ledger->format < 3)
        pgmig_buf_addf(sql, step_3, ledger->history);
    if (journal < 2)
        pgmig_buf_addf(sql, journal_step_2, ledger->journal);
    if (journal < 3)
        pgmig_buf_addf(sql, journal_step_3, ledger->journal);
    if (!ledger->has_runs)
        pgmig_runs_add_table(ledger, sql);
}

/* Nothing is written unless it is behind. Who may not set it is not told
** here: an INSERT still may work. */
static const char advance[] =
    "SELECT pg_catalog.setval(s.id, h.last) FROM"
    " (SELECT pg_catalog.max(id) AS last FROM %s) AS h,"
    " (SELECT pg_catalog.pg_get_serial_sequence(%s, 'id')::pg_catalog.regclass"
    " AS id) AS s WHERE CASE WHEN"
    " pg_catalog.has_sequence_privilege(s.id::pg_catalog.oid, 'UPDATE') AND"
    " pg_catalog.has_sequence_privilege(s.id::pg_catalog.oid, 'USAGE') THEN"
    " h.last OPERATOR(pg_catalog.>)"
    " COALESCE(pg_catalog.pg_sequence_last_value(s.id), 0) ELSE false END";

int pgmig_history_add_advance(const struct pgmig_ledger *ledger,
                              struct pgmig_conn *conn, struct pgmig_buf *sql,
                              struct pgmig_error *err)
{
    struct pgmig_buf name = {0};
    int status = pgmig_conn_add_literal(conn, ledger->history, &name, err);

    if (status == 0 && name.failed)
        status = pgmig_error_memory(err);
    if (status == 0)
        pgmig_buf_addf(sql, advance, ledger->history, name.data);
    pgmig_buf_free(&name);
    return status;
}

static void add_begun(const struct pgmig_entry *entry, const char *begun,
                      struct pgmig_buf *sql)
{
    if (begun != NULL) {
        pgmig_buf_addf(sql, ", COALESCE(%s, pg_catalog.now())", begun);
        return;
    }
    pgmig_buf_adds(sql, ", pg_catalog.now()");
    if (entry->seconds > 0)
        pgmig_buf_addf(sql,
                       " OPERATOR(pg_catalog.-) "
                       "pg_catalog.make_interval(secs => %.6f)",
                       entry->seconds);
}

/* The columns are INTEGER: a line further down a file is not kept. */
static void add_number(int64_t n, struct pgmig_buf *sql)
{
    if (n > 0 && n <= INT32_MAX)
        pgmig_buf_addf(sql, "%d, ", (int)n);
    else
        pgmig_buf_adds(sql, "NULL, ");
}

/* What only a failure has. */
#define PLACE_COLUMNS "sqlstate, detail, file, line, \"column\", "

static int add_place(struct pgmig_conn *conn, const struct pgmig_entry *entry,
                     struct pgmig_buf *sql, struct pgmig_error *err)
{
    const char *const texts[] = {entry->sqlstate, entry->detail, entry->file};

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (pgmig_conn_add_literal(conn, texts[i], sql, err) != 0)
            return -1;
        pgmig_buf_adds(sql, ", ");
    }
    add_number(entry->line, sql);
    add_number(entry->column, sql);
    return 0;
}

static int add_row(const struct pgmig_ledger *ledger, struct pgmig_conn *conn,
                   const struct pgmig_entry *entry, const char *begun,
                   struct pgmig_buf *sql, struct pgmig_error *err)
{
    bool placed = entry->sqlstate || entry->detail || entry->file;
    const char *const texts[] = {entry->event,  entry->name,    entry->checksum,
                                 entry->host,   entry->program, entry->run,
                                 entry->message};

    pgmig_buf_addf(sql,
                   "INSERT INTO %s (%sversion, event, name, checksum, host, "
                   "program, run, message, started_at, format) VALUES (",
                   ledger->history, placed ? PLACE_COLUMNS : "");
    if (placed && add_place(conn, entry, sql, err) != 0)
        return -1;
    pgmig_buf_adds(sql, entry->version ? entry->version : "NULL");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        pgmig_buf_adds(sql, ", ");
        if (pgmig_conn_add_literal(conn, texts[i], sql, err) != 0)
            return -1;
    }
    add_begun(entry, begun, sql);
    pgmig_buf_addf(sql, ", %d", PGMIG_HISTORY_FORMAT);
    return 0;
}

int pgmig_history_add(const struct pgmig_ledger *ledger,
                      struct pgmig_conn *conn, const struct pgmig_entry *entry,
                      struct pgmig_buf *sql, struct pgmig_error *err)
{
    int status = add_row(ledger, conn, entry, NULL, sql, err);

    pgmig_buf_adds(sql, "); ");
    return status;
}

void pgmig_history_add_unlock(const struct pgmig_job *job,
                              struct pgmig_buf *sql)
{
    if (job->session.brief != NULL)
        pgmig_buf_adds(sql, ", pg_catalog.pg_advisory_unlock_all()");
}

int pgmig_history_add_proven(const struct pgmig_ledger *ledger,
                             struct pgmig_conn *conn,
                             const struct pgmig_job *job, const char *begun,
                             struct pgmig_buf *sql, struct pgmig_error *err)
{
    int status = add_row(ledger, conn, &job->entry, begun, sql, err);

    if (status == 0)
        status = pgmig_claim_add_divisor(ledger, conn, job,
                                         job->direction == PGMIG_UP, sql, err);
    pgmig_buf_adds(sql, ") RETURNING pg_catalog.date_part('epoch', finished_at "
                        "OPERATOR(pg_catalog.-) started_at) AS " PGMIG_SECONDS);
    pgmig_history_add_unlock(job, sql);
    pgmig_buf_adds(sql, "; ");
    return status;
}

/* The events in their order, of failures the last one of each migration. To
** sort and group all of ten thousand would take the server ten times longer;
** but failures may be tried again and again. */
void pgmig_history_add_marks(const struct pgmig_ledger *ledger,
                             struct pgmig_buf *sql)
{
    pgmig_buf_addf(
        sql,
        "SELECT COALESCE(version::pg_catalog.text, "
        "pg_catalog.concat('repeatable:', name)) AS key, event, "
        "checksum, CASE WHEN event OPERATOR(pg_catalog.=) "
        "ANY (" PGMIG_PASSING_EVENTS ") THEN message END AS message, "
        "%s AS run, CASE WHEN event OPERATOR(pg_catalog.=) "
        "ANY (" PGMIG_PASSING_EVENTS ") OR version IS NULL "
        "THEN pg_catalog.to_json(finished_at) OPERATOR(pg_catalog.#>>) '{}' "
        "END AS at FROM %s AS h "
        "WHERE event OPERATOR(pg_catalog.<>) ALL (" PGMIG_PASSING_EVENTS ") "
        "OR id OPERATOR(pg_catalog.=) ANY (SELECT pg_catalog.max(id) FROM %s "
        "WHERE event OPERATOR(pg_catalog.=) ANY (" PGMIG_PASSING_EVENTS ") "
        "GROUP BY version, CASE WHEN version IS NULL THEN name END) "
        "ORDER BY h.id",
        ledger->format >= 2 ? "run" : "NULL::pg_catalog.text", ledger->history,
        ledger->history);
}

void pgmig_history_add_list(const struct pgmig_ledger *ledger,
                            const char *limit, struct pgmig_buf *sql)
{
    pgmig_buf_addf(
        sql,
        "SELECT event, version::pg_catalog.text AS id, name, checksum, "
        "pg_catalog.to_json(started_at) OPERATOR(pg_catalog.#>>) '{}' "
        "AS started_at, "
        "pg_catalog.to_json(finished_at) OPERATOR(pg_catalog.#>>) '{}' "
        "AS finished_at, pg_catalog.date_part('epoch', "
        "finished_at OPERATOR(pg_catalog.-) started_at) AS duration, "
        "db_user, host, program, %s AS run, message%s FROM (SELECT * FROM %s "
        "ORDER BY id DESC LIMIT %s) AS h ORDER BY h.id",
        ledger->format >= 2 ? "run" : "NULL::pg_catalog.text",
        ledger->format >= 3 ? ", sqlstate, detail, file, line, \"column\"" : "",
        ledger->history, limit);
}
