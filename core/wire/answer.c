/*
** answer.c -- the shapes of answers.
**
** libpq checks that a message can be read, not that it answers the question.
** Whoever uses a value (atoi, strtod, column 3 of row 0) relies on a shape, and
** what does not have it never comes that far. Values are looked at only as far
** as it takes to read them; whether they are true, nobody can see here.
*/
#include "wire/answer.h"
#include "wire/wire.h"

#include <stdlib.h>
#include <string.h>

/* Up to there a double, which is all the number that LuaJIT has, holds each
** whole number. */
#define INTEGER_MAX 9007199254740992 /* 2^53 */

/* These oids are the same in every server (pg_type.dat): a type that a lying
** server gives another number is another type. */
enum { BOOL = 16, INT8 = 20, INT2 = 21, INT4 = 23, OID = 26 }; /* pg_type.dat */
enum { FLOAT4 = 700, FLOAT8 = 701 };

/* A column, as the shape has it. */
struct column {
    const char *name;
    size_t name_len;
    char type; /* how its word begins */
    bool optional;
};

/* For a shape that comes from Lua: it begins as one, so that a caller's mistake
** is not taken for an answer that is not as it should be. */
bool pgmig_answer_is_shape(const char *text)
{
    return text[0] != '\0' && strchr("1?*-", text[0]) != NULL &&
           (text[1] == '\0' || text[1] == ' ');
}

/* Take the next word: its length, 0 when there is none. */
static size_t next_word(const char **shape, const char **word)
{
    size_t len;

    *shape += strspn(*shape, " ");
    *word = *shape;
    len = strcspn(*shape, " ");
    *shape += len;
    return len;
}

static struct column read_column(const char *word, size_t len)
{
    size_t name_len = strcspn(word, ":");

    return (struct column){.name = word,
                           .name_len = name_len,
                           .type = word[name_len + 1],
                           .optional = word[len - 1] == '?'};
}

/* ---- types ------------------------------------------------------------- */

static char type_of(Oid oid)
{
    switch (oid) {
    case BOOL:
        return 'b';
    case INT8:
    case INT2:
    case INT4:
    case OID:
        return 'i';
    case FLOAT4:
    case FLOAT8:
        return 'f';
    default:
        return 't';
    }
}

/* strtoll gives its greatest value for what is too large: more than the
** bound. */
static bool is_integer(const char *value)
{
    char *end;
    long long n = strtoll(value, &end, 10);

    return end != value && *end == '\0' && n <= INTEGER_MAX &&
           n >= -INTEGER_MAX;
}

static bool is_float(const char *value)
{
    char *end;

    (void)strtod(value, &end);
    return end != value && *end == '\0';
}

static bool is_value(const char *value, char type)
{
    switch (type) {
    case 'b':
        return strcmp(value, "t") == 0 || strcmp(value, "f") == 0;
    case 'i':
        return is_integer(value);
    case 'f':
        return is_float(value);
    default:
        return true;
    }
}

/* ---- results ----------------------------------------------------------- */

/* Format 1 is binary, which nobody has asked for: its bytes would be read as
** text. A NULL must be allowed for, since PQgetvalue gives "" for it. */
static const char *column_fault(const PGresult *res, int at,
                                const struct column *column)
{
    const char *name = PQfname(res, at);
    bool named = strlen(name) == column->name_len &&
                 memcmp(name, column->name, column->name_len) == 0;

    if (!named && strncmp(column->name, "_:", 2) != 0)
        return "a different column name than requested";
    if (type_of(PQftype(res, at)) != column->type || PQfformat(res, at) != 0)
        return "a different column type than requested";
    for (int row = 0; row < PQntuples(res); row++) {
        if (PQgetisnull(res, row, at)) {
            if (!column->optional)
                return "NULL in a column that is never NULL";
        } else if (!is_value(PQgetvalue(res, row, at), column->type)) {
            return "a value that does not match its type";
        }
    }
    return NULL;
}

/* The columns come in the order in which they were asked for; so a shape needs
** names only where somebody looks for one (PQfnumber). */
static const char *columns_fault(const PGresult *res, const char *shape)
{
    int at = 0;
    const char *word;
    size_t len;

    while ((len = next_word(&shape, &word)) > 0) {
        struct column column;
        const char *fault;

        if (*word == '.')
            return NULL;
        if (at == PQnfields(res))
            return "fewer columns than requested";
        column = read_column(word, len);
        fault = column_fault(res, at++, &column);
        if (fault != NULL)
            return fault;
    }
    return at < PQnfields(res) ? "more columns than requested" : NULL;
}

/* A command that has no rows at all (PGRES_COMMAND_OK) answers no query,
** however many of them were expected. */
static const char *rows_fault(const PGresult *res, char rows)
{
    int n = PQntuples(res);

    if (PQresultStatus(res) != PGRES_TUPLES_OK)
        return "no result set for a query";
    if (rows == '1' && n == 0)
        return "no row where exactly one is expected";
    return rows != '*' && n > 1 ? "more rows than expected" : NULL;
}

/* Whether a command tag is one of those in a word. */
static bool is_tag(const char *tag, const char *word, size_t len)
{
    size_t wanted = strlen(tag);

    for (const char *end = word + len; word < end;
         word += strcspn(word, "/ ") + 1)
        if (strcspn(word, "/ ") == wanted && memcmp(word, tag, wanted) == 0)
            return true;
    return false;
}

/* PQcmdStatus takes no const, though it changes nothing. */
const char *pgmig_answer_fault(const PGresult *res, const char *shape)
{
    const char *word;
    const char *fault;
    size_t len = next_word(&shape, &word);

    if (*word == '-')
        return NULL;
    if (len > 1)
        return is_tag(PQcmdStatus((PGresult *)res), word, len)
                   ? NULL
                   : "the response to another command";
    fault = rows_fault(res, *word);
    return fault != NULL ? fault : columns_fault(res, shape);
}
