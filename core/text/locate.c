/*
** locate.c -- from a byte offset to line, column and the line's text.
**
** Offsets are bytes, as code has them; lines and columns are for people, from
** 1, and a column counts characters, as editors do. A byte order mark takes no
** column.
*/
#include "text/locate.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/utf8.h"

#define BOM "\xEF\xBB\xBF"
#define BOM_LEN 3

/* Where the line that starts at `start` ends. The CR of a CRLF is left out:
** shown on a terminal it would hide the line. */
static size_t line_end(const char *text, size_t len, size_t start)
{
    const char *newline =
        start < len ? memchr(text + start, '\n', len - start) : NULL;
    size_t end = newline ? (size_t)(newline - text) : len;

    return end > start && text[end - 1] == '\r' ? end - 1 : end;
}

/* Begin to count where the answer before has stopped, or in a line of which
** nothing was counted. */
static void resume(struct pgmig_place *place)
{
    if (place->line == 0)
        place->line = 1;
    if (place->offset > place->start)
        return;
    place->offset = place->start;
    place->column = 1 + (int64_t)place->before;
}

static void skip_bom(const char *text, size_t len, size_t offset,
                     struct pgmig_place *place)
{
    if (place->offset > 0 || len < BOM_LEN || memcmp(text, BOM, BOM_LEN) != 0)
        return;
    place->start = place->offset = offset < BOM_LEN ? offset : BOM_LEN;
}

/* A line of a megabyte may be asked about a thousand times: what was seen of it
** is not looked at again. */
void pgmig_locate_from(const char *text, size_t len, size_t offset,
                       struct pgmig_place *place)
{
    const char *newline;

    if (offset > len)
        offset = len;
    resume(place);
    while (offset > place->offset &&
           (newline = memchr(text + place->offset, '\n',
                             offset - place->offset)) != NULL) {
        place->start = place->offset = (size_t)(newline - text) + 1;
        place->line++;
        place->column = 1;
        place->before = place->end = 0;
    }
    /* not looked for again while the place stays within one line */
    if (place->end <= offset)
        place->end = line_end(text, len, place->start);
    skip_bom(text, len, offset, place);
    place->column +=
        (int64_t)pgmig_utf8_count(text + place->offset, offset - place->offset);
    place->offset = offset;
}

struct pgmig_place pgmig_locate(const char *text, size_t len, size_t offset)
{
    struct pgmig_place place = {0};

    pgmig_locate_from(text, len, offset, &place);
    return place;
}

/* The end of the range where it has fewer lines. */
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
    /* only a whole line: of one whose start is gone the column would not fit */
    if (width <= PGMIG_LINE_SHOWN && place.before == 0)
        err->text = pgmig_strndup(text + place.start, width);
}

int pgmig_locate_no_text(struct pgmig_error *err, const char *path,
                         const char *text, size_t len, size_t offset,
                         const struct pgmig_place *origin)
{
    if (text[offset] == '\0') {
        pgmig_error_set(err, PGMIG_E_PARSE, "the file contains a NUL byte");
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
