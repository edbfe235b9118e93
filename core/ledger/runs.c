/* runs.c -- the SQL on the runs that are under way. */
#include "ledger/runs.h"

#include "wire/conn.h"

void pgmig_runs_add_table(const struct pgmig_ledger *ledger,
                          struct pgmig_buf *sql)
{
    pgmig_buf_addf(sql,
                   " CREATE TABLE IF NOT EXISTS %s (run pg_catalog.text "
                   "PRIMARY KEY, direction pg_catalog.text NOT NULL, "
                   "plan pg_catalog.text NOT NULL, host pg_catalog.text, "
                   "program pg_catalog.text, db_user pg_catalog.text NOT NULL "
                   "DEFAULT session_user, pid INTEGER, "
                   "backend_start pg_catalog.timestamptz, "
                   "server_start pg_catalog.timestamptz, "
                   "started_at pg_catalog.timestamptz NOT NULL "
                   "DEFAULT pg_catalog.now());",
                   ledger->runs);
}

/* Behind a pooler the next transaction may have another server process. */
int pgmig_runs_add_begin(const struct pgmig_ledger *ledger,
                         struct pgmig_conn *conn,
                         const struct pgmig_entry *entry, const char *plan,
                         struct pgmig_buf *sql, struct pgmig_error *err)
{
    const char *const texts[] = {entry->run, entry->event, plan, entry->host,
                                 entry->program};

    pgmig_buf_addf(sql,
                   "INSERT INTO %s (run, direction, plan, host, program, pid, "
                   "backend_start, server_start) SELECT ",
                   ledger->runs);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (pgmig_conn_add_literal(conn, texts[i], sql, err) != 0)
            return -1;
        pgmig_buf_adds(sql, ", ");
    }
    pgmig_buf_addf(
        sql,
        "CASE WHEN a.pid OPERATOR(pg_catalog.=) %d THEN a.pid END, "
        "a.backend_start, pg_catalog.pg_postmaster_start_time() FROM "
        "pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()) a "
        "ON CONFLICT (run) DO NOTHING; ",
        pgmig_conn_backend_pid(conn));
    return 0;
}

int pgmig_runs_add_end(const struct pgmig_ledger *ledger,
                       struct pgmig_conn *conn, const char *run,
                       struct pgmig_buf *sql, struct pgmig_error *err)
{
    pgmig_buf_addf(sql, "DELETE FROM %s WHERE run OPERATOR(pg_catalog.=) ",
                   ledger->runs);
    if (pgmig_conn_add_literal(conn, run, sql, err) != 0)
        return -1;
    pgmig_buf_adds(sql, "; ");
    return 0;
}

void pgmig_runs_add_list(const struct pgmig_ledger *ledger,
                         struct pgmig_buf *sql)
{
    pgmig_buf_addf(
        sql,
        "SELECT run, direction, host, 'run'::pg_catalog.text, "
        "NULL::pg_catalog.text, program, plan, NULL::pg_catalog.text, pid, "
        "backend_start::pg_catalog.text, pg_catalog.to_json(started_at) "
        "OPERATOR(pg_catalog.#>>) '{}', 0::pg_catalog.int8, db_user, "
        "server_start::pg_catalog.text, NULL::pg_catalog.text, "
        "NULL::pg_catalog.text, NULL::pg_catalog.text, "
        "NULL::pg_catalog.bool, NULL::pg_catalog.text, "
        "NULL::pg_catalog.text, NULL::pg_catalog.text, "
        "NULL::pg_catalog.text "
        "FROM %s",
        ledger->runs);
}
