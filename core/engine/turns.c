/* turns.c -- the migrations that run one behind the other, and how far. */
#include <stdlib.h>
#include <string.h>

#include "engine/apply.h"
#include "base/error.h"
#include "ledger/ledger.h"

/* The event and the checksum, where the caller has not given them. */
static int fill_in(struct pgmig_turn *turn, struct pgmig_error *err)
{
    struct pgmig_entry *entry = &turn->job.entry;
    const struct pgmig_script *script = turn->job.script;

    if (turn->job.done > script->sections[turn->job.section].statement_count)
        return pgmig_error_set(err, PGMIG_E_USAGE,
                               "more statements are done than there are");
    if (entry->event == NULL)
        entry->event = turn->job.direction == PGMIG_UP ? "up" : "down";
    if (entry->checksum != NULL)
        return 0;
    entry->checksum = turn->checksum;
    if (script->streamed) /* it is known when the file has been run */
        return 0;
    return pgmig_checksum(script->text, script->len, turn->checksum, err);
}

int pgmig_turns_take(struct pgmig_apply *a, const struct pgmig_job *jobs,
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
    return pgmig_error_set(err, PGMIG_E_USAGE,
                           "several migrations, or a streamed one, run only "
                           "without a pause");
}

void pgmig_turns_hashed(struct pgmig_apply *a, size_t at,
                        const struct pgmig_cursor *cursor)
{
    struct pgmig_turn *turn = &a->turns[at];

    if (turn->job.script->streamed)
        memcpy(turn->checksum, cursor->checksum, sizeof turn->checksum);
}

void pgmig_turns_next(struct pgmig_apply *a)
{
    a->job = a->turns[a->committed].job;
    a->section = &a->job.script->sections[a->job.section];
    a->at = 0;
    a->range = (struct pgmig_statement){0};
}

void pgmig_turns_time(struct pgmig_apply *a)
{
    int column = PQfnumber(a->conn->result, PGMIG_SECONDS);
    const char *value;
    size_t len;

    if (column < 0 || pgmig_conn_rows(a->conn) < 1)
        return;
    value = pgmig_conn_value(a->conn, 0, column, &len);
    if (value != NULL)
        a->turns[a->committed].seconds = strtod(value, NULL);
}

double pgmig_apply_seconds(const struct pgmig_apply *a, size_t index)
{
    return index < a->count ? a->turns[index].seconds : -1;
}

void pgmig_turns_commit(struct pgmig_apply *a)
{
    a->committed++;
    if (a->committed < a->count)
        pgmig_turns_next(a);
}

size_t pgmig_apply_committed(const struct pgmig_apply *a)
{
    return a->committed;
}

void pgmig_apply_stop(struct pgmig_apply *a)
{
    a->stopping = true;
}

/* Where in the file the statement under way is, or its COPY data. */
static size_t position(const struct pgmig_apply *a)
{
    size_t at = a->range.start;

    if (!a->pipelined && a->at < a->section->statement_count)
        at = a->section->statements[a->at].start;
    if (a->conn->feeding && a->range.copy_start > 0)
        return a->range.copy_start + a->conn->fed;
    return at;
}

void pgmig_apply_progress(const struct pgmig_apply *a,
                          struct pgmig_progress *out)
{
    const struct pgmig_section *section = a->section;
    size_t at = position(a);

    *out = (struct pgmig_progress){.done = a->at,
                                   .size = section->last - section->first};
    if (a->at >= section->total) {
        out->bytes = out->size;
        return;
    }
    out->bytes = at > section->first ? at - section->first : 0;
    if (!a->job.script->streamed && a->at < section->statement_count)
        out->kind = section->statements[a->at].kind;
}
