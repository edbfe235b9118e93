/*
** apply.c -- migrations, from BEGIN to COMMIT.
**
** A transactional migration is
**   BEGIN, our SET LOCALs, the claim
**   its statements
**   resets, the history's row, COMMIT
** so that the tracking row and the change commit together. The claim comes
** first: a second run waits at it and then learns the truth. Where the caller
** wants to look in between, each line is a message (a statement each) that
** waits for its answer; else window.c sends all ahead, and what fails comes
** back here.
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/apply.h"
#include "base/error.h"
#include "ledger/indexed.h"
#include "ledger/ledger.h"

static bool has_failed(const struct pgmig_apply *a)
{
    return a->conn->error.kind != PGMIG_E_NONE;
}

const struct pgmig_statement *pgmig_apply_statement(const struct pgmig_apply *a)
{
    return a->pipelined ? &a->sender.statement : &a->section->statements[a->at];
}

const char *pgmig_apply_text(const struct pgmig_apply *a)
{
    return a->pipelined ? a->sender.cursor.text : a->job.script->text;
}

/* Stop at a point that the job asks for: the caller resumes. */
static bool pause(struct pgmig_apply *a, enum pgmig_pause point)
{
    if ((a->job.pauses & (unsigned)point) == 0)
        return false;
    a->paused = point;
    return true;
}

static bool finish(struct pgmig_apply *a)
{
    if (a->grouped && a->section->unended &&
        pgmig_conn_tx(a->conn) == PGMIG_TX_OPEN)
        return pgmig_journaled_end(a);
    if (!a->section->transaction && pgmig_conn_tx(a->conn) != PGMIG_TX_IDLE)
        return pgmig_failure_refuse(
            a, false, "the migration has left a transaction open", NULL);
    if (pause(a, PGMIG_PAUSE_CLOSING))
        return false;
    return pgmig_request_close(a);
}

/* What an attempt before has done is left out, ... */
static bool done_before(const struct pgmig_apply *a)
{
    return a->at < a->job.done;
}

/* ... but for the libraries that its session had: no view tells of them. */
static bool is_left_out(const struct pgmig_apply *a)
{
    return done_before(a) &&
           strcmp(a->section->statements[a->at].kind, "LOAD") != 0;
}

static bool proceed(struct pgmig_apply *a)
{
    if (a->pipelined)
        return pgmig_window_enter(a, PGMIG_STAGE_STATEMENT);
    while (is_left_out(a))
        a->at++;
    if (a->at >= a->section->statement_count)
        return finish(a);
    if (!done_before(a) && pause(a, PGMIG_PAUSE_BEFORE))
        return false;
    return pgmig_request_statement(a);
}

bool pgmig_apply_begun(struct pgmig_apply *a)
{
    if (pause(a, PGMIG_PAUSE_OPENED))
        return false;
    return proceed(a);
}

bool pgmig_apply_partial(const struct pgmig_apply *a)
{
    return a->alone && (a->sent.traits & PGMIG_T_MAY_COMMIT);
}

/* What the last result says in a column; NULL: it has no such column. */
static const char *said(const struct pgmig_apply *a, const char *name)
{
    int column = PQfnumber(a->conn->result, name);
    size_t len;

    if (column < 0 || pgmig_conn_rows(a->conn) < 1)
        return NULL;
    return pgmig_conn_value(a->conn, 0, column, &len);
}

/* Our own requests name the process that answers; others say nothing of it. */
void pgmig_apply_note_server(struct pgmig_apply *a)
{
    const char *pid = said(a, PGMIG_SERVER_PID);

    if (pid != NULL)
        pgmig_conn_served_by(a->conn, atoi(pid));
}

static void note_transaction(struct pgmig_apply *a)
{
    const char *id = said(a, PGMIG_TRANSACTION);

    snprintf(a->transaction, sizeof a->transaction, "%s", id ? id : "");
}

/* Behind a pooler the next transaction may have another server process. */
void pgmig_apply_forget_server(struct pgmig_apply *a)
{
    if (a->conn->pooled)
        a->conn->server_pid = 0;
}

static bool opened(struct pgmig_apply *a)
{
    if (has_failed(a))
        return pgmig_failure_at_claim(a, a->conn->results >= a->before_claim);
    pgmig_apply_note_server(a);
    if (!a->section->transaction)
        return pgmig_journaled_opened(a);
    note_transaction(a);
    if (a->transaction[0] == '\0')
        return pgmig_failure_refuse(
            a, false, "the tracking table has not taken the migration's row",
            "a trigger of the table may let it take none");
    return pgmig_apply_begun(a);
}

static bool settings_made(struct pgmig_apply *a)
{
    if (has_failed(a))
        return pgmig_failure_at_claim(a, false);
    return pgmig_journaled_ready(a);
}

static bool prepared(struct pgmig_apply *a)
{
    if (has_failed(a))
        return pgmig_failure_of_journal(a);
    pgmig_apply_note_server(a);
    return pgmig_journaled_prepared(a);
}

bool pgmig_apply_done(struct pgmig_apply *a)
{
    bool before = done_before(a);

    a->alone = false;
    if (!before && pause(a, PGMIG_PAUSE_AFTER))
        return false;
    return pgmig_apply_next(a);
}

bool pgmig_apply_next(struct pgmig_apply *a)
{
    a->at++;
    return proceed(a);
}

/* A statement may not end the transaction that the bookkeeping needs. */
static bool broke_transaction(const struct pgmig_apply *a)
{
    if (a->alone || a->grouped || (!a->section->transaction && done_before(a)))
        return false;
    return a->conn->tx_warning || pgmig_conn_tx(a->conn) != PGMIG_TX_OPEN;
}

/* What was sent, which may be a hook's. */
static const char *sent_text(const struct pgmig_apply *a)
{
    return a->pipelined ? pgmig_apply_text(a) : a->text.data;
}

static const struct pgmig_statement *sent_statement(const struct pgmig_apply *a)
{
    return a->pipelined ? pgmig_apply_statement(a) : &a->sent;
}

static bool verify(struct pgmig_apply *a)
{
    struct pgmig_buf sql = {0};

    if (!pgmig_indexed_add_invalid(a->conn, sent_text(a), sent_statement(a),
                                   &sql, &a->error))
        return a->section->transaction ? pgmig_apply_done(a)
                                       : pgmig_journaled_settle(a);
    return pgmig_request_send(a, PGMIG_STAGE_VERIFY, &sql, "* _:text");
}

/* active_sql_transaction, invalid_transaction_termination: what cannot run in a
** transaction, though nothing in its text says so, runs without. */
static bool wants_isolation(const struct pgmig_apply *a)
{
    const char *state = a->conn->error.sqlstate;

    return !a->section->transaction && !a->alone && !a->grouped &&
           !done_before(a) &&
           (strcmp(state, "25001") == 0 || strcmp(state, "2D000") == 0);
}

static bool answered(struct pgmig_apply *a)
{
    if (has_failed(a))
        return wants_isolation(a) ? pgmig_journaled_isolate(a)
                                  : pgmig_failure_of_statement(a);
    if (broke_transaction(a))
        return pgmig_failure_refuse(
            a, true, "the statement has touched the migration's transaction",
            NULL);
    return verify(a);
}

static bool verified(struct pgmig_apply *a)
{
    size_t len;

    if (has_failed(a))
        return pgmig_failure_of_journal(a);
    if (pgmig_conn_rows(a->conn) > 0) {
        const char *index = pgmig_conn_value(a->conn, 0, 0, &len);
        struct pgmig_buf hint = {0};
        bool going;

        pgmig_buf_addf(&hint,
                       "an earlier attempt has left it; DROP INDEX "
                       "CONCURRENTLY %s, then run again",
                       index);
        going =
            pgmig_failure_refuse(a, true, "this index is INVALID", hint.data);
        pgmig_buf_free(&hint);
        return going;
    }
    return a->section->transaction ? pgmig_apply_done(a)
                                   : pgmig_journaled_settle(a);
}

static bool settled(struct pgmig_apply *a)
{
    return has_failed(a) ? pgmig_failure_of_journal(a)
                         : pgmig_journaled_settled(a);
}

static bool skipped(struct pgmig_apply *a)
{
    return has_failed(a) ? pgmig_failure_of_journal(a)
                         : pgmig_journaled_skipped(a);
}

static bool closed(struct pgmig_apply *a)
{
    if (has_failed(a))
        return pgmig_failure_at_close(a);
    if (strcmp(pgmig_conn_tag(a->conn), "COMMIT") != 0)
        return pgmig_failure_refuse(
            a, false, "the server answered COMMIT with ROLLBACK", NULL);
    pgmig_turns_commit(a);
    return pgmig_request_end(a, PGMIG_DONE);
}

/* The first error is the one that matters. */
static bool undone(struct pgmig_apply *a)
{
    struct pgmig_error ignored = {0};

    pgmig_conn_take_error(a->conn, &ignored);
    pgmig_error_clear(&ignored);
    return pgmig_request_end(a, a->outcome);
}

static bool next(void *ctx, struct pgmig_conn *conn)
{
    static bool (*const on[])(struct pgmig_apply *) = {
        [PGMIG_STAGE_OPEN] = opened,
        [PGMIG_STAGE_SETTINGS] = settings_made,
        [PGMIG_STAGE_PREPARE] = prepared,
        [PGMIG_STAGE_STATEMENT] = answered,
        [PGMIG_STAGE_VERIFY] = verified,
        [PGMIG_STAGE_SETTLE] = settled,
        [PGMIG_STAGE_SKIP] = skipped,
        [PGMIG_STAGE_CLOSE] = closed,
        [PGMIG_STAGE_UNDO] = undone};
    struct pgmig_apply *a = ctx;

    (void)conn;
    if (a->ahead) {
        a->ahead = false;
        if (!has_failed(a) || a->committed == a->count)
            return pgmig_window_left(a);
    }
    return a->stage != PGMIG_STAGE_ENDED && on[a->stage](a);
}

/* ---- starting -------------------------------------------------------- */

static int check_start(struct pgmig_conn *conn, struct pgmig_error *err)
{
    if (pgmig_conn_check_idle(conn, err) != 0)
        return -1;
    if (pgmig_conn_tx(conn) == PGMIG_TX_IDLE)
        return 0;
    pgmig_error_set(err, PGMIG_E_USAGE,
                    "a transaction is open on this connection");
    return pgmig_error_hint(err, "commit or roll it back before migrating");
}

/* What the session has without us: later it may be a migration's. */
static void note_session(struct pgmig_conn *conn)
{
    const char *strings =
        pgmig_conn_parameter(conn, "standard_conforming_strings");

    conn->strings_off = strings != NULL && strcmp(strings, "off") == 0;
}

static int check_times(const struct pgmig_job *jobs, size_t count,
                       struct pgmig_error *err)
{
    for (size_t i = 0; i < count; i++) {
        const char *time = jobs[i].lock_timeout;
        const char *wrong;
        bool has_unit;
        int ms;

        if (time == NULL)
            continue;
        wrong = pgmig_duration_setting(time, strlen(time), &ms, &has_unit);
        if (wrong != NULL)
            return pgmig_error_set(err, PGMIG_E_USAGE, "lock_timeout %s",
                                   wrong);
    }
    return 0;
}

struct pgmig_apply *pgmig_apply_start(struct pgmig_conn *conn,
                                      const struct pgmig_ledger *ledger,
                                      const struct pgmig_job *jobs,
                                      size_t count, struct pgmig_error *err)
{
    struct pgmig_apply *a;

    if (check_start(conn, err) != 0 || pgmig_ledger_check(ledger, err) != 0 ||
        check_times(jobs, count, err) != 0)
        return NULL;
    a = calloc(1, sizeof *a);
    if (a == NULL) {
        pgmig_error_memory(err);
        return NULL;
    }
    a->conn = conn;
    a->outcome = PGMIG_FAILED;
    a->ledger = pgmig_ledger_copy(ledger, err);
    if (a->ledger == NULL || pgmig_turns_take(a, jobs, count, err) != 0) {
        pgmig_apply_free(a);
        return NULL;
    }
    pgmig_turns_next(a);
    pgmig_apply_forget_server(a);
    note_session(conn);
    pgmig_conn_begin(conn, next, a);
    /* a failure to send is told by finish */
    if (a->pipelined)
        (void)pgmig_window_enter(a, PGMIG_STAGE_OPEN);
    else
        (void)pgmig_request_open(a);
    return a;
}

/* ---- pauses ---------------------------------------------------------- */

enum pgmig_pause pgmig_apply_paused(const struct pgmig_apply *a,
                                    size_t *statement)
{
    *statement = a->at;
    return a->paused;
}

const char *pgmig_apply_transaction(const struct pgmig_apply *a)
{
    return a->transaction[0] != '\0' ? a->transaction : NULL;
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
        return pgmig_request_statement(a);
    case PGMIG_PAUSE_AFTER:
        return pgmig_apply_next(a);
    case PGMIG_PAUSE_CLOSING:
        return pgmig_request_close(a);
    default:
        return proceed(a);
    }
}

int pgmig_apply_resume(struct pgmig_apply *a, enum pgmig_resume how,
                       const char *sql, struct pgmig_error *err)
{
    enum pgmig_pause point = a->paused;

    if (pgmig_conn_check_idle(a->conn, err) != 0)
        return -1;
    if (point == PGMIG_PAUSE_NONE)
        return pgmig_error_set(err, PGMIG_E_USAGE,
                               "the migration waits for nothing");
    a->paused = PGMIG_PAUSE_NONE;
    pgmig_conn_begin(a->conn, next, a);
    if (how == PGMIG_GIVE_UP) {
        (void)pgmig_request_undo(a, PGMIG_GIVEN_UP);
    } else if (!still_open(a)) {
        (void)pgmig_failure_refuse(
            a, false, "a hook has ended or broken the migration's transaction",
            NULL);
    } else if (how == PGMIG_SKIP && point == PGMIG_PAUSE_BEFORE) {
        (void)(a->section->transaction ? pgmig_apply_next(a)
                                       : pgmig_journaled_skip(a));
    } else if (how == PGMIG_REPLACE && point == PGMIG_PAUSE_BEFORE) {
        (void)pgmig_request_replacement(a, sql);
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
    pgmig_buf_free(&a->behind);
    pgmig_window_free(a);
    pgmig_ledger_free(a->ledger);
    free(a->turns);
    free(a);
}

bool pgmig_apply_ended(const struct pgmig_apply *a)
{
    return a->paused == PGMIG_PAUSE_NONE && pgmig_conn_ended(a->conn);
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
        pgmig_failure_name_file(a);
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
