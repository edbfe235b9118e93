/*
** fuzz_connection.c -- any connection string with a secret anywhere in it: it
** is refused with a hint, or no server is found, and what is said of that does
** not repeat the secret. What is written as it should be is accepted, and libpq
** reads from it what went in.
*/
#include <ctype.h>
#include <string.h>

#include "base/buf.h"
#include "check.h"
#include "wire/conceal.h"
#include "wire/conn.h"
#include "wire/connstring.h"

#define SECRET "Zq7xW9"
#define NOWHERE "/nonexistent"

/* ---- what is said ------------------------------------------------------ */

static void check_unsaid(const char *text)
{
    CHECK(text == NULL || strcasestr(text, SECRET) == NULL);
}

static void check_error(struct pgmig_error *err)
{
    CHECK(err->message != NULL);
    check_unsaid(err->message);
    check_unsaid(err->detail);
    check_unsaid(err->hint);
    pgmig_error_clear(err);
}

/* libpq's text quotes what it refuses; host, port, user and database stay. */
static void check_concealed(PGconn *pg)
{
    PQconninfoOption *options = PQconninfo(pg);

    CHECK(options != NULL);
    for (PQconninfoOption *o = options; o->keyword != NULL; o++) {
        struct pgmig_buf text = {0};
        char *said;

        if (o->val == NULL || strstr(o->val, SECRET) == NULL ||
            strcmp(o->keyword, "user") == 0 ||
            strcmp(o->keyword, "dbname") == 0 ||
            strcmp(o->keyword, "port") == 0)
            continue;
        pgmig_buf_addf(&text, "\"x\": \"%s\" or \"%s\"\n", o->val, o->val);
        said = pgmig_conceal(pg, text.data);
        CHECK(said != NULL);
        check_unsaid(said);
        free(said);
        pgmig_buf_free(&text);
    }
    PQconninfoFree(options);
}

/* What stands behind `password=` is nothing that a server logs. */
static void check_password(PGconn *pg, const char *s)
{
    PQconninfoOption *options = PQconninfo(pg);

    CHECK(options != NULL);
    for (PQconninfoOption *o = options; o->keyword != NULL; o++)
        CHECK(strcasestr(s, "password=" SECRET) == NULL || o->val == NULL ||
              strcasestr(o->val, "password=" SECRET) == NULL ||
              strstr(o->keyword, "password") != NULL ||
              strcmp(o->keyword, "options") == 0);
    PQconninfoFree(options);
}

/* ---- any string -------------------------------------------------------- */

/* Whether libpq would send something into the network. */
static bool has_address(const char *s)
{
    PQconninfoOption *options = PQconninfoParse(s, NULL);
    bool found = false;

    for (PQconninfoOption *o = options; o && o->keyword != NULL; o++)
        found |= strcmp(o->keyword, "hostaddr") == 0 && o->val != NULL;
    PQconninfoFree(options);
    return found;
}

static void open_nowhere(const char *s)
{
    const char *keywords[] = {"dbname", "host", "passfile", NULL};
    const char *values[] = {s, NOWHERE, "/dev/null", NULL};
    struct pgmig_error err = {0};
    struct pgmig_conn *conn = pgmig_conn_open(keywords, values, &err);

    if (conn == NULL) {
        CHECK(err.kind == PGMIG_E_USAGE);
        check_error(&err);
        return;
    }
    check_concealed(conn->pg);
    check_password(conn->pg, s);
    CHECK(pgmig_conn_step(conn) == 0);
    CHECK(pgmig_conn_finish(conn, &err) != 0 && err.kind == PGMIG_E_CONNECT);
    check_error(&err);
    pgmig_conn_close(conn);
}

static void check_string(const char *s)
{
    const char *keywords[] = {"dbname", NULL};
    const char *values[] = {s, NULL};
    struct pgmig_error err = {0};

    if (pgmig_connstring_check_all(keywords, values, &err) != 0) {
        CHECK(err.kind == PGMIG_E_USAGE && err.hint != NULL);
        check_error(&err);
    } else if (!has_address(s)) {
        open_nowhere(s);
    }
}

/* A text of libpq's; of numbers it says which. */
static void check_refusal(const char *text)
{
    struct pgmig_error err = {0};

    if (strncmp(text, "could not match ", 16) != 0 &&
        pgmig_connstring_refusal(text, &err))
        check_error(&err);
}

/* ---- what is written as it should be ----------------------------------- */

struct part {
    const char *keyword;
    char *value;
};

static void add_url(struct pgmig_buf *out, const char *s)
{
    for (; *s != '\0'; s++)
        pgmig_buf_addf(out, isalnum((unsigned char)*s) ? "%c" : "%%%02x",
                       (unsigned char)*s);
}

static void add_words(struct pgmig_buf *out, const struct part *part)
{
    pgmig_buf_addf(out, "%s = '", part->keyword);
    for (const char *s = part->value; *s != '\0'; s++)
        pgmig_buf_addf(out, strchr("'\\", *s) != NULL ? "\\%c" : "%c", *s);
    pgmig_buf_adds(out, "' ");
}

static void check_read(struct pgmig_buf *s, const struct part parts[3])
{
    const char *keywords[] = {"dbname", NULL};
    const char *values[] = {s->data, NULL};
    struct pgmig_error err = {0};
    PQconninfoOption *options = PQconninfoParse(s->data, NULL);

    CHECK(!s->failed && options != NULL);
    CHECK(pgmig_connstring_check_all(keywords, values, &err) == 0);
    for (PQconninfoOption *o = options; o->keyword != NULL; o++)
        for (int i = 0; i < 3; i++)
            CHECK(strcmp(o->keyword, parts[i].keyword) != 0 ||
                  strcmp(o->val, parts[i].value) == 0);
    PQconninfoFree(options);
    pgmig_buf_free(s);
}

static void check_parts(const struct part parts[3])
{
    struct pgmig_buf url = {0};
    struct pgmig_buf words = {0};

    pgmig_buf_adds(&url, "postgresql://");
    add_url(&url, parts[0].value);
    pgmig_buf_adds(&url, ":");
    add_url(&url, parts[1].value);
    pgmig_buf_adds(&url, "@/");
    add_url(&url, parts[2].value);
    check_read(&url, parts);
    for (int i = 0; i < 3; i++)
        add_words(&words, &parts[i]);
    check_read(&words, parts);
}

/* Lines of the string as user, password and database. */
static void check_lines(char *s)
{
    struct part parts[] = {
        {"user", NULL}, {"password", NULL}, {"dbname", NULL}};

    for (int i = 0; i < 3; i++) {
        parts[i].value = strsep(&s, "\n");
        if (parts[i].value == NULL || parts[i].value[0] == '\0')
            return;
    }
    check_parts(parts);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const char *names[64];
    size_t count = pgmig_libpq_variables(names, 64);

    (void)argc;
    (void)argv;
    for (size_t i = 0; i < count; i++)
        unsetenv(names[i]);
    return setenv("PGSERVICEFILE", "/dev/null", 1);
}

/* The first byte says where the secret stands in the others. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data + 1;
    struct pgmig_buf s = {0};
    size_t at;

    if (size == 0)
        return 0;
    size--;
    at = data[0] < size ? data[0] : size;
    pgmig_buf_add(&s, text, at);
    pgmig_buf_adds(&s, SECRET);
    pgmig_buf_add(&s, text + at, size - at);
    CHECK(!s.failed);
    check_string(s.data);
    check_refusal(s.data);
    check_lines(s.data);
    pgmig_buf_free(&s);
    return 0;
}
