/*
** cancel.c -- asking the server to stop a statement, beside the work.
**
** A cancel request goes over a connection of its own, with a key that the
** server has given (protocol manual, "Canceling Requests in Progress"). libpq's
** own function for it waits for the network, and nothing bounds that: a thread
** waits in our place. It has all that it needs to itself, so the connection may
** be closed meanwhile. Whether the request has come in time is seen by what
** becomes of the statement, and by nothing else.
*/
#include "wire/cancel.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/thread.h"

#ifdef LIBPQ_HAS_ASYNC_CANCEL /* libpq 17: encrypted as the connection is */
typedef PGcancelConn request;
#define create(pg) PQcancelCreate(pg)
#define carry_out(r) ((void)PQcancelBlocking(r)) /* there is no plan B */
#define destroy(r) PQcancelFinish(r)
#else
typedef PGcancel request;
#define create(pg) PQgetCancel(pg)
static void carry_out(request *r)
{
    char reason[256];

    (void)PQcancel(r, reason, sizeof reason); /* there is no plan B */
}
#define destroy(r) PQfreeCancel(r)
#endif

struct pgmig_cancel {
    atomic_int users; /* the connection, and the thread */
    atomic_bool over;
    request *request;
};

/* The connection and the thread each let go of it once; who is last frees
** it. */
void pgmig_cancel_free(struct pgmig_cancel *cancel)
{
    if (cancel == NULL || atomic_fetch_sub(&cancel->users, 1) > 1)
        return;
    destroy(cancel->request);
    free(cancel);
}

/* Over before it is let go: behind that it may be freed at once. */
static void *run(void *arg)
{
    struct pgmig_cancel *cancel = arg;

    carry_out(cancel->request);
    atomic_store(&cancel->over, true);
    pgmig_cancel_free(cancel);
    return NULL;
}

/* Made here and not in the thread: the connection is read only where nobody
** else uses it. */
static struct pgmig_cancel *new_cancel(PGconn *pg)
{
    struct pgmig_cancel *cancel = calloc(1, sizeof *cancel);

    if (cancel == NULL)
        return NULL;
    atomic_init(&cancel->users, 2);
    atomic_init(&cancel->over, false);
    cancel->request = create(pg);
    if (cancel->request != NULL)
        return cancel;
    free(cancel);
    return NULL;
}

bool pgmig_conn_cancelling(const struct pgmig_conn *conn)
{
    return conn->cancel != NULL && !atomic_load(&conn->cancel->over);
}

/* One at a time: a second request would reach the same statement, or the
** next. */
void pgmig_conn_cancel(struct pgmig_conn *conn)
{
    struct pgmig_cancel *cancel;

    if (pgmig_conn_cancelling(conn))
        return;
    pgmig_cancel_free(conn->cancel);
    conn->cancel = NULL;
    cancel = new_cancel(conn->pg);
    if (cancel == NULL)
        return;
    conn->cancel = cancel;
    if (pgmig_thread_start(run, cancel) == 0)
        return;
    /* no thread: this was its share */
    atomic_store(&cancel->users, 1);
    pgmig_cancel_free(cancel);
    conn->cancel = NULL;
}
