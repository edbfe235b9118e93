/*
** setting.c -- what changes how the rest of a file reads.
**
** Two settings do: standard_conforming_strings says whether a backslash in
** '...' takes the next character, client_encoding what bytes are characters.
** Both are looked for where a dump or a person writes them. A function, or a
** DO, that sets one is not noticed.
*/
#include "text/setting.h"

#include <string.h>
#include <strings.h>
/* The token's text without the quotes of a literal or a name, as much of it as
** `out` holds: what is longer is none of the words that are looked for. Escapes
** in it are not undone. */
static void plain(const struct pgmig_words *w, char *out, size_t size)
{
    const char *text = w->lx.text;
    size_t start = w->tok.start;
    size_t end = w->tok.end;

    if (w->tok.kind == PGMIG_TOKEN_STRING && text[start] == '$') {
        size_t tag = strcspn(text + start + 1, "$") + 2;

        start += tag;
        end -= tag;
    } else if (w->tok.kind == PGMIG_TOKEN_STRING ||
               w->tok.kind == PGMIG_TOKEN_QUOTED) {
        start += strcspn(text + start, "'\"") + 1; /* E'on' too */
        end--;
    }
    if (end - start >= size)
        end = start + size - 1;
    memcpy(out, text + start, end - start);
    out[end - start] = '\0';
}

/* Settings are found without case, also as quoted names (guc.c,
** guc_name_compare). */
static bool names(const struct pgmig_words *w, const char *setting)
{
    char name[32];

    plain(w, name, sizeof name);
    return strcasecmp(name, setting) == 0;
}

static bool accept_name(struct pgmig_words *w, const char *setting)
{
    if (!names(w, setting))
        return false;
    pgmig_words_next(w);
    return true;
}

/* The value that SET gives, without quotes, in `out`. */
static void read_value(struct pgmig_words *w, char *out, size_t size)
{
    if (!pgmig_words_accept(w, "to") && w->tok.kind == PGMIG_TOKEN_SYMBOL)
        pgmig_words_next(w); /* = */
    plain(w, out, size);
}

static bool listed(const char *value, const char *const *names)
{
    for (; *names != NULL; names++)
        if (strcasecmp(value, *names) == 0)
            return true;
    return false;
}

/* All else is on: DEFAULT is, and what is no boolean the server refuses. */
static enum pgmig_setting strings_setting(struct pgmig_words *w)
{
    /* the boolean forms of parse_bool, unique prefixes included */
    static const char *const off[] = {"off", "of", "false", "fals", "fal", "fa",
                                      "f",   "no", "n",     "0",    NULL};
    char value[16];

    read_value(w, value, sizeof value);
    return listed(value, off) ? PGMIG_SETTING_ESCAPES : PGMIG_SETTING_STANDARD;
}

/* The names by which the server knows UTF-8: it compares only letters and
** digits, without case (src/common/encnames.c). DEFAULT is what the connection
** was opened with, which is UTF8. */
static enum pgmig_setting encoding_setting(struct pgmig_words *w)
{
    static const char *const utf8[] = {"utf8",    "utf-8",   "utf_8",
                                       "unicode", "default", NULL};
    char value[16];

    read_value(w, value, sizeof value);
    return listed(value, utf8) ? PGMIG_SETTING_NONE : PGMIG_SETTING_ENCODING;
}

/* RESET of client_encoding leads back to the connection's UTF8. */
enum pgmig_setting pgmig_setting_reset(const struct pgmig_words *w)
{
    return names(w, "standard_conforming_strings") || names(w, "all")
               ? PGMIG_SETTING_STANDARD
               : PGMIG_SETTING_NONE;
}

/* It may be called for some rows only, or with a value that is calculated, so
** it cannot be followed. pg_dump's own, of search_path, is none of that. */
enum pgmig_setting pgmig_setting_called(struct pgmig_words w)
{
    pgmig_words_next(&w);
    if (w.tok.kind == PGMIG_TOKEN_SYMBOL)
        pgmig_words_next(&w);
    if (names(&w, "standard_conforming_strings"))
        return PGMIG_SETTING_HIDDEN;
    return names(&w, "client_encoding") ? PGMIG_SETTING_ENCODING
                                        : PGMIG_SETTING_NONE;
}

enum pgmig_setting pgmig_setting_assigned(struct pgmig_words *w)
{
    if (accept_name(w, "standard_conforming_strings"))
        return strings_setting(w);
    if (accept_name(w, "client_encoding") || accept_name(w, "names"))
        return encoding_setting(w);
    return PGMIG_SETTING_NONE;
}
