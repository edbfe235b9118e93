/*
** listing.c -- what a migration does, as a script for psql.
**
** It goes through the same steps as execute.c, and writes down what that would
** send (program.c). psql looks at no answer: what the engine would refuse
** there, the server has to.
*/
#include "engine/listing.h"

#include "base/error.h"
#include "engine/apply.h"
#include "engine/session.h"
#include "ledger/ledger.h"

/* ---- commands -------------------------------------------------------- */

/* A look at an index has rows where it is INVALID. */
static void add_command(struct pgmig_buf *out, const char *sql, int role)
{
    if (role == PGMIG_ROLE_JOURNAL)
        pgmig_buf_addf(out,
                       "SELECT 1 OPERATOR(pg_catalog./) (CASE WHEN EXISTS (%s) "
                       "THEN 0 ELSE 1 END) AS index_is_valid;\n",
                       sql);
    else
        pgmig_buf_addf(out, "%s;\n", sql);
}

/* What has been written for a step. */
static int take_commands(struct pgmig_apply *a, struct pgmig_buf *out)
{
    if (pgmig_sql_finish(&a->sql) != 0)
        return -1;
    pgmig_sql_part(&a->sql);
    for (size_t i = 0; i < a->sql.count; i++) {
        const struct pgmig_command *command = &a->sql.commands[i];

        add_command(out, a->sql.text.data + command->start, command->role);
    }
    pgmig_sql_clear(&a->sql);
    return 0;
}

/* ---- statements ------------------------------------------------------ */

/* psql takes the lines behind a COPY for its data, up to the one that ends it.
 */
static void add_data(struct pgmig_apply *a, struct pgmig_buf *out)
{
    size_t len = a->range.copy_end - a->range.copy_start;
    const char *data;

    if (len > 0) {
        data = pgmig_source_at(&a->job.script->source, a->range.copy_start);
        pgmig_buf_add(out, data, len);
        if (data[len - 1] != '\n')
            pgmig_buf_addf(out, "\n");
    }
    pgmig_buf_addf(out, "\\.\n");
}

/* The semicolon has a line of its own: the statement may end with a comment. */
static void add_statement(struct pgmig_apply *a, struct pgmig_buf *out)
{
    pgmig_buf_add(out, a->text.data, a->text.len);
    pgmig_buf_addf(out, "\n;\n");
    if (a->sent.traits & PGMIG_T_COPY_IN)
        add_data(a, out);
}

/* ---- a migration ------------------------------------------------------ */

/* The statements of transaction=off, unless another run has applied it, with
** its settings; and the session taken back behind them. */
static int add_alone(struct pgmig_apply *a, struct pgmig_buf *out)
{
    pgmig_sql_add(&a->sql, "SELECT 1");
    pgmig_claim_add_divisor(&a->sql, &a->job, false);
    pgmig_sql_add(&a->sql, " AS not_applied_yet");
    pgmig_sql_end(&a->sql);
    pgmig_session_add_settings(&a->sql, &a->job);
    if (take_commands(a, out) != 0)
        return -1;
    if (a->section->begun) /* what the file's tool does */
        pgmig_buf_addf(out, "BEGIN;\n");
    for (; pgmig_statement_read_held(a); a->here.at++)
        add_statement(a, out);
    if (a->section->unended)
        pgmig_buf_addf(out, "COMMIT;\n");
    pgmig_session_add_full_reset(&a->sql, &a->job);
    return take_commands(a, out);
}

/* One step; where the next one is. NULL: it failed. */
static const struct pgmig_step *add_step(struct pgmig_apply *a,
                                         const struct pgmig_step *step,
                                         struct pgmig_buf *out)
{
    switch (step->what) {
    case PGMIG_DO_SEND:
        step->write(a, &a->job);
        return take_commands(a, out) == 0 ? step + 1 : NULL;
    case PGMIG_DO_READ:
        if (pgmig_statement_read_held(a))
            return step + 1;
        while (step->what != PGMIG_DO_AGAIN)
            step++;
        return step + 1;
    case PGMIG_DO_STATEMENT:
        add_statement(a, out);
        return step + 1;
    case PGMIG_DO_AGAIN:
        a->here.at++;
        while (step->what != PGMIG_DO_READ)
            step--;
        return step;
    default:
        return step + 1;
    }
}

static int add_program(struct pgmig_apply *a, struct pgmig_buf *out)
{
    struct pgmig_section whole = *a->section;
    const struct pgmig_step *step;

    whole.transaction = true; /* also what records one of transaction=off */
    step = pgmig_program_of(&whole);
    while (step != NULL && step->what != PGMIG_DO_END)
        step = add_step(a, step, out);
    return step != NULL ? 0 : -1;
}

int pgmig_listing_add(struct pgmig_buf *out, struct pgmig_conn *conn,
                      const struct pgmig_ledger *ledger,
                      const struct pgmig_job *job, struct pgmig_error *err)
{
    struct pgmig_apply a = {.conn = conn, .job = *job};
    int status = 0;

    if (pgmig_ledger_check(ledger, err) != 0)
        return -1;
    if (job->script->streamed) /* it has no statements in memory */
        return pgmig_error_set(err, PGMIG_E_USAGE,
                               "the script of a listing must be held");
    a.job.done = 0;
    a.section = &job->script->sections[job->section];
    a.sql = PGMIG_SQL(ledger, conn, err);
    if (!a.section->transaction)
        status = add_alone(&a, out);
    if (status == 0)
        status = add_program(&a, out);
    if (status == 0 && (out->failed || a.text.failed))
        status = pgmig_error_memory(err);
    pgmig_buf_free(&a.text);
    pgmig_sql_free(&a.sql);
    return status;
}
