/* verify.c -- an index that a statement has named must be valid. */
#include "verify.h"

#include <stdlib.h>
#include <string.h>

static void add_piece(struct pgmig_conn *conn, const char *text,
                      struct pgmig_range range, struct pgmig_buf *sql,
                      struct pgmig_error *err)
{
    char *quoted = pgmig_conn_quote_literal(conn, text + range.start,
                                            range.end - range.start, err);

    if (quoted == NULL)
        sql->failed = true;
    else
        pgmig_buf_adds(sql, quoted);
    free(quoted);
}

static bool empty(struct pgmig_range range)
{
    return range.end == range.start;
}

/* A partitioned index (relkind I) is INVALID until all parts are attached. */
static const char query[] =
    "SELECT c.oid::pg_catalog.regclass::pg_catalog.text "
    "FROM pg_catalog.pg_index i "
    "JOIN pg_catalog.pg_class c "
    "ON c.oid OPERATOR(pg_catalog.=) i.indexrelid "
    "WHERE NOT i.indisvalid AND c.relkind OPERATOR(pg_catalog.=) 'i' AND ";

/* What kind.c calls the statements that may need it: most do not begin so. */
static bool may_need(const struct pgmig_statement *st)
{
    return strncmp(st->kind, "CREATE INDEX", 12) == 0 ||
           strncmp(st->kind, "REINDEX", 7) == 0;
}

static bool is_named(const char *text, const struct pgmig_statement *st,
                     struct pgmig_index *index)
{
    if (!may_need(st))
        return false;
    pgmig_index_read(text, st, index);
    if (!(index->concurrently || index->optional) || empty(index->name))
        return false;
    return index->action == PGMIG_INDEX_REINDEX ||
           (index->action == PGMIG_INDEX_CREATE && !empty(index->table));
}

bool pgmig_verify_needed(const char *text, const struct pgmig_statement *st)
{
    struct pgmig_index index;

    return is_named(text, st, &index);
}

bool pgmig_verify_add(struct pgmig_conn *conn, const char *text,
                      const struct pgmig_statement *st, struct pgmig_buf *sql,
                      struct pgmig_error *err)
{
    struct pgmig_index index;

    if (!is_named(text, st, &index))
        return false;
    if (index.action == PGMIG_INDEX_REINDEX) {
        pgmig_buf_adds(sql, query);
        pgmig_buf_adds(sql,
                       "c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass(");
        add_piece(conn, text, index.name, sql, err);
        pgmig_buf_adds(sql, ")");
        return true;
    }
    pgmig_buf_adds(sql, query);
    pgmig_buf_adds(
        sql, "c.relname OPERATOR(pg_catalog.=) ((pg_catalog.parse_ident(");
    add_piece(conn, text, index.name, sql, err);
    pgmig_buf_adds(
        sql,
        "))[1])::pg_catalog.name AND c.relnamespace OPERATOR(pg_catalog.=) "
        "(SELECT t.relnamespace FROM pg_catalog.pg_class t "
        "WHERE t.oid OPERATOR(pg_catalog.=) "
        "pg_catalog.to_regclass(");
    add_piece(conn, text, index.table, sql, err);
    pgmig_buf_adds(sql, "))");
    return true;
}
