/* probe.c -- looking for the tables: where they are, and whose. */
#include <stdlib.h>
#include <string.h>

#include "conn.h"
#include "error.h"
#include "layout.h"
#include "ledger.h"

enum {
    P_PID,
    P_STANDBY,
    P_FOUND,
    P_SCHEMA,
    P_COLUMNS,
    P_UNIQUE,
    P_HISTORY,
    P_FORMAT,
    P_LINUX,
    P_TCP,
    P_DURABLE
};

#define OLDEST_SERVER 100000 /* as PQserverVersion says: 10.0 */

#define EQ " OPERATOR(pg_catalog.=) "
#define CONCAT " OPERATOR(pg_catalog.||) "

/* $1: the table as a reference, $2: the schema that was given, $3: its name,
** $4: the column with the key */
static const char probe_sql[] =
    "SELECT pg_catalog.pg_backend_pid(), pg_catalog.pg_is_in_recovery(),"
    " c.oid IS NOT NULL, s.name,"
    " (SELECT pg_catalog.string_agg(a.name" CONCAT "' '" CONCAT
    "a.type, ',' ORDER BY a.name COLLATE pg_catalog.\"C\")"
    "  FROM (SELECT a.attname::pg_catalog.text AS name,"
    "   t.typname::pg_catalog.text AS type"
    "   FROM pg_catalog.pg_attribute a"
    "   JOIN pg_catalog.pg_type t ON t.oid" EQ "a.atttypid"
    "   WHERE a.attrelid" EQ "c.oid AND a.attnum OPERATOR(pg_catalog.>) 0"
    "   AND NOT a.attisdropped) AS a),"
    " EXISTS (SELECT FROM pg_catalog.pg_index i"
    "  JOIN pg_catalog.pg_attribute a"
    "   ON a.attrelid" EQ "i.indrelid AND a.attnum" EQ "i.indkey[0]"
    "  WHERE i.indrelid" EQ "c.oid AND i.indisunique AND i.indisvalid"
    "   AND i.indnatts" EQ "1 AND i.indpred IS NULL AND a.attname" EQ
    "$4::pg_catalog.name),"
    " h.oid IS NOT NULL,"
    " (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid)"
    "  FROM pg_catalog.pg_attribute a"
    "  JOIN pg_catalog.pg_attrdef d"
    "   ON d.adrelid" EQ "a.attrelid AND d.adnum" EQ "a.attnum"
    "  WHERE a.attrelid" EQ "h.oid AND a.attname" EQ "'format'),"
    " pg_catalog.version() OPERATOR(pg_catalog.~~) '%linux%',"
    " pg_catalog.inet_client_addr() IS NOT NULL,"
    " pg_catalog.current_setting('synchronous_commit')"
    "  OPERATOR(pg_catalog.<>) ALL ('{off,local,remote_write}'"
    "  ::pg_catalog.text[])"
    " FROM (SELECT pg_catalog.to_regclass($1) AS oid) r"
    " LEFT JOIN pg_catalog.pg_class c ON c.oid" EQ "r.oid"
    " LEFT JOIN pg_catalog.pg_namespace n ON n.oid" EQ "c.relnamespace"
    " CROSS JOIN LATERAL (SELECT COALESCE(n.nspname,"
    "  $2::pg_catalog.name, pg_catalog.current_schema()) AS name) s"
    " LEFT JOIN pg_catalog.pg_namespace hn ON hn.nspname" EQ "s.name"
    " LEFT JOIN pg_catalog.pg_class h ON h.relnamespace" EQ "hn.oid"
    "  AND h.relname" EQ "($3::pg_catalog.text" CONCAT
    "'_history')::pg_catalog.name";

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

/* Tools that call their table as we call ours. */
static const struct owner {
    const char *columns;
    const char *name;
    const char *format; /* what reads its files and its rows */
} owners[] = {
    {"version varchar", "dbmate's or Rails'", "dbmate"},
    {"dirty bool,version int8", "golang-migrate's", "golang-migrate"},
    {NULL, "another program's", NULL},
};

static const struct owner *owner_of(const struct pgmig_conn *conn)
{
    const struct owner *o = owners;

    while (o->columns != NULL && !value_is(conn, P_COLUMNS, o->columns))
        o++;
    return o;
}

static int refuse_table(const struct pgmig_ledger *ledger,
                        const struct pgmig_conn *conn, struct pgmig_error *err)
{
    size_t len;
    const char *columns = pgmig_conn_value(conn, 0, P_COLUMNS, &len);
    const struct owner *owner = owner_of(conn);

    pgmig_error_set(err, PGMIG_E_PLAN,
                    "table %s is not a pgmig tracking table, it looks like %s",
                    ledger->asked, owner->name);
    if (owner->format != NULL)
        pgmig_error_hint(err,
                         "take over what it says: pgmig adopt --from %s, and "
                         "go on with --format %s; or choose another name with "
                         "--table (option `table`); nothing was touched",
                         owner->format, owner->format);
    else
        pgmig_error_hint(err, "choose another name with --table (option "
                              "`table`); nothing was touched");
    if (columns != NULL)
        pgmig_error_field(&err->detail, columns);
    return -1;
}

void pgmig_probe_forget(struct pgmig_ledger *ledger)
{
    free(ledger->tracking);
    free(ledger->history);
    free(ledger->journal);
    ledger->tracking = ledger->history = ledger->journal = NULL;
}

/* "schema"."table", in the schema that was found or would be used. */
static char *qualified(const char *schema, const char *table,
                       const char *suffix)
{
    struct pgmig_buf out = {0};

    pgmig_buf_addf(&out, "%s.\"%s%s\"", schema, table, suffix);
    return out.data;
}

static int qualify(struct pgmig_ledger *ledger, struct pgmig_conn *conn,
                   struct pgmig_error *err)
{
    size_t len;
    const char *schema = pgmig_conn_value(conn, 0, P_SCHEMA, &len);
    char *quoted;

    pgmig_probe_forget(ledger);
    if (schema == NULL)
        return 0;
    quoted = pgmig_conn_quote_ident(conn, schema, len, err);
    if (quoted == NULL)
        return -1;
    ledger->tracking = qualified(quoted, ledger->table, "");
    ledger->history = qualified(quoted, ledger->table, "_history");
    ledger->journal = qualified(quoted, ledger->table, "_journal");
    free(quoted);
    if (ledger->tracking && ledger->history && ledger->journal)
        return 0;
    return pgmig_error_memory(err);
}

static int refuse_shared(const struct pgmig_ledger *ledger, const char *columns,
                         struct pgmig_error *err)
{
    pgmig_error_set(err, PGMIG_E_PLAN,
                    "table %s is not the tool's tracking table", ledger->asked);
    pgmig_error_field(&err->detail, columns);
    return pgmig_error_hint(err,
                            "it must have the columns %s; nothing was "
                            "touched",
                            ledger->layout->columns);
}

static int check_columns(struct pgmig_ledger *ledger,
                         const struct pgmig_conn *conn, struct pgmig_error *err)
{
    size_t len;
    const char *columns = pgmig_conn_value(conn, 0, P_COLUMNS, &len);

    if (ledger->layout == NULL) {
        ledger->digits = column_digits(conn);
        return ledger->digits == 0 ? refuse_table(ledger, conn, err) : 0;
    }
    ledger->digits = PGMIG_VERSION_DIGITS;
    if (columns != NULL && pgmig_layout_fits(ledger->layout, columns))
        return 0;
    return refuse_shared(ledger, columns ? columns : "", err);
}

static int check_table(struct pgmig_ledger *ledger,
                       const struct pgmig_conn *conn, struct pgmig_error *err)
{
    const char *key = ledger->layout ? ledger->layout->key : "version";

    if (check_columns(ledger, conn, err) != 0)
        return -1;
    if ((ledger->layout && ledger->layout->locked) ||
        value_is(conn, P_UNIQUE, "t"))
        return 0;
    pgmig_error_set(err, PGMIG_E_PLAN, "table %s has no primary key on %s",
                    ledger->asked, key);
    return pgmig_error_hint(err,
                            "without it two runs could apply one migration "
                            "twice: ALTER TABLE %s ADD PRIMARY KEY (%s)",
                            ledger->tracking, key);
}

static int check_history(struct pgmig_ledger *ledger,
                         const struct pgmig_conn *conn, struct pgmig_error *err)
{
    size_t len;
    const char *format = pgmig_conn_value(conn, 0, P_FORMAT, &len);

    ledger->format = format ? atoi(format) : 0;
    if (ledger->format > PGMIG_HISTORY_FORMAT) {
        pgmig_error_set(err, PGMIG_E_PLAN,
                        "table %s was written by a newer pgmig (format %d)",
                        ledger->history, ledger->format);
        return pgmig_error_hint(err,
                                "upgrade this one: it knows formats up "
                                "to %d",
                                PGMIG_HISTORY_FORMAT);
    }
    if (ledger->format > 0 || !value_is(conn, P_HISTORY, "t"))
        return 0;
    pgmig_error_set(err, PGMIG_E_PLAN, "table %s is not a pgmig history",
                    ledger->history);
    return pgmig_error_hint(err, "choose another name with --table (option "
                                 "`table`); nothing was touched");
}

static int check_server(const struct pgmig_conn *conn, struct pgmig_error *err)
{
    if (pgmig_conn_server_version(conn) >= OLDEST_SERVER)
        return 0;
    pgmig_error_set(err, PGMIG_E_PLAN,
                    "PostgreSQL %d or newer is needed, this server's version "
                    "is %s",
                    OLDEST_SERVER / 10000,
                    pgmig_conn_parameter(conn, "server_version"));
    return pgmig_error_hint(err, "is it the console of a pooler? nothing was "
                                 "touched");
}

int pgmig_probe_start(struct pgmig_ledger *ledger, struct pgmig_conn *conn,
                      struct pgmig_error *err)
{
    const char *key = ledger->layout ? ledger->layout->key : "version";
    const char *params[] = {ledger->reference, ledger->schema, ledger->table,
                            key};

    if (check_server(conn, err) != 0)
        return -1;
    return pgmig_conn_send(conn, probe_sql, sizeof probe_sql - 1, 4, params,
                           err);
}

int pgmig_probe_finish(struct pgmig_ledger *ledger, struct pgmig_conn *conn,
                       struct pgmig_error *err)
{
    size_t len;

    conn->server_pid = atoi(pgmig_conn_value(conn, 0, P_PID, &len));
    ledger->read_only = value_is(conn, P_STANDBY, "t");
    ledger->on_linux = value_is(conn, P_LINUX, "t");
    ledger->over_tcp = value_is(conn, P_TCP, "t");
    ledger->durable = value_is(conn, P_DURABLE, "t");
    ledger->exists = value_is(conn, P_FOUND, "t");
    ledger->digits = ledger->layout ? PGMIG_VERSION_DIGITS : 9;
    if (qualify(ledger, conn, err) != 0)
        return -1;
    if (ledger->exists && check_table(ledger, conn, err) != 0)
        return -1;
    return check_history(ledger, conn, err);
}
