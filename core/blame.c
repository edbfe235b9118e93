/* blame.c -- an error of the server's, told in terms of the file. */
#include "blame.h"

#include <string.h>

#include "buf.h"
#include "error.h"
#include "locate.h"
#include "trace.h"
#include "utf8.h"

#define STATEMENT_MAX 4096 /* bytes of a statement that an error carries */

void pgmig_blame_place(struct pgmig_error *err,
                       const struct pgmig_script *script,
                       const struct pgmig_section *section, size_t at,
                       size_t position)
{
    const struct pgmig_statement *st = &section->statements[at];
    const char *text = script->text + st->start;
    size_t len = st->end - st->start;
    size_t offset = st->start;

    if (position > 0)
        offset += pgmig_utf8_offset(text, len, position - 1);
    else
        pgmig_trace(script, section, at, err->context, &offset);
    pgmig_locate_error(err, script->path, script->text, script->len, offset);
    err->statement =
        pgmig_strndup(text, len < STATEMENT_MAX ? len : STATEMENT_MAX);
}

static void advise_outside(struct pgmig_error *err, size_t done)
{
    if (done > 0)
        pgmig_error_hint(err,
                         "transaction=off: %zu statement%s before it stay%s "
                         "done; the next run goes on behind %s",
                         done, done > 1 ? "s" : "", done > 1 ? "" : "s",
                         done > 1 ? "them" : "it");
}

void pgmig_blame_advise(struct pgmig_error *err,
                        const struct pgmig_section *section, size_t at)
{
    const char *state = err->sqlstate;

    if (!section->transaction) {
        advise_outside(err, at);
        return;
    }
    /* unsafe_new_enum_value_usage, active_sql_transaction,
    ** invalid_transaction_termination, lock_not_available, query_canceled */
    if (strcmp(state, "55P04") == 0)
        pgmig_error_hint(err, "a new enum value can be used only after "
                              "COMMIT: use it in the next migration");
    else if (strcmp(state, "25001") == 0 || strcmp(state, "2D000") == 0)
        pgmig_error_hint(err, "it cannot run in a transaction: add the line "
                              "`-- pgmig: transaction=off`");
    else if (strcmp(state, "55P03") == 0)
        pgmig_error_hint(err, "another session holds the lock; run again, or "
                              "wait longer with `-- pgmig: lock_timeout=30s`");
    else if (strcmp(state, "57014") == 0 &&
             strstr(err->message, "statement timeout") != NULL)
        pgmig_error_hint(err, "statement_timeout ended it; the line `-- pgmig: "
                              "statement_timeout=0` allows it any time");
}
