/*
** utf8.c -- PostgreSQL's idea of valid UTF-8 (pg_utf8_islegal,
** src/common/wchar.c), and counting characters.
**
** A file's bytes are checked once, before anything else looks at them: so all
** other code may take it that a first byte is followed by as many as it
** announces. Characters have to be counted since the server counts in them
** where it says a position (protocol manual, "Error and Notice Message
** Fields").
*/
#include "base/utf8.h"

#include <stdint.h>
#include <string.h>

#include "base/buf.h"

/* Any byte of a character but its first. */
static int is_tail(unsigned char c)
{
    return (c & 0xC0) == 0x80;
}

/*
** Length of the sequence at s, 0 when it is invalid: overlong forms,
** surrogates and anything above U+10FFFF are (RFC 3629).
*/
static size_t sequence(const unsigned char *s, size_t left)
{
    unsigned char c = s[0];

    if (c < 0x80)
        return 1;
    /* 0xC0 and 0xC1 would begin overlong forms of ASCII */
    if (c >= 0xC2 && c <= 0xDF)
        return left >= 2 && is_tail(s[1]) ? 2 : 0;
    if (c >= 0xE0 && c <= 0xEF) {
        if (left < 3 || !is_tail(s[1]) || !is_tail(s[2]))
            return 0;
        /* overlong; a surrogate, U+D800 to U+DFFF */
        if ((c == 0xE0 && s[1] < 0xA0) || (c == 0xED && s[1] > 0x9F))
            return 0;
        return 3;
    }
    if (c >= 0xF0 && c <= 0xF4) {
        if (left < 4 || !is_tail(s[1]) || !is_tail(s[2]) || !is_tail(s[3]))
            return 0;
        /* overlong; above U+10FFFF */
        if ((c == 0xF0 && s[1] < 0x90) || (c == 0xF4 && s[1] > 0x8F))
            return 0;
        return 4;
    }
    return 0;
}

/* Bytes that a loop goes over without a way out: compilers make vector
** instructions of it. */
#define BLOCK 64

static bool is_ascii(const unsigned char *s)
{
    uint64_t any = 0;

    for (size_t i = 0; i < BLOCK; i += sizeof any) {
        uint64_t word;

        memcpy(&word, s + i, sizeof word);
        any |= word;
    }
    return (any & UINT64_C(0x8080808080808080)) == 0;
}

/* How many characters of ASCII a text begins with, or fewer. */
static size_t skip_ascii(const unsigned char *s, size_t len)
{
    size_t i = 0;
    uint64_t word;

    while (len - i >= BLOCK && is_ascii(s + i))
        i += BLOCK;
    for (; len - i >= sizeof word; i += sizeof word) {
        memcpy(&word, s + i, sizeof word);
        if ((word & UINT64_C(0x8080808080808080)) != 0)
            break;
    }
    return i;
}

size_t pgmig_utf8_check(const char *text, size_t len)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t i = 0;

    while ((i += skip_ascii(s + i, len - i)) < len) {
        /* others mostly stand together; behind them, it may be ASCII again */
        do {
            size_t n = sequence(s + i, len - i);

            if (n == 0)
                return i;
            i += n;
        } while (i < len && s[i] >= 0x80);
    }
    return len;
}

/* One bad byte at a time: the one behind it may begin a character again. */
char *pgmig_readable(const char *text, size_t len, const char *prefix)
{
    struct pgmig_buf out = {0};

    for (;;) {
        size_t valid = pgmig_utf8_check(text, len);

        pgmig_buf_add(&out, text, valid);
        if (valid == len)
            break;
        pgmig_buf_addf(&out, "%s%02x", prefix, (unsigned char)text[valid]);
        text += valid + 1;
        len -= valid + 1;
    }
    if (!out.failed)
        return out.data;
    pgmig_buf_free(&out);
    return NULL;
}

/* A NUL is valid UTF-8, but no text of PostgreSQL's can hold one (manual,
** "Character Types"), and it is what UTF-16 looks like. The first fault of
** either kind counts. */
size_t pgmig_utf8_check_text(const char *text, size_t len)
{
    size_t valid = pgmig_utf8_check(text, len);
    const char *nul = valid > 0 ? memchr(text, '\0', valid) : NULL;

    return nul ? (size_t)(nul - text) : valid;
}

/* As many as there are first bytes: in valid text only. */
size_t pgmig_utf8_count(const char *text, size_t len)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++)
        n += !is_tail((unsigned char)text[i]);
    return n;
}

static unsigned newlines_in(const char *block)
{
    unsigned char n = 0; /* of one byte: so are the lanes of vectors */

    for (size_t i = 0; i < BLOCK; i++)
        n = (unsigned char)(n + (block[i] == '\n'));
    return n;
}

size_t pgmig_count_newlines(const char *text, size_t len)
{
    size_t n = 0;

    for (; len >= BLOCK; text += BLOCK, len -= BLOCK)
        n += newlines_in(text);
    while (len-- > 0)
        n += *text++ == '\n';
    return n;
}

size_t pgmig_utf8_offset(const char *text, size_t len, size_t n)
{
    size_t i = 0;

    while (i < len) {
        if (!is_tail((unsigned char)text[i]) && n-- == 0)
            break;
        i++;
    }
    return i;
}

/* The tail is written from its end, six bits a byte; the first byte takes the
** bits that are left and says by its mark how many follow. */
size_t pgmig_utf8_encode(unsigned long c, char out[4])
{
    static const unsigned char marks[] = {0, 0, 0xC0, 0xE0, 0xF0};
    size_t len = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

    for (size_t i = len; i-- > 1; c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3F));
    out[0] = (char)(marks[len] | c);
    return len;
}

/* ---- for terminals and logs ---------------------------------------------- */

/* Names in a database, messages of a server and lines of a file are shown to
** people, and whoever wrote them may not be a friend: an escape sequence could
** hide or rewrite what stands above it, a change of the writing direction show
** SQL in another order than it runs in (CVE-2021-42574). Letters of all scripts
** and emoji pass as they are. */

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
