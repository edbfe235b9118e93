/*
** connparam.c -- libpq's parameters by name, and what others call them.
**
** libpq itself says which parameters it has, so that a newer one is not refused
** here; the lists in this file are for people: which values a parameter takes,
** and what is written in place of a word that other drivers use. A name in a
** connection string that is not in the lists is never repeated, since it may be
** a piece of a password.
*/
#include "wire/connparam.h"

#include <ctype.h>
#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"
#include "base/file.h"

#define WHOLE_NUMBER "a whole number"
#define SECONDS "a whole number of seconds"

/* Those that people write, with the values that they take (libpq manual,
** "Parameter Key Words"); newer versions of libpq may know more of them. */
static const struct {
    const char *name;
    const char *values;
} parameters[] = {
    {"host", NULL},
    {"hostaddr", NULL},
    {"port", "a number from 1 to 65535, or one for each host"},
    {"dbname", NULL},
    {"user", NULL},
    {"password", NULL},
    {"passfile", NULL},
    {"service", NULL},
    {"options", NULL},
    {"application_name", NULL},
    {"client_encoding", NULL},
    {"connect_timeout", SECONDS},
    {"keepalives", "0 or 1"},
    {"keepalives_idle", SECONDS},
    {"keepalives_interval", SECONDS},
    {"keepalives_count", WHOLE_NUMBER},
    {"tcp_user_timeout", "a whole number of milliseconds"},
    {"sslmode", "disable, allow, prefer, require, verify-ca or verify-full"},
    {"sslcert", NULL},
    {"sslkey", NULL},
    {"sslpassword", NULL},
    {"sslrootcert", NULL},
    {"sslcrl", NULL},
    {"sslcrldir", NULL},
    {"sslsni", "0 or 1"},
    {"sslcompression", "0 or 1"},
    {"sslnegotiation", "postgres or direct"},
    {"sslcertmode", "disable, allow or require"},
    {"ssl_min_protocol_version", "TLSv1, TLSv1.1, TLSv1.2 or TLSv1.3"},
    {"ssl_max_protocol_version", "TLSv1, TLSv1.1, TLSv1.2 or TLSv1.3"},
    {"channel_binding", "disable, prefer or require"},
    {"require_auth", "a comma-separated list of method names"},
    {"requirepeer", NULL},
    {"gssencmode", "disable, prefer or require"},
    {"gsslib", NULL},
    {"krbsrvname", NULL},
    {"target_session_attrs",
     "any, read-write, read-only, primary, standby or prefer-standby"},
    {"load_balance_hosts", "disable or random"},
    {"replication", "true, false or database"},
};

#define PARAMETERS (sizeof parameters / sizeof *parameters)

#define SEARCH_PATH                                                 \
    "choose the schema with options=-csearch_path%3Dapp in a URL, " \
    "options='-c search_path=app' among keywords, or --table "      \
    "app.schema_migrations"
#define SETTING                                                          \
    "set a server setting through options: options=-cNAME%3DVALUE in a " \
    "URL, options='-c NAME=VALUE' among keywords"
#define LEAVE_OUT \
    "remove it: it belongs to another program and has no meaning here"

/* What is meant by a name that libpq does not know. Constants, never the
** caller's text; NULL for what is not known. */
struct meant {
    const char *name;    /* another program's parameter */
    const char *instead; /* what to do in its place, a sentence */
    const char *similar; /* the parameter of libpq's that may be meant */
};

/* What other drivers and programs put into a connection string. */
static const struct meant foreign[] = {
    {"schema", SEARCH_PATH, NULL},
    {"currentSchema", SEARCH_PATH, NULL},
    {"search_path", SEARCH_PATH, NULL},
    {"pgbouncer", "remove it: pgmig works through pgbouncer without it", NULL},
    {"ssl",
     "write sslmode=require, or sslmode=verify-full with "
     "sslrootcert=FILE",
     NULL},
    {"tls",
     "write sslmode=require, or sslmode=verify-full with "
     "sslrootcert=FILE",
     NULL},
    {"sslaccept", "write sslmode=require, or sslmode=verify-full for strict",
     NULL},
    {"ssl_mode", "write sslmode", NULL},
    {"sslidentity", "write sslcert and sslkey", NULL},
    {"sslca", "write sslrootcert", NULL},
    {"ssl_ca", "write sslrootcert", NULL},
    {"sslfactory", "write sslmode", NULL},
    {"username", "write user", NULL},
    {"user_name", "write user", NULL},
    {"uid", "write user", NULL},
    {"role", "write user", NULL},
    {"passwd", "write password", NULL},
    {"pass", "write password", NULL},
    {"pwd", "write password", NULL},
    {"database", "write dbname", NULL},
    {"db", "write dbname", NULL},
    {"db_name", "write dbname", NULL},
    {"name", "write dbname", NULL},
    {"initial catalog", "write dbname", NULL},
    {"hostname", "write host", NULL},
    {"server", "write host", NULL},
    {"address", "write host", NULL},
    {"socket", "write host with the socket's directory", NULL},
    {"timeout", "write connect_timeout", NULL},
    {"connectTimeout", "write connect_timeout", NULL},
    {"connection_timeout", "write connect_timeout", NULL},
    {"loginTimeout", "write connect_timeout", NULL},
    {"socket_timeout",
     "write tcp_user_timeout, or response_timeout in "
     "pgmig.conf.lua",
     NULL},
    {"socketTimeout",
     "write tcp_user_timeout, or response_timeout in "
     "pgmig.conf.lua",
     NULL},
    {"tcpKeepAlive", "write keepalives", NULL},
    {"ApplicationName", "write application_name", NULL},
    {"app_name", "write application_name", NULL},
    {"application", "write application_name", NULL},
    {"channelBinding", "write channel_binding", NULL},
    {"targetServerType", "write target_session_attrs", NULL},
    {"loadBalanceHosts", "write load_balance_hosts", NULL},
    {"encoding", "remove it: pgmig always uses UTF-8", NULL},
    {"charset", "remove it: pgmig always uses UTF-8", NULL},
    {"statement_timeout", SETTING, NULL},
    {"lock_timeout",
     "write --lock-timeout 5s (PGMIG_LOCK_TIMEOUT, option "
     "`lock_timeout`)",
     NULL},
    {"idle_in_transaction_session_timeout", SETTING, NULL},
    {"timezone", SETTING, NULL},
    {"connection_limit", LEAVE_OUT, NULL},
    {"pool", LEAVE_OUT, NULL},
    {"pool_size", LEAVE_OUT, NULL},
    {"pool_timeout", LEAVE_OUT, NULL},
    {"pool_mode", LEAVE_OUT, NULL},
    {"pool_max_conns", LEAVE_OUT, NULL},
    {"max_connections", LEAVE_OUT, NULL},
    {"statement_cache_size", LEAVE_OUT, NULL},
    {"prepared_statement_cache_size", LEAVE_OUT, NULL},
    {"prepared_statements", LEAVE_OUT, NULL},
    {"prepareThreshold", LEAVE_OUT, NULL},
    {"binary_parameters", LEAVE_OUT, NULL},
    {"default_query_exec_mode", LEAVE_OUT, NULL},
    {"uselibpqcompat", LEAVE_OUT, NULL},
    {"serverVersion", LEAVE_OUT, NULL},
    {"driver", LEAVE_OUT, NULL},
    {"adapter", LEAVE_OUT, NULL},
    {"x-migrations-table", "write --table NAME", NULL},
    {"x-multi-statement", LEAVE_OUT, NULL},
    {"x-statement-timeout", SETTING, NULL},
};

/* Whether libpq has a parameter of this name. -1: no memory. PQconninfoParse of
** nothing lists them all (libpq manual, "Database Connection Control
** Functions"). */
static int is_known(const char *name, size_t len)
{
    PQconninfoOption *options = PQconninfoParse("", NULL);
    int found = 0;

    if (options == NULL)
        return -1;
    for (PQconninfoOption *o = options; o->keyword != NULL && !found; o++)
        found = strlen(o->keyword) == len && memcmp(o->keyword, name, len) == 0;
    PQconninfoFree(options);
    return found;
}

/* Drivers differ in the case of letters. */
static bool alike(const char *name, size_t len, const char *other)
{
    return strlen(other) == len && strncasecmp(name, other, len) == 0;
}

#define TYPO_MAX 2  /* changes of a letter */
#define NAME_MAX 32 /* bytes; a longer name is no mistyped one */

static size_t least(size_t a, size_t b, size_t c)
{
    size_t ab = a < b ? a : b;

    return ab < c ? ab : c;
}

/* How many letters to change, add or take away (Levenshtein). One row of the
** table at a time; `diagonal` is what the cell above to the left was before it
** was overwritten. */
static size_t distance(const char *a, size_t len, const char *b)
{
    size_t row[NAME_MAX + 1];

    for (size_t i = 0; i <= len; i++)
        row[i] = i;
    for (; *b != '\0'; b++) {
        size_t diagonal = row[0]++;

        for (size_t i = 1; i <= len; i++) {
            size_t changed =
                diagonal + (tolower((unsigned char)a[i - 1]) != *b);

            diagonal = row[i];
            row[i] = least(row[i] + 1, row[i - 1] + 1, changed);
        }
    }
    return row[len];
}

/* Short names are too much like each other; and what a newer libpq has is not
** offered where an older one runs. */
static const char *mistyped(const char *name, size_t len)
{
    const char *nearest = NULL;
    size_t best = TYPO_MAX + 1;

    if (len < 4 || len > NAME_MAX)
        return NULL;
    for (size_t i = 0; i < PARAMETERS; i++) {
        const char *known = parameters[i].name;
        size_t changes = distance(name, len, known);

        if (changes < best && is_known(known, strlen(known)) > 0) {
            best = changes;
            nearest = known;
        }
    }
    return nearest;
}

static struct meant meant_by(const char *name, size_t len)
{
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        if (alike(name, len, foreign[i].name))
            return foreign[i];
    return (struct meant){.similar = mistyped(name, len)};
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* A whole word: "user" is not in "username". */
static bool has_word(const char *text, const char *word)
{
    size_t len = strlen(word);

    for (const char *at = text; (at = strstr(at, word)) != NULL; at++)
        if ((at == text || !is_word(at[-1])) && !is_word(at[len]))
            return true;
    return false;
}

const char *pgmig_connparam_in(const char *text)
{
    for (size_t i = 0; i < PARAMETERS; i++)
        if (has_word(text, parameters[i].name))
            return parameters[i].name;
    return NULL;
}

const char *pgmig_connparam_values(const char *name)
{
    for (size_t i = 0; i < PARAMETERS; i++)
        if (strcmp(parameters[i].name, name) == 0)
            return parameters[i].values;
    return NULL;
}

/* ---- files ----------------------------------------------------------- */
/*
** libpq opens them without O_NONBLOCK: a FIFO, or a device that says nothing,
** would keep the program waiting for ever, past every time-out. /dev/null is
** how people say "no file".
*/

/* A path that cannot be looked at is libpq's to complain of. */
int pgmig_connparam_check_file(const char *name, const char *path,
                               struct pgmig_error *err)
{
    const char *kind = path != NULL ? pgmig_file_kind(path) : NULL;

    if (kind == NULL || strcmp(kind, PGMIG_NULL_DEVICE) == 0)
        return 0;
    return pgmig_error_set(err, PGMIG_E_USAGE,
                           "%s names %s, not a regular file", name, kind);
}

int pgmig_connparam_check_service(struct pgmig_error *err)
{
    return pgmig_connparam_check_file("PGSERVICEFILE", getenv("PGSERVICEFILE"),
                                      err);
}

/* ---- variables ------------------------------------------------------- */

/* The names live as long as the program: libpq's table is static, and what
** PQconninfoFree frees are the values. */
size_t pgmig_libpq_variables(const char **names, size_t max)
{
    /* no parameter's (libpq manual, "Environment Variables") */
    static const char *const others[] = {
        "PGSERVICEFILE", "PGSYSCONFDIR", "PGREQUIRESSL", "PGDATESTYLE",
        "PGTZ",          "PGGEQO",       "PGLOCALEDIR"};
    PQconninfoOption *options = PQconninfoParse("", NULL);
    size_t n = 0;

    for (; n < sizeof others / sizeof *others && n < max; n++)
        names[n] = others[n];
    for (PQconninfoOption *o = options; o && o->keyword && n < max; o++)
        if (o->envvar != NULL)
            names[n++] = o->envvar; /* libpq's own constant */
    PQconninfoFree(options);
    return n;
}

/* ---- messages -------------------------------------------------------- */

#define MANUAL                          \
    "libpq's parameters are listed at " \
    "https://www.postgresql.org/docs/current/libpq-connect.html"

int pgmig_connparam_invalid(struct pgmig_error *err, const char *what,
                            const char *hint)
{
    pgmig_error_set(err, PGMIG_E_USAGE, "invalid connection string: %s", what);
    return pgmig_error_hint(err, "%s", hint);
}

static int hint_meant(struct pgmig_error *err, const struct meant *meant)
{
    if (meant->instead != NULL)
        return pgmig_error_hint(err, "%s", meant->instead);
    if (meant->similar != NULL)
        return pgmig_error_hint(err, "perhaps you meant %s; %s", meant->similar,
                                MANUAL);
    return pgmig_error_hint(err, MANUAL);
}

/* With `number` the name comes from a connection string, and is said only as a
** constant of ours (`meant`); without, it is the caller's own keyword. */
int pgmig_connparam_check(const char *name, size_t len, int number,
                          struct pgmig_error *err)
{
    int known = is_known(name, len);
    struct meant meant;

    if (known != 0)
        return known > 0 ? 0 : pgmig_error_memory(err);
    meant = meant_by(name, len);
    if (number == 0)
        pgmig_error_set(err, PGMIG_E_USAGE, "libpq has no parameter \"%.*s\"",
                        (int)len, name);
    else if (meant.name != NULL)
        pgmig_error_set(err, PGMIG_E_USAGE,
                        "invalid connection string: libpq has no parameter "
                        "\"%s\"",
                        meant.name);
    else
        pgmig_error_set(err, PGMIG_E_USAGE,
                        "invalid connection string: its parameter number %d is "
                        "not a libpq parameter",
                        number);
    return hint_meant(err, &meant);
}

int pgmig_connparam_check_all(const char *const *keywords,
                              struct pgmig_error *err)
{
    for (; *keywords != NULL; keywords++)
        if (pgmig_connparam_check(*keywords, strlen(*keywords), 0, err) != 0)
            return -1;
    return 0;
}
