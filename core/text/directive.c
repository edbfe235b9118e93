/*
** directive.c -- the `key=value` words of a `-- pgmig:` line.
**
** A word is checked where it is read, with the place at hand: unknown keys,
** values of the wrong form and repetitions are errors, since a misspelt
** `transaction=off` that is passed over would run the file in another way than
** its author meant. What a directive does is not known here.
**
** Where another tool's marker has options ("-- +migrate Up notransaction"),
** they become the directives that mean the same, and everything else goes its
** usual way. What cannot be kept is refused in place of being passed over.
*/
#include "text/directive.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/error.h"
#include "text/source.h"

#define SHOWN 60 /* bytes of a comment in a message */

/* One word of the line, as it stands in some text: no copies. */
struct word {
    const char *key;
    size_t key_len;
    const char *value;
    size_t value_len;
    bool has_value;
};

static size_t skip_blanks(const char *text, size_t at, size_t end)
{
    while (at < end && isspace((unsigned char)text[at]))
        at++;
    return at;
}

static bool equals(const char *s, size_t len, const char *word)
{
    return strlen(word) == len && memcmp(s, word, len) == 0;
}

/* Keys are compared with case, unlike markers: they are pgmig's own. */
static const struct pgmig_directive_rule *
find_rule(const struct pgmig_vocabulary *words, const struct word *word)
{
    for (size_t i = 0; i < words->directive_count; i++)
        if (equals(word->key, word->key_len, words->directives[i].key))
            return &words->directives[i];
    return NULL;
}

/* At most six digits, so that it fits an int wherever it goes. */
static bool is_count(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!isdigit((unsigned char)s[i]))
            return false;
    return len > 0 && len <= 6;
}

/* What the value should have been; NULL when it is right. It comes behind the
** key in the message: "retries takes a whole number". */
static const char *wrong_value(const struct pgmig_directive_rule *rule,
                               const struct word *w)
{
    bool has_unit;
    int ms;

    switch (rule->value) {
    case PGMIG_VALUE_NONE:
        return w->has_value ? "takes no value" : NULL;
    case PGMIG_VALUE_SWITCH:
        return equals(w->value, w->value_len, "on") ||
                       equals(w->value, w->value_len, "off")
                   ? NULL
                   : "must be on or off";
    case PGMIG_VALUE_PHASE:
        return equals(w->value, w->value_len, "pre") ||
                       equals(w->value, w->value_len, "post")
                   ? NULL
                   : "must be pre or post";
    case PGMIG_VALUE_DURATION:
        return pgmig_duration_setting(w->value, w->value_len, &ms, &has_unit);
    case PGMIG_VALUE_COUNT:
        return is_count(w->value, w->value_len) ? NULL
                                                : "must be a whole number";
    case PGMIG_VALUE_WORDS:
        return w->value_len > 0 ? NULL
                                : "must be a comma-separated list of names";
    case PGMIG_VALUE_REST:
        break;
    }
    return NULL;
}

/* The hint of an unknown key. Returns -1. */
static int known_keys(struct pgmig_error *err,
                      const struct pgmig_vocabulary *words)
{
    struct pgmig_buf keys = {0};

    for (size_t i = 0; i < words->directive_count; i++) {
        if (i > 0)
            pgmig_buf_adds(&keys, ", ");
        pgmig_buf_adds(&keys, words->directives[i].key);
    }
    if (!keys.failed)
        pgmig_error_hint(err, "known directives are: %s", keys.data);
    pgmig_buf_free(&keys);
    return -1;
}

static int check(const struct word *w, const struct pgmig_directive_rule *rule,
                 struct pgmig_directives to,
                 const struct pgmig_vocabulary *words, struct pgmig_error *err)
{
    const char *wrong;

    if (rule == NULL) {
        pgmig_error_set(err, PGMIG_E_PARSE, "unknown directive \"%.*s\"",
                        (int)w->key_len, w->key);
        return known_keys(err, words);
    }
    wrong = wrong_value(rule, w);
    if (wrong != NULL)
        return pgmig_error_set(err, PGMIG_E_PARSE, "%s %s", rule->key, wrong);
    if (rule->value != PGMIG_VALUE_WORDS &&
        pgmig_directive_find(*to.list, *to.count, rule->key) != NULL)
        /* in one place; a section may say other than the file does */
        return pgmig_error_set(err, PGMIG_E_PARSE,
                               "%s is specified more than once", rule->key);
    return 0;
}

/* Read key[=value] at `at`; returns where it ends. A value goes to the next
** blank: there are no quotes, and none are needed. */
static size_t read_word(struct word *w, const char *text, size_t at, size_t end)
{
    size_t start = at;

    while (at < end && !isspace((unsigned char)text[at]) && text[at] != '=')
        at++;
    *w = (struct word){.key = text + start, .key_len = at - start};
    w->has_value = at < end && text[at] == '=';
    if (w->has_value)
        at++;
    start = at;
    while (w->has_value && at < end && !isspace((unsigned char)text[at]))
        at++;
    w->value = text + start;
    w->value_len = at - start;
    return at;
}

/* A reason goes to the end of the line; a colon or = before it is let go, as
** people write either. */
static size_t read_rest(struct word *w, const char *text, size_t end)
{
    size_t at = (size_t)(w->key - text) + w->key_len;

    at = skip_blanks(text, at, end);
    if (at < end && (text[at] == '=' || text[at] == ':'))
        at = skip_blanks(text, at + 1, end);
    w->value = text + at;
    w->value_len = end - at;
    return end;
}

/* What takes the rest of its line, whatever stands in it: a reason, or names
** and behind them a reason. */
static size_t read_to_end(struct word *w,
                          const struct pgmig_directive_rule *rule,
                          const char *text, size_t at, size_t end)
{
    if (rule != NULL && rule->value == PGMIG_VALUE_REST)
        return read_rest(w, text, end);
    if (rule == NULL || rule->value != PGMIG_VALUE_WORDS || w->value_len == 0)
        return at;
    w->value_len = end - (size_t)(w->value - text);
    return end;
}

/* Copies, since a streamed script lets go of its text. The count rises first:
** what has no memory is NULL, and freed with the others. */
static int add(struct pgmig_directives to, const struct word *w, size_t offset,
               struct pgmig_error *err)
{
    struct pgmig_directive *list =
        pgmig_grow(*to.list, *to.count, sizeof *list);
    struct pgmig_directive *d;

    if (list == NULL)
        return pgmig_error_memory(err);
    *to.list = list;
    d = &list[*to.count];
    *d = (struct pgmig_directive){.offset = offset};
    d->key = pgmig_strndup(w->key, w->key_len);
    d->value = pgmig_strndup(w->value, w->value_len);
    (*to.count)++;
    return d->key && d->value ? 0 : pgmig_error_memory(err);
}

/* What is in the list already stays: the file, or a marker above, has said
** it. */
int pgmig_directive_set(struct pgmig_directives to, const char *key,
                        const char *value, size_t offset,
                        struct pgmig_error *err)
{
    struct word word = {.key = key,
                        .key_len = strlen(key),
                        .value = value,
                        .value_len = strlen(value)};

    if (pgmig_directive_find(*to.list, *to.count, key) != NULL)
        return 0;
    return add(to, &word, offset, err);
}

int pgmig_directive_parse(struct pgmig_directives to,
                          const struct pgmig_script *script,
                          const struct pgmig_vocabulary *words, size_t start,
                          size_t end, struct pgmig_error *err)
{
    const char *text = pgmig_source_at(&script->source, start);
    size_t len = end - start;

    while (len > 0 && isspace((unsigned char)text[len - 1]))
        len--;
    for (size_t at = skip_blanks(text, 0, len); at < len;
         at = skip_blanks(text, at, len)) {
        const struct pgmig_directive_rule *rule;
        struct word word;
        size_t offset = start + at;

        at = read_word(&word, text, at, len);
        rule = find_rule(words, &word);
        at = read_to_end(&word, rule, text, at, len);
        if (check(&word, rule, to, words, err) != 0)
            return pgmig_source_point(&script->source, offset, err);
        if (add(to, &word, offset, err) != 0)
            return -1;
    }
    return 0;
}

const char *pgmig_directive_find(const struct pgmig_directive *list,
                                 size_t count, const char *key)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i].key, key) == 0)
            return list[i].value;
    return NULL;
}

void pgmig_directive_free(struct pgmig_directive *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(list[i].key);
        free(list[i].value);
    }
    free(list);
}

/* ---- another tool's words ------------------------------------------------ */

/* A piece of a text between blanks. */
struct piece {
    const char *text;
    size_t len;
};

/* False at the end. *at goes behind the word. */
static bool next_piece(struct piece *w, const char *text, size_t *at,
                       size_t end)
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
    struct piece w;

    while (next_piece(&w, marker->text, &at, len))
        next_piece(&w, text, &start, end);
    return start;
}

/* Without case, as markers are compared (vocabulary.c). */
static const struct pgmig_marker_option *
find_option(const struct pgmig_vocabulary *words, const struct piece *w)
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
                         const struct piece *w, size_t offset,
                         struct pgmig_error *err)
{
    pgmig_error_set(err, PGMIG_E_PARSE, "unknown option \"%.*s\"",
                    (int)(w->len < SHOWN ? w->len : SHOWN), w->text);
    if (words->option_count > 0)
        pgmig_error_hint(err, "this marker accepts the option %s",
                         words->options[0].text);
    return pgmig_source_point(&script->source, offset, err);
}

int pgmig_directive_options(struct pgmig_directives to,
                            const struct pgmig_script *script,
                            const struct pgmig_vocabulary *words,
                            const struct pgmig_marker *marker, size_t start,
                            size_t end, struct pgmig_error *err)
{
    const char *text = pgmig_source_at(&script->source, start);
    size_t at = behind_marker(marker, text, 0, end - start);
    struct piece w;

    while (marker->options && next_piece(&w, text, &at, end - start)) {
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
int pgmig_directive_refuse(const struct pgmig_script *script,
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
