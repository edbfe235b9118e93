/*
** phrase.c -- a line of comment as words.
**
** People write "-- rollback:" or "-- Откат" above the way back and take it for
** a marker. To notice that, comments are read for what they may mean: words
** with a role, and what stands between them. It is a guess, good enough to ask
** for a clearer comment and never to choose a direction by.
*/
#include "text/phrase.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define LETTERS 24 /* no word that is known is longer */

/* In the order of strcmp, for bsearch: the apostrophe comes before all letters,
** what is not ASCII after them. A word is looked up in small letters, but only
** those of ASCII become small: the others stand in each way that people write
** them. */
static const struct known {
    const char *word;
    enum pgmig_role role;
} known[] = {
    {"a", PGMIG_ROLE_FILLER},
    {"above", PGMIG_ROLE_PLACE},
    {"all", PGMIG_ROLE_FILLER},
    {"an", PGMIG_ROLE_FILLER},
    {"are", PGMIG_ROLE_SAYS},
    {"back", PGMIG_ROLE_BACK},
    {"backing", PGMIG_ROLE_BACK},
    {"backout", PGMIG_ROLE_DOWN},
    {"backward", PGMIG_ROLE_BACKWARD},
    {"backwards", PGMIG_ROLE_BACKWARD},
    {"be", PGMIG_ROLE_SAYS},
    {"been", PGMIG_ROLE_SAYS},
    {"begin", PGMIG_ROLE_PLACE},
    {"begins", PGMIG_ROLE_PLACE},
    {"below", PGMIG_ROLE_PLACE},
    {"can", PGMIG_ROLE_SAYS},
    {"can't", PGMIG_ROLE_NOT},
    {"cannot", PGMIG_ROLE_NOT},
    {"case", PGMIG_ROLE_FILLER},
    {"change", PGMIG_ROLE_FILLER},
    {"changes", PGMIG_ROLE_FILLER},
    {"changeset", PGMIG_ROLE_FILLER},
    {"code", PGMIG_ROLE_FILLER},
    {"could", PGMIG_ROLE_SAYS},
    {"database", PGMIG_ROLE_FILLER},
    {"db", PGMIG_ROLE_FILLER},
    {"dbmate", PGMIG_ROLE_FILLER},
    {"ddl", PGMIG_ROLE_FILLER},
    {"demigrate", PGMIG_ROLE_DOWN},
    {"demigration", PGMIG_ROLE_DOWN},
    {"did", PGMIG_ROLE_SAYS},
    {"do", PGMIG_ROLE_SAYS},
    {"does", PGMIG_ROLE_SAYS},
    {"doesn't", PGMIG_ROLE_NOT},
    {"don't", PGMIG_ROLE_NOT},
    {"down", PGMIG_ROLE_DOWN},
    {"downgrade", PGMIG_ROLE_DOWN},
    {"downs", PGMIG_ROLE_DOWN},
    {"downward", PGMIG_ROLE_DOWN},
    {"downwards", PGMIG_ROLE_DOWN},
    {"end", PGMIG_ROLE_END},
    {"ends", PGMIG_ROLE_END},
    {"everything", PGMIG_ROLE_FILLER},
    {"fallback", PGMIG_ROLE_ALONE},
    {"following", PGMIG_ROLE_PLACE},
    {"follows", PGMIG_ROLE_PLACE},
    {"for", PGMIG_ROLE_OF},
    {"forward", PGMIG_ROLE_UP},
    {"forwards", PGMIG_ROLE_UP},
    {"from", PGMIG_ROLE_OF},
    {"goose", PGMIG_ROLE_FILLER},
    {"had", PGMIG_ROLE_SAYS},
    {"has", PGMIG_ROLE_SAYS},
    {"have", PGMIG_ROLE_SAYS},
    {"here", PGMIG_ROLE_FILLER},
    {"how", PGMIG_ROLE_FILLER},
    {"if", PGMIG_ROLE_FILLER},
    {"impossible", PGMIG_ROLE_NOT},
    {"in", PGMIG_ROLE_FILLER},
    {"inverse", PGMIG_ROLE_BACKWARD},
    {"irreversible", PGMIG_ROLE_NOT},
    {"is", PGMIG_ROLE_SAYS},
    {"isn't", PGMIG_ROLE_NOT},
    {"it", PGMIG_ROLE_FILLER},
    {"manual", PGMIG_ROLE_FILLER},
    {"manually", PGMIG_ROLE_FILLER},
    {"may", PGMIG_ROLE_SAYS},
    {"micrate", PGMIG_ROLE_FILLER},
    {"mig", PGMIG_ROLE_FILLER},
    {"might", PGMIG_ROLE_SAYS},
    {"migrate", PGMIG_ROLE_FILLER},
    {"migrating", PGMIG_ROLE_FILLER},
    {"migration", PGMIG_ROLE_FILLER},
    {"migrations", PGMIG_ROLE_FILLER},
    {"must", PGMIG_ROLE_SAYS},
    {"needs", PGMIG_ROLE_SAYS},
    {"never", PGMIG_ROLE_NOT},
    {"no", PGMIG_ROLE_NOT},
    {"none", PGMIG_ROLE_NOT},
    {"not", PGMIG_ROLE_NOT},
    {"nothing", PGMIG_ROLE_NOT},
    {"now", PGMIG_ROLE_FILLER},
    {"of", PGMIG_ROLE_OF},
    {"on", PGMIG_ROLE_FILLER},
    {"or", PGMIG_ROLE_FILLER},
    {"out", PGMIG_ROLE_OUT},
    {"part", PGMIG_ROLE_FILLER},
    {"rambler", PGMIG_ROLE_FILLER},
    {"requires", PGMIG_ROLE_SAYS},
    {"reversal", PGMIG_ROLE_BACKWARD},
    {"reverse", PGMIG_ROLE_BACKWARD},
    {"reversion", PGMIG_ROLE_BACKWARD},
    {"revert", PGMIG_ROLE_BACKWARD},
    {"reverted", PGMIG_ROLE_BACKWARD},
    {"reverting", PGMIG_ROLE_BACKWARD},
    {"reverts", PGMIG_ROLE_BACKWARD},
    {"roll", PGMIG_ROLE_ROLL},
    {"rollback", PGMIG_ROLE_DOWN},
    {"rollbacks", PGMIG_ROLE_DOWN},
    {"rolled", PGMIG_ROLE_ROLL},
    {"rolling", PGMIG_ROLE_ROLL},
    {"rolls", PGMIG_ROLE_ROLL},
    {"schema", PGMIG_ROLE_FILLER},
    {"script", PGMIG_ROLE_FILLER},
    {"scripts", PGMIG_ROLE_FILLER},
    {"section", PGMIG_ROLE_FILLER},
    {"see", PGMIG_ROLE_SAYS},
    {"shall", PGMIG_ROLE_SAYS},
    {"should", PGMIG_ROLE_SAYS},
    {"sql", PGMIG_ROLE_FILLER},
    {"start", PGMIG_ROLE_PLACE},
    {"starts", PGMIG_ROLE_PLACE},
    {"statement", PGMIG_ROLE_FILLER},
    {"statements", PGMIG_ROLE_FILLER},
    {"step", PGMIG_ROLE_FILLER},
    {"steps", PGMIG_ROLE_FILLER},
    {"teardown", PGMIG_ROLE_DOWN},
    {"that", PGMIG_ROLE_FILLER},
    {"the", PGMIG_ROLE_FILLER},
    {"these", PGMIG_ROLE_FILLER},
    {"this", PGMIG_ROLE_FILLER},
    {"to", PGMIG_ROLE_FILLER},
    {"unapply", PGMIG_ROLE_DOWN},
    {"undeploy", PGMIG_ROLE_ALONE},
    {"undo", PGMIG_ROLE_DOWN},
    {"undoes", PGMIG_ROLE_DOWN},
    {"undoing", PGMIG_ROLE_DOWN},
    {"undos", PGMIG_ROLE_DOWN},
    {"uninstall", PGMIG_ROLE_ALONE},
    {"unmigrate", PGMIG_ROLE_DOWN},
    {"unmigration", PGMIG_ROLE_DOWN},
    {"unroll", PGMIG_ROLE_ALONE},
    {"unwind", PGMIG_ROLE_ALONE},
    {"up", PGMIG_ROLE_UP},
    {"upgrade", PGMIG_ROLE_UP},
    {"ups", PGMIG_ROLE_UP},
    {"was", PGMIG_ROLE_SAYS},
    {"were", PGMIG_ROLE_SAYS},
    {"when", PGMIG_ROLE_FILLER},
    {"will", PGMIG_ROLE_SAYS},
    {"without", PGMIG_ROLE_NOT},
    {"won't", PGMIG_ROLE_NOT},
    {"would", PGMIG_ROLE_SAYS},
    {"ОТКАТ", PGMIG_ROLE_DOWN},
    {"Откат", PGMIG_ROLE_DOWN},
    {"откат", PGMIG_ROLE_DOWN},
    {"ロールバック", PGMIG_ROLE_DOWN},
    {"回滚", PGMIG_ROLE_DOWN},
    {"回滚脚本", PGMIG_ROLE_DOWN},
    {"回滚语句", PGMIG_ROLE_DOWN},
    {"撤销", PGMIG_ROLE_DOWN},
    {"롤백", PGMIG_ROLE_DOWN},
};

/* ---- words ------------------------------------------------------------- */

/* The character at `at` of valid UTF-8; `len` becomes its bytes. */
static unsigned long character(const char *text, size_t at, size_t end,
                               size_t *len)
{
    unsigned char c = (unsigned char)text[at];
    unsigned long code;

    *len = c < 0xC0 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
    if (*len > end - at)
        *len = end - at;
    code = *len == 1 ? c : c & (0xFFU >> (*len + 1));
    for (size_t i = 1; i < *len; i++)
        code = code << 6 | ((unsigned char)text[at + i] & 0x3F);
    return code;
}

/* Dashes, arrows, frames, bullets and pictures decorate; letters of any script,
** digits and the apostrophe in a word belong to it. By blocks: signs of
** Latin-1; punctuation, arrows, box drawing, dingbats; CJK punctuation;
** variation selectors; the byte order mark; emoji. */
static bool is_ornament(unsigned long code)
{
    return (code >= 0x80 && code < 0xC0) || (code >= 0x2000 && code < 0x2C00) ||
           (code >= 0x3000 && code < 0x3040) ||
           (code >= 0xFE00 && code < 0xFE10) || code == 0xFEFF ||
           code >= 0x1F000;
}

/* The bytes of the word character at `at`; 0: it is none. An apostrophe is one
** in front of a letter: "don't", not the end of a quotation. */
static size_t word_character(const char *text, size_t at, size_t end)
{
    size_t len;
    unsigned long code = character(text, at, end, &len);

    if (code >= 0x80)
        return is_ornament(code) ? 0 : len;
    if (isalnum((unsigned char)text[at]))
        return 1;
    return text[at] == '\'' && at + 1 < end &&
                   isalpha((unsigned char)text[at + 1])
               ? 1
               : 0;
}

/* "undo-log" and "up/down" are one thing, "rollback: users" is two, and a comma
** or a quote is no more than a blank. */
static enum pgmig_gap gap_of(const char *text, size_t start, size_t end)
{
    if (start == end)
        return PGMIG_GAP_JOINT; /* "migrateDown" */
    if (end - start == 1 && strchr("-_./+&", text[start]) != NULL)
        return PGMIG_GAP_JOINT;
    for (; start < end; start++)
        if (strchr(" \t\r\n\f\v,\"'`", text[start]) == NULL)
            return PGMIG_GAP_BREAK;
    return PGMIG_GAP_BLANK;
}

static int by_word(const void *word, const void *entry)
{
    return strcmp(word, ((const struct known *)entry)->word);
}

/* The role of a word by itself; join_words looks at its neighbours. */
static enum pgmig_role role_of(const char *text, const struct pgmig_word *w)
{
    size_t len = w->end - w->start;
    const struct known *found;
    char small[LETTERS + 1];
    bool digits = true;

    if (len > LETTERS)
        return PGMIG_ROLE_PLAIN;
    for (size_t i = 0; i < len; i++) {
        small[i] = (char)tolower((unsigned char)text[w->start + i]);
        digits = digits && isdigit((unsigned char)small[i]);
    }
    small[len] = '\0';
    /* "1.", "a)": they number what follows */
    if (digits || (len == 1 && isalpha((unsigned char)small[0])))
        return PGMIG_ROLE_FILLER;
    found = bsearch(small, known, sizeof known / sizeof *known, sizeof *known,
                    by_word);
    return found ? found->role : PGMIG_ROLE_PLAIN;
}

/* The next word at or behind `at`; false: there is none. It also ends where a
** capital follows a small letter: "migrateDown". */
static bool next_word(const char *text, size_t at, size_t end,
                      struct pgmig_word *w)
{
    size_t n;

    while (at < end && (word_character(text, at, end) == 0 || text[at] == '\''))
        at++;
    w->start = at;
    while (at < end && (n = word_character(text, at, end)) > 0 &&
           !(at > w->start && islower((unsigned char)text[at - 1]) &&
             isupper((unsigned char)text[at])))
        at += n;
    w->end = at;
    return w->end > w->start;
}

/* Two words say one thing: the first of them takes it over, the other one says
** nothing any more. */
static void join(struct pgmig_word *first, struct pgmig_word *last,
                 enum pgmig_role role)
{
    first->role = role;
    last->role = PGMIG_ROLE_FILLER;
    last->gap = PGMIG_GAP_BLANK;
}

/* "roll back", "roll it all back", "back out". "back" and "out" mean no
** direction alone: "back up the table", "out of date". */
static void join_words(struct pgmig_phrase *phrase)
{
    struct pgmig_word *words = phrase->words;

    for (size_t i = 0; i + 1 < phrase->count; i++) {
        size_t back = i + 1;

        if (words[i].role == PGMIG_ROLE_BACK &&
            words[back].role == PGMIG_ROLE_OUT)
            join(&words[i], &words[back], PGMIG_ROLE_BACKWARD);
        if (words[i].role != PGMIG_ROLE_ROLL)
            continue;
        while (words[back].role == PGMIG_ROLE_FILLER &&
               back + 1 < phrase->count)
            back++;
        if (words[back].role == PGMIG_ROLE_BACK)
            join(&words[i], &words[back], PGMIG_ROLE_DOWN);
    }
}

/* Roles are settled word by word, and only then joined: "roll it all back"
** needs its last word to mean something in the first. */
void pgmig_phrase_read(struct pgmig_phrase *phrase, const char *text,
                       size_t start, size_t end)
{
    size_t at = start;
    struct pgmig_word w;

    phrase->text = text;
    phrase->end = end;
    phrase->count = 0;
    phrase->cut = false;
    while (next_word(text, at, end, &w)) {
        /* prose; the readers that need all of a line look at `cut` */
        if (phrase->count == PGMIG_PHRASE_WORDS) {
            phrase->cut = true;
            break;
        }
        w.gap = phrase->count > 0 ? gap_of(text, at, w.start) : PGMIG_GAP_BLANK;
        w.role = role_of(text, &w);
        phrase->words[phrase->count++] = w;
        at = w.end;
    }
    join_words(phrase);
}

/* Frames and rulers ("-- ------") have none, and are no comments for who asks
** what one says. */
bool pgmig_phrase_any(const char *text, size_t start, size_t end)
{
    struct pgmig_word w;

    return next_word(text, start, end, &w);
}
