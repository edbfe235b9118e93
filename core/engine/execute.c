/*
** execute.c -- the one executor: sends what a migration does (program.c), and
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
** What an error means is said by failure.c. Nothing here waits, and nothing is
** tried a second time: both are the caller's affair.
**
** The invariant: `here.turn` migrations are committed, as the server has said;
** an outcome other than PGMIG_DONE is that of the next one.
*/
#include <string.h>

#include "base/error.h"
#include "engine/apply.h"
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

/* ---- the migrations -------------------------------------------------- */

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

/* Without memory nothing is sent, and the migration is taken back. */
static bool send_statement(struct pgmig_apply *a)
{
    if (pgmig_statement_send(a) == 0)
        return true;
    return a->error.kind == PGMIG_E_NONE ? false : undo(a, PGMIG_FAILED);
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
            if (!pgmig_statement_read_held(a))
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

/* The next command of the step. A COMMIT is flushed at
 *once: without a Sync the
 ** server may keep its answers in its buffer (protocol manual, "Extended
 ** Query"), and what is committed would be known, and told, only at the
 *window's
 ** end. */
static bool next_command(struct pgmig_apply *a, struct pgmig_request *next)
{
    const struct pgmig_command *command = &a->sql.commands[a->command++];

    next->sql = a->sql.text.data + command->start;
    next->mark =
        (struct pgmig_mark){.job = a->next.turn,
                            .part = command->role,
                            .shape = command->shape,
                            .flush = command->role == PGMIG_ROLE_COMMIT};
    return true;
}

/* The mark takes the statement's place along: by the time of the answer the
** cursor is elsewhere, and the window may hold another text. */
static bool next_text(struct pgmig_apply *a, struct pgmig_request *next)
{
    next->sql = a->text.data;
    next->mark = (struct pgmig_mark){.job = a->next.turn,
                                     .at = a->next.at,
                                     .start = a->ahead_range.start,
                                     .end = a->ahead_range.end,
                                     .part = PGMIG_ROLE_STATEMENT};
    a->next.step++;
    return true;
}

/* Write the step that is next, whose commands are sent one by one. The writer's
 *errors go to `cause`, as all that
 ** is wrong with sending does (read_ahead). */
static int write_ahead(struct pgmig_apply *a, const struct pgmig_step *step)
{
    int status;

    a->sql.err = &a->cause;
    status = write_step(a, step, job_of(a, a->next.turn));
    pgmig_sql_part(&a->sql);
    a->sql.err = &a->error;
    a->command = 0;
    a->written = true;
    return status;
}

/*
** What is next, of the steps of a transaction (pgmig_pipeline_owner): false
** when that is all, or a statement needs a look, or nothing more can be sent.
** One call gives one command, so that between two of them answers are read:
** else both sides could wait for each other with full buffers (libpq manual,
** "Using Pipeline Mode"). Pauses are passed by: whoever wants one is not
** pipelined.
*/
static bool feed(void *ctx, struct pgmig_request *next)
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
                return next_command(a, next);
            a->written = false;
            break;
        case PGMIG_DO_STATEMENT:
            a->looks = pgmig_program_must_look(a);
            return !a->looks && next_text(a, next);
        case PGMIG_DO_PAUSE:
            break;
        case PGMIG_DO_READ:
            more = pgmig_statement_read_ahead(a);
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
** where there is one to use (one with a shape); what the server says to COMMIT
*is always looked
** at, since a failed transaction answers it with success, and the tag
** ROLLBACK. */
static const char *answered(void *ctx, const struct pgmig_mark *mark)
{
    struct pgmig_apply *a = ctx;

    switch ((enum pgmig_role)mark->part) {
    case PGMIG_ROLE_CLAIM:
        if (mark->shape != NULL)
            pgmig_program_note_server(a);
        break;
    case PGMIG_ROLE_STATEMENT:
        arrive(a, mark);
        break;
    case PGMIG_ROLE_CLOSE:
        if (mark->shape != NULL)
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
    if (pgmig_pipeline_enter(a->conn, &owner, a, &a->cause) == 0) {
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

/* ---- starting, and going on behind a pause --------------------------- */

/* A failure to send is told by finish. */
void pgmig_execute_start(struct pgmig_apply *a)
{
    begin_turn(a, 0);
    pgmig_conn_begin(a->conn, next, a);
    (void)(a->pipelined ? send_ahead(a) : go_on(a));
}

/* What the caller did at a pause must have left the transaction open. */
static bool still_open(const struct pgmig_apply *a)
{
    return !a->section->transaction || pgmig_conn_tx(a->conn) == PGMIG_TX_OPEN;
}

/* conn.h tells what is returned. The transaction is looked at before anything
** else is sent: behind a COMMIT of the caller's the next statement would run,
** and stay, outside the migration's. */
static bool go_on_from(struct pgmig_apply *a, enum pgmig_pause point,
                       enum pgmig_resume how, const char *sql)
{
    bool before = point == PGMIG_PAUSE_BEFORE;

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
        pgmig_statement_replace(a, sql);
    a->here.step++;
    return go_on(a);
}

void pgmig_execute_resume(struct pgmig_apply *a, enum pgmig_resume how,
                          const char *sql)
{
    enum pgmig_pause point = a->paused;

    a->paused = PGMIG_PAUSE_NONE;
    pgmig_conn_begin(a->conn, next, a);
    (void)go_on_from(a, point, how, sql);
}
