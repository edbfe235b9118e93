/* locate.c -- from a byte offset to line, column and the line's text. */
#include "locate.h"

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "error.h"
#include "utf8.h"

#define BOM "\xEF\xBB\xBF"
#define BOM_LEN 3

void pgmig_locate_from(const char *text, size_t len, size_t offset,
                       struct pgmig_place *place)
{
    const char *newline;
    size_t start = place->start;

    if (offset > len)
        offset = len;
    if (place->line == 0)
        place->line = 1;
    while (offset > start &&
           (newline = memchr(text + start, '\n', offset - start)) != NULL) {
        start = (size_t)(newline - text) + 1;
        place->line++;
        place->before = 0;
    }
    newline = start < len ? memchr(text + start, '\n', len - start) : NULL;
    place->end = newline ? (size_t)(newline - text) : len;
    if (place->end > start && text[place->end - 1] == '\r')
        place->end--;
    if (start == 0 && len >= BOM_LEN && memcmp(text, BOM, BOM_LEN) == 0)
        start = offset < BOM_LEN ? offset : BOM_LEN;
    place->start = start;
    place->column = 1 + (int)(place->before +
                              pgmig_utf8_count(text + start, offset - start));
}

struct pgmig_place pgmig_locate(const char *text, size_t len, size_t offset)
{
    struct pgmig_place place = {0};

    pgmig_locate_from(text, len, offset, &place);
    return place;
}

size_t pgmig_locate_line(const char *text, size_t start, size_t end, int line)
{
    while (line > 1) {
        const char *newline = memchr(text + start, '\n', end - start);

        if (newline == NULL)
            return end;
        start = (size_t)(newline - text) + 1;
        line--;
    }
    return start;
}

void pgmig_locate_error(struct pgmig_error *err, const char *path,
                        const char *text, size_t len, size_t offset,
                        const struct pgmig_place *origin)
{
    struct pgmig_place place = {0};
    size_t width;

    if (origin != NULL)
        place = *origin;
    pgmig_locate_from(text, len, offset, &place);
    width = place.end - place.start;
    pgmig_error_field(&err->file, path);
    err->line = place.line;
    err->column = place.column;
    free(err->text);
    err->text = NULL;
    if (width <= PGMIG_LINE_SHOWN && place.before == 0)
        err->text = pgmig_strndup(text + place.start, width);
}

int pgmig_locate_no_text(struct pgmig_error *err, const char *path,
                         const char *text, size_t len, size_t offset,
                         const struct pgmig_place *origin)
{
    if (text[offset] == '\0') {
        pgmig_error_set(err, PGMIG_E_PARSE, "the file holds a NUL byte");
        pgmig_error_hint(err, "save it as UTF-8 (UTF-16 looks like this)");
    } else {
        pgmig_error_set(err, PGMIG_E_PARSE, "the file is not valid UTF-8");
        pgmig_error_hint(err, "save it as UTF-8");
    }
    pgmig_locate_error(err, path, text, len, offset, origin);
    free(err->text); /* it could not be shown */
    err->text = NULL;
    return -1;
}
