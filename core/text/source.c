/*
** source.c -- a file's text, of which a part is there: a window.
**
** Each byte goes once, in order, into the seal and the checksum, where there
** are such, and is checked to be UTF-8 before anybody may look at it: so all
** three speak of the whole file, whatever a reader was interested in.
**
** Offsets are bytes, as code has them; lines and columns are for people, from
** 1, and a column counts characters, as editors do. A byte order mark takes no
** column.
*/
#include "text/source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/file.h"
#include "base/utf8.h"

#ifndef PGMIG_STREAM_PIECE
#define PGMIG_STREAM_PIECE 262144 /* bytes read at once */
#endif
#define BOM "\xEF\xBB\xBF"
#define BOM_LEN 3

/* Bytes behind what is shown: the rest of its line, or more than is shown of
** it. */
#define AROUND (PGMIG_LINE_SHOWN + 2)

static const char *at(const struct pgmig_source *s, size_t offset)
{
    return pgmig_source_at(s, offset);
}

size_t pgmig_source_bom(const struct pgmig_source *s)
{
    return s->from == 0 && s->end >= BOM_LEN &&
                   memcmp(s->text, BOM, BOM_LEN) == 0
               ? BOM_LEN
               : 0;
}

/* ---- places ---------------------------------------------------------- */

/* Where the line that starts at `start` ends. The CR of a CRLF is left out:
** shown on a terminal it would hide the line. */
static size_t line_end(const struct pgmig_source *s, size_t start)
{
    const char *text = start < s->end ? at(s, start) : NULL;
    const char *newline = text ? memchr(text, '\n', s->end - start) : NULL;
    size_t end = newline ? start + (size_t)(newline - text) : s->end;

    return end > start && *at(s, end - 1) == '\r' ? end - 1 : end;
}

/* Begin to count at the window's line, where the answer before has stopped, or
** in a line of which nothing was counted. */
static void resume(const struct pgmig_source *s, size_t offset,
                   struct pgmig_place *place)
{
    size_t bom = pgmig_source_bom(s);

    if (place->line == 0)
        *place = s->line;
    if (place->offset > place->start)
        return;
    if (place->start < bom)
        place->start = offset < bom ? offset : bom;
    place->offset = place->start;
    place->column = 1 + (int64_t)place->before;
}

/* From a place to the start of an offset's line. */
static void pass_lines(const struct pgmig_source *s, size_t offset,
                       struct pgmig_place *place)
{
    const char *text = at(s, place->offset);
    const char *newline = memrchr(text, '\n', offset - place->offset);
    size_t passed;

    if (newline == NULL)
        return;
    passed = (size_t)(newline - text) + 1;
    place->line += (int64_t)pgmig_count_newlines(text, passed);
    place->start = place->offset += passed;
    place->column = 1;
    place->before = place->end = 0;
}

/* The file that a text was made of. */
static struct pgmig_source file_of(const struct pgmig_source *s)
{
    return (struct pgmig_source){.path = s->path,
                                 .text = s->origin->text,
                                 .end = s->origin->len,
                                 .final = true,
                                 .line.line = 1};
}

/* Where in it an offset of the text comes from: of what was put in, the place
** of what it was put for. */
static size_t back(const struct pgmig_edits *edits, size_t offset)
{
    size_t low = 0;
    size_t high = edits->count;
    const struct pgmig_edit *e;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (edits->list[middle].out <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0)
        return offset;
    e = &edits->list[low - 1];
    return offset < e->out_end ? e->file : e->file_end + (offset - e->out_end);
}

/* A line of a megabyte may be asked about a thousand times: what was seen of it
** is not looked at again. */
void pgmig_source_locate(const struct pgmig_source *s, size_t offset,
                         struct pgmig_place *place)
{
    if (s->origin != NULL) {
        struct pgmig_source file = file_of(s);

        pgmig_source_locate(&file, back(&s->origin->edits, offset), place);
        return;
    }
    if (offset > s->end)
        offset = s->end;
    resume(s, offset, place);
    if (offset > place->offset)
        pass_lines(s, offset, place);
    /* not looked for again while the place stays within one line */
    if (place->end <= offset)
        place->end = line_end(s, place->start);
    place->column +=
        (int64_t)pgmig_utf8_count(at(s, place->offset), offset - place->offset);
    place->offset = offset;
}

/* Of an offset that is in the window. Only a whole line is shown: of one whose
** start is gone the column would not fit. */
static void point(const struct pgmig_source *s, size_t offset,
                  struct pgmig_error *err)
{
    struct pgmig_place place = {0};
    size_t width;

    if (s->origin != NULL) {
        struct pgmig_source file = file_of(s);

        point(&file, back(&s->origin->edits, offset), err);
        return;
    }
    pgmig_source_locate(s, offset, &place);
    width = place.end - place.start;
    pgmig_error_field(&err->file, s->path);
    err->line = place.line;
    err->column = place.column;
    free(err->text);
    err->text = NULL;
    if (width <= PGMIG_LINE_SHOWN && place.before == 0)
        err->text = pgmig_strndup(at(s, place.start), width);
}

/* ---- reading --------------------------------------------------------- */

static int refuse_byte(const struct pgmig_source *s, size_t offset,
                       struct pgmig_error *err)
{
    if (*at(s, offset) == '\0') {
        pgmig_error_set(err, PGMIG_E_PARSE, "the file contains a NUL byte");
        pgmig_error_hint(err, "save it as UTF-8 (UTF-16 looks like this)");
    } else {
        pgmig_error_set(err, PGMIG_E_PARSE, "the file is not valid UTF-8");
        pgmig_error_hint(err, "save it as UTF-8");
    }
    point(s, offset, err);
    free(err->text); /* it could not be shown */
    err->text = NULL;
    return -1;
}

/* The bytes that came must be text. Up to three at the end may be a character
** that goes on in the next piece; a NUL never does. */
static int check(struct pgmig_source *s, struct pgmig_error *err)
{
    size_t left = s->end - s->checked;
    size_t good = left > 0 ? pgmig_utf8_check_text(at(s, s->checked), left) : 0;

    s->checked += good;
    left -= good;
    if (left == 0 || (!s->final && left < 4 && *at(s, s->checked) != '\0'))
        return 0;
    return refuse_byte(s, s->checked, err);
}

int pgmig_source_hold(struct pgmig_source *s, const char *path, char *text,
                      size_t len, const struct pgmig_origin *origin,
                      struct pgmig_error *err)
{
    *s = (struct pgmig_source){.path = path,
                               .text = text,
                               .end = len,
                               .final = true,
                               .line.line = 1,
                               .blank = true,
                               .owned = text,
                               .origin = origin};
    return check(s, err);
}

int pgmig_source_open(struct pgmig_source *s, const char *path,
                      struct pgmig_error *err)
{
    off_t size; /* says nothing: all is read */

    *s = (struct pgmig_source){.path = path, .line.line = 1, .blank = true};
    s->fd = pgmig_file_open(path, &size, err);
    s->reading = s->fd >= 0;
    return s->reading ? 0 : -1;
}

void pgmig_source_close(struct pgmig_source *s)
{
    if (s->reading)
        close(s->fd);
    free(s->owned);
    *s = (struct pgmig_source){.path = s->path};
}

/* Where the line of an offset in the window starts; the offset when that is too
** far away to be shown. */
static size_t line_start(const struct pgmig_source *s, size_t offset)
{
    size_t limit = offset - s->from;
    const char *text;
    const char *newline;

    if (limit > PGMIG_LINE_SHOWN)
        limit = PGMIG_LINE_SHOWN;
    text = at(s, offset - limit);
    newline = memrchr(text, '\n', limit);
    if (newline != NULL)
        return offset - limit + (size_t)(newline - text) + 1;
    return offset - limit == s->from ? s->from : offset;
}

/* Whether only blanks stand before an offset on its line. A line that ends with
** CR alone counts as ended, as for line comments (lexer.c). */
static bool is_blank(const struct pgmig_source *s, size_t offset)
{
    size_t start = s->from + pgmig_source_bom(s);

    while (offset > start && strchr(" \t\f\v", *at(s, offset - 1)) != NULL)
        offset--;
    return offset <= start ? s->blank
                           : strchr("\r\n", *at(s, offset - 1)) != NULL;
}

/* Let go what stands before an offset. Its lines are counted now, and of the
** line that is cut in two how many characters are gone, so that places can be
** told later without the text. */
static void advance(struct pgmig_source *s, size_t from)
{
    struct pgmig_place place = {0};

    if (from <= s->from + pgmig_source_bom(s))
        return; /* a BOM alone is kept */
    s->blank = is_blank(s, from);
    pgmig_source_locate(s, from, &place);
    s->line = (struct pgmig_place){
        .line = place.line, .start = from, .before = (size_t)place.column - 1};
    memmove(s->owned, at(s, from), s->end - from);
    s->from = from;
}

/* Two pieces at first. More only for a statement or a comment that is longer:
** it has to be there whole, so the window doubles until it is. */
static int enlarge(struct pgmig_source *s, struct pgmig_error *err)
{
    size_t cap =
        s->cap > 0 ? 2 * s->cap : PGMIG_STREAM_PIECE + PGMIG_STREAM_PIECE;
    char *text = realloc(s->owned, cap);

    if (text == NULL) {
        pgmig_error_memory(err);
        return -1;
    }
    s->text = s->owned = text;
    s->cap = cap;
    return 0;
}

static int fill(struct pgmig_source *s, struct pgmig_error *err)
{
    size_t held = s->end - s->from;
    char *end = s->owned + held;
    ssize_t n;

    do
        n = read(s->fd, end, s->cap - held);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return pgmig_error_file(err, "read the file", s->path);
    /* a short read says nothing: only 0 is the end */
    s->final = n == 0;
    if (s->seal != NULL)
        pgmig_seal_add(s->seal, end, (size_t)n);
    if (s->hasher != NULL)
        pgmig_hasher_add(s->hasher, end, (size_t)n);
    s->end += (size_t)n;
    return 0;
}

/* Bytes that are not checked yet are kept whatever the caller says: they are
** the first half of a character. */
int pgmig_source_more(struct pgmig_source *s, size_t keep,
                      struct pgmig_error *err)
{
    if (s->owned != NULL)
        advance(s, line_start(s, keep < s->checked ? keep : s->checked));
    if (s->cap - (s->end - s->from) < PGMIG_STREAM_PIECE &&
        enlarge(s, err) != 0)
        return -1;
    if (fill(s, err) != 0)
        return -1;
    return check(s, err);
}

/* ---- showing --------------------------------------------------------- */

/* Whether the window has all of it: while the file is parsed, it mostly has. */
static bool is_there(const struct pgmig_source *s, size_t start, size_t end)
{
    if (s->text == NULL || start < s->from || end > s->end)
        return false;
    return s->final || s->end - end >= AROUND ||
           memchr(at(s, end), '\n', s->end - end) != NULL;
}

/* `start` may be anywhere in a line: the window remembers where that begins,
** and how many characters of it are gone. That the file is still the same one
** is not checked here (script.c does): a message about a line needs no such
** proof. */
static int reopen(const struct pgmig_source *s, size_t start, size_t end,
                  struct pgmig_source *out, struct pgmig_error *err)
{
    int status = pgmig_source_open(out, s->path, err);

    /* each piece lets go what stands before `start` */
    while (status == 0 && !out->final && out->end < end + AROUND)
        status =
            pgmig_source_more(out, start < out->end ? start : out->end, err);
    /* it was replaced since: better no place than a wrong one */
    if (status == 0 && end > out->end)
        status =
            pgmig_error_set(err, PGMIG_E_IO, "the file has become shorter");
    if (status == 0)
        return 0;
    pgmig_source_close(out);
    return -1;
}

/* A window of the same text, which owns nothing of it. */
static struct pgmig_source lend(const struct pgmig_source *s)
{
    struct pgmig_source lent = *s;

    lent.reading = false;
    lent.owned = NULL;
    return lent;
}

int pgmig_source_show(const struct pgmig_source *s, size_t start, size_t end,
                      struct pgmig_source *out, struct pgmig_error *err)
{
    if (!is_there(s, start, end))
        return reopen(s, start, end, out, err);
    *out = lend(s);
    return 0;
}

/* Counts lines forwards from `start`, as the server does in COPY data: a
** gigabyte of it goes through the window once and is not held. */
int pgmig_source_line(const struct pgmig_source *s, size_t start, int line,
                      size_t *offset, struct pgmig_error *err)
{
    struct pgmig_source w = lend(s);
    int status = 0;

    /* a lent one cannot read on */
    if (!s->final || !is_there(s, start, start))
        status = reopen(s, start, start, &w, err);
    if (status != 0)
        return -1;
    *offset = start;
    while (status == 0 && line > 1) {
        const char *text = at(&w, *offset);
        const char *newline = memchr(text, '\n', w.end - *offset);

        if (newline != NULL) {
            *offset += (size_t)(newline - text) + 1;
            line--;
        } else if (w.final) {
            break;
        } else {
            status = pgmig_source_more(&w, *offset, err);
        }
    }
    pgmig_source_close(&w);
    return status;
}

/* An error without a place is better than none: where the file cannot be read
** any more, the error still names it. */
int pgmig_source_point(const struct pgmig_source *s, size_t offset,
                       struct pgmig_error *err)
{
    struct pgmig_source w;
    struct pgmig_error ignored = {0};

    if (pgmig_source_show(s, offset, offset, &w, &ignored) != 0) {
        pgmig_error_field(&err->file, s->path);
        pgmig_error_clear(&ignored);
        return -1;
    }
    point(&w, offset, err);
    pgmig_source_close(&w);
    return -1;
}
