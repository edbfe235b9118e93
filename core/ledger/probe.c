/*
** probe.c -- looking for the tables: where they are, and whose.
**
** One query asks for all that a run has to know before it does anything: which
** process answers, where the tables are, what they look like, which settings
** stand in the way. It reads catalogs only, never the tables: those may be
** anybody's, and reading them may run code (trust.h). What it finds is kept in
** the ledger; what speaks against going on is an error, and nothing is changed.
**
** The oids of the tables are found by names, in the schema that counts, and not
** by to_regclass: a table of that name in another schema of the search path is
** not meant.
*/
#include <stdlib.h>
#include <string.h>

#include "wire/conn.h"
#include "base/error.h"
#include "ledger/ledger.h"
#include "ledger/shape.h"
#include "ledger/trust.h"

enum {
    P_PID,
    P_BACKEND_START,
    P_SERVER_START,
    P_STANDBY,
    P_FOUND,
    P_KIND,
    P_SCHEMA,
    P_COLUMNS,
    P_UNIQUE,
    P_HISTORY,
    P_FORMAT,
    P_JOURNAL,
    P_RUNS,
    P_BACKFILL,
    P_LINUX,
    P_TCP,
    P_DURABLE,
    P_UNFIT,
    P_PATH,
    P_WATCHED,
    P_DOUBTED,
    P_COUNT
};

#define OLDEST_SERVER 100000 /* as PQserverVersion says: 10.0 */

#define EQ " OPERATOR(pg_catalog.=) "
#define CONCAT " OPERATOR(pg_catalog.||) "

/* The tables that there are, in an array; NULL for those that there are not. */
#define TABLES "ARRAY[c.oid, h.oid, j.oid, r.oid, b.oid]"

/* The columns of the relation `c`, "a int4,b text": in the order of their
** names, since that of their making differs between tools and upgrades. A type
** of another schema is marked, as its name may be that of a type of
** pg_catalog. */
#define COLUMNS                                                             \
    "(SELECT pg_catalog.string_agg(a.name" CONCAT "' '" CONCAT              \
    "a.type, ',' ORDER BY a.name COLLATE pg_catalog.\"C\")"                 \
    "  FROM (SELECT a.attname::pg_catalog.text AS name,"                    \
    "   pg_catalog.concat(CASE WHEN t.typnamespace OPERATOR(pg_catalog.<>)" \
    "     'pg_catalog'::pg_catalog.regnamespace::pg_catalog.oid"            \
    "    THEN 'another ' END, t.typname) AS type"                           \
    "   FROM pg_catalog.pg_attribute a"                                     \
    "   JOIN pg_catalog.pg_type t ON t.oid" EQ "a.atttypid"                 \
    "   WHERE a.attrelid" EQ "c.oid AND a.attnum OPERATOR(pg_catalog.>)"    \
    "   0 AND NOT a.attisdropped) AS a)"

/* The policy `p` of table `rel` is about reading, and about this role. */
#define CONCERNS                                                  \
    "p.polrelid" EQ "rel AND p.polcmd::pg_catalog.text"           \
    " OPERATOR(pg_catalog.=) ANY ('{*,r}'::pg_catalog.text[])"    \
    " AND EXISTS (SELECT FROM pg_catalog.unnest(p.polroles) AS r" \
    "  WHERE r" EQ "0::pg_catalog.oid"                            \
    "  OR pg_catalog.pg_has_role(r, 'USAGE'))"
#define CONDITION "pg_catalog.pg_get_expr(p.polqual, p.polrelid)"

const char pgmig_probe_shape[] =
    "1 " PGMIG_SERVED_SHAPE
    " _:bool _:bool _:text? _:text? _:text? _:bool _:bool "
    "_:text? _:bool _:bool _:bool _:bool _:bool _:bool _:text? _:text _:bool? "
    "_:text?";

/*
** Formats of pgmig_sql_addf, with literals: the column with the key; the schema
** that was given, then the table's name each time. What is asked, in the order
** of the enum above: the unique index must be on that one column, valid, and of
** all rows (indpred), else it admits two; the format is the default of a column
** (history.c); synchronous_commit counts by what the session has, since a role
** or a database may have lowered it; the settings that would end a transaction
** for its age, or let it be another one than is meant, with the values that do
** no harm.
*/
static const char probe_before[] =
    "SELECT " PGMIG_ASK_SERVED ", pg_catalog.pg_is_in_recovery(),"
    " c.oid IS NOT NULL, c.relkind::pg_catalog.text, s.name, " COLUMNS ","
    " EXISTS (SELECT FROM pg_catalog.pg_index i"
    "  JOIN pg_catalog.pg_attribute a"
    "   ON a.attrelid" EQ "i.indrelid AND a.attnum" EQ "i.indkey[0]"
    "  WHERE i.indrelid" EQ "c.oid AND i.indisunique AND i.indisvalid"
    "   AND i.indnatts" EQ "1 AND i.indpred IS NULL AND a.attname" EQ
    "%L::pg_catalog.name),"
    " h.oid IS NOT NULL,"
    " (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid)"
    "  FROM pg_catalog.pg_attribute a"
    "  JOIN pg_catalog.pg_attrdef d"
    "   ON d.adrelid" EQ "a.attrelid AND d.adnum" EQ "a.attnum"
    "  WHERE a.attrelid" EQ "h.oid AND a.attname" EQ "'format'),"
    " j.oid IS NOT NULL, r.oid IS NOT NULL, b.oid IS NOT NULL,"
    " pg_catalog.version() OPERATOR(pg_catalog.~~) '%%linux%%',"
    " pg_catalog.inet_client_addr() IS NOT NULL,"
    " pg_catalog.current_setting('synchronous_commit')"
    "  OPERATOR(pg_catalog.<>) ALL ('{off,local,remote_write}'"
    "  ::pg_catalog.text[]),"
    " (SELECT pg_catalog.string_agg(s.column1, ',') FROM (VALUES"
    "  ('idle_in_transaction_session_timeout', '0'),"
    "  ('transaction_timeout', '0'), ('idle_session_timeout', '0'),"
    "  ('default_transaction_isolation', 'read committed'),"
    "  ('default_transaction_read_only', 'off'),"
    "  ('default_transaction_deferrable', 'off')) AS s"
    "  WHERE pg_catalog.current_setting(s.column1, true)"
    "   OPERATOR(pg_catalog.<>) s.column2),"
    " pg_catalog.current_setting('search_path'),"
    " c.relhastriggers OR h.relhastriggers OR j.relhastriggers"
    "  OR r.relhastriggers OR b.relhastriggers, ";

/* Which of the tables may hide rows from this role; %s: their oids. */
static const char hidden_sql[] =
    "(SELECT pg_catalog.min(rel::pg_catalog.regclass::pg_catalog.text)"
    "  FROM pg_catalog.unnest(%s) AS rel"
    "  WHERE pg_catalog.row_security_active(rel)"
    "  AND (NOT EXISTS (SELECT FROM pg_catalog.pg_policy p WHERE " CONCERNS
    "    AND p.polpermissive AND " CONDITION EQ "'true')"
    "   OR EXISTS (SELECT FROM pg_catalog.pg_policy p WHERE " CONCERNS
    "    AND NOT p.polpermissive"
    "    AND " CONDITION " OPERATOR(pg_catalog.<>) 'true')))";

/* The first schema of the path that has the table, else the first; a temporary
** one goes with its session. current_schemas leaves out those of the path that
** are not there or may not be used. Names of 63 bytes are all that a catalog
** has, and a longer name of the last two is cut as it is where it is made
** (qualified). */
static const char probe_from[] =
    " FROM (SELECT COALESCE(%L::pg_catalog.name, (SELECT n.nspname"
    "   FROM pg_catalog.unnest(pg_catalog.current_schemas(false))"
    "    WITH ORDINALITY AS path"
    "   JOIN pg_catalog.pg_namespace n ON n.nspname" EQ "path.path"
    "    AND n.oid OPERATOR(pg_catalog.<>) pg_catalog.pg_my_temp_schema()"
    "   LEFT JOIN pg_catalog.pg_class c ON c.relnamespace" EQ "n.oid"
    "    AND c.relname" EQ "%L::pg_catalog.name"
    "   ORDER BY c.oid IS NULL, path.ordinality LIMIT 1)) AS name) s"
    " LEFT JOIN pg_catalog.pg_namespace n ON n.nspname" EQ "s.name"
    " LEFT JOIN pg_catalog.pg_class c ON c.relnamespace" EQ "n.oid"
    "  AND c.relname" EQ "%L::pg_catalog.name"
    " LEFT JOIN pg_catalog.pg_class h ON h.relnamespace" EQ "n.oid"
    "  AND h.relname" EQ "(%L::pg_catalog.text" CONCAT
    "'_history')::pg_catalog.name"
    " LEFT JOIN pg_catalog.pg_class j ON j.relnamespace" EQ "n.oid"
    "  AND j.relname" EQ "(%L::pg_catalog.text" CONCAT
    "'_journal')::pg_catalog.name"
    " LEFT JOIN pg_catalog.pg_class r ON r.relnamespace" EQ "n.oid"
    "  AND r.relname" EQ "(pg_catalog.left(%L::pg_catalog.text, 51)" CONCAT
    "'_run_journal')::pg_catalog.name"
    " LEFT JOIN pg_catalog.pg_class b ON b.relnamespace" EQ "n.oid"
    "  AND b.relname" EQ "(pg_catalog.left(%L::pg_catalog.text, 54)" CONCAT
    "'_backfill')::pg_catalog.name";

/* Tables of the name in other schemas; a history without its table, too. */
static const char elsewhere_sql[] =
    "SELECT DISTINCT n.nspname::pg_catalog.text AS schema,"
    " NOT pg_catalog.has_schema_privilege(n.oid, 'USAGE') AS barred"
    " FROM pg_catalog.pg_class c"
    " JOIN pg_catalog.pg_namespace n ON n.oid" EQ "c.relnamespace"
    " CROSS JOIN LATERAL (SELECT " COLUMNS " AS columns) AS t"
    " WHERE c.relkind::pg_catalog.text OPERATOR(pg_catalog.=)"
    "  ANY ('{r,p}'::pg_catalog.text[])"
    " AND c.relpersistence OPERATOR(pg_catalog.<>) 't' AND ";

static bool is(const struct pgmig_cell *value, const char *wanted)
{
    return value->text != NULL && strcmp(value->text, wanted) == 0;
}

/* Names that the caller has given stay; what a probe has found goes. */
static void forget(struct pgmig_ledger *ledger)
{
    for (size_t i = PGMIG_LEDGER_NAMES; i < PGMIG_LEDGER_TEXTS; i++) {
        free(ledger->texts[i]);
        ledger->texts[i] = NULL;
    }
}

/* "schema"."table", in the schema that was found or would be used. The server
** would cut a name that is too long by itself, with a notice, and at its end:
** the suffix would go. */
static char *qualified(const char *schema, const char *table,
                       const char *suffix)
{
    struct pgmig_buf out = {0};
    int room = (int)(PGMIG_NAME_BYTES - strlen(suffix));

    pgmig_buf_addf(&out, "%s.\"%.*s%s\"", schema, room, table, suffix);
    return out.data;
}

/* No schema is no error yet: whoever only looks may live without the tables
** (pgmig_ledger_check). The path is kept to say what is wrong with it. */
static int qualify(struct pgmig_ledger *ledger, struct pgmig_conn *conn,
                   const struct pgmig_cell *row, struct pgmig_error *err)
{
    const char *schema = row[P_SCHEMA].text;
    size_t len = row[P_SCHEMA].len;
    char *quoted;

    forget(ledger);
    if (schema == NULL) {
        pgmig_error_field(&ledger->path, row[P_PATH].text);
        return 0;
    }
    quoted = pgmig_conn_quote_ident(conn, schema, len, err);
    if (quoted == NULL)
        return -1;
    ledger->home = pgmig_strndup(schema, len);
    ledger->tracking = qualified(quoted, ledger->table, "");
    ledger->history = qualified(quoted, ledger->table, "_history");
    ledger->journal = qualified(quoted, ledger->table, "_journal");
    ledger->runs = qualified(quoted, ledger->table, "_run_journal");
    ledger->backfill = qualified(quoted, ledger->table, "_backfill");
    free(quoted);
    if (ledger->home && ledger->tracking && ledger->history &&
        ledger->journal && ledger->runs && ledger->backfill)
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
                         const struct pgmig_cell *row, struct pgmig_error *err)
{
    const char *columns = row[P_COLUMNS].text;

    if (columns == NULL) /* a table may have none */
        columns = "";
    if (ledger->layout == NULL) {
        ledger->digits = pgmig_shape_digits(columns);
        return ledger->digits > 0
                   ? 0
                   : pgmig_shape_refuse(ledger, columns,
                                        row[P_FORMAT].text != NULL, err);
    }
    ledger->digits = PGMIG_VERSION_DIGITS;
    if (pgmig_layout_fits(ledger->layout, columns))
        return 0;
    return refuse_shared(ledger, columns, err);
}

/* The key is what the whole claim rests on. A table with a lock in its place
** needs none. */
static int check_table(struct pgmig_ledger *ledger,
                       const struct pgmig_cell *row, struct pgmig_error *err)
{
    const char *key = ledger->layout ? ledger->layout->key : "version";

    if (check_columns(ledger, row, err) != 0)
        return -1;
    if ((ledger->layout && ledger->layout->locked) || is(&row[P_UNIQUE], "t"))
        return 0;
    pgmig_error_set(err, PGMIG_E_PLAN, "table %s has no primary key on %s",
                    ledger->asked, key);
    return pgmig_error_hint(
        err,
        "without it two runs could apply the same migration twice: ALTER TABLE "
        "%s ADD PRIMARY KEY (%s)",
        ledger->tracking, key);
}

/* A newer pgmig may mean something else by the same columns, so nothing is
** written; a table of that name without a format is none of ours. */
static int check_history(struct pgmig_ledger *ledger,
                         const struct pgmig_cell *row, struct pgmig_error *err)
{
    const char *format = row[P_FORMAT].text;

    ledger->format = format ? atoi(format) : 0;
    if (ledger->format > PGMIG_HISTORY_FORMAT) {
        pgmig_error_set(err, PGMIG_E_PLAN,
                        "table %s was written by a newer pgmig (format %d)",
                        ledger->history, ledger->format);
        return pgmig_error_hint(
            err, "upgrade this pgmig, which supports formats up to %d",
            PGMIG_HISTORY_FORMAT);
    }
    if (ledger->format > 0 || !is(&row[P_HISTORY], "t"))
        return 0;
    pgmig_error_set(err, PGMIG_E_PLAN, "table %s is not a pgmig history",
                    ledger->history);
    if (!ledger->exists)
        return pgmig_error_hint(err, "choose another name with --table (option "
                                     "`table`); nothing was touched");
    return pgmig_error_hint(err,
                            "it has the name that pgmig's history of table %s "
                            "needs: rename it with ALTER TABLE %s RENAME "
                            "TO ...; nothing was touched",
                            ledger->tracking, ledger->history);
}

/* Before anything is asked: a pooler's console would answer with something.
** What PostgreSQL 9.6 lacks, such as identity columns, is used everywhere. */
static int check_server(const struct pgmig_conn *conn, struct pgmig_error *err)
{
    const char *version = pgmig_conn_parameter(conn, "server_version");

    if (pgmig_conn_server_version(conn) >= OLDEST_SERVER)
        return 0;
    pgmig_error_set(
        err, PGMIG_E_PLAN,
        "PostgreSQL %d or newer is required, but the server's version is %s",
        OLDEST_SERVER / 10000, version ? version : "unknown");
    return pgmig_error_hint(
        err, "nothing was touched; if this is the admin console of a pooler, "
             "connect to one of its databases");
}

void pgmig_probe_add(struct pgmig_sql *s)
{
    const struct pgmig_ledger *ledger = s->ledger;
    const char *table = ledger->table;

    if (check_server(s->conn, s->err) != 0) {
        pgmig_sql_fail(s);
        return;
    }
    pgmig_sql_patience(s);
    pgmig_sql_addf(s, probe_before,
                   ledger->layout ? ledger->layout->key : "version");
    pgmig_trust_add_doubt(TABLES, &s->text);
    pgmig_sql_addf(s, probe_from, ledger->schema, table, table, table, table,
                   table, table);
}

/* Whether `columns` are those of such a table. */
static void add_shape(struct pgmig_sql *s)
{
    if (s->ledger->layout != NULL) {
        pgmig_sql_addf(s,
                       "pg_catalog.string_to_array(columns, ',') %@> "
                       "pg_catalog.string_to_array(%L, ',')",
                       s->ledger->layout->columns);
        return;
    }
    pgmig_shape_add(s);
}

/* Names are plain (ledger.c, valid_name), so they stand in quotes as they
** are. */
void pgmig_probe_add_elsewhere(struct pgmig_sql *s, bool used)
{
    const struct pgmig_ledger *ledger = s->ledger;

    pgmig_sql_patience(s);
    pgmig_sql_add(s, elsewhere_sql);
    pgmig_sql_addf(s, "(c.relname %= '%s' AND ", ledger->table);
    add_shape(s);
    pgmig_sql_addf(s,
                   " OR c.relname %= '%s_history' AND "
                   "pg_catalog.string_to_array(columns, ',') %@> "
                   "'{checksum text,event text,format int4}')",
                   ledger->table);
    if (used)
        pgmig_sql_addf(s, " AND pg_catalog.pg_relation_size(c.oid) %> 0");
    if (ledger->home != NULL)
        pgmig_sql_addf(s, " AND n.nspname %<> %L", ledger->home);
    pgmig_sql_add(s, " ORDER BY 1");
}

/* A text of the answer, kept; NULL for a NULL. */
static int keep(const struct pgmig_cell *value, char **text,
                struct pgmig_error *err)
{
    if (value->text == NULL)
        return 0;
    *text = pgmig_strndup(value->text, value->len);
    return *text ? 0 : pgmig_error_memory(err);
}

/* What is no table at all is refused as that (trust.c), not for its columns. */
static bool is_told_later(const struct pgmig_ledger *ledger,
                          const struct pgmig_cell *row)
{
    return ledger->doubted != NULL && !is(&row[P_KIND], "r");
}

/* The answer has the shape that was asked for (pgmig_probe_shape), so that it
** can be read by position. The table's columns are looked at last: where the
** tables are, is known also for those that are refused. */
int pgmig_probe_finish(struct pgmig_ledger *ledger, struct pgmig_conn *conn,
                       struct pgmig_error *err)
{
    struct pgmig_cell row[P_COUNT];

    pgmig_conn_row(conn, 0, row);
    pgmig_conn_served_by(conn, atoi(row[P_PID].text));
    ledger->read_only = is(&row[P_STANDBY], "t");
    ledger->on_linux = is(&row[P_LINUX], "t");
    ledger->over_tcp = is(&row[P_TCP], "t");
    ledger->durable = is(&row[P_DURABLE], "t");
    ledger->exists = is(&row[P_FOUND], "t");
    ledger->journaled = is(&row[P_JOURNAL], "t");
    ledger->has_runs = is(&row[P_RUNS], "t");
    ledger->has_backfill = is(&row[P_BACKFILL], "t");
    ledger->digits = ledger->layout ? PGMIG_VERSION_DIGITS : 9;
    if (qualify(ledger, conn, row, err) != 0 ||
        keep(&row[P_UNFIT], &ledger->unfit, err) != 0 ||
        keep(&row[P_DOUBTED], &ledger->doubted, err) != 0)
        return -1;
    if (ledger->exists && !is_told_later(ledger, row) &&
        check_table(ledger, row, err) != 0)
        return -1;
    ledger->watched = is(&row[P_WATCHED], "t");
    return check_history(ledger, row, err);
}

/* About the oids that were found, and not about names: another table may have
** taken a name since. */
void pgmig_probe_add_trust(struct pgmig_sql *s)
{
    struct pgmig_buf tables = {0};

    pgmig_buf_addf(&tables, "'%s'::pg_catalog.oid[]",
                   s->ledger->doubted ? s->ledger->doubted : "{}");
    pgmig_sql_patience(s);
    if (tables.failed) {
        pgmig_sql_fail(s);
        return;
    }
    pgmig_sql_add(s, "SELECT ");
    pgmig_trust_add(tables.data, &s->text);
    pgmig_sql_add(s, ", ");
    pgmig_buf_addf(&s->text, hidden_sql, tables.data);
    pgmig_buf_free(&tables);
}

/* From here on the tables may be used, until the next probe. */
int pgmig_probe_finish_trust(struct pgmig_ledger *ledger,
                             struct pgmig_conn *conn, struct pgmig_error *err)
{
    struct pgmig_cell row[2]; /* the objection, and what is hidden */

    pgmig_conn_row(conn, 0, row);
    if (row[0].text != NULL)
        return pgmig_trust_refuse(row[0].text, err);
    free(ledger->doubted);
    free(ledger->hidden);
    ledger->doubted = ledger->hidden = NULL;
    return keep(&row[1], &ledger->hidden, err);
}
