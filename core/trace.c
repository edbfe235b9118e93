/* trace.c -- from a server's CONTEXT to the line of the file it speaks of. */
#include "trace.h"

#include <stdlib.h>
#include <string.h>

#include "locate.h"
#include "words.h"

#define ROUTINE "PL/pgSQL function "

/* The number behind ` line ` in one line of CONTEXT, 0 when there is none. */
static int line_number(const char *s)
{
    const char *line = strstr(s, " line ");
    const char *end = strchr(s, '\n');
    long n;

    if (line == NULL || (end != NULL && line > end))
        return 0;
    n = strtol(line + 6, NULL, 10);
    return n > 0 && n < 10000000 ? (int)n : 0;
}

/* The first non-blank of line `line` of a range. */
static size_t line_offset(const char *text, size_t start, size_t end, int line)
{
    size_t at = pgmig_locate_line(text, start, end, line);

    while (at < end && (text[at] == ' ' || text[at] == '\t'))
        at++;
    return at;
}

/* The body of DO or CREATE FUNCTION: its last dollar-quoted literal, which
** PL/pgSQL counts its lines in. */
static bool find_body(const struct pgmig_script *script,
                      const struct pgmig_statement *st, size_t *start,
                      size_t *end)
{
    struct pgmig_words w;
    bool found = false;

    pgmig_words_init(&w, script->text, st, true);
    for (; !pgmig_words_ended(&w); pgmig_words_next(&w)) {
        const char *tag = script->text + w.tok.start;

        if (w.tok.kind != PGMIG_TOKEN_STRING || *tag != '$')
            continue;
        *start = w.tok.start + (size_t)(strchr(tag + 1, '$') - tag) + 1;
        *end = w.tok.end;
        found = true;
    }
    return found;
}

/* Whether a statement creates the routine that CONTEXT names. */
static bool creates(const struct pgmig_script *script,
                    const struct pgmig_statement *st, const char *name,
                    size_t len)
{
    struct pgmig_words w;

    if (strcmp(st->kind, "CREATE FUNCTION") != 0 &&
        strcmp(st->kind, "CREATE PROCEDURE") != 0)
        return false;
    pgmig_words_init(&w, script->text, st, true);
    for (; !pgmig_words_ended(&w) && w.parens == 0; pgmig_words_next(&w))
        if (w.tok.end - w.tok.start == len &&
            memcmp(script->text + w.tok.start, name, len) == 0)
            return true;
    return false;
}

static const struct pgmig_statement *
find_routine(const struct pgmig_script *script,
             const struct pgmig_statement *list, size_t index, const char *name)
{
    size_t len = strcspn(name, "( \n");

    if (strncmp(name, "inline_code_block ", 18) == 0)
        return strcmp(list[index].kind, "DO") == 0 ? &list[index] : NULL;
    for (size_t i = index + 1; i-- > 0;)
        if (creates(script, &list[i], name, len))
            return &list[i];
    return NULL;
}

static bool trace_routine(const struct pgmig_script *script,
                          const struct pgmig_statement *list, size_t index,
                          const char *context, size_t *offset)
{
    const char *at = context;

    while ((at = strstr(at, ROUTINE)) != NULL) {
        const struct pgmig_statement *st;
        size_t start;
        size_t end;
        int line = line_number(at);

        at += sizeof ROUTINE - 1;
        st = find_routine(script, list, index, at);
        if (st == NULL || line == 0 || !find_body(script, st, &start, &end))
            continue;
        *offset = line_offset(script->text, start, end, line);
        return true;
    }
    return false;
}

int pgmig_trace_copy(const char *context)
{
    if (context == NULL || strncmp(context, "COPY ", 5) != 0)
        return 0;
    return line_number(context);
}

bool pgmig_trace(const struct pgmig_script *script,
                 const struct pgmig_statement *list, size_t index,
                 const char *context, size_t *offset)
{
    return context != NULL &&
           trace_routine(script, list, index, context, offset);
}
