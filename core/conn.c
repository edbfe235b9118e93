/* conn.c -- a PostgreSQL connection that is stepped and never waits. */
#include "conn.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "error.h"

#define FEED_CHUNK 65536    /* bytes of COPY data handed to libpq at once */
#define COPY_CHUNK 262144   /* bytes of COPY data gathered for the caller */
#define NOTICES_MAX 1000    /* what nobody reads must not fill the memory */

/* ---- notices and errors ---------------------------------------------- */

static char *field(const PGresult *res, int code)
{
    const char *value = PQresultErrorField(res, code);

    return value ? pgmig_strndup(value, strlen(value)) : NULL;
}

static void copy_state(const PGresult *res, char sqlstate[6])
{
    const char *value = PQresultErrorField(res, PG_DIAG_SQLSTATE);

    sqlstate[0] = '\0';
    if (value != NULL && strlen(value) == 5)
        memcpy(sqlstate, value, 6);
}

/* libpq calls this while it reads: only remember. */
static void receive_notice(void *arg, const PGresult *res)
{
    struct pgmig_conn *conn = arg;
    struct pgmig_notice *list;
    struct pgmig_notice *notice;

    if (conn->notice_count >= NOTICES_MAX)
        return;
    list = pgmig_grow(conn->notices, conn->notice_count, sizeof *list);
    if (list == NULL)
        return;
    conn->notices = list;
    notice = &list[conn->notice_count++];
    copy_state(res, notice->sqlstate);
    notice->severity = field(res, PG_DIAG_SEVERITY_NONLOCALIZED);
    notice->message = field(res, PG_DIAG_MESSAGE_PRIMARY);
    notice->detail = field(res, PG_DIAG_MESSAGE_DETAIL);
    notice->hint = field(res, PG_DIAG_MESSAGE_HINT);
    /* active_sql_transaction, no_active_sql_transaction (appendix A) */
    if (strcmp(notice->sqlstate, "25001") == 0 ||
        strcmp(notice->sqlstate, "25P01") == 0)
        conn->tx_warning = true;
}

void pgmig_notice_clear(struct pgmig_notice *notice)
{
    free(notice->severity);
    free(notice->message);
    free(notice->detail);
    free(notice->hint);
    *notice = (struct pgmig_notice){0};
}

bool pgmig_conn_notice(struct pgmig_conn *conn, struct pgmig_notice *out)
{
    if (conn->notice_count == 0)
        return false;
    *out = conn->notices[0];
    conn->notice_count--;
    memmove(conn->notices, conn->notices + 1,
            conn->notice_count * sizeof *conn->notices);
    return true;
}

/* libpq's own text: its first line, the others as detail. */
static void set_libpq_error(struct pgmig_conn *conn)
{
    const char *text = PQerrorMessage(conn->pg);
    size_t first = strcspn(text, "\n");
    size_t len = strlen(text);

    while (len > first && text[len - 1] == '\n')
        len--;
    if (first == 0) {
        text = "the connection was lost";
        first = len = strlen(text);
    }
    pgmig_error_set(&conn->error, PGMIG_E_CONNECT, "%.*s", (int)first, text);
    first += strspn(text + first, "\n\t ");
    if (len > first)
        conn->error.detail = pgmig_strndup(text + first, len - first);
}

static enum pgmig_error_kind kind_of_state(const char *sqlstate)
{
    /* lock_not_available; class 08 and 57P01..57P03: the session is gone */
    if (strcmp(sqlstate, "55P03") == 0)
        return PGMIG_E_LOCK;
    if (strncmp(sqlstate, "08", 2) == 0 || strcmp(sqlstate, "57P01") == 0 ||
        strcmp(sqlstate, "57P02") == 0 || strcmp(sqlstate, "57P03") == 0)
        return PGMIG_E_CONNECT;
    return PGMIG_E_SQL;
}

static void set_server_error(struct pgmig_conn *conn, const PGresult *res)
{
    struct pgmig_error *err = &conn->error;
    const char *message = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
    const char *position =
        PQresultErrorField(res, PG_DIAG_STATEMENT_POSITION);

    if (message == NULL) { /* libpq made this result itself */
        set_libpq_error(conn);
        return;
    }
    pgmig_error_set(err, PGMIG_E_SQL, "%s", message);
    copy_state(res, err->sqlstate);
    err->kind = kind_of_state(err->sqlstate);
    err->detail = field(res, PG_DIAG_MESSAGE_DETAIL);
    err->hint = field(res, PG_DIAG_MESSAGE_HINT);
    err->context = field(res, PG_DIAG_CONTEXT);
    conn->error_position = position ? strtoul(position, NULL, 10) : 0;
}

static bool has_error(const struct pgmig_conn *conn)
{
    return conn->error.kind != PGMIG_E_NONE;
}

int pgmig_conn_take_error(struct pgmig_conn *conn, struct pgmig_error *err)
{
    if (!has_error(conn))
        return 0;
    pgmig_error_clear(err);
    *err = conn->error;
    conn->error = (struct pgmig_error){0};
    return -1;
}

/* ---- opening and closing --------------------------------------------- */

/* A bad connection string is refused without libpq's text about it, which
** quotes pieces: a password may be among them. One with a wrong scheme would
** be taken for a database's name, and quoted whole. */
static bool valid_string(const char *s)
{
    const char *scheme = strstr(s, "://");
    PQconninfoOption *options;

    if (scheme != NULL) {
        /* an @ or / in a password, not written as %40 or %2F, would make
        ** libpq take the password's rest for a host, port or database */
        size_t len = strcspn(scheme + 3, "?");
        const char *at = memchr(scheme + 3, '@', len);
        size_t authority = strcspn(scheme + 3, "/?");

        if (at != NULL && ((size_t)(at - scheme - 3) > authority ||
                           memchr(at + 1, '@',
                                  len - (size_t)(at + 1 - scheme - 3))))
            return false;
    }
    options = PQconninfoParse(s, NULL);
    PQconninfoFree(options);
    return options != NULL;
}

static int check_strings(const char *const *keywords,
                         const char *const *values, struct pgmig_error *err)
{
    for (size_t i = 0; keywords[i] != NULL; i++) {
        if (strcmp(keywords[i], "dbname") != 0 || values[i] == NULL ||
            (strchr(values[i], '=') == NULL &&
             strstr(values[i], "://") == NULL) ||
            valid_string(values[i]))
            continue;
        pgmig_error_set(err, PGMIG_E_USAGE, "invalid connection string");
        return pgmig_error_hint(
            err, "postgresql://user:password@host:port/database, with @ as "
                 "%%40, / as %%2F, : as %%3A in a password");
    }
    return 0;
}

static int connect_start(struct pgmig_conn *conn, const char *const *keywords,
                         const char *const *values, struct pgmig_error *err)
{
    conn->pg = PQconnectStartParams(keywords, values, 1);
    if (conn->pg == NULL)
        return pgmig_error_memory(err);
    PQsetNoticeReceiver(conn->pg, receive_notice, conn);
    conn->polling = PGRES_POLLING_WRITING;
    if (PQstatus(conn->pg) == CONNECTION_BAD) {
        set_libpq_error(conn);
        conn->phase = PGMIG_PHASE_IDLE;
    }
    return 0;
}

struct pgmig_conn *pgmig_conn_open(const char *const *keywords,
                                   const char *const *values,
                                   struct pgmig_error *err)
{
    struct pgmig_conn *conn;

    if (check_strings(keywords, values, err) != 0)
        return NULL;
    conn = calloc(1, sizeof *conn);
    if (conn == NULL) {
        pgmig_error_memory(err);
        return NULL;
    }
    conn->owner = getpid();
    conn->phase = PGMIG_PHASE_CONNECT;
    if (connect_start(conn, keywords, values, err) == 0)
        return conn;
    pgmig_conn_close(conn);
    return NULL;
}

static void forget_result(struct pgmig_conn *conn)
{
    PQclear(conn->result);
    conn->result = NULL;
}

void pgmig_conn_close(struct pgmig_conn *conn)
{
    struct pgmig_notice notice;

    if (conn == NULL)
        return;
    forget_result(conn);
    while (pgmig_conn_notice(conn, &notice))
        pgmig_notice_clear(&notice);
    free(conn->notices);
    pgmig_buf_free(&conn->copy);
    pgmig_error_clear(&conn->error);
    if (conn->owner == getpid())
        PQfinish(conn->pg);
    else if (conn->pg != NULL && PQsocket(conn->pg) >= 0)
        close(PQsocket(conn->pg)); /* PQfinish would end the parent's session */
    free(conn);
}

bool pgmig_conn_lost(const struct pgmig_conn *conn)
{
    return PQstatus(conn->pg) == CONNECTION_BAD;
}

/* ---- starting a request ---------------------------------------------- */

static int check_process(const struct pgmig_conn *conn,
                         struct pgmig_error *err)
{
    if (conn->owner == getpid())
        return 0;
    pgmig_error_set(err, PGMIG_E_USAGE,
                    "this connection was opened in another process (fork)");
    return pgmig_error_hint(err, "connect after forking");
}

int pgmig_conn_check_idle(struct pgmig_conn *conn, struct pgmig_error *err)
{
    if (check_process(conn, err) != 0)
        return -1;
    if (conn->phase == PGMIG_PHASE_COPY_IN ||
        conn->phase == PGMIG_PHASE_COPY_OUT)
        return pgmig_error_set(err, PGMIG_E_USAGE,
                               "a COPY is under way on this connection");
    if (conn->phase != PGMIG_PHASE_IDLE)
        return pgmig_error_set(err, PGMIG_E_USAGE,
                               "the connection is busy with an operation");
    return 0;
}

void pgmig_conn_begin(struct pgmig_conn *conn, pgmig_next *next, void *ctx)
{
    pgmig_error_clear(&conn->error);
    conn->error_position = 0;
    conn->next = next;
    conn->ctx = ctx;
}

static void begin_request(struct pgmig_conn *conn)
{
    forget_result(conn);
    conn->results = 0;
    conn->feeding = false;
    conn->tx_warning = false;
    conn->phase = PGMIG_PHASE_BUSY;
}

/* PQsend* failed or worked: the failure is the operation's. */
static int sent(struct pgmig_conn *conn, int ok)
{
    if (ok)
        return 0;
    set_libpq_error(conn);
    conn->phase = PGMIG_PHASE_IDLE;
    return -1;
}

int pgmig_conn_request(struct pgmig_conn *conn, const char *sql,
                       const char *feed, size_t feed_len)
{
    begin_request(conn);
    conn->discard = true;
    conn->feed = feed;
    conn->feed_len = feed_len;
    if (sent(conn, PQsendQuery(conn->pg, sql)) != 0)
        return -1;
    PQsetSingleRowMode(conn->pg); /* rows are dropped one by one */
    return 0;
}

int pgmig_conn_send(struct pgmig_conn *conn, const char *sql, size_t len,
                    int nparams, const char *const *params,
                    struct pgmig_error *err)
{
    int ok;

    if (pgmig_conn_check_idle(conn, err) != 0)
        return -1;
    if (memchr(sql, '\0', len) != NULL)
        return pgmig_error_set(err, PGMIG_E_USAGE, "SQL with a NUL byte");
    pgmig_conn_begin(conn, NULL, NULL);
    begin_request(conn);
    conn->discard = false;
    conn->feed = NULL;
    if (nparams == 0)
        ok = PQsendQuery(conn->pg, sql);
    else
        ok = PQsendQueryParams(conn->pg, sql, nparams, NULL, params, NULL,
                               NULL, 0);
    if (sent(conn, ok) == 0)
        return 0;
    return pgmig_conn_take_error(conn, err);
}

/* ---- stepping -------------------------------------------------------- */

static unsigned step_connect(struct pgmig_conn *conn)
{
    conn->polling = PQconnectPoll(conn->pg);
    switch (conn->polling) {
    case PGRES_POLLING_READING:
        return PGMIG_WANT_READ;
    case PGRES_POLLING_OK:
        conn->phase = PGMIG_PHASE_IDLE;
        if (PQsetnonblocking(conn->pg, 1) != 0)
            set_libpq_error(conn);
        return 0;
    case PGRES_POLLING_FAILED:
        set_libpq_error(conn);
        conn->phase = PGMIG_PHASE_IDLE;
        return 0;
    default:
        return PGMIG_WANT_WRITE;
    }
}

/* libpq cannot go on: let it find the connection lost. */
static void abandon(struct pgmig_conn *conn)
{
    if (!has_error(conn))
        set_libpq_error(conn);
    shutdown(PQsocket(conn->pg), SHUT_RDWR);
}

static void end_feed(struct pgmig_conn *conn)
{
    const char *reason =
        conn->feed == NULL ? "no data stands behind this COPY" : NULL;

    conn->feeding = false;
    if (PQputCopyEnd(conn->pg, reason) != 1)
        abandon(conn);
}

/* Hand COPY data to libpq, never more than the socket takes. */
static void feed(struct pgmig_conn *conn)
{
    while (conn->feeding && PQflush(conn->pg) == 0) {
        int n = (int)(conn->feed_len < FEED_CHUNK ? conn->feed_len
                                                  : FEED_CHUNK);

        if (n == 0) {
            end_feed(conn);
        } else if (PQputCopyData(conn->pg, conn->feed, n) == 1) {
            conn->feed += n;
            conn->feed_len -= (size_t)n;
        } else {
            conn->feeding = false;
            abandon(conn);
        }
    }
}

static void keep_result(struct pgmig_conn *conn, PGresult *res)
{
    forget_result(conn);
    conn->result = res;
    conn->results++;
}

/* The server has begun to copy: true when the caller must act. */
static bool take_copy_in(struct pgmig_conn *conn)
{
    if (conn->discard) { /* a migration: the file has the data, or none */
        conn->feeding = true;
        feed(conn);
        return false;
    }
    conn->phase = PGMIG_PHASE_COPY_IN;
    return true;
}

/* Look at one result: true when the operation pauses there. */
static bool take_result(struct pgmig_conn *conn, PGresult *res)
{
    switch (PQresultStatus(res)) {
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
    case PGRES_EMPTY_QUERY:
        keep_result(conn, res);
        return false;
    case PGRES_COPY_IN:
        PQclear(res);
        return take_copy_in(conn);
    case PGRES_COPY_OUT:
        PQclear(res);
        conn->phase = PGMIG_PHASE_COPY_OUT;
        conn->copy_more = true;
        return !conn->discard;
    case PGRES_SINGLE_TUPLE:
        PQclear(res);
        return false;
    default:
        if (!has_error(conn))
            set_server_error(conn, res);
        PQclear(res);
        return false;
    }
}

/* Take COPY data that has come: true when the server has to be waited for. */
static bool take_copy_out(struct pgmig_conn *conn)
{
    while (conn->discard || conn->copy.len < COPY_CHUNK) {
        char *data;
        int n = PQgetCopyData(conn->pg, &data, 1);

        if (n == 0)
            return true;
        if (n < 0) { /* the end, or an error that PQgetResult tells */
            conn->copy_more = false;
            conn->phase = PGMIG_PHASE_BUSY;
            return false;
        }
        if (!conn->discard)
            pgmig_buf_add(&conn->copy, data, (size_t)n);
        PQfreemem(data);
    }
    return false;
}

/* The request is answered: go on with the operation, or end it. */
static bool request_done(struct pgmig_conn *conn)
{
    conn->phase = PGMIG_PHASE_IDLE;
    if (pgmig_conn_lost(conn) && !has_error(conn))
        set_libpq_error(conn);
    return conn->next == NULL || !conn->next(conn->ctx, conn);
}

static unsigned wanted(const struct pgmig_conn *conn)
{
    int pending = PQflush(conn->pg);

    return PGMIG_WANT_READ | (pending == 1 ? PGMIG_WANT_WRITE : 0U);
}

static unsigned step_busy(struct pgmig_conn *conn)
{
    feed(conn);
    PQflush(conn->pg);
    (void)PQconsumeInput(conn->pg); /* a failure comes as a result */
    for (;;) {
        PGresult *res;

        if (conn->phase == PGMIG_PHASE_COPY_OUT) {
            if (take_copy_out(conn))
                return wanted(conn);
            if (conn->phase == PGMIG_PHASE_COPY_OUT)
                return 0; /* a piece for the caller */
        }
        if (PQisBusy(conn->pg))
            return wanted(conn);
        res = PQgetResult(conn->pg);
        if (res == NULL) {
            if (request_done(conn))
                return 0;
        } else if (take_result(conn, res)) {
            return 0;
        } else if (conn->feeding) {
            return wanted(conn);
        }
    }
}

static unsigned step_put(struct pgmig_conn *conn)
{
    int pending = PQflush(conn->pg);

    if (pending == 1) {
        (void)PQconsumeInput(conn->pg);
        return PGMIG_WANT_READ | PGMIG_WANT_WRITE;
    }
    if (pending < 0)
        set_libpq_error(conn);
    conn->phase = PGMIG_PHASE_COPY_IN;
    return 0;
}

unsigned pgmig_conn_step(struct pgmig_conn *conn)
{
    switch (conn->phase) {
    case PGMIG_PHASE_CONNECT:
        return step_connect(conn);
    case PGMIG_PHASE_BUSY:
    case PGMIG_PHASE_COPY_OUT:
        return step_busy(conn);
    case PGMIG_PHASE_PUT:
        return step_put(conn);
    default:
        return 0;
    }
}

int pgmig_conn_finish(struct pgmig_conn *conn, struct pgmig_error *err)
{
    conn->next = NULL;
    conn->ctx = NULL;
    return pgmig_conn_take_error(conn, err);
}

/* ---- COPY for the caller --------------------------------------------- */

int pgmig_conn_copy_put(struct pgmig_conn *conn, const char *data, size_t len,
                        struct pgmig_error *err)
{
    if (check_process(conn, err) != 0)
        return -1;
    if (conn->phase != PGMIG_PHASE_COPY_IN)
        return pgmig_error_set(err, PGMIG_E_USAGE,
                               "the server does not wait for COPY data");
    while (len > 0) {
        int n = (int)(len < FEED_CHUNK ? len : FEED_CHUNK);
        int ok = PQputCopyData(conn->pg, data, n);

        if (ok != 1) {
            set_libpq_error(conn);
            return pgmig_conn_take_error(conn, err);
        }
        data += n;
        len -= (size_t)n;
    }
    conn->phase = PGMIG_PHASE_PUT;
    return 0;
}

int pgmig_conn_copy_end(struct pgmig_conn *conn, const char *reason,
                        struct pgmig_error *err)
{
    if (check_process(conn, err) != 0)
        return -1;
    if (conn->phase != PGMIG_PHASE_COPY_IN)
        return pgmig_error_set(err, PGMIG_E_USAGE,
                               "the server does not wait for COPY data");
    conn->phase = PGMIG_PHASE_BUSY;
    return sent(conn, PQputCopyEnd(conn->pg, reason) == 1) == 0
               ? 0
               : pgmig_conn_take_error(conn, err);
}

int pgmig_conn_copy_get(struct pgmig_conn *conn, struct pgmig_error *err)
{
    if (check_process(conn, err) != 0)
        return -1;
    if (conn->phase != PGMIG_PHASE_COPY_OUT)
        return pgmig_error_set(err, PGMIG_E_USAGE,
                               "the server does not send COPY data");
    conn->copy.len = 0;
    return 0;
}

const char *pgmig_conn_copy_data(const struct pgmig_conn *conn, size_t *len)
{
    *len = conn->copy.len;
    return conn->copy.len > 0 ? conn->copy.data : NULL;
}

bool pgmig_conn_copying_in(const struct pgmig_conn *conn)
{
    return conn->phase == PGMIG_PHASE_COPY_IN;
}

bool pgmig_conn_copying_out(const struct pgmig_conn *conn)
{
    return conn->phase == PGMIG_PHASE_COPY_OUT;
}

/* ---- looking --------------------------------------------------------- */

int pgmig_conn_fd(const struct pgmig_conn *conn)
{
    return PQsocket(conn->pg);
}

int pgmig_conn_rows(const struct pgmig_conn *conn)
{
    return PQntuples(conn->result);
}

int pgmig_conn_columns(const struct pgmig_conn *conn)
{
    return PQnfields(conn->result);
}

const char *pgmig_conn_column_name(const struct pgmig_conn *conn, int column)
{
    return PQfname(conn->result, column);
}

unsigned pgmig_conn_column_type(const struct pgmig_conn *conn, int column)
{
    return PQftype(conn->result, column);
}

const char *pgmig_conn_value(const struct pgmig_conn *conn, int row,
                             int column, size_t *len)
{
    *len = 0;
    if (PQgetisnull(conn->result, row, column))
        return NULL;
    *len = (size_t)PQgetlength(conn->result, row, column);
    return PQgetvalue(conn->result, row, column);
}

const char *pgmig_conn_tag(const struct pgmig_conn *conn)
{
    return conn->result ? PQcmdStatus(conn->result) : "";
}

enum pgmig_tx pgmig_conn_tx(const struct pgmig_conn *conn)
{
    switch (PQtransactionStatus(conn->pg)) {
    case PQTRANS_IDLE:
        return PGMIG_TX_IDLE;
    case PQTRANS_INTRANS:
        return PGMIG_TX_OPEN;
    case PQTRANS_INERROR:
        return PGMIG_TX_FAILED;
    default:
        return PGMIG_TX_NONE;
    }
}

bool pgmig_conn_busy(const struct pgmig_conn *conn)
{
    return conn->phase != PGMIG_PHASE_IDLE;
}

int pgmig_conn_backend_pid(const struct pgmig_conn *conn)
{
    return PQbackendPID(conn->pg);
}

int pgmig_conn_server_version(const struct pgmig_conn *conn)
{
    return PQserverVersion(conn->pg);
}

const char *pgmig_conn_parameter(const struct pgmig_conn *conn,
                                 const char *name)
{
    return PQparameterStatus(conn->pg, name);
}

void pgmig_conn_cancel(struct pgmig_conn *conn)
{
    PGcancel *cancel = PQgetCancel(conn->pg);
    char reason[256];

    if (cancel == NULL)
        return;
    (void)PQcancel(cancel, reason, sizeof reason); /* there is no plan B */
    PQfreeCancel(cancel);
}

/* ---- quoting --------------------------------------------------------- */

static char *quoted(struct pgmig_conn *conn, char *made,
                    struct pgmig_error *err)
{
    char *copy;

    if (made == NULL) {
        pgmig_error_set(err, PGMIG_E_USAGE, "text that cannot be quoted: %s",
                        PQerrorMessage(conn->pg));
        return NULL;
    }
    copy = pgmig_strndup(made, strlen(made)); /* so that free() frees it */
    PQfreemem(made);
    if (copy == NULL)
        pgmig_error_memory(err);
    return copy;
}

char *pgmig_conn_quote_literal(struct pgmig_conn *conn, const char *s,
                               size_t len, struct pgmig_error *err)
{
    return quoted(conn, PQescapeLiteral(conn->pg, s, len), err);
}

char *pgmig_conn_quote_ident(struct pgmig_conn *conn, const char *s,
                             size_t len, struct pgmig_error *err)
{
    return quoted(conn, PQescapeIdentifier(conn->pg, s, len), err);
}
