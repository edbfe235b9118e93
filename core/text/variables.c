/*
** variables.c -- psql's variables in a text, replaced where psql replaces them.
**
** Follows src/fe_utils/psqlscan.l: nothing is replaced in literals, quoted
** names, dollar quotes and comments; `::` is a cast; a value is read as a part
** of the text, with the variables in it, but for those it is the value of, and
** a quote that it opens goes on behind it. Tokens end where a value ends.
**
** One thing is otherwise: psql leaves a variable without a value as it is, and
** the server then finds a syntax error, or worse, none. Here it is refused,
** unless it stands in brackets: a[1:n] is a slice.
*/
#include "text/variables.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "text/classify.h"
#include "text/source.h"

#define DEPTH_MAX 16 /* values in values */

enum state {
    PLAIN,
    QUOTED,  /* '...', and all others whose backslashes are characters */
    ESCAPED, /* E'...' */
    NAMED,   /* "..." */
    DOLLARS, /* $tag$...$tag$ */
    COMMENT  /* slash-star */
};

struct filler {
    const char *path;
    const char *text; /* the file's */
    size_t len;
    const struct pgmig_psql_value *values;
    size_t value_count;
    struct pgmig_buf *out;
    struct pgmig_edits *edits;
    struct pgmig_error *err;
    enum state state;
    size_t comments; /* how many are open, one in the other */
    size_t brackets, parens;
    struct pgmig_buf tag; /* of the dollar quote that is open */
    size_t begin;         /* of the statement, in `out` */
    bool copying;         /* data follows behind the line */
    const struct pgmig_psql_value *within[DEPTH_MAX];
    size_t depth;
};

/* A text that is read: the file's, or a value. */
struct piece {
    const char *text;
    size_t len;
    size_t at;
};

static char peek(const struct piece *p, size_t ahead)
{
    return p->at + ahead < p->len ? p->text[p->at + ahead] : '\0';
}

/* Pass on so many bytes. */
static void pass(struct filler *f, struct piece *p, size_t count)
{
    pgmig_buf_add(f->out, p->text + p->at, count);
    p->at += count;
}

static bool is_name_start(char c)
{
    return isalpha((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

static bool is_variable_char(char c)
{
    return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

static bool is_name_char(char c)
{
    return is_variable_char(c) || c == '$';
}

static bool is_newline(char c)
{
    return c == '\n' || c == '\r';
}

/* ---- what is quoted ------------------------------------------------------ */

/* Whether a literal goes on behind its closing quote: after blanks and line
** comments with a line end among them a quote follows (psqlscan.l,
** quotecontinue). How far away that is; 0: it does not. psql reads a file line
** by line, and so sees that in values alone. */
static size_t continuation(const struct piece *p, size_t at)
{
    bool newline = false;

    for (; at < p->len; at++) {
        char c = p->text[at];

        if (c == '-' && newline && at + 1 < p->len && p->text[at + 1] == '-') {
            while (at < p->len && !is_newline(p->text[at]))
                at++;
            if (at == p->len)
                return 0;
        } else if (is_newline(c)) {
            newline = true;
        } else if (c == '\'' && newline) {
            return at - p->at;
        } else if (!isspace((unsigned char)c)) {
            return 0;
        }
    }
    return 0;
}

static void pass_literal(struct filler *f, struct piece *p)
{
    char c = peek(p, 0);
    bool escaped = f->state == ESCAPED && c == '\\' && p->at + 1 < p->len;
    size_t more;

    if (escaped || (c == '\'' && peek(p, 1) == '\'')) {
        pass(f, p, 2);
    } else if (c != '\'') {
        pass(f, p, 1);
    } else if (f->depth > 0 && (more = continuation(p, p->at + 1)) > 0) {
        pass(f, p, more + 1);
    } else {
        f->state = PLAIN;
        pass(f, p, 1);
    }
}

static void pass_quoted_name(struct filler *f, struct piece *p)
{
    if (peek(p, 0) == '"' && peek(p, 1) == '"') {
        pass(f, p, 2);
        return;
    }
    if (peek(p, 0) == '"')
        f->state = PLAIN;
    pass(f, p, 1);
}

static void pass_dollars(struct filler *f, struct piece *p)
{
    size_t len = f->tag.len;

    if (p->len - p->at >= len && memcmp(p->text + p->at, f->tag.data, len) == 0)
        f->state = PLAIN;
    else
        len = 1;
    pass(f, p, len);
}

static void pass_comment(struct filler *f, struct piece *p)
{
    if (peek(p, 0) == '/' && peek(p, 1) == '*') {
        f->comments++;
        pass(f, p, 2);
    } else if (peek(p, 0) == '*' && peek(p, 1) == '/') {
        if (--f->comments == 0)
            f->state = PLAIN;
        pass(f, p, 2);
    } else {
        pass(f, p, 1);
    }
}

/* ---- variables ----------------------------------------------------------- */

/* What stands at a colon. */
struct reference {
    char form;      /* ' " ? or 0 for the value as it is */
    size_t name_at; /* from the colon on */
    size_t name_len, len;
};

static bool read_reference(const struct piece *p, struct reference *r)
{
    char quote = peek(p, 1);
    size_t end;

    *r = (struct reference){.name_at = 1};
    if (quote == '\'' || quote == '"') {
        r->form = quote;
        r->name_at = 2;
    } else if (quote == '{' && peek(p, 2) == '?') {
        r->form = '?';
        r->name_at = 3;
        quote = '}';
    }
    end = r->name_at;
    while (is_variable_char(peek(p, end)))
        end++;
    r->name_len = end - r->name_at;
    r->len = end + (r->form != 0);
    return r->name_len > 0 && (r->form == 0 || peek(p, end) == quote);
}

static const struct pgmig_psql_value *find(const struct filler *f,
                                           const char *name, size_t len)
{
    for (size_t i = 0; i < f->value_count; i++)
        if (strlen(f->values[i].name) == len &&
            memcmp(f->values[i].name, name, len) == 0)
            return &f->values[i];
    return NULL;
}

static bool is_within(const struct filler *f, const struct pgmig_psql_value *v)
{
    for (size_t i = 0; i < f->depth; i++)
        if (f->within[i] == v)
            return true;
    return false;
}

/* As PQescapeLiteral and PQescapeIdentifier write it. */
static void add_quoted(struct pgmig_buf *out, const char *value, char quote)
{
    bool escapes = quote == '\'' && strchr(value, '\\') != NULL;

    if (escapes)
        pgmig_buf_adds(out, " E");
    pgmig_buf_add(out, &quote, 1);
    for (; *value != '\0'; value++) {
        if (*value == quote || (escapes && *value == '\\'))
            pgmig_buf_add(out, value, 1);
        pgmig_buf_add(out, value, 1);
    }
    pgmig_buf_add(out, &quote, 1);
}

static int refuse(const struct filler *f, size_t at, const char *text,
                  size_t len)
{
    const struct pgmig_source source = {.path = f->path,
                                        .text = f->text,
                                        .end = f->len,
                                        .final = true,
                                        .line.line = 1};

    pgmig_error_set(f->err, PGMIG_E_PARSE, "variable %.*s has no value",
                    (int)len, text);
    pgmig_error_hint(f->err, "set it with --set NAME=VALUE, the key "
                             "`placeholders` of pgmig.conf.lua (or the "
                             "migrator's option), or name it in `environment`");
    return pgmig_source_point(&source, at, f->err);
}

static int add_edit(struct filler *f, struct pgmig_edit edit)
{
    struct pgmig_edit *list =
        pgmig_grow(f->edits->list, f->edits->count, sizeof *list);

    if (list == NULL)
        return pgmig_error_memory(f->err);
    f->edits->list = list;
    list[f->edits->count++] = edit;
    return 0;
}

static int fill(struct filler *f, struct piece *p, size_t place);

static int add_value(struct filler *f, const struct pgmig_psql_value *v,
                     char form, size_t place)
{
    struct piece value = {v->value, strlen(v->value), 0};
    int status;

    if (form != 0) {
        add_quoted(f->out, v->value, form);
        return 0;
    }
    f->within[f->depth++] = v;
    status = fill(f, &value, place);
    f->depth--;
    return status;
}

/* `place` is where in the file it stands, or the variable whose value has
** it. */
static int take_variable(struct filler *f, struct piece *p,
                         const struct reference *r, size_t place)
{
    const char *name = p->text + p->at + r->name_at;
    const struct pgmig_psql_value *v = find(f, name, r->name_len);
    struct pgmig_edit edit = {place, place + r->len, f->out->len, 0};
    int status = 0;

    if (r->form == '?') {
        pgmig_buf_adds(f->out, v != NULL ? "TRUE" : "FALSE");
    } else if (v == NULL && f->brackets == 0) {
        return refuse(f, place, p->text + p->at, r->len);
    } else if (v == NULL || is_within(f, v) || f->depth == DEPTH_MAX) {
        pass(f, p, r->len);
        return 0;
    } else {
        status = add_value(f, v, r->form, place);
    }
    p->at += r->len;
    edit.out_end = f->out->len;
    return status != 0 || f->depth > 0 ? status : add_edit(f, edit);
}

/* A cast, :=, a variable, or just a colon. */
static int take_colon(struct filler *f, struct piece *p, size_t place)
{
    struct reference r;

    if (peek(p, 1) == ':' || peek(p, 1) == '=') {
        pass(f, p, 2);
    } else if (read_reference(p, &r)) {
        return take_variable(f, p, &r, place);
    } else {
        pass(f, p, 1);
    }
    return 0;
}

/* ---- everything else ----------------------------------------------------- */

static void pass_line(struct filler *f, struct piece *p)
{
    size_t end = p->at;

    while (end < p->len && !is_newline(p->text[end]))
        end++;
    pass(f, p, end - p->at);
}

/* A number, with the letters that stand at it, which begin no literal. */
static void take_number(struct filler *f, struct piece *p)
{
    size_t end = 1;

    while (isdigit((unsigned char)peek(p, end)) || peek(p, end) == '.')
        end++;
    if (is_name_start(peek(p, end)))
        while (is_name_char(peek(p, end)))
            end++;
    pass(f, p, end);
}

/* A name, or the prefix of a literal. */
static void take_word(struct filler *f, struct piece *p)
{
    char first = (char)tolower((unsigned char)peek(p, 0));
    size_t end = 1;

    while (is_name_char(peek(p, end)))
        end++;
    if (end == 1 && first == 'e' && peek(p, 1) == '\'') {
        f->state = ESCAPED;
        end = 2;
    }
    pass(f, p, end);
}

static void take_dollar(struct filler *f, struct piece *p)
{
    size_t end = 1;

    if (is_name_start(peek(p, 1)))
        while (is_variable_char(peek(p, end)))
            end++;
    if (peek(p, end) != '$') {
        pass(f, p, 1);
        return;
    }
    f->tag.len = 0;
    pgmig_buf_add(&f->tag, p->text + p->at, end + 1);
    f->state = DOLLARS;
    pass(f, p, end + 1);
}

static void count_brackets(struct filler *f, char c)
{
    if (c == '[')
        f->brackets++;
    else if (c == ']' && f->brackets > 0)
        f->brackets--;
    else if (c == '(')
        f->parens++;
    else if (c == ')' && f->parens > 0)
        f->parens--;
}

/* Behind COPY ... FROM STDIN data begins with the next line. */
static void end_statement(struct filler *f)
{
    struct pgmig_statement st = {0};

    if (f->parens > 0 || f->out->failed)
        return;
    if (f->out->len > f->begin)
        pgmig_classify(&st, f->out->data + f->begin, f->out->len - f->begin,
                       true);
    f->copying = f->copying || (st.traits & PGMIG_T_COPY_IN);
    f->begin = f->out->len + 1; /* behind the semicolon */
    f->brackets = 0;
}

/* Data goes up to a line \. or the end of the file. */
static void pass_data(struct filler *f, struct piece *p)
{
    f->copying = false;
    pass(f, p, 1);
    while (p->at < p->len) {
        bool last = peek(p, 0) == '\\' && peek(p, 1) == '.' &&
                    (p->at + 2 == p->len || is_newline(peek(p, 2)));

        pass_line(f, p);
        if (last)
            break;
        while (p->at < p->len && is_newline(peek(p, 0)))
            pass(f, p, 1);
    }
    f->begin = f->out->len;
}

static int take_plain(struct filler *f, struct piece *p, size_t place)
{
    char c = peek(p, 0);

    if (c == ':')
        return take_colon(f, p, place);
    if (is_name_start(c)) {
        take_word(f, p);
        return 0;
    }
    if (isdigit((unsigned char)c)) {
        take_number(f, p);
        return 0;
    }
    if ((c == '-' && peek(p, 1) == '-') || c == '\\') {
        pass_line(f, p);
        return 0;
    }
    if (c == '$') {
        take_dollar(f, p);
        return 0;
    }
    if (c == '\n' && f->copying && f->depth == 0) {
        pass_data(f, p);
        return 0;
    }
    if (c == ';')
        end_statement(f);
    else if (c == '\'')
        f->state = QUOTED;
    else if (c == '"')
        f->state = NAMED;
    else if (c == '/' && peek(p, 1) == '*')
        f->state = COMMENT;
    count_brackets(f, c);
    if (f->state == COMMENT)
        f->comments = 1;
    pass(f, p, f->state == COMMENT ? 2 : 1);
    return 0;
}

/* `place`: of a value, where in the file it is asked for. */
static int fill(struct filler *f, struct piece *p, size_t place)
{
    int status = 0;

    while (status == 0 && p->at < p->len)
        switch (f->state) {
        case PLAIN:
            status = take_plain(f, p, f->depth == 0 ? p->at : place);
            break;
        case QUOTED:
        case ESCAPED:
            pass_literal(f, p);
            break;
        case NAMED:
            pass_quoted_name(f, p);
            break;
        case DOLLARS:
            pass_dollars(f, p);
            break;
        case COMMENT:
            pass_comment(f, p);
            break;
        }
    return status;
}

int pgmig_variables_fill(const char *path, const char *text, size_t len,
                         const struct pgmig_psql_value *values,
                         size_t value_count, struct pgmig_buf *out,
                         struct pgmig_edits *edits, struct pgmig_error *err)
{
    struct filler f = {.path = path,
                       .text = text,
                       .len = len,
                       .values = values,
                       .value_count = value_count,
                       .out = out,
                       .edits = edits,
                       .err = err};
    struct piece whole = {text, len, 0};
    int status = fill(&f, &whole, 0);

    if (status == 0 && (out->failed || f.tag.failed))
        status = pgmig_error_memory(err);
    pgmig_buf_free(&f.tag);
    return status;
}
