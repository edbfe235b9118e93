/* request.c -- what is sent for the migration under way. */
#include "engine/apply.h"
#include "base/error.h"
#include "engine/frame.h"
#include "ledger/journal.h"
#include "ledger/rights.h"
#include "text/kind.h"

bool pgmig_request_end(struct pgmig_apply *a, enum pgmig_outcome outcome)
{
    a->stage = PGMIG_STAGE_ENDED;
    a->outcome = outcome;
    return false;
}

/* A transaction that cannot even be rolled back ends with its connection. */
static bool out_of_memory(struct pgmig_apply *a)
{
    bool undoing = a->stage == PGMIG_STAGE_UNDO;

    pgmig_error_memory(&a->error);
    if (!undoing)
        return pgmig_request_undo(a, PGMIG_FAILED);
    pgmig_conn_abandon(a->conn, "out of memory");
    return pgmig_request_end(a, a->outcome);
}

bool pgmig_request_send(struct pgmig_apply *a, enum pgmig_stage stage,
                        struct pgmig_buf *sql, const char *shape)
{
    int status;

    a->stage = stage;
    if (sql->failed) {
        pgmig_buf_free(sql);
        return out_of_memory(a);
    }
    status = pgmig_conn_ask(a->conn, sql->data, shape);
    pgmig_buf_free(sql);
    return status == 0;
}

bool pgmig_request_built(struct pgmig_apply *a, enum pgmig_stage stage,
                         struct pgmig_buf *sql, const char *shape, int status)
{
    if (status == 0)
        return pgmig_request_send(a, stage, sql, shape);
    pgmig_buf_free(sql);
    return pgmig_request_undo(a, PGMIG_FAILED);
}

/* With transaction=off the journal must know that a statement has failed:
** without that its outcome would count as unknown. */
static void add_verdict(struct pgmig_apply *a, struct pgmig_buf *sql)
{
    struct pgmig_error ignored = {0};

    if (!a->running)
        return;
    pgmig_buf_adds(sql, PGMIG_APPLY_BEGIN "; ");
    if (pgmig_rights_take(a->conn, &a->job, sql, &ignored) != 0 ||
        pgmig_journal_add_failed(a->ledger, a->conn, &a->job,
                                 pgmig_apply_partial(a), sql, &ignored) != 0)
        sql->failed = true;
    pgmig_buf_adds(sql, "; COMMIT; ");
    pgmig_error_clear(&ignored);
}

bool pgmig_request_undo(struct pgmig_apply *a, enum pgmig_outcome outcome)
{
    struct pgmig_buf sql = {0};
    enum pgmig_tx tx = pgmig_conn_tx(a->conn);

    a->outcome = outcome;
    if (tx == PGMIG_TX_NONE)
        return pgmig_request_end(a, outcome);
    if (tx != PGMIG_TX_IDLE)
        pgmig_buf_adds(&sql, "ROLLBACK; ");
    add_verdict(a, &sql);
    pgmig_frame_add_reset(&a->job, &sql);
    return pgmig_request_send(a, PGMIG_STAGE_UNDO, &sql, "-") ||
           pgmig_request_end(a, outcome);
}

/* BEGIN, settings and the claim; on failure the buffer is freed. */
static int open_frame(struct pgmig_apply *a, const char *begin,
                      struct pgmig_buf *sql)
{
    a->before_claim =
        pgmig_frame_open(a->ledger, a->conn, &a->job, begin, sql, &a->error);
    return a->before_claim < 0 ? -1 : 0;
}

bool pgmig_request_open(struct pgmig_apply *a)
{
    struct pgmig_buf sql = {0};

    if (!a->section->transaction)
        return pgmig_journaled_open(a);
    return pgmig_request_built(a, PGMIG_STAGE_OPEN, &sql, PGMIG_CLAIM_SHAPE,
                               open_frame(a, a->section->begin, &sql));
}

/* The data behind a COPY in the file (pgmig_supply). */
static int supply(void *ctx, const char **data, size_t *len)
{
    struct pgmig_apply *a = ctx;
    const struct pgmig_statement *st = pgmig_apply_statement(a);
    int more = 0;

    if (a->pipelined) {
        more = pgmig_cursor_data(&a->sender.cursor, data, len, &a->conn->error);
        a->range.copy_start = a->sender.cursor.data_at;
    } else if (!a->supplied) {
        *data = a->job.script->text + st->copy_start;
        *len = st->copy_end - st->copy_start;
        a->range.copy_start = st->copy_start;
        more = *len > 0;
    }
    a->supplied = true;
    return more;
}

/* The statement with what goes along. What runs alone says whose it is: so its
** server process is found, behind any pooler, by the beginning of its text
** (orphan.lua). */
static bool send_along(struct pgmig_apply *a)
{
    struct pgmig_buf text = {0};
    int status;

    if (a->alone)
        pgmig_buf_addf(&text, "/* pgmig %s */ ", a->job.owner);
    a->tag = text.len;
    pgmig_buf_add(&text, a->text.data, a->text.len);
    if (a->behind.len > 0)
        pgmig_buf_addf(&text, "\n; %s", a->behind.data);
    if (text.failed || a->text.failed || a->behind.failed) {
        pgmig_buf_free(&text);
        return out_of_memory(a);
    }
    a->behind.len = 0;
    status = pgmig_conn_request(a->conn, text.data, NULL);
    pgmig_buf_free(&text);
    return status == 0;
}

bool pgmig_request_text(struct pgmig_apply *a)
{
    const struct pgmig_statement *st = pgmig_apply_statement(a);

    a->stage = PGMIG_STAGE_STATEMENT;
    a->supplied = false;
    if (a->alone || a->behind.len > 0 || a->behind.failed)
        return send_along(a);
    a->tag = 0;
    if (a->text.failed)
        return out_of_memory(a);
    return pgmig_conn_request(a->conn, a->text.data,
                              st->traits & PGMIG_T_COPY_IN ? supply : NULL) ==
           0;
}

static bool begin_statement(struct pgmig_apply *a)
{
    if (a->section->transaction)
        return pgmig_request_text(a);
    return pgmig_journaled_prepare(a);
}

bool pgmig_request_statement(struct pgmig_apply *a)
{
    const struct pgmig_statement *st = pgmig_apply_statement(a);

    a->range = *st;
    a->replaced = false;
    a->text.len = 0;
    pgmig_buf_add(&a->text, pgmig_apply_text(a) + st->start,
                  st->end - st->start);
    a->sent = *st;
    a->sent.start = 0;
    a->sent.end = a->text.len;
    return begin_statement(a);
}

bool pgmig_request_replacement(struct pgmig_apply *a, const char *sql)
{
    a->replaced = true;
    a->text.len = 0;
    pgmig_buf_adds(&a->text, sql);
    if (a->text.failed)
        return out_of_memory(a);
    a->sent = (struct pgmig_statement){.end = a->text.len};
    pgmig_kind_classify(a->text.data, &a->sent, true);
    return begin_statement(a);
}

static int build_close(struct pgmig_apply *a, struct pgmig_buf *sql)
{
    if (!a->section->transaction) {
        /* before BEGIN it would fix the transaction's snapshot */
        pgmig_buf_adds(sql, PGMIG_APPLY_BEGIN "; ");
        pgmig_frame_add_reset(&a->job, sql);
        pgmig_buf_adds(sql, "COMMIT; ");
        if (open_frame(a, PGMIG_APPLY_BEGIN, sql) != 0)
            return -1;
        pgmig_buf_adds(sql, "; ");
    }
    return pgmig_frame_close(a->ledger, a->conn, &a->job, sql, &a->error);
}

bool pgmig_request_close(struct pgmig_apply *a)
{
    struct pgmig_buf sql = {0};
    int status = build_close(a, &sql);

    a->alone = a->running = false;
    return pgmig_request_built(a, PGMIG_STAGE_CLOSE, &sql, "COMMIT/ROLLBACK",
                               status);
}
