/*
** parser.c -- a file while it is parsed: its items become sections.
**
** One pass: the splitter's items come in the order of the file, statements go
** to the section that is current, comments are asked for their meaning. Every
** statement and every piece of data is handed to the caller as well, who may be
** the script (it counts) or a cursor (it runs them); both see the same, as both
** go through here. Checks that need all of a section are not made here: see
** script.c and txcheck.c.
*/
#include "text/parser.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "text/backfill.h"
#include "text/directive.h"
#include "base/error.h"
#include "base/utf8.h"
#include "text/lexer.h"

/* A message to the server has less than 1 GB (PQ_LARGE_MESSAGE_LIMIT in its
** source), with some bytes of ours around the statement. */
#ifndef PGMIG_STATEMENT_MAX
#define PGMIG_STATEMENT_MAX 0x3FFFFC00
#endif

#define SHOWN 60 /* characters of a placeholder in a message */

const char *pgmig_parser_at(const struct pgmig_parser *p, size_t offset)
{
    return pgmig_source_at(&p->script->source, offset);
}

int pgmig_parser_point(const struct pgmig_parser *p, size_t offset)
{
    return pgmig_source_point(&p->script->source, offset, p->err);
}

int pgmig_parser_warn(struct pgmig_parser *p, size_t offset,
                      const char *message)
{
    struct pgmig_script *s = p->script;
    struct pgmig_warning *list =
        pgmig_grow(s->warnings, s->warning_count, sizeof *list);
    struct pgmig_error place = {0};
    char *copy = pgmig_strndup(message, strlen(message));

    if (list != NULL)
        s->warnings = list;
    if (list == NULL || copy == NULL) {
        free(copy);
        return pgmig_error_memory(p->err);
    }
    pgmig_source_point(&s->source, offset, &place);
    list[s->warning_count++] =
        (struct pgmig_warning){place.line, place.column, copy};
    pgmig_error_clear(&place);
    return 0;
}

/* The line alone, for a message that points somewhere else. */
static int64_t line_of(const struct pgmig_parser *p, size_t offset)
{
    struct pgmig_error place = {0};
    int64_t line;

    pgmig_source_point(&p->script->source, offset, &place);
    line = place.line;
    pgmig_error_clear(&place);
    return line;
}

static const char *direction_name(const struct pgmig_parser *p,
                                  const struct pgmig_section *section)
{
    return section == &p->script->sections[PGMIG_UP] ? "UP" : "DOWN";
}

/* Where a directive goes that is said here: above the first marker to the file,
** else to its section. With a divider the text above it is UP already. */
static struct pgmig_directives directives_here(struct pgmig_parser *p)
{
    struct pgmig_script *s = p->script;

    if (!s->marked &&
        pgmig_vocabulary_text(p->words, PGMIG_MARKER_DIVIDER) == NULL)
        return (struct pgmig_directives){&s->directives, &s->directive_count};
    return (struct pgmig_directives){&p->section->directives,
                                     &p->section->directive_count};
}

/* ---- statements ------------------------------------------------------ */

/* What a streamed script keeps: its first two statements, its last, and those
** that txcheck.c has to look at: whether the last so far is one of these. A
** restored dump may have millions of statements. */
static bool keeps_last(const struct pgmig_parser *p)
{
    const struct pgmig_section *section = p->section;

    return !p->script->streamed || section->statement_count < 3 ||
           (section->statements[section->statement_count - 1].traits &
            (PGMIG_T_NOTABLE | PGMIG_T_PASSING));
}

static int keep(struct pgmig_parser *p, const struct pgmig_statement *st)
{
    struct pgmig_section *section = p->section;
    struct pgmig_statement *list;

    if (!keeps_last(p)) {
        section->statements[section->statement_count - 1] = *st;
        return 0;
    }
    list =
        pgmig_grow(section->statements, section->statement_count, sizeof *list);
    if (list == NULL)
        return pgmig_error_memory(p->err);
    section->statements = list;
    list[section->statement_count++] = *st;
    return 0;
}

/* It would run before, and read as if it ran behind. */
static int refuse_behind(const struct pgmig_parser *p, size_t offset)
{
    pgmig_error_set(p->err, PGMIG_E_PARSE, "SQL after BACKFILL");
    pgmig_error_hint(p->err,
                     "a backfill begins when its migration is committed: move "
                     "the SQL above it, or into a later migration with the "
                     "line `-- pgmig: after-backfill=VERSION`");
    return pgmig_parser_point(p, offset);
}

static int add_statement(struct pgmig_parser *p,
                         const struct pgmig_statement *st)
{
    struct pgmig_section *section = p->section;

    if (section->backfill_count > 0)
        return refuse_behind(p, st->start);
    if (keep(p, st) != 0)
        return -1;
    pgmig_txcheck_watch(&p->lo, section);
    if (section->total++ == 0)
        section->first = st->start;
    section->last = st->end;
    /* a marker has cut the statement above in front of this one: if this is no
    ** beginning of one, it was cut in two, as by "-- down" in a select list */
    if (p->cut == PGMIG_NOWHERE || (st->traits & PGMIG_T_ANY_START))
        return 0;
    pgmig_error_set(p->err, PGMIG_E_PARSE,
                    "section marker in the middle of a statement");
    pgmig_error_hint(p->err,
                     "if it ends the section, end the statement above it with "
                     "a semicolon; if it is a comment, reword it");
    return pgmig_parser_point(p, p->cut);
}

/* Left alone it would be worse: the tool has taken what follows for DOWN, and
** pgmig would run it as UP. */
static int refuse_stray(const struct pgmig_parser *p, size_t at)
{
    pgmig_error_set(p->err, PGMIG_E_PARSE,
                    "this format's tool would split the file here");
    pgmig_error_hint(
        p->err,
        "put it on a line of its own behind a statement, or reword it: the "
        "tool accepts it anywhere in the file");
    return pgmig_parser_point(p, at);
}

/* A divider in a place where it is none divides the file for its tool: the
** first one does. Behind DOWN another one changes nothing. */
static int check_stray(const struct pgmig_parser *p, size_t start, size_t end)
{
    size_t stray;

    if (p->script->sections[PGMIG_DOWN].present)
        return 0;
    stray = start + pgmig_vocabulary_stray(p->words, pgmig_parser_at(p, start),
                                           end - start);
    return stray == end ? 0 : refuse_stray(p, stray);
}

/* Sent, it would only cost the connection: the server takes a longer message
** for one that was garbled, and says nothing of the statement. */
static int refuse_large(const struct pgmig_parser *p, size_t start)
{
    pgmig_error_set(
        p->err, PGMIG_E_PARSE,
        "this statement or comment is larger than the server accepts (1 GB)");
    pgmig_error_hint(p->err, "split it, or load rows with COPY ... FROM stdin");
    return pgmig_parser_point(p, start);
}

/* The message names the placeholder with its end, if that comes within SHOWN
** characters; one without an end mark goes on as long as a name does. */
static int refuse_unfilled(const struct pgmig_parser *p, size_t at, size_t end)
{
    const struct pgmig_vocabulary *words = p->words;
    const char *text = pgmig_parser_at(p, at);
    size_t len = pgmig_utf8_offset(text, end - at, SHOWN);
    size_t open = strlen(words->placeholder);
    size_t close = strlen(words->placeholder_end);
    const char *last = NULL;

    if (close > 0 && len > open)
        last = memmem(text + open, len - open, words->placeholder_end, close);
    for (size_t i = open; close == 0 && i < len; i++)
        if (isalnum((unsigned char)text[i]) || text[i] == '_')
            last = text + i + 1;
        else
            break;
    if (last != NULL)
        len = (size_t)(last - text) + close;
    pgmig_error_set(p->err, PGMIG_E_PARSE, "placeholder %.*s has no value",
                    (int)len, text);
    pgmig_error_hint(
        p->err,
        "set it with --set NAME=VALUE or the key `placeholders` of "
        "pgmig.conf.lua (or the migrator's option); the value false means "
        "that it is plain text");
    return pgmig_parser_point(p, at);
}

/* The first that is not in a comment, which does nothing. */
static bool find_suspect(const struct pgmig_parser *p, const char *text,
                         size_t len, size_t *start, size_t *end)
{
    struct pgmig_lexer lx = {.text = text,
                             .len = len,
                             .final = true,
                             .standard_strings =
                                 p->splitter.lx.standard_strings};
    struct pgmig_token tok = {.kind = PGMIG_TOKEN_SYMBOL};
    size_t from = 0;

    if (!pgmig_vocabulary_suspect(text, len, start, end))
        return false;
    while (tok.kind != PGMIG_TOKEN_END &&
           tok.kind != PGMIG_TOKEN_UNTERMINATED) {
        tok = pgmig_lexer_next(&lx);
        if (tok.kind == PGMIG_TOKEN_LINE_COMMENT ||
            tok.kind == PGMIG_TOKEN_BLOCK_COMMENT ||
            tok.kind == PGMIG_TOKEN_END) {
            if (pgmig_vocabulary_suspect(text + from, tok.start - from, start,
                                         end)) {
                *start += from;
                *end += from;
                return true;
            }
            from = tok.end;
        }
    }
    return false;
}

/* Whether a statement has what may open one. The next is looked for in all that
** is held, so that most statements cost a comparison. */
static bool has_opening(struct pgmig_parser *p,
                        const struct pgmig_statement *st)
{
    size_t from = p->opening > st->start ? p->opening - st->start : 0;
    size_t held = p->script->source.end - st->start;

    if (st->end <= p->opening)
        return false;
    p->opening = st->start + pgmig_vocabulary_opening(
                                 pgmig_parser_at(p, st->start), from, held);
    return p->opening < st->end;
}

/* It may be meant so; whoever has only forgotten the option would find it in a
** name or, worse, in the data. */
static int warn_suspect(struct pgmig_parser *p,
                        const struct pgmig_statement *st)
{
    const char *text = pgmig_parser_at(p, st->start);
    size_t start;
    size_t end;
    char message[512];

    if (!p->words->suspects || p->suspected || !has_opening(p, st) ||
        !find_suspect(p, text, st->end - st->start, &start, &end))
        return 0;
    p->suspected = true;
    snprintf(message, sizeof message,
             "placeholder %.*s is not replaced: %sgive its value with --set "
             "NAME=VALUE or the key `placeholders` of pgmig.conf.lua (or the "
             "migrator's option); "
             "`placeholders = false` means that it is plain text",
             (int)pgmig_utf8_offset(text + start, end - start, SHOWN),
             text + start,
             text[start] == '{' ? "write it as ${name}, and " : "");
    return pgmig_parser_warn(p, st->start + start, message);
}

/* In this order, so that a message is about what is wrong first: what the tool
** would replace is no SQL yet, and a doubt needs a statement that counts. */
static int take_statement(struct pgmig_parser *p,
                          const struct pgmig_statement *st)
{
    size_t unfilled;

    if (st->end - st->start > PGMIG_STATEMENT_MAX)
        return refuse_large(p, st->start);
    unfilled = st->start + pgmig_vocabulary_placeholder(
                               p->words, pgmig_parser_at(p, st->start),
                               st->end - st->start);

    if (unfilled != st->end)
        return refuse_unfilled(p, unfilled, st->end);
    if (warn_suspect(p, st) != 0 || check_stray(p, st->start, st->end) != 0 ||
        add_statement(p, st) != 0)
        return -1;
    pgmig_doubt_statement(p, st);
    p->cut = PGMIG_NOWHERE;
    return 0;
}

/* COPY data belongs to the statement before, which is the section's last: it
** was kept just now, whatever keeps_last says of it later. */
static int take_data(struct pgmig_parser *p, const struct pgmig_item *item)
{
    struct pgmig_section *section = p->section;
    struct pgmig_statement *st =
        &section->statements[section->statement_count - 1];

    if (st->copy_start == 0)
        st->copy_start = item->start;
    st->copy_end = section->last = item->end;
    return check_stray(p, item->start, item->end);
}

/* ---- comments -------------------------------------------------------- */

/* A second marker of one kind is an error unless the format joins the pieces:
** of two UP sections one may have been meant as DOWN. */
static int begin_section(struct pgmig_parser *p, enum pgmig_direction direction,
                         size_t offset)
{
    struct pgmig_section *section = &p->script->sections[direction];

    pgmig_doubt_section(p);
    if (section->present && p->words->repeats) {
        p->section = section;
        return 0;
    }
    if (section->present) {
        pgmig_error_set(p->err, PGMIG_E_PARSE, "a second -- %s marker",
                        direction_name(p, section));
        pgmig_error_hint(p->err, "the first one is on line %" PRId64,
                         line_of(p, section->start));
        return pgmig_parser_point(p, offset);
    }
    section->present = true;
    section->start = offset;
    p->section = section;
    p->script->marked = true;
    return 0;
}

static int refuse_before(struct pgmig_parser *p, size_t offset)
{
    const struct pgmig_section *section = p->section;

    pgmig_error_set(p->err, PGMIG_E_PARSE,
                    "SQL before the first section marker");
    pgmig_error_hint(
        p->err,
        "it belongs to no section: move it after the marker on line %" PRId64,
        line_of(p, offset));
    return pgmig_parser_point(p, section->statement_count > 0
                                     ? section->statements[0].start
                                     : section->backfills[0].offset);
}

/* What stands above the divider is UP. */
static int take_divider(struct pgmig_parser *p, size_t offset)
{
    p->script->sections[PGMIG_UP].present = true;
    return begin_section(p, PGMIG_DOWN, offset);
}

static int take_section(struct pgmig_parser *p,
                        const struct pgmig_marker *marker, size_t offset)
{
    /* what comes next begins below this marker, not below one that has cut */
    if (p->cut != offset)
        p->cut = PGMIG_NOWHERE;
    if (marker->kind == PGMIG_MARKER_DIVIDER)
        return take_divider(p, offset);
    if (!p->script->marked &&
        (p->section->statement_count > 0 || p->section->backfill_count > 0))
        return refuse_before(p, offset);
    return begin_section(
        p, marker->kind == PGMIG_MARKER_UP ? PGMIG_UP : PGMIG_DOWN, offset);
}

/* Its tool reads the first line only; a byte order mark is no text, except to a
** tool that compares bytes. */
static bool is_first(const struct pgmig_parser *p,
                     const struct pgmig_marker *marker, size_t offset)
{
    if (!marker->exact)
        return offset <= pgmig_source_bom(&p->script->source);
    return offset == 0 && memcmp(pgmig_parser_at(p, 0), "-- ", 3) == 0 &&
           memcmp(pgmig_parser_at(p, 3), marker->text, strlen(marker->text)) ==
               0;
}

static int take_setting(struct pgmig_parser *p,
                        const struct pgmig_marker *marker, size_t offset)
{
    struct pgmig_script *s = p->script;
    struct pgmig_directives to = directives_here(p);

    if (marker->first && !is_first(p, marker, offset))
        return 0;
    if (marker->whole_file)
        to = (struct pgmig_directives){&s->directives, &s->directive_count};
    return pgmig_directive_set(to, marker->key, marker->value, offset, p->err);
}

/* Behind the SQL of UP. */
static int take_backfill(struct pgmig_parser *p,
                         const struct pgmig_comment *comment,
                         const struct pgmig_item *item)
{
    struct pgmig_script *s = p->script;

    if (p->section != &s->sections[PGMIG_UP] ||
        (p->words->one_way && p->words->way == PGMIG_DOWN)) {
        pgmig_error_set(p->err, PGMIG_E_PARSE, "BACKFILL in DOWN");
        pgmig_error_hint(p->err, "it belongs to UP; rolling a migration back "
                                 "forgets its backfills");
        return pgmig_parser_point(p, item->start);
    }
    return pgmig_backfill_parse(p->section, &s->source, item->start,
                                comment->body + strlen(comment->marker->text),
                                item->end, p->err);
}

/* Markers that structure the file come last: the words behind such a one belong
** to the section that it begins. */
static int take_marker(struct pgmig_parser *p,
                       const struct pgmig_comment *comment,
                       const struct pgmig_item *item)
{
    const struct pgmig_marker *marker = comment->marker;

    /* what it ends was ended by `cuts` */
    if (marker->kind == PGMIG_MARKER_IGNORED ||
        marker->kind == PGMIG_MARKER_END)
        return 0;
    if (marker->kind == PGMIG_MARKER_REFUSED)
        return pgmig_directive_refuse(p->script, marker, comment->body,
                                      item->end, p->err);
    if (marker->kind == PGMIG_MARKER_SETTING)
        return take_setting(p, marker, item->start);
    if (marker->kind == PGMIG_MARKER_BACKFILL)
        return take_backfill(p, comment, item);
    if (take_section(p, marker, item->start) != 0)
        return -1;
    return pgmig_directive_options(directives_here(p), p->script, p->words,
                                   marker, comment->body, item->end, p->err);
}

/* When a migration runs is said of the whole: its DOWN has no phase. */
static int check_phase(struct pgmig_parser *p, struct pgmig_directives here,
                       const struct pgmig_item *comment)
{
    if (here.list != &p->script->sections[PGMIG_DOWN].directives ||
        pgmig_directive_find(*here.list, *here.count, "phase") == NULL)
        return 0;
    pgmig_error_set(p->err, PGMIG_E_PARSE,
                    "phase must be above the DOWN section: it applies to the "
                    "whole migration");
    return pgmig_parser_point(p, comment->start);
}

/* Anywhere else it would look as if it counted, and would not. */
static int take_directive(struct pgmig_parser *p, size_t body,
                          const struct pgmig_item *comment)
{
    struct pgmig_directives here = directives_here(p);

    if (!comment->alone || !comment->line_comment) {
        pgmig_error_set(p->err, PGMIG_E_PARSE,
                        "a directive must be on a line of its own, after --, "
                        "outside parentheses");
        return pgmig_parser_point(p, comment->start);
    }
    if (pgmig_directive_parse(here, p->script, p->words, body, comment->end,
                              p->err) != 0)
        return -1;
    return check_phase(p, here, comment);
}

/* What it means, and where in the file its words begin. */
static struct pgmig_comment read_comment(const struct pgmig_parser *p,
                                         const struct pgmig_item *item)
{
    struct pgmig_comment c =
        pgmig_vocabulary_read(p->words, pgmig_parser_at(p, item->start),
                              item->end - item->start, item->line_comment);

    c.body += item->start;
    return c;
}

/* Nothing stands before it on its line. Of a line whose start was let go, it is
** known how much that was. */
static bool at_margin(const struct pgmig_parser *p, size_t offset)
{
    const struct pgmig_source *s = &p->script->source;

    if (offset <= s->from + pgmig_source_bom(s))
        return s->line.before == 0;
    return strchr("\r\n", *pgmig_parser_at(p, offset - 1)) != NULL;
}

/* A marker counts alone on its line, or wherever its tool finds it. */
static bool is_marker(const struct pgmig_parser *p,
                      const struct pgmig_comment *c,
                      const struct pgmig_item *item)
{
    return c->meaning == PGMIG_MEANS_MARKER &&
           (item->alone || (c->marker->anywhere && item->outside)) &&
           (!c->marker->margin || at_margin(p, item->start));
}

/* A comment has one meaning. Only what is neither a directive nor a marker may
** be a heading that was meant as one. */
static int take_comment(struct pgmig_parser *p, const struct pgmig_item *item)
{
    struct pgmig_comment c = read_comment(p, item);

    if (c.meaning == PGMIG_MEANS_DIRECTIVE)
        return take_directive(p, c.body, item);
    if (is_marker(p, &c, item))
        return take_marker(p, &c, item);
    pgmig_doubt_comment(p, item, &c);
    return check_stray(p, item->start, item->end);
}

/* Whether a comment is a marker that ends the statement above it, though that
** has no semicolon. */
static bool cuts(const struct pgmig_parser *p, const struct pgmig_item *item)
{
    struct pgmig_comment c;

    if (!p->splitter.open || !item->outside)
        return false;
    c = read_comment(p, item);
    return is_marker(p, &c, item) && pgmig_vocabulary_cuts(c.marker);
}

/* ---- items ----------------------------------------------------------- */

/* Let the splitter see more of the file. */
static int see_more(struct pgmig_parser *p)
{
    struct pgmig_source *s = &p->script->source;
    size_t needs = pgmig_splitter_needs(&p->splitter);

    /* else memory would end before the statement does */
    if (s->end > needs && s->end - needs > PGMIG_STATEMENT_MAX)
        return refuse_large(p, needs);
    if (pgmig_source_more(s, needs, p->err) != 0)
        return -1;
    pgmig_splitter_show(&p->splitter, s);
    return 0;
}

/* Before the first marker UP is the current section: of a file without any, all
** of it is. */
void pgmig_parser_init(struct pgmig_parser *p, struct pgmig_script *script,
                       const struct pgmig_vocabulary *words,
                       struct pgmig_error *err)
{
    *p = (struct pgmig_parser){.script = script,
                               .words = words,
                               .section = &script->sections[PGMIG_UP],
                               .cut = PGMIG_NOWHERE,
                               .err = err};
    pgmig_splitter_init(&p->splitter, &script->source);
    p->splitter.psql = words->psql;
}

/* A marker ends the statement above it: that one comes first, and the marker
** when the caller asks for the next one. */
static bool cut_statement(struct pgmig_parser *p, struct pgmig_item *item)
{
    p->marker = *item;
    pgmig_splitter_cut(&p->splitter, item, p->err);
    if (item->kind == PGMIG_ITEM_ERROR) {
        pgmig_parser_point(p, item->start);
        return false;
    }
    if (take_statement(p, &item->statement) != 0)
        return false;
    p->cut = p->marker.start;
    return true;
}

/* Comments and the end of the window are dealt with on the way: a caller sees
** SQL and data alone. */
bool pgmig_parser_next(struct pgmig_parser *p, struct pgmig_item *item)
{
    struct pgmig_item marker = p->marker;

    p->marker.kind = PGMIG_ITEM_END;
    if (marker.kind == PGMIG_ITEM_COMMENT && take_comment(p, &marker) != 0)
        return false;
    for (;;) {
        *item = pgmig_splitter_next(&p->splitter, p->err);
        switch (item->kind) {
        case PGMIG_ITEM_STATEMENT:
            return take_statement(p, &item->statement) == 0;
        case PGMIG_ITEM_DATA:
            return take_data(p, item) == 0;
        case PGMIG_ITEM_COMMENT:
            if (cuts(p, item))
                return cut_statement(p, item);
            if (take_comment(p, item) != 0)
                return false;
            break;
        case PGMIG_ITEM_MORE:
            if (see_more(p) != 0)
                return false;
            break;
        case PGMIG_ITEM_ERROR:
            pgmig_parser_point(p, item->start);
            return false;
        default:
            return false;
        }
    }
}
