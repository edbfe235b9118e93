/* script.c -- a migration file: sections, directives, statements. */
#include <stdlib.h>
#include <string.h>

#include "annotation.h"
#include "buf.h"
#include "directive.h"
#include "error.h"
#include "locate.h"
#include "pgmig.h"
#include "split.h"
#include "txcheck.h"
#include "utf8.h"
#include "vocabulary.h"

#define NOWHERE ((size_t)-1)

/* A file while it is parsed. */
struct parser {
    struct pgmig_script *script;
    const struct pgmig_vocabulary *words;
    struct pgmig_splitter splitter;
    struct pgmig_section *section; /* the current one; UP before a marker */
    size_t cut;                    /* the marker that ended a statement */
    size_t doubtful;               /* the first near miss or foreign marker */
    struct pgmig_comment doubt;    /* what it means */
    size_t doubtful_down;          /* the same, but not nearly an UP */
    struct pgmig_comment doubt_down;
    struct pgmig_error *err;
};

static int point(const struct parser *p, size_t offset)
{
    pgmig_locate_error(p->err, p->script->path, p->script->text, p->script->len,
                       offset);
    return -1;
}

static int warn(struct parser *p, size_t offset, const char *message)
{
    struct pgmig_script *s = p->script;
    struct pgmig_warning *list =
        pgmig_grow(s->warnings, s->warning_count, sizeof *list);

    if (list == NULL)
        return pgmig_error_memory(p->err);
    s->warnings = list;
    list[s->warning_count++] = (struct pgmig_warning){offset, message};
    return 0;
}

static const char *direction_name(const struct parser *p,
                                  const struct pgmig_section *section)
{
    return section == &p->script->sections[PGMIG_UP] ? "UP" : "DOWN";
}

/* Where a directive goes that is said here: above the first marker to the
** file, else to its section. */
static struct pgmig_directives directives_here(struct parser *p)
{
    struct pgmig_script *s = p->script;

    if (!s->marked &&
        pgmig_vocabulary_text(p->words, PGMIG_MARKER_DIVIDER) == NULL)
        return (struct pgmig_directives){&s->directives, &s->directive_count};
    return (struct pgmig_directives){&p->section->directives,
                                     &p->section->directive_count};
}

/* ---- statements ------------------------------------------------------ */

static int add_statement(struct parser *p, const struct pgmig_statement *st)
{
    struct pgmig_section *section = p->section;
    struct pgmig_statement *list =
        pgmig_grow(section->statements, section->statement_count, sizeof *list);

    if (list == NULL)
        return pgmig_error_memory(p->err);
    section->statements = list;
    list[section->statement_count++] = *st;
    if (p->cut == NOWHERE || (st->traits & PGMIG_T_ANY_START))
        return 0;
    pgmig_error_set(p->err, PGMIG_E_PARSE,
                    "this marker stands in the middle of a statement");
    pgmig_error_hint(p->err, "if it ends the section, end the statement above "
                             "it with a semicolon; if it is a comment, word "
                             "it otherwise");
    return point(p, p->cut);
}

static int take_statement(struct parser *p, const struct pgmig_statement *st)
{
    size_t unfilled = pgmig_vocabulary_placeholder(p->words, p->script->text,
                                                   st->start, st->end);

    if (unfilled != st->end)
        return pgmig_annotation_unfilled(p->script, p->words, unfilled, st->end,
                                         p->err);
    if (add_statement(p, st) != 0)
        return -1;
    p->cut = NOWHERE;
    return 0;
}

/* ---- comments -------------------------------------------------------- */

static int begin_section(struct parser *p, enum pgmig_direction direction,
                         size_t offset)
{
    struct pgmig_section *section = &p->script->sections[direction];

    if (section->present && p->words->repeats) {
        p->section = section;
        return 0;
    }
    if (section->present) {
        struct pgmig_place first =
            pgmig_locate(p->script->text, p->script->len, section->start);

        pgmig_error_set(p->err, PGMIG_E_PARSE, "a second -- %s marker",
                        direction_name(p, section));
        pgmig_error_hint(p->err, "the first one is in line %d", first.line);
        return point(p, offset);
    }
    section->present = true;
    section->start = offset;
    p->section = section;
    p->script->marked = true;
    return 0;
}

/* A marker ends the statement above it. */
static int cut_statement(struct parser *p, size_t offset)
{
    struct pgmig_item item;
    bool cut = pgmig_splitter_cut(&p->splitter, &item, p->err);

    if (cut && (item.kind == PGMIG_ITEM_ERROR ||
                take_statement(p, &item.statement) != 0))
        return -1;
    p->cut = cut ? offset : NOWHERE;
    return 0;
}

static int refuse_before(struct parser *p, size_t offset)
{
    struct pgmig_place place =
        pgmig_locate(p->script->text, p->script->len, offset);

    pgmig_error_set(p->err, PGMIG_E_PARSE,
                    "SQL before the first section marker");
    pgmig_error_hint(p->err,
                     "it belongs to no section: move it behind the "
                     "marker in line %d",
                     place.line);
    return point(p, p->section->statements[0].start);
}

/* What stands above the divider is UP. */
static int take_divider(struct parser *p, size_t offset)
{
    p->script->sections[PGMIG_UP].present = true;
    return begin_section(p, PGMIG_DOWN, offset);
}

static int take_section(struct parser *p, const struct pgmig_marker *marker,
                        size_t offset)
{
    if (cut_statement(p, offset) != 0)
        return -1;
    if (marker->kind == PGMIG_MARKER_DIVIDER)
        return take_divider(p, offset);
    if (!p->script->marked && p->section->statement_count > 0)
        return refuse_before(p, offset);
    return begin_section(
        p, marker->kind == PGMIG_MARKER_UP ? PGMIG_UP : PGMIG_DOWN, offset);
}

static int take_setting(struct parser *p, const struct pgmig_marker *marker,
                        size_t offset)
{
    struct pgmig_script *s = p->script;
    struct pgmig_directives to = directives_here(p);

    if (marker->first && offset > 0 &&
        !(offset == 3 && memcmp(s->text, "\xEF\xBB\xBF", 3) == 0))
        return 0;
    if (marker->whole_file)
        to = (struct pgmig_directives){&s->directives, &s->directive_count};
    return pgmig_directive_set(to, marker->key, marker->value, offset, p->err);
}

static int take_marker(struct parser *p, const struct pgmig_comment *comment,
                       const struct pgmig_item *item)
{
    const struct pgmig_marker *marker = comment->marker;

    if (marker->kind == PGMIG_MARKER_IGNORED)
        return 0;
    if (marker->kind == PGMIG_MARKER_REFUSED)
        return pgmig_annotation_refuse(p->script, marker, comment->body,
                                       item->end, p->err);
    if (marker->kind == PGMIG_MARKER_SETTING)
        return take_setting(p, marker, item->start);
    if (take_section(p, marker, item->start) != 0)
        return -1;
    return pgmig_annotation_options(directives_here(p), p->script, p->words,
                                    marker, comment->body, item->end, p->err);
}

static int take_directive(struct parser *p, size_t body,
                          const struct pgmig_item *comment)
{
    if (!comment->alone || !comment->line_comment) {
        pgmig_error_set(p->err, PGMIG_E_PARSE,
                        "a directive stands on a line of its own, behind --, "
                        "outside parentheses");
        return point(p, comment->start);
    }
    return pgmig_directive_parse(directives_here(p), p->script, p->words, body,
                                 comment->end, p->err);
}

static void remember_doubt(struct parser *p, struct pgmig_comment doubt,
                           size_t offset)
{
    if (p->doubtful == NOWHERE) {
        p->doubtful = offset;
        p->doubt = doubt;
    }
    if (p->doubtful_down == NOWHERE && doubt.marker->kind != PGMIG_MARKER_UP) {
        p->doubtful_down = offset;
        p->doubt_down = doubt;
    }
}

static int take_comment(struct parser *p, const struct pgmig_item *item)
{
    struct pgmig_comment c = pgmig_vocabulary_read(
        p->words, p->script->text, item->start, item->end, item->line_comment);

    if (c.meaning == PGMIG_MEANS_DIRECTIVE)
        return take_directive(p, c.body, item);
    if (!item->alone)
        return 0;
    if (c.meaning == PGMIG_MEANS_MARKER)
        return take_marker(p, &c, item);
    if (c.meaning != PGMIG_MEANS_NOTHING)
        remember_doubt(p, c, item->start);
    return 0;
}

/* ---- the whole file -------------------------------------------------- */

static int take_items(struct parser *p)
{
    for (;;) {
        struct pgmig_item item = pgmig_splitter_next(&p->splitter, p->err);
        int status = 0;

        if (item.kind == PGMIG_ITEM_END)
            return 0;
        if (item.kind == PGMIG_ITEM_ERROR)
            return -1;
        if (item.kind == PGMIG_ITEM_STATEMENT)
            status = take_statement(p, &item.statement);
        else
            status = take_comment(p, &item);
        if (status != 0)
            return -1;
    }
}

/* A marker as it is written in messages: pgmig's own in capitals. */
static const char *marker_name(const struct parser *p,
                               const struct pgmig_marker *marker)
{
    if (p->words != &pgmig_vocabulary_default)
        return marker->text;
    return marker->kind == PGMIG_MARKER_UP ? "UP" : "DOWN";
}

static int refuse_doubt(struct parser *p, struct pgmig_comment doubt,
                        size_t offset)
{
    const struct pgmig_marker *marker = doubt.marker;

    if (doubt.meaning == PGMIG_MEANS_FOREIGN) {
        pgmig_error_set(p->err, PGMIG_E_PARSE,
                        "this is a section marker of %s: its DOWN would run "
                        "as UP",
                        marker->tool);
        pgmig_error_hint(p->err,
                         "run the file as it is with --format %s (option "
                         "`format`), or write -- UP and -- DOWN on lines of "
                         "their own",
                         marker->tool);
    } else {
        pgmig_error_set(p->err, PGMIG_E_PARSE,
                        "this looks like a section marker, but is none");
        pgmig_error_hint(p->err,
                         "write -- %s and nothing else on the line, or word "
                         "the comment otherwise",
                         marker_name(p, marker));
    }
    return point(p, offset);
}

/* A marker that was meant and not recognised would run DOWN as UP. */
static int check_doubts(struct parser *p)
{
    if (!p->script->marked && p->doubtful != NOWHERE)
        return refuse_doubt(p, p->doubt, p->doubtful);
    if (!p->script->sections[PGMIG_DOWN].present && p->doubtful_down != NOWHERE)
        return refuse_doubt(p, p->doubt_down, p->doubtful_down);
    return 0;
}

/* In some formats a section without SQL does nothing, and is meant so. */
static int settle_empty(struct parser *p, struct pgmig_section *section)
{
    struct pgmig_directives to = {&section->directives,
                                  &section->directive_count};

    if (!p->words->empty || !section->present || section->statement_count > 0)
        return 0;
    return pgmig_directive_set(to, "empty", "", section->start, p->err);
}

static int refuse_unmarked(struct parser *p)
{
    pgmig_error_set(p->err, PGMIG_E_PARSE, "the file has no line `-- %s`",
                    pgmig_vocabulary_text(p->words, PGMIG_MARKER_UP));
    pgmig_error_hint(p->err, "nobody can tell what of it goes up and what "
                             "goes down: write that line above what goes up");
    return point(p, 0);
}

static int check_up(struct parser *p)
{
    struct pgmig_section *up = &p->script->sections[PGMIG_UP];

    if (!p->script->marked && p->words->marked)
        return refuse_unmarked(p);
    if (!p->script->marked) {
        if (up->statement_count == 0 &&
            pgmig_script_directive(p->script, PGMIG_UP, "empty") == NULL)
            return warn(p, 0, "the file has no SQL");
        return 0;
    }
    if (!up->present) {
        pgmig_error_set(p->err, PGMIG_E_PARSE, "no -- UP section");
        return point(p, p->script->sections[PGMIG_DOWN].start);
    }
    if (up->statement_count > 0 ||
        pgmig_script_directive(p->script, PGMIG_UP, "empty") != NULL)
        return 0;
    pgmig_error_set(p->err, PGMIG_E_PARSE,
                    "the UP section has no SQL: still the template?");
    pgmig_error_hint(p->err, "write the SQL, or the line `-- pgmig: empty` "
                             "when nothing is to be done");
    return point(p, up->start);
}

/* A section that does not say how it runs, in a format whose tool lets a file
** leave its transaction. */
static int settle_rule(struct parser *p, struct pgmig_section *section)
{
    enum pgmig_transaction_rule rule = p->words->transaction;
    size_t at;

    section->transaction = rule != PGMIG_TRANSACTION_OFF;
    if (rule != PGMIG_TRANSACTION_OWN && rule != PGMIG_TRANSACTION_AUTO)
        return 0;
    at = pgmig_txcheck_obstacle(section, rule == PGMIG_TRANSACTION_AUTO);
    if (at == section->statement_count)
        return 0;
    section->transaction = false;
    if (warn(p, section->statements[at].start,
             "it runs statement by statement: a transaction around all of it "
             "cannot hold this one") != 0)
        return -1;
    pgmig_txcheck_loosen(section);
    return 0;
}

static int settle_section(struct parser *p, enum pgmig_direction direction)
{
    struct pgmig_section *section = &p->script->sections[direction];
    const char *said =
        pgmig_script_directive(p->script, direction, "transaction");

    section->transaction = said != NULL && strcmp(said, "off") != 0;
    if (said == NULL && settle_rule(p, section) != 0)
        return -1;
    if (pgmig_txcheck(p->script, section, p->words, p->err) != 0)
        return -1;
    if (section->wrapped)
        return warn(p, section->start,
                    "its own BEGIN and COMMIT are left out: pgmig runs it "
                    "in a transaction that also holds the tracking row");
    return 0;
}

static int check_bytes(struct parser *p)
{
    const struct pgmig_script *s = p->script;
    const char *nul = s->len > 0 ? memchr(s->text, '\0', s->len) : NULL;
    size_t bad;

    if (nul != NULL) {
        pgmig_error_set(p->err, PGMIG_E_PARSE, "the file holds a NUL byte");
        pgmig_error_hint(p->err, "save it as UTF-8 (UTF-16 looks like this)");
        return point(p, (size_t)(nul - s->text));
    }
    bad = pgmig_utf8_check(s->text, s->len);
    if (bad == s->len)
        return 0;
    pgmig_error_set(p->err, PGMIG_E_PARSE, "the file is not valid UTF-8");
    pgmig_error_hint(p->err, "save it as UTF-8");
    point(p, bad);
    free(p->err->text); /* it could not be shown */
    p->err->text = NULL;
    return -1;
}

static int parse(struct parser *p)
{
    struct pgmig_script *s = p->script;

    if (check_bytes(p) != 0)
        return -1;
    pgmig_splitter_init(&p->splitter, s->path, s->text, s->len);
    if (take_items(p) != 0 || check_doubts(p) != 0)
        return -1;
    if (!s->marked && !p->words->marked)
        s->sections[PGMIG_UP].present = true;
    if (settle_empty(p, &s->sections[PGMIG_UP]) != 0 ||
        settle_empty(p, &s->sections[PGMIG_DOWN]) != 0 || check_up(p) != 0)
        return -1;
    if (settle_section(p, PGMIG_UP) != 0)
        return -1;
    return settle_section(p, PGMIG_DOWN);
}

struct pgmig_script *pgmig_script_parse(const char *path, char *text,
                                        size_t len,
                                        const struct pgmig_vocabulary *words,
                                        struct pgmig_error *err)
{
    struct pgmig_script *script = calloc(1, sizeof *script);
    struct parser p = {.script = script,
                       .words = words,
                       .cut = NOWHERE,
                       .doubtful = NOWHERE,
                       .doubtful_down = NOWHERE,
                       .err = err};

    if (script == NULL) {
        free(text);
        pgmig_error_memory(err);
        return NULL;
    }
    script->text = text;
    script->len = len;
    script->path = pgmig_strndup(path, strlen(path));
    p.section = &script->sections[PGMIG_UP];
    if (script->path != NULL && parse(&p) == 0)
        return script;
    if (script->path == NULL)
        pgmig_error_memory(err);
    pgmig_script_free(script);
    return NULL;
}

struct pgmig_script *pgmig_script_read(const char *path,
                                       const struct pgmig_vocabulary *words,
                                       struct pgmig_error *err)
{
    char *text;
    size_t len;

    if (pgmig_file_read(path, &text, &len, err) != 0)
        return NULL;
    return pgmig_script_parse(path, text, len, words, err);
}

void pgmig_script_free(struct pgmig_script *script)
{
    if (script == NULL)
        return;
    for (int i = 0; i < 2; i++) {
        free(script->sections[i].statements);
        pgmig_directive_free(script->sections[i].directives,
                             script->sections[i].directive_count);
    }
    pgmig_directive_free(script->directives, script->directive_count);
    free(script->warnings);
    free(script->path);
    free(script->text);
    free(script);
}

const char *pgmig_script_directive(const struct pgmig_script *script,
                                   enum pgmig_direction direction,
                                   const char *key)
{
    const struct pgmig_section *section = &script->sections[direction];
    const char *value = pgmig_directive_find(section->directives,
                                             section->directive_count, key);

    if (value != NULL)
        return value;
    return pgmig_directive_find(script->directives, script->directive_count,
                                key);
}

const char *pgmig_script_irreversible(const struct pgmig_script *script)
{
    const char *reason =
        pgmig_script_directive(script, PGMIG_DOWN, "irreversible");

    if (reason != NULL)
        return reason;
    return pgmig_script_directive(script, PGMIG_UP, "irreversible");
}

void pgmig_script_locate(const struct pgmig_script *script, size_t offset,
                         struct pgmig_place *place)
{
    pgmig_locate_from(script->text, script->len, offset, place);
}
