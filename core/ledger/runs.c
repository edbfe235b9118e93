/*
** runs.c -- the SQL on the runs that are under way.
**
** Nothing is decided by these rows: they tell the next run what one that was
** cut off was about to do (lua/pgmig/state/aftermath.lua).
*/
#include "ledger/runs.h"

#include "wire/conn.h"

void pgmig_runs_add_table(struct pgmig_sql *s)
{
    pgmig_sql_addf(s, "CREATE TABLE IF NOT EXISTS %r (run pg_catalog.text "
                      "PRIMARY KEY, direction pg_catalog.text NOT NULL, "
                      "plan pg_catalog.text NOT NULL, host pg_catalog.text, "
                      "program pg_catalog.text, db_user pg_catalog.text "
                      "NOT NULL DEFAULT session_user, pid INTEGER, "
                      "backend_start pg_catalog.timestamptz, "
                      "server_start pg_catalog.timestamptz, "
                      "started_at pg_catalog.timestamptz NOT NULL "
                      "DEFAULT pg_catalog.now())%;");
}

/* Behind a pooler the next transaction may have another server process: then no
** number is kept. It may be sent twice, when a connection is lost, and is there
** once. */
void pgmig_runs_add_begin(struct pgmig_sql *s, const struct pgmig_entry *entry,
                          const char *plan)
{
    pgmig_sql_addf(
        s,
        "INSERT INTO %r (run, direction, plan, host, program, pid, "
        "backend_start, server_start) SELECT %L, %L, %L, %L, %L, "
        "CASE WHEN a.pid %= %d THEN a.pid END, "
        "a.backend_start, pg_catalog.pg_postmaster_start_time() FROM "
        "pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()) a "
        "ON CONFLICT (run) DO NOTHING%;",
        entry->run, entry->event, plan, entry->host, entry->program,
        pgmig_conn_backend_pid(s->conn));
}

void pgmig_runs_add_end(struct pgmig_sql *s, const char *run)
{
    pgmig_sql_addf(s, "DELETE FROM %r WHERE run %= %L%;", run);
}

/* The columns of the journal's query, type by type, since they are one
** UNION. */
void pgmig_runs_add_list(struct pgmig_sql *s)
{
    pgmig_sql_addf(
        s, "SELECT run, direction, host, 'run'::pg_catalog.text, "
           "NULL::pg_catalog.text, program, plan, NULL::pg_catalog.text, pid, "
           "backend_start::pg_catalog.text, pg_catalog.to_json(started_at) "
           "%#>> '{}', 0::pg_catalog.int8, db_user, "
           "server_start::pg_catalog.text, NULL::pg_catalog.text, "
           "NULL::pg_catalog.text, NULL::pg_catalog.text, "
           "NULL::pg_catalog.bool, NULL::pg_catalog.text, "
           "NULL::pg_catalog.text, NULL::pg_catalog.text, "
           "NULL::pg_catalog.text FROM %r");
}
