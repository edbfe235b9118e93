/*
** apply.c -- the one place that sends what a migration does (program.c), and
** reads the answers.
**
** Where the caller wants to look in between, each step is a message that waits
** for its answer. Else a second place, `next`, runs ahead through the same
** steps and sends each command without waiting; the answers move the place
** where the run is, `here`, along. The server skips everything behind the first
** failure, so that what is behind a migration's BEGIN runs only when all before
** it has worked, and what was committed stays. Nothing ever stands between a
** COMMIT and the next BEGIN: it would belong to the next transaction. A
** statement that needs a look ends that, goes the plain way, and the rest is
** sent ahead again.
**
** What is sent is written by program.c, what an error means is said by
** failure.c. Nothing here waits, and nothing is tried a second time: both are
** the caller's affair.
**
** The invariant: `here.turn` migrations are committed, as the server has said;
** an outcome other than PGMIG_DONE is that of the next one.
*/
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "engine/apply.h"
#include "ledger/ledger.h"
#include "text/kind.h"
#include "wire/pipeline.h"

/* The connection keeps the first failure of an operation: whether there is one
** tells that an answer was an error, or that none will come. */
static bool has_failed(const struct pgmig_apply *a)
{
    return a->conn->error.kind != PGMIG_E_NONE;
}

static const struct pgmig_step *step_of(const struct pgmig_apply *a)
{
    return &a->program[a->here.step];
}

static const struct pgmig_job *job_of(const struct pgmig_apply *a, size_t turn)
{
    return &a->turns[turn].job;
}

/* Returns what conn.h asks of `next` when the operation is over. */
static bool end(struct pgmig_apply *a, enum pgmig_outcome outcome)
{
    a->ended = true;
    a->outcome = outcome;
    return false;
}

/* Take the migration back, and the session to its start; returns what conn.h
** asks of `next`. What cannot even be rolled back (there is no memory for the
** text, or no connection) ends with its connection: the server rolls it
** back. */
static bool undo(struct pgmig_apply *a, enum pgmig_outcome outcome)
{
    struct pgmig_error ignored = {0}; /* the first error is the one to tell */
    int status;

    a->outcome = outcome;
    if (pgmig_conn_tx(a->conn) == PGMIG_TX_NONE)
        return end(a, outcome);
    /* from here on the next answer ends the run, whatever it is (undone) */
    a->undoing = true;
    pgmig_sql_clear(&a->sql);
    a->sql.err = &ignored;
    pgmig_program_write_undo(a);
    status = pgmig_sql_finish(&a->sql);
    a->sql.err = &a->error;
    pgmig_error_clear(&ignored);
    if (status != 0)
        /* a session with an open transaction must not go back to the caller */
        pgmig_conn_abandon(a->conn, "out of memory");
    else if (pgmig_conn_ask(a->conn, a->sql.text.data, "-") == 0)
        return true;
    return end(a, outcome);
}

static bool out_of_memory(struct pgmig_apply *a)
{
    pgmig_error_memory(&a->error);
    return undo(a, PGMIG_FAILED);
}

/* ---- the migrations -------------------------------------------------- */

/* The event and the checksum, where the caller has not given them. Refused
** here: more statements done than there are, since `here.at` would run past the
** array. */
static int fill_in(struct pgmig_turn *turn, struct pgmig_error *err)
{
    struct pgmig_entry *entry = &turn->job.entry;
    const struct pgmig_script *script = turn->job.script;

    if (turn->job.done > script->sections[turn->job.section].statement_count)
        return pgmig_error_set(
            err, PGMIG_E_USAGE,
            "more statements are marked as done than the migration has");
    if (entry->event == NULL)
        entry->event = turn->job.direction == PGMIG_UP ? "up" : "down";
    if (entry->checksum != NULL)
        return 0;
    entry->checksum = turn->checksum;
    if (script->streamed) /* it is known when the file has been run */
        return 0;
    return pgmig_checksum(script->source.text, script->source.end,
                          turn->checksum, err);
}

/* Copy the jobs: their gaps are filled in the copy, the caller's stay as they
** are. All of them go ahead, or there is only one: a look in between would need
** a message of its own, and with it a Sync in the middle of the window. A
** streamed file has no statements in memory, so that only a cursor can run
** it. */
static int take_jobs(struct pgmig_apply *a, const struct pgmig_job *jobs,
                     size_t count, struct pgmig_error *err)
{
    a->turns = calloc(count, sizeof *a->turns);
    if (a->turns == NULL)
        return pgmig_error_memory(err);
    a->count = count;
    a->pipelined = true;
    for (size_t i = 0; i < count; i++) {
        a->turns[i].job = jobs[i];
        a->turns[i].seconds = -1;
        a->pipelined = a->pipelined && pgmig_job_pipelined(&jobs[i]);
        if (fill_in(&a->turns[i], err) != 0)
            return -1;
    }
    if (a->pipelined || (count == 1 && !jobs[0].script->streamed))
        return 0;
    return pgmig_error_set(
        err, PGMIG_E_USAGE,
        "several migrations, or a streamed one, can run only without pauses");
}

/* Let a migration be the one under way. All answers that come from now on are
** about it, and so is an error. */
static void begin_turn(struct pgmig_apply *a, size_t turn)
{
    a->here = (struct pgmig_point){.turn = turn};
    a->job = *job_of(a, turn);
    a->section = &a->job.script->sections[a->job.section];
    a->program = pgmig_program_of(a->section);
    a->range = (struct pgmig_statement){0};
}

/* It is committed. Only the server's word for its COMMIT leads here: what
** counts as committed (pgmig_apply_committed) is never ahead of the
** database. */
static void end_turn(struct pgmig_apply *a)
{
    if (a->here.turn + 1 < a->count)
        begin_turn(a, a->here.turn + 1);
    else
        a->here.turn = a->count;
}

/* ---- statements ------------------------------------------------------ */

/* Let a statement be the one that is sent. Its text may be in a window that the
** cursor soon fills anew: so it is copied, and begins at 0. */
static void take_statement(struct pgmig_apply *a, const char *sql,
                           const struct pgmig_statement *st)
{
    a->text.len = 0;
    pgmig_buf_add(&a->text, sql, st->end - st->start);
    a->sent = *st;
    a->sent.start = 0;
    a->sent.end = a->text.len;
    a->replaced = a->skipped = a->alone = a->isolated = false;
}

/* What an attempt before has done is left out, but for the libraries that its
** session had: no view tells of them. */
static bool is_left_out(const struct pgmig_apply *a)
{
    return pgmig_program_done_before(a) &&
           strcmp(a->section->statements[a->here.at].kind, "LOAD") != 0;
}

/* The next statement of a file that is held: false behind the last one. */
static bool read_held(struct pgmig_apply *a)
{
    const struct pgmig_section *section = a->section;

    while (is_left_out(a))
        a->here.at++;
    if (a->here.at >= section->statement_count)
        return false;
    a->range = section->statements[a->here.at];
    take_statement(a, pgmig_source_at(&a->job.script->source, a->range.start),
                   &a->range);
    return true;
}

/* A cursor has read a migration to its end: of a streamed one, the checksum is
** known now. */
static void end_cursor(struct pgmig_apply *a)
{
    struct pgmig_turn *turn = &a->turns[a->next.turn];

    if (turn->job.script->streamed)
        memcpy(turn->checksum, a->cursor.checksum, sizeof turn->checksum);
    pgmig_cursor_close(&a->cursor);
    a->reading = false;
}

static void close_cursor(struct pgmig_apply *a)
{
    if (a->reading)
        pgmig_cursor_close(&a->cursor);
    a->reading = false;
}

static int open_cursor(struct pgmig_apply *a)
{
    const struct pgmig_job *job = job_of(a, a->next.turn);

    if (a->reading)
        return 0;
    a->reading = true;
    return pgmig_cursor_open(&a->cursor, job->script, job->section, &a->cause);
}

/* The next statement that is sent ahead: 1, 0 behind the last one, -1. An error
** goes to `cause`, not to `error`: what was sent before may still fail, and
** that came first. */
static int read_ahead(struct pgmig_apply *a)
{
    struct pgmig_statement st = {0};
    const char *sql;
    int more = open_cursor(a);

    if (more == 0)
        more = pgmig_cursor_next(&a->cursor, &st, &sql, &a->cause);
    if (more == 0)
        end_cursor(a);
    if (more <= 0)
        return more;
    a->ahead_range = st;
    take_statement(a, sql, &st);
    return a->text.failed ? pgmig_error_memory(&a->cause) : 1;
}

/* The data behind a COPY in the file (pgmig_supply). A cursor hands it out
** piece by piece, so that a dump of any size goes through a small window; of a
** held file it is one piece, which `supplied` keeps from being sent twice. */
static int supply(void *ctx, const char **data, size_t *len)
{
    struct pgmig_apply *a = ctx;
    const struct pgmig_statement *st = &a->range;
    int more = 0;

    if (a->pipelined) {
        more = pgmig_cursor_data(&a->cursor, data, len, &a->conn->error);
        a->range.copy_start = a->cursor.data_at;
    } else if (!a->supplied) {
        *data = pgmig_source_at(&a->job.script->source, st->copy_start);
        *len = st->copy_end - st->copy_start;
        a->range.copy_start = st->copy_start;
        more = *len > 0;
    }
    a->supplied = true;
    return more;
}

/* The statement with what goes along. What runs alone says whose it is: so its
** server process is found, behind any pooler, by the beginning of its text
** (orphan.lua). The comment must be first, since pg_stat_activity shows the
** beginning only; `tag` takes its length off the places of errors. What stands
** behind goes on a line of its own: the statement may end with a comment. */
static void add_along(struct pgmig_apply *a, struct pgmig_buf *text)
{
    if (a->alone)
        pgmig_buf_addf(text, "/* pgmig %s */ ", a->job.owner);
    a->tag = text->len;
    pgmig_buf_add(text, a->text.data, a->text.len);
    if (a->behind.len > 0)
        pgmig_buf_addf(text, "\n; %s", a->behind.data);
    a->behind.len = 0;
}

/* Only a message of the simple protocol may have several statements (protocol
** manual, "Multiple Statements in a Simple Query"); what was written for one
** statement is dropped with it, sent or not. */
static bool send_along(struct pgmig_apply *a)
{
    struct pgmig_buf text = {0};
    int status;

    add_along(a, &text);
    if (text.failed) {
        pgmig_buf_free(&text);
        return out_of_memory(a);
    }
    status = pgmig_conn_request(a->conn, text.data, NULL);
    pgmig_buf_free(&text);
    return status == 0;
}

/* A text that could not be copied is never sent in part: a shorter statement
** may well be valid, and do something else. */
static bool send_statement(struct pgmig_apply *a)
{
    bool copies = a->sent.traits & PGMIG_T_COPY_IN;

    a->supplied = false;
    a->tag = 0;
    if (a->text.failed)
        return out_of_memory(a);
    if (a->alone || a->behind.len > 0)
        return send_along(a);
    return pgmig_conn_request(a->conn, a->text.data, copies ? supply : NULL) ==
           0;
}

/* ---- the plain way --------------------------------------------------- */

static bool send_ahead(struct pgmig_apply *a);

/* Behind the end of the loop that a step is in, or back to its beginning. Loops
** of a program do not nest, so that the nearest bound is the right one. */
static size_t behind_loop(const struct pgmig_step *program, size_t step)
{
    while (program[step].what != PGMIG_DO_AGAIN)
        step++;
    return step + 1;
}

static size_t begin_of_loop(const struct pgmig_step *program, size_t step)
{
    while (program[step].what != PGMIG_DO_READ)
        step--;
    return step;
}

/* What is left out, or was done before, is shown to nobody. */
static bool pauses_at(const struct pgmig_apply *a, enum pgmig_pause point)
{
    bool of_statement =
        point == PGMIG_PAUSE_BEFORE || point == PGMIG_PAUSE_AFTER;

    if (of_statement && (a->skipped || pgmig_program_done_before(a)))
        return false;
    return (a->job.pauses & (unsigned)point) != 0;
}

/* Write down what a step sends: nothing, where its writer has nothing to do.
** What fails on the way sticks to the writer, so there is one place to ask. */
static int write_step(struct pgmig_apply *a, const struct pgmig_step *step,
                      const struct pgmig_job *job)
{
    pgmig_sql_clear(&a->sql);
    step->write(a, job);
    return pgmig_sql_finish(&a->sql);
}

/* All commands of a step are one message. The rows of the last one are kept and
** looked at; of the others it is only known that they have succeeded, since the
** first error ends the message. */
static bool send_commands(struct pgmig_apply *a)
{
    const struct pgmig_sql *s = &a->sql;

    return pgmig_conn_ask(a->conn, s->text.data,
                          s->commands[s->count - 1].shape) == 0;
}

/* Go on with the program: true when a request is on its way, false when the
** operation has stopped, as conn.h asks. A jump goes to the step before its
** target, since the loop counts on. */
static bool go_on(struct pgmig_apply *a)
{
    for (;; a->here.step++) {
        const struct pgmig_step *step = step_of(a);

        switch (step->what) {
        case PGMIG_DO_SEND:
            if (write_step(a, step, &a->job) != 0)
                return undo(a, PGMIG_FAILED);
            /* a step that sends nothing has no answer: its `seen` is not
            ** asked */
            if (a->sql.count > 0)
                return send_commands(a);
            break;
        case PGMIG_DO_STATEMENT:
            if (!a->skipped)
                return send_statement(a);
            break;
        case PGMIG_DO_PAUSE:
            if (!pauses_at(a, step->pause))
                break;
            a->paused = step->pause;
            return false;
        case PGMIG_DO_READ:
            /* back from a statement that needed a look: the rest goes ahead
            ** again */
            if (a->pipelined)
                return send_ahead(a);
            if (!read_held(a))
                a->here.step = behind_loop(a->program, a->here.step) - 1;
            break;
        case PGMIG_DO_AGAIN:
            a->here.at++;
            a->here.step = begin_of_loop(a->program, a->here.step) - 1;
            break;
        case PGMIG_DO_END:
            end_turn(a);
            return end(a, PGMIG_DONE);
        }
    }
}

/* Which command of the last message has failed: the one behind those that have
** succeeded. Where all have, it is what came behind them that is wrong (the
** connection was lost, or the answer has another shape), and the last one is in
** question: a COMMIT, if there is one. */
static enum pgmig_role failed_role(const struct pgmig_apply *a)
{
    size_t failed = (size_t)a->conn->results;

    if (step_of(a)->what == PGMIG_DO_STATEMENT)
        return PGMIG_ROLE_STATEMENT;
    if (failed >= a->sql.count)
        failed = a->sql.count - 1;
    return (enum pgmig_role)a->sql.commands[failed].role;
}

/* A failure is final, but for one: only the server can say that a statement
** cannot run in a transaction, and then it is prepared once more, to run
** without (program.c). Nothing of it has happened. */
static bool fail(struct pgmig_apply *a, enum pgmig_role role)
{
    if (role == PGMIG_ROLE_STATEMENT && pgmig_program_isolate(a)) {
        pgmig_error_clear(&a->conn->error);
        /* the step before the statement is the one that prepares it */
        a->here.step--;
        return go_on(a);
    }
    return undo(a, pgmig_failure_of(a, role));
}

/* The ROLLBACK is answered, or has failed: then the server rolls back by
** itself, with the connection. The first error is the one that matters. */
static bool undone(struct pgmig_apply *a)
{
    struct pgmig_error ignored = {0};

    pgmig_conn_take_error(a->conn, &ignored);
    pgmig_error_clear(&ignored);
    return end(a, a->outcome);
}

static bool all_answered(struct pgmig_apply *a);

/* The operation's `next` (conn.h): a message is answered, or will not be. The
** order counts: what answers a ROLLBACK says nothing of the step that failed,
** and a pipeline has its own view of what has. */
static bool next(void *ctx, struct pgmig_conn *conn)
{
    struct pgmig_apply *a = ctx;
    const struct pgmig_step *step = step_of(a);

    (void)conn;
    if (a->ended)
        return false;
    if (a->undoing)
        return undone(a);
    if (a->ahead)
        return all_answered(a);
    if (has_failed(a))
        return fail(a, failed_role(a));
    if (step->seen != NULL && !step->seen(a))
        return undo(a, PGMIG_FAILED);
    a->here.step++;
    return go_on(a);
}

/* ---- ahead ----------------------------------------------------------- */

/* Send one command of the step. A COMMIT is flushed at once: without a Sync the
** server may keep its answers in its buffer (protocol manual, "Extended
** Query"), and what is committed would be known, and told, only at the window's
** end. */
static bool send_command(struct pgmig_apply *a)
{
    const struct pgmig_command *command = &a->sql.commands[a->command];
    struct pgmig_mark mark = {.job = a->next.turn,
                              .part = command->role,
                              .shape = command->shape,
                              .flush = command->role == PGMIG_ROLE_COMMIT};

    return pgmig_pipeline_send(a->conn,
                               pgmig_sql_command(&a->sql, a->command++), &mark,
                               &a->cause) == 0;
}

/* The mark takes the statement's place along: by the time of the answer the
** cursor is elsewhere, and the window may hold another text. */
static bool send_text(struct pgmig_apply *a)
{
    struct pgmig_mark mark = {.job = a->next.turn,
                              .at = a->next.at,
                              .start = a->ahead_range.start,
                              .end = a->ahead_range.end,
                              .part = PGMIG_ROLE_STATEMENT};

    a->next.step++;
    return pgmig_pipeline_send(a->conn, a->text.data, &mark, &a->cause) == 0;
}

/* Write the step that is next. The writer's errors go to `cause`, as all that
** is wrong with sending does (read_ahead). */
static int write_ahead(struct pgmig_apply *a, const struct pgmig_step *step)
{
    int status;

    a->sql.err = &a->cause;
    status = write_step(a, step, job_of(a, a->next.turn));
    a->sql.err = &a->error;
    a->command = 0;
    a->written = true;
    return status;
}

/*
** What is next, of the steps of a transaction (pgmig_pipeline_owner): false
** when that is all, or a statement needs a look, or nothing more can be sent.
** One call sends one command, so that between two of them answers are read:
** else both sides could wait for each other with full buffers (libpq manual,
** "Using Pipeline Mode"). Pauses are passed by: whoever wants one is not
** pipelined.
*/
static bool feed(void *ctx)
{
    struct pgmig_apply *a = ctx;

    for (;; a->next.step++) {
        const struct pgmig_step *step = &a->program[a->next.step];
        int more = 1;

        switch (step->what) {
        case PGMIG_DO_SEND:
            if (!a->written && write_ahead(a, step) != 0)
                return false;
            if (a->command < a->sql.count)
                return send_command(a);
            a->written = false;
            break;
        case PGMIG_DO_STATEMENT:
            a->looks = pgmig_program_must_look(a);
            return !a->looks && send_text(a);
        case PGMIG_DO_PAUSE:
            break;
        case PGMIG_DO_READ:
            more = read_ahead(a);
            if (more < 0)
                return false;
            if (more == 0)
                a->next.step = behind_loop(a->program, a->next.step) - 1;
            break;
        case PGMIG_DO_AGAIN:
            a->next.at++;
            a->next.step = begin_of_loop(a->program, a->next.step) - 1;
            break;
        case PGMIG_DO_END:
            a->next = (struct pgmig_point){.turn = a->next.turn + 1};
            if (a->next.turn == a->count || a->stopping)
                return false;
            /* no Sync between two migrations: the loop's count makes this 0 */
            a->next.step = (size_t)-1;
            break;
        }
    }
}

/* A statement was answered, or has failed: it is the one that progress and
** errors are about, however much was sent meanwhile. */
static void arrive(struct pgmig_apply *a, const struct pgmig_mark *mark)
{
    a->here.at = mark->at;
    a->range = (struct pgmig_statement){.start = mark->start, .end = mark->end};
}

/* A command has succeeded (pgmig_pipeline_owner). Its row is looked at only
** where there is one to use; what the server says to COMMIT is always looked
** at, since a failed transaction answers it with success, and the tag
** ROLLBACK. */
static const char *answered(void *ctx, const struct pgmig_mark *mark)
{
    struct pgmig_apply *a = ctx;

    switch ((enum pgmig_role)mark->part) {
    case PGMIG_ROLE_CLAIM:
        pgmig_program_note_server(a);
        break;
    case PGMIG_ROLE_STATEMENT:
        arrive(a, mark);
        break;
    case PGMIG_ROLE_CLOSE:
        pgmig_program_note_time(a);
        break;
    case PGMIG_ROLE_COMMIT:
        if (strcmp(pgmig_conn_tag(a->conn), "COMMIT") != 0)
            return "ROLLBACK in response to COMMIT";
        end_turn(a);
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

/* The first command that has failed (pgmig_pipeline_owner). The mark tells
** which one was to be answered next. A lost connection is another thing: a
** COMMIT that was sent behind it may have been carried out, its answer lost; so
** the outcome is in doubt as soon as one was sent (apply.h: what a role's
** failure means). */
static void failed(void *ctx, const struct pgmig_mark *mark)
{
    struct pgmig_apply *a = ctx;
    bool perhaps_committed = a->conn->error.kind == PGMIG_E_CONNECT &&
                             !has_ended(a->conn) &&
                             pgmig_apply_committing(a) > a->here.turn;

    a->failed =
        perhaps_committed ? PGMIG_ROLE_COMMIT : (enum pgmig_role)mark->part;
    if (a->failed == PGMIG_ROLE_STATEMENT)
        arrive(a, mark);
}

/* Send ahead from where the migration under way is. The first claim is written
** before the pipeline is entered: so it asks who answers (claim.c), once for
** the window, which one server process runs. */
static bool send_ahead(struct pgmig_apply *a)
{
    static const struct pgmig_pipeline_owner owner = {feed, answered, failed};
    const struct pgmig_step *step = step_of(a);

    a->next = a->here;
    a->written = a->looks = false;
    if (step->what == PGMIG_DO_SEND && write_ahead(a, step) != 0)
        return all_answered(a);
    if (pgmig_pipeline_enter(a->conn, &owner, a) == 0) {
        a->ahead = true;
        return true;
    }
    pgmig_conn_take_error(a->conn, &a->error);
    return undo(a, PGMIG_FAILED);
}

/* All that was sent ahead is answered, or has failed. What the server has said
** comes before what kept us from sending: it is about a migration that was sent
** earlier. A failure behind the last COMMIT is about nothing that was asked. */
static bool all_answered(struct pgmig_apply *a)
{
    struct pgmig_error late = {0};

    a->ahead = false;
    if (has_failed(a) && a->here.turn < a->count)
        return fail(a, a->failed);
    /* sending has stopped (a file that was changed, no memory): no COMMIT of it
    ** is on its way */
    if (a->cause.kind != PGMIG_E_NONE) {
        a->error = a->cause;
        a->cause = (struct pgmig_error){0};
        return undo(a, PGMIG_FAILED);
    }
    /* what was read ahead, the statement at hand, goes the plain way */
    if (a->looks) {
        a->here = a->next;
        a->range = a->ahead_range;
        return go_on(a);
    }
    pgmig_conn_take_error(a->conn, &late); /* all that was asked is done */
    pgmig_error_clear(&late);
    return end(a, PGMIG_DONE);
}

/* ---- starting -------------------------------------------------------- */

/* A transaction of the caller's would take the migrations along: its ROLLBACK
** would undo them all, and our COMMIT would end it. */
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

/* Looked at before anything is sent, so that a word that the server would
** refuse in the middle of a run is refused at its start. */
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

/* The ledger is copied, since the caller may probe again, or free it, while the
** run is under way: names and formats of one run never change. From
** pgmig_conn_begin on every failure is the operation's, told by finish; before
** it, nothing has been sent. */
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
    if (a->ledger == NULL || take_jobs(a, jobs, count, err) != 0) {
        pgmig_apply_free(a);
        return NULL;
    }
    a->sql = PGMIG_SQL(a->ledger, conn, &a->error);
    begin_turn(a, 0);
    pgmig_program_forget_server(a);
    note_session(conn);
    pgmig_conn_begin(conn, next, a);
    /* a failure to send is told by finish */
    (void)(a->pipelined ? send_ahead(a) : go_on(a));
    return a;
}

/* ---- pauses ---------------------------------------------------------- */

enum pgmig_pause pgmig_apply_paused(const struct pgmig_apply *a,
                                    size_t *statement)
{
    *statement = a->here.at;
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

/* Let SQL take the place of the statement. */
static void replace(struct pgmig_apply *a, const char *sql)
{
    struct pgmig_statement st = {.end = strlen(sql)};

    take_statement(a, sql, &st);
    a->replaced = true;
    if (!a->text.failed)
        pgmig_kind_classify(a->text.data, a->text.len, true, &a->sent);
}

/* Go on from a pause as the caller says; conn.h tells what is returned. The
** transaction is looked at before anything else is sent: behind a COMMIT of the
** caller's the next statement would run, and stay, outside the migration's. */
static bool resume(struct pgmig_apply *a, enum pgmig_resume how,
                   const char *sql, bool before)
{
    if (how == PGMIG_GIVE_UP)
        return undo(a, PGMIG_GIVEN_UP);
    if (!still_open(a)) {
        (void)pgmig_failure_refuse(
            a, false, "a hook ended or broke the migration's transaction",
            NULL);
        return undo(a, PGMIG_FAILED);
    }
    if (before && how == PGMIG_SKIP)
        a->skipped = true;
    else if (before && how == PGMIG_REPLACE)
        replace(a, sql);
    a->here.step++;
    return go_on(a);
}

int pgmig_apply_resume(struct pgmig_apply *a, enum pgmig_resume how,
                       const char *sql, struct pgmig_error *err)
{
    enum pgmig_pause point = a->paused;

    if (pgmig_conn_check_idle(a->conn, err) != 0)
        return -1;
    if (point == PGMIG_PAUSE_NONE)
        return pgmig_error_set(err, PGMIG_E_USAGE,
                               "the migration is not paused");
    a->paused = PGMIG_PAUSE_NONE;
    pgmig_conn_begin(a->conn, next, a);
    (void)resume(a, how, sql, point == PGMIG_PAUSE_BEFORE);
    return 0;
}

/* ---- progress and the end -------------------------------------------- */

double pgmig_apply_seconds(const struct pgmig_apply *a, size_t index)
{
    return index < a->count ? a->turns[index].seconds : -1;
}

/* `here` stays behind the last one where all are committed, so that this needs
** no count of its own. */
size_t pgmig_apply_committed(const struct pgmig_apply *a)
{
    return a->here.turn;
}

/* The step that closes is written before its COMMIT is sent: some of this count
** may not have been sent, none of the others has. */
size_t pgmig_apply_committing(const struct pgmig_apply *a)
{
    bool closing =
        a->written && pgmig_program_closes(&a->program[a->next.step]);

    return a->next.turn + (closing ? 1 : 0);
}

void pgmig_apply_stop(struct pgmig_apply *a)
{
    a->stopping = true;
}

/* Where in the file the statement under way is, or its COPY data. Of a streamed
** file only the range is known, of a held one the array, too, at a pause before
** the statement is read. */
static size_t position(const struct pgmig_apply *a)
{
    size_t at = a->range.start;

    if (!a->pipelined && a->here.at < a->section->statement_count)
        at = a->section->statements[a->here.at].start;
    if (a->conn->feeding && a->range.copy_start > 0)
        return a->range.copy_start + a->conn->fed;
    return at;
}

void pgmig_apply_progress(const struct pgmig_apply *a,
                          struct pgmig_progress *out)
{
    const struct pgmig_section *section = a->section;
    size_t at = position(a);

    *out = (struct pgmig_progress){.done = a->here.at,
                                   .size = section->last - section->first};
    if (a->here.at >= section->total) {
        out->bytes = out->size;
        return;
    }
    out->bytes = at > section->first ? at - section->first : 0;
    if (!a->job.script->streamed && a->here.at < section->statement_count)
        out->kind = section->statements[a->here.at].kind;
}

bool pgmig_apply_ended(const struct pgmig_apply *a)
{
    return a->paused == PGMIG_PAUSE_NONE && pgmig_conn_ended(a->conn);
}

void pgmig_apply_free(struct pgmig_apply *a)
{
    if (a == NULL)
        return;
    pgmig_error_clear(&a->error);
    pgmig_error_clear(&a->cause);
    close_cursor(a);
    pgmig_buf_free(&a->text);
    pgmig_buf_free(&a->behind);
    pgmig_sql_free(&a->sql);
    pgmig_ledger_free(a->ledger);
    free(a->turns);
    free(a);
}

/* The connection's own failure counts only where the run has none yet, as when
** its first message could not be sent. What the caller gets in `err` is his to
** clear; with another outcome than PGMIG_FAILED there is none. */
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
