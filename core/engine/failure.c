/*
** failure.c -- what a failure means for the migration under way.
**
** By what the failed command was for (its role) and by SQLSTATE, never by the
** server's words, which are in its own language. What comes out is one of
** three: another run was first (PGMIG_RACED); it has failed and is rolled back;
** or nobody knows (PGMIG_E_UNKNOWN), which is said only where a COMMIT was on
** its way, or a statement that commits by itself. Whether anything is tried
** again is decided elsewhere (lua/pgmig/run).
*/
#include <string.h>

#include "engine/apply.h"
#include "base/error.h"
#include "text/blame.h"
#include "ledger/ledger.h"

/* What ran alone and may commit (CALL, DO) has perhaps committed a part. */
bool pgmig_failure_is_partial(const struct pgmig_apply *a)
{
    return a->alone && (a->sent.traits & PGMIG_T_MAY_COMMIT);
}

static bool state_is(const struct pgmig_apply *a, const char *sqlstate)
{
    return strcmp(a->error.sqlstate, sqlstate) == 0;
}

void pgmig_failure_name_file(struct pgmig_apply *a)
{
    pgmig_error_field(&a->error.file, a->job.script->path);
}

/*
** Let the error point into the statement under way. The server counts
** characters from 1 in what was sent (protocol manual, "Error and Notice
** Message Fields"), the comment of ours before it included, which is ASCII:
** `tag` bytes are as many characters. A text that a hook has put in place of
** the statement's is in no file: then the statement as a whole is named. Of a
** streamed file only the statement at hand is known, as a list of one.
*/
static void place(struct pgmig_apply *a, size_t position)
{
    bool held = !a->job.script->streamed;

    pgmig_blame_place(&a->error, a->job.script,
                      held ? a->section->statements : &a->range,
                      held ? a->here.at : 0,
                      a->replaced || position <= a->tag ? 0 : position - a->tag,
                      pgmig_conn_counts_bytes(a->conn));
}

/* The claim failed. 23505: the row is there; 22012: a proof says that another
** run has done it. Neither is an error: the caller reads the tables and skips
** the migration. 42P01 (undefined_table) is the other way that a claim which
** has waited can end: the table was there when the run began. */
static enum pgmig_outcome of_claim(struct pgmig_apply *a)
{
    struct pgmig_error *err = &a->error;

    if (state_is(a, "23505") || state_is(a, "22012"))
        return PGMIG_RACED;
    if (err->kind == PGMIG_E_LOCK) {
        pgmig_error_field(&err->message,
                          "another session holds a lock on the migration's "
                          "row, or on the whole tracking table");
        pgmig_error_hint(err, "wait for it, then run again: what another run "
                              "has applied is skipped");
    } else if (state_is(a, "42P01")) {
        pgmig_error_set(err, PGMIG_E_PLAN,
                        "table %s no longer exists: another session dropped it "
                        "during this run",
                        a->ledger->tracking);
        pgmig_error_hint(err, "restore its rows before the next run, which "
                              "would start with an empty table");
    }
    pgmig_failure_name_file(a);
    return PGMIG_FAILED;
}

/* Keep what was unexpected, which is why the connection was given up: it is
** more than that the connection was lost, and becomes the detail of that. */
static char *take_reason(struct pgmig_apply *a)
{
    char *reason = a->conn->refused ? a->error.message : NULL;

    if (reason != NULL)
        a->error.message = NULL;
    return reason;
}

/* A statement was sent, and its COMMIT perhaps with it: nobody told how it
** went. What the journal says, and what the catalogs show, is found out by the
** next run; here nothing is guessed. */
static void untold(struct pgmig_apply *a, const char *when)
{
    char *reason = take_reason(a);

    pgmig_error_set(&a->error, PGMIG_E_UNKNOWN,
                    "the connection was lost while this statement %s: whether "
                    "it took effect is not known",
                    when);
    a->error.detail = reason;
    pgmig_error_hint(&a->error,
                     "run again: pgmig determines the outcome where it can");
}

/* Whether nobody told: what the server has refused is known. A FATAL error,
** with which the server ends the session, is no refusal (report.c, kind_of). */
static bool is_loss(const struct pgmig_apply *a)
{
    return a->error.kind == PGMIG_E_CONNECT;
}

/* Whether the statement under way commits by itself. Any other is rolled back
** when its connection is lost: then its outcome is known. */
static bool commits(const struct pgmig_apply *a)
{
    return a->alone || (a->grouped && (a->sent.traits & PGMIG_T_TX_COMMIT));
}

/* It could not run in a transaction, so that it commits by itself. */
static void advise_partial(struct pgmig_apply *a)
{
    const struct pgmig_entry *entry = &a->job.entry;

    pgmig_error_hint(&a->error,
                     "what it committed before it failed is kept: inspect the "
                     "database, then: pgmig resolve %s --done, or --redo",
                     entry->version ? entry->version : entry->name);
}

static bool mentions(const char *text, const char *name)
{
    return text != NULL && strstr(text, name) != NULL;
}

/* What fails where a file takes our table for its own, as a dump of the whole
** schema does, or another tool's (Rails): it is there already, has a key, or
** other columns. The name is looked for in the message: it is the same in every
** language. */
static bool takes_ours(const struct pgmig_apply *a)
{
    /* duplicate_table, invalid_table_definition, undefined_column,
    ** numeric_value_out_of_range, invalid_text_representation,
    ** bad_copy_file_format, not_null_violation */
    static const char *const states[] = {"42P07", "42P16", "42703", "22003",
                                         "22P02", "22P04", "23502"};

    /* unique_violation: of a key of ours; other tables may be filled from it */
    if (state_is(a, "23505"))
        return mentions(a->error.message, a->ledger->table);
    for (size_t i = 0; i < sizeof states / sizeof *states; i++)
        if (state_is(a, states[i]))
            return mentions(a->error.message, a->ledger->table) ||
                   mentions(a->error.statement, a->ledger->table);
    return false;
}

/* One hint at most, the most special one. */
static void advise(struct pgmig_apply *a)
{
    if (pgmig_failure_is_partial(a))
        advise_partial(a);
    else if (takes_ours(a))
        pgmig_error_hint(
            &a->error,
            "pgmig keeps its records in the table %s: remove it, and "
            "everything "
            "done to it, from the file (pg_dump --exclude-table='%s*'); or, if "
            "nothing is applied yet, drop pgmig's tables and choose another "
            "name for them with --table",
            a->ledger->table, a->ledger->table);
    else
        pgmig_blame_advise(&a->error, a->section,
                           a->grouped ? a->group : a->here.at);
}

/* The loss is told before the place is noted, which belongs to the new error. A
** connection that was lost needs no advice about the statement. */
static void of_statement(struct pgmig_apply *a, size_t position, bool lost)
{
    if (is_loss(a) && commits(a))
        untold(a,
               a->alone ? "ran outside a transaction" : "was being committed");
    place(a, position);
    if (!lost)
        advise(a);
}

/* Another owner has the row: the compare-and-set has found no row to change. So
** the verdict about the statement (program.c, add_verdict) is not ours to
** write. */
static void displaced(struct pgmig_apply *a)
{
    pgmig_error_set(&a->error, PGMIG_E_PLAN,
                    "another run has taken over this migration");
    pgmig_error_hint(&a->error, "wait for it, then run again");
    a->running = false; /* the journal is no longer ours */
    pgmig_failure_name_file(a);
}

bool pgmig_failure_of_session(struct pgmig_apply *a, const char *what)
{
    struct pgmig_buf message = {0};

    pgmig_buf_addf(&message,
                   "behind a pooler, this statement lacks session state that "
                   "it may need: %s",
                   what);
    (void)pgmig_failure_refuse(
        a, true, message.failed ? "out of memory" : message.data,
        "connect directly to the server: there transaction=off uses one "
        "session for all statements");
    pgmig_buf_free(&message);
    return false;
}

/* Our own tables are no longer there (undefined_table, invalid_schema_name):
** the file has dropped or moved them, and that was rolled back. Another table's
** name alone would begin with an empty one: they have to be moved. */
static void advise_dropped(struct pgmig_apply *a)
{
    const struct pgmig_ledger *l = a->ledger;

    if (a->error.hint != NULL ||
        (!state_is(a, "42P01") && !state_is(a, "3F000")))
        return;
    pgmig_error_hint(&a->error,
                     "the migration drops pgmig's own tables, or moves them: "
                     "leave them out, or, before it runs, keep them in a "
                     "schema that no migration drops: CREATE SCHEMA pgmig; "
                     "ALTER TABLE %s SET SCHEMA pgmig; ALTER TABLE %s SET "
                     "SCHEMA pgmig; ALTER TABLE %s SET SCHEMA pgmig; ALTER "
                     "TABLE %s SET SCHEMA pgmig; and run with --table pgmig.%s",
                     l->tracking, l->history, l->journal, l->runs, l->table);
}

/* 22012 is the proof's division by zero, 2201E the logarithm of zero; both are
** raised by SQL of ours (journal.c), so they are read only in this role.
** `done`: the word that a statement is done was sent with the COMMIT that makes
** it so. */
static void of_journal(struct pgmig_apply *a, bool done)
{
    if (state_is(a, "22012")) {
        displaced(a);
        return;
    }
    if (state_is(a, "2201E")) {
        (void)pgmig_failure_of_session(a,
                                       "settings made by earlier statements");
        return;
    }
    if (is_loss(a) && done)
        untold(a, "was being committed");
    if (state_is(a, "55P03"))
        pgmig_error_field(&a->error.message,
                          "another session holds a lock on the journal's row");
    if (state_is(a, "25006")) /* read_only_sql_transaction */
        pgmig_error_hint(&a->error, "the journal entry is written in this "
                                    "transaction, which must not be READ ONLY");
    advise_dropped(a);
    place(a, 0);
}

/* COMMIT was sent, and nobody told whether it was carried out. The hint is
** right in both cases: the claim of a second run is refused where it was. */
static void outcome_unknown(struct pgmig_apply *a)
{
    char *reason = take_reason(a);

    pgmig_error_set(&a->error, PGMIG_E_UNKNOWN,
                    "the connection was lost during COMMIT: whether the "
                    "migration took effect is not known");
    a->error.detail = reason;
    pgmig_error_hint(&a->error,
                     "run again, or run `pgmig status`: the tracking row shows "
                     "the outcome, and running again is safe");
}

/* What stands around COMMIT failed, and neither the tables nor the session are
** at fault: something of the file's was put off until then. The class, the
** first two characters of the code, is enough (manual, "PostgreSQL Error
** Codes"). */
static bool is_deferred(const struct pgmig_apply *a)
{
    /* integrity_constraint_violation, what a trigger raises, data_exception */
    static const char *const classes[] = {"23", "P0", "22"};

    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        if (strncmp(a->error.sqlstate, classes[i], 2) == 0)
            return true;
    return false;
}

/* Say what the server's words about COMMIT leave open. */
static void advise_close(struct pgmig_apply *a)
{
    struct pgmig_error *err = &a->error;

    if (err->hint != NULL)
        return;
    if (is_deferred(a))
        pgmig_error_hint(err,
                         "the error was raised at COMMIT, where deferred "
                         "constraints and triggers are checked: the server "
                         "does not say which statement is at fault");
    else
        advise_dropped(a);
}

/* With transaction=off the tracking row is claimed here, at the end: 23505
** means that somebody has recorded the migration meanwhile. In a transaction
** the row is our own by now, so that 23505 is the file's. */
static enum pgmig_outcome of_close(struct pgmig_apply *a)
{
    if (!a->section->transaction && state_is(a, "23505"))
        return PGMIG_RACED;
    if (is_loss(a)) {
        outcome_unknown(a);
    } else if (state_is(a, "22012")) {
        pgmig_error_set(&a->error, PGMIG_E_SQL,
                        "the migration changed its own tracking row");
        pgmig_error_hint(&a->error,
                         "a migration must not change the tracking table, its "
                         "triggers or its row-level security");
    } else {
        advise_close(a);
    }
    pgmig_failure_name_file(a);
    return PGMIG_FAILED;
}

/* The place and the loss are read off the connection before its error is taken,
** which clears it. A failed BEGIN or setting says enough by itself. */
enum pgmig_outcome pgmig_failure_of(struct pgmig_apply *a, enum pgmig_role role)
{
    size_t position = a->conn->error_position;
    bool lost = pgmig_conn_lost(a->conn);

    pgmig_conn_take_error(a->conn, &a->error);
    switch (role) {
    case PGMIG_ROLE_FRAME:
        pgmig_failure_name_file(a);
        break;
    case PGMIG_ROLE_CLAIM:
        return of_claim(a);
    case PGMIG_ROLE_STATEMENT:
        of_statement(a, position, lost);
        break;
    case PGMIG_ROLE_JOURNAL:
    case PGMIG_ROLE_DONE:
        of_journal(a, role == PGMIG_ROLE_DONE);
        break;
    case PGMIG_ROLE_CLOSE:
    case PGMIG_ROLE_COMMIT:
        return of_close(a);
    }
    return PGMIG_FAILED;
}

bool pgmig_failure_refuse(struct pgmig_apply *a, bool at_statement,
                          const char *message, const char *hint)
{
    pgmig_error_set(&a->error, PGMIG_E_SQL, "%s", message);
    if (hint != NULL)
        pgmig_error_hint(&a->error, "%s", hint);
    if (at_statement)
        place(a, 0);
    else
        pgmig_failure_name_file(a);
    return false;
}
