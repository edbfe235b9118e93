/*
** apply.c -- a run of migrations, as its caller sees it: started, paused and
** resumed, looked at, finished.
**
** What a migration does is written by program.c, and sent by execute.c. Nothing
** is tried a second time: that is the caller's affair.
*/
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "engine/apply.h"
#include "ledger/ledger.h"

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
    /* a script without a text has none, and that of a streamed one is known
    ** when the file has been run */
    if (entry->checksum != NULL ||
        (script->source.text == NULL && !script->streamed))
        return 0;
    entry->checksum = turn->checksum;
    if (script->streamed)
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
** pgmig_execute_start on every failure is the operation's, told by finish;
** before it, nothing has been sent. */
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
    pgmig_program_forget_server(a);
    note_session(conn);
    pgmig_execute_start(a);
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

int pgmig_apply_resume(struct pgmig_apply *a, enum pgmig_resume how,
                       const char *sql, struct pgmig_error *err)
{
    if (pgmig_conn_check_idle(a->conn, err) != 0)
        return -1;
    if (a->paused == PGMIG_PAUSE_NONE)
        return pgmig_error_set(err, PGMIG_E_USAGE,
                               "the migration is not paused");
    pgmig_execute_resume(a, how, sql);
    return 0;
}

/* ---- progress and the end -------------------------------------------- */

double pgmig_apply_seconds(const struct pgmig_apply *a, size_t index)
{
    return index < a->count ? a->turns[index].seconds : -1;
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
        out->kind = section->statements[a->here.at].name;
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
    pgmig_statement_close(a);
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
