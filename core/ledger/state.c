/*
** state.c -- what the session of a file that runs without a transaction has of
** its own.
**
** The server is asked, not the file: a function may have set what no text
** shows. A note is one JSON text, made in one order, so that two notes of one
** state are the same text and can be compared as such (json has no =).
**
** What no view tells is not here: a library that LOAD has loaded, which is
** loaded again (engine/statement.c); a setting whose name has a dot and stands
** in no text of the file.
*/
#include "ledger/state.h"

#include "wire/conn.h"

/*
** Behind a pooler the application's name is ours (pgmig_sql_tag). No
** view shows settings with a dot in their names: those that the file's text
** names are asked for. What a source other than "session" has set (the server,
** the database, the role) another session has, too. Left out are those of a
** transaction, the encoding, which is the connection's, and a lock_timeout of
** ours.
*/
static const char settings[] =
    "(SELECT COALESCE(pg_catalog.json_object_agg(s.name, s.value "
    "ORDER BY s.name), '{}') FROM (SELECT p.name, p.setting AS value "
    "FROM pg_catalog.pg_settings p "
    "WHERE p.source %= 'session' "
    "AND p.name %<> ALL ('{transaction_isolation,"
    "transaction_read_only,transaction_deferrable,client_encoding%s}') "
    "AND NOT (p.name %= 'lock_timeout' AND COALESCE("
    "pg_catalog.current_setting('pgmig.lock_timeout', true), '') "
    "%= 'ours') "
    "UNION ALL SELECT n, pg_catalog.current_setting(n, true) FROM "
    "pg_catalog.unnest(%L::pg_catalog.text[]) AS n "
    "WHERE pg_catalog.current_setting(n, true) %<> '') "
    "AS s)";

/* What can be made again by nobody else: what is in the session's temporary
** schema, statements that PREPARE has made (from_sql; libpq's own are not), and
** cursors WITH HOLD, as others end with their transaction. */
static const char belongings[] =
    "(SELECT COALESCE(pg_catalog.json_agg(l.what ORDER BY l.what), '[]') "
    "FROM (SELECT pg_catalog.format('temporary relation %%I', c.relname) "
    "FROM pg_catalog.pg_class c WHERE c.relnamespace %= "
    "pg_catalog.pg_my_temp_schema() "
    "AND c.relkind %= ANY ('{r,v,m,S,f,p}') "
    "UNION ALL SELECT pg_catalog.format('temporary function %%I', f.proname) "
    "FROM pg_catalog.pg_proc f WHERE f.pronamespace %= "
    "pg_catalog.pg_my_temp_schema() "
    "UNION ALL SELECT pg_catalog.format('prepared statement %%I', s.name) "
    "FROM pg_catalog.pg_prepared_statements s WHERE s.from_sql "
    "UNION ALL SELECT pg_catalog.format('cursor %%I', k.name) "
    "FROM pg_catalog.pg_cursors k WHERE k.is_holdable "
    "UNION ALL SELECT pg_catalog.format('advisory lock %%s %%s', a.classid, "
    "a.objid) FROM pg_catalog.pg_locks a "
    "WHERE a.locktype %= 'advisory' "
    "AND a.pid %= pg_catalog.pg_backend_pid()"
    ") AS l(what))";

/* Into a setting that is local to the transaction: nothing is left behind, and
** an UPDATE in it can read the note whatever its rights. */
void pgmig_state_add_note(struct pgmig_sql *s, const struct pgmig_job *job)
{
    pgmig_sql_add(s, "SELECT pg_catalog.set_config('pgmig.state', "
                     "pg_catalog.json_build_object('user', session_user, "
                     "'role', pg_catalog.current_setting('role'), "
                     "'settings', ");
    pgmig_sql_addf(s, settings, s->conn->pooled ? ",application_name" : "",
                   job->session.names ? job->session.names : "{}");
    pgmig_sql_add(s, ", 'belongings', ");
    pgmig_sql_addf(s, belongings);
    pgmig_sql_addf(s, ")::pg_catalog.text, true)%;");
}

/* Only where the file has none of its own: `source` is "session" where it has
** set one. A word beside it says whose it is, for the note. */
void pgmig_state_add_lock_timeout(struct pgmig_sql *s, int milliseconds)
{
    pgmig_sql_addf(s,
                   "SELECT pg_catalog.set_config('pgmig.lock_timeout', "
                   "CASE WHEN p.source %= 'session' "
                   "THEN '' ELSE 'ours' END, true) "
                   "FROM pg_catalog.pg_settings p "
                   "WHERE p.name %= 'lock_timeout'%;"
                   "SELECT pg_catalog.set_config('lock_timeout', '%dms', true) "
                   "WHERE pg_catalog.current_setting('pgmig.lock_timeout') "
                   "%= 'ours'%;",
                   milliseconds);
}

/* A setting that the other one does not have goes back to its default:
** set_config with NULL does that. User and role come last, in one statement:
** they may not be allowed to set the others, nor to read the row. A new user
** takes the role away. False: for the session, as they were. */
void pgmig_state_add_restore(struct pgmig_sql *s,
                             void (*add_rows)(struct pgmig_sql *,
                                              const struct pgmig_job *),
                             const struct pgmig_job *job)
{
    pgmig_sql_add(
        s, "SELECT pg_catalog.set_config(COALESCE(n.key, b.key), n.value, "
           "false) FROM (SELECT s.key, s.value FROM (SELECT session FROM ");
    add_rows(s, job);
    pgmig_sql_addf(s, ") AS r, pg_catalog.json_each_text(r.session %-> "
                      "'settings') AS s) AS n FULL JOIN "
                      "(SELECT s.key, s.value FROM (SELECT base FROM ");
    add_rows(s, job);
    pgmig_sql_addf(
        s, ") AS r, pg_catalog.json_each_text(r.base %-> 'settings') "
           "AS s) AS b ON n.key %= b.key "
           "WHERE n.key IS NULL OR b.key IS NULL OR n.value %<> b.value%;"
           "SELECT CASE WHEN r.user_was %<> r.user_now "
           "THEN pg_catalog.set_config('session_authorization', r.user_now, "
           "false) END, CASE WHEN r.user_was %<> r.user_now "
           "OR r.role_was %<> r.role_now "
           "THEN pg_catalog.set_config('role', r.role_now, false) END "
           "FROM (SELECT base %->> 'user' AS user_was, "
           "session %->> 'user' AS user_now, base %->> 'role' AS role_was, "
           "session %->> 'role' AS role_now FROM ");
    add_rows(s, job);
    pgmig_sql_addf(s, ") AS r%;");
}

/* ---- rights ---------------------------------------------------------- */
/*
** The server keeps what the file had set: in settings of ours, local to the
** transaction as all that is set here. Its end brings back what the file's own
** statements have left: what set_config makes local ends with the transaction,
** as SET LOCAL does. So a failure needs no way back.
**
** In each query the order counts: the session's user before the role, since a
** new user takes the role away (manual, SET SESSION AUTHORIZATION). It relies
** on the server, which computes a list of columns from left to right.
*/

/* Only where it is another one: setting it would take the role away. */
#define AUTHORIZE(setting)                                            \
    "CASE WHEN session_user %<> pg_catalog.current_setting('" setting \
    "')::pg_catalog.name THEN "                                       \
    "pg_catalog.set_config('session_authorization', "                 \
    "pg_catalog.current_setting('" setting "'), true) END"

/* row_security is set to on: with off, a query that a policy would filter fails
** (manual, row_security). What a policy hides, the probe has asked. */
void pgmig_state_take_rights(struct pgmig_sql *s, const struct pgmig_job *job)
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
void pgmig_state_return_rights(struct pgmig_sql *s)
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
