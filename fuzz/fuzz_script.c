/*
** fuzz_script.c -- any file: parsing ends; statements are in order, inside
** the text and apart; everything between them is blank, comment, semicolon,
** COPY data or a command that is skipped; and a statement parsed alone is the
** same statement. The words of another format change no rule of memory.
*/
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "text/lexer.h"
#include "text/text.h"

#define CHECK(condition)  \
    do {                  \
        if (!(condition)) \
            abort();      \
    } while (0)

static const struct pgmig_marker markers[] = {
    {.text = "migrate:up", .kind = PGMIG_MARKER_UP, .options = true},
    {.text = "migrate:down", .kind = PGMIG_MARKER_DOWN, .options = true},
    {.text = "-- above / below --", .kind = PGMIG_MARKER_DIVIDER},
    {.text = "no transaction",
     .kind = PGMIG_MARKER_SETTING,
     .key = "transaction",
     .value = "off",
     .whole_file = true},
    {.text = "begin", .kind = PGMIG_MARKER_IGNORED},
    {.text = "include ", .kind = PGMIG_MARKER_REFUSED, .hint = "no"},
};

static const struct pgmig_marker_option options[] = {
    {"transaction:false", "transaction", "off"},
};

static void parse_foreign(const uint8_t *data, size_t size)
{
    struct pgmig_vocabulary words = pgmig_vocabulary_default;
    struct pgmig_error err = {0};
    struct pgmig_script *s;
    char *copy = pgmig_strndup((const char *)data, size);

    CHECK(copy != NULL);
    words.markers = markers;
    words.marker_count = sizeof markers / sizeof *markers;
    words.options = options;
    words.option_count = 1;
    words.transaction = PGMIG_TRANSACTION_AUTO;
    words.repeats = true;
    words.empty = true;
    words.placeholder = "${";
    words.placeholder_end = "}";
    s = pgmig_script_parse("fuzz.sql", copy, size, &words, &err);
    CHECK((s == NULL) == (err.kind == PGMIG_E_PARSE));
    pgmig_script_free(s);
    pgmig_error_clear(&err);
}

static struct pgmig_script *parse(const char *text, size_t len,
                                  struct pgmig_error *err)
{
    char *copy = pgmig_strndup(text, len);

    CHECK(copy != NULL);
    return pgmig_script_parse("fuzz.sql", copy, len, &pgmig_vocabulary_default,
                              err);
}

/* No token of SQL stands in [start, end), but semicolons and \restrict. */
static void check_gap(const struct pgmig_script *s, size_t start, size_t end)
{
    struct pgmig_lexer lx = {.text = s->source.text,
                             .len = end,
                             .pos = start,
                             .final = true,
                             .standard_strings = true};

    if (start == 0 && s->source.end >= 3 &&
        memcmp(s->source.text, "\xEF\xBB\xBF", 3) == 0)
        lx.pos = 3;
    for (;;) {
        struct pgmig_token tok = pgmig_lexer_next(&lx);
        const char *newline;

        if (tok.kind == PGMIG_TOKEN_END)
            return;
        if (tok.kind == PGMIG_TOKEN_BACKSLASH) {
            newline = memchr(s->source.text + tok.start, '\n', end - tok.start);
            lx.pos = newline ? (size_t)(newline - s->source.text) : end;
            continue;
        }
        CHECK(tok.kind == PGMIG_TOKEN_LINE_COMMENT ||
              tok.kind == PGMIG_TOKEN_BLOCK_COMMENT ||
              (tok.kind == PGMIG_TOKEN_SYMBOL &&
               s->source.text[tok.start] == ';'));
    }
}

/* Where the text goes on behind a statement and its data. */
static size_t behind(const struct pgmig_script *s,
                     const struct pgmig_statement *st)
{
    const char *newline;

    if (st->copy_start == 0)
        return st->end;
    newline = memchr(s->source.text + st->copy_end, '\n',
                     s->source.end - st->copy_end);
    return newline ? (size_t)(newline - s->source.text) : s->source.end;
}

static size_t check_section(const struct pgmig_script *s,
                            const struct pgmig_section *section, size_t at)
{
    for (size_t i = 0; i < section->statement_count; i++) {
        const struct pgmig_statement *st = &section->statements[i];

        CHECK(st->start >= at && st->end > st->start &&
              st->end <= s->source.end);
        CHECK(st->copy_start == 0 ||
              (st->copy_start > st->end && st->copy_end >= st->copy_start &&
               st->copy_end <= s->source.end));
        if (!section->wrapped && section->transaction && i > 0)
            check_gap(s, at, st->start);
        at = behind(s, st);
    }
    return at;
}

/* A statement with a semicolon behind it is that one statement again. */
static void check_alone(const struct pgmig_script *s,
                        const struct pgmig_statement *st)
{
    struct pgmig_error err = {0};
    struct pgmig_buf text = {0};
    struct pgmig_script *alone;

    if (st->traits & PGMIG_T_COPY_IN)
        return;
    pgmig_buf_adds(&text, "-- pgmig: transaction=off\n");
    pgmig_buf_add(&text, s->source.text + st->start, st->end - st->start);
    pgmig_buf_adds(&text, "\n;\n");
    CHECK(!text.failed);
    alone = parse(text.data, text.len, &err);
    if (alone != NULL && !alone->marked) {
        CHECK(alone->sections[PGMIG_UP].statement_count == 1);
        CHECK(alone->sections[PGMIG_UP].statements[0].traits == st->traits);
    }
    pgmig_script_free(alone);
    pgmig_error_clear(&err);
    pgmig_buf_free(&text);
}

static bool changes_strings(const char *text, size_t len)
{
    return memmem(text, len, "tandard_conforming", 18) != NULL ||
           memmem(text, len, "TANDARD_CONFORMING", 18) != NULL ||
           memmem(text, len, "ESET", 4) != NULL ||
           memmem(text, len, "eset", 4) != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pgmig_error err = {0};
    struct pgmig_script *s = parse((const char *)data, size, &err);

    parse_foreign(data, size);
    if (s == NULL) {
        CHECK(err.kind == PGMIG_E_PARSE && err.message != NULL);
        CHECK(err.line >= 1 && err.column >= 1);
        pgmig_error_clear(&err);
        return 0;
    }
    CHECK(err.kind == PGMIG_E_NONE);
    if (!changes_strings(s->source.text, s->source.end)) {
        for (int i = 0; i < 2; i++) {
            const struct pgmig_section *section = &s->sections[i];

            check_section(s, section, section->start);
            if (section->statement_count > 0)
                check_alone(s, &section->statements[0]);
        }
    }
    pgmig_script_free(s);
    return 0;
}
