/*
** sql.c -- the writer of all SQL about our tables.
**
** Nothing of ours is sent that is not written here: so what every text needs
** stands in one place. Literals are quoted by libpq for this connection; a
** table is a verb, never a name that somebody has put together; an operator is
** always pg_catalog's. Were it not, a search path (of the database, or set by a
** file) could lead to one of the same name whose types fit better, and that
** would run with our rights (manual, "Operator Type Resolution").
**
** A command's end is noted when it is written: a text is never searched for
** semicolons, which may stand in literals.
*/
#include "ledger/sql.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "ledger/ledger.h"
#include "wire/conn.h"

/* The memory stays: a run writes one step after the other with one writer. */
void pgmig_sql_clear(struct pgmig_sql *s)
{
    s->text.len = 0;
    s->text.failed = false;
    s->count = 0;
    s->begun = 0;
    s->role = 0;
}

void pgmig_sql_free(struct pgmig_sql *s)
{
    pgmig_buf_free(&s->text);
    free(s->commands);
    s->commands = NULL;
    s->count = s->room = 0;
}

/* The buffer's own mark is the writer's, too: out of memory and all other
** reasons are asked for in one place, where `err` tells them apart
** (pgmig_sql_finish). */
void pgmig_sql_fail(struct pgmig_sql *s)
{
    s->text.failed = true;
}

#define ROOM 8192 /* bytes more than are needed, each time */

/* A text is made of many small pieces: what fits is copied here, and the buffer
** is asked only for more room. */
static void put(struct pgmig_sql *s, const char *text, size_t len)
{
    struct pgmig_buf *to = &s->text;

    if (to->failed ||
        (to->cap - to->len <= len && !pgmig_buf_reserve(to, len + ROOM)))
        return;
    memcpy(to->data + to->len, text, len);
    to->len += len;
    to->data[to->len] = '\0';
}

void pgmig_sql_add(struct pgmig_sql *s, const char *text)
{
    put(s, text, strlen(text));
}

/* Whether a literal is the text between two quotes, in every encoding: most of
** what is written is names, numbers and times. */
static bool is_plain(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (text[i] < ' ' || text[i] > '~' || text[i] == '\'' ||
            text[i] == '\\')
            return false;
    return true;
}

/* Behind a failure nothing is quoted: it could only fail again, and the first
** error is the one to tell. */
void pgmig_sql_piece(struct pgmig_sql *s, const char *text, size_t len)
{
    char *quoted;

    if (s->text.failed)
        return;
    if (is_plain(text, len)) {
        put(s, "'", 1);
        put(s, text, len);
        put(s, "'", 1);
        return;
    }
    quoted = pgmig_conn_quote_literal(s->conn, text, len, s->err);
    if (quoted == NULL)
        pgmig_sql_fail(s);
    else
        pgmig_sql_add(s, quoted);
    free(quoted);
}

void pgmig_sql_literal(struct pgmig_sql *s, const char *text)
{
    if (text == NULL)
        pgmig_sql_add(s, "NULL");
    else
        pgmig_sql_piece(s, text, strlen(text));
}

/* ---- commands -------------------------------------------------------- */

/* Where the command begins that is not ended: behind the blanks. */
static size_t begin_of(const struct pgmig_sql *s)
{
    size_t at = s->begun;

    while (at < s->text.len && s->text.data[at] == ' ')
        at++;
    return at;
}

/* The list stays when the text is cleared, as its memory does. */
static bool has_room(struct pgmig_sql *s)
{
    size_t room = s->room > 0 ? 2 * s->room : 16;
    struct pgmig_command *commands;

    if (s->count < s->room)
        return true;
    commands = realloc(s->commands, room * sizeof *commands);
    if (commands == NULL)
        return false;
    s->commands = commands;
    s->room = room;
    return true;
}

/* A command that is not begun is not ended: so a writer may end what another
** one has perhaps ended. */
void pgmig_sql_end(struct pgmig_sql *s)
{
    size_t start = begin_of(s);

    if (s->text.failed || start == s->text.len)
        return;
    if (!has_room(s)) {
        pgmig_sql_fail(s);
        return;
    }
    s->commands[s->count++] = (struct pgmig_command){
        .start = start, .end = s->text.len, .role = s->role};
    put(s, ";", 1);
    s->begun = s->text.len;
}

/* The shape is the last command's, which this ends, or which has ended just
** now. */
void pgmig_sql_answers(struct pgmig_sql *s, const char *shape)
{
    pgmig_sql_end(s);
    if (s->count > 0)
        s->commands[s->count - 1].shape = shape;
}

/* A failure without an error is the buffer's: it could not grow. */
int pgmig_sql_finish(struct pgmig_sql *s)
{
    pgmig_sql_end(s);
    if (!s->text.failed)
        return 0;
    return s->err->kind == PGMIG_E_NONE ? pgmig_error_memory(s->err) : -1;
}

/* The semicolon becomes the end of the string: in a pipeline a command is sent
** by itself, and a copy of each is saved. */
void pgmig_sql_part(struct pgmig_sql *s)
{
    for (size_t i = 0; i < s->count; i++)
        s->text.data[s->commands[i].end] = '\0';
}

/* ---- formats --------------------------------------------------------- */

static const char *table_of(const struct pgmig_ledger *ledger, char verb)
{
    switch (verb) {
    case 't':
        return ledger->tracking;
    case 'h':
        return ledger->history;
    case 'j':
        return ledger->journal;
    default:
        return ledger->runs;
    }
}

/* An operator, in the form that goes past the search path (manual, "Operator
** Invocations"); returns what is behind it. As many characters as could be one
** are taken: a sign behind it needs a blank. */
static const char *add_operator(struct pgmig_sql *s, const char *text)
{
    size_t len = strspn(text, "+-*/<>=~!@#^&|");

    pgmig_sql_add(s, "OPERATOR(pg_catalog.");
    put(s, text, len);
    put(s, ")", 1);
    return text + len;
}

static void add_number(struct pgmig_sql *s, long number)
{
    char digits[24];

    put(s, digits, (size_t)snprintf(digits, sizeof digits, "%ld", number));
}

/* The name of what comes, for pg_stat_activity, which shows how the text that
** runs begins (orphan.lua). */
static void add_mark(struct pgmig_sql *s)
{
    if (!s->conn->pooled)
        return;
    pgmig_sql_add(s, "/* ");
    pgmig_sql_add(s, s->conn->tag);
    pgmig_sql_add(s, " */ ");
}

/* What stands for something else; returns what is behind it. Every other
** character behind a percent sign begins an operator. */
static const char *add_verb(struct pgmig_sql *s, const char *verb,
                            va_list *args)
{
    switch (*verb) {
    case 't':
    case 'h':
    case 'j':
    case 'r':
        pgmig_sql_add(s, table_of(s->ledger, *verb));
        break;
    case 'L':
        pgmig_sql_literal(s, va_arg(*args, const char *));
        break;
    case 's':
        pgmig_sql_add(s, va_arg(*args, const char *));
        break;
    case 'd':
        add_number(s, va_arg(*args, int));
        break;
    case 'l':
        add_number(s, va_arg(*args, long));
        break;
    case 'm':
        add_mark(s);
        break;
    case ';':
        pgmig_sql_end(s);
        break;
    case '%':
        put(s, "%", 1);
        break;
    default:
        return add_operator(s, verb);
    }
    return verb + 1;
}

/* A failure does not end it: the arguments are taken all the same, and nothing
** is added any more. */
void pgmig_sql_addf(struct pgmig_sql *s, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    while (*format != '\0') {
        size_t plain = strcspn(format, "%");

        put(s, format, plain);
        format += plain;
        if (*format == '%')
            format = add_verb(s, format + 1, &args);
    }
    va_end(args);
}

void pgmig_sql_commands(struct pgmig_sql *s, const char *const *commands)
{
    for (; *commands != NULL; commands++)
        pgmig_sql_addf(s, "%m%s%;", *commands);
}

/* ---- what each transaction of ours begins with ------------------------ */

/* What the database's default is, the probe has said: a command less where it
** is enough. */
void pgmig_sql_durable(struct pgmig_sql *s)
{
    if (!s->ledger->durable)
        pgmig_sql_addf(s, "SET LOCAL synchronous_commit = on%;");
}

/* SET LOCAL: the name goes with the transaction, and with it from the pooler's
** server process, which the next client gets. */
void pgmig_sql_tag(struct pgmig_sql *s)
{
    if (s->conn->pooled)
        pgmig_sql_addf(s, "%mSET LOCAL application_name = '%s'%;",
                       s->conn->tag);
}

/* One message is one implicit transaction (protocol manual, "Multiple
** Statements in a Simple Query"), unless the caller has begun one. */
void pgmig_sql_patience(struct pgmig_sql *s)
{
    if (pgmig_conn_tx(s->conn) == PGMIG_TX_IDLE)
        pgmig_sql_addf(s, "SET LOCAL lock_timeout = %d%;", s->ledger->patience);
}
