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
#include "apply.h"
#include "error.h"
#include "frame.h"
#include "indexed.h"
#include "journal.h"
#include "rights.h"

static const struct pgmig_statement *current(const struct pgmig_apply *a)
{
    return &a->section->statements[a->at];
}

bool pgmig_journaled_open(struct pgmig_apply *a)
{
    struct pgmig_buf sql = {0};

    a->before_claim =
        pgmig_frame_begin(a->ledger, a->conn, &a->job, PGMIG_APPLY_BEGIN, &sql);
    return pgmig_request_built(
        a, PGMIG_STAGE_OPEN, &sql,
        pgmig_journal_add_claim(a->ledger, a->conn, &a->job, &sql, &a->error));
}

/* Settings of the session: a pooler would give them to another client. */
bool pgmig_journaled_opened(struct pgmig_apply *a)
{
    struct pgmig_buf sql = {0};
    bool pooled = a->conn->server_pid != pgmig_conn_backend_pid(a->conn);

    if (a->job.revision == 0)
        a->job.revision = PGMIG_JOURNAL_FIRST;
    if (pgmig_frame_session(a->ledger, a->conn, &a->job, !pooled, &sql) == 0) {
        pgmig_buf_free(&sql);
        return pgmig_apply_begun(a);
    }
    return pgmig_request_send(a, PGMIG_STAGE_SETTINGS, &sql);
}

/* Begin a transaction of ours, with the rights that it needs. */
static int begin(struct pgmig_apply *a, struct pgmig_buf *sql)
{
    pgmig_frame_begin(a->ledger, a->conn, &a->job, PGMIG_APPLY_BEGIN, sql);
    return pgmig_rights_take(a->conn, &a->job, sql, &a->error);
}

/* In the file's transaction: its deferred triggers have its own rights. */
static int stay(struct pgmig_apply *a, struct pgmig_buf *sql)
{
    pgmig_buf_adds(sql, "SET CONSTRAINTS ALL IMMEDIATE; ");
    return pgmig_rights_take(a->conn, &a->job, sql, &a->error);
}

static int add_done(struct pgmig_apply *a, struct pgmig_buf *sql)
{
    return pgmig_journal_add_done(a->ledger, a->conn, &a->job, a->group, a->at,
                                  sql, &a->error);
}

/* Commit that the statements up to this one are done. */
static bool write_down(struct pgmig_apply *a, enum pgmig_stage stage)
{
    struct pgmig_buf sql = {0};
    bool open = pgmig_conn_tx(a->conn) == PGMIG_TX_OPEN;
    int status = open ? stay(a, &sql) : begin(a, &sql);

    if (status == 0)
        status = add_done(a, &sql);
    pgmig_buf_adds(&sql, "COMMIT");
    return pgmig_request_built(a, stage, &sql, status);
}

/* In the file's own transaction: its COMMIT takes the journal along. */
static bool prepare_grouped(struct pgmig_apply *a)
{
    struct pgmig_buf sql = {0};
    int status;

    if (!(current(a)->traits & PGMIG_T_TX_COMMIT))
        return pgmig_request_text(a);
    a->settled = true;
    status = stay(a, &sql);
    if (status == 0)
        status = add_done(a, &sql);
    pgmig_rights_return(&sql);
    return pgmig_request_built(a, PGMIG_STAGE_PREPARE, &sql, status);
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
                                     a->text.data, &a->sent, sql, &a->error);
}

static bool prepare_alone(struct pgmig_apply *a, struct pgmig_buf *sql)
{
    int status = add_running(a, sql);

    a->alone = true;
    pgmig_buf_adds(sql, "COMMIT");
    return pgmig_request_built(a, PGMIG_STAGE_PREPARE, sql, status);
}

static bool prepare_shared(struct pgmig_apply *a)
{
    struct pgmig_buf sql = {0};
    int status = begin(a, &sql);

    if (status == 0)
        status = pgmig_journal_add_lock(a->ledger, a->conn, &a->job, &sql,
                                        &a->error);
    pgmig_buf_adds(&sql, "; ");
    pgmig_rights_return(&sql);
    return pgmig_request_built(a, PGMIG_STAGE_PREPARE, &sql, status);
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
    if (a->at < a->job.done) { /* a setting that the lost session had */
        a->settled = true;
        return pgmig_request_text(a);
    }
    if (a->grouped)
        return prepare_grouped(a);
    a->group = a->at;
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

bool pgmig_journaled_prepared(struct pgmig_apply *a)
{
    if (a->alone) {
        a->job.revision++;
        a->running = true;
        pgmig_apply_forget_server(a);
    }
    return pgmig_request_text(a);
}

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
