/*
** signature.c -- name(arguments) of a routine, as a file and the server say it.
**
** The server writes a routine as its catalogs have it: the types of the
** arguments that go in, by the names that format_type_be gives them, with their
** schemas where those are not on the search path. A file may say "INOUT n int4
** DEFAULT 0" for "integer". Only what is certain counts: a type that the file
** takes from a column (%TYPE), or whose schema only one of the two names, fits
** perhaps.
*/
#include "text/signature.h"

#include <stdio.h>
#include <string.h>

/* ---- names --------------------------------------------------------------- */

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

static size_t first_char(const struct pgmig_token *name)
{
    return name->start + (name->kind == PGMIG_TOKEN_QUOTED ? 1 : 0);
}

int pgmig_name_compare(const char *a, const struct pgmig_token *of_a,
                       const char *b, const struct pgmig_token *of_b)
{
    size_t at_a = first_char(of_a);
    size_t at_b = first_char(of_b);
    char c;
    char d;

    do {
        c = next_char(a, of_a, &at_a);
        d = next_char(b, of_b, &at_b);
    } while (c == d && c != '\0');
    return (unsigned char)c - (unsigned char)d;
}

bool pgmig_name_is(const char *text, const struct pgmig_token *name,
                   const char *word)
{
    struct pgmig_token whole = {.kind = PGMIG_TOKEN_WORD, .end = strlen(word)};

    return pgmig_name_compare(text, name, word, &whole) == 0;
}

bool pgmig_signature_read(struct pgmig_words *w, struct pgmig_signature *sig)
{
    *sig = (struct pgmig_signature){.text = w->lx.text};
    while (pgmig_words_at_name(w)) {
        sig->schema = sig->name;
        sig->name = w->tok;
        pgmig_words_next(w);
        if (pgmig_words_at_symbol(w, '(')) {
            sig->args_start = w->tok.end;
            while (w->parens > 0 && !pgmig_words_ended(w))
                pgmig_words_next(w);
            sig->args_end = w->tok.start;
            return !pgmig_words_ended(w);
        }
        if (!pgmig_words_at_symbol(w, '.'))
            return false;
        pgmig_words_next(w);
    }
    return false;
}

/* ---- types --------------------------------------------------------------- */

#define WORDS_MAX 12 /* of an argument up to its default; more fit perhaps */

struct type {
    char schema[64]; /* "": none is named, or pg_catalog */
    char name[128];  /* its words; what is none of SQL's in quotes, if it has */
    bool array;
    bool unknown;
};

/* What SQL and people call a type, and what the server does (format_type.c). */
static const struct alias {
    const char *name;
    const char *of;
} aliases[] = {
    {"int", "integer"},
    {"int4", "integer"},
    {"int2", "smallint"},
    {"int8", "bigint"},
    {"bool", "boolean"},
    {"float4", "real"},
    {"float8", "double precision"},
    {"float", "double precision"},
    {"decimal", "numeric"},
    {"dec", "numeric"},
    {"varchar", "character varying"},
    {"char varying", "character varying"},
    {"nchar varying", "character varying"},
    {"national char varying", "character varying"},
    {"national character varying", "character varying"},
    {"char", "character"},
    {"bpchar", "character"},
    {"nchar", "character"},
    {"national char", "character"},
    {"national character", "character"},
    {"varbit", "bit varying"},
    {"timestamp", "timestamp without time zone"},
    {"timestamptz", "timestamp with time zone"},
    {"time", "time without time zone"},
    {"timetz", "time with time zone"},
};

static void rename_alias(char *name, size_t size)
{
    if (strncmp(name, "interval ", 9) == 0) /* YEAR TO MONTH: a modifier */
        name[8] = '\0';
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
        if (strcmp(name, aliases[i].name) == 0) {
            snprintf(name, size, "%s", aliases[i].of);
            return;
        }
}

/* Whether a quoted name is another one than without its quotes: "char". */
static bool is_special(const char *name)
{
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
        if (strcmp(name, aliases[i].name) == 0 ||
            strcmp(name, aliases[i].of) == 0)
            return true;
    return false;
}

/* A name as the server keeps it; false: it is too long for a name. */
static bool copy_name(const char *text, const struct pgmig_token *token,
                      char *out, size_t size)
{
    size_t at = first_char(token);
    size_t len = 0;
    char c;

    while ((c = next_char(text, token, &at)) != '\0' && len + 1 < size)
        out[len++] = c;
    out[len] = '\0';
    return c == '\0';
}

/* One more word of a type's name. */
static void add_name(struct type *type, const char *text,
                     const struct pgmig_token *token)
{
    char word[64];
    size_t len = strlen(type->name);
    bool quoted;

    if (!copy_name(text, token, word, sizeof word))
        type->unknown = true;
    quoted = token->kind == PGMIG_TOKEN_QUOTED && is_special(word);
    if ((size_t)snprintf(type->name + len, sizeof type->name - len,
                         quoted ? "%s\"%s\"" : "%s%s", len > 0 ? " " : "",
                         word) >= sizeof type->name - len)
        type->unknown = true;
}

static bool is_symbol(const char *text, const struct pgmig_token *token, char c)
{
    return token->kind == PGMIG_TOKEN_SYMBOL && text[token->start] == c;
}

static bool is_name(const struct pgmig_token *token)
{
    return token->kind == PGMIG_TOKEN_WORD || token->kind == PGMIG_TOKEN_QUOTED;
}

/* A type of these tokens, which hold no modifier in parentheses any more. */
static struct type read_type(const char *text, const struct pgmig_token *tokens,
                             size_t count)
{
    struct type type = {.schema = ""};
    size_t i = 0;

    if (count > 2 && is_name(&tokens[0]) && is_symbol(text, &tokens[1], '.')) {
        type.unknown =
            !copy_name(text, &tokens[0], type.schema, sizeof type.schema);
        if (strcmp(type.schema, "pg_catalog") == 0)
            type.schema[0] = '\0';
        i = 2;
    }
    for (; i < count; i++) {
        if (is_symbol(text, &tokens[i], '[') ||
            pgmig_token_is(text, &tokens[i], "array"))
            type.array = true;
        else if (is_symbol(text, &tokens[i], '%'))
            type.unknown = true;
        else if (is_name(&tokens[i]))
            add_name(&type, text, &tokens[i]);
    }
    rename_alias(type.name, sizeof type.name);
    return type;
}

static enum pgmig_fit compare_types(const struct type *a, const struct type *b)
{
    if (a->unknown || b->unknown)
        return PGMIG_FIT_PERHAPS;
    if (a->array != b->array || strcmp(a->name, b->name) != 0)
        return PGMIG_FIT_NOT;
    if (strcmp(a->schema, b->schema) == 0)
        return PGMIG_FIT_SURELY;
    return *a->schema == '\0' || *b->schema == '\0' ? PGMIG_FIT_PERHAPS
                                                    : PGMIG_FIT_NOT;
}

/* ---- arguments ----------------------------------------------------------- */

struct argument {
    struct pgmig_token
        tokens[WORDS_MAX]; /* its name, if it has one; its type */
    size_t count;
    bool in;      /* IN, which OUT may follow */
    bool out;     /* nothing goes in */
    bool unknown; /* it has more words, or a modifier that decides */
};

/* Its mode, before or behind its name (gram.y, func_arg); false: it is none. */
static bool take_mode(struct argument *arg, const struct pgmig_words *w)
{
    if (arg->count > 1)
        return false;
    if (pgmig_words_at(w, "out")) {
        arg->out = !arg->in;
        return true;
    }
    if (pgmig_words_at(w, "in")) {
        arg->in = true;
        return true;
    }
    return pgmig_words_at(w, "inout") || pgmig_words_at(w, "variadic");
}

/* A word or symbol of it. Of the modifier of a type, as in varchar(10), nothing
** is kept; that of float(24) makes it another type. */
static void take_token(struct argument *arg, const struct pgmig_words *w)
{
    if (w->parens > 0) {
        arg->unknown =
            arg->unknown ||
            (arg->count > 0 &&
             pgmig_token_is(w->lx.text, &arg->tokens[arg->count - 1], "float"));
        return;
    }
    if (pgmig_words_at_symbol(w, ')'))
        return;
    if (arg->count == WORDS_MAX)
        arg->unknown = true;
    else
        arg->tokens[arg->count++] = w->tok;
}

static bool at_default(const struct pgmig_words *w)
{
    return pgmig_words_at(w, "default") || pgmig_words_at_symbol(w, '=') ||
           pgmig_words_at_symbol(w, ':');
}

/* The next argument, with its comma; false at the end. */
static bool next_argument(struct pgmig_words *w, struct argument *arg)
{
    bool in_default = false;

    *arg = (struct argument){0};
    if (pgmig_words_ended(w))
        return false;
    for (; !pgmig_words_ended(w); pgmig_words_next(w)) {
        if (w->parens == 0 && pgmig_words_at_symbol(w, ','))
            break;
        in_default = in_default || (w->parens == 0 && at_default(w));
        if (!in_default && !take_mode(arg, w))
            take_token(arg, w);
    }
    pgmig_words_next(w);
    return true;
}

/* The next one that goes in. */
static bool next_input(struct pgmig_words *w, struct argument *arg)
{
    while (next_argument(w, arg))
        if (!arg->out)
            return true;
    return false;
}

/* A first word may be the argument's name, or belong to its type. */
static enum pgmig_fit fit_argument(const struct pgmig_signature *said,
                                   const struct argument *a,
                                   const struct pgmig_signature *made,
                                   const struct argument *b)
{
    const char *said_text = said->text + said->args_start;
    const char *made_text = made->text + made->args_start;
    struct type wanted = read_type(said_text, a->tokens, a->count);
    struct type whole = read_type(made_text, b->tokens, b->count);
    enum pgmig_fit fit = compare_types(&wanted, &whole);

    if (a->unknown || b->unknown)
        return PGMIG_FIT_PERHAPS;
    if (b->count > 1 && fit != PGMIG_FIT_SURELY) {
        struct type rest = read_type(made_text, b->tokens + 1, b->count - 1);
        enum pgmig_fit other = compare_types(&wanted, &rest);

        fit = other > fit ? other : fit;
    }
    return fit;
}

static struct pgmig_words arguments(const struct pgmig_signature *sig)
{
    struct pgmig_words w;

    pgmig_words_init(&w, sig->text + sig->args_start,
                     sig->args_end - sig->args_start, true);
    return w;
}

enum pgmig_fit pgmig_signature_fits(const struct pgmig_signature *said,
                                    const struct pgmig_signature *made)
{
    struct pgmig_words w = arguments(said);
    struct pgmig_words v = arguments(made);
    enum pgmig_fit fit = PGMIG_FIT_SURELY;
    struct argument a;
    struct argument b;

    while (next_input(&w, &a)) {
        enum pgmig_fit one;

        if (!next_input(&v, &b))
            return PGMIG_FIT_NOT;
        one = fit_argument(said, &a, made, &b);
        fit = one < fit ? one : fit;
    }
    return next_input(&v, &b) ? PGMIG_FIT_NOT : fit;
}
