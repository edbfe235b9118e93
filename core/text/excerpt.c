/*
** excerpt.c -- a part of a script's text.
**
** A streamed script has no text by the time an error of the server's comes: the
** part that is asked for is read from the file again, lines and all. That the
** file is still the same one is not checked here (cursor.c does): a message
** about a line needs no such proof.
*/
#include "text/excerpt.h"

#include <string.h>

#include "base/error.h"
#include "text/locate.h"
#include "text/script.h"

/* Bytes behind the end: the rest of its line, or more than is shown of it. */
#define AROUND (PGMIG_LINE_SHOWN + 2)

/* Whether the window of a streamed script still has all of it: while it is
** parsed, it mostly has. */
static bool is_there(const struct pgmig_script *script, size_t start,
                     size_t end)
{
    if (script->text == NULL || start < script->origin.start ||
        end > script->len)
        return false;
    return script->len - end >= AROUND ||
           memchr(script->text + end, '\n', script->len - end) != NULL;
}

/* `start` may be anywhere in a line: the stream remembers where that begins,
** and how many characters of it are gone, and origin takes both along. */
int pgmig_excerpt_open(struct pgmig_excerpt *e,
                       const struct pgmig_script *script, size_t start,
                       size_t end, struct pgmig_error *err)
{
    struct pgmig_stream *s = &e->stream;
    int status;

    e->script = *script;
    *s = (struct pgmig_stream){.fd = -1};
    if (!script->streamed || is_there(script, start, end))
        return 0;
    status = pgmig_stream_open(s, script->path, err);
    /* each piece lets go what stands before `start` */
    while (status == 0 && !s->final && s->len < end + AROUND)
        status = pgmig_stream_more(s, start < s->len ? start : s->len, err);
    /* it was replaced since: better no place than a wrong one */
    if (status == 0 && end > s->len)
        status =
            pgmig_error_set(err, PGMIG_E_IO, "the file has become shorter");
    if (status != 0) {
        pgmig_stream_close(s);
        return -1;
    }
    e->script.text = s->text;
    e->script.len = s->len;
    e->script.origin = s->line;
    return 0;
}

/* Counts lines forwards from `start`, as the server does in COPY data: a
** gigabyte of it goes through the window once and is not held. */
int pgmig_excerpt_line(const struct pgmig_script *script, size_t start,
                       int line, size_t *offset, struct pgmig_error *err)
{
    struct pgmig_excerpt e;
    struct pgmig_stream *s = &e.stream;
    int status = pgmig_excerpt_open(&e, script, start, start, err);

    if (status != 0)
        return -1;
    *offset = start;
    while (status == 0 && line > 1) {
        size_t from = *offset;
        const char *text = script->streamed ? s->text : script->text;
        size_t len = script->streamed ? s->len : script->len;
        const char *newline = memchr(text + from, '\n', len - from);

        if (newline != NULL) {
            *offset = (size_t)(newline - text) + 1;
            line--;
        } else if (!script->streamed || s->final) {
            break;
        } else {
            status = pgmig_stream_more(s, from, err);
        }
    }
    pgmig_excerpt_close(&e);
    return status;
}

void pgmig_excerpt_close(struct pgmig_excerpt *e)
{
    pgmig_stream_close(&e->stream);
}

/* An error without a place is better than none: where the file cannot be read
** any more, the error still names it. */
int pgmig_script_point(const struct pgmig_script *script, size_t offset,
                       struct pgmig_error *err)
{
    struct pgmig_excerpt e;
    struct pgmig_error ignored = {0};

    if (pgmig_excerpt_open(&e, script, offset, offset, &ignored) != 0) {
        pgmig_error_field(&err->file, script->path);
        pgmig_error_clear(&ignored);
        return -1;
    }
    pgmig_locate_error(err, script->path, e.script.text, e.script.len, offset,
                       &e.script.origin);
    pgmig_excerpt_close(&e);
    return -1;
}
