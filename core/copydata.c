/* copydata.c -- the data behind COPY ... FROM STDIN in a file. */
#include "copydata.h"

#include <string.h>

#include "error.h"

/*
** Where the line behind the COPY begins; 0 when something other than blanks
** and a comment stands behind it on its own line.
*/
static size_t next_line(const struct pgmig_lexer *lx)
{
    const char *newline = memchr(lx->text + lx->pos, '\n', lx->len - lx->pos);
    size_t end = newline ? (size_t)(newline - lx->text) : lx->len;
    size_t at = lx->pos + strspn(lx->text + lx->pos, " \t\r\f\v");

    if (at < end && strncmp(lx->text + at, "--", 2) != 0)
        return 0;
    return newline ? end + 1 : end;
}

static bool is_end_marker(const char *line, size_t len)
{
    if (len > 0 && line[len - 1] == '\r')
        len--;
    return len == 2 && memcmp(line, "\\.", 2) == 0;
}

static int refuse(struct pgmig_error *err, const char *message,
                  const char *hint)
{
    pgmig_error_set(err, PGMIG_E_PARSE, "%s", message);
    return pgmig_error_hint(err, "%s", hint);
}

int pgmig_copydata_find(struct pgmig_lexer *lx, struct pgmig_statement *st,
                        bool semicolon, struct pgmig_error *err)
{
    size_t at;

    if (!semicolon)
        return refuse(err, "COPY ... FROM STDIN without data",
                      "end it with a semicolon; its data begins on the next "
                      "line and ends with a line that holds only \\.");
    st->copy_start = next_line(lx);
    if (st->copy_start == 0)
        return refuse(err, "text behind COPY ... FROM STDIN on its line",
                      "its data begins on the next line");
    for (at = st->copy_start; at < lx->len;) {
        const char *newline = memchr(lx->text + at, '\n', lx->len - at);
        size_t end = newline ? (size_t)(newline - lx->text) : lx->len;

        if (is_end_marker(lx->text + at, end - at)) {
            st->copy_end = at;
            lx->pos = newline ? end + 1 : end;
            return 0;
        }
        at = newline ? end + 1 : end;
    }
    return refuse(err, "the data of this COPY has no end",
                  "end it with a line that holds only \\.");
}
