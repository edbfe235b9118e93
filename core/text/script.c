/*
** script.c -- a migration file as a whole: read, checked, asked.
**
** What is wrong with a file shows when it is read, before anything has been
** sent: a script that was made has passed all checks. Those that are made here
** need the whole file: that something goes up, how each section's transaction
** is, times that were hardly meant as they stand. They come in the order in
** which people should mend what they find.
**
** A held script hands out what parsing has found. A streamed one is parsed
** again while it runs, with the same words; what comes must be what was checked
** before. Nobody can know that before the file's end, so the caller commits
** nothing until pgmig_cursor_next has returned 0: then the seal has been
** compared (pgmig_cursor_next fails otherwise), and `checksum` is that of what
** has run.
*/
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "text/script.h"

#include "base/buf.h"
#include "text/backfill.h"
#include "text/directive.h"
#include "base/error.h"
#include "text/source.h"
#include "text/txcheck.h"

/* ---- checks of the whole --------------------------------------------- */

/* A section that does nothing, and is meant so, gets the directive that says
** so in pgmig's own files. */
static int set_empty(struct pgmig_parser *p, struct pgmig_section *section)
{
    struct pgmig_directives to = {&section->directives,
                                  &section->directive_count};

    return pgmig_directive_set(to, "empty", "", section->start, p->err);
}

/* In some formats that is one without SQL; and one that only fills a table. */
static int settle_empty(struct pgmig_parser *p, struct pgmig_section *section)
{
    bool meant = p->words->empty && section->present;

    if (section->statement_count > 0 ||
        (!meant && section->backfill_count == 0))
        return 0;
    return set_empty(p, section);
}

/* For a format whose tool refuses such files, too. */
static int refuse_unmarked(struct pgmig_parser *p)
{
    pgmig_error_set(p->err, PGMIG_E_PARSE, "the file has no line `-- %s`",
                    pgmig_vocabulary_text(p->words, PGMIG_MARKER_UP));
    pgmig_error_hint(p->err, "the UP and DOWN statements cannot be told apart: "
                             "write that line above the UP statements");
    return pgmig_parser_point(p, 0);
}

/* An empty UP is nearly always a template that nobody has filled in: applied,
** it would never run when somebody has. In a file without markers nothing tells
** that it was one, so it is only worth a warning. */
static int check_up(struct pgmig_parser *p)
{
    struct pgmig_section *up = &p->script->sections[PGMIG_UP];

    if (!p->script->marked && p->words->marked)
        return refuse_unmarked(p);
    if (!p->script->marked) {
        if (up->statement_count == 0 &&
            pgmig_script_directive(p->script, PGMIG_UP, "empty") == NULL)
            return pgmig_parser_warn(p, 0, "the file has no SQL");
        return 0;
    }
    if (!up->present) {
        pgmig_error_set(p->err, PGMIG_E_PARSE, "no -- UP section");
        return pgmig_parser_point(p, p->script->sections[PGMIG_DOWN].start);
    }
    if (up->statement_count > 0 ||
        pgmig_script_directive(p->script, PGMIG_UP, "empty") != NULL)
        return 0;
    pgmig_error_set(p->err, PGMIG_E_PARSE, "the UP section has no SQL");
    pgmig_error_hint(p->err,
                     "write the SQL (is the file still the template?), or the "
                     "line `-- pgmig: empty` if there is nothing to do");
    return pgmig_parser_point(p, up->start);
}

static bool is_own(const struct pgmig_parser *p)
{
    return p->words->transaction == PGMIG_TRANSACTION_OWN ||
           p->words->transaction == PGMIG_TRANSACTION_AUTO;
}

static bool has_alone(const struct pgmig_section *section)
{
    for (size_t i = 0; i < section->statement_count; i++)
        if (section->statements[i].traits & PGMIG_T_NO_BLOCK)
            return true;
    return false;
}

#define VAIN_MAX 20 /* places are counted from the file's beginning */

/* The server takes some of them with a warning, and some without. */
static int warn_vain(struct pgmig_parser *p,
                     const struct pgmig_section *section, bool begun)
{
    struct pgmig_tx_walk walk = {.inside = begun};
    const struct pgmig_statement *st = pgmig_txcheck_vain(section, &walk);

    for (int i = 0; i < VAIN_MAX && st != NULL; i++) {
        if (pgmig_parser_warn(p, st->start, walk.message) != 0)
            return -1;
        st = pgmig_txcheck_vain(section, &walk);
    }
    return 0;
}

/* Check a section that runs statement by statement. */
static int settle_pieces(struct pgmig_parser *p, struct pgmig_section *section,
                         bool begun)
{
    if (pgmig_txcheck_pieces(p->script, section, p->words, begun, p->err) != 0)
        return -1;
    return warn_vain(p, section, begun);
}

/* A section that does not say how it runs, in a format whose tool lets a file
** leave its transaction. Where nothing keeps it from running in one, it does:
** then the tracking row is in it, too. */
static int settle_own(struct pgmig_parser *p, struct pgmig_section *section)
{
    bool alone = p->words->transaction == PGMIG_TRANSACTION_AUTO;
    size_t at = pgmig_txcheck_obstacle(section, alone);
    /* a tool that looks for such statements begins no transaction then */
    bool begun = !alone || !has_alone(section);

    section->transaction = at == section->statement_count;
    if (section->transaction)
        return pgmig_txcheck(p->script, section, p->words, true, p->err);
    if (settle_pieces(p, section, begun) != 0 ||
        pgmig_parser_warn(
            p, section->statements[at].start,
            "the file runs statement by statement, because this one cannot "
            "run in a transaction around the whole file") != 0)
        return -1;
    pgmig_txcheck_loosen(section, begun);
    return 0;
}

/* The file's word counts, then its format's rule. */
static int settle_transaction(struct pgmig_parser *p,
                              enum pgmig_direction direction)
{
    struct pgmig_section *section = &p->script->sections[direction];
    const char *said =
        pgmig_script_directive(p->script, direction, "transaction");

    if (said == NULL && is_own(p))
        return settle_own(p, section);
    section->transaction = said != NULL
                               ? strcmp(said, "off") != 0
                               : p->words->transaction != PGMIG_TRANSACTION_OFF;
    if (section->transaction)
        return pgmig_txcheck(p->script, section, p->words, false, p->err);
    return settle_pieces(p, section, false);
}

/* Both sections are settled whichever will run: a way back that cannot run is
** worth knowing before it is needed. */
static int settle_section(struct pgmig_parser *p,
                          enum pgmig_direction direction)
{
    struct pgmig_section *section = &p->script->sections[direction];
    size_t total = section->total;

    if (settle_transaction(p, direction) != 0)
        return -1;
    /* with no more than a BEGIN and a COMMIT, it does nothing on purpose */
    if (total > 0 && section->total == 0 && set_empty(p, section) != 0)
        return -1;
    /* what psql runs has them always */
    if (section->wrapped && !p->words->psql)
        return pgmig_parser_warn(
            p, section->start,
            "its own BEGIN and COMMIT are skipped: pgmig runs it in "
            "one transaction together with its tracking row");
    return 0;
}

/* PostgreSQL takes a bare number for milliseconds; people mean seconds. 0 needs
** no unit. A value that is wrong was refused by directive.c. */
static bool lacks_unit(const struct pgmig_directive *d)
{
    bool has_unit;
    int ms;

    return strstr(d->key, "_timeout") != NULL &&
           pgmig_duration_setting(d->value, strlen(d->value), &ms, &has_unit) ==
               NULL &&
           !has_unit && ms != 0;
}

/* What is not as it looks. */
static int check_directives(struct pgmig_parser *p,
                            const struct pgmig_directive *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (lacks_unit(&list[i]) &&
            pgmig_parser_warn(p, list[i].offset,
                              "a time without a unit is in milliseconds: "
                              "write 5ms, 5s or 5min") != 0)
            return -1;
    }
    return 0;
}

static int check_section_directives(struct pgmig_parser *p,
                                    enum pgmig_direction direction)
{
    const struct pgmig_section *section = &p->script->sections[direction];

    return check_directives(p, section->directives, section->directive_count);
}

/* A file is refused first of all for bytes that are no text, wherever they
** stand: they are looked for in what parsing has not come to. */
static int check_rest(struct pgmig_source *source, struct pgmig_error *err)
{
    struct pgmig_error bytes = {0};

    while (!source->final &&
           pgmig_source_more(source, source->end, &bytes) == 0)
        ;
    if (bytes.kind != PGMIG_E_NONE) {
        pgmig_error_clear(err);
        *err = bytes;
    }
    return -1;
}

/* The parser puts what it finds into the script: nothing is left to do with an
** item. */
static int take_items(struct pgmig_parser *p)
{
    struct pgmig_item item;

    while (pgmig_parser_next(p, &item))
        ;
    return p->err->kind == PGMIG_E_NONE ? 0 : -1;
}

/* Doubts come first: a comment that was to be a marker is the reason for most
** of what would be found behind it. Sections are looked at for SQL before
** transactions are settled, which shortens their lists. */
static int check_all(struct pgmig_parser *p)
{
    struct pgmig_script *s = p->script;

    if (take_items(p) != 0 || pgmig_doubt_check(p) != 0)
        return -1;
    /* a file without any marker is UP as a whole */
    if (!s->marked && !p->words->marked)
        s->sections[PGMIG_UP].present = true;
    if (settle_empty(p, &s->sections[PGMIG_UP]) != 0 ||
        settle_empty(p, &s->sections[PGMIG_DOWN]) != 0 || check_up(p) != 0)
        return -1;
    if (settle_section(p, PGMIG_UP) != 0 || settle_section(p, PGMIG_DOWN) != 0)
        return -1;
    return check_directives(p, s->directives, s->directive_count) != 0 ||
                   check_section_directives(p, PGMIG_UP) != 0 ||
                   check_section_directives(p, PGMIG_DOWN) != 0
               ? -1
               : 0;
}

static int parse(struct pgmig_script *script, struct pgmig_error *err)
{
    struct pgmig_parser p;

    pgmig_parser_init(&p, script, script->words, err);
    if (check_all(&p) == 0)
        return 0;
    return err->kind == PGMIG_E_PARSE ? check_rest(&script->source, err) : -1;
}

/* ---- reading --------------------------------------------------------- */

static struct pgmig_script *new_script(const char *path,
                                       const struct pgmig_vocabulary *words,
                                       struct pgmig_error *err)
{
    struct pgmig_script *script = calloc(1, sizeof *script);

    if (script != NULL) {
        script->path = pgmig_strndup(path, strlen(path));
        script->words = words;
        if (script->path != NULL)
            return script;
    }
    pgmig_script_free(script);
    pgmig_error_memory(err);
    return NULL;
}

static void free_origin(struct pgmig_origin *origin)
{
    free(origin->text);
    free(origin->edits.list);
}

struct pgmig_script *pgmig_script_parse_changed(
    const char *path, char *text, size_t len, struct pgmig_origin origin,
    const struct pgmig_vocabulary *words, struct pgmig_error *err)
{
    struct pgmig_script *script = new_script(path, words, err);

    if (script == NULL) {
        free(text);
        free_origin(&origin);
        return NULL;
    }
    script->origin = origin;
    if (pgmig_source_hold(&script->source, script->path, text, len,
                          origin.text ? &script->origin : NULL, err) == 0 &&
        parse(script, err) == 0)
        return script;
    pgmig_script_free(script);
    return NULL;
}

struct pgmig_script *pgmig_script_parse(const char *path, char *text,
                                        size_t len,
                                        const struct pgmig_vocabulary *words,
                                        struct pgmig_error *err)
{
    return pgmig_script_parse_changed(path, text, len, (struct pgmig_origin){0},
                                      words, err);
}

static int fill_empty(struct pgmig_script *script,
                      enum pgmig_direction direction, bool transaction,
                      struct pgmig_error *err)
{
    struct pgmig_section *section = &script->sections[direction];
    struct pgmig_directives to = {&section->directives,
                                  &section->directive_count};

    section->present = true;
    section->transaction = transaction;
    if (pgmig_directive_set(to, "empty", "", 0, err) != 0)
        return -1;
    return transaction
               ? pgmig_txcheck(script, section, script->words, false, err)
               : 0;
}

struct pgmig_script *pgmig_script_empty(const char *path, bool transaction,
                                        struct pgmig_error *err)
{
    struct pgmig_script *script =
        new_script(path, &pgmig_vocabulary_default, err);

    if (script == NULL)
        return NULL;
    script->source.path = script->path;
    script->marked = true;
    if (fill_empty(script, PGMIG_UP, transaction, err) == 0 &&
        fill_empty(script, PGMIG_DOWN, transaction, err) == 0)
        return script;
    pgmig_script_free(script);
    return NULL;
}

/* Parse a file, and seal the bytes that the script stands for. */
static int parse_sealed(struct pgmig_script *script, struct pgmig_error *err)
{
    struct pgmig_seal seal = {0};
    int status = pgmig_seal_key(script->seal_key, err);

    script->source.seal = &seal;
    if (status == 0)
        status = pgmig_seal_init(&seal, script->seal_key, err);
    if (status == 0)
        status = parse(script, err);
    if (status == 0)
        status = pgmig_seal_end(&seal, script->seal, err);
    pgmig_seal_free(&seal);
    return status;
}

/* The file is closed once it was read: to run, it is opened anew, and may be
** another one by then. */
static struct pgmig_script *read_pieces(const char *path,
                                        const struct pgmig_vocabulary *words,
                                        struct pgmig_error *err)
{
    struct pgmig_script *script = new_script(path, words, err);
    int status;

    if (script == NULL)
        return NULL;
    script->streamed = true;
    status = pgmig_source_open(&script->source, script->path, err);
    if (status == 0)
        status = parse_sealed(script, err);
    pgmig_source_close(&script->source);
    if (status == 0)
        return script;
    pgmig_script_free(script);
    return NULL;
}

struct pgmig_script *pgmig_script_read(const char *path,
                                       const struct pgmig_vocabulary *words,
                                       bool stream, struct pgmig_error *err)
{
    struct stat st;
    char *text;
    size_t len;

    /* the size decides nothing but how it is read: should it change until then,
    ** either way still reads all */
    if (stream && stat(path, &st) == 0 && st.st_size > PGMIG_STREAM_BYTES)
        return read_pieces(path, words, err);
    if (pgmig_file_read(path, &text, &len, err) != 0)
        return NULL;
    return pgmig_script_parse(path, text, len, words, err);
}

/* What parsing has made: neither its path nor the script. */
static void clear(struct pgmig_script *script)
{
    for (int i = 0; i < 2; i++) {
        free(script->sections[i].statements);
        pgmig_directive_free(script->sections[i].directives,
                             script->sections[i].directive_count);
        pgmig_backfill_free(&script->sections[i]);
    }
    pgmig_directive_free(script->directives, script->directive_count);
    for (size_t i = 0; i < script->warning_count; i++)
        free(script->warnings[i].message);
    free(script->warnings);
    pgmig_source_close(&script->source);
    free_origin(&script->origin);
}

void pgmig_script_free(struct pgmig_script *script)
{
    if (script == NULL)
        return;
    clear(script);
    free(script->path);
    free(script);
}

/* ---- asking ---------------------------------------------------------- */

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

/* DOWN's reason first: it stands where people look for the way back. */
const char *pgmig_script_irreversible(const struct pgmig_script *script)
{
    const char *reason =
        pgmig_script_directive(script, PGMIG_DOWN, "irreversible");

    if (reason != NULL)
        return reason;
    return pgmig_script_directive(script, PGMIG_UP, "irreversible");
}

/* Comments and literals included: for callers who may be wrong on the safe
** side. */
bool pgmig_script_mentions(const struct pgmig_script *script, const char *word)
{
    const struct pgmig_source *s = &script->source;
    size_t n = strlen(word);

    for (size_t i = 0; i + n <= s->end; i++)
        if (strncasecmp(s->text + i, word, n) == 0)
            return true;
    return false;
}

/* ---- running --------------------------------------------------------- */

/* Of a streamed script the words, the path and the seal's key are the script's
** own, so the second reading differs from the first by nothing but the file. */
int pgmig_cursor_open(struct pgmig_cursor *c, const struct pgmig_script *script,
                      enum pgmig_direction section, struct pgmig_error *err)
{
    *c = (struct pgmig_cursor){.script = script,
                               .section = &script->sections[section],
                               .data_done = true};
    if (!script->streamed)
        return 0;
    c->again.streamed = true;
    if (pgmig_source_open(&c->again.source, script->path, err) != 0 ||
        pgmig_seal_init(&c->seal, script->seal_key, err) != 0)
        return -1;
    c->again.source.seal = &c->seal;
    c->again.source.hasher = &c->hasher;
    pgmig_parser_init(&c->parser, &c->again, script->words, err);
    return pgmig_hasher_init(&c->hasher, err);
}

void pgmig_cursor_close(struct pgmig_cursor *c)
{
    clear(&c->again);
    pgmig_seal_free(&c->seal);
    pgmig_hasher_free(&c->hasher);
}

/* What has run so far is rolled back with its transaction. */
static int changed(const struct pgmig_cursor *c, struct pgmig_error *err)
{
    pgmig_error_set(err, PGMIG_E_IO, "the file changed while it was being run");
    pgmig_error_hint(err, "restore the intended file, then run again");
    pgmig_error_field(&err->file, c->script->path);
    return -1;
}

/* The end of the file: it must have been the one that was checked. */
static int end(struct pgmig_cursor *c, struct pgmig_error *err)
{
    unsigned char seal[PGMIG_SEAL_BYTES];

    /* it was parsed without an error before: this is another file */
    if (err->kind == PGMIG_E_PARSE)
        return changed(c, err);
    if (err->kind != PGMIG_E_NONE || pgmig_seal_end(&c->seal, seal, err) != 0)
        return -1;
    if (memcmp(seal, c->script->seal, sizeof seal) != 0)
        return changed(c, err);
    return pgmig_hasher_end(&c->hasher, c->checksum, err);
}

/* Whether a statement of the file is one of those that are run: what a
** transactional section says of its transaction became part of ours. */
static bool is_run(struct pgmig_cursor *c, const struct pgmig_item *item)
{
    const unsigned lifted =
        PGMIG_T_TX_BEGIN | PGMIG_T_TX_COMMIT | PGMIG_T_TX_SET;

    return item->kind == PGMIG_ITEM_STATEMENT &&
           c->parser.section ==
               &c->again.sections[c->section - c->script->sections] &&
           !(item->statement.traits & lifted) && c->next < c->section->total;
}

int pgmig_cursor_next(struct pgmig_cursor *c, struct pgmig_statement *out,
                      const char **sql, struct pgmig_error *err)
{
    struct pgmig_item item;

    c->data_done = false;
    c->data_at = 0;
    if (!c->script->streamed) {
        if (c->next == c->section->statement_count)
            return 0;
        *out = c->section->statements[c->next++];
        *sql = pgmig_source_at(&c->script->source, out->start);
        return 1;
    }
    c->parser.err = err;
    do {
        if (!pgmig_parser_next(&c->parser, &item))
            return end(c, err);
    } while (!is_run(c, &item));
    c->next++;
    *out = item.statement;
    *sql = pgmig_parser_at(&c->parser, out->start);
    return 1;
}

/* A script that is held has the data in one piece. */
static int held_data(struct pgmig_cursor *c, const char **data, size_t *len)
{
    const struct pgmig_statement *st = &c->section->statements[c->next - 1];

    c->data_done = true;
    c->data_at = st->copy_start;
    *data = pgmig_source_at(&c->script->source, st->copy_start);
    *len = st->copy_end - st->copy_start;
    return *len > 0 ? 1 : 0;
}

/* A COPY without its data in this reading: another file, whatever else may be
** wrong with it. */
int pgmig_cursor_data(struct pgmig_cursor *c, const char **data, size_t *len,
                      struct pgmig_error *err)
{
    struct pgmig_item item;

    if (c->data_done)
        return 0;
    if (!c->script->streamed)
        return held_data(c, data, len);
    c->parser.err = err;
    if (!pgmig_parser_next(&c->parser, &item) || item.kind != PGMIG_ITEM_DATA)
        return changed(c, err);
    if (c->data_at == 0)
        c->data_at = item.start;
    c->data_done = item.last;
    *data = pgmig_parser_at(&c->parser, item.start);
    *len = item.end - item.start;
    return *len > 0 ? 1 : 0;
}
