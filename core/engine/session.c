/*
** session.c -- what a session is set to for a migration, and taken back to.
**
** The text of a file does not tell what it does to its session: a function, a
** trigger, a default may set anything. So all of it is taken back, whether it
** was touched or not: to what the session had when the run began, which the
** caller has read (lua/pgmig/db/session.lua), or to the server's defaults. No
** setting of ours is made for longer than it is needed: for the transaction, or
** for the session of transaction=off.
*/
#include "engine/session.h"

#include <string.h>

#include "ledger/ledger.h"
#include "wire/conn.h"

/* The commands of DISCARD ALL, one by one, since that one cannot run in a
** transaction block (manual, DISCARD). The rights come first: with the file's
** role, RESET ALL might not be allowed what it has to do. */
void pgmig_session_add_reset(struct pgmig_sql *s, const struct pgmig_job *job)
{
    static const char *const to_defaults[] = {"RESET SESSION AUTHORIZATION",
                                              "RESET ROLE",
                                              "RESET ALL",
                                              "CLOSE ALL",
                                              "UNLISTEN *",
                                              "DEALLOCATE ALL",
                                              "DISCARD TEMP",
                                              "DISCARD SEQUENCES",
                                              NULL};
    const char *const *own = job->session.reset;

    /* marked, since RESET ALL takes the tag away */
    pgmig_sql_commands(s, own ? own : to_defaults);
}

/* A query, since no command releases them. It is kept apart from the others: in
** a transaction that ends with the history's row, that one's query does it on
** its way (pgmig_history_add_unlock), which saves a command. */
void pgmig_session_add_full_reset(struct pgmig_sql *s,
                                  const struct pgmig_job *job)
{
    pgmig_session_add_reset(s, job);
    if (!job->session.keeps_locks)
        pgmig_sql_addf(s, "SELECT pg_catalog.pg_advisory_unlock_all()%;");
}

/* The names are ours, the value may be the caller's: a literal. */
static void add_setting(struct pgmig_sql *s, const char *scope,
                        const char *setting, const char *value)
{
    if (value != NULL)
        pgmig_sql_addf(s, "SET %s%s = %L%;", scope, setting, value);
}

int pgmig_session_milliseconds(const char *time)
{
    bool has_unit;
    int ms = 0;

    (void)pgmig_duration_setting(time, strlen(time), &ms, &has_unit);
    return ms;
}

/* In milliseconds, whatever unit it was written in: any server reads that. */
static void add_time(struct pgmig_sql *s, const char *scope,
                     const char *setting, const char *value)
{
    if (value != NULL)
        pgmig_sql_addf(s, "SET %s%s = '%dms'%;", scope, setting,
                       pgmig_session_milliseconds(value));
}

/* A killed client's locks go within a second (PostgreSQL 14 on Linux), those of
** a machine that vanished within half a minute. Elsewhere the server refuses
** the setting, since it asks the operating system for what poll() tells there
** (manual, client_connection_check_interval); a Unix-domain socket has no
** keepalives. */
static void add_check_client(struct pgmig_sql *s, const char *scope)
{
    if (pgmig_conn_server_version(s->conn) < 140000 || !s->ledger->on_linux)
        return;
    add_setting(s, scope, "client_connection_check_interval", "1s");
    if (!s->ledger->over_tcp)
        return;
    add_setting(s, scope, "tcp_keepalives_idle", "10");
    add_setting(s, scope, "tcp_keepalives_interval", "5");
    add_setting(s, scope, "tcp_keepalives_count", "3");
}

/* Code of others may take its time in the transaction (a hook, a Lua
** migration), and a network, too. Only what the probe has found to be set is
** set otherwise: transaction_timeout is unknown to servers before PostgreSQL
** 17, which would refuse the command and fail the transaction. */
static void add_patience(struct pgmig_sql *s, const char *scope)
{
    static const char *const limits[] = {"idle_in_transaction_session_timeout",
                                         "transaction_timeout"};
    const char *unfit = s->ledger->unfit;

    for (size_t i = 0; unfit != NULL && i < sizeof limits / sizeof *limits; i++)
        if (strstr(unfit, limits[i]) != NULL)
            add_setting(s, scope, limits[i], "0");
}

static const char *directive(const struct pgmig_job *job, const char *key)
{
    return pgmig_script_directive(job->script, job->direction, key);
}

/* The file's own word for a time goes before the run's. SET LOCAL, so that it
** goes with the transaction, also where a pooler lends the session. The split
** into statements begins with standard_conforming_strings on (text/split.c): so
** the server has to begin, too. */
void pgmig_session_add_locals(struct pgmig_sql *s, const struct pgmig_job *job)
{
    const char *lock = directive(job, "lock_timeout");

    pgmig_sql_tag(s);
    add_time(s, "LOCAL ", "lock_timeout", lock ? lock : job->lock_timeout);
    add_time(s, "LOCAL ", "statement_timeout",
             directive(job, "statement_timeout"));
    add_patience(s, "LOCAL ");
    pgmig_sql_durable(s);
    add_check_client(s, "LOCAL ");
    if (s->conn->strings_off)
        pgmig_sql_addf(s, "SET LOCAL standard_conforming_strings = on%;");
}

/* Behind a pooler it is the pooler that the server would look for: whether we
** are there, it cannot see. */
void pgmig_session_add_settings(struct pgmig_sql *s,
                                const struct pgmig_job *job)
{
    add_time(s, "", "lock_timeout", directive(job, "lock_timeout"));
    add_time(s, "", "statement_timeout", directive(job, "statement_timeout"));
    if (s->conn->strings_off)
        add_setting(s, "", "standard_conforming_strings", "on");
    add_patience(s, "");
    if (!s->conn->pooled)
        add_check_client(s, "");
}

bool pgmig_session_is_timed(const struct pgmig_job *job)
{
    return directive(job, "lock_timeout") != NULL ||
           directive(job, "statement_timeout") != NULL;
}
