/*
** connstring.c -- connection strings, checked before libpq connects.
**
** What libpq cannot read it quotes in its message, and what it reads otherwise
** than it was meant (a password with an @ in it, say) it sends to a resolver or
** a server, which log it. So each string is read here first, as libpq would,
** and refused with a sentence that quotes nothing. libpq has the last word on
** what it can read (is_readable); what is refused here beyond that would not
** have led to the database that was meant.
**
** Nothing is looked up, and nothing of the string is changed.
*/
#include "wire/connstring.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "wire/connparam.h"
#include "wire/connurl.h"
#include "base/error.h"

/* The hint shows the form: what is wrong cannot be shown. */
static int refuse_words(struct pgmig_error *err, const char *what)
{
    return pgmig_connparam_invalid(
        err, what,
        "host=localhost user=app dbname=shop password='two words', with \\' "
        "and \\\\ in a quoted value");
}

/* ---- key words ------------------------------------------------------- */

static const char *skip_blanks(const char *s)
{
    while (isspace((unsigned char)*s))
        s++;
    return s;
}

/* Where a value ends; NULL for a quoted one without an end. As libpq reads it:
** a backslash takes the next character along, in quotes or not (libpq manual,
** "Keyword/Value Connection Strings"). */
static const char *skip_value(const char *s)
{
    bool quoted = *s == '\'';

    for (s += quoted; *s != '\0'; s++) {
        if (*s == '\\' && s[1] != '\0')
            s++;
        else if (quoted && *s == '\'')
            return s + 1;
        else if (!quoted && isspace((unsigned char)*s))
            return s;
    }
    return quoted ? NULL : s;
}

/* `host=db;password=...`: libpq takes all of it for the value, which the server
** or the resolver then repeat. Never of a password, which nobody repeats. */
static bool has_another(const char *value, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        size_t name = i + 1;

        if (strchr(";,&", value[i]) == NULL)
            continue;
        while (name < len && (isalpha((unsigned char)value[name]) ||
                              value[name] == '_' || value[name] == ' '))
            name++;
        if (name > i + 1 && name < len && value[name] == '=')
            return true;
    }
    return false;
}

/* In quotes anything is meant as it stands. */
static int check_value(const char *name, size_t name_len, const char *value,
                       const char *end, struct pgmig_error *err)
{
    if (end == NULL)
        return refuse_words(err, "it contains an unterminated quoted value");
    if (value[0] == '\'' ||
        (name_len == 8 && strncmp(name, "password", 8) == 0))
        return 0;
    if (!has_another(value, (size_t)(end - value)))
        return 0;
    return refuse_words(err, "its keywords are separated by semicolons or the "
                             "like: libpq requires spaces");
}

/* Each name one of libpq's, each value with an end. */
static int check_words(const char *s, struct pgmig_error *err)
{
    for (int number = 1; *(s = skip_blanks(s)) != '\0'; number++) {
        const char *name = s;
        const char *value;
        size_t len = 0;

        while (name[len] != '\0' && name[len] != '=' &&
               !isspace((unsigned char)name[len]))
            len++;
        value = skip_blanks(name + len);
        if (*value != '=')
            return refuse_words(err,
                                "a word in it is not followed by =: a value "
                                "with spaces must be in single quotes");
        value = skip_blanks(value + 1);
        s = skip_value(value);
        if (check_value(name, len, value, s, err) != 0 ||
            pgmig_connparam_check(name, len, number, err) != 0)
            return -1;
    }
    return 0;
}

/* NAME=postgresql://...: a line of a shell script or of .env. */
static bool is_assignment(const char *s, size_t name)
{
    s += name + 1;
    s += *s != '\0' && strchr("\"'", *s) != NULL;
    return pgmig_connurl_is(s);
}

/* Another form that went wrong, which libpq takes for key words. */
static int check_form(const char *s, struct pgmig_error *err)
{
    const char *scheme = strstr(s, "://");
    size_t name = strcspn(s, "=");

    if (scheme != NULL && (size_t)(scheme - s) < name)
        return pgmig_connurl_refuse_other(s, err);
    if (is_assignment(s, name))
        return pgmig_connparam_invalid(err,
                                       "there is text before postgresql://",
                                       "start it with postgresql://");
    if (strcspn(s, "@:/") < name)
        return pgmig_connurl_refuse(err,
                                    "it does not start with postgresql://");
    return pgmig_connurl_check_start(skip_blanks(s), err);
}

/* libpq's own reading, whose text quotes pieces and is not repeated: so no
** place for it is given. */
static bool is_readable(const char *s)
{
    PQconninfoOption *options = PQconninfoParse(s, NULL);

    PQconninfoFree(options);
    return options != NULL;
}

/* Another form is looked for only where libpq cannot read the string: what it
** can read is key words, whatever it looks like. */
static int check_keywords(const char *s, struct pgmig_error *err)
{
    bool readable = is_readable(s);

    if (!readable && check_form(s, err) != 0)
        return -1;
    if (check_words(s, err) != 0)
        return -1;
    return readable ? 0 : refuse_words(err, "libpq cannot parse it");
}

/* ---- the whole ------------------------------------------------------- */

/* A database's name: another form that went wrong looks like one. */
static int check_name(const char *s, struct pgmig_error *err)
{
    if (strstr(s, "://") != NULL)
        return pgmig_connurl_refuse_other(s, err);
    if (pgmig_connurl_check_start(s, err) != 0)
        return -1;
    if (strpbrk(s, "@:/?;") != NULL)
        return pgmig_connurl_refuse(
            err, "it is neither a URL (postgresql:// is missing), nor keywords "
                 "(dbname='...'), nor a plain database name");
    return pgmig_connurl_check_end(s, err);
}

/* How libpq tells the forms apart: a URL by how it begins, key words by a =,
** else a database's name (fe-connect.c, recognized_connection_string). */
static int check_string(const char *s, struct pgmig_error *err)
{
    if (strchr(s, '=') == NULL && !pgmig_connurl_is(s))
        return check_name(s, err);
    if (!pgmig_connurl_is(s))
        return check_keywords(s, err);
    if (pgmig_connurl_check(s, err) != 0)
        return -1;
    return is_readable(s) ? 0
                          : pgmig_connurl_refuse(err, "libpq cannot parse it");
}

/* All keywords are looked at, and the one string that libpq expands: the first
** `dbname` that has a value. */
int pgmig_connstring_check_all(const char *const *keywords,
                               const char *const *values,
                               struct pgmig_error *err)
{
    if (pgmig_connparam_check_all(keywords, err) != 0)
        return -1;
    for (size_t i = 0; keywords[i] != NULL; i++)
        if (strcmp(keywords[i], "dbname") == 0 && values[i] != NULL)
            return check_string(values[i], err); /* libpq expands no other */
    return 0;
}

/* The parameter whose value libpq refuses: it names it before the value, or
** last, `invalid integer value "5s" for connection option "port"`. Only what
** stands before the first quote is searched: behind it is the value. */
static const char *refused_parameter(const char *text)
{
    static const char last[] = "for connection option \"";
    const char *at = strstr(text, last);
    char before[64] = "";

    if (at != NULL)
        return pgmig_connparam_in(at + sizeof last - 1);
    strncat(before, text,
            strcspn(text, "\"\n") < sizeof before ? strcspn(text, "\"\n")
                                                  : sizeof before - 1);
    return pgmig_connparam_in(before);
}

/* Where it comes from is not known: libpq has added up all sources. */
static int refuse_value(struct pgmig_error *err, const char *name)
{
    const char *values = name ? pgmig_connparam_values(name) : NULL;

    pgmig_error_set(err, PGMIG_E_USAGE,
                    "invalid value for connection parameter %s",
                    name ? name : "(libpq does not say which)");
    return pgmig_error_hint(
        err,
        "%s%s%s from the connection string, a libpq environment variable such "
        "as PGPORT or PGSSLMODE, or a service file",
        values ? "it must be " : "", values ? values : "",
        values ? ", and comes" : "it comes");
}

/* By libpq's words, since it has no codes for them. What is not recognised,
** such as a translation, is told as an error of connecting, with the values
** taken out (conn.c). */
bool pgmig_connstring_refusal(const char *text, struct pgmig_error *err)
{
    if (strncmp(text, "definition of service ", 22) == 0) {
        pgmig_error_set(err, PGMIG_E_USAGE,
                        "the service is not defined in the service file");
        pgmig_error_hint(err,
                         "it is named by the connection parameter service or "
                         "by PGSERVICE; the service file is ~/.pg_service.conf "
                         "or the one named by PGSERVICEFILE");
        return true;
    }
    if (strncmp(text, "could not match ", 16) == 0) { /* says numbers only */
        pgmig_error_set(err, PGMIG_E_USAGE, "%.*s", (int)strcspn(text, "\n"),
                        text);
        return true;
    }
    if (strncmp(text, "invalid ", 8) != 0 &&
        strstr(text, " invalid when ") == NULL)
        return false;
    refuse_value(err, refused_parameter(text));
    return true;
}

/* As libpq reads it (fe-connect.c, parse_int_param). */
static bool is_number(const char *s)
{
    char *end;
    long number;

    errno = 0;
    number = strtol(s, &end, 10);
    return end != s && errno == 0 && number >= INT_MIN && number <= INT_MAX &&
           *skip_blanks(end) == '\0';
}

static bool is_one_of(const char *keyword, const char *const *list)
{
    while (*list != NULL && strcmp(keyword, *list) != 0)
        list++;
    return *list != NULL;
}

/* Whether another parameter has come into a value, or what stands behind the
** user's name: the server would log it. */
static bool has_password(const PQconninfoOption *o)
{
    static const char *const words[] = {"password=", "passwd=", "pwd=", NULL};

    if (strcmp(o->keyword, "user") == 0 && strchr(o->val, ':') != NULL)
        return true;
    if (strstr(o->keyword, "password") != NULL ||
        strcmp(o->keyword, "options") == 0)
        return false;
    for (size_t i = 0; words[i] != NULL; i++)
        if (strcasestr(o->val, words[i]) != NULL)
            return true;
    return false;
}

static int refuse_password(const PQconninfoOption *o, struct pgmig_error *err)
{
    pgmig_error_set(
        err, PGMIG_E_USAGE,
        "connection parameter %s contains what looks like a password",
        pgmig_connparam_in(o->keyword));
    return pgmig_error_hint(err,
                            "in a URL a password follows the user name and a "
                            "colon; among keywords it is written password=...");
}

static int refuse_url(const PQconninfoOption *o, struct pgmig_error *err)
{
    pgmig_error_set(err, PGMIG_E_USAGE,
                    "connection parameter %s is a URL, but must be a name",
                    pgmig_connparam_in(o->keyword));
    return pgmig_error_hint(
        err, "set a URL with DATABASE_URL, --database or `url`, not with %s",
        o->envvar);
}

/* What libpq hides itself (dispchar "*", libpq manual, PQconndefaults), what
** stands for a password (the keys of SCRAM), and what may have settings of any
** kind in it. */
static bool is_secret(const PQconninfoOption *o)
{
    return o->dispchar[0] == '*' || strncmp(o->keyword, "scram_", 6) == 0 ||
           strcmp(o->keyword, "options") == 0;
}

int pgmig_connstring_parameters(const char *s, struct pgmig_parameter *list,
                                int max, struct pgmig_error *err)
{
    PQconninfoOption *options;
    int n = 0;

    if (check_string(s, err) != 0)
        return -1;
    options = PQconninfoParse(s, NULL);
    if (options == NULL)
        return refuse_words(err, "it has no parameters");
    for (PQconninfoOption *o = options; n >= 0 && o->keyword != NULL; o++) {
        if (o->val == NULL || n == max)
            continue;
        list[n++] = (struct pgmig_parameter){o->keyword, is_secret(o)};
        if (has_password(o))
            n = refuse_password(o, err);
    }
    PQconninfoFree(options);
    return n;
}

/* Numbers are looked at here because libpq reads them too late for a usage
** error, when a socket is open, or not at all (connect_timeout, of a connection
** that is stepped). sslcrldir is a folder, whose files have names of their
** own. */
static int check_option(const PQconninfoOption *o, struct pgmig_error *err)
{
    static const char *const numbers[] = {"connect_timeout",
                                          "keepalives",
                                          "keepalives_idle",
                                          "keepalives_count",
                                          "tcp_user_timeout",
                                          "keepalives_interval",
                                          NULL};
    static const char *const files[] = {"passfile",    "sslcert", "sslkey",
                                        "sslrootcert", "sslcrl",  NULL};
    static const char *const names[] = {"dbname", "host", "user", NULL};
    static const char *const modes[] = {
        "true", "on", "yes", "1", "false", "off", "no", "0", "database", NULL};

    if (o->val == NULL || o->val[0] == '\0')
        return 0;
    if (is_one_of(o->keyword, numbers) && !is_number(o->val))
        return refuse_value(err, pgmig_connparam_in(o->keyword));
    if (strcmp(o->keyword, "replication") == 0 && !is_one_of(o->val, modes))
        return refuse_value(err, "replication");
    if (is_one_of(o->keyword, files) &&
        pgmig_connparam_check_file(o->keyword, o->val, err) != 0)
        return -1;
    if (is_one_of(o->keyword, names) && strstr(o->val, "://") != NULL)
        return refuse_url(o, err);
    return has_password(o) ? refuse_password(o, err) : 0;
}

int pgmig_connstring_check_values(PGconn *pg, struct pgmig_error *err)
{
    PQconninfoOption *options = PQconninfo(pg);
    int status = 0;

    if (options == NULL)
        return pgmig_error_memory(err);
    for (PQconninfoOption *o = options; status == 0 && o->keyword; o++)
        status = check_option(o, err);
    PQconninfoFree(options);
    return status;
}
