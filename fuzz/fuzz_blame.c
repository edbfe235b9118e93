/*
** fuzz_blame.c -- any file and any CONTEXT or position that a server gives: the
** error points into the file, at the statement or, where CONTEXT speaks of a
** routine, at this or an earlier one, and shows the line that it names.
*/
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "check.h"
#include "text/text.h"
#include "text/blame.h"
#include "text/trace.h"

static const size_t positions[] = {0, 1, 2, 7, 100, SIZE_MAX / 2, SIZE_MAX};

/* Where a line and column are; the text's length behind its end. */
static size_t offset_of(const struct pgmig_script *s,
                        const struct pgmig_error *err)
{
    const char *text = s->source.text;
    size_t len = s->source.end;
    size_t at = len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;

    for (int64_t line = err->line; line > 1; line--) {
        const char *newline = memchr(text + at, '\n', len - at);

        CHECK(newline != NULL);
        at = (size_t)(newline - text) + 1;
    }
    for (int64_t column = err->column; column > 1; column--)
        for (at++; at < len && ((unsigned char)text[at] & 0xC0) == 0x80;)
            at++;
    CHECK(at <= len);
    return at;
}

/* The end of a statement, its data included. */
static size_t end_of(const struct pgmig_statement *st)
{
    return st->copy_end > st->end ? st->copy_end : st->end;
}

static void blame(const struct pgmig_script *s,
                  const struct pgmig_section *section, size_t at,
                  const char *context, size_t position, bool bytes)
{
    const struct pgmig_statement *list = section->statements;
    struct pgmig_error err = {.kind = PGMIG_E_SQL};
    size_t offset;

    pgmig_error_field(&err.context, context);
    strcpy(err.sqlstate, "42601");
    pgmig_blame_place(&err, s, list, at, position, bytes);
    CHECK(err.line >= 1 && err.column >= 1 && err.statement != NULL);
    CHECK(strcmp(err.file, s->path) == 0);
    offset = offset_of(s, &err);
    CHECK(offset >= (position > 0 ? list[at].start : list[0].start));
    CHECK(offset <= end_of(&list[at]));
    pgmig_error_clear(&err);
}

static void check_section(const struct pgmig_script *s,
                          const struct pgmig_section *section,
                          const char *context)
{
    struct pgmig_error err = {.kind = PGMIG_E_SQL};

    pgmig_error_field(&err.context, context);
    for (size_t at = 0; at < section->statement_count; at++) {
        size_t offset = section->statements[at].start;

        if (pgmig_trace(&s->source, section->statements, at, &err, &offset))
            CHECK(offset > section->statements[0].start &&
                  offset <= section->statements[at].end);
        for (size_t i = 0; i < sizeof positions / sizeof *positions; i++) {
            blame(s, section, at, context, positions[i], false);
            blame(s, section, at, context, positions[i], true);
        }
    }
    pgmig_error_clear(&err);
}

/* What stands before the first form feed is the CONTEXT, the rest the file. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *feed = memchr(data, '\f', size);
    size_t len = feed ? (size_t)(feed - data) : 0;
    size_t start = feed ? len + 1 : 0;
    char *context = pgmig_strndup((const char *)data, len);
    char *text = pgmig_strndup((const char *)data + start, size - start);
    struct pgmig_error err = {0};
    struct pgmig_script *s;

    CHECK(context != NULL && text != NULL);
    s = pgmig_script_parse("fuzz.sql", text, size - start,
                           &pgmig_vocabulary_default, &err);
    CHECK(pgmig_trace_copy(context) >= 0);
    for (int i = 0; s != NULL && i < 2; i++)
        check_section(s, &s->sections[i], context);
    pgmig_script_free(s);
    pgmig_error_clear(&err);
    free(context);
    return 0;
}
