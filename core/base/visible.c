/*
** visible.c -- text for terminals and logs.
**
** Names in a database, messages of a server and lines of a file are shown to
** people, and whoever wrote them may not be a friend: an escape sequence could
** hide or rewrite what stands above it, a change of the writing direction show
** SQL in another order than it runs in (CVE-2021-42574). Letters of all scripts
** and emoji pass as they are.
*/
#include "base/visible.h"

#include "base/buf.h"
#include "base/utf8.h"

struct reader {
    const unsigned char *s;
    size_t len;
    bool one_line;
};

/* The character of two or three bytes at s, of valid text. */
static unsigned long character(const unsigned char *s)
{
    if (s[0] < 0xE0)
        return (s[0] & 0x1FUL) << 6 | (s[1] & 0x3FUL);
    return (s[0] & 0x0FUL) << 12 | (s[1] & 0x3FUL) << 6 | (s[2] & 0x3FUL);
}

/* C1 controls (U+0080 to U+009F), marks and overrides of the direction, and
** the separators of lines and paragraphs. */
static bool is_active(unsigned long c)
{
    return (c >= 0x80 && c <= 0x9F) || c == 0x61C || c == 0x200E ||
           c == 0x200F || (c >= 0x2028 && c <= 0x202E) ||
           (c >= 0x2066 && c <= 0x2069);
}

/* How many bytes at `at` are shown as they are, of `valid` ones. */
static size_t plain(const struct reader *r, size_t at, size_t valid)
{
    size_t i = at;

    for (; i < valid; i++) {
        unsigned char c = r->s[i];

        if (c == '\n' && r->one_line)
            break;
        if ((c < 0x20 && c != '\t' && c != '\n') || c == 0x7F)
            break;
        /* no other first byte begins one of the characters of is_active */
        if ((c == 0xC2 || c == 0xD8 || c == 0xE2) &&
            is_active(character(r->s + i)))
            break;
    }
    return i - at;
}

/* Show what stands at `at` and is not plain: how many bytes that are. */
static size_t show(const struct reader *r, size_t at, bool valid,
                   struct pgmig_buf *out)
{
    unsigned char c = r->s[at];

    if (!valid || c < 0x80) {
        if (c == '\r' && at + 1 < r->len && r->s[at + 1] == '\n')
            return 1; /* a line's end of two characters */
        if (c == '\n')
            pgmig_buf_adds(out, "\\n");
        else
            pgmig_buf_addf(out, "\\x%02x", c);
        return 1;
    }
    pgmig_buf_addf(out, "\\u%04lx", character(r->s + at));
    return c < 0xE0 ? 2 : 3;
}

bool pgmig_visible_is_plain(const char *text, size_t len)
{
    size_t i = 0;

    while (i < len && text[i] >= ' ' && text[i] < 0x7F)
        i++;
    return i == len;
}

char *pgmig_visible(const char *text, size_t len, bool one_line,
                    size_t *out_len)
{
    struct reader r = {(const unsigned char *)text, len, one_line};
    struct pgmig_buf out = {0};
    size_t valid = pgmig_utf8_check(text, len);
    size_t at = 0;

    /* `valid` is where the bytes that are known to be UTF-8 end. Behind one
    ** that is none the check begins anew. */
    for (;;) {
        size_t n = plain(&r, at, valid);

        pgmig_buf_add(&out, text + at, n);
        at += n;
        if (at == len)
            break;
        at += show(&r, at, at < valid, &out);
        if (at > valid)
            valid = at + pgmig_utf8_check(text + at, len - at);
    }
    *out_len = out.len;
    if (!out.failed)
        return out.data;
    pgmig_buf_free(&out);
    return NULL;
}
