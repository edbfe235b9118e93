/*
** trace.c -- from a server's CONTEXT to the line of the file it speaks of.
**
** An error inside a function or a DO has no position in the statement that was
** sent. Its CONTEXT has: "PL/pgSQL function NAME(TYPES) line N at ..."
** (pl_exec.c, plpgsql_exec_error_callback), the innermost call first. The first
** line of it that is about a routine of this file, or about the DO itself, is
** the place; N counts from the beginning of the body, so the body has to be
** found. Of a function in SQL it has the name and the number of a statement. No
** other field of an error says any of this (protocol manual, "Error and Notice
** Message Fields"), and CONTEXT is in the server's language: where
** lc_messages is not English nothing is found, and the error points at the
** statement, or at the COPY.
*/
#include "text/trace.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/utf8.h"
#include "text/signature.h"
#include "text/source.h"

#define ROUTINE "PL/pgSQL function "
#define BLOCK "inline_code_block "
#define IN_SQL "SQL function \""
#define COMPILED "compilation of PL/pgSQL function \""

/* The number behind a word in one line of CONTEXT, 0 when there is none. */
static int number_behind(const char *s, const char *word)
{
    const char *at = memmem(s, strcspn(s, "\n"), word, strlen(word));
    long n;

    if (at == NULL)
        return 0;
    n = strtol(at + strlen(word), NULL, 10);
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

/* What a literal holds: [start, end) of what is there between the quotes. False
** where its lines, or its characters, are not those of the file: with escapes,
** or not in quotes at all. */
static bool read_literal(const struct pgmig_words *w, size_t *start,
                         size_t *end)
{
    const char *text = w->lx.text + w->tok.start;
    size_t tag = 1;

    if (w->tok.kind != PGMIG_TOKEN_STRING || (*text != '$' && *text != '\''))
        return false;
    if (*text == '$')
        tag = (size_t)(strchr(text + 1, '$') - text) + 1;
    *start = w->tok.start + tag;
    *end = w->tok.end - tag;
    return true;
}

/* The body of CREATE FUNCTION, behind AS, or of DO, where the name of its
** language may be a literal, too. PL/pgSQL counts its lines in there, what
** stands behind the quote on its line being line 1. */
static bool find_body(struct pgmig_words *w, size_t *start, size_t *end)
{
    bool block = pgmig_words_accept(w, "do");

    for (; !pgmig_words_ended(w); pgmig_words_next(w)) {
        if (block && pgmig_words_accept(w, "language"))
            continue;
        if (!block && (w->parens > 0 || !pgmig_words_accept(w, "as")))
            continue;
        if (w->tok.kind == PGMIG_TOKEN_STRING)
            return read_literal(w, start, end);
    }
    return false;
}

/* ---- which routine --------------------------------------------------- */

/* The signature of the routine that a statement creates. */
static bool created(const struct pgmig_source *source,
                    const struct pgmig_statement *st,
                    struct pgmig_signature *sig)
{
    struct pgmig_words w;

    if (st->kind != PGMIG_KIND_ROUTINE)
        return false;
    read_words(&w, source, st);
    while (!pgmig_words_ended(&w) && !pgmig_words_at(&w, "function") &&
           !pgmig_words_at(&w, "procedure"))
        pgmig_words_next(&w);
    pgmig_words_next(&w);
    return pgmig_signature_read(&w, sig);
}

/* Where what has no schema in its name is created. */
struct home {
    const char *text;
    struct pgmig_token schema; /* empty: nobody knows */
};

static const struct home by_default = {
    "public", {.kind = PGMIG_TOKEN_WORD, .end = sizeof "public" - 1}};

/* The first schema that SET search_path names, or SET SCHEMA; a literal is a
** name as it is. RESET and DEFAULT lead back. */
static struct home read_path(struct pgmig_words *w)
{
    struct home home = {.text = w->lx.text, .schema = w->tok};

    if (pgmig_words_at(w, "default"))
        return by_default;
    if (w->tok.kind == PGMIG_TOKEN_STRING &&
        *(w->lx.text + w->tok.start) == '\'')
        home.schema.kind = PGMIG_TOKEN_QUOTED;
    else if (!pgmig_words_at_name(w))
        return (struct home){0};
    return pgmig_name_is(home.text, &home.schema, "$user") ? by_default : home;
}

/* What a statement leaves of it. */
static struct home next_home(struct home now, const struct pgmig_source *source,
                             const struct pgmig_statement *st)
{
    const char *text = pgmig_source_at(source, st->start);
    struct pgmig_words w;

    if (strcmp(st->name, "SET") != 0 && strcmp(st->name, "RESET") != 0)
        return memmem(text, st->end - st->start, "set_config", 10) &&
                       memmem(text, st->end - st->start, "search_path", 11)
                   ? (struct home){0}
                   : now;
    read_words(&w, source, st);
    if (pgmig_words_accept(&w, "reset"))
        return pgmig_words_at(&w, "search_path") || pgmig_words_at(&w, "all")
                   ? by_default
                   : now;
    pgmig_words_next(&w);
    if (!pgmig_words_accept(&w, "local"))
        pgmig_words_accept(&w, "session");
    if (pgmig_words_accept(&w, "schema"))
        return read_path(&w);
    if (!pgmig_words_accept(&w, "search_path"))
        return now;
    pgmig_words_next(&w); /* TO or = */
    return read_path(&w);
}

/* ---- the routines of a file ------------------------------------------ */

/* A statement that creates a routine. */
struct creator {
    struct pgmig_signature sig;
    struct home home;
    size_t at;
    bool bodyless; /* nothing in it counts lines */
};

/* All of them, by name, and of one name the last first: it may replace the
** others. A deep recursion in a large file asks for them thousands of times. */
struct routines {
    const struct pgmig_source *source;
    const struct pgmig_error *err;
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
    int order = pgmig_name_compare(x->sig.text, &x->sig.name, y->sig.text,
                                   &y->sig.name);

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
    struct home home = by_default;

    *r = (struct routines){.source = source};
    for (size_t i = 0; i < count; i++) {
        struct creator made = {.at = i, .home = home};
        struct creator *grown;

        if (!created(source, &list[i], &made.sig)) {
            home = next_home(home, source, &list[i]);
            continue;
        }
        if (made.sig.schema.end > 0)
            made.home = (struct home){made.sig.text, made.sig.schema};
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
static size_t first_of(const struct routines *r,
                       const struct pgmig_signature *said)
{
    size_t low = 0;
    size_t high = r->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct pgmig_signature *sig = &r->list[middle].sig;

        if (pgmig_name_compare(sig->text, &sig->name, said->text, &said->name) <
            0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool has_name(const struct creator *c,
                     const struct pgmig_signature *said)
{
    return pgmig_name_compare(said->text, &said->name, c->sig.text,
                              &c->sig.name) == 0;
}

static bool same_home(const struct home *a, const struct home *b)
{
    return a->schema.end > 0 && b->schema.end > 0 &&
           pgmig_name_compare(a->text, &a->schema, b->text, &b->schema) == 0;
}

/* The schema that a session calls pg_temp is pg_temp_3 or the like. */
static bool is_temporary(const struct home *said, const struct home *made)
{
    return strncmp(said->text + said->schema.start, "pg_temp_", 8) == 0 &&
           made->schema.end > 0 &&
           pgmig_name_is(made->text, &made->schema, "pg_temp");
}

/* CONTEXT names the schema of a routine that is not on the search path
** (regproc.c, format_procedure: FunctionIsVisible); the file may always. On the
** path is "public" by default, others where the file has seen to that. */
static bool may_be(const struct routines *r, const struct pgmig_signature *said,
                   const struct creator *c)
{
    struct home named = {said->text, said->schema};

    if (said->schema.end > 0)
        return same_home(&named, &c->home) || is_temporary(&named, &c->home);
    return c->sig.schema.end == 0 || r->sets_path ||
           same_home(&c->home, &by_default);
}

/* As they are written: a replacement is mostly a copy of the first. */
static bool same_arguments(const struct pgmig_signature *a,
                           const struct pgmig_signature *b)
{
    size_t len = a->args_end - a->args_start;

    return len == b->args_end - b->args_start &&
           memcmp(a->text + a->args_start, b->text + b->args_start, len) == 0;
}

/*
** The statement that creates the routine that `name`, in a line of CONTEXT, is
** about: the last one, as it may be replaced. NULL where there is none, or
** several could be meant.
*/
static struct creator *find_routine(const struct routines *r, const char *name)
{
    enum pgmig_fit fit = PGMIG_FIT_NOT;
    struct creator *found = NULL;
    struct pgmig_signature said;
    struct pgmig_words w;

    pgmig_words_init(&w, name, strcspn(name, "\n"), true);
    if (!pgmig_signature_read(&w, &said))
        return NULL;
    for (size_t i = first_of(r, &said);
         i < r->count && has_name(&r->list[i], &said); i++) {
        struct creator *c = &r->list[i];
        enum pgmig_fit one = pgmig_signature_fits(&said, &c->sig);

        if (one == PGMIG_FIT_NOT || !may_be(r, &said, c))
            continue;
        if (found == NULL) {
            found = c;
            fit = one;
        } else if (!same_home(&found->home, &c->home) ||
                   (one + fit < 2 * PGMIG_FIT_SURELY &&
                    !same_arguments(&found->sig, &c->sig))) {
            return NULL;
        }
    }
    return found;
}

/* The same of a line that has only the name, in quotes. */
static struct creator *find_named(const struct routines *r, const char *quoted)
{
    size_t len = strcspn(quoted + 1, "\"\n");
    struct pgmig_signature said = {
        .text = quoted, .name = {.kind = PGMIG_TOKEN_QUOTED, .end = len + 2}};
    struct creator *found = NULL;

    for (size_t i = first_of(r, &said);
         i < r->count && has_name(&r->list[i], &said); i++) {
        struct creator *c = &r->list[i];

        if (found == NULL)
            found = c;
        else if (!same_home(&found->home, &c->home) ||
                 !same_arguments(&found->sig, &c->sig))
            return NULL;
    }
    return found;
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

/* The character of a body that the server has stopped at, where it has sent the
** whole of that as the query. */
static bool place_query(const struct pgmig_source *source,
                        const struct pgmig_statement *st,
                        const struct pgmig_error *err, size_t *offset)
{
    struct pgmig_words w;
    const char *body;
    size_t start;
    size_t end;

    read_words(&w, source, st);
    if (err->query == NULL || err->query_at <= 0 ||
        !find_body(&w, &start, &end))
        return false;
    body = w.lx.text + start;
    if (strlen(err->query) != end - start ||
        memcmp(err->query, body, end - start) != 0)
        return false;
    *offset = st->start + start +
              pgmig_utf8_offset(body, end - start, (size_t)err->query_at - 1);
    return true;
}

/* A statement of a body in SQL, from 1. In plain quotes its own quotes are
** written twice: there it is not looked for. */
static bool place_statement(const struct pgmig_source *source,
                            const struct pgmig_statement *st, int number,
                            size_t *offset)
{
    struct pgmig_words w;
    size_t start;
    size_t end;

    read_words(&w, source, st);
    if (!find_body(&w, &start, &end) || w.lx.text[start - 1] != '$')
        return false;
    pgmig_words_init(&w, w.lx.text + start, end - start, true);
    while (number > 1 && !pgmig_words_ended(&w)) {
        if (w.parens <= 0 && pgmig_words_at_symbol(&w, ';'))
            number--;
        pgmig_words_next(&w);
    }
    *offset = st->start + start + w.tok.start;
    return !pgmig_words_ended(&w);
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

/* A line that has a routine's name alone: it is about one in SQL (functions.c,
** sql_exec_error_callback), of which a single statement is inlined; or one in
** PL/pgSQL does not compile (pl_comp.c, plpgsql_compile_error_callback). */
static bool trace_named(const struct routines *r,
                        const struct pgmig_statement *list, const char *at,
                        bool sql, size_t *offset)
{
    const char *quoted = at + (sql ? sizeof IN_SQL : sizeof COMPILED) - 2;
    struct creator *found = find_named(r, quoted);
    int number = number_behind(at, sql ? " statement " : " line ");
    const struct pgmig_statement *st;

    if (found == NULL)
        return false;
    st = &list[found->at];
    if (place_query(r->source, st, r->err, offset))
        return true;
    if (sql)
        return place_statement(r->source, st, number, offset);
    return number > 0 && place(r->source, st, number, offset);
}

static bool begins(const char *at, const char *with)
{
    return strncmp(at, with, strlen(with)) == 0;
}

/* What one line of CONTEXT speaks of. */
static bool trace_line(struct routines *r, const struct pgmig_statement *list,
                       size_t last, const char *at, size_t *offset)
{
    const char *name = at + sizeof ROUTINE - 1;
    int line = number_behind(at, " line ");
    struct creator *found;

    if (begins(at, IN_SQL) || begins(at, COMPILED))
        return trace_named(r, list, at, begins(at, IN_SQL), offset);
    if (!begins(at, ROUTINE) || line == 0)
        return false;
    if (begins(name, BLOCK))
        return is_block(&list[last], name) &&
               place(r->source, &list[last], line, offset);
    found = recall_routine(r, name);
    if (found == NULL || found->bodyless)
        return false;
    /* not looked at again for each call of a recursion */
    found->bodyless = !place(r->source, &list[found->at], line, offset);
    return !found->bodyless;
}

/* The beginning of the next line; NULL behind the last one. */
static const char *next_line(const char *at)
{
    const char *newline = strchr(at, '\n');

    return newline ? newline + 1 : NULL;
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
    return number_behind(context, " line ");
}

bool pgmig_trace(const struct pgmig_source *source,
                 const struct pgmig_statement *list, size_t index,
                 const struct pgmig_error *err, size_t *offset)
{
    struct routines r;
    bool found = false;

    if (err->context == NULL)
        return false;
    collect(&r, source, list, index + 1);
    r.err = err;
    for (const char *at = err->context; at != NULL && !found;
         at = next_line(at))
        found = trace_line(&r, list, index, at, offset);
    free(r.list);
    return found;
}
