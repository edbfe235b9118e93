/*
** blame.c -- an error of the server's, told in terms of the file.
**
** Three sources say where it is, in this order: the position that the server
** has sent, the line of COPY data or of a routine's body in CONTEXT, and the
** statement itself. None of this may fail: an error without a place is still
** the error, so what goes wrong in here is dropped.
*/
#include "text/blame.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "text/source.h"
#include "text/classify.h"
#include "text/trace.h"
#include "base/utf8.h"

#define STATEMENT_MAX 4096 /* bytes of a statement that an error carries */

/* Where in the file the error is. A server counts characters; bytes where its
** database has SQL_ASCII, which knows none. A position behind the statement is
** its end. */
static size_t find(const struct pgmig_error *err, const struct pgmig_source *s,
                   const struct pgmig_statement *list, size_t at,
                   size_t position, bool bytes)
{
    const struct pgmig_statement *st = &list[at];
    size_t len = st->end - st->start;
    size_t offset = st->start;

    if (position > 0 && bytes)
        offset += position <= len ? position - 1 : len;
    else if (position > 0)
        offset +=
            pgmig_utf8_offset(pgmig_source_at(s, st->start), len, position - 1);
    else
        pgmig_trace(s, list, at, err, &offset);
    return offset;
}

/* Characters that no editor shows and the server takes for part of a name. */
static const struct unseen {
    const char *bytes;
    const char *name;
} unseen[] = {
    {"\xEF\xBB\xBF", "byte order mark (U+FEFF)"},
    {"\xC2\xA0", "no-break space (U+00A0)"},
    {"\xE2\x80\x8B", "zero width space (U+200B)"},
    {"\xE2\x80\x8C", "zero width non-joiner (U+200C)"},
    {"\xE2\x80\x8D", "zero width joiner (U+200D)"},
    {"\xE2\x80\xAF", "narrow no-break space (U+202F)"},
    {"\xE2\x81\xA0", "word joiner (U+2060)"},
    {"\xE3\x80\x80", "ideographic space (U+3000)"},
};

/* What cannot be seen in the word that begins here; NULL: nothing. */
static const char *find_unseen(const char *text, const char *end)
{
    for (; text < end && strchr(" \t\r\n\f\v;(),", *text) == NULL; text++)
        for (size_t i = 0; i < sizeof unseen / sizeof *unseen; i++) {
            size_t len = strlen(unseen[i].bytes);

            if (len <= (size_t)(end - text) &&
                memcmp(text, unseen[i].bytes, len) == 0)
                return unseen[i].name;
        }
    return NULL;
}

/* The server has stumbled over a word: does it hold what nobody sees? To it any
** character above ASCII belongs to a name (scan.l, ident_start), so it speaks
** of a column that does not exist, and shows it as one that does. */
static void name_unseen(struct pgmig_error *err, const char *text,
                        const char *end)
{
    const char *name;

    /* syntax_error_or_access_rule_violation */
    if (err->hint != NULL || strncmp(err->sqlstate, "42", 2) != 0)
        return;
    name = find_unseen(text, end);
    if (name != NULL)
        pgmig_error_hint(err, "this word contains a %s: delete it", name);
}

/* Let it point into COPY data: false when it does not speak of any. */
static bool place_in_data(struct pgmig_error *err,
                          const struct pgmig_script *script,
                          const struct pgmig_statement *st)
{
    struct pgmig_error ignored = {0};
    int line = pgmig_trace_copy(err->context);
    size_t offset;
    int status;

    if (line == 0 || st->copy_start == 0)
        return false;
    status = pgmig_source_line(&script->source, st->copy_start, line, &offset,
                               &ignored);
    pgmig_error_clear(&ignored);
    /* copy_end is 0 while the data of a streamed script still comes */
    if (status != 0 || (st->copy_end > 0 && offset > st->copy_end))
        return false;
    pgmig_source_point(&script->source, offset, err);
    return true;
}

void pgmig_blame_place(struct pgmig_error *err,
                       const struct pgmig_script *script,
                       const struct pgmig_statement *list, size_t at,
                       size_t position, bool bytes)
{
    const struct pgmig_statement *st = &list[at];
    size_t len = st->end - st->start;
    struct pgmig_error ignored = {0};
    struct pgmig_statement again = *st;
    struct pgmig_source s;
    const char *sql;

    pgmig_error_field(&err->file, script->path);
    if (pgmig_source_show(&script->source, st->start, st->end, &s, &ignored) !=
        0) {
        pgmig_error_clear(&ignored); /* the file has gone meanwhile */
        return;
    }
    sql = pgmig_source_at(&s, st->start);
    err->statement =
        pgmig_strndup(sql, len < STATEMENT_MAX ? len : STATEMENT_MAX);
    if (script->streamed) { /* its kind was not kept */
        pgmig_classify(&again, sql, len, true);
        list = &again;
        at = 0;
    }
    if (position > 0 || !place_in_data(err, script, st)) {
        size_t offset = find(err, &s, list, at, position, bytes);

        pgmig_source_point(&s, offset, err);
        name_unseen(err, pgmig_source_at(&s, offset), sql + len);
    }
    pgmig_source_close(&s);
}

/* The server's hint says what is wrong, this one what stays: `done` statements
** that stand above the failed one. */
static void advise_outside(struct pgmig_error *err, size_t done)
{
    char *own = err->hint;

    if (done == 0)
        return;
    err->hint = NULL;
    pgmig_error_hint(err,
                     "%s%stransaction=off: %zu statement%s before it stay%s "
                     "done; the next run resumes after %s",
                     own ? own : "", own ? " -- " : "", done,
                     done > 1 ? "s" : "", done > 1 ? "" : "s",
                     done > 1 ? "them" : "it");
    free(own);
}

/* Why a statement was canceled, the server says in its message alone: a timeout
** and somebody's request share SQLSTATE and place in its source. So where the
** message is not in English both are possible, and the advice says so. */
static void advise_canceled(struct pgmig_error *err)
{
    if (strstr(err->message, "statement timeout") != NULL)
        pgmig_error_hint(err, "it exceeded statement_timeout; the line `-- "
                              "pgmig: statement_timeout=0` removes the limit");
    else if (strncmp(err->message, "canceling ", 10) != 0)
        pgmig_error_hint(err, "if it exceeded statement_timeout, the line `-- "
                              "pgmig: statement_timeout=0` removes the limit");
}

/* By SQLSTATE (manual, Appendix A). */
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
    else if (strcmp(state, "57014") == 0)
        advise_canceled(err);
}
