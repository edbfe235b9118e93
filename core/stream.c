/* stream.c -- a file read piece by piece. */
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "locate.h"
#include "utf8.h"

#define PIECE 262144 /* bytes read at once */
/* Bytes of a line that are held for its sake, for columns. */
#define LINE_MAX_KEPT 1048576

int pgmig_stream_open(struct pgmig_stream *s, const char *path,
                      struct pgmig_error *err)
{
    *s = (struct pgmig_stream){.path = path, .line.line = 1};
    s->fd = open(path, O_RDONLY | O_CLOEXEC);
    return s->fd >= 0 ? 0 : pgmig_error_file(err, "open the file", path);
}

void pgmig_stream_close(struct pgmig_stream *s)
{
    if (s->fd >= 0)
        close(s->fd);
    free(s->buf);
}

/* Where the line of an offset that is held starts; the offset for a line of
** great length. */
static size_t line_start(const struct pgmig_stream *s, size_t offset)
{
    size_t limit = offset - s->from;
    const char *newline;

    if (limit > LINE_MAX_KEPT)
        limit = LINE_MAX_KEPT;
    newline = limit > 0 ? memrchr(s->text + offset - limit, '\n', limit) : NULL;
    if (newline != NULL)
        return (size_t)(newline - s->text) + 1;
    return offset - limit == s->from ? s->from : offset;
}

/* Let go what stands before an offset. */
static void advance(struct pgmig_stream *s, size_t from)
{
    const char *p = s->text + s->from;
    const char *end = s->text + from;
    size_t left = s->len - from;

    while ((p = memchr(p, '\n', (size_t)(end - p))) != NULL) {
        s->line.line++;
        p++;
    }
    s->line.start = from;
    memmove(s->buf, s->text + from, left);
    s->from = from;
}

static int enlarge(struct pgmig_stream *s, struct pgmig_error *err)
{
    size_t cap = s->cap > 0 ? 2 * s->cap : PIECE + PIECE;
    char *buf = realloc(s->buf, cap);

    if (buf == NULL) {
        pgmig_error_memory(err);
        return -1;
    }
    s->buf = buf;
    s->cap = cap;
    return 0;
}

static int refuse(struct pgmig_stream *s, size_t offset, const char *message,
                  const char *hint, struct pgmig_error *err)
{
    pgmig_error_set(err, PGMIG_E_PARSE, "%s", message);
    pgmig_error_hint(err, "%s", hint);
    pgmig_locate_error(err, s->path, s->text, s->len, offset, &s->line);
    free(err->text); /* it could not be shown */
    err->text = NULL;
    return -1;
}

/* The bytes that came must be text. A character may end in the next piece. */
static int check(struct pgmig_stream *s, size_t start, struct pgmig_error *err)
{
    size_t n = s->len - start;
    const char *bytes = s->buf + (start - s->from);
    const char *nul = n > 0 ? memchr(bytes, '\0', n) : NULL;

    if (nul != NULL)
        return refuse(s, start + (size_t)(nul - bytes),
                      "the file holds a NUL byte",
                      "save it as UTF-8 (UTF-16 looks like this)", err);
    n = s->len - s->checked;
    s->checked += pgmig_utf8_check(s->text + s->checked, n);
    if (s->checked == s->len || (!s->final && s->len - s->checked < 4))
        return 0;
    return refuse(s, s->checked, "the file is not valid UTF-8",
                  "save it as UTF-8", err);
}

static int fill(struct pgmig_stream *s, struct pgmig_error *err)
{
    char *end = s->buf + (s->len - s->from);
    size_t room = s->cap - (s->len - s->from);
    size_t got = 0;

    while (got < room) {
        ssize_t n = read(s->fd, end + got, room - got);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return pgmig_error_file(err, "read the file", s->path);
        if (n == 0)
            s->final = true;
        if (n == 0)
            break;
        got += (size_t)n;
    }
    if (s->seal != NULL)
        pgmig_seal_add(s->seal, end, got);
    if (s->hasher != NULL)
        pgmig_hasher_add(s->hasher, end, got);
    s->len += got;
    return 0;
}

int pgmig_stream_more(struct pgmig_stream *s, size_t keep,
                      struct pgmig_error *err)
{
    size_t start = s->len;

    if (s->buf != NULL)
        advance(s, line_start(s, keep < s->checked ? keep : s->checked));
    if ((s->buf == NULL || s->cap - (s->len - s->from) < PIECE) &&
        enlarge(s, err) != 0)
        return -1;
    if (fill(s, err) != 0)
        return -1;
    s->text = s->buf - s->from;
    return check(s, start, err);
}
