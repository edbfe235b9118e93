/*
** vocabulary.c -- what a comment means: a marker, nearly one, or neither.
**
** The words come from a table: pgmig's own below, another tool's from
** lua/pgmig/formats. No code in here knows a tool. A comment is compared with
** all of the table; the first entry that fits counts, so what is special stands
** in it before what is general. Whether a marker may stand where it does is the
** parser's to say.
*/
#include "text/vocabulary.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "text/heading.h"

#define FOLDED 80 /* no marker is longer */
#define FOREIGN(words, whose, more)                                     \
    {                                                                   \
        .text = (words), .kind = PGMIG_MARKER_FOREIGN, .tool = (whose), \
        .options = (more)                                               \
    }

/* A file of another tool's would run all of its SQL as UP, the way back
** included: so its markers are known here, to be refused. */
static const struct pgmig_marker markers[] = {
    {.text = "up", .kind = PGMIG_MARKER_UP},
    {.text = "down", .kind = PGMIG_MARKER_DOWN},
    {.text = "backfill", .kind = PGMIG_MARKER_BACKFILL},
    FOREIGN("+goose ", "goose", true),
    FOREIGN("migrate:up", "dbmate", true),
    FOREIGN("migrate:down", "dbmate", true),
    FOREIGN("+migrate ", "sql-migrate", true),
    FOREIGN("up migration", "node-pg-migrate", false),
    FOREIGN("down migration", "node-pg-migrate", false),
    FOREIGN("-- create above / drop below --", "tern", true),
};

static const struct pgmig_directive_rule directives[] = {
    {"transaction", PGMIG_VALUE_SWITCH},
    {"phase", PGMIG_VALUE_PHASE},
    {"lock_timeout", PGMIG_VALUE_DURATION},
    {"statement_timeout", PGMIG_VALUE_DURATION},
    {"retries", PGMIG_VALUE_COUNT},
    {"lint-ignore", PGMIG_VALUE_WORDS},
    {"after-backfill", PGMIG_VALUE_WORDS},
    {"empty", PGMIG_VALUE_NONE},
    {"irreversible", PGMIG_VALUE_REST},
};

const struct pgmig_vocabulary pgmig_vocabulary_default = {
    .markers = markers,
    .marker_count = sizeof markers / sizeof *markers,
    .directive_prefix = "pgmig:",
    .directives = directives,
    .directive_count = sizeof directives / sizeof *directives,
    .suspects = true,
    .untransacted = "-- pgmig: transaction=off",
};

/* A comment's words with single blanks between them, in lower case. Cut where
** it is longer than any marker: no more than its beginning counts. */
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

/* Only the letters and digits of a folded text: "== UP ==" is nearly "up". */
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

/* What begins a section, and whose absence lets SQL run the wrong way: near
** misses are looked for of these alone. */
static bool is_section(const struct pgmig_marker *marker)
{
    return marker->kind == PGMIG_MARKER_UP ||
           marker->kind == PGMIG_MARKER_DOWN ||
           marker->kind == PGMIG_MARKER_DIVIDER;
}

static bool is_nearly(const struct pgmig_marker *marker, const char *folded)
{
    char have[FOLDED];
    char want[FOLDED];

    if (!is_section(marker))
        return false;
    letters(have, folded);
    letters(want, marker->text);
    return strcmp(have, want) == 0;
}

static bool begins_with(const char *folded, const struct pgmig_marker *marker)
{
    return strncmp(folded, marker->text, strlen(marker->text)) == 0;
}

/* Behind one without options nothing stands: it would be prose, as in
** "Down migrations are not available". */
static bool is_foreign(const char *folded, const struct pgmig_marker *marker)
{
    return marker->options ? begins_with(folded, marker)
                           : strcmp(folded, marker->text) == 0;
}

/* The marker's text, and behind it nothing, or options. */
static bool is_written(const char *folded, const struct pgmig_marker *marker)
{
    char behind;

    if (!begins_with(folded, marker))
        return false;
    behind = folded[strlen(marker->text)];
    return behind == '\0' || marker->loose || marker->exact ||
           (behind == ' ' && marker->options);
}

/* Comments speak of backfills: one is meant that has an option. A mistake in
** such a line is told, whatever stands between. */
static bool is_backfill(const char *folded, const struct pgmig_marker *marker)
{
    static const char *const options[] = {
        "table=", "key=",    "set=",  "where=",
        "batch=", "target=", "skip=", "run="};
    size_t len = strlen(marker->text);

    if (!begins_with(folded, marker) || isalnum((unsigned char)folded[len]) ||
        folded[len] == '_')
        return false;
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (strstr(folded + len, options[i]) != NULL)
            return true;
    return false;
}

/* What node-pg-migrate looks for: dashes and blanks, then the words, and
** whatever follows. */
static const char *behind_dashes(const char *folded,
                                 const struct pgmig_marker *marker)
{
    while (marker->loose && (*folded == '-' || *folded == ' '))
        folded++;
    return folded;
}

/* Block comments are no markers to any of the tools; that somebody has meant
** one as such is noticed (is_nearly, PGMIG_MARKER_FOREIGN). */
static struct pgmig_comment as_marker(const struct pgmig_vocabulary *words,
                                      const char *folded, bool line_comment)
{
    for (size_t i = 0; i < words->marker_count; i++) {
        const struct pgmig_marker *m = &words->markers[i];

        if (m->kind == PGMIG_MARKER_FOREIGN) {
            if (is_foreign(folded, m))
                return means(PGMIG_MEANS_FOREIGN, m);
        } else if (m->kind == PGMIG_MARKER_BACKFILL) {
            if (line_comment && is_backfill(folded, m))
                return means(PGMIG_MEANS_MARKER, m);
        } else if (m->kind == PGMIG_MARKER_REFUSED) {
            if (line_comment && begins_with(folded, m))
                return means(PGMIG_MEANS_MARKER, m);
        } else if (line_comment && is_written(behind_dashes(folded, m), m)) {
            return means(PGMIG_MEANS_MARKER, m);
        } else if (is_nearly(m, folded)) {
            return means(PGMIG_MEANS_NEARLY, m);
        }
    }
    return means(PGMIG_MEANS_NOTHING, NULL);
}

/* "-- DWON": a letter or two from a section's marker. */
static struct pgmig_comment as_misspelt(const struct pgmig_vocabulary *words,
                                        const char *folded)
{
    for (size_t i = 0; i < words->marker_count; i++)
        if (is_section(&words->markers[i]) &&
            pgmig_heading_resembles(folded, 0, strlen(folded),
                                    words->markers[i].text))
            return means(PGMIG_MEANS_MISSPELT, &words->markers[i]);
    return means(PGMIG_MEANS_NOTHING, NULL);
}

/* What a comment means from its words on, which are folded. */
static struct pgmig_comment read_words(const struct pgmig_vocabulary *words,
                                       const char *text, size_t start,
                                       size_t end, bool line_comment)
{
    struct pgmig_comment comment;
    char folded[FOLDED];

    fold(folded, text, start, end);
    comment = as_marker(words, folded, line_comment);
    if (comment.meaning == PGMIG_MEANS_NOTHING)
        comment = as_misspelt(words, folded);
    comment.body = start;
    return comment;
}

/* A line comment whose end is a marker that ends a statement: its tool cuts the
** comment there, and nothing is lost. */
static struct pgmig_comment as_ending(const struct pgmig_vocabulary *words,
                                      const char *text, size_t len)
{
    size_t at = pgmig_vocabulary_stray(words, text, len);
    struct pgmig_comment comment = means(PGMIG_MEANS_NOTHING, NULL);

    if (at < len)
        comment = read_words(words, text, at + 2, len, true);
    return comment.meaning == PGMIG_MEANS_MARKER &&
                   comment.marker->kind == PGMIG_MARKER_END
               ? comment
               : means(PGMIG_MEANS_NOTHING, NULL);
}

struct pgmig_comment pgmig_vocabulary_read(const struct pgmig_vocabulary *words,
                                           const char *text, size_t len,
                                           bool line_comment)
{
    size_t prefix = strlen(words->directive_prefix);
    size_t start = 2; /* behind the dashes, or slash and star */
    size_t end = line_comment ? len : len - 2;
    struct pgmig_comment comment;

    while (start < end && isspace((unsigned char)text[start]))
        start++;
    /* a prefix makes it a directive even where nothing valid follows: a mistake
    ** in one must not turn it into a comment */
    if (end - start >= prefix &&
        strncasecmp(text + start, words->directive_prefix, prefix) == 0)
        return (struct pgmig_comment){.meaning = PGMIG_MEANS_DIRECTIVE,
                                      .body = start + prefix};
    comment = read_words(words, text, start, end, line_comment);
    if (comment.meaning != PGMIG_MEANS_NOTHING || !line_comment)
        return comment;
    comment = as_ending(words, text, len);
    if (comment.meaning == PGMIG_MEANS_NOTHING)
        comment.body = start;
    return comment;
}

/* Byte for byte, as its tool looks for it (tern splits the file's text at the
** first copy): in a literal or in the middle of a line, too. */
size_t pgmig_vocabulary_stray(const struct pgmig_vocabulary *words,
                              const char *text, size_t len)
{
    for (size_t i = 0; i < words->marker_count; i++) {
        const char *marker = words->markers[i].text;
        size_t at = 2; /* behind its dashes */
        const char *found;

        while (words->markers[i].anywhere && at < len &&
               (found = memmem(text + at, len - at, marker, strlen(marker)))) {
            at = (size_t)(found - text);
            /* the marker's text begins behind these, as all do */
            if (memcmp(found - 2, "--", 2) == 0)
                return at - 2;
            at++;
        }
    }
    return len;
}

/* ---- placeholders ---------------------------------------------------- */

static bool begins_word(char c)
{
    return isalpha((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

static bool goes_on(char c)
{
    return begins_word(c) || isdigit((unsigned char)c) || c == '.' || c == '-';
}

/* The end of a plain name, blanks around it, and what closes it; 0: here is
** none. No opening is in what this passes, so a text is read once. */
static size_t name_end(const char *text, size_t at, size_t end,
                       const char *close)
{
    size_t len = strlen(close);

    while (at < end && isspace((unsigned char)text[at]))
        at++;
    if (at == end || !begins_word(text[at]))
        return 0;
    while (at < end && goes_on(text[at]))
        at++;
    while (at < end && isspace((unsigned char)text[at]))
        at++;
    return end - at >= len && memcmp(text + at, close, len) == 0 ? at + len : 0;
}

/* Whether a name begins at `*at` and is closed: what has a letter and no brace,
** so that '{{1,2},{3,4}}' is an array. `*at` becomes where that was decided:
** nothing before it is a name either, so a text full of openings is still read
** once. */
static bool is_named(const struct pgmig_vocabulary *words, const char *text,
                     size_t *at, size_t end)
{
    size_t close = strlen(words->placeholder_end);
    bool letter = false;

    if (words->named)
        return name_end(text, *at, end, words->placeholder_end) > 0;
    if (close == 0)
        return *at < end && isalpha((unsigned char)text[*at]);
    for (; *at + close <= end; (*at)++) {
        if (memcmp(text + *at, words->placeholder_end, close) == 0)
            return letter;
        if (text[*at] == '{' || text[*at] == '}')
            return false;
        letter = letter || isalpha((unsigned char)text[*at]);
    }
    *at = end;
    return false;
}

size_t pgmig_vocabulary_placeholder(const struct pgmig_vocabulary *words,
                                    const char *text, size_t len)
{
    size_t open = words->placeholder ? strlen(words->placeholder) : 0;
    size_t start = 0;

    while (open > 0) {
        const char *found =
            memmem(text + start, len - start, words->placeholder, open);
        size_t at;
        size_t behind;

        if (found == NULL)
            break;
        at = (size_t)(found - text);
        start = behind = at + open;
        if (is_named(words, text, &behind, len))
            return at;
        if (behind >
            start + open) /* the next one may hold what was seen last */
            start = behind - open;
    }
    return len;
}

/* The second byte is looked for, which both have. */
size_t pgmig_vocabulary_opening(const char *text, size_t from, size_t len)
{
    const char *brace = text + from;

    while ((brace = memchr(brace, '{', len - (size_t)(brace - text)))) {
        if (brace > text && (brace[-1] == '$' || brace[-1] == '{'))
            return (size_t)(brace - text) - 1;
        brace++;
    }
    return len;
}

bool pgmig_vocabulary_suspect(const char *text, size_t len, size_t *start,
                              size_t *end)
{
    size_t from = 0;

    while ((*start = pgmig_vocabulary_opening(text, from, len)) < len) {
        from = *start + 2;
        *end = name_end(text, from, len, text[*start] == '$' ? "}" : "}}");
        if (*end > 0)
            return true;
    }
    return false;
}

/* SQL in front of a section's marker may lack its semicolon: the tools divide
** at the marker whatever stands there. */
bool pgmig_vocabulary_cuts(const struct pgmig_marker *marker)
{
    return is_section(marker) || marker->kind == PGMIG_MARKER_END ||
           marker->kind == PGMIG_MARKER_BACKFILL;
}

const struct pgmig_marker *
pgmig_vocabulary_section(const struct pgmig_vocabulary *words,
                         enum pgmig_direction direction)
{
    for (size_t i = 0; i < words->marker_count; i++) {
        const struct pgmig_marker *marker = &words->markers[i];

        /* a divider begins DOWN: nothing begins UP then */
        if (is_section(marker) &&
            (marker->kind == PGMIG_MARKER_UP) == (direction == PGMIG_UP))
            return marker;
    }
    return NULL;
}

const char *pgmig_vocabulary_text(const struct pgmig_vocabulary *words,
                                  enum pgmig_marker_kind kind)
{
    for (size_t i = 0; i < words->marker_count; i++)
        if (words->markers[i].kind == kind)
            return words->markers[i].text;
    return NULL;
}
