/*
** stream.c -- a file read piece by piece.
**
** A window of the file is held, from `from` to `len`, and moves only forwards.
** Each byte goes once, in order, into the seal and the checksum, where there
** are such, and is checked to be UTF-8 before anybody may look at it: so all
** three speak of the whole file, whatever a reader was interested in.
*/
#include "text/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "text/locate.h"
#include "base/utf8.h"

#ifndef PGMIG_STREAM_PIECE
#define PGMIG_STREAM_PIECE 262144 /* bytes read at once */
#endif
#define BOM "\xEF\xBB\xBF"
#define BOM_LEN 3

int pgmig_stream_open(struct pgmig_stream *s, const char *path,
                      struct pgmig_error *err)
{
    *s = (struct pgmig_stream){.path = path, .line.line = 1, .blank = true};
    s->fd = pgmig_file_open(path, err);
    return s->fd >= 0 ? 0 : -1;
}

void pgmig_stream_close(struct pgmig_stream *s)
{
    if (s->fd >= 0)
        close(s->fd);
    free(s->buf);
}

/* Where the line of an offset that is held starts; the offset when that is too
** far away to be shown. */
static size_t line_start(const struct pgmig_stream *s, size_t offset)
{
    size_t limit = offset - s->from;
    const char *newline;

    if (limit > PGMIG_LINE_SHOWN)
        limit = PGMIG_LINE_SHOWN;
    newline = limit > 0 ? memrchr(s->text + offset - limit, '\n', limit) : NULL;
    if (newline != NULL)
        return (size_t)(newline - s->text) + 1;
    return offset - limit == s->from ? s->from : offset;
}

/* 3 while the window begins with the byte order mark, else 0. */
static size_t bom_len(const struct pgmig_stream *s)
{
    return s->from == 0 && s->len >= BOM_LEN &&
                   memcmp(s->text, BOM, BOM_LEN) == 0
               ? BOM_LEN
               : 0;
}

/* Whether only blanks stand before an offset on its line. A line that ends with
** CR alone counts as ended, as for line comments (lexer.c). */
static bool is_blank(const struct pgmig_stream *s, size_t offset)
{
    size_t start = s->from + bom_len(s);

    while (offset > start && strchr(" \t\f\v", s->text[offset - 1]) != NULL)
        offset--;
    return offset <= start ? s->blank
                           : strchr("\r\n", s->text[offset - 1]) != NULL;
}

/* Let go what stands before an offset. Its lines are counted now, and of the
** line that is cut in two how many characters are gone, so that places can be
** told later without the text. */
static void advance(struct pgmig_stream *s, size_t from)
{
    size_t start = s->from + bom_len(s);
    const char *newline;

    if (from <= start)
        return; /* a BOM alone is kept */
    s->blank = is_blank(s, from);
    while ((newline = memchr(s->text + start, '\n', from - start)) != NULL) {
        start = (size_t)(newline - s->text) + 1;
        s->line.line++;
        s->line.before = 0;
    }
    s->line.before += pgmig_utf8_count(s->text + start, from - start);
    s->line.start = from;
    memmove(s->buf, s->text + from, s->len - from);
    s->from = from;
}

/* Two pieces at first. More only for a statement or a comment that is longer:
** it has to be there whole, so the window doubles until it is. */
static int enlarge(struct pgmig_stream *s, struct pgmig_error *err)
{
    size_t cap =
        s->cap > 0 ? 2 * s->cap : PGMIG_STREAM_PIECE + PGMIG_STREAM_PIECE;
    char *buf = realloc(s->buf, cap);

    if (buf == NULL) {
        pgmig_error_memory(err);
        return -1;
    }
    s->buf = buf;
    s->cap = cap;
    return 0;
}

/* The bytes that came must be text. Up to three at the end may be a character
** that goes on in the next piece; a NUL never does. */
static int check(struct pgmig_stream *s, struct pgmig_error *err)
{
    size_t left = s->len - s->checked;
    size_t good =
        left > 0 ? pgmig_utf8_check_text(s->text + s->checked, left) : 0;

    s->checked += good;
    left -= good;
    if (left == 0 || (!s->final && left < 4 && s->text[s->checked] != '\0'))
        return 0;
    return pgmig_locate_no_text(err, s->path, s->text, s->len, s->checked,
                                &s->line);
}

static int fill(struct pgmig_stream *s, struct pgmig_error *err)
{
    char *end = s->buf + (s->len - s->from);
    size_t room = s->cap - (s->len - s->from);
    ssize_t n;

    do
        n = read(s->fd, end, room);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return pgmig_error_file(err, "read the file", s->path);
    /* a short read says nothing: only 0 is the end */
    s->final = n == 0;
    if (s->seal != NULL)
        pgmig_seal_add(s->seal, end, (size_t)n);
    if (s->hasher != NULL)
        pgmig_hasher_add(s->hasher, end, (size_t)n);
    s->len += (size_t)n;
    return 0;
}

/* Bytes that are not checked yet are kept whatever the caller says: they are
** the first half of a character. */
int pgmig_stream_more(struct pgmig_stream *s, size_t keep,
                      struct pgmig_error *err)
{
    if (s->buf != NULL)
        advance(s, line_start(s, keep < s->checked ? keep : s->checked));
    if ((s->buf == NULL || s->cap - (s->len - s->from) < PGMIG_STREAM_PIECE) &&
        enlarge(s, err) != 0)
        return -1;
    if (fill(s, err) != 0)
        return -1;
    /* so that an offset in the file is the index: valid from `from` on */
    s->text = s->buf - s->from;
    return check(s, err);
}
