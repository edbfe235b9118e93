/*
** rights.c -- whose rights the bookkeeping has.
**
** The server keeps what the file had set: in settings of ours, local to the
** transaction as all that is set here. Its end brings back what the file's own
** statements have left.
*/
#include "ledger/rights.h"

#include "wire/conn.h"

/* Only where it is another one: setting it would take the role away. */
#define AUTHORIZE(setting)                                             \
    "CASE WHEN session_user OPERATOR(pg_catalog.<>) "                  \
    "pg_catalog.current_setting('" setting "')::pg_catalog.name THEN " \
    "pg_catalog.set_config('session_authorization', "                  \
    "pg_catalog.current_setting('" setting "'), true) END"

int pgmig_rights_take(struct pgmig_conn *conn, const struct pgmig_job *job,
                      struct pgmig_buf *sql, struct pgmig_error *err)
{
    const char *user = job->session.user ? job->session.user : PQuser(conn->pg);
    const char *role = job->session.role ? job->session.role : "none";

    pgmig_buf_adds(sql, "SELECT pg_catalog.set_config('pgmig.authorization', "
                        "session_user::pg_catalog.text, true), "
                        "pg_catalog.set_config('pgmig.role', "
                        "pg_catalog.current_setting('role'), true), "
                        "pg_catalog.set_config('pgmig.row_security', "
                        "pg_catalog.current_setting('row_security'), true), "
                        "pg_catalog.set_config('pgmig.user', ");
    if (pgmig_conn_add_literal(conn, user, sql, err) != 0)
        return -1;
    pgmig_buf_adds(sql, ", true), " AUTHORIZE("pgmig.user") ", ");
    pgmig_buf_adds(sql,
                   "CASE WHEN pg_catalog.current_setting('row_security') "
                   "OPERATOR(pg_catalog.<>) 'on' THEN "
                   "pg_catalog.set_config('row_security', 'on', true) END, "
                   "pg_catalog.set_config('role', ");
    if (pgmig_conn_add_literal(conn, role, sql, err) != 0)
        return -1;
    pgmig_buf_adds(sql, ", true); ");
    return 0;
}

void pgmig_rights_return(struct pgmig_buf *sql)
{
    pgmig_buf_adds(sql, "SELECT " PGMIG_ASK_SERVER
                        ", " AUTHORIZE("pgmig.authorization") ", ");
    pgmig_buf_adds(sql, "CASE WHEN "
                        "pg_catalog.current_setting('pgmig.row_security') "
                        "OPERATOR(pg_catalog.<>) 'on' THEN "
                        "pg_catalog.set_config('row_security', "
                        "pg_catalog.current_setting('pgmig.row_security'), "
                        "true) END, pg_catalog.set_config('role', "
                        "pg_catalog.current_setting('pgmig.role'), true); ");
}
