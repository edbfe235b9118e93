/* state.c -- what the session of a file that runs without a transaction has of
** its own. */
#include "ledger/state.h"

#include "wire/conn.h"

/* Behind a pooler the application's name is ours (pgmig_conn_add_tag). No view
** shows settings with a dot in their names: those that the file's text
** names are asked for. */
static const char settings[] =
    "(SELECT COALESCE(pg_catalog.json_object_agg(s.name, s.value "
    "ORDER BY s.name), '{}') FROM (SELECT p.name, p.setting AS value "
    "FROM pg_catalog.pg_settings p "
    "WHERE p.source OPERATOR(pg_catalog.=) 'session' "
    "AND p.name OPERATOR(pg_catalog.<>) ALL ('{transaction_isolation,"
    "transaction_read_only,transaction_deferrable,client_encoding%s}') "
    "AND NOT (p.name OPERATOR(pg_catalog.=) 'lock_timeout' AND COALESCE("
    "pg_catalog.current_setting('pgmig.lock_timeout', true), '') "
    "OPERATOR(pg_catalog.=) 'ours') "
    "UNION ALL SELECT n, pg_catalog.current_setting(n, true) FROM "
    "pg_catalog.unnest(%s::pg_catalog.text[]) AS n "
    "WHERE pg_catalog.current_setting(n, true) OPERATOR(pg_catalog.<>) '') "
    "AS s)";

/* What can be made again by nobody else. */
static const char belongings[] =
    "(SELECT COALESCE(pg_catalog.json_agg(l.what ORDER BY l.what), '[]') "
    "FROM (SELECT pg_catalog.format('temporary relation %I', c.relname) "
    "FROM pg_catalog.pg_class c WHERE c.relnamespace OPERATOR(pg_catalog.=) "
    "pg_catalog.pg_my_temp_schema() "
    "AND c.relkind OPERATOR(pg_catalog.=) ANY ('{r,v,m,S,f,p}') "
    "UNION ALL SELECT pg_catalog.format('temporary function %I', f.proname) "
    "FROM pg_catalog.pg_proc f WHERE f.pronamespace OPERATOR(pg_catalog.=) "
    "pg_catalog.pg_my_temp_schema() "
    "UNION ALL SELECT pg_catalog.format('prepared statement %I', s.name) "
    "FROM pg_catalog.pg_prepared_statements s WHERE s.from_sql "
    "UNION ALL SELECT pg_catalog.format('cursor %I', k.name) "
    "FROM pg_catalog.pg_cursors k WHERE k.is_holdable "
    "UNION ALL SELECT pg_catalog.format('advisory lock %s %s', a.classid, "
    "a.objid) FROM pg_catalog.pg_locks a "
    "WHERE a.locktype OPERATOR(pg_catalog.=) 'advisory' "
    "AND a.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()"
    ") AS l(what))";

int pgmig_state_add_note(struct pgmig_conn *conn, const struct pgmig_job *job,
                         struct pgmig_buf *sql, struct pgmig_error *err)
{
    const char *names = job->session.names ? job->session.names : "{}";
    struct pgmig_buf literal = {0};
    int status = pgmig_conn_add_literal(conn, names, &literal, err);

    pgmig_buf_adds(sql, "SELECT pg_catalog.set_config('pgmig.state', "
                        "pg_catalog.json_build_object('user', session_user, "
                        "'role', pg_catalog.current_setting('role'), "
                        "'settings', ");
    if (status == 0)
        pgmig_buf_addf(sql, settings, conn->pooled ? ",application_name" : "",
                       literal.data);
    pgmig_buf_adds(sql, ", 'belongings', ");
    pgmig_buf_adds(sql, belongings);
    pgmig_buf_adds(sql, ")::pg_catalog.text, true); ");
    sql->failed = sql->failed || literal.failed;
    pgmig_buf_free(&literal);
    return status;
}

int pgmig_state_add_lock_timeout(struct pgmig_conn *conn, const char *value,
                                 struct pgmig_buf *sql, struct pgmig_error *err)
{
    if (value == NULL)
        return 0;
    pgmig_buf_adds(sql, "SELECT pg_catalog.set_config('pgmig.lock_timeout', "
                        "CASE WHEN p.source OPERATOR(pg_catalog.=) 'session' "
                        "THEN '' ELSE 'ours' END, true) "
                        "FROM pg_catalog.pg_settings p "
                        "WHERE p.name OPERATOR(pg_catalog.=) 'lock_timeout'; "
                        "SELECT pg_catalog.set_config('lock_timeout', ");
    if (pgmig_conn_add_literal(conn, value, sql, err) != 0)
        return -1;
    pgmig_buf_adds(sql, ", true) WHERE "
                        "pg_catalog.current_setting('pgmig.lock_timeout') "
                        "OPERATOR(pg_catalog.=) 'ours'; ");
    return 0;
}

/* A setting that the other one does not have goes back to its default. User
** and role come last, in one statement: they may not be allowed to set the
** others, nor to read the row. A new user takes the role away. */
void pgmig_state_add_restore(const char *rows, struct pgmig_buf *sql)
{
    pgmig_buf_addf(
        sql,
        "SELECT pg_catalog.set_config(COALESCE(n.key, b.key), n.value, false) "
        "FROM (SELECT s.key, s.value FROM (SELECT session FROM %s) AS r, "
        "pg_catalog.json_each_text(r.session OPERATOR(pg_catalog.->) "
        "'settings') AS s) AS n FULL JOIN (SELECT s.key, s.value "
        "FROM (SELECT base FROM %s) AS r, "
        "pg_catalog.json_each_text(r.base OPERATOR(pg_catalog.->) 'settings') "
        "AS s) AS b ON n.key OPERATOR(pg_catalog.=) b.key "
        "WHERE n.key IS NULL OR b.key IS NULL "
        "OR n.value OPERATOR(pg_catalog.<>) b.value; "
        "SELECT CASE WHEN r.user_was OPERATOR(pg_catalog.<>) r.user_now "
        "THEN pg_catalog.set_config('session_authorization', r.user_now, "
        "false) END, CASE WHEN r.user_was OPERATOR(pg_catalog.<>) r.user_now "
        "OR r.role_was OPERATOR(pg_catalog.<>) r.role_now "
        "THEN pg_catalog.set_config('role', r.role_now, false) END "
        "FROM (SELECT base OPERATOR(pg_catalog.->>) 'user' AS user_was, "
        "session OPERATOR(pg_catalog.->>) 'user' AS user_now, "
        "base OPERATOR(pg_catalog.->>) 'role' AS role_was, "
        "session OPERATOR(pg_catalog.->>) 'role' AS role_now FROM %s) AS r; ",
        rows, rows, rows);
}
