/*
** doubt.c -- comments that name a direction and are no marker.
**
** A file whose "-- rollback" is no marker creates a table and drops it again in
** one transaction, and says that it was applied: nothing fails, and the data of
** a DROP is gone. So a comment that may be a heading, with SQL behind it that
** may be a way back, is refused. Comments that only speak of a rollback are
** common, too; what tells them apart is where they stand, how they are worded
** and what the statement behind them does, and all three are weighed in
** `heads`.
**
** A comment is only remembered until the next statement (`open`), and a doubt
** until the end of the file: its sections show whether it was one. Nothing is
** refused in a file that marks its DOWN, but for near misses of a marker.
*/
#include "text/doubt.h"

#include <ctype.h>
#include <string.h>

#include "base/error.h"
#include "text/parser.h"
#include "text/phrase.h"
#include "text/classify.h"
#include "text/lexer.h"

/* The text at an offset, which is there: of an item until the next one. */
static const char *at(const struct pgmig_parser *p, size_t offset)
{
    return pgmig_source_at(&p->script->source, offset);
}

/* ---- comments ---------------------------------------------------------- */

/* Which way the text here runs. */
static enum pgmig_direction way(const struct pgmig_parser *p)
{
    if (p->words->one_way)
        return p->words->way;
    return p->section == &p->script->sections[PGMIG_UP] ? PGMIG_UP : PGMIG_DOWN;
}

static bool is_marker(const struct pgmig_doubt *d)
{
    return d->meaning != PGMIG_MEANS_NOTHING;
}

/* What a marker or a heading names; a foreign one may name nothing. */
static enum pgmig_direction names(const struct pgmig_doubt *d)
{
    if (d->meaning == PGMIG_MEANS_FOREIGN || !is_marker(d))
        return d->heading.direction;
    return d->marker->kind == PGMIG_MARKER_UP ? PGMIG_UP : PGMIG_DOWN;
}

/* Whether it may be trouble, now or when the file has turned out to have no
** marker at all: what names the direction that the text runs in anyway is none,
** unless it was to be its marker. */
static bool matters(const struct pgmig_parser *p, const struct pgmig_doubt *d)
{
    if (names(d) != way(p))
        return is_marker(d) || d->heading.force != PGMIG_HEADING_NONE;
    return is_marker(d) && !p->words->one_way;
}

/* How sure it is that a direction was meant; a near marker is above all. */
static unsigned rank(const struct pgmig_doubt *d)
{
    if (d->end == 0)
        return 0;
    return is_marker(d) ? PGMIG_HEADING_BARE + 1 : d->heading.force;
}

/* The next line of a comment is read. Of several the strongest one counts, of
** equal ones the first. */
static void take_line(struct pgmig_parser *p, struct pgmig_doubt *d)
{
    struct pgmig_doubts *all = &p->doubts;
    const char *text = at(p, d->start);
    size_t len = d->end - d->start;

    if (!pgmig_phrase_any(text, 0, len))
        return;
    d->heading = pgmig_heading_read(text, 0, len);
    d->below = all->worked;
    d->title = !all->spoken;
    d->sectioned = p->script->marked || all->up_named;
    all->spoken = true;
    if (names(d) == PGMIG_UP && rank(d) >= PGMIG_HEADING_LABELLED)
        all->up_named = true;
    while (len > 0 && isspace((unsigned char)text[len - 1]))
        len--;
    if (matters(p, d) && rank(d) > rank(&all->open)) {
        all->open = *d;
    } else if (all->open.end > 0) {
        all->open.told = true;
        all->open.held = all->open.held || text[len - 1] == ';';
    }
}

/* A comment over several lines says what as many comments would; one that holds
** a way back itself, statements and all, ends with it: the SQL behind it is not
** what it speaks of. */
static void take_block(struct pgmig_parser *p, const struct pgmig_doubt *block)
{
    bool before = p->doubts.open.end > 0;
    struct pgmig_doubt d = *block;

    while (d.start < block->end) {
        const char *text = at(p, d.start);
        const char *newline = memchr(text, '\n', block->end - d.start);

        d.end = newline ? d.start + (size_t)(newline - text) : block->end;
        take_line(p, &d);
        d.start = d.at = d.end + 1;
    }
    if (!before && p->doubts.open.held)
        p->doubts.open.end = 0;
}

void pgmig_doubt_comment(struct pgmig_parser *p, const struct pgmig_item *item,
                         const struct pgmig_comment *comment)
{
    bool open = p->splitter.open;
    struct pgmig_doubt d = {.at = item->start,
                            .behind = item->end,
                            .start = item->start + 2,
                            .end = item->end - (item->line_comment ? 0 : 2),
                            .alone = item->alone,
                            .inside = open};

    /* inside a statement only what was to be a marker is of interest */
    if (open && (!item->alone || comment->meaning == PGMIG_MEANS_NOTHING))
        return;
    if (item->alone && comment->meaning != PGMIG_MEANS_MARKER) {
        d.meaning = comment->meaning;
        d.marker = comment->marker;
    }
    if (item->line_comment || is_marker(&d))
        take_line(p, &d);
    else
        take_block(p, &d);
}

/* ---- the SQL behind them ----------------------------------------------- */

/* Whether a statement takes something away, as most of a way back does: of
** ALTER any but those that add something. */
static bool takes_back(const struct pgmig_parser *p,
                       const struct pgmig_statement *st)
{
    struct pgmig_words w;

    if (st->kind != PGMIG_KIND_ALTER)
        return st->traits & PGMIG_T_TAKES;
    pgmig_words_init(&w, at(p, st->start), st->end - st->start,
                     p->splitter.lx.standard_strings);
    return !pgmig_words_find(&w, "add");
}

/*
** Whether a comment is the heading of the statement behind it. One without a
** statement above may as well tell about the migration, as one that holds
** statements does; words that may mean anything need a statement that takes
** something back.
*/
static bool heads(const struct pgmig_parser *p, const struct pgmig_doubt *d,
                  bool back)
{
    bool bare = is_marker(d) || d->heading.force == PGMIG_HEADING_BARE;
    bool labelled = d->heading.force == PGMIG_HEADING_LABELLED;

    if (d->meaning == PGMIG_MEANS_FOREIGN)
        return true;
    if (p->words->one_way && !bare)
        return labelled && d->below && back && !d->heading.loose &&
               names(d) == PGMIG_DOWN;
    if (!d->below && bare)
        return !d->held &&
               (back || (!d->heading.mild && (d->sectioned || !d->told)));
    if (!d->below)
        return labelled && !d->heading.loose && back && !d->held &&
               (d->title || d->sectioned);
    if (bare || labelled)
        return back || (!d->held && !d->heading.mild);
    return d->alone && (back || (d->heading.capitals && !d->held));
}

/* What of a statement stands behind a near marker inside it; false: it is no
** statement of its own. One that is shows that the statement above lacks its
** semicolon, as people leave it out in front of a marker. */
static bool split_off(const struct pgmig_parser *p, const struct pgmig_doubt *d,
                      const struct pgmig_statement *st,
                      struct pgmig_statement *rest)
{
    bool standard = p->splitter.lx.standard_strings;
    struct pgmig_words w;
    const char *sql;

    *rest = (struct pgmig_statement){.start = d->behind, .end = st->end};
    if (!d->alone || d->behind >= st->end)
        return false;
    sql = at(p, rest->start);
    pgmig_words_init(&w, sql, rest->end - rest->start, standard);
    pgmig_classify(rest, sql, rest->end - rest->start, standard);
    return (rest->traits & PGMIG_T_ANY_START) && w.parens == 0;
}

static void note(struct pgmig_doubt *first, const struct pgmig_doubt *d)
{
    if (first->end == 0)
        *first = *d;
}

/* It counts: for which files depends on what else they have. The first of each
** kind is what a message points at. */
static void keep(struct pgmig_parser *p, const struct pgmig_doubt *d)
{
    struct pgmig_doubts *all = &p->doubts;
    bool other = names(d) != way(p);

    note(&all->unmarked, d);
    if (way(p) == PGMIG_UP && (other || d->meaning == PGMIG_MEANS_FOREIGN))
        note(&all->without_down, d);
    if (d->meaning == PGMIG_MEANS_NEARLY && other)
        note(&all->always, d);
}

void pgmig_doubt_statement(struct pgmig_parser *p,
                           const struct pgmig_statement *st)
{
    const unsigned around =
        PGMIG_T_TX_BEGIN | PGMIG_T_TX_COMMIT | PGMIG_T_TX_SET | PGMIG_T_SETTING;
    struct pgmig_doubts *all = &p->doubts;
    struct pgmig_doubt d = all->open;
    struct pgmig_statement rest;

    /* BEGIN, SET and their like stand between a heading and its SQL */
    if (!(st->traits & around) || d.inside)
        all->open.end = 0;
    if (st->traits & around)
        return; /* neither direction's */
    /* a statement ROLLBACK explains the word in the comment above it */
    if (d.end > 0 && st->kind != PGMIG_KIND_ROLLBACK) {
        if (d.inside && !split_off(p, &d, st, &rest))
            d.end = 0;
        else if (heads(p, &d, takes_back(p, d.inside ? &rest : st)))
            keep(p, &d);
    }
    all->worked = true;
}

void pgmig_doubt_section(struct pgmig_parser *p)
{
    p->doubts.open.end = 0;
    p->doubts.worked = false;
}

/* ---- refusals ---------------------------------------------------------- */

/* The line to write where a direction begins; "": the format has none. */
static void add_remedy(const struct pgmig_parser *p,
                       const struct pgmig_doubt *d, struct pgmig_error *err)
{
    const struct pgmig_marker *marker =
        pgmig_vocabulary_section(p->words, names(d));
    const char *text = marker ? marker->text : NULL;
    const char *blank = text && *text != '-' ? " " : "";

    if (p->words->one_way || text == NULL)
        pgmig_error_hint(
            err,
            "this file has one direction only: move what belongs to the other "
            "direction into a file of its own, or reword the comment");
    else if (strcmp(text, "up") == 0 || strcmp(text, "down") == 0)
        pgmig_error_hint(
            err,
            "write -- %s and nothing else on the line, or reword the comment",
            *text == 'u' ? "UP" : "DOWN");
    else
        pgmig_error_hint(
            err,
            "write --%s%s and nothing else on the line, or reword the comment",
            blank, text);
}

static int refuse(struct pgmig_parser *p, const struct pgmig_doubt *d)
{
    if (d->meaning == PGMIG_MEANS_FOREIGN) {
        pgmig_error_set(p->err, PGMIG_E_PARSE,
                        "this is a section marker of %s: its DOWN would run "
                        "as UP",
                        d->marker->tool);
        pgmig_error_hint(
            p->err,
            "run the file unchanged with --format %s (option `format`), or "
            "write -- UP and -- DOWN on lines of their own",
            d->marker->tool);
    } else {
        if (is_marker(d))
            pgmig_error_set(p->err, PGMIG_E_PARSE,
                            "this looks like a section marker, but is not one");
        else
            pgmig_error_set(p->err, PGMIG_E_PARSE,
                            "this looks like the heading of %s, but is not a "
                            "marker: what follows it would run as %s",
                            names(d) == PGMIG_UP ? "UP" : "DOWN",
                            names(d) == PGMIG_UP ? "DOWN" : "UP");
        add_remedy(p, d, p->err);
    }
    return pgmig_source_point(&p->script->source, d->at, p->err);
}

int pgmig_doubt_check(struct pgmig_parser *p)
{
    const struct pgmig_doubts *all = &p->doubts;

    if (!p->script->marked && all->unmarked.end > 0)
        return refuse(p, &all->unmarked);
    if (!p->script->sections[PGMIG_DOWN].present && all->without_down.end > 0)
        return refuse(p, &all->without_down);
    if (all->always.end > 0)
        return refuse(p, &all->always);
    return 0;
}
