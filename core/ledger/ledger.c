/*
** ledger.c -- the tracking table: its name, its shape, its rows.
**
** Whatever the caller asks of the tables begins here (pgmig_ledger_start and
** the functions like it): the SQL is written by the module that it belongs to,
** sent as one message, and the answer's shape is said beforehand. A message of
** several commands is one transaction (protocol manual, "Multiple Statements in
** a Simple Query"): so nothing is done by half, and no transaction is left open
** where the connection goes.
**
** A ledger holds names and what the last probe has found, no connection and no
** rows. Nothing is asked before a probe has found the tables' schema, and
** nothing before it is known whose they are (pgmig_ledger_check).
*/
#include "ledger/ledger.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "wire/conn.h"
#include "base/error.h"
#include "ledger/journal.h"
#include "ledger/layout.h"
#include "ledger/runs.h"

/* Nobody holds a lock on these tables for long; whoever does is to be told
** of. */
#define PATIENCE 5000 /* ms */
#define NAME_MAX_BYTES PGMIG_NAME_BYTES
#define SUFFIX_BYTES 8 /* "_history", "_journal" */

/* ---- its name -------------------------------------------------------- */

/* The bytes of an identifier that needs no quotes, 0 when it is none. Only
** ASCII: what the server takes for a letter depends on its locale. */
static size_t plain_name(const char *s, size_t max)
{
    size_t n = 0;

    if (!isalpha((unsigned char)s[0]) && s[0] != '_')
        return 0;
    while (isalnum((unsigned char)s[n]) || s[n] == '_' || s[n] == '$')
        n++;
    return n <= max ? n : 0;
}

/* A name in double quotes, which are doubled within: how many bytes. */
static size_t quoted_name(const char *s)
{
    size_t n = 1;

    if (s[0] != '"')
        return 0;
    while (s[n] != '\0' && (s[n] != '"' || s[n + 1] == '"'))
        n += s[n] == '"' ? 2 : 1;
    return s[n] == '"' && n > 1 && n <= NAME_MAX_BYTES + 1 ? n + 1 : 0;
}

/* Take "name" or "schema.name" apart: false when the name is refused. *schema
** receives the length of the schema's part, 0 for none. Of the server's own
** schemas, none keeps tables; pg_temp goes with its session. The table's name
** leaves room for the suffixes, since the server would cut them off. */
static bool valid_name(const char *name, size_t *schema)
{
    size_t quoted = quoted_name(name);
    size_t n = quoted ? quoted : plain_name(name, NAME_MAX_BYTES);

    *schema = n > 0 && name[n] == '.' ? n : 0;
    if (*schema > 0 && strncmp(name + (quoted ? 1 : 0), "pg_", 3) == 0)
        return false;
    if (*schema > 0)
        name += n + 1;
    n = plain_name(name, NAME_MAX_BYTES - SUFFIX_BYTES);
    return n > 0 && name[n] == '\0';
}

static int refuse_name(const char *table, struct pgmig_error *err)
{
    pgmig_error_set(err, PGMIG_E_USAGE, "invalid table name \"%.100s\"", table);
    return pgmig_error_hint(
        err,
        "use at most %d letters, digits and _, not starting with a digit; "
        "schema.table also names a schema, which must not start with pg_ and "
        "may be double-quoted",
        NAME_MAX_BYTES - SUFFIX_BYTES);
}

/* The name that is written so; NULL without memory. Of two quotes within, which
** stand for one, the second is passed over. */
static char *unquoted(const char *s, size_t len)
{
    char *name = pgmig_strndup(s, len);
    size_t to = 0;

    if (name == NULL || s[0] != '"')
        return name;
    for (size_t from = 1; from + 1 < len; from++) {
        name[to++] = s[from];
        from += s[from] == '"' ? 1 : 0;
    }
    name[to] = '\0';
    return name;
}

/* The bare table name is not folded to small letters: it is quoted wherever it
** is used. */
static int set_names(struct pgmig_ledger *ledger, const char *table,
                     size_t schema)
{
    if (schema > 0) {
        ledger->schema = unquoted(table, schema);
        table += schema + 1;
    }
    ledger->table = pgmig_strndup(table, strlen(table));
    return ledger->table == NULL || (schema > 0 && ledger->schema == NULL) ? -1
                                                                           : 0;
}

struct pgmig_ledger *pgmig_ledger_new(const char *table,
                                      struct pgmig_error *err)
{
    struct pgmig_ledger *ledger;
    size_t schema;

    if (!valid_name(table, &schema)) {
        refuse_name(table, err);
        return NULL;
    }
    ledger = calloc(1, sizeof *ledger);
    if (ledger != NULL) {
        ledger->patience = PATIENCE;
        ledger->asked = pgmig_strndup(table, strlen(table));
        if (ledger->asked != NULL && set_names(ledger, table, schema) == 0)
            return ledger;
    }
    pgmig_ledger_free(ledger);
    pgmig_error_memory(err);
    return NULL;
}

/* All texts are one array (ledger.h): none is forgotten when one is added. */
void pgmig_ledger_free(struct pgmig_ledger *ledger)
{
    if (ledger == NULL)
        return;
    for (size_t i = 0; i < PGMIG_LEDGER_TEXTS; i++)
        free(ledger->texts[i]);
    pgmig_layout_free(ledger->layout);
    free(ledger);
}

/* Let the copy have texts of its own. It goes on behind a failure: what it has
** not copied must not stay the other one's, which pgmig_ledger_free would
** free. */
static int copy_texts(struct pgmig_ledger *copy)
{
    int status = 0;

    for (size_t i = 0; i < PGMIG_LEDGER_TEXTS; i++) {
        const char *text = copy->texts[i];

        if (text == NULL)
            continue;
        copy->texts[i] = pgmig_strndup(text, strlen(text));
        if (copy->texts[i] == NULL)
            status = -1;
    }
    return status;
}

struct pgmig_ledger *pgmig_ledger_copy(const struct pgmig_ledger *ledger,
                                       struct pgmig_error *err)
{
    struct pgmig_ledger *copy = malloc(sizeof *copy);
    int status;

    if (copy == NULL) {
        pgmig_error_memory(err);
        return NULL;
    }
    /* texts and layout are still the other one's: replaced one by one below */
    *copy = *ledger;
    status = copy_texts(copy);
    if (ledger->layout != NULL) {
        copy->layout = pgmig_layout_copy(ledger->layout);
        status = copy->layout ? status : -1;
    }
    if (status == 0)
        return copy;
    pgmig_ledger_free(copy);
    pgmig_error_memory(err);
    return NULL;
}

int pgmig_ledger_share(struct pgmig_ledger *ledger,
                       const struct pgmig_layout *layout,
                       struct pgmig_error *err)
{
    struct pgmig_layout *copy = pgmig_layout_copy(layout);

    if (copy == NULL)
        return pgmig_error_memory(err);
    pgmig_layout_free(ledger->layout);
    ledger->layout = copy;
    return 0;
}

/* ---- operations ------------------------------------------------------ */

void pgmig_ledger_set_patience(struct pgmig_ledger *ledger, int milliseconds)
{
    ledger->patience = milliseconds;
}

/* These hold for the message's transaction, whatever the defaults. They come
** first: an isolation level cannot be set behind a query (manual, SET
** TRANSACTION). */
static void add_begin(struct pgmig_sql *s)
{
    pgmig_sql_addf(s, "SET TRANSACTION ISOLATION LEVEL READ COMMITTED%;"
                      "SET TRANSACTION READ WRITE%;");
    pgmig_sql_patience(s);
    pgmig_sql_tag(s);
}

static void add_writable(struct pgmig_sql *s)
{
    add_begin(s);
    pgmig_sql_durable(s);
}

/* INTEGER, as other tools have it; widened where a version needs more
** (add_widen). */
static void add_prepare(struct pgmig_sql *s)
{
    add_writable(s);
    if (s->ledger->layout != NULL)
        pgmig_layout_add(s, s->ledger->layout->create, NULL);
    else
        pgmig_sql_addf(s, "CREATE TABLE IF NOT EXISTS %t "
                          "(version INTEGER PRIMARY KEY, "
                          "name pg_catalog.text NOT NULL, "
                          "applied_at pg_catalog.timestamptz NOT NULL "
                          "DEFAULT pg_catalog.now())");
    pgmig_sql_end(s);
    pgmig_history_add_tables(s);
}

/* As text, since a version may have more digits than a double holds; ordered as
** numbers. */
static void add_rows(struct pgmig_sql *s)
{
    if (s->ledger->layout == NULL) {
        pgmig_sql_addf(
            s, "SELECT version::pg_catalog.text AS id, name, "
               "pg_catalog.to_json(applied_at) %#>> '{}' AS applied_at, "
               "pg_catalog.date_part('epoch', applied_at) "
               "AS applied_at_epoch FROM %t AS t ORDER BY t.version");
        return;
    }
    pgmig_sql_addf(s, "SELECT key AS id, NULL::pg_catalog.text AS name, "
                      "pg_catalog.to_json(applied_at) %#>> '{}' AS applied_at, "
                      "pg_catalog.date_part('epoch', applied_at) "
                      "AS applied_at_epoch FROM (");
    pgmig_layout_add(s, s->ledger->layout->list, NULL);
    pgmig_sql_add(s, ") AS t");
}

/* One snapshot for all, taken when nobody can rewrite the tables any more: who
** has a snapshot from before an ALTER TABLE that does finds no row in them
** (manual, "Caveats" of concurrency control). LOCK TABLE takes none, so that it
** can come first (manual, LOCK). In a transaction of the caller's the level
** cannot be set any more: there it reads what that sees. */
static void add_snapshot(struct pgmig_sql *s)
{
    const struct pgmig_ledger *ledger = s->ledger;
    const char *const tables[] = {
        ledger->exists ? ledger->tracking : NULL,
        ledger->format > 0 ? ledger->history : NULL,
        ledger->journaled ? ledger->journal : NULL,
        ledger->has_runs ? ledger->runs : NULL,
    };

    if (pgmig_conn_tx(s->conn) == PGMIG_TX_IDLE)
        pgmig_sql_addf(s, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ%;");
    pgmig_sql_patience(s);
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        if (tables[i] != NULL)
            pgmig_sql_addf(s, "LOCK TABLE %s IN ACCESS SHARE MODE%;",
                           tables[i]);
}

/* In this order the results come (expect_all). */
static void add_read(struct pgmig_sql *s)
{
    add_snapshot(s);
    if (s->ledger->exists)
        add_rows(s);
    pgmig_sql_end(s);
    if (s->ledger->format > 0)
        pgmig_history_add_marks(s);
    pgmig_sql_end(s);
    if (s->ledger->format >= 2 && s->ledger->journaled)
        pgmig_journal_add_list(s);
}

/* The objection comes first: where there is doubt, not even reading is done, as
** a policy of another one's could run code with our rights. */
int pgmig_ledger_check(const struct pgmig_ledger *ledger,
                       struct pgmig_error *err)
{
    const char *path = ledger->path ? ledger->path : "";

    if (ledger->doubted != NULL)
        return pgmig_error_set(
            err, PGMIG_E_USAGE,
            "the ownership of the tables has not been checked");
    if (ledger->tracking != NULL)
        return 0;
    pgmig_error_set(err, PGMIG_E_PLAN,
                    "no schema is available for the tracking table");
    if (path[strspn(path, "\", ")] == '\0')
        return pgmig_error_hint(err, "search_path is empty: name the table as "
                                     "schema.table");
    return pgmig_error_hint(
        err,
        "search_path is %s, but none of its schemas exists and can be used: "
        "create one, correct search_path, or name the table as schema.table",
        path);
}

/* Before any claim and in a transaction of its own: ALTER TABLE waits for all
** who have claimed, and two that have claimed, and both widen, deadlock. A
** BIGINT holds all numbers of 18 digits. */
static void add_widen(struct pgmig_sql *s, const char *version)
{
    add_writable(s);
    pgmig_sql_addf(s, "ALTER TABLE %t ALTER COLUMN version TYPE %s",
                   strlen(version) <= 18 ? "BIGINT" : "NUMERIC");
}

static void add_query(struct pgmig_sql *s, enum pgmig_ledger_op op,
                      const char *argument)
{
    pgmig_sql_patience(s);
    switch (op) {
    case PGMIG_LEDGER_MARKS:
        pgmig_history_add_marks(s);
        break;
    case PGMIG_LEDGER_HISTORY:
        pgmig_history_add_list(s, argument ? argument : "ALL");
        break;
    case PGMIG_LEDGER_JOURNAL:
        pgmig_journal_add_list(s);
        break;
    default:
        add_rows(s);
        break;
    }
}

/* Which of the tables' own there are is not known yet. */
static bool looks_for_tables(enum pgmig_ledger_op op)
{
    return op == PGMIG_LEDGER_PROBE || op == PGMIG_LEDGER_ELSEWHERE ||
           op == PGMIG_LEDGER_TRUST;
}

static void add_operation(struct pgmig_sql *s, enum pgmig_ledger_op op,
                          const char *argument)
{
    switch (op) {
    case PGMIG_LEDGER_PROBE:
        pgmig_probe_add(s);
        break;
    case PGMIG_LEDGER_ELSEWHERE:
        pgmig_probe_add_elsewhere(s, argument != NULL);
        break;
    case PGMIG_LEDGER_TRUST:
        pgmig_probe_add_trust(s);
        break;
    case PGMIG_LEDGER_PREPARE:
        add_prepare(s);
        break;
    case PGMIG_LEDGER_ADVANCE:
        add_writable(s);
        pgmig_history_add_advance(s);
        break;
    case PGMIG_LEDGER_WIDEN:
        add_widen(s, argument);
        break;
    case PGMIG_LEDGER_READ:
        add_read(s);
        break;
    default:
        add_query(s, op, argument);
        break;
    }
}

/* What the answers look like (answer.h). */
#define PLACED " sqlstate:text? detail:text? file:text? line:int? column:int?"
#define JOURNALED                                                       \
    " migration:text direction:text owner:text? state:text done:text? " \
    "running:text? statement:text? existed:text? pid:int? "             \
    "backend_start:text? started_at:text"
#define JOURNALED_3                                   \
    JOURNALED                                         \
    " revision:int db_user:text? server_start:text? " \
    "relation:text? target:text? invalid:text? "      \
    "session_known:bool? role:text? path:text? lost:text? gone:text?"
#define EVENTS                                                        \
    "* event:text id:text? name:text checksum:text? started_at:text " \
    "finished_at:text duration:float db_user:text host:text? "        \
    "program:text? run:text? message:text?"

static const char list_shape[] =
    "* id:text name:text? applied_at:text? applied_at_epoch:float?";
static const char marks_shape[] =
    "* key:text event:text checksum:text? message:text? run:text? at:text?";

static const char *shape_of(const struct pgmig_ledger *ledger,
                            enum pgmig_ledger_op op)
{
    bool new = ledger->format >= 3;

    switch (op) {
    case PGMIG_LEDGER_PROBE:
        return pgmig_probe_shape;
    case PGMIG_LEDGER_LIST:
        return list_shape;
    case PGMIG_LEDGER_MARKS:
        return marks_shape;
    case PGMIG_LEDGER_HISTORY:
        return new ? EVENTS PLACED : EVENTS;
    case PGMIG_LEDGER_JOURNAL:
        return new ? "*" JOURNALED_3 : "*" JOURNALED;
    case PGMIG_LEDGER_TAKE:
        return new ? "?" JOURNALED_3 : "?" JOURNALED;
    case PGMIG_LEDGER_TRUST:
        return "1 _:text? _:text?";
    case PGMIG_LEDGER_ELSEWHERE:
        return "* schema:text barred:bool";
    default:
        return "-";
    }
}

/* Of READ's results, in their order (add_read). */
static void expect_all(const struct pgmig_ledger *ledger,
                       struct pgmig_conn *conn)
{
    int n = 0;

    if (ledger->exists)
        conn->kept_shapes[n++] = list_shape;
    if (ledger->format > 0)
        conn->kept_shapes[n++] = marks_shape;
    if (ledger->format >= 2 && ledger->journaled)
        conn->kept_shapes[n++] = shape_of(ledger, PGMIG_LEDGER_JOURNAL);
    while (n < PGMIG_RESULTS)
        conn->kept_shapes[n++] = NULL;
}

/* Send what was written down for an operation, and free it. The connection
** knows whose operation it is: another ledger cannot finish it. */
static int send(struct pgmig_sql *s, enum pgmig_ledger_op op)
{
    struct pgmig_conn *conn = s->conn;
    int status = pgmig_sql_finish(s);

    if (status == 0)
        status =
            pgmig_conn_send(conn, s->text.data, s->text.len, 0, NULL, s->err);
    pgmig_sql_free(s);
    if (status != 0)
        return status;
    pgmig_conn_expect(conn, shape_of(s->ledger, op));
    conn->asking = s->ledger;
    conn->asked = op;
    conn->keeps = op == PGMIG_LEDGER_READ;
    if (conn->keeps)
        expect_all(s->ledger, conn);
    return 0;
}

int pgmig_ledger_start(struct pgmig_ledger *ledger, struct pgmig_conn *conn,
                       enum pgmig_ledger_op op, const char *argument,
                       struct pgmig_error *err)
{
    struct pgmig_sql s = PGMIG_SQL(ledger, conn, err);

    if (!looks_for_tables(op) && pgmig_ledger_check(ledger, err) != 0)
        return -1;
    add_operation(&s, op, argument);
    return send(&s, op);
}

/* The row takes the entry's name; another tool's table has none. */
static void add_name(struct pgmig_sql *s, const struct pgmig_entry *entry)
{
    if (s->ledger->layout == NULL && entry->version != NULL)
        pgmig_sql_addf(s, "UPDATE %t SET name = %L WHERE version %= %s%;",
                       entry->name, entry->version);
}

/* The row as it was when the migration was recorded last. By another run's hand
** it may be there again by now: then it stays. */
static void add_lost_row(struct pgmig_sql *s, const struct pgmig_entry *entry)
{
    pgmig_sql_addf(
        s,
        "INSERT INTO %t (version, name, applied_at) SELECT %s, h.name, "
        "h.finished_at FROM %h h WHERE h.version %= %s "
        "AND h.event %= ANY ('{up,baseline,fake,adopted}'::pg_catalog.text[]) "
        "ORDER BY h.id DESC LIMIT 1 ON CONFLICT (version) DO NOTHING%;",
        entry->version, entry->version);
}

static void add_change(struct pgmig_sql *s, enum pgmig_ledger_change change,
                       const struct pgmig_entry *entry)
{
    switch (change) {
    case PGMIG_CHANGE_NONE:
        break;
    case PGMIG_CHANGE_NAME:
        add_name(s, entry);
        break;
    case PGMIG_CHANGE_ROW:
        add_lost_row(s, entry);
        break;
    default:
        pgmig_journal_add_change(s, change, entry);
        break;
    }
}

/* Change and event commit together, or neither. */
int pgmig_ledger_record(struct pgmig_ledger *ledger, struct pgmig_conn *conn,
                        enum pgmig_ledger_change change,
                        const struct pgmig_entry *entry,
                        struct pgmig_error *err)
{
    struct pgmig_sql s = PGMIG_SQL(ledger, conn, err);

    if (pgmig_ledger_check(ledger, err) != 0)
        return -1;
    add_writable(&s);
    add_change(&s, change, entry);
    pgmig_history_add(&s, entry);
    return send(&s, PGMIG_LEDGER_RECORD);
}

int pgmig_ledger_take(struct pgmig_ledger *ledger, struct pgmig_conn *conn,
                      const struct pgmig_entry *entry, const char *by,
                      struct pgmig_error *err)
{
    struct pgmig_sql s = PGMIG_SQL(ledger, conn, err);

    if (pgmig_ledger_check(ledger, err) != 0)
        return -1;
    add_writable(&s);
    pgmig_journal_add_take(&s, entry, by);
    return send(&s, PGMIG_LEDGER_TAKE);
}

int pgmig_ledger_set_aside(struct pgmig_ledger *ledger, struct pgmig_conn *conn,
                           const struct pgmig_entry *entry,
                           const struct pgmig_debris *index,
                           struct pgmig_error *err)
{
    struct pgmig_sql s = PGMIG_SQL(ledger, conn, err);

    if (pgmig_ledger_check(ledger, err) != 0)
        return -1;
    add_writable(&s);
    pgmig_journal_add_set_aside(&s, entry, index);
    return send(&s, PGMIG_LEDGER_RECORD);
}

/* Nothing depends on it: it does not wait for the disk. Without the row a run
** that is cut off is only less well explained. */
int pgmig_ledger_begin_run(struct pgmig_ledger *ledger, struct pgmig_conn *conn,
                           const struct pgmig_entry *entry, const char *plan,
                           struct pgmig_error *err)
{
    struct pgmig_sql s = PGMIG_SQL(ledger, conn, err);

    if (pgmig_ledger_check(ledger, err) != 0)
        return -1;
    add_begin(&s);
    pgmig_sql_addf(&s, "SET LOCAL synchronous_commit = off%;");
    pgmig_runs_add_begin(&s, entry, plan);
    return send(&s, PGMIG_LEDGER_RECORD);
}

/* Where no migration of the run was there to take it along (job->ends_run). */
int pgmig_ledger_end_run(struct pgmig_ledger *ledger, struct pgmig_conn *conn,
                         const char *run, struct pgmig_error *err)
{
    struct pgmig_sql s = PGMIG_SQL(ledger, conn, err);

    if (pgmig_ledger_check(ledger, err) != 0)
        return -1;
    add_begin(&s);
    pgmig_runs_add_end(&s, run);
    return send(&s, PGMIG_LEDGER_RECORD);
}

/* The row of a migration that another tool has applied; it is there already
** where both keep the same table. */
static void add_adopted(struct pgmig_sql *s, const struct pgmig_entry *entry)
{
    if (entry->version != NULL && s->ledger->layout == NULL)
        pgmig_sql_addf(s,
                       "INSERT INTO %t (version, name, applied_at) "
                       "VALUES (%s, %L, COALESCE(%L::pg_catalog.timestamptz, "
                       "pg_catalog.now())) ON CONFLICT (version) DO NOTHING%;",
                       entry->version, entry->name, entry->applied_at);
    pgmig_history_add(s, entry);
}

/* All in one transaction: what another tool has applied is taken over as a
** whole. */
int pgmig_ledger_adopt(struct pgmig_ledger *ledger, struct pgmig_conn *conn,
                       const struct pgmig_entry *entries, size_t count,
                       struct pgmig_error *err)
{
    struct pgmig_sql s = PGMIG_SQL(ledger, conn, err);

    if (pgmig_ledger_check(ledger, err) != 0)
        return -1;
    add_writable(&s);
    for (size_t i = 0; i < count; i++)
        add_adopted(&s, &entries[i]);
    return send(&s, PGMIG_LEDGER_RECORD);
}

/* Two that create at once: IF NOT EXISTS does not save the second one, which
** meets the table, its type (duplicate_object), a column, or catalog rows
** (unique_violation). What it wanted is there. */
static bool created_meanwhile(const struct pgmig_error *err)
{
    static const char *const states[] = {"42P07", "42710", "23505", "42701"};

    for (size_t i = 0; i < sizeof states / sizeof *states; i++)
        if (strcmp(err->sqlstate, states[i]) == 0)
            return true;
    return false;
}

/* An answer is read only by the ledger that has asked: a probe's goes into
** it. */
int pgmig_ledger_finish(struct pgmig_ledger *ledger, struct pgmig_conn *conn,
                        struct pgmig_error *err)
{
    if (conn->asking != ledger)
        return pgmig_error_set(err, PGMIG_E_USAGE,
                               "no ledger operation was started");
    if (pgmig_conn_finish(conn, err) != 0) {
        if (conn->asked != PGMIG_LEDGER_PREPARE || !created_meanwhile(err))
            return -1;
        pgmig_error_clear(err);
    }
    if (conn->asked == PGMIG_LEDGER_PROBE)
        return pgmig_probe_finish(ledger, conn, err);
    if (conn->asked == PGMIG_LEDGER_TRUST)
        return pgmig_probe_finish_trust(ledger, conn, err);
    return 0;
}

bool pgmig_ledger_exists(const struct pgmig_ledger *ledger)
{
    return ledger->exists;
}

bool pgmig_ledger_complete(const struct pgmig_ledger *ledger)
{
    return ledger->exists && ledger->format == PGMIG_HISTORY_FORMAT &&
           ledger->journaled && ledger->has_runs;
}

bool pgmig_ledger_journaled(const struct pgmig_ledger *ledger)
{
    return ledger->journaled;
}

int pgmig_ledger_format(const struct pgmig_ledger *ledger)
{
    return ledger->format;
}

const char *pgmig_ledger_qualified(const struct pgmig_ledger *ledger)
{
    return ledger->tracking;
}

const char *pgmig_ledger_unfit(const struct pgmig_ledger *ledger)
{
    return ledger->unfit;
}

bool pgmig_ledger_doubted(const struct pgmig_ledger *ledger)
{
    return ledger->doubted != NULL;
}

const char *pgmig_ledger_hidden(const struct pgmig_ledger *ledger)
{
    return ledger->hidden;
}

bool pgmig_ledger_read_only(const struct pgmig_ledger *ledger)
{
    return ledger->read_only;
}

/* A version is digits without leading zeros, so that their number decides. */
bool pgmig_ledger_fits(const struct pgmig_ledger *ledger, const char *version)
{
    return (int)strlen(version) <= ledger->digits;
}
