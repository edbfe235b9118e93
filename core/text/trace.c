/*
** trace.c -- from a server's CONTEXT to the line of the file it speaks of.
**
** An error inside a function or a DO has no position in the statement that was
** sent. Its CONTEXT has: "PL/pgSQL function NAME(TYPES) line N at ..."
** (pl_exec.c, plpgsql_exec_error_callback), the innermost call first. The first
** line of it that is about a routine of this file, or about the DO itself, is
** the place; N counts from the beginning of the body, so the body has to be
** found. No other field of an error says any of this (protocol manual, "Error
** and Notice Message Fields"), and CONTEXT is in the server's language: where
** lc_messages is not English nothing is found, and the error points at the
** statement, or at the COPY.
*/
#include "text/trace.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "text/lexer.h"
#include "text/source.h"

#define ROUTINE "PL/pgSQL function "
#define BLOCK "inline_code_block "

/* The number behind ` line ` in one line of CONTEXT, 0 when there is none. */
static int line_number(const char *s)
{
    const char *line = memmem(s, strcspn(s, "\n"), " line ", 6);
    long n;

    if (line == NULL)
        return 0;
    n = strtol(line + 6, NULL, 10);
    return n > 0 && n < 10000000 ? (int)n : 0;
}

/* The first non-blank of line `line` of a range; its end where it has fewer. */
static size_t line_offset(const char *text, size_t start, size_t end, int line)
{
    while (line-- > 1) {
        const char *newline = memchr(text + start, '\n', end - start);

        if (newline == NULL)
            return end;
        start = (size_t)(newline - text) + 1;
    }
    while (start < end && (text[start] == ' ' || text[start] == '\t'))
        start++;
    return start;
}

static void read_words(struct pgmig_words *w, const struct pgmig_source *source,
                       const struct pgmig_statement *st)
{
    pgmig_words_init(w, pgmig_source_at(source, st->start), st->end - st->start,
                     true);
}

/* The body of DO or CREATE FUNCTION: its last dollar-quoted literal, which
** PL/pgSQL counts its lines in, what stands behind the tag on its line being
** line 1. Bodies in plain quotes are not looked for. */
static bool find_body(struct pgmig_words *w, size_t *start, size_t *end)
{
    bool found = false;

    for (; !pgmig_words_ended(w); pgmig_words_next(w)) {
        const char *tag = w->lx.text + w->tok.start;

        if (w->tok.kind != PGMIG_TOKEN_STRING || *tag != '$')
            continue;
        *start = w->tok.start + (size_t)(strchr(tag + 1, '$') - tag) + 1;
        *end = w->tok.end;
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

/* Pass over the arguments: from behind ( to ). CONTEXT has the types of those
** that go in (regprocedure's way), the file may have names, modes and defaults,
** too: only how many there are can be compared. */
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
        first = w->parens == 1 && pgmig_words_at_symbol(w, ',');
    }
    sig->args_end = w->tok.start;
    return true;
}

/* [schema.]name(arguments); false where no parenthesis follows the name. */
static bool read_signature(struct pgmig_words *w, struct signature *sig)
{
    *sig = (struct signature){.text = w->lx.text};
    while (pgmig_words_at_name(w)) {
        sig->schema = sig->name;
        sig->name = w->tok;
        pgmig_words_next(w);
        if (pgmig_words_at_symbol(w, '('))
            return read_arguments(w, sig);
        if (!pgmig_words_at_symbol(w, '.'))
            return false;
        pgmig_words_next(w);
    }
    return false;
}

/* The signature of the routine that a statement creates. */
static bool created(const struct pgmig_source *source,
                    const struct pgmig_statement *st, struct signature *sig)
{
    struct pgmig_words w;

    if (st->kind != PGMIG_KIND_ROUTINE)
        return false;
    read_words(&w, source, st);
    while (!pgmig_words_ended(&w) && !pgmig_words_at(&w, "function") &&
           !pgmig_words_at(&w, "procedure"))
        pgmig_words_next(&w);
    pgmig_words_next(&w);
    return read_signature(&w, sig);
}

/* The next character of a name as the server keeps it; 0 at its end. In UTF-8
** it folds ASCII letters only (src/backend/parser/scansup.c,
** downcase_identifier). */
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

/* The order of names as the server keeps them. */
static int compare_names(const char *a, const struct pgmig_token *of_a,
                         const char *b, const struct pgmig_token *of_b)
{
    size_t at_a = of_a->start + (of_a->kind == PGMIG_TOKEN_QUOTED ? 1 : 0);
    size_t at_b = of_b->start + (of_b->kind == PGMIG_TOKEN_QUOTED ? 1 : 0);
    char c;
    char d;

    do {
        c = next_char(a, of_a, &at_a);
        d = next_char(b, of_b, &at_b);
    } while (c == d && c != '\0');
    return (unsigned char)c - (unsigned char)d;
}

static bool same_name(const char *a, const struct pgmig_token *of_a,
                      const char *b, const struct pgmig_token *of_b)
{
    return compare_names(a, of_a, b, of_b) == 0;
}

/* ---- the routines of a file ------------------------------------------ */

/* A statement that creates a routine. */
struct creator {
    struct signature sig;
    size_t at;
    bool bodyless; /* nothing in it counts lines */
};

/* All of them, by name, and of one name the last first: it may replace the
** others. A deep recursion in a large file asks for them thousands of times. */
struct routines {
    const struct pgmig_source *source;
    struct creator *list;
    size_t count;
    bool sets_path; /* the file says search_path somewhere */
    /* what the line of CONTEXT before this one was about: a recursion */
    const char *name;
    size_t name_len;
    struct creator *found;
};

static int by_name(const void *a, const void *b)
{
    const struct creator *x = a;
    const struct creator *y = b;
    int order =
        compare_names(x->sig.text, &x->sig.name, y->sig.text, &y->sig.name);

    if (order != 0)
        return order;
    return (x->at < y->at) - (x->at > y->at);
}

/* Without memory for them there are none: the error points at the statement.
** The list is that of the statements up to the one that failed: a routine that
** is created later cannot have been called. */
static void collect(struct routines *r, const struct pgmig_source *source,
                    const struct pgmig_statement *list, size_t count)
{
    *r = (struct routines){.source = source};
    for (size_t i = 0; i < count; i++) {
        struct creator made = {.at = i};
        struct creator *grown;

        if (!created(source, &list[i], &made.sig))
            continue;
        grown = pgmig_grow(r->list, r->count, sizeof *grown);
        if (grown == NULL)
            break;
        r->list = grown;
        r->list[r->count++] = made;
    }
    if (r->count == 0)
        return;
    qsort(r->list, r->count, sizeof *r->list, by_name);
    r->sets_path = memmem(source->text, source->end - source->from,
                          "search_path", 11) != NULL;
}

/* The place of the first one that has this name, or would come behind it. */
static size_t first_of(const struct routines *r, const struct signature *said)
{
    size_t low = 0;
    size_t high = r->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct signature *sig = &r->list[middle].sig;

        if (compare_names(sig->text, &sig->name, said->text, &said->name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Whether a schema may be on the search path: "public" is by default, others
** where the file has seen to that. */
static bool may_be_on_path(const struct routines *r,
                           const struct signature *made)
{
    static const char public[] = "public";
    static const struct pgmig_token whole = {.kind = PGMIG_TOKEN_WORD,
                                             .end = sizeof public - 1};

    return same_name(made->text, &made->schema, public, &whole) || r->sets_path;
}

/* CONTEXT names the schema of a routine that is not on the search path
** (regproc.c, format_procedure: FunctionIsVisible); the file may always. */
static bool may_be(const struct routines *r, const struct signature *said,
                   const struct signature *made)
{
    if (said->schema.end > 0)
        return made->schema.end > 0 &&
               same_name(said->text, &said->schema, made->text, &made->schema);
    return made->schema.end == 0 || may_be_on_path(r, made);
}

/* As they are written: a replacement is mostly a copy of the first. */
static bool same_arguments(const struct signature *a, const struct signature *b)
{
    size_t len = a->args_end - a->args_start;

    return len == b->args_end - b->args_start &&
           memcmp(a->text + a->args_start, b->text + b->args_start, len) == 0;
}

/*
** The statement that creates a routine: the last one, as it may be replaced.
** NULL where there is none, or overloaded ones could be meant.
*/
static struct creator *find_creator(const struct routines *r,
                                    const struct signature *said, bool by_count)
{
    struct creator *found = NULL;

    for (size_t i = first_of(r, said); i < r->count; i++) {
        struct creator *c = &r->list[i];

        if (!same_name(said->text, &said->name, c->sig.text, &c->sig.name))
            break;
        if (!may_be(r, said, &c->sig) ||
            (by_count && said->args != c->sig.args))
            continue;
        if (found != NULL && !same_arguments(&found->sig, &c->sig))
            return NULL;
        if (found == NULL)
            found = c;
    }
    return found;
}

/* The routine that `name`, in a line of CONTEXT, is about: by its name, and
** only if several have that, by the number of its arguments, too. */
static struct creator *find_routine(const struct routines *r, const char *name)
{
    struct creator *found;
    struct signature said;
    struct pgmig_words w;

    pgmig_words_init(&w, name, strcspn(name, "\n"), true);
    if (!read_signature(&w, &said))
        return NULL;
    found = find_creator(r, &said, false);
    return found ? found : find_creator(r, &said, true);
}

/* ---- which line ------------------------------------------------------ */

/* A DO block: of several, the outermost is the file's, the last in CONTEXT. The
** others were run by EXECUTE. */
static bool is_block(const struct pgmig_statement *failed, const char *at)
{
    return failed->kind == PGMIG_KIND_DO && strstr(at, ROUTINE BLOCK) == NULL;
}

/* The line of a statement's body. */
static bool place(const struct pgmig_source *source,
                  const struct pgmig_statement *st, int line, size_t *offset)
{
    struct pgmig_words w;
    size_t start;
    size_t end;

    read_words(&w, source, st);
    if (!find_body(&w, &start, &end))
        return false;
    *offset = st->start + line_offset(w.lx.text, start, end, line);
    return true;
}

/* The same, remembered while lines are about one routine. */
static struct creator *recall_routine(struct routines *r, const char *name)
{
    const char *end = memmem(name, strcspn(name, "\n"), " line ", 6);
    size_t len = end ? (size_t)(end - name) : 0;

    if (len == 0 || r->name_len != len || memcmp(r->name, name, len) != 0)
        r->found = find_routine(r, name);
    r->name = name;
    r->name_len = len;
    return r->found;
}

/* What one line of CONTEXT speaks of. */
static bool trace_line(struct routines *r, const struct pgmig_statement *list,
                       size_t last, const char *at, size_t *offset)
{
    const char *name = at + sizeof ROUTINE - 1;
    int line = line_number(at);
    struct creator *found;

    if (line == 0)
        return false;
    if (strncmp(name, BLOCK, sizeof BLOCK - 1) == 0)
        return is_block(&list[last], name) &&
               place(r->source, &list[last], line, offset);
    found = recall_routine(r, name);
    if (found == NULL || found->bodyless)
        return false;
    /* not looked at again for each call of a recursion */
    found->bodyless = !place(r->source, &list[found->at], line, offset);
    return !found->bodyless;
}

/* "COPY table, line N" (copyfrom.c, CopyFromErrorCallback). Of several, the
** outermost is the file's, the last in CONTEXT: a trigger may read something
** else. */
int pgmig_trace_copy(const char *context)
{
    const char *next;

    if (context == NULL || strncmp(context, "COPY ", 5) != 0)
        return 0;
    while ((next = strstr(context, "\nCOPY ")) != NULL)
        context = next + 1;
    return line_number(context);
}

bool pgmig_trace(const struct pgmig_source *source,
                 const struct pgmig_statement *list, size_t index,
                 const char *context, size_t *offset)
{
    const char *at = context ? strstr(context, ROUTINE) : NULL;
    struct routines r;
    bool found = false;

    if (at == NULL)
        return false;
    collect(&r, source, list, index + 1);
    for (; at != NULL && !found; at = strstr(at + 1, ROUTINE))
        found = trace_line(&r, list, index, at, offset);
    free(r.list);
    return found;
}
