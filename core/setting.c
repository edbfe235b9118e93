/* setting.c -- statements that change how the rest of a file reads. */
#include "setting.h"

#include <string.h>
#include <strings.h>

#include "words.h"

/* The value that SET gives, without quotes, in `out`. */
static void read_value(struct pgmig_words *w, char *out, size_t size)
{
    size_t start;
    size_t end;

    if (!pgmig_words_accept(w, "to") && w->tok.kind == PGMIG_TOKEN_SYMBOL)
        pgmig_words_next(w); /* = */
    start = w->tok.start;
    end = w->tok.end;
    if (w->tok.kind == PGMIG_TOKEN_STRING && end - start >= 2) {
        start++;
        end--;
    }
    if (end - start >= size)
        end = start + size - 1;
    memcpy(out, w->lx.text + start, end - start);
    out[end - start] = '\0';
}

static bool listed(const char *value, const char *const *names)
{
    for (; *names != NULL; names++)
        if (strcasecmp(value, *names) == 0)
            return true;
    return false;
}

static enum pgmig_setting strings_setting(struct pgmig_words *w)
{
    /* the boolean forms of parse_bool, unique prefixes included */
    static const char *const off[] = {"off", "of", "false", "fals", "fal", "fa",
                                      "f",   "no", "n",     "0",    NULL};
    char value[16];

    read_value(w, value, sizeof value);
    return listed(value, off) ? PGMIG_SETTING_ESCAPES
                              : PGMIG_SETTING_STANDARD;
}

static enum pgmig_setting encoding_setting(struct pgmig_words *w)
{
    static const char *const utf8[] = {"utf8",    "utf-8",   "utf_8",
                                       "unicode", "default", NULL};
    char value[16];

    read_value(w, value, sizeof value);
    return listed(value, utf8) ? PGMIG_SETTING_NONE : PGMIG_SETTING_ENCODING;
}

enum pgmig_setting pgmig_setting_of(const char *text,
                                    const struct pgmig_statement *st,
                                    bool standard_strings)
{
    struct pgmig_words w;

    pgmig_words_init(&w, text, st, standard_strings);
    if (pgmig_words_accept(&w, "reset"))
        return pgmig_words_at(&w, "standard_conforming_strings") ||
                       pgmig_words_at(&w, "all")
                   ? PGMIG_SETTING_STANDARD
                   : PGMIG_SETTING_NONE;
    if (!pgmig_words_accept(&w, "set"))
        return PGMIG_SETTING_NONE;
    if (!pgmig_words_accept(&w, "session"))
        pgmig_words_accept(&w, "local");
    if (pgmig_words_accept(&w, "standard_conforming_strings"))
        return strings_setting(&w);
    if (pgmig_words_accept(&w, "client_encoding") ||
        pgmig_words_accept(&w, "names"))
        return encoding_setting(&w);
    return PGMIG_SETTING_NONE;
}
