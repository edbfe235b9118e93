/* touched.c -- the relations that finished statements have worked on. */
#include "ledger/touched.h"

#include "wire/conn.h"

/* Who writes into a table locks its indexes, too: only those count that were
** made or changed themselves. */
void pgmig_touched_add_note(struct pgmig_buf *sql)
{
    pgmig_buf_adds(
        sql,
        "SELECT pg_catalog.set_config('pgmig.touched', COALESCE("
        "pg_catalog.array_agg(DISTINCT c.oid)::pg_catalog.text, '{}'), true) "
        "FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_class c "
        "ON c.oid OPERATOR(pg_catalog.=) l.relation "
        "WHERE l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() "
        "AND l.locktype OPERATOR(pg_catalog.=) 'relation' "
        "AND l.database OPERATOR(pg_catalog.=) (SELECT d.oid "
        "FROM pg_catalog.pg_database d WHERE d.datname "
        "OPERATOR(pg_catalog.=) pg_catalog.current_database()) "
        "AND c.oid OPERATOR(pg_catalog.>=) '16384'::pg_catalog.oid "
        "AND c.relpersistence OPERATOR(pg_catalog.<>) 't' "
        "AND c.relkind OPERATOR(pg_catalog.<>) 't' "
        "AND (l.mode OPERATOR(pg_catalog.=) 'AccessExclusiveLock' "
        "OR l.mode OPERATOR(pg_catalog.<>) "
        "ALL ('{AccessShareLock,RowShareLock}') "
        "AND c.relkind OPERATOR(pg_catalog.<>) ALL ('{i,I}')); ");
}

#define INDEX_NAME "pg_catalog.format('index %%I.%%I', n.nspname, c.relname)"

int pgmig_touched_add_column(const struct pgmig_ledger *ledger,
                             struct pgmig_conn *conn, bool within, bool alone,
                             struct pgmig_buf *sql, struct pgmig_error *err)
{
    pgmig_buf_addf(
        sql,
        ", touched = (SELECT pg_catalog.json_object_agg(c.oid, CASE WHEN "
        "c.relkind OPERATOR(pg_catalog.=) ANY ('{i,I}') THEN " INDEX_NAME
        " ELSE pg_catalog.format('%%s %%I.%%I', CASE "
        "WHEN c.relkind OPERATOR(pg_catalog.=) 'S' THEN 'sequence' "
        "WHEN c.relkind OPERATOR(pg_catalog.=) ANY ('{v,m}') THEN 'view' "
        "ELSE 'table' END, n.nspname, c.relname) END ORDER BY c.oid) "
        "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n "
        "ON n.oid OPERATOR(pg_catalog.=) c.relnamespace "
        "WHERE (c.oid OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT "
        "k::pg_catalog.oid FROM pg_catalog.json_object_keys("
        "COALESCE(touched, '{}')) AS k))%s%s) "
        "AND c.oid OPERATOR(pg_catalog.<>) ",
        within ? " OR c.oid OPERATOR(pg_catalog.=) ANY ("
                 "pg_catalog.current_setting('pgmig.touched')"
                 "::pg_catalog.oid[])"
               : "",
        alone ? " OR c.oid OPERATOR(pg_catalog.=) relation "
                "OR c.oid OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT "
                "i.indexrelid FROM pg_catalog.pg_index i WHERE i.indrelid "
                "OPERATOR(pg_catalog.=) relation AND i.indexrelid "
                "OPERATOR(pg_catalog.<>) ALL (existed)))"
              : "");
    if (pgmig_conn_add_literal(conn, ledger->journal, sql, err) != 0)
        return -1;
    pgmig_buf_adds(sql, "::pg_catalog.regclass::pg_catalog.oid)");
    return 0;
}

/* REINDEX CONCURRENTLY, of whoever, gives an index another oid. */
void pgmig_touched_add_gone(struct pgmig_buf *sql)
{
    pgmig_buf_addf(
        sql, "(SELECT pg_catalog.string_agg(t.value, ', ' ORDER BY t.value) "
             "FROM pg_catalog.json_each_text(COALESCE(touched, '{}')) AS t "
             "WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_class c "
             "WHERE c.oid OPERATOR(pg_catalog.=) t.key::pg_catalog.oid) "
             "AND NOT EXISTS (SELECT FROM pg_catalog.pg_class c "
             "JOIN pg_catalog.pg_namespace n "
             "ON n.oid OPERATOR(pg_catalog.=) c.relnamespace "
             "WHERE c.relkind OPERATOR(pg_catalog.=) ANY ('{i,I}') "
             "AND " INDEX_NAME " OPERATOR(pg_catalog.=) t.value))");
}
