/*
** statement.c -- the statement under way: taken from the file, and sent.
**
** A file that is held is an array of statements; of any other, and of one that
** is sent ahead, a cursor hands them out. Either way the statement is copied:
** the text that it stands in may be a window that is soon filled anew.
*/
#include <string.h>

#include "base/error.h"
#include "engine/apply.h"
#include "text/classify.h"

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

/* Let SQL take the place of the statement. */
void pgmig_statement_replace(struct pgmig_apply *a, const char *sql)
{
    struct pgmig_statement st = {.end = strlen(sql)};

    take_statement(a, sql, &st);
    a->replaced = true;
    if (!a->text.failed)
        pgmig_classify(&a->sent, a->text.data, a->text.len, true);
}

/* What an attempt before has done is left out, but for the libraries that its
** session had: no view tells of them. */
static bool is_left_out(const struct pgmig_apply *a)
{
    return pgmig_program_done_before(a) &&
           a->section->statements[a->here.at].kind != PGMIG_KIND_LOAD;
}

/* The next statement of a file that is held: false behind the last one. */
bool pgmig_statement_read_held(struct pgmig_apply *a)
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

void pgmig_statement_close(struct pgmig_apply *a)
{
    if (a->reading)
        pgmig_cursor_close(&a->cursor);
    a->reading = false;
}

static int open_cursor(struct pgmig_apply *a)
{
    const struct pgmig_job *job = &a->turns[a->next.turn].job;

    if (a->reading)
        return 0;
    a->reading = true;
    return pgmig_cursor_open(&a->cursor, job->script, job->section, &a->cause);
}

/* The next statement that is sent ahead: 1, 0 behind the last one, -1. An error
** goes to `cause`, not to `error`: what was sent before may still fail, and
** that came first. */
int pgmig_statement_read_ahead(struct pgmig_apply *a)
{
    struct pgmig_statement st = {0};
    const char *sql = NULL;
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
static int send_along(struct pgmig_apply *a)
{
    struct pgmig_buf text = {0};
    int status;

    add_along(a, &text);
    status = text.failed ? pgmig_error_memory(&a->error)
                         : pgmig_conn_request(a->conn, text.data, NULL);
    pgmig_buf_free(&text);
    return status;
}

/* A text that could not be copied is never sent in part: a shorter statement
** may well be valid, and do something else. */
int pgmig_statement_send(struct pgmig_apply *a)
{
    bool copies = a->sent.traits & PGMIG_T_COPY_IN;

    a->supplied = false;
    a->tag = 0;
    if (a->text.failed)
        return pgmig_error_memory(&a->error);
    if (a->alone || a->behind.len > 0)
        return send_along(a);
    return pgmig_conn_request(a->conn, a->text.data, copies ? supply : NULL);
}
