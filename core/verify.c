/* verify.c -- an index that a statement has named must be valid. */
#include "verify.h"

#include <stdlib.h>

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
    "JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid "
    "WHERE NOT i.indisvalid AND c.relkind = 'i' AND ";

bool pgmig_verify_add(struct pgmig_conn *conn, const char *text,
                      const struct pgmig_statement *st, struct pgmig_buf *sql,
                      struct pgmig_error *err)
{
    struct pgmig_index index;

    pgmig_index_read(text, st, &index);
    if (!(index.concurrently || index.optional) || empty(index.name))
        return false;
    if (index.action == PGMIG_INDEX_REINDEX) {
        pgmig_buf_adds(sql, query);
        pgmig_buf_adds(sql, "c.oid = pg_catalog.to_regclass(");
        add_piece(conn, text, index.name, sql, err);
        pgmig_buf_adds(sql, ")");
        return true;
    }
    if (index.action != PGMIG_INDEX_CREATE || empty(index.table))
        return false;
    pgmig_buf_adds(sql, query);
    pgmig_buf_adds(sql, "c.relname = (pg_catalog.parse_ident(");
    add_piece(conn, text, index.name, sql, err);
    pgmig_buf_adds(sql, "))[1] AND c.relnamespace = (SELECT t.relnamespace "
                        "FROM pg_catalog.pg_class t WHERE t.oid = "
                        "pg_catalog.to_regclass(");
    add_piece(conn, text, index.table, sql, err);
    pgmig_buf_adds(sql, "))");
    return true;
}
