/*
** connect.c -- opening a connection and closing it.
**
** The parameters are checked before libpq begins (connstring.h). Nothing here
** waits, as long as libpq is given addresses: names it would look up while it
** connects (lua/pgmig/db/dial.lua).
*/
#include "wire/connect.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "wire/cancel.h"
#include "wire/connparam.h"
#include "wire/connstring.h"
#include "base/error.h"
#include "wire/report.h"

/* ---- variables for libpq alone ---------------------------------------- */

/*
** Such as the PG... ones of a .env file. They are not put into the environment
** for good: a process of several threads must not change it while another one
** may look (setenv(3)), and the programs that this one starts would inherit
** passwords. So they are there for the length of one call into libpq. What the
** process has itself under such a name always wins.
*/
struct variable {
    char *name;
    char *value;
    bool set; /* by us, until we leave */
};

struct pgmig_environment {
    struct variable *variables;
    size_t count;
};

static void environment_free(struct pgmig_environment *environment)
{
    if (environment == NULL)
        return;
    for (size_t i = 0; i < environment->count; i++) {
        free(environment->variables[i].name);
        free(environment->variables[i].value);
    }
    free(environment->variables);
    free(environment);
}

static size_t length(const char *const *list)
{
    size_t n = 0;

    while (list != NULL && list[n] != NULL)
        n++;
    return n;
}

/* Copy a list of names and values in turn, with a NULL behind; NULL: an empty
** one. NULL without memory. */
static struct pgmig_environment *environment_new(const char *const *list)
{
    struct pgmig_environment *environment = calloc(1, sizeof *environment);
    size_t count = length(list) / 2;
    bool complete;

    if (environment == NULL)
        return NULL;
    /* one more: calloc may answer NULL for none */
    environment->variables = calloc(count + 1, sizeof(struct variable));
    complete = environment->variables != NULL;
    while (complete && environment->count < count) {
        /* counted before it is filled: free copes with NULL in it */
        size_t i = environment->count++;
        struct variable *v = &environment->variables[i];

        v->name = pgmig_strndup(list[2 * i], strlen(list[2 * i]));
        v->value = pgmig_strndup(list[2 * i + 1], strlen(list[2 * i + 1]));
        complete = v->name != NULL && v->value != NULL;
    }
    if (complete)
        return environment;
    environment_free(environment);
    return NULL;
}

static void environment_leave(struct pgmig_environment *environment)
{
    for (size_t i = 0; i < environment->count; i++) {
        struct variable *v = &environment->variables[i];

        if (v->set)
            unsetenv(v->name);
        v->set = false;
    }
}

/* Set the variables: -1 without memory, and none is set. Until they are taken
** away again the process's other threads must not look at the environment. */
static int environment_enter(struct pgmig_environment *environment)
{
    for (size_t i = 0; i < environment->count; i++) {
        struct variable *v = &environment->variables[i];

        /* the process's own wins, and is not ours to take away afterwards */
        if (getenv(v->name) != NULL)
            continue;
        v->set = setenv(v->name, v->value, 1) == 0;
        /* all or nothing: libpq must not see half of them */
        if (!v->set) {
            environment_leave(environment);
            return -1;
        }
    }
    return 0;
}

/* ---- opening and closing --------------------------------------------- */

/* Let libpq begin, which reads the service file; NULL for an error. Want of
** memory is all that PQconnectStartParams returns NULL for (libpq manual,
** "Database Connection Control Functions"). The 1: a `dbname` may be a
** connection string. */
static PGconn *start(struct pgmig_environment *environment,
                     const char *const *keywords, const char *const *values,
                     struct pgmig_error *err)
{
    PGconn *pg = NULL;
    int status;

    if (environment == NULL || environment_enter(environment) != 0) {
        pgmig_error_memory(err);
        return NULL;
    }
    status = pgmig_connparam_check_service(err);
    if (status == 0)
        pg = PQconnectStartParams(keywords, values, 1);
    environment_leave(environment);
    if (status == 0 && pg == NULL)
        pgmig_error_memory(err);
    return pg;
}

/* The notice receiver is there before the first byte: a notice that libpq
** cannot give to anybody goes to stderr. A connection that is BAD already is
** either refused for its parameters, which is the caller's error, or could not
** be begun: that is told as the operation's result, as if the network had said
** so. */
static int connect_start(struct pgmig_conn *conn, const char *const *keywords,
                         const char *const *values, struct pgmig_error *err)
{
    conn->pg = start(conn->environment, keywords, values, err);
    if (conn->pg == NULL)
        return -1;
    PQsetNoticeReceiver(conn->pg, pgmig_report_notice, conn);
    /* the SQLSTATE of a refusal is nowhere but in its text (refusal.c) */
    (void)PQsetErrorVerbosity(conn->pg, PQERRORS_VERBOSE);
    /* as the manual wants it before the first PQconnectPoll */
    conn->polling = PGRES_POLLING_WRITING;
    if (pgmig_connstring_check_values(conn->pg, err) != 0)
        return -1;
    if (PQstatus(conn->pg) == CONNECTION_BAD) {
        if (pgmig_connstring_refusal(PQerrorMessage(conn->pg), err))
            return -1;
        pgmig_conn_fail(conn);
        conn->phase = PGMIG_PHASE_IDLE;
    }
    return 0;
}

/* A name that no other connection has, on any machine: it is how a server
** process behind a pooler is recognised, and perhaps ended (orphan.lua). Of
** letters, digits and a blank, since it stands as it is in comments and
** literals (sql.c). */
static int make_tag(struct pgmig_conn *conn, struct pgmig_error *err)
{
    unsigned char random[8];

    if (getentropy(random, sizeof random) != 0)
        return pgmig_error_set(err, PGMIG_E_IO, "getentropy: %s",
                               strerror(errno));
    snprintf(conn->tag, sizeof conn->tag,
             "pgmig %02x%02x%02x%02x%02x%02x%02x%02x", random[0], random[1],
             random[2], random[3], random[4], random[5], random[6], random[7]);
    return 0;
}

static struct pgmig_conn *new_conn(const char *const *environment,
                                   struct pgmig_error *err)
{
    struct pgmig_conn *conn = calloc(1, sizeof *conn);

    if (conn != NULL) {
        conn->owner = getpid();
        conn->phase = PGMIG_PHASE_CONNECT;
        conn->environment = environment_new(environment);
        if (conn->environment != NULL)
            return conn;
    }
    free(conn);
    pgmig_error_memory(err);
    return NULL;
}

struct pgmig_conn *pgmig_conn_open(const char *const *keywords,
                                   const char *const *values,
                                   struct pgmig_error *err)
{
    return pgmig_conn_open_in(NULL, keywords, values, err);
}

/* What is wrong with the parameters is said before anything is begun: libpq
** would repeat pieces of them, or take them for something else
** (connstring.h). */
struct pgmig_conn *pgmig_conn_open_in(const char *const *environment,
                                      const char *const *keywords,
                                      const char *const *values,
                                      struct pgmig_error *err)
{
    struct pgmig_conn *conn;

    if (pgmig_connstring_check_all(keywords, values, err) != 0)
        return NULL;
    conn = new_conn(environment, err);
    if (conn == NULL)
        return NULL;
    if (make_tag(conn, err) == 0 &&
        connect_start(conn, keywords, values, err) == 0)
        return conn;
    pgmig_conn_close(conn);
    return NULL;
}

/* libpq may read the environment at any step, so the caller's variables are
** there for each call, and gone behind it. A time-out of ours
** makes the next step fail (pgmig_conn_abandon). */
unsigned pgmig_connect_step(struct pgmig_conn *conn)
{
    if (environment_enter(conn->environment) != 0) {
        pgmig_error_memory(&conn->error);
        conn->phase = PGMIG_PHASE_IDLE;
        return 0;
    }
    conn->polling =
        conn->abandoned ? PGRES_POLLING_FAILED : PQconnectPoll(conn->pg);
    environment_leave(conn->environment);
    switch (conn->polling) {
    case PGRES_POLLING_READING:
        return PGMIG_WANT_READ;
    case PGRES_POLLING_OK:
        conn->phase = PGMIG_PHASE_IDLE;
        (void)PQsetErrorVerbosity(conn->pg, PQERRORS_DEFAULT);
        if (PQsetnonblocking(conn->pg, 1) != 0)
            pgmig_conn_fail(conn);
        return 0;
    case PGRES_POLLING_FAILED:
        pgmig_conn_fail(conn);
        conn->phase = PGMIG_PHASE_IDLE;
        return 0;
    default:
        return PGMIG_WANT_WRITE;
    }
}

/* In a child of fork() the socket is the parent's, too. PQfinish sends
** Terminate on it, so there the descriptor is closed and libpq's memory left as
** it is. */
void pgmig_conn_close(struct pgmig_conn *conn)
{
    struct pgmig_notice notice;

    if (conn == NULL)
        return;
    pgmig_conn_forget_result(conn);
    while (pgmig_conn_notice(conn, &notice))
        pgmig_notice_clear(&notice);
    free(conn->notices);
    if (conn->pipeline != NULL)
        conn->drop_pipeline(conn);
    pgmig_buf_free(&conn->copy);
    pgmig_error_clear(&conn->error);
    environment_free(conn->environment);
    free(conn->abandoned);
    pgmig_cancel_free(conn->cancel);
    if (conn->owner == getpid())
        PQfinish(conn->pg);
    else if (conn->pg != NULL && PQsocket(conn->pg) >= 0)
        close(PQsocket(conn->pg)); /* PQfinish would end the parent's session */
    free(conn);
}

/* ---- where it goes --------------------------------------------------- */

void pgmig_hosts_free(struct pgmig_hosts *hosts)
{
    free(hosts->host);
    free(hosts->hostaddr);
    free(hosts->port);
    free(hosts->database);
    free(hosts->user);
    free(hosts->options);
    free(hosts->connect_timeout);
    *hosts = (struct pgmig_hosts){0};
}

static char **field_of(struct pgmig_hosts *hosts, const char *keyword)
{
    const struct {
        const char *keyword;
        char **field;
    } known[] = {
        {"host", &hosts->host},
        {"hostaddr", &hosts->hostaddr},
        {"port", &hosts->port},
        {"dbname", &hosts->database},
        {"user", &hosts->user},
        {"options", &hosts->options},
        {"connect_timeout", &hosts->connect_timeout},
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(keyword, known[i].keyword) == 0)
            return known[i].field;
    return NULL;
}

/* An empty value is no value to libpq: its default counts. */
static int keep_host(struct pgmig_hosts *hosts, const PQconninfoOption *o,
                     struct pgmig_error *err)
{
    char **field = field_of(hosts, o->keyword);

    if (field == NULL || o->val == NULL || o->val[0] == '\0')
        return 0;
    *field = pgmig_strndup(o->val, strlen(o->val));
    return *field == NULL ? pgmig_error_memory(err) : 0;
}

static int keep_hosts(struct pgmig_hosts *hosts, PGconn *pg,
                      struct pgmig_error *err)
{
    PQconninfoOption *options = PQconninfo(pg);
    int status = 0;

    if (options == NULL)
        return pgmig_error_memory(err);
    for (PQconninfoOption *o = options; status == 0 && o->keyword; o++)
        status = keep_host(hosts, o, err);
    PQconninfoFree(options);
    if (status != 0)
        pgmig_hosts_free(hosts);
    return status;
}

/* libpq alone knows how all its sources add up. It is made to begin with a
** parameter that it refuses before it goes to the network: behind all others,
** since of several values of one parameter the last one counts. */
static PGconn *start_refused(const char *const *environment,
                             const char *const *keywords,
                             const char *const *values, struct pgmig_error *err)
{
    struct pgmig_environment *own = environment_new(environment);
    PGconn *pg = start(own, keywords, values, err);

    environment_free(own);
    return pg;
}

/* Two lists in one piece of memory, each with room for one more parameter and
** the NULL that ends it. */
int pgmig_hosts_read(const char *const *environment,
                     const char *const *keywords, const char *const *values,
                     struct pgmig_hosts *hosts, struct pgmig_error *err)
{
    const char **all;
    size_t n = 0;
    PGconn *pg;
    int status;

    *hosts = (struct pgmig_hosts){0};
    if (pgmig_connstring_check_all(keywords, values, err) != 0)
        return -1;
    while (keywords[n] != NULL)
        n++;
    all = calloc(2 * (n + 2), sizeof *all);
    if (all == NULL)
        return pgmig_error_memory(err);
    memcpy(all, keywords, n * sizeof *all);
    memcpy(all + n + 2, values, n * sizeof *all);
    all[n] = "sslmode";
    all[n + 2 + n] = "refused";
    pg = start_refused(environment, all, all + n + 2, err);
    free(all);
    status = pg != NULL ? keep_hosts(hosts, pg, err) : -1;
    PQfinish(pg);
    return status;
}
