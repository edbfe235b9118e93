/*
** ident.c -- a name in SQL, without what only the parser understands.
**
** The server's functions that take a name as text (to_regclass) know quotes,
** dots and folding, but not U&"..." and UESCAPE: those are undone by parser.c
** of the backend (str_udeescape) before a name is one. Here the same is done.
**
** The result is never longer than the range it comes from: the shortest escape
** has five bytes and gives at most three, or a doubled quote, six digits give
** four; that is what makes `out` large enough.
*/
#include "text/text.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "text/lexer.h"

#define DEFAULT_ESCAPE '\\'

static char *put(char *out, const char *data, size_t len)
{
    memcpy(out, data, len);
    return out + len;
}

/* The character behind UESCAPE, if that follows. `w` is a copy: the caller's
** reader stays at the name. */
static char escape_of(struct pgmig_words w)
{
    pgmig_words_next(&w);
    if (!pgmig_words_accept(&w, "uescape") ||
        w.tok.kind != PGMIG_TOKEN_STRING || w.tok.end < w.tok.start + 3)
        return DEFAULT_ESCAPE;
    return w.lx.text[w.tok.start + 1];
}

/* A copy, since the digits of a name go on with its text. What is no
** hexadecimal digit ends the number: the server refuses such a name. */
static unsigned long hex(const char *digits, size_t len)
{
    char copy[8] = "";

    memcpy(copy, digits, len);
    return strtoul(copy, NULL, 16);
}

/* An escape at `p` has how many hexadecimal digits, \XXXX or \+XXXXXX, and
** where they begin; 0 where the name ends before them. */
static size_t digits_of(const char *p, const char *end, const char **digits)
{
    size_t count = p + 1 < end && p[1] == '+' ? 6 : 4;

    *digits = p + (count == 6 ? 2 : 1);
    return *digits + count <= end ? count : 0;
}

static bool is_surrogate(unsigned long c, unsigned long first)
{
    return c >= first && c < first + 0x400;
}

/* What the digits of one escape say; *p goes behind it. 0: there is none. */
static unsigned long code_unit(const char **p, const char *end, char escape)
{
    const char *digits;
    size_t count;

    if (*p == end || **p != escape)
        return 0;
    count = digits_of(*p, end, &digits);
    *p = digits + count;
    return hex(digits, count);
}

/* The character of an escape, of two where they are a pair of surrogates
** (UTF-16 in escapes, which PostgreSQL joins); *p goes behind it. 0: there is
** none. */
static unsigned long escaped(const char **p, const char *end, char escape)
{
    unsigned long c = code_unit(p, end, escape);
    unsigned long low;

    if (!is_surrogate(c, 0xD800))
        return is_surrogate(c, 0xDC00) || c > 0x10FFFF ? 0 : c;
    low = code_unit(p, end, escape);
    if (!is_surrogate(low, 0xDC00))
        return 0;
    return 0x10000 + ((c & 0x3FF) << 10) + (low & 0x3FF);
}

/* What stands between the quotes of a name with escapes. */
static char *put_unescaped(char *out, const char *p, const char *end,
                           char escape)
{
    while (p < end) {
        unsigned long c;

        if (*p != escape) {
            out = put(out, p++, 1);
        } else if (p + 1 < end && p[1] == escape) {
            out = put(out, p, 1);
            p += 2;
        } else {
            c = escaped(&p, end, escape);
            if (c == 0)
                break; /* the server refuses the statement */
            out += pgmig_utf8_encode(c, out);
            if (c == '"')
                out = put(out, "\"", 1); /* it is written twice */
        }
    }
    return out;
}

/* What comes out is a plain quoted name. */
static char *put_escaped(char *out, const struct pgmig_words *w)
{
    const char *text = w->lx.text;

    out = put(out, "\"", 1);
    out = put_unescaped(out, text + w->tok.start + strlen("U&\""),
                        text + w->tok.end - 1, escape_of(*w));
    return put(out, "\"", 1);
}

static char *put_part(char *out, const struct pgmig_words *w)
{
    const char *token = w->lx.text + w->tok.start;

    if (w->tok.kind == PGMIG_TOKEN_QUOTED && *token != '"')
        return put_escaped(out, w);
    return put(out, token, w->tok.end - w->tok.start);
}

size_t pgmig_ident_read(const char *sql, struct pgmig_range name, char *out)
{
    const char *text = sql + name.start;
    struct pgmig_words w;
    bool behind_dot = true; /* what is not may be UESCAPE and its character */
    char *end = out;

    pgmig_words_init(&w, text, name.end - name.start, true);
    for (; !pgmig_words_ended(&w); pgmig_words_next(&w)) {
        bool dot = text[w.tok.start] == '.';

        if (behind_dot || dot)
            end = put_part(end, &w);
        behind_dot = dot;
    }
    return (size_t)(end - out);
}
