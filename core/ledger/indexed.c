/*
** indexed.c -- the indexes that a statement is about, in the catalogs.
**
** A name in a statement is looked up as the server would for the statement: by
** to_regclass, with its search path. What is found is kept by its oid, which no
** later CREATE or RENAME gives to another index. Nothing is decided here:
** whether an INVALID index is debris, and may go, is a matter of what was there
** before (lua/pgmig/state/indexes.lua).
*/
#include "ledger/indexed.h"

#include <stdlib.h>
#include <string.h>

static bool empty(struct pgmig_range range)
{
    return range.end == range.start;
}

/* Add a name as a literal. */
static void add_name(struct pgmig_sql *s, const char *text,
                     struct pgmig_range range)
{
    char *name = malloc(range.end - range.start + 1);

    if (name == NULL) {
        pgmig_sql_fail(s);
        return;
    }
    name[pgmig_ident_read(text, range, name)] = '\0';
    pgmig_sql_literal(s, name);
    free(name);
}

/* ---- INVALID ones ---------------------------------------------------- */

/* A partitioned index (relkind I) is INVALID until all parts are attached: that
** is no fault of anybody's. */
static const char query[] =
    "SELECT pg_catalog.format('%%I.%%I', n.nspname, c.relname) "
    "FROM pg_catalog.pg_index i "
    "JOIN pg_catalog.pg_class c "
    "ON c.oid %= i.indexrelid "
    "JOIN pg_catalog.pg_namespace n "
    "ON n.oid %= c.relnamespace "
    "WHERE NOT i.indisvalid AND c.relkind %= 'i' AND ";

/* Only what can leave or meet an INVALID index without an error: CONCURRENTLY,
** and IF NOT EXISTS. A name must be there to look for; that of a new index
** counts in its table's schema. */
bool pgmig_indexed_named(const struct pgmig_statement *st)
{
    const struct pgmig_index *index = &st->index;

    if (!(index->concurrently || index->optional) || empty(index->name))
        return false;
    return index->action == PGMIG_INDEX_REINDEX ||
           (index->action == PGMIG_INDEX_CREATE && !empty(index->table));
}

/* A new index is in its table's schema; the server cuts long names, as the type
** name does here. parse_ident reads the name as SQL does: with its quotes, in
** small letters without them. */
static void add_created(struct pgmig_sql *s, const char *text,
                        const struct pgmig_index *index)
{
    pgmig_sql_addf(s, "c.relname %= ((pg_catalog.parse_ident(");
    add_name(s, text, index->name);
    pgmig_sql_addf(s, "))[1])::pg_catalog.name AND c.relnamespace %= (SELECT "
                      "t.relnamespace FROM pg_catalog.pg_class t WHERE t.oid "
                      "%= pg_catalog.to_regclass(");
    add_name(s, text, index->table);
    pgmig_sql_add(s, "))");
}

/* to_regclass yields NULL for what is not there, and then no row is found. */
static void add_rebuilt(struct pgmig_sql *s, const char *text,
                        const struct pgmig_index *index)
{
    pgmig_sql_addf(s, "c.oid %= pg_catalog.to_regclass(");
    add_name(s, text, index->name);
    pgmig_sql_add(s, ")");
}

bool pgmig_indexed_add_invalid(struct pgmig_sql *s, const char *text,
                               const struct pgmig_statement *st)
{
    const struct pgmig_index *index = &st->index;

    if (!pgmig_indexed_named(st))
        return false;
    pgmig_sql_addf(s, query);
    if (index->action == PGMIG_INDEX_REINDEX)
        add_rebuilt(s, text, index);
    else
        add_created(s, text, index);
    pgmig_sql_answers(s, "* _:text");
    return true;
}

/* ---- for the journal ------------------------------------------------- */

/* As text in a setting, local to the transaction: the UPDATE that wants it has
** other rights and another search path. 0 is no oid of anything. */
static void add_noted(struct pgmig_sql *s, const char *setting,
                      const char *text, struct pgmig_range range)
{
    pgmig_sql_addf(s, "pg_catalog.set_config('%s', ", setting);
    if (empty(range)) {
        pgmig_sql_add(s, "'0'");
    } else {
        pgmig_sql_add(s, "COALESCE(pg_catalog.to_regclass(");
        add_name(s, text, range);
        pgmig_sql_add(s, ")::pg_catalog.oid::pg_catalog.text, '0')");
    }
    pgmig_sql_add(s, ", true)");
}

void pgmig_indexed_add_note(struct pgmig_sql *s, const char *text,
                            const struct pgmig_statement *st)
{
    struct pgmig_index index = st->index;

    if (index.action == PGMIG_INDEX_CREATE)
        index.name.end = index.name.start; /* it is not there yet */
    pgmig_sql_add(s, "SELECT ");
    add_noted(s, "pgmig.relation", text, index.table);
    pgmig_sql_add(s, ", ");
    add_noted(s, "pgmig.target", text, index.name);
    pgmig_sql_end(s);
}

#define NOTED(setting) \
    "pg_catalog.current_setting('" setting "')::pg_catalog.oid"

/* REINDEX INDEX and DROP INDEX name the index only: the table is looked up by
** it. Indexes of partitions are rebuilt and dropped with the parent's, and
** REINDEX TABLE also rebuilds that of the table's TOAST table. */
static const char columns[] =
    "(relation, target, existed, invalid) = (WITH RECURSIVE noted AS "
    "(SELECT n.target, CASE WHEN n.target %= '0'::pg_catalog.oid "
    "THEN n.relation ELSE COALESCE((SELECT i.indrelid "
    "FROM pg_catalog.pg_index i WHERE i.indexrelid %= n.target), n.relation) "
    "END AS relation FROM (SELECT " NOTED(
        "pgmig.relation") " AS relation, " NOTED("pgmig.target") " AS target) "
                                                                 "AS n), "
                                                                 "tables AS "
                                                                 "(SELECT "
                                                                 "relation "
                                                                 "FROM noted "
                                                                 "UNION SELECT "
                                                                 "p.inhrelid "
                                                                 "FROM tables "
                                                                 "t JOIN "
                                                                 "pg_catalog."
                                                                 "pg_inherits "
                                                                 "p "
                                                                 "ON "
                                                                 "p.inhparent "
                                                                 "%= "
                                                                 "t.relation), "
                                                                 "indexes AS "
                                                                 "(SELECT "
                                                                 "i.indexrelid,"
                                                                 " i."
                                                                 "indisvalid "
                                                                 "FROM tables "
                                                                 "t "
                                                                 "JOIN "
                                                                 "pg_catalog."
                                                                 "pg_class c "
                                                                 "ON c.oid %= "
                                                                 "t.relation "
                                                                 "JOIN "
                                                                 "pg_catalog."
                                                                 "pg_index i "
                                                                 "ON "
                                                                 "i.indrelid "
                                                                 "%= c.oid "
                                                                 "OR "
                                                                 "i.indrelid "
                                                                 "%= "
                                                                 "c."
                                                                 "reltoastrelid"
                                                                 ") "
                                                                 "SELECT "
                                                                 "n.relation, "
                                                                 "n.target, "
                                                                 "ARRAY(SELECT "
                                                                 "indexrelid "
                                                                 "FROM "
                                                                 "indexes), "
                                                                 "ARRAY(SELECT "
                                                                 "indexrelid "
                                                                 "FROM indexes "
                                                                 "WHERE NOT "
                                                                 "indisvalid) "
                                                                 "FROM noted "
                                                                 "n)";

void pgmig_indexed_add_columns(struct pgmig_sql *s)
{
    pgmig_sql_addf(s, columns);
}
