/*
** fuzz_locate.c -- any text and offset: line and column are what counting
** character by character gives, from the start and from an earlier answer.
*/
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "text/locate.h"
#include "base/utf8.h"

#define CHECK(condition)  \
    do {                  \
        if (!(condition)) \
            abort();      \
    } while (0)

static void count(const char *text, size_t len, size_t offset, int *line,
                  int *column)
{
    size_t bom = len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct pgmig_place from = {0};

    if (pgmig_utf8_check(text, size) != size)
        return 0;
    for (size_t offset = 0; offset <= size; offset += 1 + offset / 64) {
        struct pgmig_place place = pgmig_locate(text, size, offset);
        int line;
        int column;

        count(text, size, offset, &line, &column);
        CHECK(place.line == line && place.column == column);
        CHECK(place.start <= place.end && place.end <= size);
        pgmig_locate_from(text, size, offset, &from);
        CHECK(from.line == line && from.column == column);
        CHECK(pgmig_locate_line(text, 0, size, line) <= offset);
    }
    return 0;
}
