/*
** apply.c -- one migration, from BEGIN to COMMIT.
**
** A transactional migration is
**   BEGIN, our SET LOCALs, the claim   (one message)
**   its statements                     (a message each)
**   resets, the proof, COMMIT          (one message)
** so that the tracking row and the change commit together. The claim comes
** first: a second run waits at it and then learns the truth.
*/
#include <stdlib.h>
#include <string.h>

#include "blame.h"
#include "conn.h"
#include "error.h"
#include "frame.h"

enum stage { OPEN, STATEMENT, CLOSE, UNDO, ENDED };

struct pgmig_apply {
    struct pgmig_conn *conn;
    const struct pgmig_ledger *ledger;
    const struct pgmig_job *job;
    const struct pgmig_section *section;
    enum stage stage;
    size_t at;        /* the statement under way */
    int before_claim; /* commands that stand before the claim */
    bool dirty;       /* a statement may have changed the session */
    bool replaced;    /* the statement under way is not the file's */
    enum pgmig_pause paused;
    struct pgmig_buf text; /* the statement that is sent */
    struct pgmig_error error;
    enum pgmig_outcome outcome;
};

/* ---- sending --------------------------------------------------------- */

/* Send `sql` and free it; false: the operation ends here. */
static bool send(struct pgmig_apply *a, struct pgmig_buf *sql)
{
    int status = -1;

    if (sql->failed)
        pgmig_error_memory(&a->error);
    else
        status = pgmig_conn_request(a->conn, sql->data, NULL, 0);
    pgmig_buf_free(sql);
    return status == 0;
}

static bool end(struct pgmig_apply *a, enum pgmig_outcome outcome)
{
    a->stage = ENDED;
    a->outcome = outcome;
    return false;
}

/* Take the migration back, and the session to its start. */
static bool undo(struct pgmig_apply *a, enum pgmig_outcome outcome)
{
    struct pgmig_buf sql = {0};
    enum pgmig_tx tx = pgmig_conn_tx(a->conn);

    a->outcome = outcome;
    if (tx == PGMIG_TX_NONE || (tx == PGMIG_TX_IDLE && !a->dirty))
        return end(a, outcome);
    a->stage = UNDO;
    if (tx != PGMIG_TX_IDLE)
        pgmig_buf_adds(&sql, "ROLLBACK; ");
    if (a->dirty)
        pgmig_buf_adds(&sql, pgmig_frame_reset);
    return send(a, &sql) || end(a, outcome);
}

/* BEGIN, settings and the claim; on failure the buffer is freed. */
static int open_frame(struct pgmig_apply *a, const char *begin,
                      struct pgmig_buf *sql)
{
    a->before_claim =
        pgmig_frame_open(a->ledger, a->conn, a->job, begin, sql, &a->error);
    if (a->before_claim >= 0)
        return 0;
    pgmig_buf_free(sql);
    return -1;
}

static bool send_open(struct pgmig_apply *a)
{
    struct pgmig_buf sql = {0};

    a->stage = OPEN;
    if (!a->section->transaction) {
        a->dirty = pgmig_frame_settings(a->job, &sql) > 0;
        pgmig_buf_adds(&sql, "SELECT"); /* an empty message would not do */
    } else if (open_frame(a, a->section->begin, &sql) != 0) {
        return end(a, PGMIG_FAILED);
    }
    return send(a, &sql);
}

/* Send the text that stands in a->text as statement a->at. */
static bool send_text(struct pgmig_apply *a)
{
    const struct pgmig_statement *st = &a->section->statements[a->at];
    const char *file = a->job->script->text;
    const char *data = st->copy_end > 0 ? file + st->copy_start : NULL;

    a->stage = STATEMENT;
    if (a->text.failed) {
        pgmig_error_memory(&a->error);
        return undo(a, PGMIG_FAILED);
    }
    return pgmig_conn_request(a->conn, a->text.data, data,
                              st->copy_end - st->copy_start) == 0;
}

static bool send_statement(struct pgmig_apply *a)
{
    const struct pgmig_statement *st = &a->section->statements[a->at];

    a->dirty = a->dirty || (st->traits & PGMIG_T_SESSION);
    a->replaced = false;
    a->text.len = 0;
    pgmig_buf_add(&a->text, a->job->script->text + st->start,
                  st->end - st->start);
    return send_text(a);
}

static bool send_replacement(struct pgmig_apply *a, const char *sql)
{
    a->dirty = true;
    a->replaced = true;
    a->text.len = 0;
    pgmig_buf_adds(&a->text, sql);
    return send_text(a);
}

static bool send_close(struct pgmig_apply *a)
{
    struct pgmig_buf sql = {0};

    a->stage = CLOSE;
    if (!a->section->transaction) {
        if (a->dirty)
            pgmig_buf_adds(&sql, pgmig_frame_reset);
        a->dirty = false;
        if (open_frame(a, "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
                       &sql) != 0)
            return undo(a, PGMIG_FAILED);
        pgmig_buf_adds(&sql, "; ");
    }
    pgmig_frame_close(a->ledger, a->job, a->dirty, &sql);
    return send(a, &sql);
}

/* ---- errors ---------------------------------------------------------- */

static bool fail(struct pgmig_apply *a)
{
    return undo(a, PGMIG_FAILED);
}

/* Let the error point into the statement under way. */
static void place(struct pgmig_apply *a, size_t position)
{
    pgmig_blame_place(&a->error, a->job->script, a->section, a->at,
                      a->replaced ? 0 : position);
}

static bool statement_failed(struct pgmig_apply *a)
{
    size_t position = a->conn->error_position;

    pgmig_conn_take_error(a->conn, &a->error);
    place(a, position);
    pgmig_blame_advise(&a->error, a->section, a->at);
    return fail(a);
}

static void name_file(struct pgmig_apply *a)
{
    pgmig_error_field(&a->error.file, a->job->script->path);
}

/* The claim, or what stands around it, failed. */
static bool claim_failed(struct pgmig_apply *a, bool claim)
{
    struct pgmig_error *err = &a->error;

    pgmig_conn_take_error(a->conn, err);
    if (claim && strcmp(err->sqlstate, "23505") == 0)
        return undo(a, PGMIG_RACED);
    if (claim && err->kind == PGMIG_E_LOCK) {
        pgmig_error_set(err, PGMIG_E_LOCK,
                        "another run is at work on this migration");
        pgmig_error_hint(err, "wait for it, then run again: what it has "
                              "applied is skipped");
    } else if (claim && strcmp(err->sqlstate, "42P01") == 0) {
        pgmig_error_set(err, PGMIG_E_PLAN,
                        "another run has changed the tracking table");
        pgmig_error_hint(err, "run again");
    }
    name_file(a);
    return fail(a);
}

/* COMMIT was sent, and nobody told whether it was carried out. */
static void outcome_unknown(struct pgmig_apply *a)
{
    pgmig_error_set(&a->error, PGMIG_E_UNKNOWN,
                    "the connection was lost during COMMIT: whether the "
                    "migration took effect is not known");
    pgmig_error_hint(&a->error, "run again, or ask status: the tracking row "
                                "tells, and a second run is safe");
}

static bool close_failed(struct pgmig_apply *a)
{
    bool lost = pgmig_conn_lost(a->conn);

    pgmig_conn_take_error(a->conn, &a->error);
    if (lost) {
        outcome_unknown(a);
    } else if (strcmp(a->error.sqlstate, "22012") == 0) {
        pgmig_error_set(&a->error, PGMIG_E_SQL,
                        "the migration has removed its own tracking row");
        pgmig_error_hint(&a->error, "a migration must leave the tracking "
                                    "table alone");
    }
    name_file(a);
    return fail(a);
}

static bool refuse(struct pgmig_apply *a, const char *message)
{
    pgmig_error_set(&a->error, PGMIG_E_SQL, "%s", message);
    name_file(a);
    return fail(a);
}

/* ---- the chain of requests ------------------------------------------- */

/* Stop at a point that the job asks for: the caller resumes. */
static bool pause(struct pgmig_apply *a, enum pgmig_pause point)
{
    if ((a->job->pauses & (unsigned)point) == 0)
        return false;
    a->paused = point;
    return true;
}

static bool finish(struct pgmig_apply *a)
{
    if (!a->section->transaction && pgmig_conn_tx(a->conn) != PGMIG_TX_IDLE) {
        a->dirty = true;
        return refuse(a, "the migration has left a transaction open");
    }
    if (pause(a, PGMIG_PAUSE_CLOSING))
        return false;
    return send_close(a);
}

static bool proceed(struct pgmig_apply *a)
{
    if (a->at >= a->section->statement_count)
        return finish(a);
    if (pause(a, PGMIG_PAUSE_BEFORE))
        return false;
    return send_statement(a);
}

static bool opened(struct pgmig_apply *a)
{
    if (a->conn->error.kind != PGMIG_E_NONE)
        return claim_failed(a, a->section->transaction &&
                                   a->conn->results == a->before_claim);
    if (a->section->transaction && a->job->direction == PGMIG_DOWN &&
        strcmp(pgmig_conn_tag(a->conn), "DELETE 1") != 0)
        return undo(a, PGMIG_RACED);
    if (pause(a, PGMIG_PAUSE_OPENED))
        return false;
    return proceed(a);
}

static bool statement_done(struct pgmig_apply *a)
{
    if (a->conn->error.kind != PGMIG_E_NONE)
        return statement_failed(a);
    if (a->section->transaction &&
        (a->conn->tx_warning || pgmig_conn_tx(a->conn) != PGMIG_TX_OPEN)) {
        pgmig_error_set(&a->error, PGMIG_E_SQL,
                        "the statement has touched the migration's "
                        "transaction");
        place(a, 0);
        return fail(a);
    }
    if (pause(a, PGMIG_PAUSE_AFTER))
        return false;
    a->at++;
    return proceed(a);
}

static bool closed(struct pgmig_apply *a)
{
    if (a->conn->error.kind != PGMIG_E_NONE) {
        if (!a->section->transaction &&
            strcmp(a->conn->error.sqlstate, "23505") == 0)
            return claim_failed(a, true);
        return close_failed(a);
    }
    if (strcmp(pgmig_conn_tag(a->conn), "COMMIT") != 0) {
        return refuse(a, "the server answered COMMIT with ROLLBACK");
    }
    return end(a, PGMIG_DONE);
}

static bool next(void *ctx, struct pgmig_conn *conn)
{
    struct pgmig_apply *a = ctx;
    struct pgmig_error ignored = {0};

    switch (a->stage) {
    case OPEN:
        return opened(a);
    case STATEMENT:
        return statement_done(a);
    case CLOSE:
        return closed(a);
    case UNDO: /* the first error is the one that matters */
        pgmig_conn_take_error(conn, &ignored);
        pgmig_error_clear(&ignored);
        return end(a, a->outcome);
    default:
        return false;
    }
}

struct pgmig_apply *pgmig_apply_start(struct pgmig_conn *conn,
                                      const struct pgmig_ledger *ledger,
                                      const struct pgmig_job *job,
                                      struct pgmig_error *err)
{
    struct pgmig_apply *a;

    if (pgmig_conn_check_idle(conn, err) != 0)
        return NULL;
    if (pgmig_conn_tx(conn) != PGMIG_TX_IDLE) {
        pgmig_error_set(err, PGMIG_E_USAGE,
                        "a transaction is open on this connection");
        pgmig_error_hint(err, "commit or roll it back before migrating");
        return NULL;
    }
    a = calloc(1, sizeof *a);
    if (a == NULL) {
        pgmig_error_memory(err);
        return NULL;
    }
    a->conn = conn;
    a->ledger = ledger;
    a->job = job;
    a->section = &job->script->sections[job->section];
    a->outcome = PGMIG_FAILED;
    pgmig_conn_begin(conn, next, a);
    (void)send_open(a); /* a failure to send is told by finish */
    return a;
}

enum pgmig_pause pgmig_apply_paused(const struct pgmig_apply *a,
                                    size_t *statement)
{
    *statement = a->at;
    return a->paused;
}

/* What the caller did at a pause must have left the transaction open. */
static bool still_open(const struct pgmig_apply *a)
{
    return !a->section->transaction || pgmig_conn_tx(a->conn) == PGMIG_TX_OPEN;
}

static bool go_on(struct pgmig_apply *a, enum pgmig_pause point)
{
    switch (point) {
    case PGMIG_PAUSE_BEFORE:
        return send_statement(a);
    case PGMIG_PAUSE_AFTER:
        a->at++;
        return proceed(a);
    case PGMIG_PAUSE_CLOSING:
        return send_close(a);
    default:
        return proceed(a);
    }
}

int pgmig_apply_resume(struct pgmig_apply *a, enum pgmig_resume how,
                       const char *sql, bool touched, struct pgmig_error *err)
{
    enum pgmig_pause point = a->paused;

    if (pgmig_conn_check_idle(a->conn, err) != 0)
        return -1;
    a->paused = PGMIG_PAUSE_NONE;
    a->dirty = a->dirty || touched;
    pgmig_conn_begin(a->conn, next, a);
    if (how == PGMIG_GIVE_UP) {
        (void)undo(a, PGMIG_GIVEN_UP);
    } else if (!still_open(a)) {
        (void)refuse(a, "a hook has ended or broken the migration's "
                        "transaction");
    } else if (how == PGMIG_SKIP && point == PGMIG_PAUSE_BEFORE) {
        a->at++;
        (void)proceed(a);
    } else if (how == PGMIG_REPLACE && point == PGMIG_PAUSE_BEFORE) {
        (void)send_replacement(a, sql);
    } else {
        (void)go_on(a, point);
    }
    return 0;
}

void pgmig_apply_free(struct pgmig_apply *a)
{
    if (a == NULL)
        return;
    pgmig_error_clear(&a->error);
    pgmig_buf_free(&a->text);
    free(a);
}

enum pgmig_outcome pgmig_apply_finish(struct pgmig_apply *a,
                                      struct pgmig_error *err)
{
    enum pgmig_outcome outcome = a->outcome;
    struct pgmig_error late = {0};

    if (pgmig_conn_finish(a->conn, &late) != 0 &&
        a->error.kind == PGMIG_E_NONE) {
        a->error = late;
        late = (struct pgmig_error){0};
        name_file(a);
    }
    pgmig_error_clear(&late);
    pgmig_error_clear(err);
    if (outcome == PGMIG_FAILED) {
        *err = a->error;
        a->error = (struct pgmig_error){0};
    }
    pgmig_apply_free(a);
    return outcome;
}
