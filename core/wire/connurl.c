/*
** connurl.c -- URLs of databases, and what was meant to be one.
**
** libpq reads a URL from left to right and stops at the first character that
** fits (libpq manual, "Connection URIs"): one @, / or : too many moves the rest
** of a password into host, port or database, where it is looked up, logged or
** repeated. So each part is read here as libpq would, and anything that could
** be such a rest is refused. No message quotes any of it: the hint shows the
** form.
*/
#include "wire/connurl.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "wire/connparam.h"
#include "base/error.h"

#define URL_FORM                                                          \
    "postgresql://user:password@host:port/database, with @ as %40, / as " \
    "%2F, : as %3A, ? as %3F, % as %25 in user and password"

static int refuse(struct pgmig_error *err, const char *what, const char *hint)
{
    return pgmig_connparam_invalid(err, what, hint);
}

int pgmig_connurl_refuse(struct pgmig_error *err, const char *what)
{
    return refuse(err, what, URL_FORM);
}

/* ---- what stands around or before ------------------------------------ */

bool pgmig_connurl_is(const char *s)
{
    return strncmp(s, "postgresql://", 13) == 0 ||
           strncmp(s, "postgres://", 11) == 0;
}

/* Schemes are compared without regard to case (RFC 3986); libpq does regard
** it. */
static bool alike(const char *s, size_t len, const char *word)
{
    return strlen(word) == len && strncasecmp(s, word, len) == 0;
}

static bool ends_with(const char *s, size_t len, const char *end)
{
    size_t n = strlen(end);

    return len >= n && strncasecmp(s + len - n, end, n) == 0;
}

/* Schemes of others: of drivers that speak to PostgreSQL, and of other
** databases. */
static const struct {
    const char *name;
    bool postgres;
} schemes[] = {
    {"jdbc:postgresql", true},
    {"jdbc:postgres", true},
    {"r2dbc:postgresql", true},
    {"r2dbc:pool:postgresql", true},
    {"postgresql+psycopg2", true},
    {"postgresql+psycopg", true},
    {"postgresql+asyncpg", true},
    {"postgresql+pg8000", true},
    {"postgres+psycopg2", true},
    {"postgres+asyncpg", true},
    {"ecto", true},
    {"postgre", true},
    {"postgress", true},
    {"pgsql", true},
    {"psql", true},
    {"pg", true},
    {"pgx", true},
    {"pgx5", true},
    {"pdo-pgsql", true},
    {"cockroachdb", true},
    {"cockroach", true},
    {"crdb-postgres", true},
    {"redshift", true},
    {"timescaledb", true},
    {"postgis", true},
    {"mysql", false},
    {"mysql2", false},
    {"mariadb", false},
    {"jdbc:mysql", false},
    {"jdbc:mariadb", false},
    {"jdbc:sqlserver", false},
    {"jdbc:oracle", false},
    {"jdbc:sqlite", false},
    {"sqlite", false},
    {"sqlite3", false},
    {"file", false},
    {"mongodb", false},
    {"mongodb+srv", false},
    {"redis", false},
    {"rediss", false},
    {"sqlserver", false},
    {"mssql", false},
    {"oracle", false},
    {"clickhouse", false},
    {"http", false},
    {"https", false},
};

/* Only the list's own words are repeated: what stands before :// may be the
** beginning of a password. */
static int refuse_scheme(const char *s, size_t len, struct pgmig_error *err)
{
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        if (!alike(s, len, schemes[i].name))
            continue;
        pgmig_error_set(
            err, PGMIG_E_USAGE,
            "invalid connection string: libpq does not support %s:// URLs",
            schemes[i].name);
        return pgmig_error_hint(
            err, schemes[i].postgres
                     ? "write postgresql:// instead"
                     : "pgmig is for PostgreSQL: postgresql://...");
    }
    if (len > 11 && strncasecmp(s, "postgresql+", 11) == 0)
        return refuse(err, "it names a driver after postgresql",
                      "write postgresql:// without it");
    return pgmig_connurl_refuse(err, "it does not start with postgresql://");
}

/* More than RFC 3986 allows (_ and :), as others do: jdbc:postgresql. */
static bool is_scheme(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)s[i]) && strchr("+.-:_", s[i]) == NULL)
            return false;
    return true;
}

/* A byte order mark or a quote of the curly kind is no ASCII. */
int pgmig_connurl_check_start(const char *s, struct pgmig_error *err)
{
    if (s[0] == '\0')
        return 0;
    if (isspace((unsigned char)s[0]))
        return refuse(err, "it starts with a space or a line break",
                      "remove it");
    if (strchr("\"'`", s[0]) != NULL)
        return refuse(
            err, "it is enclosed in quotes, which would be taken as part of it",
            "remove the quotes: the shell, or .env, should have removed them");
    if (s[0] == '<' || s[0] == '(' || s[0] == '[' || s[0] == '{')
        return refuse(err, "it is enclosed in brackets", "remove the brackets");
    if ((unsigned char)s[0] >= 0x80)
        return refuse(err,
                      "it starts with a non-ASCII character, such as a byte "
                      "order mark or a curly quote",
                      "remove it");
    return 0;
}

/* A "://" stands in it, and libpq takes it for something else than a URL. */
int pgmig_connurl_refuse_other(const char *s, struct pgmig_error *err)
{
    size_t len = (size_t)(strstr(s, "://") - s);

    if (pgmig_connurl_check_start(s, err) != 0)
        return -1;
    if (is_scheme(s, len)) {
        if (alike(s, len, "postgresql") || alike(s, len, "postgres"))
            return refuse(err, "its scheme is not in lower case",
                          "write postgresql://");
        return refuse_scheme(s, len, err);
    }
    if (ends_with(s, len, "postgresql") || ends_with(s, len, "postgres"))
        return refuse(err, "there is text before postgresql://",
                      "start it with postgresql://");
    return pgmig_connurl_refuse(err, "it does not start with postgresql://");
}

/* They come with text that was copied, or with a file that was read whole;
** libpq would take one for a part of a name. */
static bool has_control(const char *s)
{
    for (; *s != '\0'; s++)
        if (iscntrl((unsigned char)*s))
            return true;
    return false;
}

/* A quote that has no other one. */
static bool ends_in_quote(const char *s, size_t len)
{
    size_t count = 0;

    if (len == 0 || strchr("\"'`", s[len - 1]) == NULL)
        return false;
    for (size_t i = 0; i < len; i++)
        count += s[i] == s[len - 1];
    return count % 2 == 1;
}

/* What libpq would take for a part of a database's name, or of a password. */
int pgmig_connurl_check_end(const char *s, struct pgmig_error *err)
{
    size_t len = strlen(s);

    if (len > 0 && isspace((unsigned char)s[len - 1]))
        return refuse(err, "it ends with a space or a line break",
                      "remove it; in a name or password write a space as %20");
    if (ends_in_quote(s, len))
        return refuse(
            err, "it ends with a quote but does not start with one",
            "remove the quote; in a name or password write it as %27 or %22");
    if (has_control(s))
        return refuse(err,
                      "it contains a line break or another control character",
                      "write it on one line");
    return 0;
}

/* ---- URLs ------------------------------------------------------------ */

/* Two hexadecimal digits behind each %, and none that makes a NUL. */
static int check_escapes(const char *s, size_t len, const char *part,
                         struct pgmig_error *err)
{
    for (size_t i = 0; i < len; i++) {
        if (s[i] != '%')
            continue;
        if (i + 2 >= len || !isxdigit((unsigned char)s[i + 1]) ||
            !isxdigit((unsigned char)s[i + 2])) {
            pgmig_error_set(
                err, PGMIG_E_USAGE,
                "invalid connection string: a %% in %s is not followed by two "
                "hexadecimal digits",
                part);
            return pgmig_error_hint(err, "%% itself is written %%25");
        }
        if (s[i + 1] == '0' && s[i + 2] == '0')
            return refuse(err, "it contains a NUL byte, written %00",
                          "no name or password can contain one");
    }
    return 0;
}

/* A number from 1 to 65535; an empty one is the default. Its length is
** anybody's: it is left before it can overflow. */
static bool is_port(const char *s, size_t len)
{
    long port = 0;

    for (size_t i = 0; i < len; i++) {
        if (!isdigit((unsigned char)s[i]))
            return false;
        port = port * 10 + (s[i] - '0');
        if (port > 65535)
            return false;
    }
    return len == 0 || port > 0;
}

static int check_port(const char *s, size_t len, struct pgmig_error *err)
{
    if (is_port(s, len))
        return 0;
    return refuse(err, "its port is not a number from 1 to 65535",
                  "an address with colons must be in brackets, as [::1]:5432; "
                  "in a password write / as %2F and @ as %40");
}

/* host:port, [address]:port: where it ends. NULL: it is refused. */
static const char *read_host(const char *s, struct pgmig_error *err)
{
    size_t len;

    /* an IPv6 address, with colons of its own */
    if (s[0] == '[') {
        len = strcspn(s, "]");
        if (s[len] == '\0' || len == 1) {
            refuse(err, "an address in brackets is unterminated or empty",
                   "write it as [::1]:5432");
            return NULL;
        }
        s += len + 1;
        if (strchr(":/?,", s[0]) == NULL) {
            refuse(
                err,
                "an address in brackets must be followed by : / ? or a comma",
                "write it as [::1]:5432/database");
            return NULL;
        }
    } else {
        len = strcspn(s, ":/?,");
        if (check_escapes(s, len, "the host", err) != 0)
            return NULL;
        if (strcspn(s, "=;") < len) {
            pgmig_connurl_refuse(err, "the host contains a = or ;");
            return NULL;
        }
        s += len;
    }
    if (s[0] != ':')
        return s;
    len = strcspn(++s, "/?,");
    return check_port(s, len, err) == 0 ? s + len : NULL;
}

/* The list of hosts; where it ends, NULL when it is refused. */
static const char *read_hosts(const char *s, struct pgmig_error *err)
{
    s = read_host(s, err);
    while (s != NULL && s[0] == ',')
        s = read_host(s + 1, err);
    return s;
}

/* name=value, the `count`-th behind the question mark. JDBC's ssl=true is one
** that libpq knows in URLs only. */
static int check_url_parameter(const char *s, size_t len, int count,
                               struct pgmig_error *err)
{
    const char *equals = memchr(s, '=', len);
    size_t name = equals ? (size_t)(equals - s) : len;

    if (check_escapes(s, len, "a parameter", err) != 0)
        return -1;
    if (len == 8 && strncmp(s, "ssl=true", 8) == 0)
        return 0;
    /* an escaped name is left to libpq, which knows what it means */
    if (memchr(s, '%', name) == NULL &&
        pgmig_connparam_check(s, name, count, err) != 0)
        return -1;
    if (equals == NULL)
        return pgmig_connurl_refuse(err,
                                    "a parameter after the ? has no value: "
                                    "write name=value, separated by &");
    if (memchr(equals + 1, '=', len - name - 1) != NULL)
        return refuse(err, "a parameter after the ? contains a second =",
                      "write it as %3D; parameters are separated by &");
    return 0;
}

static int check_url_parameters(const char *s, struct pgmig_error *err)
{
    for (int count = 1; *s != '\0'; count++) {
        size_t len = strcspn(s, "&");

        if (check_url_parameter(s, len, count, err) != 0)
            return -1;
        s += len + (s[len] == '&');
    }
    return 0;
}

/* The user's name and password, where there are some. An @ or / in a password
** that is not written %40 or %2F would make libpq take the password's rest for
** a host, port or database. Where the hosts begin; NULL when it is refused. */
static const char *read_user(const char *s, struct pgmig_error *err)
{
    size_t user = strcspn(s, "@/");
    size_t name;

    /* no @ before the first /: no user, unless an @ comes later */
    if (s[user] != '@') {
        if (memchr(s, '@', strcspn(s, "?")) == NULL)
            return s;
        pgmig_connurl_refuse(
            err, "there is a / before the @, in the user name or password");
        return NULL;
    }
    /* the password, behind a colon, may hold what a name must not */
    name = strcspn(s, ":@");
    if (strcspn(s, " ;,=&?'\"\\#[]{}<>|^`") < name) {
        refuse(err,
               "the user name contains a character that must be written with %",
               "a password follows a colon, "
               "postgresql://user:password@host/database; in a name write a "
               "space as %20");
        return NULL;
    }
    if (check_escapes(s, name, "the user name", err) != 0 ||
        check_escapes(s + name, user - name, "the password", err) != 0)
        return NULL;
    s += user + 1;
    if (memchr(s, '@', strcspn(s, "?")) == NULL)
        return s;
    pgmig_connurl_refuse(err, "it contains more than one @");
    return NULL;
}

/* In libpq's order: user and password, hosts, database, parameters. Where each
** part is what it seems to be, there is but one way to read the whole. */
int pgmig_connurl_check(const char *s, struct pgmig_error *err)
{
    const char *at;

    if (pgmig_connurl_check_end(s, err) != 0)
        return -1;
    at = read_user(strstr(s, "://") + 3, err);
    if (at != NULL)
        at = read_hosts(at, err);
    if (at == NULL)
        return -1;
    if (at[0] == '/') {
        size_t len = strcspn(at + 1, "?");

        if (check_escapes(at + 1, len, "the database name", err) != 0)
            return -1;
        if (strcspn(at + 1, "=") < len)
            return pgmig_connurl_refuse(
                err, "the database name contains a =: parameters start with a "
                     "? (in a name write = as %3D)");
        at += 1 + len;
    }
    return at[0] == '?' ? check_url_parameters(at + 1, err) : 0;
}
