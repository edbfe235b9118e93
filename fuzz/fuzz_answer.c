/*
** fuzz_answer.c -- any result for any shape: what is no fault can be read as
** the shape says, without another look.
*/
#include <libpq-fe.h>
#include <string.h>

#include "check.h"
#include "wire/answer.h"

enum { COLUMNS_MAX = 5, ROWS_MAX = 4 };

static const char *const shapes[] = {
    "-",
    "1",
    "? a:int",
    "* a:int? _:text",
    "1 a:bool b:float? ...",
    "* _:int b:bool? a:text?",
    "1 a:int b:int a:int",
    "* ...",
    "COMMIT",
    "INSERT/UPDATE/SELECT",
};

static const Oid types[] = {16, 20, 21, 23, 25, 26, 700, 701, 1043, 0};

/* What is left of the input. */
struct input {
    const uint8_t *at;
    size_t len;
};

static unsigned take(struct input *in, unsigned below)
{
    if (in->len == 0)
        return 0;
    in->len--;
    return *in->at++ % below;
}

/* Up to the next line end, in a buffer of its own. */
static char *take_line(struct input *in)
{
    const uint8_t *newline = memchr(in->at, '\n', in->len);
    size_t len = newline ? (size_t)(newline - in->at) : in->len;
    char *line = malloc(len + 1);

    CHECK(line != NULL);
    memcpy(line, in->at, len);
    line[len] = '\0';
    in->at += len + (newline != NULL);
    in->len -= len + (newline != NULL);
    return line;
}

static void put_columns(PGresult *res, struct input *in, int count)
{
    static char names[][2] = {"a", "b", ""};
    PGresAttDesc columns[COLUMNS_MAX] = {0};

    for (int i = 0; i < count; i++) {
        columns[i].name = names[take(in, 3)];
        columns[i].typid = types[take(in, sizeof types / sizeof *types)];
        columns[i].format = take(in, 16) == 15;
    }
    CHECK(count == 0 || PQsetResultAttrs(res, count, columns));
}

static void put_rows(PGresult *res, struct input *in, int columns)
{
    int rows = columns > 0 ? (int)take(in, ROWS_MAX) : 0;

    for (int i = 0; i < rows * columns; i++) {
        bool null = take(in, 8) == 7;
        char *value = take_line(in);

        CHECK(PQsetvalue(res, i / columns, i % columns, null ? NULL : value,
                         null ? -1 : (int)strlen(value)));
        free(value);
    }
}

static PGresult *make_result(struct input *in)
{
    static const ExecStatusType kinds[] = {
        PGRES_TUPLES_OK,  PGRES_TUPLES_OK,   PGRES_TUPLES_OK, PGRES_TUPLES_OK,
        PGRES_COMMAND_OK, PGRES_EMPTY_QUERY, PGRES_COPY_OUT,  PGRES_COPY_BOTH};
    PGresult *res = PQmakeEmptyPGresult(NULL, kinds[take(in, 8)]);
    int columns = (int)take(in, COLUMNS_MAX + 1);

    CHECK(res != NULL);
    put_columns(res, in, columns);
    put_rows(res, in, columns);
    return res;
}

/* ---- what a reader relies on ------------------------------------------- */

static void check_integer(const char *value)
{
    char *end;
    long long n = strtoll(value, &end, 10);

    CHECK(end != value && *end == '\0');
    CHECK((long long)(double)n == n && n >= -(1LL << 53) && n <= 1LL << 53);
}

static void check_value(const char *value, const char *type, size_t len)
{
    char *end;

    if (strncmp(type, "int", 3) == 0) {
        check_integer(value);
    } else if (strncmp(type, "bool", 4) == 0) {
        CHECK((*value == 't' || *value == 'f') && value[1] == '\0');
    } else if (strncmp(type, "float", 5) == 0) {
        (void)strtod(value, &end);
        CHECK(end != value && *end == '\0');
    } else {
        CHECK(strncmp(type, "text", 4) == 0 && len >= 4);
    }
}

/* A word of the shape is what column `at` has. */
static void check_column(const PGresult *res, int at, const char *word,
                         size_t len)
{
    const char *type = (const char *)memchr(word, ':', len) + 1;
    size_t name = (size_t)(type - word) - 1;

    CHECK(at < PQnfields(res) && PQfformat(res, at) == 0);
    CHECK(*word == '_' || (strlen(PQfname(res, at)) == name &&
                           strncmp(PQfname(res, at), word, name) == 0));
    for (int row = 0; row < PQntuples(res); row++) {
        if (PQgetisnull(res, row, at))
            CHECK(word[len - 1] == '?');
        else
            check_value(PQgetvalue(res, row, at), type,
                        (size_t)(word + len - type));
    }
}

static void check_shape(const PGresult *res, const char *shape)
{
    int rows = PQntuples(res);
    int at = 0;

    CHECK(PQresultStatus(res) == PGRES_TUPLES_OK);
    CHECK(*shape == '*' || rows == 1 || (*shape == '?' && rows == 0));
    for (shape++; *shape != '\0'; at++) {
        size_t len = strcspn(++shape, " ");

        if (*shape == '.')
            return;
        check_column(res, at, shape, len);
        shape += len;
    }
    CHECK(at == PQnfields(res));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    const char *shape = shapes[take(&in, sizeof shapes / sizeof *shapes)];
    PGresult *res = make_result(&in);

    if (pgmig_answer_fault(res, shape) == NULL && strchr("1?*", *shape))
        check_shape(res, shape);
    PQclear(res);
    return 0;
}
