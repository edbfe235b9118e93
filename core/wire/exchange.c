/*
** exchange.c -- requests and their answers, step by step.
**
** A request is sent; each step reads what has come and goes on as far as it
** can, and says what it waits for. When a request is answered, the operation's
** `next` decides about another one. The first error of an operation is the one
** that is kept: what follows from it must not hide it.
**
** An answer is looked at when it is whole, in one place (fault_of). What cannot
** be right is not an error of the server's but no answer at all: the connection
** is shut down, and the operation ends as with any that is lost.
**
** libpq is used in its non-blocking mode throughout (libpq manual,
** "Asynchronous Command Processing"): no call here waits for the network.
*/
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire/answer.h"
#include "wire/connect.h"
#include "base/error.h"
#include "wire/pipeline.h"
#include "wire/report.h"
#include "wire/transfer.h"

static bool has_error(const struct pgmig_conn *conn)
{
    return conn->error.kind != PGMIG_E_NONE;
}

/* ---- starting a request ---------------------------------------------- */

void pgmig_conn_forget_error(struct pgmig_conn *conn)
{
    if (has_error(conn))
        pgmig_error_clear(&conn->error);
    conn->error_position = 0;
    conn->error_of_grammar = false;
}

/* What the last operation has left must not be taken for a result of this one:
** its error, and the shape that its answer should have had. */
void pgmig_conn_begin(struct pgmig_conn *conn, pgmig_next *next, void *ctx)
{
    pgmig_conn_forget_error(conn);
    conn->next = next;
    conn->ctx = ctx;
    conn->asking = NULL;
    conn->shape = NULL;
}

/* Keep how a text begins, in whole characters: pg_stat_activity is asked for a
** statement that begins so, and cuts at characters, too. */
static void note_sent(struct pgmig_conn *conn, const char *sql)
{
    size_t len = strnlen(sql, sizeof conn->sent);

    /* the byte behind the piece must not continue a character (10xxxxxx) */
    if (len == sizeof conn->sent)
        do
            len--;
        while (len > 0 && ((unsigned char)sql[len] & 0xC0) == 0x80);
    memcpy(conn->sent, sql, len);
    conn->sent[len] = '\0';
}

static void begin_request(struct pgmig_conn *conn, const char *sql)
{
    note_sent(conn, sql);
    pgmig_conn_forget_result(conn);
    conn->results = 0;
    conn->keeps = false;
    conn->feeding = false;
    conn->tx_warning = false;
    conn->phase = PGMIG_PHASE_BUSY;
}

/* PQsend* failed or worked: the failure is the operation's, whose transaction
** nobody would end. So that the server ends it, the socket is shut down, not
** closed: it is libpq's. */
static int sent(struct pgmig_conn *conn, int ok)
{
    if (ok)
        return 0;
    pgmig_conn_fail(conn);
    conn->phase = PGMIG_PHASE_IDLE;
    if (conn->next != NULL && pgmig_conn_tx(conn) != PGMIG_TX_IDLE)
        shutdown(PQsocket(conn->pg), SHUT_RDWR);
    return -1;
}

/* Text of others, which may have any number of rows: none is kept. Single-row
** mode has to be set behind the sending and before the first result (libpq
** manual, "Retrieving Query Results in Chunks"). */
int pgmig_conn_request(struct pgmig_conn *conn, const char *sql,
                       pgmig_supply *supply)
{
    begin_request(conn, sql);
    conn->discard = true;
    conn->shape = NULL;
    conn->supply = supply;
    conn->feed_len = 0;
    conn->fed = 0;
    if (sent(conn, PQsendQuery(conn->pg, sql)) != 0)
        return -1;
    PQsetSingleRowMode(conn->pg); /* rows are dropped one by one */
    return 0;
}

/* SQL of our own, with few rows: they are kept, to be looked at as a whole. */
int pgmig_conn_ask(struct pgmig_conn *conn, const char *sql, const char *shape)
{
    begin_request(conn, sql);
    conn->discard = false;
    conn->shape = shape;
    conn->supply = NULL;
    return sent(conn, PQsendQuery(conn->pg, sql));
}

/* The caller's SQL: no shape is expected, and a COPY is his to serve. libpq
** takes a text that ends at its first NUL, so what stands behind one would be
** left out in silence. */
int pgmig_conn_send(struct pgmig_conn *conn, const char *sql, size_t len,
                    int nparams, const char *const *params,
                    struct pgmig_error *err)
{
    int status;

    if (pgmig_conn_check_idle(conn, err) != 0)
        return -1;
    if (memchr(sql, '\0', len) != NULL)
        return pgmig_error_set(err, PGMIG_E_USAGE, "SQL contains a NUL byte");
    pgmig_conn_begin(conn, NULL, NULL);
    if (nparams == 0) {
        status = pgmig_conn_ask(conn, sql, NULL);
    } else {
        begin_request(conn, sql);
        conn->discard = false;
        conn->supply = NULL;
        status = sent(conn, PQsendQueryParams(conn->pg, sql, nparams, NULL,
                                              params, NULL, NULL, 0));
    }
    return status == 0 ? 0 : pgmig_conn_take_error(conn, err);
}

void pgmig_conn_expect(struct pgmig_conn *conn, const char *shape)
{
    conn->shape = shape;
}

/* ---- stepping -------------------------------------------------------- */

/* A request of several commands has as many results; the last one is the
** connection's, unless all are asked for. Their number says which command a
** failure belongs to (engine/execute.c). */
static void keep_result(struct pgmig_conn *conn, PGresult *res)
{
    bool has_rows = PQresultStatus(res) == PGRES_TUPLES_OK;

    conn->results++;
    if (conn->keeps && has_rows && conn->kept_count < PGMIG_RESULTS) {
        conn->kept[conn->kept_count++] = res;
        return;
    }
    PQclear(conn->result);
    conn->result = res;
}

static const char a_copy[] = "a COPY that was not requested";

/* The server has begun to copy: true when the caller must act. SQL of ours
** never copies, so one that comes for it is no answer. A migration's data comes
** from its file; where there is none, the COPY is ended with an error of ours,
** since the server would wait for ever. */
static bool take_copy_in(struct pgmig_conn *conn)
{
    if (conn->shape != NULL) {
        pgmig_conn_refuse(conn, a_copy);
        return false;
    }
    if (conn->discard) { /* a migration: the file has the data, or none */
        conn->feeding = true;
        pgmig_transfer_feed(conn);
        return false;
    }
    conn->phase = PGMIG_PHASE_COPY_IN;
    return true;
}

/* The same the other way. What a migration's COPY yields is dropped, as the
** rows of its queries are. */
static bool take_copy_out(struct pgmig_conn *conn)
{
    if (conn->shape != NULL) {
        pgmig_conn_refuse(conn, a_copy);
        return false;
    }
    conn->phase = PGMIG_PHASE_COPY_OUT;
    conn->copy_more = true;
    return !conn->discard;
}

/* Look at one result: true when the operation pauses there. */
static bool take_result(struct pgmig_conn *conn, PGresult *res)
{
    conn->moved++;
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
        return take_copy_out(conn);
    case PGRES_COPY_BOTH: /* libpq would give it again and again */
        PQclear(res);
        pgmig_conn_refuse(conn, a_copy);
        return false;
    case PGRES_SINGLE_TUPLE:
        PQclear(res);
        return false;
    /* an error ends the message; only the first of an operation is kept */
    default:
        if (!has_error(conn))
            pgmig_report_result(conn, res);
        PQclear(res);
        return false;
    }
}

/* The same of several results: those that were asked for, and no other. */
static const char *kept_fault(const struct pgmig_conn *conn)
{
    for (int i = 0; i < PGMIG_RESULTS; i++) {
        const char *shape = conn->kept_shapes[i];
        const char *fault;

        if ((shape != NULL) != (i < conn->kept_count))
            return "a different number of results than requested";
        fault = shape ? pgmig_answer_fault(conn->kept[i], shape) : NULL;
        if (fault != NULL)
            return fault;
    }
    return NULL;
}

/* A connection that was lost without any error of the server's gets libpq's, so
** that no operation can take silence for success. Whether it is lost. */
static bool note_loss(struct pgmig_conn *conn)
{
    if (!pgmig_conn_lost(conn))
        return false;
    if (!has_error(conn))
        pgmig_conn_fail(conn);
    return true;
}

/* What cannot be right when the request is answered, without an error. Without
** a connection there is no transaction status. */
static const char *fault_of(struct pgmig_conn *conn)
{
    if (has_error(conn))
        return NULL;
    if (pgmig_conn_tx(conn) == PGMIG_TX_NONE)
        return note_loss(conn) ? NULL : "an invalid transaction status";
    /* not even an empty query is answered by nothing (EmptyQueryResponse) */
    if (conn->results == 0)
        return "the end of a request without a result";
    if (conn->keeps)
        return kept_fault(conn);
    return conn->shape ? pgmig_answer_fault(conn->result, conn->shape) : NULL;
}

/* The request is answered: go on with the operation, or end it. True: it has
** ended. */
static bool request_done(struct pgmig_conn *conn)
{
    conn->phase = PGMIG_PHASE_IDLE;
    return conn->next == NULL || !conn->next(conn->ctx, conn);
}

/* A socket that was full may have room again by now: what is left of COPY data
** must not wait for the server, which has nothing to say. */
static unsigned wanted(const struct pgmig_conn *conn)
{
    bool pending = PQflush(conn->pg) == 1;

    return PGMIG_WANT_READ | (pending || conn->feeding ? PGMIG_WANT_WRITE : 0U);
}

/* Go on when the connection is lost, as soon as what has come is read. The
** operation is then told by its `next`, which sees an error and no
** connection. */
static unsigned step_refused(struct pgmig_conn *conn)
{
    if (!pgmig_conn_drain(conn))
        return PGMIG_WANT_READ;
    conn->phase = PGMIG_PHASE_IDLE;
    (void)note_loss(conn);
    return request_done(conn) ? 0 : PGMIG_WANT_READ;
}

/* One round of the loop takes one result. PQgetResult would wait where PQisBusy
** says so, and is not called then, unless the connection is lost: then it gives
** what there is, and NULL. Data of a COPY goes out first: a server that waits
** for it says nothing. */
static unsigned step_busy(struct pgmig_conn *conn)
{
    if (conn->feeding)
        pgmig_transfer_feed(conn);
    PQflush(conn->pg);
    pgmig_conn_read(conn);
    for (;;) {
        PGresult *res;
        const char *fault;

        if (conn->refused)
            return step_refused(conn);
        if (conn->phase == PGMIG_PHASE_COPY_OUT) {
            if (pgmig_transfer_take(conn))
                return wanted(conn);
            if (conn->phase == PGMIG_PHASE_COPY_OUT)
                return 0; /* a piece for the caller */
        }
        if (PQisBusy(conn->pg) && !pgmig_conn_lost(conn))
            return wanted(conn);
        res = PQgetResult(conn->pg);
        if (conn->refused) { /* by what libpq has met meanwhile */
            PQclear(res);
            continue;
        }
        if (res == NULL) {
            fault = fault_of(conn);
            if (fault != NULL) {
                pgmig_conn_refuse(conn, fault);
                continue;
            }
            if (request_done(conn))
                return 0;
            /* `next` has entered a pipeline, which has a step of its own */
            if (conn->phase == PGMIG_PHASE_PIPELINE)
                return PGMIG_WANT_READ | PGMIG_WANT_WRITE;
        } else if (take_result(conn, res)) {
            return 0;
        } else if (conn->feeding) {
            return wanted(conn);
        }
    }
}

/* When it has ended, `next` is asked as behind any request; it may send
** another. */
static unsigned step_pipeline(struct pgmig_conn *conn)
{
    unsigned want = pgmig_pipeline_step(conn);

    if (want != 0)
        return want;
    (void)note_loss(conn);
    return request_done(conn) ? 0 : PGMIG_WANT_READ | PGMIG_WANT_WRITE;
}

/* The caller may put more when the last piece is with the system: so its memory
** does not grow with the data. A server that has ended the COPY with an error
** meanwhile says so in a result, for which the phase is that of any request. */
static unsigned step_put(struct pgmig_conn *conn)
{
    int pending = PQflush(conn->pg);

    pgmig_conn_read(conn);
    if (pending < 0 || pgmig_conn_lost(conn)) { /* a result says why */
        conn->phase = PGMIG_PHASE_BUSY;
        return step_busy(conn);
    }
    if (pending == 1)
        return PGMIG_WANT_READ | PGMIG_WANT_WRITE;
    conn->phase = PGMIG_PHASE_COPY_IN;
    return 0;
}

/* In the other phases nothing is waited for: the connection is idle, or it is
** the caller's turn to put COPY data. */
unsigned pgmig_conn_step(struct pgmig_conn *conn)
{
    switch (conn->phase) {
    case PGMIG_PHASE_CONNECT:
        return pgmig_connect_step(conn);
    case PGMIG_PHASE_BUSY:
    case PGMIG_PHASE_COPY_OUT:
        return step_busy(conn);
    case PGMIG_PHASE_PUT:
        return step_put(conn);
    case PGMIG_PHASE_PIPELINE:
        return step_pipeline(conn);
    default:
        return 0;
    }
}

bool pgmig_conn_ended(const struct pgmig_conn *conn)
{
    return conn->phase == PGMIG_PHASE_IDLE;
}

int pgmig_conn_finish(struct pgmig_conn *conn, struct pgmig_error *err)
{
    if (!pgmig_conn_ended(conn))
        return pgmig_error_set(err, PGMIG_E_USAGE,
                               "the operation has not ended");
    conn->next = NULL;
    conn->ctx = NULL;
    conn->asking = NULL;
    return has_error(conn) ? pgmig_conn_take_error(conn, err) : 0;
}
