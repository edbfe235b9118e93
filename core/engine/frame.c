/* frame.c -- the SQL around a migration's statements. */
#include "engine/frame.h"

#include <stdio.h>
#include <string.h>

#include "wire/conn.h"
#include "base/error.h"
#include "ledger/journal.h"
#include "ledger/runs.h"

void pgmig_frame_add_reset(const struct pgmig_job *job, struct pgmig_buf *sql)
{
    static const char to_defaults[] =
        "RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; CLOSE ALL; "
        "UNLISTEN *; DEALLOCATE ALL; DISCARD TEMP; DISCARD SEQUENCES; "
        "SELECT pg_catalog.pg_advisory_unlock_all(); ";

    pgmig_buf_adds(sql, job->session.reset ? job->session.reset : to_defaults);
}

static int add_setting(struct pgmig_conn *conn, struct pgmig_buf *sql,
                       const char *scope, const char *setting,
                       const char *value)
{
    struct pgmig_error why = {0};

    if (value == NULL)
        return 0;
    pgmig_buf_addf(sql, "SET %s%s = ", scope, setting);
    if (pgmig_conn_add_literal(conn, value, sql, &why) != 0)
        sql->failed = true; /* of bytes that no file or option gets past */
    pgmig_error_clear(&why);
    pgmig_buf_adds(sql, "; ");
    return 1;
}

/* A time that was checked before, in milliseconds: a server before PostgreSQL
** 12 knows neither fractions nor all of the units. */
static const char *write_time(const char *value, char out[PGMIG_TIME_SIZE])
{
    bool has_unit;
    int ms = 0;

    if (value == NULL)
        return NULL;
    (void)pgmig_duration_setting(value, strlen(value), &ms, &has_unit);
    snprintf(out, PGMIG_TIME_SIZE, "%dms", ms);
    return out;
}

static int add_time(struct pgmig_conn *conn, struct pgmig_buf *sql,
                    const char *scope, const char *setting, const char *value)
{
    char text[PGMIG_TIME_SIZE];

    return add_setting(conn, sql, scope, setting, write_time(value, text));
}

const char *pgmig_frame_lock_timeout(const struct pgmig_job *job,
                                     char out[PGMIG_TIME_SIZE])
{
    return write_time(job->lock_timeout, out);
}

/* A killed client's locks go within a second (PostgreSQL 14 on Linux), those
** of a machine that vanished within half a minute. */
static int add_check_client(const struct pgmig_ledger *ledger,
                            struct pgmig_conn *conn, const char *scope,
                            struct pgmig_buf *sql)
{
    int commands;

    if (pgmig_conn_server_version(conn) < 140000 || !ledger->on_linux)
        return 0;
    commands =
        add_setting(conn, sql, scope, "client_connection_check_interval", "1s");
    if (!ledger->over_tcp)
        return commands;
    return commands +
           add_setting(conn, sql, scope, "tcp_keepalives_idle", "10") +
           add_setting(conn, sql, scope, "tcp_keepalives_interval", "5") +
           add_setting(conn, sql, scope, "tcp_keepalives_count", "3");
}

static int add(struct pgmig_buf *sql, const char *command)
{
    pgmig_buf_adds(sql, command);
    return 1;
}

static const char *directive(const struct pgmig_job *job, const char *key)
{
    return pgmig_script_directive(job->script, job->direction, key);
}

/* Code of others may take its time in the transaction, and a network, too. */
static int add_patience(const struct pgmig_ledger *ledger,
                        struct pgmig_conn *conn, const char *scope,
                        struct pgmig_buf *sql)
{
    static const char *const limits[] = {"idle_in_transaction_session_timeout",
                                         "transaction_timeout"};
    int commands = 0;

    for (size_t i = 0; ledger->unfit && i < sizeof limits / sizeof *limits; i++)
        if (strstr(ledger->unfit, limits[i]) != NULL)
            commands += add_setting(conn, sql, scope, limits[i], "0");
    return commands;
}

void pgmig_frame_session(const struct pgmig_ledger *ledger,
                         struct pgmig_conn *conn, const struct pgmig_job *job,
                         bool check_client, struct pgmig_buf *sql)
{
    add_time(conn, sql, "", "lock_timeout", directive(job, "lock_timeout"));
    add_time(conn, sql, "", "statement_timeout",
             directive(job, "statement_timeout"));
    if (conn->strings_off)
        add_setting(conn, sql, "", "standard_conforming_strings", "on");
    add_patience(ledger, conn, "", sql);
    if (check_client)
        add_check_client(ledger, conn, "", sql);
}

bool pgmig_frame_is_timed(const struct pgmig_job *job)
{
    return directive(job, "lock_timeout") != NULL ||
           directive(job, "statement_timeout") != NULL;
}

static int add_local_settings(struct pgmig_conn *conn,
                              const struct pgmig_job *job,
                              struct pgmig_buf *sql)
{
    const char *lock = directive(job, "lock_timeout");

    return add_time(conn, sql, "LOCAL ", "lock_timeout",
                    lock ? lock : job->lock_timeout) +
           add_time(conn, sql, "LOCAL ", "statement_timeout",
                    directive(job, "statement_timeout"));
}

int pgmig_frame_locals(const struct pgmig_ledger *ledger,
                       struct pgmig_conn *conn, const struct pgmig_job *job,
                       struct pgmig_buf *sql)
{
    int commands = add_local_settings(conn, job, sql);

    commands += add_patience(ledger, conn, "LOCAL ", sql);
    commands += pgmig_conn_add_tag(conn, sql);
    commands += pgmig_ledger_add_durable(ledger, sql);
    commands += add_check_client(ledger, conn, "LOCAL ", sql);
    if (conn->strings_off)
        commands += add(sql, "SET LOCAL standard_conforming_strings = on; ");
    return commands;
}

int pgmig_frame_begin(const struct pgmig_ledger *ledger,
                      struct pgmig_conn *conn, const struct pgmig_job *job,
                      const char *begin, struct pgmig_buf *sql)
{
    int commands = add(sql, begin) + add(sql, "; ") - 1;

    return commands + pgmig_frame_locals(ledger, conn, job, sql);
}

/* The session as the run's, within a transaction of ours. */
static void add_clean(const struct pgmig_ledger *ledger,
                      struct pgmig_conn *conn, const struct pgmig_job *job,
                      const char *brief, struct pgmig_buf *sql)
{
    if (brief != NULL)
        pgmig_buf_adds(sql, brief);
    else
        pgmig_frame_add_reset(job, sql);
    pgmig_conn_add_tag(conn, sql);
    pgmig_ledger_add_durable(ledger, sql);
}

/* Triggers of the bookkeeping's tables may do what they like behind it. */
static bool is_watched(const struct pgmig_ledger *ledger,
                       const struct pgmig_job *job)
{
    return ledger->watched || job->watched;
}

int pgmig_frame_open(const struct pgmig_ledger *ledger, struct pgmig_conn *conn,
                     const struct pgmig_job *job, const char *begin,
                     struct pgmig_buf *sql, struct pgmig_error *err)
{
    int commands = pgmig_frame_begin(ledger, conn, job, begin, sql);

    commands += pgmig_claim_commands(ledger, job);
    if (pgmig_claim_add(ledger, conn, job, sql, err) != 0)
        return -1;
    if (!is_watched(ledger, job))
        return commands;
    pgmig_buf_adds(sql, "; "); /* triggers have done with it what they do */
    pgmig_frame_add_reset(job, sql);
    pgmig_frame_locals(ledger, conn, job, sql);
    pgmig_buf_adds(sql, "SELECT " PGMIG_ASK_SERVER ", " PGMIG_ASK_TRANSACTION);
    return commands;
}

/* With transaction=off: the journal's row ends here; the change has begun
** when it did. */
static int add_journal_end(const struct pgmig_ledger *ledger,
                           struct pgmig_conn *conn, const struct pgmig_job *job,
                           struct pgmig_buf *sql, struct pgmig_error *err)
{
    struct pgmig_buf begun = {0};
    int status = pgmig_journal_add_begun(ledger, conn, job, &begun, err);

    if (status == 0 && begun.failed)
        status = pgmig_error_memory(err);
    if (status == 0)
        status =
            pgmig_history_add_proven(ledger, conn, job, begun.data, sql, err);
    if (status == 0)
        status = pgmig_journal_add_end(ledger, conn, job, sql, err);
    pgmig_buf_free(&begun);
    return status;
}

/* A trigger of the history may undo the tracking row behind its proof. */
static int add_last_proof(const struct pgmig_ledger *ledger,
                          struct pgmig_conn *conn, const struct pgmig_job *job,
                          struct pgmig_buf *sql, struct pgmig_error *err)
{
    int status;

    if (!is_watched(ledger, job))
        return 0;
    pgmig_buf_adds(sql, "SELECT 1");
    status = pgmig_claim_add_divisor(ledger, conn, job,
                                     job->direction == PGMIG_UP, sql, err);
    pgmig_history_add_unlock(job, sql);
    pgmig_buf_adds(sql, "; ");
    return status;
}

int pgmig_frame_close(const struct pgmig_ledger *ledger,
                      struct pgmig_conn *conn, const struct pgmig_job *job,
                      struct pgmig_buf *sql, struct pgmig_error *err)
{
    const struct pgmig_section *section = &job->script->sections[job->section];
    int status = 0;

    /* what is deferred comes before the proof, and a migration's own triggers
    ** still see its settings */
    pgmig_buf_adds(sql, "SET CONSTRAINTS ALL IMMEDIATE; ");
    if (section->transaction)
        add_clean(ledger, conn, job, job->session.brief, sql);
    if (job->ends_run != NULL)
        status = pgmig_runs_add_end(ledger, conn, job->ends_run, sql, err);
    if (status == 0 && section->transaction)
        status = pgmig_history_add_proven(ledger, conn, job, NULL, sql, err);
    else if (status == 0)
        status = add_journal_end(ledger, conn, job, sql, err);
    if (status == 0 && section->transaction && job->revision > 0)
        status = pgmig_journal_add_end(ledger, conn, job, sql, err);
    if (status == 0)
        status = add_last_proof(ledger, conn, job, sql, err);
    if (is_watched(ledger, job))
        add_clean(ledger, conn, job, NULL, sql);
    pgmig_buf_adds(sql, "COMMIT");
    return status;
}
