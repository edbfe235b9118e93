/*
** cursor.c -- the statements of a section, one after the other.
**
** A held script hands out what parsing has found. A streamed one is parsed
** again while it runs, with the same words; what comes must be what was checked
** before. Nobody can know that before the file's end, so the caller commits
** nothing until pgmig_cursor_next has returned 0: then the seal has been
** compared (pgmig_cursor_next fails otherwise), and `checksum` is that of what
** has run.
*/
#include "text/cursor.h"

#include <string.h>

#include "base/error.h"
#include "text/script.h"

/* Of a streamed script the words, the path and the seal's key are the script's
** own, so the second reading differs from the first by nothing but the file. */
int pgmig_cursor_open(struct pgmig_cursor *c, const struct pgmig_script *script,
                      enum pgmig_direction section, struct pgmig_error *err)
{
    *c = (struct pgmig_cursor){.script = script,
                               .section = &script->sections[section],
                               .text = script->text,
                               .data_done = true,
                               .stream.fd = -1};
    if (!script->streamed)
        return 0;
    /* lent, as the words are: pgmig_script_clear leaves both alone */
    c->again.path = script->path;
    c->again.streamed = true;
    c->again.words = script->words;
    pgmig_parser_init(&c->parser, &c->again, script->words, &c->stream, err);
    if (pgmig_stream_open(&c->stream, script->path, err) != 0 ||
        pgmig_seal_init(&c->seal, script->seal_key, err) != 0)
        return -1;
    c->stream.seal = &c->seal;
    c->stream.hasher = &c->hasher;
    return pgmig_hasher_init(&c->hasher, err);
}

void pgmig_cursor_close(struct pgmig_cursor *c)
{
    pgmig_stream_close(&c->stream);
    pgmig_seal_free(&c->seal);
    pgmig_hasher_free(&c->hasher);
    pgmig_script_clear(&c->again);
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
                      struct pgmig_error *err)
{
    struct pgmig_item item;

    c->data_done = false;
    c->data_at = 0;
    if (!c->script->streamed) {
        if (c->next == c->section->statement_count)
            return 0;
        *out = c->section->statements[c->next++];
        return 1;
    }
    c->parser.err = err;
    do {
        if (!pgmig_parser_next(&c->parser, &item))
            return end(c, err);
    } while (!is_run(c, &item));
    c->next++;
    c->text = c->again.text;
    *out = item.statement;
    return 1;
}

/* A script that is held has the data in one piece. */
static int held_data(struct pgmig_cursor *c, const char **data, size_t *len)
{
    const struct pgmig_statement *st = &c->section->statements[c->next - 1];

    c->data_done = true;
    c->data_at = st->copy_start;
    *data = c->text + st->copy_start;
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
    *data = c->again.text + item.start;
    *len = item.end - item.start;
    return *len > 0 ? 1 : 0;
}
