/*
** program.c -- what a migration does, from its first command to its last.
**
** Two programs, at the end of this file, say it step by step: one of a
** migration in a transaction, and one of transaction=off. One that is written
** in Lua has no statements: its function runs at the first pause. One that is
** only recorded has neither.
**
** For each step there is a writer, which adds its commands to `a->sql` (none:
** the step is passed by), and often a look at the answer, which says whether it
** is what it has to be. Between the writers stand two rules. What changes the
** tracking table, the history or the journal does so with the run's rights and
** settings, never with the file's. And nothing that code of the file could
** still do (in a deferred trigger, by a setting) comes behind the proof.
**
** Sending is execute.c's, the words for what goes wrong are failure.c's; the
*SQL
** on the tables is the ledger's.
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/apply.h"
#include "engine/session.h"
#include "ledger/indexed.h"
#include "ledger/journal.h"
#include "ledger/state.h"
#include "ledger/touched.h"

/* Of the transactions that transaction=off has of ours. Said in full, since the
** database or the role may have other defaults: a READ ONLY one could not
** write, and the journal's compare-and-set needs READ COMMITTED, where an
** UPDATE that has waited looks at the row as the other transaction has left it
** (manual, "Read Committed Isolation Level"). */
#define BEGIN "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"

/* The mark goes before the command itself: the name that SET LOCAL gives to the
** transaction begins behind BEGIN, so that behind a pooler nobody could find
** the server process that is still at the BEGIN. */
static void add_begin(struct pgmig_sql *s, const struct pgmig_job *job,
                      const char *begin)
{
    pgmig_sql_addf(s, "%m%s%;", begin);
    pgmig_session_add_locals(s, job);
}

static void add_commit(struct pgmig_sql *s)
{
    pgmig_sql_addf(s, "%mCOMMIT%;");
    pgmig_sql_answers(s, "COMMIT");
}

/* ---- the claim and the bookkeeping ----------------------------------- */

/* Triggers of the bookkeeping's tables may do what they like behind it. */
static bool is_watched(const struct pgmig_sql *s, const struct pgmig_job *job)
{
    return s->ledger->watched || job->watched;
}

/* Triggers may also have changed the session: where there can be any, it is
** taken back behind them, the settings are made once more, and who answers is
** asked last, since the rows of the last command are those that are looked
** at. */
static void add_claim(struct pgmig_sql *s, const struct pgmig_job *job)
{
    pgmig_claim_add(s, job);
    if (!is_watched(s, job))
        return;
    pgmig_session_add_full_reset(
        s, job); /* triggers have done with it what they do */
    pgmig_session_add_locals(s, job);
    pgmig_sql_add(s, "SELECT " PGMIG_ASK_SERVER ", " PGMIG_ASK_TRANSACTION);
    pgmig_sql_answers(s, PGMIG_CLAIM_SHAPE);
}

/* The session as the run's, within a transaction of ours: RESET ALL has taken
** back what SET LOCAL had set, the name and the durability, too. */
static void add_clean(struct pgmig_sql *s)
{
    pgmig_sql_tag(s);
    pgmig_sql_durable(s);
}

/* A trigger of the history may undo the tracking row behind its proof. */
static void add_last_proof(struct pgmig_sql *s, const struct pgmig_job *job)
{
    if (!is_watched(s, job))
        return;
    pgmig_sql_add(s, "SELECT 1");
    pgmig_claim_add_divisor(s, job, job->direction == PGMIG_UP);
    pgmig_history_add_unlock(s, job);
    pgmig_sql_end(s);
    /* the history's own triggers may have touched the session, too */
    pgmig_session_add_full_reset(s, job);
    add_clean(s);
}

/* The history's row, which proves the tracking row, the journal's end where
** there is one, COMMIT. The run's row goes with its last migration, so that no
** third state is seen: a run that has ended, with its end not told. COMMIT is a
** role of its own: only its loss leaves the outcome open. */
static void add_books(struct pgmig_sql *s, const struct pgmig_job *job,
                      bool journaled)
{
    if (job->along != NULL)
        pgmig_sql_commands(s, job->along);
    if (job->ends_run != NULL)
        pgmig_runs_add_end(s, job->ends_run);
    pgmig_history_add_proven(s, job, journaled);
    if (job->revision > 0)
        pgmig_journal_add_end(s, job);
    add_last_proof(s, job);
    s->role = PGMIG_ROLE_COMMIT;
    pgmig_sql_addf(s, "%mCOMMIT%;");
    /* a failed transaction answers ROLLBACK, which is success to the server */
    pgmig_sql_answers(s, "COMMIT/ROLLBACK");
}

/* What is deferred comes before the proof, and a migration's own triggers still
** see its settings. SET CONSTRAINTS ... IMMEDIATE runs at once what has been
** put off (manual, SET CONSTRAINTS); constraints that cannot be deferred ignore
** it. */
static void add_deferred(struct pgmig_sql *s)
{
    pgmig_sql_addf(s, "SET CONSTRAINTS ALL IMMEDIATE%;");
}

/* ---- what the last result says --------------------------------------- */

/* In a column; NULL: it has no such column, or no row. */
static const char *said(const struct pgmig_apply *a, const char *name)
{
    int column = PQfnumber(a->conn->result, name);
    size_t len;

    if (column < 0 || pgmig_conn_rows(a->conn) < 1)
        return NULL;
    return pgmig_conn_value(a->conn, 0, column, &len);
}

/* Behind a pooler this is not the process that the connection was opened with,
** and it is this one that has to be looked at, or ended, when all is silent. */
void pgmig_program_note_server(struct pgmig_apply *a)
{
    const char *pid = said(a, PGMIG_SERVER_PID);

    if (pid != NULL)
        pgmig_conn_served_by(a->conn, atoi(pid));
}

/* Behind a pooler the next transaction may have another server process. */
void pgmig_program_forget_server(struct pgmig_apply *a)
{
    if (a->conn->pooled)
        a->conn->server_pid = 0;
}

void pgmig_program_note_time(struct pgmig_apply *a)
{
    const char *seconds = said(a, PGMIG_SECONDS);

    if (seconds != NULL)
        a->turns[a->here.turn].seconds = strtod(seconds, NULL);
}

/* Kept as text: it is only ever compared (lua/pgmig/run/identity.lua). */
static void note_transaction(struct pgmig_apply *a)
{
    const char *id = said(a, PGMIG_TRANSACTION);

    snprintf(a->transaction, sizeof a->transaction, "%s", id ? id : "");
}

/* ---- in a transaction ------------------------------------------------ */

/* The file's own BEGIN options are part of ours (section->begin): an isolation
** level cannot be set any more when the claim has been made (manual, SET
** TRANSACTION). */
static void open_transaction(struct pgmig_apply *a, const struct pgmig_job *job)
{
    const struct pgmig_section *section = &job->script->sections[job->section];

    /* one of transaction=off has none: it is only recorded here (listing.c) */
    add_begin(&a->sql, job, section->begin[0] ? section->begin : BEGIN);
    a->sql.role = PGMIG_ROLE_CLAIM;
    add_claim(&a->sql, job);
}

/* An INSERT whose trigger has returned NULL succeeds and inserts nothing: then
** RETURNING has no row, and there is no transaction to name. Of what is sent
** ahead nobody looks here; the proof before COMMIT finds it. */
static bool claimed(struct pgmig_apply *a)
{
    pgmig_program_note_server(a);
    note_transaction(a);
    if (a->transaction[0] != '\0')
        return true;
    return pgmig_failure_refuse(
        a, false, "the tracking table did not store the migration's row",
        "a trigger on the table may have suppressed it");
}

/* The order is the argument: deferred code first, while it can still fail the
** migration; then the session, which that code may have changed; then the
** proof; and nothing of others between that and COMMIT. */
static void close_transaction(struct pgmig_apply *a,
                              const struct pgmig_job *job)
{
    a->sql.role = PGMIG_ROLE_CLOSE;
    add_deferred(&a->sql);
    pgmig_session_add_reset(&a->sql, job); /* locks go with the history's row */
    add_clean(&a->sql);
    add_books(&a->sql, job, false);
}

/* COMMIT of a transaction that has failed succeeds, with the tag ROLLBACK, and
** libpq has no error to report. */
static bool committed(struct pgmig_apply *a)
{
    if (strcmp(pgmig_conn_tag(a->conn), "COMMIT") == 0)
        return true;
    return pgmig_failure_refuse(
        a, false, "the server answered COMMIT with ROLLBACK", NULL);
}

/* ---- statements ------------------------------------------------------ */

/* An attempt before can only have done statements from the beginning on, in
** their order: so a number is enough. */
bool pgmig_program_done_before(const struct pgmig_apply *a)
{
    return a->here.at < a->job.done;
}

/* COPY cannot be in a pipeline (libpq manual, "Using Pipeline Mode"). And IF
** NOT EXISTS succeeds for an INVALID index: what is there has to be looked
** at. */
bool pgmig_program_must_look(const struct pgmig_apply *a)
{
    return (a->sent.traits & (PGMIG_T_COPY_IN | PGMIG_T_COPY_OUT)) != 0 ||
           pgmig_indexed_named(&a->sent);
}

/* It may not end the transaction that the bookkeeping needs. The status tells
** of one that is gone. BEGIN within a transaction, and COMMIT without one, only
** warn (25001, 25P01): SQL that a hook has put in the statement's place may
** have both, and leave the status as it was. */
static bool broke_transaction(const struct pgmig_apply *a)
{
    if (a->alone || a->grouped ||
        (!a->section->transaction && pgmig_program_done_before(a)))
        return false;
    return a->conn->tx_warning || pgmig_conn_tx(a->conn) != PGMIG_TX_OPEN;
}

static bool has_run(struct pgmig_apply *a)
{
    if (!broke_transaction(a))
        return true;
    return pgmig_failure_refuse(
        a, true, "the statement interfered with the migration's transaction",
        NULL);
}

/* Look for the INVALID index of another attempt that it may have met: behind
** the statement, in its transaction, so that it fails before anything is
** recorded. */
static void look_at_index(struct pgmig_apply *a, const struct pgmig_job *job)
{
    (void)job;
    if (a->skipped)
        return;
    a->sql.role = PGMIG_ROLE_JOURNAL;
    (void)pgmig_indexed_add_invalid(&a->sql, a->text.data, &a->sent);
}

static bool index_is_valid(struct pgmig_apply *a)
{
    struct pgmig_buf hint = {0};
    size_t len;

    if (pgmig_conn_rows(a->conn) == 0)
        return true;
    pgmig_buf_addf(&hint,
                   "an earlier attempt left it behind; DROP INDEX CONCURRENTLY "
                   "%s, then run again",
                   pgmig_conn_value(a->conn, 0, 0, &len));
    (void)pgmig_failure_refuse(a, true, "this index is INVALID", hint.data);
    pgmig_buf_free(&hint);
    return false;
}

/* ---- transaction=off ------------------------------------------------- */
/*
** A statement that can run in a transaction shares one with its journal
** entry: done and written down together, or neither. What cannot (CREATE
** INDEX CONCURRENTLY, VACUUM, a CALL that commits) runs alone: the journal
** says so before, and that it is done after. Only there can an outcome be
** unknown. A BEGIN ... COMMIT of the file's own is one unit, and so is what
** stands in the transaction that a file's tool would begin or end for it.
*/

/* The claim is a transaction of its own: whoever comes second waits for it and
** no longer, and learns whose the migration is. */
static void claim_journal(struct pgmig_apply *a, const struct pgmig_job *job)
{
    add_begin(&a->sql, job, BEGIN);
    a->sql.role = PGMIG_ROLE_CLAIM;
    pgmig_journal_add_claim(&a->sql, job);
}

/* The caller says the revision of a row that was taken over; a new row has the
** first one. From here on every change counts it up, here as there
** (written). */
static bool journal_claimed(struct pgmig_apply *a)
{
    pgmig_program_note_server(a);
    a->again = a->job.revision > 0;
    if (!a->again)
        a->job.revision = PGMIG_JOURNAL_FIRST;
    return true;
}

/* Note the session, then set what the journal needs. In this order: the
** settings of ours would be noted as the file's, and the rights of the run
** would be noted as its role. */
static void enter(struct pgmig_sql *s, const struct pgmig_job *job)
{
    pgmig_state_add_note(s, job);
    pgmig_session_add_locals(s, job);
    pgmig_state_take_rights(s, job);
}

/* In the file's transaction: its deferred triggers have its own rights. What it
** has locked is noted before the journal's row adds locks of ours. */
static void stay(struct pgmig_sql *s, const struct pgmig_job *job)
{
    add_deferred(s);
    pgmig_touched_add_note(s);
    enter(s, job);
}

/* The session may be the file's: with a role, a search path, time-outs. */
static void begin_books(struct pgmig_sql *s, const struct pgmig_job *job)
{
    pgmig_sql_addf(s, BEGIN "%;");
    enter(s, job);
}

/* Make the settings of the session, and note it as it begins: behind the
** settings, so that they count as the session's beginning and are not made
** again as the file's. */
static void add_base(struct pgmig_sql *s, const struct pgmig_job *job)
{
    pgmig_sql_tag(s);
    pgmig_session_add_settings(s, job);
    pgmig_state_add_note(s, job);
    pgmig_sql_addf(s, PGMIG_STATE_BASE);
    pgmig_state_take_rights(s, job);
}

/* A pooler's session is another one for each statement, so that it is made anew
** each time (add_lock_elsewhere). Here it is made once, in a transaction with
** the journal's word for it: what SET sets stays when that commits (manual,
** SET), and goes when it fails. */
static void make_session(struct pgmig_apply *a, const struct pgmig_job *job)
{
    struct pgmig_sql *s = &a->sql;

    if (a->conn->pooled)
        return;
    pgmig_sql_addf(s, BEGIN "%;");
    add_base(s, job);
    if (a->again)
        pgmig_journal_add_restore(s, job);
    enter(s, job);
    pgmig_journal_add_session(s, job);
    add_commit(s);
}

/* The journal has what was written: its row is one revision further. Both
** counts move with the same commit; where that is not told, nobody goes on with
** this one, and the next attempt reads the row. */
static bool written(struct pgmig_apply *a)
{
    a->job.revision++;
    return true;
}

/* What locks the row names the server process, and what was lost. */
static const char lock_shape[] = PGMIG_SERVER_SHAPE " ...";

/* What the statement's transaction begins with: its end is compared with
** that. */
static void add_before(struct pgmig_sql *s, const struct pgmig_job *job)
{
    pgmig_state_add_note(s, job);
    pgmig_sql_addf(s, PGMIG_STATE_BEFORE);
}

static void give_rights_back(struct pgmig_sql *s)
{
    pgmig_state_return_rights(s);
    pgmig_sql_answers(s, lock_shape);
}

/* A pooler's session gets what the last one had. */
static void add_lock_elsewhere(struct pgmig_sql *s, const struct pgmig_job *job)
{
    add_base(s, job);
    pgmig_journal_add_lock(s, job);
    pgmig_journal_add_restore(s, job);
    add_before(s, job);
    pgmig_sql_add(s, "SELECT " PGMIG_ASK_SERVER ", " PGMIG_JOURNAL_LEFT
                     " AS " PGMIG_JOURNAL_LOST);
    pgmig_sql_answers(s, lock_shape);
}

/* The row's lock, in the statement's transaction: so nobody can take the row
** over between what the statement does and the word that it is done. The rights
** are the file's again for the statement. */
static void add_lock(struct pgmig_apply *a, const struct pgmig_job *job)
{
    struct pgmig_sql *s = &a->sql;

    a->borrowed = true;
    if (a->conn->pooled) {
        add_lock_elsewhere(s, job);
        return;
    }
    add_before(s, job);
    pgmig_state_take_rights(s, job);
    pgmig_journal_add_lock(s, job);
    give_rights_back(s);
}

static void add_done(struct pgmig_apply *a, const struct pgmig_job *job,
                     size_t last, bool within)
{
    struct pgmig_done done = {.first = a->group,
                              .last = last,
                              .within = within,
                              .alone = a->alone,
                              .elsewhere = a->conn->pooled,
                              .unseen = a->conn->pooled && !within};

    pgmig_journal_add_done(&a->sql, job, done);
}

/* Behind a COMMIT, in the same message: the session as it is now. What a
** statement has set for its transaction only has ended with that, and what a
** pooler has lent is still ours up to the message's end. A pooler's goes to
** another client: nothing stays in it. */
static void add_known(struct pgmig_sql *s, const struct pgmig_job *job)
{
    begin_books(s, job);
    pgmig_journal_add_known(s, job);
    if (s->conn->pooled)
        pgmig_session_add_full_reset(s, job);
    add_commit(s);
}

/* What is to go along with the COMMIT of the file's own, behind it. It is the
** file's text that is sent, so ours waits in a buffer of its own; failing here
** must fail the step, or the COMMIT would be sent alone. */
static void write_behind(struct pgmig_apply *a, const struct pgmig_job *job)
{
    struct pgmig_sql s = PGMIG_SQL(a->ledger, a->conn, &a->error);

    add_known(&s, job);
    a->behind.len = 0;
    if (pgmig_sql_finish(&s) == 0)
        pgmig_buf_add(&a->behind, s.text.data, s.text.len);
    if (s.text.failed || a->behind.failed)
        pgmig_sql_fail(&a->sql);
    pgmig_sql_free(&s);
}

/* The file's own transaction. Nothing of ours may come before its modes: they
** are refused behind the first query (manual, SET TRANSACTION). The row is
** locked before the first statement that does anything, and the word that all
** of them are done goes before the COMMIT, which takes it along. */
static void prepare_grouped(struct pgmig_apply *a, const struct pgmig_job *job)
{
    bool commits = a->sent.traits & PGMIG_T_TX_COMMIT;

    if (a->sent.traits & PGMIG_T_TX_SET || (a->borrowed && !commits))
        return;
    if (!a->borrowed)
        add_lock(a, job);
    if (!commits)
        return;
    a->settled = true;
    stay(&a->sql, job);
    add_done(a, job, a->here.at, true);
    give_rights_back(&a->sql);
    write_behind(a, job);
}

/* The statement's names mean what they mean with the file's own rights: they
** are looked up before the rights are the run's. It is committed before the
** statement is sent, since what runs alone cannot take it along. */
static void add_running(struct pgmig_apply *a, const struct pgmig_job *job)
{
    add_begin(&a->sql, job, BEGIN);
    pgmig_indexed_add_note(&a->sql, a->text.data, &a->sent);
    pgmig_state_take_rights(&a->sql, job);
    pgmig_journal_add_running(&a->sql, job, a->here.at, a->text.data, &a->sent,
                              a->conn->pooled);
    add_commit(&a->sql);
}

/* Of a statement that has just failed in a transaction, that one is still open.
** Behind a pooler its session is another one than that where time-outs could be
** set for it; without a transaction there is no SET LOCAL. */
static void prepare_alone(struct pgmig_apply *a, const struct pgmig_job *job)
{
    if (a->isolated)
        pgmig_sql_addf(&a->sql, "ROLLBACK%;");
    if (a->conn->pooled && pgmig_session_is_timed(job)) {
        (void)pgmig_failure_of_session(a, "the timeouts set in its file");
        pgmig_sql_fail(&a->sql);
        return;
    }
    add_running(a, job);
    a->alone = true;
}

/* The run's lock_timeout is for this transaction only: state.c leaves it out of
** what is noted as the session's. */
static void prepare_shared(struct pgmig_apply *a, const struct pgmig_job *job)
{
    struct pgmig_sql *s = &a->sql;

    pgmig_sql_addf(s, BEGIN "%;");
    if (job->lock_timeout != NULL)
        pgmig_state_add_lock_timeout(
            s, pgmig_session_milliseconds(job->lock_timeout));
    add_lock(a, job);
}

/* The file's tool begins a transaction, up to the first COMMIT: a file written
** for a tool that wraps it is one unit up to there. */
static bool is_begun(const struct pgmig_apply *a)
{
    for (size_t i = 0; i < a->here.at; i++)
        if (a->section->statements[i].traits & PGMIG_T_TX_COMMIT)
            return false;
    return a->section->begun;
}

/* Get ready for the statement: by what can share a transaction with it. A group
** is begun by a BEGIN of the file's, before which nothing of ours is sent, or
** by the tool's, which is ours to send. */
static void prepare(struct pgmig_apply *a, const struct pgmig_job *job)
{
    a->sql.role = PGMIG_ROLE_JOURNAL;
    /* what was done before is a library that the lost session had */
    a->settled = pgmig_program_done_before(a);
    if (a->settled || a->skipped)
        return;
    if (a->grouped) {
        prepare_grouped(a, job);
        return;
    }
    a->group = a->here.at;
    a->borrowed = false;
    if (a->sent.traits & PGMIG_T_TX_BEGIN) {
        a->grouped = true;
    } else if (a->isolated || (a->sent.traits & PGMIG_T_NO_BLOCK)) {
        prepare_alone(a, job);
    } else {
        a->grouped = is_begun(a);
        prepare_shared(a, job);
    }
}

/* What the last session had and this one cannot have (a temporary table, a
** prepared statement) stops the migration before the statement is sent. */
static bool prepared(struct pgmig_apply *a)
{
    const char *lost = said(a, PGMIG_JOURNAL_LOST);

    pgmig_program_note_server(a);
    if (lost != NULL && *lost != '\0')
        return pgmig_failure_of_session(a, lost);
    if (a->alone) {
        a->job.revision++;
        a->running = true;
        pgmig_program_forget_server(a);
    }
    return true;
}

/* Only the server can know: a CALL or DO that commits, a function that does
** what needs no transaction around it. Asked of a statement that has shared its
** transaction with nothing but our lock, so that nothing is lost with it. */
bool pgmig_program_isolate(struct pgmig_apply *a)
{
    const char *state = a->conn->error.sqlstate;

    /* active_sql_transaction, invalid_transaction_termination: what cannot run
    ** in a transaction, though nothing in its text says so, runs without */
    a->isolated = !a->section->transaction && !a->alone && !a->grouped &&
                  !pgmig_program_done_before(a) &&
                  (strcmp(state, "25001") == 0 || strcmp(state, "2D000") == 0);
    return a->isolated;
}

/* Commit that the statements up to one are done: in their transaction, where it
** is open; else in one of ours, for what ran alone. A pooler's session is
** handed on with that. */
static void write_down(struct pgmig_apply *a, const struct pgmig_job *job,
                       size_t last)
{
    bool open = pgmig_conn_tx(a->conn) == PGMIG_TX_OPEN;

    if (open)
        stay(&a->sql, job);
    else
        begin_books(&a->sql, job);
    add_done(a, job, last, open);
    if (a->conn->pooled && a->alone)
        pgmig_session_add_full_reset(&a->sql, job);
    add_commit(&a->sql);
    if (open)
        add_known(&a->sql, job);
}

/* The statement is done, or left out, which counts as done. What stands in an
** open group waits for the group's end; what ended one has taken its word along
** (prepare_grouped), and only the count is left to do. */
static void settle(struct pgmig_apply *a, const struct pgmig_job *job)
{
    bool grouped = a->grouped;

    if (a->skipped && !grouped) {
        a->sql.role = PGMIG_ROLE_JOURNAL;
        a->group = a->here.at;
        write_down(a, job, a->here.at);
        return;
    }
    if (a->skipped || (grouped && pgmig_conn_tx(a->conn) == PGMIG_TX_OPEN))
        return;
    a->sql.role = PGMIG_ROLE_DONE;
    a->grouped = a->running = false; /* it has not failed, whatever comes */
    if (!a->settled)
        write_down(a, job, a->here.at);
    else if (grouped)
        a->job.revision++;
}

/* All statements are done: commit what the file's tool would. For a transaction
** that the file itself has left open nothing is written: the migration would
** end while its last changes are not committed. */
static void end_group(struct pgmig_apply *a, const struct pgmig_job *job)
{
    enum pgmig_tx tx = pgmig_conn_tx(a->conn);

    if (tx == PGMIG_TX_IDLE)
        return;
    if (a->grouped && a->section->unended && tx == PGMIG_TX_OPEN) {
        a->sql.role = PGMIG_ROLE_DONE;
        a->grouped = false;
        write_down(a, job, a->here.at - 1);
        return;
    }
    (void)pgmig_failure_refuse(a, false,
                               "the migration left a transaction open", NULL);
    pgmig_sql_fail(&a->sql);
}

/* The tracking row, the history's and the journal's end commit together: there
** is no moment at which the migration is neither under way nor applied. The
** claim comes as late as this, since the journal's row has kept others out. */
static void close_journal(struct pgmig_apply *a, const struct pgmig_job *job)
{
    struct pgmig_sql *s = &a->sql;

    a->alone = a->running = false;
    s->role = PGMIG_ROLE_CLOSE;
    pgmig_sql_addf(s, BEGIN "%;");
    pgmig_session_add_full_reset(
        s, job); /* in the next one it would fix its snapshot */
    pgmig_sql_addf(s, "COMMIT%;");
    add_begin(s, job, BEGIN);
    add_claim(s, job);
    add_deferred(s);
    add_books(s, job, true);
}

/* ---- taking back ----------------------------------------------------- */

/* With transaction=off the journal must know that a statement has failed:
** without that its outcome would count as unknown. `running` is false where the
** row is not ours any more, and where the statement is known to be done. */
static void add_verdict(struct pgmig_apply *a)
{
    struct pgmig_sql *s = &a->sql;

    if (!a->running)
        return;
    pgmig_sql_addf(s, BEGIN "%;");
    pgmig_state_take_rights(s, &a->job);
    pgmig_journal_add_failed(s, &a->job, pgmig_failure_is_partial(a));
    pgmig_sql_addf(s, "COMMIT%;");
}

/* Outside a transaction ROLLBACK would only warn. The session is taken back
** behind it, since what was SET in the transaction has gone with it, and what a
** statement outside of it has set has not. */
void pgmig_program_write_undo(struct pgmig_apply *a)
{
    if (pgmig_conn_tx(a->conn) != PGMIG_TX_IDLE)
        pgmig_sql_addf(&a->sql, "ROLLBACK%;");
    add_verdict(a);
    pgmig_session_add_full_reset(&a->sql, &a->job);
}

/* ---- the programs ---------------------------------------------------- */

#define SEND(write_, seen_)                                       \
    {                                                             \
        .what = PGMIG_DO_SEND, .write = (write_), .seen = (seen_) \
    }
#define STATEMENT(seen_)                            \
    {                                               \
        .what = PGMIG_DO_STATEMENT, .seen = (seen_) \
    }
#define PAUSE(point)                             \
    {                                            \
        .what = PGMIG_DO_PAUSE, .pause = (point) \
    }
#define READ                  \
    {                         \
        .what = PGMIG_DO_READ \
    }
#define AGAIN                  \
    {                          \
        .what = PGMIG_DO_AGAIN \
    }
#define END                  \
    {                        \
        .what = PGMIG_DO_END \
    }

/*
** The tracking row and the change commit together. The claim comes first: a
** second run waits at it and then learns the truth.
*/
static const struct pgmig_step transactional[] = {
    SEND(open_transaction, claimed),
    PAUSE(PGMIG_PAUSE_OPENED),
    READ,
    PAUSE(PGMIG_PAUSE_BEFORE),
    STATEMENT(has_run),
    SEND(look_at_index, index_is_valid),
    PAUSE(PGMIG_PAUSE_AFTER),
    AGAIN,
    PAUSE(PGMIG_PAUSE_CLOSING),
    SEND(close_transaction, committed),
    END};

/* The journal's row is claimed first, the tracking row comes at the end. */
static const struct pgmig_step journaled[] = {
    SEND(claim_journal, journal_claimed),
    SEND(make_session, written),
    PAUSE(PGMIG_PAUSE_OPENED),
    READ,
    PAUSE(PGMIG_PAUSE_BEFORE),
    SEND(prepare, prepared),
    STATEMENT(has_run),
    SEND(look_at_index, index_is_valid),
    SEND(settle, written),
    PAUSE(PGMIG_PAUSE_AFTER),
    AGAIN,
    SEND(end_group, written),
    PAUSE(PGMIG_PAUSE_CLOSING),
    SEND(close_journal, committed),
    END};

const struct pgmig_step *pgmig_program_of(const struct pgmig_section *section)
{
    return section->transaction ? transactional : journaled;
}

bool pgmig_program_closes(const struct pgmig_step *step)
{
    return step->what == PGMIG_DO_SEND && step[1].what == PGMIG_DO_END;
}
