/*
** copydata.c -- the data behind COPY ... FROM STDIN in a file.
**
** As psql reads it from a script (src/bin/psql/copy.c, handleCopyIn): it begins
** on the line behind the statement's, and ends before a line that holds only \.
** and a line end, LF or CRLF. Nothing else in it means anything, whatever
** FORMAT the COPY has: no quotes, no comments, no semicolons. The lines are
** handed out as they are; an error of the data is the server's to find.
*/
#include "text/copydata.h"

#include <string.h>

#include "base/error.h"

static enum pgmig_found refuse(struct pgmig_error *err, const char *message,
                               const char *hint)
{
    pgmig_error_set(err, PGMIG_E_PARSE, "%s", message);
    pgmig_error_hint(err, "%s", hint);
    return PGMIG_FOUND_ERROR;
}

int pgmig_copydata_missing(struct pgmig_error *err)
{
    refuse(err, "COPY ... FROM STDIN without data",
           "end it with a semicolon; its data begins on the next line and ends "
           "with a line that contains only \\.");
    return -1;
}

/* psql would run more SQL on that line, but behind the data: what reads in one
** order and runs in another is refused. A comment may stand there. */
enum pgmig_found pgmig_copydata_begin(struct pgmig_lexer *lx,
                                      struct pgmig_error *err)
{
    const char *line = lx->text + lx->pos;
    const char *newline = memchr(line, '\n', lx->len - lx->pos);
    size_t len = newline ? (size_t)(newline - line) : lx->len - lx->pos;
    size_t at = 0;

    if (newline == NULL && !lx->final)
        return PGMIG_FOUND_MORE;
    while (at < len && strchr(" \t\r\f\v", line[at]) != NULL)
        at++;
    if (at < len && (len - at < 2 || memcmp(line + at, "--", 2) != 0))
        return refuse(err, "text after COPY ... FROM STDIN on the same line",
                      "COPY data begins on the next line: move or delete the "
                      "text behind COPY");
    lx->pos += newline ? len + 1 : len;
    return PGMIG_FOUND_SOME;
}

static bool is_end_marker(const char *line, size_t len)
{
    if (len > 0 && line[len - 1] == '\r')
        len--;
    return len == 2 && line[0] == '\\' && line[1] == '.';
}

/* Only whole lines: half of a line could be half of the end marker. */
enum pgmig_found pgmig_copydata_next(struct pgmig_lexer *lx, size_t *start,
                                     size_t *end, struct pgmig_error *err)
{
    const char *text = lx->text;
    size_t at = lx->pos;

    *start = at;
    while (at < lx->len) {
        const char *newline = memchr(text + at, '\n', lx->len - at);
        size_t line_end = newline ? (size_t)(newline - text) : lx->len;

        if (newline == NULL && !lx->final)
            break;
        if (is_end_marker(text + at, line_end - at)) {
            *end = at;
            lx->pos = newline ? line_end + 1 : line_end;
            return PGMIG_FOUND_END;
        }
        at = newline ? line_end + 1 : line_end;
    }
    /* psql takes the end of a file for the end of the data, too; it is more
    ** likely that the marker was lost, and with it what follows */
    if (lx->final)
        return refuse(err, "unterminated COPY data",
                      "the data of this COPY has no end: end it with a line "
                      "that contains only \\.");
    *end = lx->pos = at;
    return at > *start ? PGMIG_FOUND_SOME : PGMIG_FOUND_MORE;
}
