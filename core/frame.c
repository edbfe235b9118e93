/* frame.c -- the SQL around a migration's statements. */
#include "frame.h"

#include <string.h>

#include "ledger.h"

const char pgmig_frame_reset[] =
    "RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; CLOSE ALL; "
    "UNLISTEN *; DEALLOCATE ALL; DISCARD TEMP; "
    "SELECT pg_catalog.pg_advisory_unlock_all(); ";

/* Commits are durable: raised where the database's default is lower. */
static const char durable[] =
    "SELECT pg_catalog.set_config('synchronous_commit', 'on', true) "
    "WHERE pg_catalog.current_setting('synchronous_commit') "
    "IN ('off', 'local', 'remote_write'); ";

/* A killed client's locks go within a second (PostgreSQL 14 on Linux). */
static const char check_client[] =
    "SELECT pg_catalog.set_config('client_connection_check_interval', '1s', "
    "true) WHERE pg_catalog.version() LIKE '%linux%'; ";

static int add(struct pgmig_buf *sql, const char *command)
{
    pgmig_buf_adds(sql, command);
    return 1;
}

static int add_timeout(struct pgmig_buf *sql, const char *scope,
                       const char *setting, const char *value)
{
    if (value == NULL)
        return 0;
    pgmig_buf_addf(sql, "SET %s%s = '%s'; ", scope, setting, value);
    return 1;
}

static const char *directive(const struct pgmig_job *job, const char *key)
{
    return pgmig_script_directive(job->script, job->direction, key);
}

int pgmig_frame_settings(const struct pgmig_job *job, struct pgmig_buf *sql)
{
    return add_timeout(sql, "", "lock_timeout",
                       directive(job, "lock_timeout")) +
           add_timeout(sql, "", "statement_timeout",
                       directive(job, "statement_timeout"));
}

static int add_local_settings(const struct pgmig_job *job,
                              struct pgmig_buf *sql)
{
    const char *lock = directive(job, "lock_timeout");

    return add_timeout(sql, "LOCAL ", "lock_timeout",
                       lock ? lock : job->lock_timeout) +
           add_timeout(sql, "LOCAL ", "statement_timeout",
                       directive(job, "statement_timeout"));
}

int pgmig_frame_open(const struct pgmig_ledger *ledger, struct pgmig_conn *conn,
                     const struct pgmig_job *job, const char *begin,
                     struct pgmig_buf *sql, struct pgmig_error *err)
{
    const char *strings =
        pgmig_conn_parameter(conn, "standard_conforming_strings");
    int commands;

    commands = add(sql, begin);
    pgmig_buf_adds(sql, "; ");
    commands += add_local_settings(job, sql);
    commands += add(sql, durable);
    if (pgmig_conn_server_version(conn) >= 140000)
        commands += add(sql, check_client);
    if (strings != NULL && strcmp(strings, "off") == 0)
        commands += add(sql, "SET LOCAL standard_conforming_strings = on; ");
    if (pgmig_ledger_add_claim(ledger, conn, job, sql, err) != 0)
        return -1;
    return commands;
}

void pgmig_frame_close(const struct pgmig_ledger *ledger,
                       const struct pgmig_job *job, bool dirty,
                       struct pgmig_buf *sql)
{
    if (dirty) {
        /* deferred triggers still see the migration's own settings */
        pgmig_buf_adds(sql, "SET CONSTRAINTS ALL IMMEDIATE; ");
        pgmig_buf_adds(sql, pgmig_frame_reset);
        pgmig_buf_adds(sql, durable);
    }
    if (job->direction == PGMIG_UP)
        pgmig_ledger_add_proof(ledger, job, sql);
    pgmig_buf_adds(sql, "COMMIT");
}
