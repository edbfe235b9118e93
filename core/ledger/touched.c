/*
** touched.c -- the relations that finished statements have worked on.
**
** The server keeps every lock on a relation to the end of its transaction, so
** pg_locks, asked before that, tells what was worked on, whatever the text
** says. Of a statement that ran in no transaction nothing is left to ask: there
** the journal's own columns tell (indexed.h).
*/
#include "ledger/touched.h"

#include "ledger/ledger.h"

/* Who writes into a table locks its indexes, too: only those count that were
** made or changed themselves (ACCESS EXCLUSIVE). Who only reads has ACCESS
** SHARE, or ROW SHARE for SELECT ... FOR UPDATE. Left out are catalogs (oids
** below 16384, FirstNormalObjectId), TOAST tables, and temporary ones, which go
** with the session (state.c). A shared catalog has no database: 0. */
void pgmig_touched_add_note(struct pgmig_sql *s)
{
    pgmig_sql_addf(
        s,
        "SELECT pg_catalog.set_config('pgmig.touched', COALESCE("
        "pg_catalog.array_agg(DISTINCT c.oid)::pg_catalog.text, '{}'), true) "
        "FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_class c "
        "ON c.oid %= l.relation "
        "WHERE l.pid %= pg_catalog.pg_backend_pid() "
        "AND l.locktype %= 'relation' "
        "AND l.database %= (SELECT d.oid "
        "FROM pg_catalog.pg_database d WHERE d.datname "
        "%= pg_catalog.current_database()) "
        "AND c.oid %>= '16384'::pg_catalog.oid "
        "AND c.relpersistence %<> 't' "
        "AND c.relkind %<> 't' "
        "AND (l.mode %= 'AccessExclusiveLock' "
        "OR l.mode %<> "
        "ALL ('{AccessShareLock,RowShareLock}') "
        "AND c.relkind %<> ALL ('{i,I}')); ");
}

#define INDEX_NAME "pg_catalog.format('index %%I.%%I', n.nspname, c.relname)"

#define EQ " OPERATOR(pg_catalog.=) "
/* Added where they apply (pgmig_touched_add_column): what the transaction was
** noted to have locked; and of a statement that ran alone its table, and the
** indexes that were not there before. */
#define NOTED                                                         \
    " OR c.oid" EQ "ANY (pg_catalog.current_setting('pgmig.touched')" \
    "::pg_catalog.oid[])"
#define NEW                                                       \
    " OR c.oid" EQ "relation OR c.oid" EQ "ANY (ARRAY(SELECT "    \
    "i.indexrelid FROM pg_catalog.pg_index i WHERE i.indrelid" EQ \
    "relation AND i.indexrelid OPERATOR(pg_catalog.<>) ALL (existed)))"

/* With the names that they have now, for a message, since a relation that is
** gone has none. What is gone by now is left out: as a rule this statement has
** dropped it. So is the journal, whose lock is ours. */
void pgmig_touched_add_column(struct pgmig_sql *s, bool within, bool alone)
{
    pgmig_sql_addf(
        s,
        ", touched = (SELECT pg_catalog.json_object_agg(c.oid, CASE WHEN "
        "c.relkind %= ANY ('{i,I}') THEN " INDEX_NAME
        " ELSE pg_catalog.format('%%s %%I.%%I', CASE "
        "WHEN c.relkind %= 'S' THEN 'sequence' "
        "WHEN c.relkind %= ANY ('{v,m}') THEN 'view' "
        "ELSE 'table' END, n.nspname, c.relname) END ORDER BY c.oid) "
        "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n "
        "ON n.oid %= c.relnamespace "
        "WHERE (c.oid %= ANY (ARRAY(SELECT "
        "k::pg_catalog.oid FROM pg_catalog.json_object_keys("
        "COALESCE(touched, '{}')) AS k))%s%s) "
        "AND c.oid %<> %L::pg_catalog.regclass::pg_catalog.oid)",
        within ? NOTED : "", alone ? NEW : "", s->ledger->journal);
}

/* REINDEX CONCURRENTLY, of whoever, gives an index another oid: one of the same
** name is taken for it. */
void pgmig_touched_add_gone(struct pgmig_sql *s)
{
    pgmig_sql_addf(
        s, "(SELECT pg_catalog.string_agg(t.value, ', ' ORDER BY t.value) "
           "FROM pg_catalog.json_each_text(COALESCE(touched, '{}')) AS t "
           "WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_class c "
           "WHERE c.oid %= t.key::pg_catalog.oid) "
           "AND NOT EXISTS (SELECT FROM pg_catalog.pg_class c "
           "JOIN pg_catalog.pg_namespace n "
           "ON n.oid %= c.relnamespace "
           "WHERE c.relkind %= ANY ('{i,I}') "
           "AND " INDEX_NAME " %= t.value))");
}
