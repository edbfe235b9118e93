/*
** pipeline.c -- many requests on their way at once (libpq manual, "Pipeline
** Mode").
**
** One Sync, at the end: behind the first error the server skips everything up
** to it (protocol manual, "Pipelining"). Each request has a mark, in the order
** in which they were sent, which is that of the answers; the oldest mark is the
** request whose results libpq gives now. What a request means is the owner's
** affair: it is asked for more, told of each success, and once of the first
** failure.
**
** Invariant: `ring` holds what was sent and is not answered, and `in_flight` is
** what that takes. The phase ends with the Sync's answer, or with the
** connection.
*/
#include "wire/pipeline.h"

#include <stdlib.h>
#include <string.h>

#include "wire/answer.h"
#include "base/error.h"
#include "wire/report.h"

/* Bytes sent and not answered. Without a bound both sides could wait for each
** other with full buffers; with it a link of 10 ms takes 25 MB a second. More
** is sent only when half of that is answered: each time costs a Flush, and a
** packet. */
#define IN_FLIGHT_MAX 262144
#define IN_FLIGHT_LOW (IN_FLIGHT_MAX / 2)
/* Bytes of Parse, Bind, Describe and Execute around SQL. */
#define OVERHEAD 64

struct request {
    struct pgmig_mark mark;
    size_t bytes;
};

struct pgmig_pipeline {
    const struct pgmig_pipeline_owner *owner;
    void *ctx;
    struct pgmig_error *cause; /* why a request could not be sent */
    struct request *ring;      /* what is not answered, oldest first */
    size_t first, count, cap;
    size_t in_flight; /* their bytes */
    bool unflushed;   /* the server was not asked for the last answers */
    bool complete;    /* the Sync is sent */
    bool told;        /* the owner knows that one has failed */
    bool answered;    /* the oldest request is, but for the end of its answer */
};

/* Marks own nothing: a ring with requests in it is simply freed. */
static void drop(struct pgmig_conn *conn)
{
    free(conn->pipeline->ring);
    free(conn->pipeline);
    conn->pipeline = NULL;
    conn->answering = 0; /* what comes now is about none of its requests */
}

/* Which statement the server is at, nobody knows while several are on their
** way: `sent` says none. */
int pgmig_pipeline_enter(struct pgmig_conn *conn,
                         const struct pgmig_pipeline_owner *owner, void *ctx,
                         struct pgmig_error *cause)
{
    struct pgmig_pipeline *p = calloc(1, sizeof *p);

    if (p == NULL)
        return pgmig_error_memory(&conn->error);
    p->owner = owner;
    p->ctx = ctx;
    p->cause = cause;
    conn->pipeline = p;
    conn->drop_pipeline = drop;
    conn->phase = PGMIG_PHASE_PIPELINE;
    conn->sent[0] = '\0';
    pgmig_conn_forget_result(conn);
    if (PQenterPipelineMode(conn->pg) == 1)
        return 0;
    pgmig_conn_fail(conn);
    drop(conn);
    conn->phase = PGMIG_PHASE_IDLE;
    return -1;
}

/* ---- sending --------------------------------------------------------- */

/* Double the ring, its oldest request first. It has a bound, since each request
** counts as OVERHEAD bytes at least. */
static int enlarge(struct pgmig_pipeline *p)
{
    size_t cap = p->cap > 0 ? 2 * p->cap : 64;
    struct request *ring = malloc(cap * sizeof *ring);

    if (ring == NULL)
        return -1;
    for (size_t i = 0; i < p->count; i++)
        ring[i] = p->ring[(p->first + i) % p->cap];
    free(p->ring);
    p->ring = ring;
    p->first = 0;
    p->cap = cap;
    return 0;
}

/* The oldest request is the one whose answer comes next: its rows are dropped
** one by one unless they are wanted. Single-row mode is a matter of each
** request, set before its first result is asked for (libpq manual, "Retrieving
** Query Results in Chunks"). */
static void begin_answer(struct pgmig_conn *conn)
{
    const struct pgmig_mark *mark =
        &conn->pipeline->ring[conn->pipeline->first].mark;

    conn->pipeline->answered = false;
    conn->answering = mark->job;
    if (mark->shape == NULL)
        PQsetSingleRowMode(conn->pg);
}

/* With the extended protocol, which alone can be in a pipeline, and takes one
** statement: a second one in the text would be refused as a syntax error. What
** is only parsed becomes the unnamed statement, until the next one or a simple
** query. */
static int hand_over(struct pgmig_conn *conn,
                     const struct pgmig_request *request)
{
    if (request->parsed)
        return PQsendPrepare(conn->pg, "", request->sql, 0, NULL);
    return PQsendQueryParams(conn->pg, request->sql, 0, NULL, NULL, NULL, NULL,
                             0);
}

/* A failure is nobody's answer, so it goes to the owner's cause, and not to the
** connection, whose error is the server's word. */
static int send(struct pgmig_conn *conn, const struct pgmig_request *request)
{
    struct pgmig_pipeline *p = conn->pipeline;
    const struct pgmig_mark *mark = &request->mark;
    size_t bytes = strlen(request->sql) + OVERHEAD;

    if (p->count == p->cap && enlarge(p) != 0)
        return pgmig_error_memory(p->cause);
    if (hand_over(conn, request) != 1)
        return pgmig_error_set(p->cause, PGMIG_E_CONNECT, "%s",
                               PQerrorMessage(conn->pg));
    p->ring[(p->first + p->count++) % p->cap] = (struct request){*mark, bytes};
    if (p->count == 1)
        begin_answer(conn);
    p->in_flight += bytes;
    p->unflushed = true;
    if (mark->flush && PQsendFlushRequest(conn->pg) == 1)
        p->unflushed = false;
    return 0;
}

/* Without a Sync the server never ends what it skips, nor answers it; so a
** connection that cannot send one is of no use any more. */
static void complete(struct pgmig_conn *conn)
{
    conn->pipeline->complete = true;
    if (PQpipelineSync(conn->pg) != 1)
        pgmig_conn_abandon(conn, "could not end the pipeline");
}

/* Send what the owner has until enough is on its way, or there is an error:
** what comes behind one would be skipped, but for the Sync. The Flush asks for
** the answers to what is there, which the server may keep until a Sync
** otherwise (protocol manual, "Extended Query"). */
static void send_more(struct pgmig_conn *conn)
{
    struct pgmig_pipeline *p = conn->pipeline;

    if (p->complete ||
        (p->in_flight > IN_FLIGHT_LOW && conn->error.kind == PGMIG_E_NONE))
        return;
    while (p->in_flight < IN_FLIGHT_MAX) {
        struct pgmig_request request = {0};

        if (conn->error.kind != PGMIG_E_NONE ||
            !p->owner->feed(p->ctx, &request) || send(conn, &request) != 0) {
            complete(conn);
            return;
        }
    }
    if (p->unflushed && PQsendFlushRequest(conn->pg) == 1)
        p->unflushed = false;
}

/* ---- reading --------------------------------------------------------- */

/* The oldest request is answered: libpq has made the next one current. */
static void end_answer(struct pgmig_conn *conn)
{
    struct pgmig_pipeline *p = conn->pipeline;

    p->in_flight -= p->ring[p->first].bytes;
    p->first = (p->first + 1) % p->cap;
    p->count--;
    if (p->count > 0)
        begin_answer(conn);
}

/* The owner is told once, whatever follows: which request was to be answered
** next, or none, where all were. */
static void fail(struct pgmig_conn *conn)
{
    static const struct pgmig_mark none;
    struct pgmig_pipeline *p = conn->pipeline;

    if (p->told)
        return;
    p->told = true;
    p->owner->failed(p->ctx, p->count > 0 ? &p->ring[p->first].mark : &none);
}

/* Only the first error is the owner's; what follows it is skipped by the
** server. */
static void take_failure(struct pgmig_conn *conn, const PGresult *res)
{
    if (conn->error.kind != PGMIG_E_NONE)
        return;
    pgmig_report_result(conn, res);
    fail(conn);
}

/* What has come cannot be right: the request whose answer it should have been
** has failed, as if the connection had been lost there. */
static void refuse(struct pgmig_conn *conn, const char *fault)
{
    pgmig_conn_refuse(conn, fault);
    fail(conn);
}

/* Behind a failure nothing is believed to have been done: an answer that comes
** all the same is not told. */
static void take_success(struct pgmig_conn *conn, PGresult *res)
{
    struct pgmig_pipeline *p = conn->pipeline;
    const struct pgmig_mark *mark = &p->ring[p->first].mark;
    const char *fault;

    PQclear(conn->result);
    conn->result = res;
    if (conn->error.kind != PGMIG_E_NONE)
        return;
    fault = mark->shape ? pgmig_answer_fault(res, mark->shape) : NULL;
    if (fault == NULL)
        fault = p->owner->answered(p->ctx, mark);
    if (fault != NULL)
        refuse(conn, fault);
}

/* Look at one result of the oldest request. PGRES_PIPELINE_ABORTED is what
** libpq says of each request that the server has skipped. */
static void take_result(struct pgmig_conn *conn, PGresult *res)
{
    struct pgmig_pipeline *p = conn->pipeline;
    ExecStatusType status = PQresultStatus(res);

    conn->moved++;
    p->answered = p->answered || status != PGRES_SINGLE_TUPLE;
    switch (status) {
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
    case PGRES_EMPTY_QUERY:
        if (p->count > 0) {
            take_success(conn, res);
            return;
        }
        refuse(conn, "a result that was not requested");
        break;
    case PGRES_SINGLE_TUPLE:
    case PGRES_PIPELINE_ABORTED:
        break;
    case PGRES_COPY_IN:
    case PGRES_COPY_OUT:
    case PGRES_COPY_BOTH: /* libpq would give it again and again */
        refuse(conn, "a COPY inside a pipeline");
        break;
    default:
        take_failure(conn, res);
    }
    PQclear(res);
}

/* libpq has no more results for the oldest request. A second end, without a
** result between, is none of a request: a server that sends it is odd, and a
** lost connection gives it for ever. */
static void take_end(struct pgmig_conn *conn)
{
    struct pgmig_pipeline *p = conn->pipeline;

    if (p->answered && p->count > 0) {
        end_answer(conn);
    } else if (!pgmig_conn_lost(conn)) {
        refuse(conn, "the end of a request without a result");
    } else if (conn->error.kind == PGMIG_E_NONE) {
        pgmig_conn_fail(conn);
        fail(conn);
    }
}

/* The Sync is answered: what was asked before it has to be, too. */
static void take_sync(struct pgmig_conn *conn)
{
    struct pgmig_pipeline *p = conn->pipeline;

    if (p->count > 0 || !p->complete)
        refuse(conn, "the end of a pipeline that is still open");
}

/* Take what has come, also from a connection that is lost since: true when the
** pipeline has ended. With a lost connection and an error nothing more can come
** that would change anything. */
static bool take_answers(struct pgmig_conn *conn)
{
    struct pgmig_pipeline *p = conn->pipeline;

    while ((p->count > 0 || p->complete) && !conn->refused) {
        PGresult *res;

        if (PQisBusy(conn->pg) && !pgmig_conn_lost(conn))
            return false;
        res = PQgetResult(conn->pg);
        if (conn->refused) { /* by what libpq has met meanwhile */
            PQclear(res);
            return false;
        }
        if (res != NULL && PQresultStatus(res) == PGRES_PIPELINE_SYNC) {
            PQclear(res);
            take_sync(conn);
            return !conn->refused;
        }
        if (res != NULL)
            take_result(conn, res);
        else
            take_end(conn);
        if (conn->error.kind != PGMIG_E_NONE && pgmig_conn_lost(conn))
            return true;
    }
    return false;
}

/* What cannot be right when a pipeline has ended; libpq goes back to ordinary
** requests, which it refuses while there are results that nobody has taken. */
static const char *fault_of(struct pgmig_conn *conn)
{
    if (pgmig_conn_lost(conn))
        return NULL;
    if (PQexitPipelineMode(conn->pg) != 1)
        return "data after the end of a pipeline";
    return pgmig_conn_tx(conn) == PGMIG_TX_NONE
               ? "an invalid transaction status"
               : NULL;
}

/* What is waited for; 0 when the pipeline is left. */
static unsigned leave(struct pgmig_conn *conn)
{
    const char *fault = fault_of(conn);

    if (fault != NULL) {
        refuse(conn, fault);
        return PGMIG_WANT_READ;
    }
    drop(conn);
    conn->phase = PGMIG_PHASE_IDLE;
    return 0;
}

/* The owner knows first; the operation goes on when the connection is lost. */
static unsigned step_refused(struct pgmig_conn *conn)
{
    fail(conn);
    return pgmig_conn_drain(conn) ? leave(conn) : PGMIG_WANT_READ;
}

/* Reading and sending take turns in one step, as long as answers make room for
** more: neither side is kept from reading by its own writing. The Sync is sent
** as soon as the owner has no more. */
unsigned pgmig_pipeline_step(struct pgmig_conn *conn)
{
    struct pgmig_pipeline *p = conn->pipeline;
    int pending;

    if (conn->refused)
        return step_refused(conn);
    pgmig_conn_read(conn);
    do {
        send_more(conn);
        pending = PQflush(conn->pg);
        if (take_answers(conn))
            return leave(conn);
        if (conn->refused)
            return PGMIG_WANT_READ;
    } while (pending == 0 && !p->complete && p->in_flight <= IN_FLIGHT_LOW);
    return PGMIG_WANT_READ | (pending == 1 ? PGMIG_WANT_WRITE : 0U);
}
