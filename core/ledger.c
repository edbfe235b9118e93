/* ledger.c -- all SQL on the tracking table. */
#include "ledger.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "conn.h"
#include "error.h"

#define NAME_MAX_BYTES 63 /* NAMEDATALEN - 1 */

struct pgmig_ledger {
    char *asked;     /* as the caller named it, for messages */
    char *reference; /* quoted; with the schema where one was given */
    char *qualified; /* quoted, with its schema: known after a probe */
    bool exists;
    bool read_only;
    int digits; /* versions of so many digits fit its column */
    enum pgmig_ledger_op op;
};

/* ---- its name -------------------------------------------------------- */

static size_t plain_name(const char *s)
{
    size_t n = 0;

    if (!isalpha((unsigned char)s[0]) && s[0] != '_')
        return 0;
    while (isalnum((unsigned char)s[n]) || s[n] == '_' || s[n] == '$')
        n++;
    return n <= NAME_MAX_BYTES ? n : 0;
}

/* "name" or "schema"."name"; NULL when the name is refused. */
static char *quote_reference(const char *table)
{
    struct pgmig_buf out = {0};
    size_t n = plain_name(table);

    if (n == 0)
        return NULL;
    pgmig_buf_addf(&out, "\"%.*s\"", (int)n, table);
    if (table[n] == '.') {
        table += n + 1;
        n = plain_name(table);
        pgmig_buf_addf(&out, ".\"%.*s\"", (int)n, table);
    }
    if (n == 0 || table[n] != '\0' || out.failed)
        pgmig_buf_free(&out);
    return out.data;
}

struct pgmig_ledger *pgmig_ledger_new(const char *table,
                                      struct pgmig_error *err)
{
    struct pgmig_ledger *ledger;
    char *reference = quote_reference(table);

    if (reference == NULL) {
        pgmig_error_set(err, PGMIG_E_USAGE, "invalid table name \"%.100s\"",
                        table);
        pgmig_error_hint(err, "letters, digits and _, at most 63, not first a "
                              "digit; schema.table names a schema too");
        return NULL;
    }
    ledger = calloc(1, sizeof *ledger);
    if (ledger != NULL) {
        ledger->reference = reference;
        ledger->asked = pgmig_strndup(table, strlen(table));
        if (ledger->asked != NULL)
            return ledger;
    }
    free(reference);
    free(ledger);
    pgmig_error_memory(err);
    return NULL;
}

void pgmig_ledger_free(struct pgmig_ledger *ledger)
{
    if (ledger == NULL)
        return;
    free(ledger->asked);
    free(ledger->reference);
    free(ledger->qualified);
    free(ledger);
}

/* ---- probe ----------------------------------------------------------- */

enum { P_STANDBY, P_SCHEMA, P_HERE, P_KIND, P_COLUMNS, P_UNIQUE };

static const char probe_sql[] =
    "SELECT pg_catalog.pg_is_in_recovery(), n.nspname,"
    " pg_catalog.current_schema(), c.relkind,"
    " (SELECT pg_catalog.string_agg(a.attname || ' ' || t.typname, ','"
    "   ORDER BY a.attname COLLATE \"C\")"
    "  FROM pg_catalog.pg_attribute a"
    "  JOIN pg_catalog.pg_type t ON t.oid = a.atttypid"
    "  WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),"
    " EXISTS (SELECT FROM pg_catalog.pg_index i"
    "  JOIN pg_catalog.pg_attribute a"
    "   ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]"
    "  WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid"
    "   AND i.indnatts = 1 AND i.indpred IS NULL AND a.attname = 'version')"
    " FROM (SELECT pg_catalog.to_regclass($1) AS oid) r"
    " LEFT JOIN pg_catalog.pg_class c ON c.oid = r.oid"
    " LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace";

static bool value_is(const struct pgmig_conn *conn, int column,
                     const char *wanted)
{
    size_t len;
    const char *value = pgmig_conn_value(conn, 0, column, &len);

    return value != NULL && strcmp(value, wanted) == 0;
}

/* How many digits the version column holds: 0 for a table not ours. */
static int column_digits(const struct pgmig_conn *conn)
{
    static const struct {
        const char *columns;
        int digits;
    } known[] = {
        {"applied_at timestamptz,name text,version int4", 9},
        {"applied_at timestamptz,name text,version int8", 18},
        {"applied_at timestamptz,name text,version numeric",
         PGMIG_VERSION_DIGITS},
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (value_is(conn, P_COLUMNS, known[i].columns))
            return known[i].digits;
    return 0;
}

static const char *owner_of(const struct pgmig_conn *conn)
{
    if (value_is(conn, P_COLUMNS, "version varchar"))
        return "dbmate's or Rails'";
    if (value_is(conn, P_COLUMNS, "dirty bool,version int8"))
        return "golang-migrate's";
    return "another program's";
}

static int refuse_table(const struct pgmig_ledger *ledger,
                        const struct pgmig_conn *conn, struct pgmig_error *err)
{
    size_t len;
    const char *columns = pgmig_conn_value(conn, 0, P_COLUMNS, &len);

    pgmig_error_set(err, PGMIG_E_PLAN,
                    "table %s is not a pgmig tracking table, it looks like %s",
                    ledger->asked, owner_of(conn));
    pgmig_error_hint(err, "choose another name with --table (option `table`); "
                          "nothing was touched");
    if (columns != NULL)
        pgmig_error_field(&err->detail, columns);
    return -1;
}

/* "schema"."table", from the schema that was found or would be used. */
static int qualify(struct pgmig_ledger *ledger, struct pgmig_conn *conn,
                   const char *schema, size_t len, struct pgmig_error *err)
{
    const char *dot = strchr(ledger->reference, '.');
    struct pgmig_buf out = {0};
    char *quoted;

    free(ledger->qualified);
    ledger->qualified = NULL;
    if (schema == NULL)
        return 0;
    quoted = pgmig_conn_quote_ident(conn, schema, len, err);
    if (quoted == NULL)
        return -1;
    pgmig_buf_addf(&out, "%s.%s", quoted, dot ? dot + 1 : ledger->reference);
    free(quoted);
    ledger->qualified = out.data;
    return out.failed ? pgmig_error_memory(err) : 0;
}

static int check_table(struct pgmig_ledger *ledger,
                       const struct pgmig_conn *conn, struct pgmig_error *err)
{
    ledger->digits = column_digits(conn);
    if (ledger->digits == 0)
        return refuse_table(ledger, conn, err);
    if (value_is(conn, P_UNIQUE, "t"))
        return 0;
    pgmig_error_set(err, PGMIG_E_PLAN, "table %s has no primary key on version",
                    ledger->asked);
    return pgmig_error_hint(err,
                            "without it two runs could apply one migration "
                            "twice: ALTER TABLE %s ADD PRIMARY KEY (version)",
                            ledger->qualified);
}

static int finish_probe(struct pgmig_ledger *ledger, struct pgmig_conn *conn,
                        struct pgmig_error *err)
{
    size_t len;
    const char *schema = pgmig_conn_value(conn, 0, P_SCHEMA, &len);

    ledger->read_only = value_is(conn, P_STANDBY, "t");
    ledger->exists = schema != NULL;
    if (ledger->exists) {
        if (qualify(ledger, conn, schema, len, err) != 0)
            return -1;
        return check_table(ledger, conn, err);
    }
    ledger->digits = 9;
    if (strchr(ledger->reference, '.') != NULL) {
        free(ledger->qualified);
        ledger->qualified =
            pgmig_strndup(ledger->reference, strlen(ledger->reference));
        return ledger->qualified ? 0 : pgmig_error_memory(err);
    }
    schema = pgmig_conn_value(conn, 0, P_HERE, &len);
    return qualify(ledger, conn, schema, len, err);
}

/* ---- operations ------------------------------------------------------ */

/* One message is one implicit transaction (protocol manual, "Multiple
** Statements in a Simple Query"): these hold for it, whatever the defaults. */
static const char writable[] =
    "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; "
    "SET TRANSACTION READ WRITE; SET LOCAL lock_timeout = '5s';";

static int add_sql(const struct pgmig_ledger *ledger, const char *version,
                   struct pgmig_buf *sql, struct pgmig_error *err)
{
    if (ledger->qualified == NULL) {
        pgmig_error_set(err, PGMIG_E_PLAN,
                        "no schema to keep the tracking table in");
        return pgmig_error_hint(err, "search_path is empty: name the table as "
                                     "schema.table");
    }
    switch (ledger->op) {
    case PGMIG_LEDGER_CREATE:
        pgmig_buf_addf(sql,
                       "%s CREATE TABLE IF NOT EXISTS %s ("
                       "version INTEGER PRIMARY KEY, name TEXT NOT NULL, "
                       "applied_at TIMESTAMPTZ NOT NULL DEFAULT NOW())",
                       writable, ledger->qualified);
        break;
    case PGMIG_LEDGER_WIDEN:
        pgmig_buf_addf(sql, "%s ALTER TABLE %s ALTER COLUMN version TYPE %s",
                       writable, ledger->qualified,
                       strlen(version) <= 18 ? "BIGINT" : "NUMERIC");
        break;
    default:
        pgmig_buf_addf(sql,
                       "SELECT version::text AS id, name, "
                       "pg_catalog.to_json(applied_at) #>> '{}' "
                       "AS applied_at, "
                       "pg_catalog.date_part('epoch', applied_at) "
                       "AS applied_at_epoch FROM %s AS t "
                       "ORDER BY t.version",
                       ledger->qualified);
    }
    return sql->failed ? pgmig_error_memory(err) : 0;
}

int pgmig_ledger_start(struct pgmig_ledger *ledger, struct pgmig_conn *conn,
                       enum pgmig_ledger_op op, const char *version,
                       struct pgmig_error *err)
{
    const char *params[] = {ledger->reference};
    struct pgmig_buf sql = {0};
    int status;

    ledger->op = op;
    if (op == PGMIG_LEDGER_PROBE)
        return pgmig_conn_send(conn, probe_sql, sizeof probe_sql - 1, 1, params,
                               err);
    status = add_sql(ledger, version, &sql, err);
    if (status == 0)
        status = pgmig_conn_send(conn, sql.data, sql.len, 0, NULL, err);
    pgmig_buf_free(&sql);
    return status;
}

/* Two that create at once: IF NOT EXISTS does not save the second one, which
** meets the table, its type (duplicate_object), or their catalog rows. */
static bool created_meanwhile(const struct pgmig_error *err)
{
    return strcmp(err->sqlstate, "42P07") == 0 ||
           strcmp(err->sqlstate, "42710") == 0 ||
           strcmp(err->sqlstate, "23505") == 0;
}

int pgmig_ledger_finish(struct pgmig_ledger *ledger, struct pgmig_conn *conn,
                        struct pgmig_error *err)
{
    if (pgmig_conn_finish(conn, err) != 0) {
        if (ledger->op != PGMIG_LEDGER_CREATE || !created_meanwhile(err))
            return -1;
        pgmig_error_clear(err);
    }
    switch (ledger->op) {
    case PGMIG_LEDGER_PROBE:
        return finish_probe(ledger, conn, err);
    case PGMIG_LEDGER_CREATE:
        ledger->exists = true;
        return 0;
    default:
        return 0;
    }
}

bool pgmig_ledger_exists(const struct pgmig_ledger *ledger)
{
    return ledger->exists;
}

bool pgmig_ledger_read_only(const struct pgmig_ledger *ledger)
{
    return ledger->read_only;
}

bool pgmig_ledger_fits(const struct pgmig_ledger *ledger, const char *version)
{
    return (int)strlen(version) <= ledger->digits;
}

/* ---- inside a migration's transaction -------------------------------- */

int pgmig_ledger_add_claim(const struct pgmig_ledger *ledger,
                           struct pgmig_conn *conn, const struct pgmig_job *job,
                           struct pgmig_buf *sql, struct pgmig_error *err)
{
    char *name;

    if (job->direction == PGMIG_DOWN) {
        pgmig_buf_addf(sql, "DELETE FROM %s WHERE version = %s",
                       ledger->qualified, job->version);
        return 0;
    }
    name = pgmig_conn_quote_literal(conn, job->name, strlen(job->name), err);
    if (name == NULL)
        return -1;
    pgmig_buf_addf(sql, "INSERT INTO %s (version, name) VALUES (%s, %s)",
                   ledger->qualified, job->version, name);
    free(name);
    return 0;
}

void pgmig_ledger_add_proof(const struct pgmig_ledger *ledger,
                            const struct pgmig_job *job, struct pgmig_buf *sql)
{
    pgmig_buf_addf(sql,
                   "SELECT 1 OPERATOR(pg_catalog./) pg_catalog.count(*) "
                   "FROM %s WHERE version OPERATOR(pg_catalog.=) %s; ",
                   ledger->qualified, job->version);
}
