/*
** split.c -- a text as statements and the comments between them.
**
** Cuts where psql does (src/fe_utils/psqlscan.l): at a semicolon outside
** parentheses and BEGIN ATOMIC bodies. Each statement is classified as it ends,
** because a SET standard_conforming_strings among them changes how the rest is
** to be read. It knows no markers: a parser that takes a comment for one ends
** the open statement with pgmig_splitter_cut.
**
** No item is handed out before the text that decides about it is there: but for
** how COPY data is divided, what comes of a text does not depend on the pieces
** that it comes in.
*/
#include "text/split.h"

#include <string.h>

#include "base/error.h"
#include "text/classify.h"
#include "text/command.h"

#define BOM "\xEF\xBB\xBF"
#define BOM_LEN 3

void pgmig_splitter_show(struct pgmig_splitter *sp,
                         const struct pgmig_source *source)
{
    sp->lx.pos -= source->from - sp->from;
    sp->lx.text = source->text;
    sp->lx.len = source->end - source->from;
    sp->lx.final = source->final;
    sp->from = source->from;
    sp->blank = source->blank;
}

void pgmig_splitter_init(struct pgmig_splitter *sp,
                         const struct pgmig_source *source)
{
    *sp = (struct pgmig_splitter){.from = source->from,
                                  .lx.standard_strings = true};
    pgmig_splitter_show(sp, source);
}

/* An open statement is needed from its start: when it ends, it is classified,
** and sent, from the text. */
size_t pgmig_splitter_needs(const struct pgmig_splitter *sp)
{
    return sp->open ? sp->start : sp->from + sp->lx.pos;
}

/* Where a token is in the file. */
static size_t place(const struct pgmig_splitter *sp,
                    const struct pgmig_token *tok)
{
    return sp->from + tok->start;
}

static struct pgmig_item fail(size_t at)
{
    return (struct pgmig_item){.kind = PGMIG_ITEM_ERROR, .start = at};
}

/* The item at `pos` needs more of the text: it is read again from there. */
static struct pgmig_item more(struct pgmig_splitter *sp, size_t pos)
{
    sp->lx.pos = pos;
    return (struct pgmig_item){.kind = PGMIG_ITEM_MORE};
}

static bool is_line_end(char c)
{
    return c == '\n' || c == '\r';
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\f' || c == '\v';
}

static size_t skip_blanks(const struct pgmig_splitter *sp, size_t at)
{
    while (at < sp->lx.len && is_blank(sp->lx.text[at]))
        at++;
    return at;
}

/* Nothing but blanks stands beside the token on its line or lines. */
static bool alone(const struct pgmig_splitter *sp,
                  const struct pgmig_token *tok)
{
    const char *text = sp->lx.text;
    size_t before = tok->start;
    size_t behind = skip_blanks(sp, tok->end);

    while (before > 0 && is_blank(text[before - 1]))
        before--;
    if (behind < sp->lx.len && !is_line_end(text[behind]))
        return false;
    /* its line's start was let go, and what was on it remembered */
    if (before == 0)
        return sp->blank;
    return is_line_end(text[before - 1]) ||
           (sp->from == 0 && before == BOM_LEN &&
            memcmp(text, BOM, BOM_LEN) == 0);
}

/* ---- the end of a statement ---------------------------------------------- */

static bool refuse(const char *message, const char *hint,
                   struct pgmig_error *err)
{
    pgmig_error_set(err, PGMIG_E_PARSE, "%s", message);
    pgmig_error_hint(err, "%s", hint);
    return false;
}

/* A SET that changes how the rest reads: follow or refuse it. A wrong guess
** about backslashes ends literals in the wrong place, from there to the end of
** the file. */
static bool follow_setting(struct pgmig_splitter *sp,
                           const struct pgmig_statement *st,
                           struct pgmig_error *err)
{
    switch (st->setting) {
    case PGMIG_SETTING_STANDARD:
    case PGMIG_SETTING_ESCAPES:
        sp->lx.standard_strings = st->setting == PGMIG_SETTING_STANDARD;
        sp->strings_set = true;
        return true;
    case PGMIG_SETTING_ENCODING:
        /* offsets, columns and the check for UTF-8 rest upon it */
        return refuse("a migration cannot change client_encoding",
                      "save the file as UTF-8 and delete this line", err);
    case PGMIG_SETTING_HIDDEN:
        return refuse("set_config changes how the rest of the file is read",
                      "write SET standard_conforming_strings = ... instead",
                      err);
    default:
        break;
    }
    /* SET is undone with the transaction, or back to the savepoint, that it
    ** stands in (manual, SET): which one that is, nobody follows here */
    if (sp->strings_set && st->kind == PGMIG_KIND_ROLLBACK &&
        !(st->traits & PGMIG_T_NO_BLOCK))
        return refuse(
            "ROLLBACK TO in a file that sets standard_conforming_strings",
            "it may revert the setting: put one of them in another migration",
            err);
    return true;
}

/* The statement that is open ends; its last token ended at sp->last. */
static struct pgmig_item finish(struct pgmig_splitter *sp, bool semicolon,
                                struct pgmig_error *err)
{
    struct pgmig_item item = {.kind = PGMIG_ITEM_STATEMENT};
    struct pgmig_statement *st = &item.statement;
    const char *sql;

    st->start = sp->start;
    st->end = sp->last;
    sp->open = false;
    sql = sp->lx.text + (st->start - sp->from);
    pgmig_classify(st, sql, st->end - st->start, sp->lx.standard_strings);
    if (!follow_setting(sp, st, err))
        return fail(st->start);
    if ((st->traits & PGMIG_T_COPY_IN) == 0)
        return item;
    if (!semicolon) {
        refuse("COPY ... FROM STDIN without data",
               "end it with a semicolon; its data begins on the next line and "
               "ends with a line that contains only \\.",
               err);
        return fail(st->start);
    }
    /* pgmig_splitter_next goes on with the data; copy_at is where an error in
    ** it points, since data without an end has no place of its own */
    sp->copying = PGMIG_COPYING_LINE;
    sp->copy_at = st->start;
    return item;
}

/* A semicolon: comments in front of it still belong to the statement, so a line
** comment may be its last line. Blanks do not. */
static struct pgmig_item finish_at(struct pgmig_splitter *sp, size_t end,
                                   struct pgmig_error *err)
{
    while (is_blank(sp->lx.text[end - 1]) || is_line_end(sp->lx.text[end - 1]))
        end--;
    sp->last = sp->from + end;
    return finish(sp, true, err);
}

bool pgmig_splitter_cut(struct pgmig_splitter *sp, struct pgmig_item *out,
                        struct pgmig_error *err)
{
    if (!sp->open)
        return false;
    *out = finish(sp, false, err);
    return true;
}

/* ---- tokens -------------------------------------------------------------- */

static void begin_statement(struct pgmig_splitter *sp, size_t at)
{
    sp->open = true;
    sp->start = at;
    sp->words = 0;
    sp->parens = 0;
    sp->atomic = false;
    sp->routine = false;
    sp->begin = false;
    sp->closable = false;
}

/* CREATE [OR REPLACE] FUNCTION | PROCEDURE: the words, one after another. psql
** looks for the same ones (psqlscan.l, identifiers): anywhere else BEGIN and
** END say nothing about semicolons. */
static void watch_routine(struct pgmig_splitter *sp,
                          const struct pgmig_token *tok)
{
    static const char *const start[] = {"create", "or", "replace"};
    const char *text = sp->lx.text;
    int at = sp->words++;

    if (at < 3 && pgmig_token_is(text, tok, start[at]))
        return;
    sp->routine =
        (at == 1 || at == 3) && (pgmig_token_is(text, tok, "function") ||
                                 pgmig_token_is(text, tok, "procedure"));
    sp->words = 4; /* it is decided */
}

/* The body of BEGIN ATOMIC is a list of statements, each with its semicolon
** (gram.y, routine_body_stmt_list): END closes it only behind ATOMIC or a
** semicolon, anywhere else it belongs to CASE or is a label. */
static void watch_atomic(struct pgmig_splitter *sp,
                         const struct pgmig_token *tok)
{
    const char *text = sp->lx.text;

    if (sp->atomic) {
        if (sp->closable && pgmig_token_is(text, tok, "end"))
            sp->atomic = false;
        sp->closable = false;
    } else if (sp->begin && pgmig_token_is(text, tok, "atomic")) {
        sp->atomic = true;
        sp->atomic_at = place(sp, tok);
        sp->closable = true;
    }
}

static void take_word(struct pgmig_splitter *sp, const struct pgmig_token *tok)
{
    if (sp->words < 4)
        watch_routine(sp, tok);
    if (!sp->routine)
        return;
    /* a body neither begins nor ends inside parentheses */
    if (sp->parens == 0)
        watch_atomic(sp, tok);
    sp->begin = pgmig_token_is(sp->lx.text, tok, "begin");
}

static void take_symbol(struct pgmig_splitter *sp,
                        const struct pgmig_token *tok)
{
    char c = sp->lx.text[tok->start];

    if (c == '(' && sp->parens++ == 0)
        sp->paren_at = place(sp, tok);
    else if (c == ')' && sp->parens > 0)
        sp->parens--;
    sp->closable = c == ';' && sp->parens == 0;
}

static bool outside(const struct pgmig_splitter *sp)
{
    return !sp->open || (sp->parens == 0 && !sp->atomic);
}

static bool is_end_of_statement(const struct pgmig_splitter *sp,
                                const struct pgmig_token *tok)
{
    return tok->kind == PGMIG_TOKEN_SYMBOL && sp->lx.text[tok->start] == ';' &&
           outside(sp);
}

static void take(struct pgmig_splitter *sp, const struct pgmig_token *tok)
{
    if (!sp->open)
        begin_statement(sp, place(sp, tok));
    sp->last = sp->from + tok->end;
    if (tok->kind == PGMIG_TOKEN_WORD) {
        take_word(sp, tok);
        return;
    }
    sp->words = 4; /* CREATE OR REPLACE has nothing in between */
    sp->begin = false;
    sp->closable = false;
    if (tok->kind == PGMIG_TOKEN_SYMBOL)
        take_symbol(sp, tok);
}

/* Nothing hangs on the words of a statement that creates no routine: only
** parentheses are counted, and what ends or hides something is left to the
** lexer. */
static void skip_dull(struct pgmig_splitter *sp)
{
    struct pgmig_lexer *lx = &sp->lx;

    for (;;) {
        size_t last = pgmig_lexer_skip(lx);
        struct pgmig_token tok = {.start = lx->pos};

        if (last > 0)
            sp->last = sp->from + last;
        if (lx->pos + 2 >= lx->len ||
            (lx->text[lx->pos] != '(' && lx->text[lx->pos] != ')'))
            return;
        take_symbol(sp, &tok);
        sp->last = sp->from + ++lx->pos;
    }
}

/* ---- psql commands ------------------------------------------------------- */

/* pg_dump of August 2025 and later writes \restrict and \unrestrict around a
** dump, so that psql runs no command that a hostile server has put into it
** (CVE-2025-8714). Here no command is run at all: the lines are passed over. */
static bool is_restrict(const char *line, size_t len)
{
    return (len > 9 && memcmp(line, "\\restrict ", 10) == 0) ||
           (len > 11 && memcmp(line, "\\unrestrict ", 12) == 0);
}

/* \i, \set, \copy and the like: psql's own, which no server knows. Running the
** file without what they do would be worse than not running it. */
static struct pgmig_item refuse_command(const struct pgmig_splitter *sp,
                                        const struct pgmig_token *tok,
                                        struct pgmig_error *err)
{
    size_t end = tok->end;

    while (end < sp->lx.len && end - tok->start < 40 &&
           !is_blank(sp->lx.text[end]) && !is_line_end(sp->lx.text[end]))
        end++;
    pgmig_error_set(err, PGMIG_E_PARSE,
                    "psql command %.*s: only SQL can be run here",
                    (int)(end - tok->start), sp->lx.text + tok->start);
    pgmig_error_hint(err, "write it in SQL, or run this file with psql");
    return fail(place(sp, tok));
}

/* A psql command: refused, or its line is skipped (PGMIG_ITEM_END). */
static struct pgmig_item take_command(struct pgmig_splitter *sp,
                                      const struct pgmig_token *tok,
                                      struct pgmig_error *err)
{
    const char *text = sp->lx.text + tok->start;
    const char *newline = memchr(text, '\n', sp->lx.len - tok->start);

    size_t len = newline ? (size_t)(newline - text) : sp->lx.len - tok->start;

    /* the line tells which command it is, and all of it is passed over */
    if (newline == NULL && !sp->lx.final)
        return more(sp, tok->start);
    if (sp->open || !(is_restrict(text, len) ||
                      (sp->psql && pgmig_command_is_harmless(text, len))))
        return refuse_command(sp, tok, err);
    sp->lx.pos = tok->start + len;
    return (struct pgmig_item){.kind = PGMIG_ITEM_END};
}

/* ---- COPY data ----------------------------------------------------------- */

/* As psql reads it from a script (src/bin/psql/copy.c, handleCopyIn): it begins
** on the line behind the statement's, and ends before a line that holds only \.
** and a line end, LF or CRLF. Nothing else in it means anything, whatever
** FORMAT the COPY has: no quotes, no comments, no semicolons. The lines are
** handed out as they are; an error of the data is the server's to find. */

/* The rest of the COPY's line (PGMIG_ITEM_END: there is none left). psql would
** run more SQL on it, but behind the data: what reads in one order and runs in
** another is refused. A comment may stand there. */
static struct pgmig_item skip_line(struct pgmig_splitter *sp,
                                   struct pgmig_error *err)
{
    struct pgmig_lexer *lx = &sp->lx;
    const char *line = lx->text + lx->pos;
    const char *newline = memchr(line, '\n', lx->len - lx->pos);
    size_t len = newline ? (size_t)(newline - line) : lx->len - lx->pos;
    size_t at = 0;

    if (newline == NULL && !lx->final)
        return more(sp, lx->pos);
    while (at < len && strchr(" \t\r\f\v", line[at]) != NULL)
        at++;
    if (at < len && (len - at < 2 || memcmp(line + at, "--", 2) != 0)) {
        refuse("text after COPY ... FROM STDIN on the same line",
               "COPY data begins on the next line: move or delete the text "
               "behind COPY",
               err);
        return fail(sp->copy_at);
    }
    lx->pos += newline ? len + 1 : len;
    sp->copying = PGMIG_COPYING_DATA;
    return (struct pgmig_item){.kind = PGMIG_ITEM_END};
}

/* Where the marker's line ends, if one begins at `at`; 0 otherwise. */
static size_t end_of_marker(const struct pgmig_lexer *lx, size_t at, size_t end)
{
    const char *text = lx->text;

    if ((at > lx->pos && text[at - 1] != '\n') || end - at < 2 ||
        text[at + 1] != '.')
        return 0;
    at += 2;
    if (at < end && text[at] == '\r')
        at++;
    if (at < end && text[at] != '\n')
        return 0;
    return at < end ? at + 1 : at;
}

/* Where the marker's line begins, and what stands behind it; `end` where there
** is none. Lines are not looked at one by one: only a backslash can begin it.
*/
static size_t find_marker(const struct pgmig_lexer *lx, size_t end,
                          size_t *behind)
{
    const char *text = lx->text;
    const char *next = text + lx->pos;

    while ((next = memchr(next, '\\', (size_t)(text + end - next))) != NULL) {
        size_t at = (size_t)(next++ - text);

        *behind = end_of_marker(lx, at, end);
        if (*behind > 0)
            return at;
    }
    return *behind = end;
}

/* psql takes the end of a file for the end of the data, too; it is more likely
** that the marker was lost, and with it what follows. */
static struct pgmig_item refuse_data(const struct pgmig_splitter *sp,
                                     struct pgmig_error *err)
{
    refuse("unterminated COPY data",
           "the data of this COPY has no end: end it with a line that contains "
           "only \\.",
           err);
    return fail(sp->copy_at);
}

/* Where the last whole line ends: half of a line could be half of the marker.
 */
static size_t end_of_lines(const struct pgmig_lexer *lx)
{
    const char *text = lx->text + lx->pos;
    const char *newline;

    if (lx->final)
        return lx->len;
    newline = memrchr(text, '\n', lx->len - lx->pos);
    return newline ? lx->pos + (size_t)(newline - text) + 1 : lx->pos;
}

/* The lines that are there, up to the marker. */
static struct pgmig_item take_lines(struct pgmig_splitter *sp,
                                    struct pgmig_error *err)
{
    struct pgmig_lexer *lx = &sp->lx;
    size_t end = end_of_lines(lx);
    size_t behind;
    size_t marker = find_marker(lx, end, &behind);
    struct pgmig_item item = {.kind = PGMIG_ITEM_DATA,
                              .last = marker < end,
                              .start = sp->from + lx->pos,
                              .end = sp->from + marker};

    if (!item.last && lx->final)
        return refuse_data(sp, err);
    if (behind == lx->pos)
        return more(sp, behind);
    if (item.last)
        sp->copying = PGMIG_COPYING_NOTHING;
    lx->pos = behind;
    return item;
}

static struct pgmig_item copy_data(struct pgmig_splitter *sp,
                                   struct pgmig_error *err)
{
    if (sp->copying == PGMIG_COPYING_LINE) {
        struct pgmig_item rest = skip_line(sp, err);

        if (rest.kind != PGMIG_ITEM_END)
            return rest;
    }
    return take_lines(sp, err);
}

/* ---- items --------------------------------------------------------------- */

static struct pgmig_item unterminated(const struct pgmig_splitter *sp,
                                      const struct pgmig_token *tok,
                                      struct pgmig_error *err)
{
    const char *what = pgmig_token_what(sp->lx.text, tok);

    pgmig_error_set(err, PGMIG_E_PARSE, "unterminated %s", what);
    pgmig_error_hint(err, "the %s that begins here has no end", what);
    return fail(place(sp, tok));
}

/* An open parenthesis has swallowed the semicolons behind it: it is named here,
** where the server would complain at the end of the file. */
static struct pgmig_item end_of_text(struct pgmig_splitter *sp,
                                     struct pgmig_error *err)
{
    if (!sp->open)
        return (struct pgmig_item){.kind = PGMIG_ITEM_END};
    if (sp->parens > 0) {
        pgmig_error_set(err, PGMIG_E_PARSE, "unclosed parenthesis");
        return fail(sp->paren_at);
    }
    if (sp->atomic) {
        pgmig_error_set(err, PGMIG_E_PARSE, "BEGIN ATOMIC without END");
        return fail(sp->atomic_at);
    }
    return finish(sp, false, err);
}

static struct pgmig_item comment(struct pgmig_splitter *sp,
                                 const struct pgmig_token *tok)
{
    if (!sp->lx.final && skip_blanks(sp, tok->end) == sp->lx.len)
        return more(sp, tok->start); /* what stands behind it decides */
    return (struct pgmig_item){.kind = PGMIG_ITEM_COMMENT,
                               .outside = outside(sp),
                               .alone = outside(sp) && alone(sp, tok),
                               .line_comment =
                                   tok->kind == PGMIG_TOKEN_LINE_COMMENT,
                               .start = place(sp, tok),
                               .end = sp->from + tok->end};
}

/* A byte order mark at the very start is no text. */
static void skip_bom(struct pgmig_splitter *sp)
{
    struct pgmig_lexer *lx = &sp->lx;

    if (sp->from + lx->pos == 0 && lx->len >= BOM_LEN &&
        memcmp(lx->text, BOM, BOM_LEN) == 0)
        lx->pos = BOM_LEN;
}

/* Reads on until something is whole: comments come out even from inside a
** statement, since one may be a marker, or a doubt, for the parser. */
struct pgmig_item pgmig_splitter_next(struct pgmig_splitter *sp,
                                      struct pgmig_error *err)
{
    if (sp->copying != PGMIG_COPYING_NOTHING)
        return copy_data(sp, err);
    skip_bom(sp);
    for (;;) {
        struct pgmig_token tok;
        struct pgmig_item item;

        if (sp->open && sp->words >= 4 && !sp->routine)
            skip_dull(sp);
        tok = pgmig_lexer_next(&sp->lx);

        switch (tok.kind) {
        case PGMIG_TOKEN_END:
            return end_of_text(sp, err);
        case PGMIG_TOKEN_MORE:
            return more(sp, sp->lx.pos);
        case PGMIG_TOKEN_UNTERMINATED:
            return unterminated(sp, &tok, err);
        case PGMIG_TOKEN_LINE_COMMENT:
        case PGMIG_TOKEN_BLOCK_COMMENT:
            return comment(sp, &tok);
        case PGMIG_TOKEN_BACKSLASH:
            item = take_command(sp, &tok, err);
            if (item.kind != PGMIG_ITEM_END)
                return item;
            break;
        default:
            if (!is_end_of_statement(sp, &tok))
                take(sp, &tok);
            else if (sp->open)
                return finish_at(sp, tok.start, err);
        }
    }
}
