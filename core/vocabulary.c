/* vocabulary.c -- what a comment means: a marker, nearly one, or neither. */
#include "vocabulary.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define FOLDED 80 /* no marker is longer */

static const struct pgmig_marker markers[] = {
    {"up", PGMIG_MARKER_UP, NULL},
    {"down", PGMIG_MARKER_DOWN, NULL},
    {"+goose ", PGMIG_MARKER_FOREIGN, "goose"},
    {"migrate:up", PGMIG_MARKER_FOREIGN, "dbmate"},
    {"migrate:down", PGMIG_MARKER_FOREIGN, "dbmate"},
    {"+migrate ", PGMIG_MARKER_FOREIGN, "sql-migrate"},
    {"up migration", PGMIG_MARKER_FOREIGN, "node-pg-migrate"},
    {"down migration", PGMIG_MARKER_FOREIGN, "node-pg-migrate"},
    {"-- create above / drop below --", PGMIG_MARKER_FOREIGN, "tern"},
};

static const struct pgmig_directive_rule directives[] = {
    {"transaction", PGMIG_VALUE_SWITCH},
    {"lock_timeout", PGMIG_VALUE_DURATION},
    {"statement_timeout", PGMIG_VALUE_DURATION},
    {"retries", PGMIG_VALUE_COUNT},
    {"lint-ignore", PGMIG_VALUE_WORDS},
    {"empty", PGMIG_VALUE_NONE},
    {"irreversible", PGMIG_VALUE_REST},
};

const struct pgmig_vocabulary pgmig_vocabulary_default = {
    .markers = markers,
    .marker_count = sizeof markers / sizeof *markers,
    .directive_prefix = "pgmig:",
    .directives = directives,
    .directive_count = sizeof directives / sizeof *directives,
};

/* A comment's words with single blanks between them, in lower case. */
static void fold(char out[FOLDED], const char *text, size_t start, size_t end)
{
    size_t n = 0;

    for (size_t i = start; i < end && n + 1 < FOLDED; i++) {
        unsigned char c = (unsigned char)text[i];

        if (!isspace(c))
            out[n++] = (char)tolower(c);
        else if (n > 0 && out[n - 1] != ' ')
            out[n++] = ' ';
    }
    if (n > 0 && out[n - 1] == ' ')
        n--;
    out[n] = '\0';
}

/* Only the letters and digits of a folded text. */
static void letters(char out[FOLDED], const char *folded)
{
    size_t n = 0;

    for (; *folded != '\0'; folded++)
        if (isalnum((unsigned char)*folded))
            out[n++] = *folded;
    out[n] = '\0';
}

static struct pgmig_comment means(enum pgmig_meaning meaning,
                                  const struct pgmig_marker *marker)
{
    return (struct pgmig_comment){.meaning = meaning, .marker = marker};
}

static bool is_nearly(const struct pgmig_marker *marker, const char *folded)
{
    char have[FOLDED];
    char want[FOLDED];

    letters(have, folded);
    letters(want, marker->text);
    return strcmp(have, want) == 0;
}

static struct pgmig_comment as_marker(const struct pgmig_vocabulary *words,
                                      const char *folded, bool line_comment)
{
    for (size_t i = 0; i < words->marker_count; i++) {
        const struct pgmig_marker *m = &words->markers[i];

        if (m->kind == PGMIG_MARKER_FOREIGN) {
            if (strncmp(folded, m->text, strlen(m->text)) == 0)
                return means(PGMIG_MEANS_FOREIGN, m);
        } else if (line_comment && strcmp(folded, m->text) == 0) {
            return means(PGMIG_MEANS_MARKER, m);
        } else if (is_nearly(m, folded)) {
            return means(PGMIG_MEANS_NEARLY, m);
        }
    }
    return means(PGMIG_MEANS_NOTHING, NULL);
}

struct pgmig_comment pgmig_vocabulary_read(const struct pgmig_vocabulary *words,
                                           const char *text, size_t start,
                                           size_t end, bool line_comment)
{
    size_t prefix = strlen(words->directive_prefix);
    char folded[FOLDED];

    start += 2; /* the dashes, or slash and star */
    if (!line_comment)
        end -= 2;
    while (start < end && isspace((unsigned char)text[start]))
        start++;
    if (end - start >= prefix &&
        strncasecmp(text + start, words->directive_prefix, prefix) == 0)
        return (struct pgmig_comment){.meaning = PGMIG_MEANS_DIRECTIVE,
                                      .body = start + prefix};
    fold(folded, text, start, end);
    return as_marker(words, folded, line_comment);
}
