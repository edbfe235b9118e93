/*
** operation.c -- whatever is asked of the tables outside a migration.
**
** The SQL is written by the module that it belongs to, sent as one message, and
** the answer's shape is said beforehand. A message of several commands is one
** transaction (protocol manual, "Multiple Statements in a Simple Query"): so
** nothing is done by half, and no transaction is left open where the connection
** goes.
*/
#include <string.h>

#include "wire/conn.h"
#include "base/error.h"
#include "ledger/journal.h"

/* ---- how a message begins -------------------------------------------- */

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
        pgmig_tracking_add_list(s);
    pgmig_sql_end(s);
    if (s->ledger->format > 0)
        pgmig_history_add_marks(s);
    pgmig_sql_end(s);
    if (s->ledger->format >= 2 && s->ledger->journaled)
        pgmig_journal_add_list(s);
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
        pgmig_tracking_add_list(s);
        break;
    }
}

/* Which of the tables' own there are is not known yet. */
static bool looks_for_tables(enum pgmig_ledger_op op)
{
    return op == PGMIG_LEDGER_PROBE || op == PGMIG_LEDGER_ELSEWHERE ||
           op == PGMIG_LEDGER_TRUST;
}

static void add_prepare(struct pgmig_sql *s)
{
    add_writable(s);
    pgmig_tracking_add_table(s);
    pgmig_history_add_tables(s);
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
        add_writable(s);
        pgmig_tracking_add_widening(s, argument);
        break;
    case PGMIG_LEDGER_READ:
        add_read(s);
        break;
    default:
        add_query(s, op, argument);
        break;
    }
}

/* ---- what is answered ------------------------------------------------- */

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
    "* key:text event:text checksum:text? message:text? run:text? at:text? "
    "sqlstate:text? detail:text? line:int?";

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
    conn->shape = shape_of(s->ledger, op);
    conn->asking = s->ledger;
    conn->asked = op;
    conn->keeps = op == PGMIG_LEDGER_READ;
    if (conn->keeps)
        expect_all(s->ledger, conn);
    return 0;
}

/* ---- the operations --------------------------------------------------- */

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

int pgmig_ledger_text(const struct pgmig_ledger *ledger,
                      struct pgmig_conn *conn, enum pgmig_ledger_op op,
                      const char *argument, struct pgmig_buf *out,
                      struct pgmig_error *err)
{
    struct pgmig_sql s = PGMIG_SQL(ledger, conn, err);
    int status = pgmig_ledger_check(ledger, err);

    if (status == 0) {
        add_operation(&s, op, argument);
        status = pgmig_sql_finish(&s);
    }
    pgmig_sql_part(&s);
    for (size_t i = 0; status == 0 && i < s.count; i++)
        pgmig_buf_addf(out, "%s;\n", s.text.data + s.commands[i].start);
    pgmig_sql_free(&s);
    if (status == 0 && out->failed)
        return pgmig_error_memory(err);
    return status;
}

static void add_change(struct pgmig_sql *s, enum pgmig_ledger_change change,
                       const struct pgmig_entry *entry)
{
    switch (change) {
    case PGMIG_CHANGE_NONE:
        break;
    case PGMIG_CHANGE_NAME:
        pgmig_tracking_add_name(s, entry);
        break;
    case PGMIG_CHANGE_ROW:
        pgmig_tracking_add_lost_row(s, entry);
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
    for (size_t i = 0; i < count; i++) {
        pgmig_tracking_add_adopted(&s, &entries[i]);
        pgmig_history_add(&s, &entries[i]);
    }
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
