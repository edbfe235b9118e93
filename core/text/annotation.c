/*
** annotation.c -- what the words of another tool's markers say.
**
** Where a tool's marker has options ("-- +migrate Up notransaction"), they
** become the directives that mean the same, and everything else goes its usual
** way. What cannot be kept is refused in place of being passed over.
*/
#include "text/annotation.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"
#include "text/source.h"

#define SHOWN 60 /* bytes of a comment or placeholder in a message */

/* One blank-separated word of a text. */
struct word {
    const char *text;
    size_t len;
};

/* False at the end. *at goes behind the word. */
static bool next_word(struct word *w, const char *text, size_t *at, size_t end)
{
    while (*at < end && isspace((unsigned char)text[*at]))
        (*at)++;
    w->text = text + *at;
    while (*at < end && !isspace((unsigned char)text[*at]))
        (*at)++;
    w->len = (size_t)(text + *at - w->text);
    return w->len > 0;
}

/* Behind the words that the marker itself has: as many are passed over, since
** blanks between them may be any (vocabulary.c, fold). */
static size_t behind_marker(const struct pgmig_marker *marker, const char *text,
                            size_t start, size_t end)
{
    size_t len = strlen(marker->text);
    size_t at = 0;
    struct word w;

    while (next_word(&w, marker->text, &at, len))
        next_word(&w, text, &start, end);
    return start;
}

/* Without case, as markers are compared (vocabulary.c). */
static const struct pgmig_marker_option *
find_option(const struct pgmig_vocabulary *words, const struct word *w)
{
    for (size_t i = 0; i < words->option_count; i++) {
        const char *text = words->options[i].text;

        if (strlen(text) == w->len && strncasecmp(text, w->text, w->len) == 0)
            return &words->options[i];
    }
    return NULL;
}

static int refuse_option(const struct pgmig_script *script,
                         const struct pgmig_vocabulary *words,
                         const struct word *w, size_t offset,
                         struct pgmig_error *err)
{
    pgmig_error_set(err, PGMIG_E_PARSE, "unknown option \"%.*s\"",
                    (int)(w->len < SHOWN ? w->len : SHOWN), w->text);
    if (words->option_count > 0)
        pgmig_error_hint(err, "this marker accepts the option %s",
                         words->options[0].text);
    return pgmig_source_point(&script->source, offset, err);
}

int pgmig_annotation_options(struct pgmig_directives to,
                             const struct pgmig_script *script,
                             const struct pgmig_vocabulary *words,
                             const struct pgmig_marker *marker, size_t start,
                             size_t end, struct pgmig_error *err)
{
    const char *text = pgmig_source_at(&script->source, start);
    size_t at = behind_marker(marker, text, 0, end - start);
    struct word w;

    while (marker->options && next_word(&w, text, &at, end - start)) {
        const struct pgmig_marker_option *option = find_option(words, &w);

        /* prose behind a marker is the tools' custom, "key:value" never is:
        ** dbmate's "transaction:flase" would be lost without a word */
        if (option == NULL && memchr(w.text, ':', w.len) == NULL)
            continue;
        if (option == NULL)
            return refuse_option(script, words, &w,
                                 start + (size_t)(w.text - text), err);
        if (pgmig_directive_set(to, option->key, option->value, start, err) !=
            0)
            return -1;
    }
    return 0;
}

/* The comment itself is quoted, as people will look for it in the file. */
int pgmig_annotation_refuse(const struct pgmig_script *script,
                            const struct pgmig_marker *marker, size_t start,
                            size_t end, struct pgmig_error *err)
{
    int shown = (int)(end - start < SHOWN ? end - start : SHOWN);

    pgmig_error_set(err, PGMIG_E_PARSE, "\"%.*s\" is not supported by pgmig",
                    shown, pgmig_source_at(&script->source, start));
    if (marker->hint != NULL)
        pgmig_error_hint(err, "%s", marker->hint);
    return pgmig_source_point(&script->source, start, err);
}

/* Left alone it would be worse: the tool has taken what follows for DOWN, and
** pgmig would run it as UP. */
int pgmig_annotation_stray(const struct pgmig_script *script, size_t at,
                           struct pgmig_error *err)
{
    pgmig_error_set(err, PGMIG_E_PARSE,
                    "this format's tool would split the file here");
    pgmig_error_hint(
        err, "put it on a line of its own after the last statement of the UP "
             "part, or reword it: the tool accepts it anywhere in the file");
    return pgmig_source_point(&script->source, at, err);
}

/* The message names the placeholder with its end, if that comes within SHOWN
** bytes; one without an end mark goes on as long as a name does. */
int pgmig_annotation_unfilled(const struct pgmig_script *script,
                              const struct pgmig_vocabulary *words, size_t at,
                              size_t end, struct pgmig_error *err)
{
    const char *text = pgmig_source_at(&script->source, at);
    size_t len = end - at < SHOWN ? end - at : SHOWN;
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
    pgmig_error_set(err, PGMIG_E_PARSE, "placeholder %.*s has no value",
                    (int)len, text);
    pgmig_error_hint(
        err, "set it with the key `placeholders` of pgmig.conf.lua (or the "
             "migrator's option); the value false means that it is plain text");
    return pgmig_source_point(&script->source, at, err);
}
