/*
** rights.c -- whose rights the bookkeeping has.
**
** The server keeps what the file had set: in settings of ours, local to the
** transaction as all that is set here. Its end brings back what the file's own
** statements have left: what set_config makes local ends with the transaction,
** as SET LOCAL does. So a failure needs no way back.
**
** In each query the order counts: the session's user before the role, since a
** new user takes the role away (manual, SET SESSION AUTHORIZATION). It relies
** on the server, which computes a list of columns from left to right.
*/
#include "ledger/rights.h"

#include "wire/conn.h"

/* Only where it is another one: setting it would take the role away. */
#define AUTHORIZE(setting)                                            \
    "CASE WHEN session_user %<> pg_catalog.current_setting('" setting \
    "')::pg_catalog.name THEN "                                       \
    "pg_catalog.set_config('session_authorization', "                 \
    "pg_catalog.current_setting('" setting "'), true) END"

/* row_security is set to on: with off, a query that a policy would filter fails
** (manual, row_security). What a policy hides, the probe has asked. */
void pgmig_rights_take(struct pgmig_sql *s, const struct pgmig_job *job)
{
    pgmig_sql_addf(
        s,
        "SELECT pg_catalog.set_config('pgmig.authorization', "
        "session_user::pg_catalog.text, true), "
        "pg_catalog.set_config('pgmig.role', "
        "pg_catalog.current_setting('role'), true), "
        "pg_catalog.set_config('pgmig.row_security', "
        "pg_catalog.current_setting('row_security'), true), "
        "pg_catalog.set_config('pgmig.user', %L, true), " AUTHORIZE(
            "pgmig.user") ", CASE WHEN "
                          "pg_catalog.current_setting('row_security') "
                          "%<> 'on' THEN "
                          "pg_catalog.set_config('row_security', 'on', true) "
                          "END, pg_catalog.set_config('role', %L, true)%;",
        job->session.user ? job->session.user : PQuser(s->conn->pg),
        job->session.role ? job->session.role : "none");
}

/* The role is set in any case: a new session user has taken it away. */
void pgmig_rights_return(struct pgmig_sql *s)
{
    pgmig_sql_addf(
        s, "SELECT " PGMIG_ASK_SERVER ", " AUTHORIZE(
               "pgmig.authorization") ", CASE WHEN "
                                      "pg_catalog.current_setting("
                                      "'pgmig.row_security') %<> 'on' THEN "
                                      "pg_catalog.set_config('row_security', "
                                      "pg_catalog.current_setting("
                                      "'pgmig.row_security'), true) END, "
                                      "pg_catalog.set_config('role', "
                                      "pg_catalog.current_setting("
                                      "'pgmig.role'), true)%;");
}
