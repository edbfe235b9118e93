/*
** fuzz_locate.c -- any text and offset: line and column are what counting
** character by character gives, from the start and from an earlier answer, and
** so they are in a window that stands far behind the start of a file.
*/
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "text/source.h"
#include "base/utf8.h"

#define CHECK(condition)  \
    do {                  \
        if (!(condition)) \
            abort();      \
    } while (0)

/* No pointer reaches as far: the text must be looked at from its window on. */
#define FAR (SIZE_MAX - (1U << 20))

static void count(const char *text, size_t bom, size_t offset, int *line,
                  int *column)
{
    *line = 1;
    *column = 1;
    for (size_t i = bom; i < offset; i++) {
        if (text[i] == '\n') {
            (*line)++;
            *column = 1;
        } else if (((unsigned char)text[i] & 0xC0) != 0x80) {
            (*column)++;
        }
    }
}

static struct pgmig_source window(const char *text, size_t size, size_t from)
{
    return (struct pgmig_source){.path = "fuzz.sql",
                                 .text = text,
                                 .from = from,
                                 .end = from + size,
                                 .final = true,
                                 .line = {.line = 1, .start = from}};
}

static void check(const struct pgmig_source *s)
{
    size_t size = s->end - s->from;
    struct pgmig_place from = {0};

    for (size_t at = 0; at <= size; at += 1 + at / 64) {
        struct pgmig_place place = {0};
        size_t offset = s->from + at;
        int line;
        int column;

        count(s->text, pgmig_source_bom(s), at, &line, &column);
        pgmig_source_locate(s, offset, &place);
        CHECK(place.line == line && place.column == column);
        CHECK(place.start <= place.end && place.end <= s->end);
        pgmig_source_locate(s, offset, &from);
        CHECK(from.line == line && from.column == column);
    }
}

static void check_error(const struct pgmig_source *s)
{
    struct pgmig_error err = {0};

    pgmig_source_point(s, s->end, &err);
    CHECK(err.line >= 1 && err.column >= 1);
    CHECK(err.text == NULL || strlen(err.text) <= s->end - s->from);
    pgmig_error_clear(&err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct pgmig_source near = window(text, size, 0);
    struct pgmig_source far = window(text, size, FAR);

    if (pgmig_utf8_check(text, size) != size)
        return 0;
    check(&near);
    check(&far);
    check_error(&near);
    check_error(&far);
    return 0;
}
