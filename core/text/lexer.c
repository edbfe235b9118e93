/*
** lexer.c -- where PostgreSQL's tokens begin and end.
**
** Follows src/backend/parser/scan.l, and psqlscan.l where a backslash begins a
** psql command, as far as a cut depends on it: a semicolon in a literal or a
** comment must not be taken for the end of a statement, nor a quote in one for
** the beginning of the next. What a number or an operator is, and whether any
** of it is SQL, is left to the server. Nothing is allocated, and `pos` is all
** that changes.
*/
#include "text/lexer.h"

#include <string.h>

enum { BLANK = 1, NAME_START = 2, NAME = 4, DIGIT = 8, DULL = 16, QUOTE = 32 };

/*
** PostgreSQL's classes: bytes above 127 belong to names (scan.l, ident_start),
** a dollar sign goes on with one but begins none (ident_cont).
**
** DULL is what pgmig_lexer_skip runs over byte by byte, as it hides nothing.
** Left out, besides the parentheses and semicolons that it is to stop at, are -
** and / (comments), $ (a literal) and the backslash; operators that hardly ever
** come have no class either.
*/
static const unsigned char classes[256] = {
    [' '] = BLANK,
    ['\t'] = BLANK,
    ['\n'] = BLANK,
    ['\r'] = BLANK,
    ['\f'] = BLANK,
    ['\v'] = BLANK,
    ['0' ... '9'] = NAME | DIGIT | DULL,
    ['A' ... 'Z'] = NAME_START | NAME,
    ['a' ... 'z'] = NAME_START | NAME,
    ['_'] = NAME_START | NAME,
    ['$'] = NAME,
    ['\''] = QUOTE,
    ['"'] = QUOTE,
    [','] = DULL,
    ['.'] = DULL,
    [':'] = DULL,
    ['='] = DULL,
    ['<'] = DULL,
    ['>'] = DULL,
    ['+'] = DULL,
    ['*'] = DULL,
    ['|'] = DULL,
    ['['] = DULL,
    [']'] = DULL,
    [128 ... 255] = NAME_START | NAME,
};

static bool is(const struct pgmig_lexer *lx, size_t at, unsigned class)
{
    return at < lx->len && (classes[(unsigned char)lx->text[at]] & class);
}

/* A NUL where the text ends: no token has one in it, as the file was
** checked. */
static char peek(const struct pgmig_lexer *lx, size_t at)
{
    return at < lx->len ? lx->text[at] : '\0';
}

/* Where c comes next, or the end of the text. */
static size_t find(const struct pgmig_lexer *lx, size_t at, char c)
{
    const char *p = NULL;

    if (at < lx->len)
        p = memchr(lx->text + at, c, lx->len - at);
    return p ? (size_t)(p - lx->text) : lx->len;
}

/* How far a token goes, in registers: there are several for each statement of
** a dump. */
struct reach {
    size_t end;
    enum pgmig_token_kind kind;
};

static struct reach reach(enum pgmig_token_kind kind, size_t end)
{
    return (struct reach){end, kind};
}

/* A token that has no end in the text that is there; pgmig_lexer_next makes
** PGMIG_TOKEN_MORE of it while more of the text may come. */
static struct reach open_ended(const struct pgmig_lexer *lx)
{
    return reach(PGMIG_TOKEN_UNTERMINATED, lx->len);
}

/* Line comments end before CR or LF: nothing behind the first of them is looked
** at, as a file may have lines that end with CR alone. */
static size_t line_end(const struct pgmig_lexer *lx, size_t at)
{
    while (at < lx->len && lx->text[at] != '\n' && lx->text[at] != '\r')
        at++;
    return at;
}

/* They nest, unlike those of C (manual 4.1.5 "Comments"; scan.l, xcdepth):
** commented out SQL may have comments. */
static struct reach block_comment(const struct pgmig_lexer *lx)
{
    size_t at = lx->pos + 2;
    int depth = 1;

    while (at + 1 < lx->len) {
        char c = lx->text[at];

        if (c == '*' && lx->text[at + 1] == '/') {
            at += 2;
            if (--depth == 0)
                return reach(PGMIG_TOKEN_BLOCK_COMMENT, at);
        } else if (c == '/' && lx->text[at + 1] == '*') {
            at += 2;
            depth++;
        } else {
            at++;
        }
    }
    return open_ended(lx);
}

/* The offset behind the closing quote; a doubled quote is a character. Behind
** the end of the text: it is not closed. */
static size_t quoted_end(const struct pgmig_lexer *lx, size_t at, char quote)
{
    for (;;) {
        at = find(lx, at, quote);
        if (at >= lx->len)
            return lx->len + 1;
        if (peek(lx, at + 1) != quote)
            return at + 1;
        at += 2;
    }
}

/* The same where a backslash takes the next character, whatever that is (manual
** 4.1.2.2 "String Constants with C-Style Escapes"). */
static size_t escaped_end(const struct pgmig_lexer *lx, size_t at)
{
    while (at < lx->len) {
        char c = lx->text[at];

        if (c == '\\' || (c == '\'' && peek(lx, at + 1) == '\''))
            at += 2;
        else if (c == '\'')
            return at + 1;
        else
            at++;
    }
    return lx->len + 1;
}

/* A literal goes on after blanks and line comments that hold a line end, if a
** quote follows (manual 4.1.2.1 "String Constants"; scan.l, quotecontinue): the
** offset of that quote, else `at`; behind the end of the text where that cannot
** be told yet. Block comments do not count there. */
static size_t continuation(const struct pgmig_lexer *lx, size_t at)
{
    size_t p = at;
    bool newline = false;

    while (p < lx->len) {
        char c = lx->text[p];

        if (c == '-' && p + 1 == lx->len)
            break; /* perhaps half a comment */
        if (c == '-' && lx->text[p + 1] == '-') {
            p = line_end(lx, p);
        } else if (is(lx, p, BLANK)) {
            newline = newline || c == '\n' || c == '\r';
            p++;
        } else {
            return c == '\'' && newline ? p : at;
        }
    }
    return lx->final ? at : lx->len + 1;
}

/* A literal from its first quote to its last, with its continuations: those of
** E'' have backslash escapes as it has. */
static struct reach string(const struct pgmig_lexer *lx, size_t quote,
                           bool escapes)
{
    size_t at = quote;

    for (;;) {
        size_t next;

        at = escapes ? escaped_end(lx, at + 1) : quoted_end(lx, at + 1, '\'');
        if (at > lx->len)
            return open_ended(lx);
        next = continuation(lx, at);
        if (next > lx->len)
            return open_ended(lx); /* never when the text is final */
        if (next == at)
            return reach(PGMIG_TOKEN_STRING, at);
        at = next;
    }
}

static struct reach quoted_name(const struct pgmig_lexer *lx, size_t quote)
{
    size_t at = quoted_end(lx, quote + 1, '"');

    if (at > lx->len)
        return open_ended(lx);
    return reach(PGMIG_TOKEN_QUOTED, at);
}

/* Where the name of a $tag$ whose first dollar stands at `at` ends: a name
** without dollar signs, and so none that begins with a digit (manual 4.1.2.4
** "Dollar-Quoted String Constants"; scan.l, dolq_start). */
static size_t tag_end(const struct pgmig_lexer *lx, size_t at)
{
    size_t p = at + 1;

    if (is(lx, p, NAME_START))
        while (is(lx, p, NAME) && lx->text[p] != '$')
            p++;
    return p;
}

/* $1, $2: without the digits it is a lone dollar, which the server refuses. */
static struct reach parameter(const struct pgmig_lexer *lx)
{
    size_t at = lx->pos + 1;

    while (is(lx, at, DIGIT))
        at++;
    return reach(PGMIG_TOKEN_SYMBOL, at);
}

/* A dollar-quoted string, a parameter such as $1, or a lone dollar. The first
** copy of the opening tag closes it, even where it shares a dollar with another
** tag: in $a$ ... $b$a$ the second one of $b$ begins it, as scan.l has it. */
static struct reach dollar(const struct pgmig_lexer *lx)
{
    size_t from = tag_end(lx, lx->pos) + 1;
    const char *p;

    if (from > lx->len && !lx->final)
        return open_ended(lx); /* the tag goes on */
    if (peek(lx, from - 1) != '$')
        return parameter(lx);
    p = memmem(lx->text + from, lx->len - from, lx->text + lx->pos,
               from - lx->pos);
    if (p == NULL)
        return open_ended(lx);
    return reach(PGMIG_TOKEN_STRING, (size_t)(p - lx->text) + from - lx->pos);
}

/* Digits and dots. What may follow them (an exponent, the x of 0x1F,
** underscores) comes as a word, which hides no quote either. */
static struct reach number(const struct pgmig_lexer *lx)
{
    size_t at = lx->pos;

    while (is(lx, at, DIGIT) || peek(lx, at) == '.')
        at++;
    return reach(PGMIG_TOKEN_NUMBER, at);
}

/* A name, unless it is the prefix of a literal: E'', B'', X'', N'', U&''. A
** prefix is one letter, right in front of the quote: in NAME'...' the quote
** begins a literal of its own. */
static struct reach word(const struct pgmig_lexer *lx)
{
    size_t at = lx->pos + 1;
    char c = lx->text[lx->pos];

    while (is(lx, at, NAME))
        at++;
    if (at > lx->pos + 1)
        return reach(PGMIG_TOKEN_WORD, at);
    if (peek(lx, at) == '\'') {
        if (c == 'e' || c == 'E')
            return string(lx, at, true);
        if (strchr("bBxX", c) != NULL)
            return string(lx, at, false);
        /* read as NCHAR and a plain literal (scan.l, xnstart) */
        if (c == 'n' || c == 'N')
            return string(lx, at, !lx->standard_strings);
    }
    if ((c == 'u' || c == 'U') && peek(lx, at) == '&') {
        /* its escapes hide no quote, and the server refuses it where plain
        ** literals have backslash escapes (scan.l, xusstart) */
        if (peek(lx, at + 1) == '\'')
            return string(lx, at + 1, false);
        if (peek(lx, at + 1) == '"')
            return quoted_name(lx, at + 1);
    }
    return reach(PGMIG_TOKEN_WORD, at);
}

/* The token at `pos`. Operators come one character at a time: they end where --
** or a block comment begins (manual 4.1.3 "Operators"), so no comment can be
** missed inside one. */
static struct reach scan(const struct pgmig_lexer *lx)
{
    char c = lx->text[lx->pos];
    char next = peek(lx, lx->pos + 1);

    if (is(lx, lx->pos, NAME_START))
        return word(lx);
    if (c == '-' && next == '-')
        return reach(PGMIG_TOKEN_LINE_COMMENT, line_end(lx, lx->pos));
    if (c == '/' && next == '*')
        return block_comment(lx);
    if (c == '\'')
        return string(lx, lx->pos, !lx->standard_strings);
    if (c == '"')
        return quoted_name(lx, lx->pos);
    if (c == '$')
        return dollar(lx);
    if (is(lx, lx->pos, DIGIT))
        return number(lx);
    if (c == '\\')
        return reach(PGMIG_TOKEN_BACKSLASH, lx->pos + 1);
    return reach(PGMIG_TOKEN_SYMBOL, lx->pos + 1);
}

struct pgmig_token pgmig_lexer_next(struct pgmig_lexer *lx)
{
    size_t start;
    struct reach r;

    while (is(lx, lx->pos, BLANK))
        lx->pos++;
    start = lx->pos;
    r = start < lx->len ? scan(lx) : reach(PGMIG_TOKEN_END, lx->len);
    /* it may go on there, or be another one: U&' looks two ahead */
    if (!lx->final && r.end + 2 >= lx->len)
        return (struct pgmig_token){PGMIG_TOKEN_MORE, start, lx->len};
    lx->pos = r.end;
    return (struct pgmig_token){r.kind, start, r.end};
}

/* The end of a word that is not the prefix of a literal; 0 for one that may be,
** or that touches the end of what is looked at. pgmig_lexer_next decides what
** is left to it. */
static size_t dull_word(const struct pgmig_lexer *lx, size_t at, size_t limit)
{
    size_t end = at + 1;

    while (end < limit && (classes[(unsigned char)lx->text[end]] & NAME))
        end++;
    if (end >= limit)
        return 0;
    if (end == at + 1 && (lx->text[end] == '\'' || lx->text[end] == '&'))
        return 0;
    return end;
}

/* The end of a literal or of a quoted name; 0 where that is not there. */
static size_t dull_quoted(const struct pgmig_lexer *lx, size_t at, size_t limit)
{
    struct reach r = lx->text[at] == '"'
                         ? quoted_name(lx, at)
                         : string(lx, at, !lx->standard_strings);

    return r.kind != PGMIG_TOKEN_UNTERMINATED && r.end < limit ? r.end : 0;
}

/* The end of a word, a literal or a quoted name that decides nothing. */
static size_t dull_end(const struct pgmig_lexer *lx, size_t at, size_t limit)
{
    unsigned class = classes[(unsigned char)lx->text[at]];

    if (class & NAME_START)
        return dull_word(lx, at, limit);
    return class & QUOTE ? dull_quoted(lx, at, limit) : 0;
}

/* Most of a dump is names, literals and commas, of which a splitter has nothing
** to ask: no token is made of them. */
size_t pgmig_lexer_skip(struct pgmig_lexer *lx)
{
    size_t limit = lx->len > 2 ? lx->len - 2 : 0; /* a look ahead is there */
    size_t start = lx->pos;
    size_t at = start;

    while (at < limit) {
        size_t end = at + 1;

        if (!(classes[(unsigned char)lx->text[at]] & (BLANK | DULL)))
            end = dull_end(lx, at, limit);
        if (end == 0)
            break;
        at = end;
    }
    lx->pos = at;
    /* a statement ends with its last token: blanks behind that are not its
    ** own */
    while (at > start && is(lx, at - 1, BLANK))
        at--;
    return at > start ? at : 0;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

const char *pgmig_token_what(const char *text, const struct pgmig_token *tok)
{
    const char *first = text + tok->start;

    if (*first == '/')
        return "/* comment";
    if (*first == '$')
        return "dollar-quoted string";
    if (*first == '"' || (lower(*first) == 'u' && first[2] == '"'))
        return "quoted identifier";
    return "quoted string";
}

/* Only ASCII letters are folded: no key word has others
** (src/include/parser/kwlist.h). */
bool pgmig_token_is(const char *text, const struct pgmig_token *tok,
                    const char *word)
{
    size_t len = tok->end - tok->start;

    if (tok->kind != PGMIG_TOKEN_WORD || lower(text[tok->start]) != word[0])
        return false; /* most words differ in their first letter */
    for (size_t i = 1; i < len; i++)
        if (lower(text[tok->start + i]) != word[i])
            return false; /* at the word's end, too */
    return word[len] == '\0';
}

/* ---- words --------------------------------------------------------------- */

/* A statement read token by token, without its comments: for whoever looks for
** a few words at their places. It was cut before: nothing in it lacks an end,
** if it is read with the same setting of standard_conforming_strings. */

void pgmig_words_init(struct pgmig_words *w, const char *sql, size_t len,
                      bool standard_strings)
{
    *w = (struct pgmig_words){0};
    w->lx = (struct pgmig_lexer){.text = sql,
                                 .len = len,
                                 .final = true,
                                 .standard_strings = standard_strings};
    pgmig_words_next(w);
}

void pgmig_words_next(struct pgmig_words *w)
{
    do {
        w->tok = pgmig_lexer_next(&w->lx);
    } while (w->tok.kind == PGMIG_TOKEN_LINE_COMMENT ||
             w->tok.kind == PGMIG_TOKEN_BLOCK_COMMENT);
    if (w->tok.kind != PGMIG_TOKEN_SYMBOL)
        return;
    /* at ( it is counted already, at ) no longer */
    if (w->lx.text[w->tok.start] == '(')
        w->parens++;
    else if (w->lx.text[w->tok.start] == ')')
        w->parens--;
}

bool pgmig_words_at(const struct pgmig_words *w, const char *word)
{
    return pgmig_token_is(w->lx.text, &w->tok, word);
}

bool pgmig_words_at_any(const struct pgmig_words *w, const char *const *words)
{
    for (; *words != NULL; words++)
        if (pgmig_words_at(w, *words))
            return true;
    return false;
}

bool pgmig_words_accept(struct pgmig_words *w, const char *word)
{
    if (!pgmig_words_at(w, word))
        return false;
    pgmig_words_next(w);
    return true;
}

bool pgmig_words_at_name(const struct pgmig_words *w)
{
    return w->tok.kind == PGMIG_TOKEN_WORD || w->tok.kind == PGMIG_TOKEN_QUOTED;
}

bool pgmig_words_at_symbol(const struct pgmig_words *w, char c)
{
    return w->tok.kind == PGMIG_TOKEN_SYMBOL && w->lx.text[w->tok.start] == c;
}

bool pgmig_words_ended(const struct pgmig_words *w)
{
    return w->tok.kind == PGMIG_TOKEN_END;
}

/* A stray closing parenthesis makes the count negative: what follows it is
** outside all the same. */
bool pgmig_words_find(struct pgmig_words *w, const char *word)
{
    for (; !pgmig_words_ended(w); pgmig_words_next(w))
        if (w->parens <= 0 && pgmig_words_at(w, word))
            return true;
    return false;
}
