/*
** command.c -- psql's backslash commands: which of them change nothing of what
** the server gets.
**
** A script written for psql says how psql is to report, and that it is to stop
** at an error, as pgmig does. Everything else of psql's changes what is sent or
** runs something (\i, \gexec, \set of a variable, a shell command in
** backquotes): nothing is passed over that is not known here.
*/
#include "text/command.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

struct words {
    const char *at, *end;
};

/* The next word; of length 0 where there is none. */
static size_t next(struct words *w, const char **word)
{
    while (w->at < w->end && isspace((unsigned char)*w->at))
        w->at++;
    *word = w->at;
    while (w->at < w->end && !isspace((unsigned char)*w->at))
        w->at++;
    return (size_t)(w->at - *word);
}

static bool is(const char *word, size_t len, const char *const *list)
{
    for (; *list != NULL; list++)
        if (strlen(*list) == len && strncmp(word, *list, len) == 0)
            return true;
    return false;
}

/* As psql reads a boolean (ParseVariableBool), spelled out. */
static bool is_switch(const char *word, size_t len, bool on)
{
    static const char *const yes[] = {"on", "true", "yes", "1", NULL};
    static const char *const no[] = {"off", "false", "no", "0", NULL};
    const char *const *list = on ? yes : no;

    for (; *list != NULL; list++)
        if (strlen(*list) == len && strncasecmp(word, *list, len) == 0)
            return true;
    return false;
}

/* \set: variables that say how psql reports, and those that ask for what is so
** here: one error is the end, and every statement outside BEGIN commits. */
static bool is_harmless_set(struct words *w)
{
    static const char *const reporting[] = {
        "QUIET", "VERBOSITY", "SHOW_CONTEXT", "ECHO", "ECHO_HIDDEN", NULL};
    static const char *const wanted_on[] = {"ON_ERROR_STOP", "AUTOCOMMIT",
                                            NULL};
    static const char *const wanted_off[] = {"ON_ERROR_ROLLBACK", NULL};
    const char *name;
    const char *value;
    size_t name_len = next(w, &name);
    size_t value_len = next(w, &value);

    if (is(name, name_len, reporting))
        return true;
    if (is(name, name_len, wanted_on))
        return is_switch(value, value_len, true);
    return is(name, name_len, wanted_off) && is_switch(value, value_len, false);
}

static bool is_utf8(struct words *w)
{
    static const char *const names[] = {"UTF8", "utf8", "UTF-8", "utf-8", NULL};
    const char *name;
    size_t len = next(w, &name);

    return is(name, len, names);
}

bool pgmig_command_is_harmless(const char *line, size_t len)
{
    static const char *const reporting[] = {"\\echo", "\\qecho",  "\\warn",
                                            "\\pset", "\\timing", "\\t",
                                            "\\x",    "\\a",      NULL};
    static const char *const set[] = {"\\set", NULL};
    static const char *const encoding[] = {"\\encoding", NULL};
    struct words w = {line, line + len};
    const char *command;
    size_t command_len = next(&w, &command);

    /* a shell command, and a second command, on the same line */
    if (memchr(line, '`', len) != NULL ||
        memchr(line + 1, '\\', len - 1) != NULL)
        return false;
    if (is(command, command_len, set))
        return is_harmless_set(&w);
    if (is(command, command_len, encoding))
        return is_utf8(&w);
    return is(command, command_len, reporting);
}
