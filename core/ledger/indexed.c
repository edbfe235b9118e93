/* indexed.c -- the indexes that a statement is about, in the catalogs. */
#include "ledger/indexed.h"

#include <stdlib.h>
#include <string.h>

#include "wire/conn.h"
#include "base/error.h"

static bool empty(struct pgmig_range range)
{
    return range.end == range.start;
}

/* Add a name as a literal. */
static int add_name(struct pgmig_conn *conn, const char *text,
                    struct pgmig_range range, struct pgmig_buf *sql,
                    struct pgmig_error *err)
{
    char *name = malloc(range.end - range.start + 1);
    int status;

    if (name == NULL)
        return pgmig_error_memory(err);
    name[pgmig_ident_read(text, range, name)] = '\0';
    status = pgmig_conn_add_literal(conn, name, sql, err);
    free(name);
    return status;
}

/* ---- INVALID ones ---------------------------------------------------- */

/* A partitioned index (relkind I) is INVALID until all parts are attached. */
static const char query[] =
    "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) "
    "FROM pg_catalog.pg_index i "
    "JOIN pg_catalog.pg_class c "
    "ON c.oid OPERATOR(pg_catalog.=) i.indexrelid "
    "JOIN pg_catalog.pg_namespace n "
    "ON n.oid OPERATOR(pg_catalog.=) c.relnamespace "
    "WHERE NOT i.indisvalid AND c.relkind OPERATOR(pg_catalog.=) 'i' AND ";

/* What kind.c calls the statements that may need it: most do not begin so. */
static bool may_need(const struct pgmig_statement *st)
{
    return strncmp(st->kind, "CREATE INDEX", 12) == 0 ||
           strncmp(st->kind, "REINDEX", 7) == 0;
}

static bool read_named(const char *text, const struct pgmig_statement *st,
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

bool pgmig_indexed_named(const char *text, const struct pgmig_statement *st)
{
    struct pgmig_index index;

    return read_named(text, st, &index);
}

/* A new index is in its table's schema; the server cuts long names. */
static int add_created(struct pgmig_conn *conn, const char *text,
                       const struct pgmig_index *index, struct pgmig_buf *sql,
                       struct pgmig_error *err)
{
    pgmig_buf_adds(sql, "c.relname OPERATOR(pg_catalog.=) "
                        "((pg_catalog.parse_ident(");
    if (add_name(conn, text, index->name, sql, err) != 0)
        return -1;
    pgmig_buf_adds(sql, "))[1])::pg_catalog.name AND c.relnamespace "
                        "OPERATOR(pg_catalog.=) (SELECT t.relnamespace "
                        "FROM pg_catalog.pg_class t WHERE t.oid "
                        "OPERATOR(pg_catalog.=) pg_catalog.to_regclass(");
    if (add_name(conn, text, index->table, sql, err) != 0)
        return -1;
    pgmig_buf_adds(sql, "))");
    return 0;
}

static int add_rebuilt(struct pgmig_conn *conn, const char *text,
                       const struct pgmig_index *index, struct pgmig_buf *sql,
                       struct pgmig_error *err)
{
    pgmig_buf_adds(sql, "c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass(");
    if (add_name(conn, text, index->name, sql, err) != 0)
        return -1;
    pgmig_buf_adds(sql, ")");
    return 0;
}

bool pgmig_indexed_add_invalid(struct pgmig_conn *conn, const char *text,
                               const struct pgmig_statement *st,
                               struct pgmig_buf *sql, struct pgmig_error *err)
{
    struct pgmig_index index;
    int status;

    if (!read_named(text, st, &index))
        return false;
    pgmig_buf_adds(sql, query);
    if (index.action == PGMIG_INDEX_REINDEX)
        status = add_rebuilt(conn, text, &index, sql, err);
    else
        status = add_created(conn, text, &index, sql, err);
    sql->failed = sql->failed || status != 0;
    return true;
}

/* ---- for the journal ------------------------------------------------- */

static int add_noted(struct pgmig_conn *conn, const char *setting,
                     const char *text, struct pgmig_range range,
                     struct pgmig_buf *sql, struct pgmig_error *err)
{
    pgmig_buf_addf(sql, "pg_catalog.set_config('%s', ", setting);
    if (empty(range)) {
        pgmig_buf_adds(sql, "'0'");
    } else {
        pgmig_buf_adds(sql, "COALESCE(pg_catalog.to_regclass(");
        if (add_name(conn, text, range, sql, err) != 0)
            return -1;
        pgmig_buf_adds(sql, ")::pg_catalog.oid::pg_catalog.text, '0')");
    }
    pgmig_buf_adds(sql, ", true)");
    return 0;
}

int pgmig_indexed_add_note(struct pgmig_conn *conn, const char *text,
                           const struct pgmig_statement *st,
                           struct pgmig_buf *sql, struct pgmig_error *err)
{
    struct pgmig_index index;

    pgmig_index_read(text, st, &index);
    if (index.action == PGMIG_INDEX_CREATE)
        index.name.end = index.name.start; /* it is not there yet */
    pgmig_buf_adds(sql, "SELECT ");
    if (add_noted(conn, "pgmig.relation", text, index.table, sql, err) != 0)
        return -1;
    pgmig_buf_adds(sql, ", ");
    if (add_noted(conn, "pgmig.target", text, index.name, sql, err) != 0)
        return -1;
    pgmig_buf_adds(sql, "; ");
    return 0;
}

#define NOTED(setting) \
    "pg_catalog.current_setting('" setting "')::pg_catalog.oid"

void pgmig_indexed_add_columns(struct pgmig_buf *sql)
{
    pgmig_buf_adds(
        sql, "(relation, target, existed, invalid) = (WITH RECURSIVE noted AS "
             "(SELECT n.target, CASE WHEN n.target OPERATOR(pg_catalog.=) "
             "'0'::pg_catalog.oid THEN n.relation ELSE COALESCE((SELECT "
             "i.indrelid FROM pg_catalog.pg_index i WHERE i.indexrelid "
             "OPERATOR(pg_catalog.=) n.target), n.relation) END AS relation "
             "FROM "
             "(SELECT " NOTED("pgmig.relation") " AS relation, " NOTED(
                 "pgmig.target") " AS target) AS n), "
                                 "tables AS (SELECT relation FROM noted UNION "
                                 "SELECT p.inhrelid "
                                 "FROM tables t JOIN pg_catalog.pg_inherits p "
                                 "ON p.inhparent "
                                 "OPERATOR(pg_catalog.=) t.relation), "
                                 "indexes AS (SELECT i.indexrelid, "
                                 "i.indisvalid FROM tables t "
                                 "JOIN pg_catalog.pg_class c ON c.oid "
                                 "OPERATOR(pg_catalog.=) t.relation "
                                 "JOIN pg_catalog.pg_index i ON i.indrelid "
                                 "OPERATOR(pg_catalog.=) c.oid "
                                 "OR i.indrelid OPERATOR(pg_catalog.=) "
                                 "c.reltoastrelid) "
                                 "SELECT n.relation, n.target, ARRAY(SELECT "
                                 "indexrelid FROM indexes), "
                                 "ARRAY(SELECT indexrelid FROM indexes WHERE "
                                 "NOT indisvalid) "
                                 "FROM noted n)");
}
