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
#include "base/environment.h"
#include "base/error.h"
#include "wire/refusal.h"
#include "wire/report.h"

/* ---- opening and closing --------------------------------------------- */

/* Let libpq begin, which reads the service file; NULL for an error. Out of
** memory is the error until something else is known: it is all that
** PQconnectStartParams returns NULL for (libpq manual, "Database Connection
** Control Functions"). The 1: a `dbname` may be a connection string. */
static PGconn *start(struct pgmig_environment *environment,
                     const char *const *keywords, const char *const *values,
                     struct pgmig_error *err)
{
    PGconn *pg = NULL;

    pgmig_error_memory(err);
    if (environment == NULL || pgmig_environment_enter(environment) != 0)
        return NULL;
    if (pgmig_connparam_check_service(err) == 0)
        pg = PQconnectStartParams(keywords, values, 1);
    pgmig_environment_leave(environment);
    if (pg != NULL)
        pgmig_error_clear(err);
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
    pgmig_refusal_expect(conn->pg);
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
        conn->environment = pgmig_environment_new(environment);
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
** there for each call, and gone behind it (environment.h). A time-out of ours
** makes the next step fail (pgmig_conn_abandon). */
unsigned pgmig_connect_step(struct pgmig_conn *conn)
{
    if (pgmig_environment_enter(conn->environment) != 0) {
        pgmig_error_memory(&conn->error);
        conn->phase = PGMIG_PHASE_IDLE;
        return 0;
    }
    conn->polling =
        conn->abandoned ? PGRES_POLLING_FAILED : PQconnectPoll(conn->pg);
    pgmig_environment_leave(conn->environment);
    switch (conn->polling) {
    case PGRES_POLLING_READING:
        return PGMIG_WANT_READ;
    case PGRES_POLLING_OK:
        conn->phase = PGMIG_PHASE_IDLE;
        pgmig_refusal_forget(conn->pg);
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
    pgmig_environment_free(conn->environment);
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
    struct pgmig_environment *own = pgmig_environment_new(environment);
    PGconn *pg = start(own, keywords, values, err);

    pgmig_environment_free(own);
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
