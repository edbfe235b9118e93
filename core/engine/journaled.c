/*
** journaled.c -- a section with transaction=off, statement by statement.
**
** A statement that can run in a transaction shares one with its journal
** entry: done and written down together, or neither. What cannot (CREATE
** INDEX CONCURRENTLY, VACUUM, a CALL that commits) runs alone: the journal
** says so before, and that it is done after. Only there can an outcome be
** unknown. A BEGIN ... COMMIT of the file's own is one unit, and so is what
** stands in the transaction that a file's tool would begin or end for it.
*/
#include "engine/apply.h"
#include "base/error.h"
#include "engine/frame.h"
#include "ledger/indexed.h"
#include "ledger/journal.h"
#include "ledger/rights.h"
#include "ledger/state.h"
#include "ledger/touched.h"

bool pgmig_journaled_open(struct pgmig_apply *a)
{
    struct pgmig_buf sql = {0};

    a->before_claim =
        pgmig_frame_begin(a->ledger, a->conn, &a->job, PGMIG_APPLY_BEGIN, &sql);
    return pgmig_request_built(
        a, PGMIG_STAGE_OPEN, &sql, PGMIG_SERVER_SHAPE,
        pgmig_journal_add_claim(a->ledger, a->conn, &a->job, &sql, &a->error));
}

/* ---- transactions of ours -------------------------------------------- */

/* Note the session, then set what the journal needs. */
static int enter(struct pgmig_apply *a, struct pgmig_buf *sql)
{
    if (pgmig_state_add_note(a->conn, &a->job, sql, &a->error) != 0)
        return -1;
    pgmig_frame_locals(a->ledger, a->conn, &a->job, sql);
    return pgmig_rights_take(a->conn, &a->job, sql, &a->error);
}

static int begin(struct pgmig_apply *a, struct pgmig_buf *sql)
{
    pgmig_buf_adds(sql, PGMIG_APPLY_BEGIN "; ");
    return enter(a, sql);
}

/* In the file's transaction: its deferred triggers have its own rights. */
static int stay(struct pgmig_apply *a, struct pgmig_buf *sql)
{
    pgmig_buf_adds(sql, "SET CONSTRAINTS ALL IMMEDIATE; ");
    pgmig_touched_add_note(sql);
    return enter(a, sql);
}

static int add_done(struct pgmig_apply *a, bool within, struct pgmig_buf *sql)
{
    struct pgmig_done done = {.first = a->group,
                              .last = a->at,
                              .within = within,
                              .alone = a->alone,
                              .elsewhere = a->conn->pooled,
                              .unseen = a->conn->pooled && !within};

    return pgmig_journal_add_done(a->ledger, a->conn, &a->job, done, sql,
                                  &a->error);
}

/* Behind a COMMIT, in the same message: the session as it is now. A pooler's
** goes to another client: nothing stays in it. */
static int add_known(struct pgmig_apply *a, struct pgmig_buf *sql)
{
    if (begin(a, sql) != 0 ||
        pgmig_journal_add_known(a->ledger, a->conn, &a->job, sql, &a->error))
        return -1;
    if (a->conn->pooled)
        pgmig_frame_add_reset(&a->job, sql);
    pgmig_buf_adds(sql, "COMMIT");
    return 0;
}

/* Commit that the statements up to this one are done. */
static bool write_down(struct pgmig_apply *a, enum pgmig_stage stage)
{
    struct pgmig_buf sql = {0};
    bool open = pgmig_conn_tx(a->conn) == PGMIG_TX_OPEN;
    int status = open ? stay(a, &sql) : begin(a, &sql);

    if (status == 0)
        status = add_done(a, open, &sql);
    if (a->conn->pooled && a->alone)
        pgmig_frame_add_reset(&a->job, &sql);
    pgmig_buf_adds(&sql, "COMMIT");
    if (status == 0 && open) {
        pgmig_buf_adds(&sql, "; ");
        status = add_known(a, &sql);
    }
    return pgmig_request_built(a, stage, &sql, "COMMIT", status);
}

/* ---- the session ----------------------------------------------------- */

/* Make the settings of the session, and note it as it begins. */
static int add_base(struct pgmig_apply *a, struct pgmig_buf *sql)
{
    pgmig_conn_add_tag(a->conn, sql);
    pgmig_frame_session(a->ledger, a->conn, &a->job, !a->conn->pooled, sql);
    if (pgmig_state_add_note(a->conn, &a->job, sql, &a->error) != 0)
        return -1;
    pgmig_buf_adds(sql, PGMIG_STATE_BASE);
    return pgmig_rights_take(a->conn, &a->job, sql, &a->error);
}

static int add_restore(struct pgmig_apply *a, struct pgmig_buf *sql)
{
    return pgmig_journal_add_restore(a->ledger, a->conn, &a->job, sql,
                                     &a->error);
}

static bool make_session(struct pgmig_apply *a, bool again)
{
    struct pgmig_buf sql = {0};
    int status;

    pgmig_buf_adds(&sql, PGMIG_APPLY_BEGIN "; ");
    status = add_base(a, &sql);
    if (status == 0 && again)
        status = add_restore(a, &sql);
    if (status == 0)
        status = enter(a, &sql);
    if (status == 0)
        status = pgmig_journal_add_session(a->ledger, a->conn, &a->job, &sql,
                                           &a->error);
    pgmig_buf_adds(&sql, "COMMIT");
    return pgmig_request_built(a, PGMIG_STAGE_SETTINGS, &sql, "COMMIT", status);
}

bool pgmig_journaled_opened(struct pgmig_apply *a)
{
    bool again = a->job.revision > 0;

    if (!again)
        a->job.revision = PGMIG_JOURNAL_FIRST;
    return a->conn->pooled ? pgmig_apply_begun(a) : make_session(a, again);
}

bool pgmig_journaled_ready(struct pgmig_apply *a)
{
    a->job.revision++;
    return pgmig_apply_begun(a);
}

/* ---- before a statement ---------------------------------------------- */

static int add_before(struct pgmig_apply *a, struct pgmig_buf *sql)
{
    if (pgmig_state_add_note(a->conn, &a->job, sql, &a->error) != 0)
        return -1;
    pgmig_buf_adds(sql, PGMIG_STATE_BEFORE);
    return 0;
}

/* A pooler's session gets what the last one had. */
static int add_lock_elsewhere(struct pgmig_apply *a, struct pgmig_buf *sql)
{
    if (add_base(a, sql) != 0 ||
        pgmig_journal_add_lock(a->ledger, a->conn, &a->job, sql, &a->error) ||
        add_restore(a, sql) != 0 || add_before(a, sql) != 0)
        return -1;
    pgmig_buf_adds(sql, "SELECT " PGMIG_ASK_SERVER ", " PGMIG_JOURNAL_LEFT
                        " AS " PGMIG_JOURNAL_LOST);
    return 0;
}

/* Of what locks the row. */
static const char lock_shape[] = PGMIG_SERVER_SHAPE " ...";

/* The row's lock, in the statement's transaction. */
static int add_lock(struct pgmig_apply *a, struct pgmig_buf *sql)
{
    a->borrowed = true;
    if (a->conn->pooled)
        return add_lock_elsewhere(a, sql);
    if (add_before(a, sql) != 0 ||
        pgmig_rights_take(a->conn, &a->job, sql, &a->error) != 0 ||
        pgmig_journal_add_lock(a->ledger, a->conn, &a->job, sql, &a->error))
        return -1;
    pgmig_rights_return(sql);
    return 0;
}

/* The file's own transaction. Nothing of ours may come before its modes. */
static bool prepare_grouped(struct pgmig_apply *a)
{
    struct pgmig_buf sql = {0};
    unsigned traits = a->sent.traits;
    bool commits = traits & PGMIG_T_TX_COMMIT;
    int status = 0;

    if (traits & PGMIG_T_TX_SET || (a->borrowed && !commits))
        return pgmig_request_text(a);
    if (!a->borrowed)
        status = add_lock(a, &sql);
    if (status != 0 || !commits)
        return pgmig_request_built(a, PGMIG_STAGE_PREPARE, &sql, lock_shape,
                                   status);
    a->settled = true;
    pgmig_buf_adds(&sql, a->conn->pooled ? "; " : "");
    status = stay(a, &sql);
    if (status == 0)
        status = add_done(a, true, &sql);
    pgmig_rights_return(&sql);
    if (status == 0)
        status = add_known(a, &a->behind);
    return pgmig_request_built(a, PGMIG_STAGE_PREPARE, &sql, lock_shape,
                               status);
}

/* The statement's names mean what they mean with the file's own rights. */
static int add_running(struct pgmig_apply *a, struct pgmig_buf *sql)
{
    pgmig_frame_begin(a->ledger, a->conn, &a->job, PGMIG_APPLY_BEGIN, sql);
    if (pgmig_indexed_add_note(a->conn, a->text.data, &a->sent, sql,
                               &a->error) != 0 ||
        pgmig_rights_take(a->conn, &a->job, sql, &a->error) != 0)
        return -1;
    return pgmig_journal_add_running(a->ledger, a->conn, &a->job, a->at,
                                     a->text.data, &a->sent, a->conn->pooled,
                                     sql, &a->error);
}

static bool prepare_alone(struct pgmig_apply *a, struct pgmig_buf *sql)
{
    int status;

    if (a->conn->pooled && pgmig_frame_is_timed(&a->job)) {
        pgmig_buf_free(sql);
        return pgmig_failure_of_session(a, "the time-outs of its file");
    }
    status = add_running(a, sql);
    a->alone = true;
    pgmig_buf_adds(sql, "COMMIT");
    return pgmig_request_built(a, PGMIG_STAGE_PREPARE, sql, "COMMIT", status);
}

static bool prepare_shared(struct pgmig_apply *a)
{
    struct pgmig_buf sql = {0};
    char timeout[PGMIG_TIME_SIZE];
    int status;

    pgmig_buf_adds(&sql, PGMIG_APPLY_BEGIN "; ");
    status = pgmig_state_add_lock_timeout(
        a->conn, pgmig_frame_lock_timeout(&a->job, timeout), &sql, &a->error);
    if (status == 0)
        status = add_lock(a, &sql);
    return pgmig_request_built(a, PGMIG_STAGE_PREPARE, &sql, lock_shape,
                               status);
}

/* The file's tool begins a transaction, up to the first COMMIT. */
static bool is_begun(const struct pgmig_apply *a)
{
    for (size_t i = 0; i < a->at; i++)
        if (a->section->statements[i].traits & PGMIG_T_TX_COMMIT)
            return false;
    return a->section->begun;
}

bool pgmig_journaled_prepare(struct pgmig_apply *a)
{
    struct pgmig_buf sql = {0};

    a->alone = a->settled = false;
    if (a->at < a->job.done) { /* a library that the lost session had */
        a->settled = true;
        return pgmig_request_text(a);
    }
    if (a->grouped)
        return prepare_grouped(a);
    a->group = a->at;
    a->borrowed = false;
    if (a->sent.traits & PGMIG_T_TX_BEGIN) {
        a->grouped = true;
        return pgmig_request_text(a);
    }
    if (a->sent.traits & PGMIG_T_NO_BLOCK)
        return prepare_alone(a, &sql);
    a->grouped = is_begun(a);
    return prepare_shared(a);
}

bool pgmig_journaled_end(struct pgmig_apply *a)
{
    a->grouped = false;
    a->ending = true;
    a->at--; /* written down with the last statement */
    return write_down(a, PGMIG_STAGE_SETTLE);
}

/* What a pooler's session had that went to another client: NULL, nothing. */
static const char *left_behind(const struct pgmig_apply *a)
{
    int column = PQfnumber(a->conn->result, PGMIG_JOURNAL_LOST);
    size_t len;
    const char *what = column < 0 || pgmig_conn_rows(a->conn) < 1
                           ? NULL
                           : pgmig_conn_value(a->conn, 0, column, &len);

    return what != NULL && *what != '\0' ? what : NULL;
}

bool pgmig_journaled_prepared(struct pgmig_apply *a)
{
    const char *lost = left_behind(a);

    if (lost != NULL)
        return pgmig_failure_of_session(a, lost);
    if (a->alone) {
        a->job.revision++;
        a->running = true;
        pgmig_apply_forget_server(a);
    }
    return pgmig_request_text(a);
}

/* ---- after a statement ----------------------------------------------- */

bool pgmig_journaled_isolate(struct pgmig_apply *a)
{
    struct pgmig_buf sql = {0};

    pgmig_error_clear(&a->conn->error);
    pgmig_buf_adds(&sql, "ROLLBACK; ");
    return prepare_alone(a, &sql);
}

bool pgmig_journaled_settle(struct pgmig_apply *a)
{
    bool grouped = a->grouped;

    if (grouped && pgmig_conn_tx(a->conn) == PGMIG_TX_OPEN)
        return pgmig_apply_done(a);
    a->grouped = a->running = false; /* it has not failed, whatever comes */
    if (!a->settled)
        return write_down(a, PGMIG_STAGE_SETTLE);
    if (grouped)
        a->job.revision++;
    return pgmig_apply_done(a);
}

bool pgmig_journaled_settled(struct pgmig_apply *a)
{
    a->job.revision++;
    if (!a->ending)
        return pgmig_apply_done(a);
    a->ending = false;
    return pgmig_apply_next(a);
}

bool pgmig_journaled_skip(struct pgmig_apply *a)
{
    if (a->grouped)
        return pgmig_apply_next(a);
    a->group = a->at;
    return write_down(a, PGMIG_STAGE_SKIP);
}

bool pgmig_journaled_skipped(struct pgmig_apply *a)
{
    a->job.revision++;
    return pgmig_apply_next(a);
}
