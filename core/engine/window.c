/*
** window.c -- migrations sent ahead of the server's answers.
**
** The sender goes through the migrations and sends their commands, each a
** message; the answers move the migration under way along. The server skips
** everything behind the first failure, so that what is behind a migration's
** BEGIN runs only when all before it has worked, and what was committed
** stays. Nothing ever stands between a COMMIT and the next BEGIN: it would
** belong to the next transaction.
**
** What needs a look at its answer (COPY, an index that may be INVALID) ends
** the window, goes the plain way, and the next window begins behind it.
*/
#include <string.h>

#include "engine/apply.h"
#include "base/error.h"
#include "engine/frame.h"
#include "wire/pipeline.h"
#include "ledger/indexed.h"
#include "ledger/ledger.h"

enum part { PART_BEGIN, PART_CLAIM, PART_STATEMENT, PART_CLOSE, PART_COMMIT };

/* ---- sending --------------------------------------------------------- */

static const struct pgmig_job *job_of(const struct pgmig_apply *a)
{
    return &a->turns[a->sender.turn].job;
}

static const struct pgmig_section *section_of(const struct pgmig_apply *a)
{
    const struct pgmig_job *job = job_of(a);

    return &job->script->sections[job->section];
}

/* What its answer looks like. */
static const char *shape_of(enum part part, const char *command)
{
    switch (part) {
    case PART_CLAIM: /* a trigger may let it have no row: the proof tells */
        return strstr(command, PGMIG_SERVER_PID) ? PGMIG_SENT_CLAIM_SHAPE : "-";
    case PART_COMMIT:
        return "COMMIT/ROLLBACK";
    case PART_CLOSE:
        return strstr(command, PGMIG_SECONDS) ? "? " PGMIG_SECONDS ":float ..."
                                              : "-";
    default:
        return NULL;
    }
}

/* Send a command of the frame. What cannot be sent ends the window, but what
** is on its way still counts. */
static bool send_part(struct pgmig_apply *a, const char *sql, enum part part)
{
    struct pgmig_mark mark = {.job = a->sender.turn,
                              .at = a->sender.at,
                              .part = (int)part,
                              .shape = shape_of(part, sql),
                              .flush = part == PART_COMMIT};

    return pgmig_pipeline_send(a->conn, sql, &mark, &a->sender.error) == 0;
}

/* Write the commands down that open or close the migration. */
static bool build(struct pgmig_apply *a, enum pgmig_stage stage)
{
    struct pgmig_sender *s = &a->sender;
    const struct pgmig_job *job = job_of(a);
    int status;

    s->stage = stage;
    s->at = 0;
    s->frame.len = 0;
    if (stage == PGMIG_STAGE_OPEN)
        status = pgmig_frame_open(a->ledger, a->conn, job, section_of(a)->begin,
                                  &s->frame, &s->error);
    else
        status =
            pgmig_frame_close(a->ledger, a->conn, job, &s->frame, &s->error);
    if (status >= 0 && s->frame.failed)
        status = pgmig_error_memory(&s->error);
    if (status < 0)
        return false;
    s->claim = (size_t)status;
    s->commands = (struct pgmig_lexer){.text = s->frame.data,
                                       .len = s->frame.len,
                                       .final = true,
                                       .standard_strings = true};
    return true;
}

static enum part part_of(const struct pgmig_sender *s, const char *command)
{
    if (s->stage == PGMIG_STAGE_OPEN)
        return s->at == s->claim ? PART_CLAIM : PART_BEGIN;
    return strcmp(command, "COMMIT") == 0 ? PART_COMMIT : PART_CLOSE;
}

static void close_cursor(struct pgmig_sender *s)
{
    if (s->reading)
        pgmig_cursor_close(&s->cursor);
    s->reading = false;
}

static bool open_cursor(struct pgmig_apply *a)
{
    struct pgmig_sender *s = &a->sender;
    const struct pgmig_job *job = job_of(a);

    close_cursor(s);
    s->reading = true;
    return pgmig_cursor_open(&s->cursor, job->script, job->section,
                             &s->error) == 0;
}

static bool send_statement(struct pgmig_apply *a);

/* The commands of the frame are sent: go on with what is behind it. */
static bool leave_frame(struct pgmig_apply *a)
{
    struct pgmig_sender *s = &a->sender;

    if (s->stage == PGMIG_STAGE_OPEN) {
        s->stage = PGMIG_STAGE_STATEMENT;
        s->at = 0;
        s->waiting = false;
        return open_cursor(a) && send_statement(a);
    }
    s->turn++;
    s->stage = PGMIG_STAGE_ENDED;
    if (s->turn == a->count || a->stopping)
        return false;
    return build(a, PGMIG_STAGE_OPEN);
}

static bool ends_command(const struct pgmig_lexer *lx,
                         const struct pgmig_token *token)
{
    return token->kind == PGMIG_TOKEN_END ||
           token->kind == PGMIG_TOKEN_UNTERMINATED ||
           (token->kind == PGMIG_TOKEN_SYMBOL && lx->text[token->start] == ';');
}

/* The next command of the frame; NULL: there is none. They are our own, and
** nothing else has to be known of them. */
static char *next_command(struct pgmig_sender *s)
{
    struct pgmig_lexer *lx = &s->commands;
    struct pgmig_token token = pgmig_lexer_next(lx);
    char *command = s->frame.data + token.start;

    if (token.kind == PGMIG_TOKEN_END)
        return NULL;
    while (!ends_command(lx, &token)) {
        pgmig_lexer_skip(lx);
        token = pgmig_lexer_next(lx);
    }
    s->frame.data[token.start] = '\0'; /* it was the semicolon */
    return command;
}

static bool send_command(struct pgmig_apply *a)
{
    struct pgmig_sender *s = &a->sender;
    char *command = next_command(s);

    if (command == NULL)
        return leave_frame(a);
    if (!send_part(a, command, part_of(s, command)))
        return false;
    s->at++;
    return true;
}

/* COPY cannot be in a pipeline (libpq manual, "Using Pipeline Mode"). */
static bool goes_ahead(const char *text, const struct pgmig_statement *st)
{
    return !(st->traits & (PGMIG_T_COPY_IN | PGMIG_T_COPY_OUT)) &&
           !pgmig_indexed_named(text, st);
}

/* Send the text of the sender's statement. */
static bool send_text(struct pgmig_apply *a)
{
    struct pgmig_sender *s = &a->sender;
    const struct pgmig_statement *st = &s->statement;
    struct pgmig_mark mark = {.job = s->turn,
                              .at = s->at,
                              .start = st->start,
                              .end = st->end,
                              .part = PART_STATEMENT};

    a->text.len = 0;
    pgmig_buf_add(&a->text, s->cursor.text + st->start, st->end - st->start);
    if (a->text.failed) {
        pgmig_error_memory(&s->error);
        return false;
    }
    s->waiting = false;
    s->at++;
    return pgmig_pipeline_send(a->conn, a->text.data, &mark, &s->error) == 0;
}

static bool send_statement(struct pgmig_apply *a)
{
    struct pgmig_sender *s = &a->sender;
    int more = 1;

    if (!s->waiting)
        more = pgmig_cursor_next(&s->cursor, &s->statement, &s->error);
    if (more < 0)
        return false;
    if (more == 0) {
        pgmig_turns_hashed(a, s->turn, &s->cursor);
        return build(a, PGMIG_STAGE_CLOSE);
    }
    s->waiting = true;
    return goes_ahead(s->cursor.text, &s->statement) && send_text(a);
}

static bool feed(void *ctx)
{
    struct pgmig_apply *a = ctx;

    switch (a->sender.stage) {
    case PGMIG_STAGE_OPEN:
    case PGMIG_STAGE_CLOSE:
        return send_command(a);
    case PGMIG_STAGE_STATEMENT:
        return send_statement(a);
    default:
        return false;
    }
}

size_t pgmig_apply_committing(const struct pgmig_apply *a)
{
    const struct pgmig_sender *s = &a->sender;
    size_t begun = s->stage == PGMIG_STAGE_CLOSE ? 1 : 0;

    return s->turn + begun;
}

/* ---- answers --------------------------------------------------------- */

/* A statement was answered: it is the one under way. */
static void arrive(struct pgmig_apply *a, const struct pgmig_mark *mark)
{
    a->stage = PGMIG_STAGE_STATEMENT;
    a->at = mark->at;
    a->range = (struct pgmig_statement){.start = mark->start, .end = mark->end};
}

static const char *answered(void *ctx, const struct pgmig_mark *mark)
{
    struct pgmig_apply *a = ctx;

    switch ((enum part)mark->part) {
    case PART_CLAIM:
        pgmig_apply_note_server(a);
        break;
    case PART_STATEMENT:
        arrive(a, mark);
        break;
    case PART_CLOSE:
        pgmig_turns_time(a);
        break;
    case PART_COMMIT:
        if (strcmp(pgmig_conn_tag(a->conn), "COMMIT") != 0)
            return "ROLLBACK, to a COMMIT";
        pgmig_turns_commit(a);
        break;
    default:
        break;
    }
    return NULL;
}

/* Whether the server process has said, instead of an answer, that it ends: it
** has done nothing that was sent behind. A pooler might say so of itself. */
static bool has_ended(const struct pgmig_conn *conn)
{
    return strncmp(conn->error.sqlstate, "57P", 3) == 0 &&
           conn->server_pid == pgmig_conn_backend_pid(conn);
}

/* Let the migration under way stand where apply.c expects a failure. */
static void failed(void *ctx, const struct pgmig_mark *mark)
{
    struct pgmig_apply *a = ctx;
    bool perhaps_committed = a->conn->error.kind == PGMIG_E_CONNECT &&
                             !has_ended(a->conn) &&
                             pgmig_apply_committing(a) > a->committed;

    if (mark->part == PART_STATEMENT && !perhaps_committed) {
        arrive(a, mark);
    } else if (mark->part >= PART_CLOSE || perhaps_committed) {
        a->stage = PGMIG_STAGE_CLOSE;
    } else {
        a->stage = PGMIG_STAGE_OPEN;
        a->before_claim = mark->part == PART_CLAIM ? 0 : 1;
        a->conn->results = 0;
    }
}

/* ---- the window ------------------------------------------------------ */

bool pgmig_window_enter(struct pgmig_apply *a, enum pgmig_stage stage)
{
    static const struct pgmig_pipeline_owner owner = {feed, answered, failed};
    struct pgmig_sender *s = &a->sender;

    a->stage = stage;
    s->turn = a->committed;
    s->stage = stage;
    s->at = a->at;
    if (stage != PGMIG_STAGE_STATEMENT && !build(a, stage))
        return pgmig_window_left(a);
    if (pgmig_pipeline_enter(a->conn, &owner, a) == 0) {
        a->ahead = true;
        return true;
    }
    pgmig_conn_take_error(a->conn, &a->error);
    return pgmig_request_undo(a, PGMIG_FAILED);
}

bool pgmig_window_left(struct pgmig_apply *a)
{
    struct pgmig_error late = {0};

    if (a->sender.error.kind != PGMIG_E_NONE) {
        a->error = a->sender.error;
        a->sender.error = (struct pgmig_error){0};
        return pgmig_request_undo(a, PGMIG_FAILED);
    }
    if (a->sender.stage == PGMIG_STAGE_STATEMENT) {
        a->sender.waiting = false;
        a->at = a->sender.at;
        return pgmig_request_statement(a);
    }
    pgmig_conn_take_error(a->conn, &late); /* all that was asked is done */
    pgmig_error_clear(&late);
    return pgmig_request_end(a, PGMIG_DONE);
}

void pgmig_window_free(struct pgmig_apply *a)
{
    close_cursor(&a->sender);
    pgmig_error_clear(&a->sender.error);
    pgmig_buf_free(&a->sender.frame);
}
