/* trace.c -- from a server's CONTEXT to the line of the file it speaks of. */
#include "trace.h"

#include <stdlib.h>
#include <string.h>

#include "locate.h"
#include "words.h"

#define ROUTINE "PL/pgSQL function "
#define BLOCK "inline_code_block "

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

/* ---- which routine --------------------------------------------------- */

/* name(arguments), as CONTEXT and CREATE FUNCTION write it. */
struct signature {
    const char *text;
    struct pgmig_token schema; /* empty: none is named */
    struct pgmig_token name;
    size_t args_start, args_end; /* what stands in the parentheses */
    int args;                    /* how many of them go in */
};

static bool is_name(const struct pgmig_words *w)
{
    return w->tok.kind == PGMIG_TOKEN_WORD || w->tok.kind == PGMIG_TOKEN_QUOTED;
}

static bool at_symbol(const struct pgmig_words *w, char c)
{
    return w->tok.kind == PGMIG_TOKEN_SYMBOL && w->lx.text[w->tok.start] == c;
}

/* Pass over the arguments: from behind ( to ). */
static bool read_arguments(struct pgmig_words *w, struct signature *sig)
{
    bool first = true; /* the token begins an argument */

    sig->args_start = w->tok.end;
    pgmig_words_next(w);
    for (; w->parens > 0; pgmig_words_next(w)) {
        if (pgmig_words_ended(w))
            return false;
        if (first && !pgmig_words_at(w, "out"))
            sig->args++;
        first = w->parens == 1 && at_symbol(w, ',');
    }
    sig->args_end = w->tok.start;
    return true;
}

static bool read_signature(struct pgmig_words *w, struct signature *sig)
{
    *sig = (struct signature){.text = w->lx.text};
    while (is_name(w)) {
        sig->schema = sig->name;
        sig->name = w->tok;
        pgmig_words_next(w);
        if (at_symbol(w, '('))
            return read_arguments(w, sig);
        if (!at_symbol(w, '.'))
            return false;
        pgmig_words_next(w);
    }
    return false;
}

/* The signature of the routine that a statement creates. */
static bool created(const struct pgmig_script *script,
                    const struct pgmig_statement *st, struct signature *sig)
{
    struct pgmig_words w;

    if (strcmp(st->kind, "CREATE FUNCTION") != 0 &&
        strcmp(st->kind, "CREATE PROCEDURE") != 0)
        return false;
    pgmig_words_init(&w, script->text, st, true);
    while (!pgmig_words_ended(&w) && !pgmig_words_at(&w, "function") &&
           !pgmig_words_at(&w, "procedure"))
        pgmig_words_next(&w);
    pgmig_words_next(&w);
    return read_signature(&w, sig);
}

/* The next character of a name as the server keeps it; 0 at its end. */
static char next_char(const char *text, const struct pgmig_token *name,
                      size_t *at)
{
    bool quoted = name->kind == PGMIG_TOKEN_QUOTED;
    char c;

    if (*at >= name->end - (quoted ? 1 : 0))
        return '\0';
    c = text[(*at)++];
    if (quoted && c == '"')
        (*at)++; /* it is written twice */
    return !quoted && c >= 'A' && c <= 'Z' ? (char)(c + 'a' - 'A') : c;
}

static bool same_name(const char *a, const struct pgmig_token *of_a,
                      const char *b, const struct pgmig_token *of_b)
{
    size_t at_a = of_a->start + (of_a->kind == PGMIG_TOKEN_QUOTED ? 1 : 0);
    size_t at_b = of_b->start + (of_b->kind == PGMIG_TOKEN_QUOTED ? 1 : 0);
    char c;

    do {
        c = next_char(a, of_a, &at_a);
        if (c != next_char(b, of_b, &at_b))
            return false;
    } while (c != '\0');
    return true;
}

/* Whether a schema may be on the search path: "public" is by default, others
** where the file has seen to that. */
static bool may_be_on_path(const struct pgmig_script *script,
                           const struct signature *made)
{
    static const char public[] = "public";
    static const struct pgmig_token whole = {.kind = PGMIG_TOKEN_WORD,
                                             .end = sizeof public - 1};

    return same_name(made->text, &made->schema, public, &whole) ||
           memmem(script->text, script->len, "search_path", 11) != NULL;
}

/* CONTEXT names the schema of a routine that is not on the search path. */
static bool may_be(const struct pgmig_script *script,
                   const struct signature *said, const struct signature *made)
{
    if (!same_name(said->text, &said->name, made->text, &made->name))
        return false;
    if (said->schema.end > 0)
        return made->schema.end > 0 &&
               same_name(said->text, &said->schema, made->text, &made->schema);
    return made->schema.end == 0 || may_be_on_path(script, made);
}

static bool same_arguments(const struct signature *a, const struct signature *b)
{
    size_t len = a->args_end - a->args_start;

    return len == b->args_end - b->args_start &&
           memcmp(a->text + a->args_start, b->text + b->args_start, len) == 0;
}

/*
** The statement of a list that creates a routine: the last one, as it may be
** replaced. `count` where there is none, or overloaded ones could be meant.
*/
static size_t find_creator(const struct pgmig_script *script,
                           const struct pgmig_statement *list, size_t count,
                           const struct signature *said, bool by_count)
{
    size_t found = count;
    struct signature first = {0};

    for (size_t i = count; i-- > 0;) {
        struct signature made;

        if (!created(script, &list[i], &made) || !may_be(script, said, &made) ||
            (by_count && said->args != made.args))
            continue;
        if (found < count && !same_arguments(&first, &made))
            return count;
        if (found == count) {
            found = i;
            first = made;
        }
    }
    return found;
}

/* The routine that `name`, in a line of CONTEXT, is about. */
static size_t find_routine(const struct pgmig_script *script,
                           const struct pgmig_statement *list, size_t count,
                           const char *name)
{
    struct pgmig_statement line = {.end = strcspn(name, "\n")};
    struct signature said;
    struct pgmig_words w;
    size_t found;

    pgmig_words_init(&w, name, &line, true);
    if (!read_signature(&w, &said))
        return count;
    found = find_creator(script, list, count, &said, false);
    return found < count ? found
                         : find_creator(script, list, count, &said, true);
}

/* ---- which line ------------------------------------------------------ */

/* A DO block: of several, the outermost is the file's, the last in CONTEXT. */
static size_t find_block(const struct pgmig_statement *list, size_t count,
                         const char *at)
{
    if (strcmp(list[count - 1].kind, "DO") != 0 ||
        strstr(at, ROUTINE BLOCK) != NULL)
        return count;
    return count - 1;
}

/* The last of the statements has failed. */
static bool trace_routine(const struct pgmig_script *script,
                          const struct pgmig_statement *list, size_t count,
                          const char *context, size_t *offset)
{
    const char *at = context;

    while ((at = strstr(at, ROUTINE)) != NULL) {
        size_t found;
        size_t start;
        size_t end;
        int line = line_number(at);

        at += sizeof ROUTINE - 1;
        found = strncmp(at, BLOCK, sizeof BLOCK - 1) == 0
                    ? find_block(list, count, at)
                    : find_routine(script, list, count, at);
        if (found == count || line == 0 ||
            !find_body(script, &list[found], &start, &end))
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
           trace_routine(script, list, index + 1, context, offset);
}
