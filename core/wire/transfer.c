/*
** transfer.c -- COPY data, both ways: a migration's, or the caller's.
**
** Data of any length goes through buffers of a bounded one: a piece is handed
** to libpq when the last one is with the system, and what comes is given to the
** caller by pieces, or dropped (libpq manual, "Functions Associated with the
** COPY Command"). How a COPY has ended is not said here: a result does, behind
** it.
*/
#include "wire/transfer.h"

#include "base/error.h"
#include "wire/report.h"

/* Bytes of COPY data handed to libpq at once. With the five that a message
** begins with they are a multiple of 8 kB, which is what libpq sends as it is
** (fe-misc.c, pqPutMsgEnd): else each would end with a packet of a few. */
#define FEED_CHUNK (65536 - 5)
#define COPY_CHUNK 262144 /* bytes of COPY data gathered for the caller */

/* ---- within a request ------------------------------------------------ */

/* libpq cannot go on: neither the data nor its end can be sent, and a server
** that waits for either would wait for ever. */
static void give_up(struct pgmig_conn *conn)
{
    if (conn->error.kind == PGMIG_E_NONE)
        pgmig_conn_fail(conn);
    pgmig_conn_give_up(conn, "could not send the data of a COPY");
}

/* With a reason the COPY fails at the server, and with it the statement. */
static void end_feed(struct pgmig_conn *conn, const char *reason)
{
    conn->feeding = false;
    if (PQputCopyEnd(conn->pg, reason) != 1)
        give_up(conn);
}

/* Have a piece of data to send: false when the COPY has ended. Data that cannot
** be read ends it with an error, never as if it were complete. */
static bool have_piece(struct pgmig_conn *conn)
{
    int more = 0;

    if (conn->feed_len > 0)
        return true;
    if (conn->supply != NULL)
        more = conn->supply(conn->ctx, &conn->feed, &conn->feed_len);
    if (conn->supply == NULL)
        end_feed(conn, "no inline data for this COPY");
    else if (more <= 0)
        end_feed(conn, more < 0 ? "could not read the data" : NULL);
    return more > 0;
}

/* PQflush gives 0 when libpq's buffer is empty: so it never grows beyond a
** piece, and PQputCopyData has room, or no memory. */
void pgmig_transfer_feed(struct pgmig_conn *conn)
{
    while (conn->feeding && PQflush(conn->pg) == 0 && have_piece(conn)) {
        int n =
            (int)(conn->feed_len < FEED_CHUNK ? conn->feed_len : FEED_CHUNK);

        if (PQputCopyData(conn->pg, conn->feed, n) == 1) {
            conn->feed += n;
            conn->feed_len -= (size_t)n;
            conn->fed += (size_t)n;
            conn->moved++;
        } else {
            conn->feeding = false;
            give_up(conn);
        }
    }
}

/* Asynchronously (the 1): 0 means that no whole row is there yet. Dropped data
** is taken as far as there is any; for the caller, up to a piece. */
bool pgmig_transfer_take(struct pgmig_conn *conn)
{
    while (conn->discard || conn->copy.len < COPY_CHUNK) {
        char *data;
        int n = PQgetCopyData(conn->pg, &data, 1);

        if (n == 0 && !pgmig_conn_lost(conn))
            return true;
        if (n <= 0) { /* the end, or an error that PQgetResult tells */
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

/* ---- COPY for the caller --------------------------------------------- */

static int check_copy_in(struct pgmig_conn *conn, struct pgmig_error *err)
{
    if (pgmig_conn_check_process(conn, err) != 0)
        return -1;
    if (conn->phase == PGMIG_PHASE_COPY_IN)
        return 0;
    return pgmig_error_set(err, PGMIG_E_USAGE,
                           "the server is not waiting for COPY data");
}

/* libpq copies all of it into its buffer, in pieces whose lengths an int holds;
** the phase lets nobody put more before that is sent (exchange.c, step_put). */
int pgmig_conn_copy_put(struct pgmig_conn *conn, const char *data, size_t len,
                        struct pgmig_error *err)
{
    if (check_copy_in(conn, err) != 0)
        return -1;
    while (len > 0) {
        int n = (int)(len < FEED_CHUNK ? len : FEED_CHUNK);
        int ok = PQputCopyData(conn->pg, data, n);

        if (ok != 1) {
            pgmig_conn_fail(conn);
            return pgmig_conn_take_error(conn, err);
        }
        data += n;
        len -= (size_t)n;
    }
    conn->phase = PGMIG_PHASE_PUT;
    return 0;
}

/* Behind this the request goes on as any: its result says how the COPY went. */
int pgmig_conn_copy_end(struct pgmig_conn *conn, const char *reason,
                        struct pgmig_error *err)
{
    if (check_copy_in(conn, err) != 0)
        return -1;
    conn->phase = PGMIG_PHASE_BUSY;
    if (PQputCopyEnd(conn->pg, reason) == 1)
        return 0;
    pgmig_conn_fail(conn);
    conn->phase = PGMIG_PHASE_IDLE;
    return pgmig_conn_take_error(conn, err);
}

/* The caller has had the last piece: its room is used again. */
int pgmig_conn_copy_get(struct pgmig_conn *conn, struct pgmig_error *err)
{
    if (pgmig_conn_check_process(conn, err) != 0)
        return -1;
    if (conn->phase != PGMIG_PHASE_COPY_OUT)
        return pgmig_error_set(err, PGMIG_E_USAGE,
                               "the server is not sending COPY data");
    conn->copy.len = 0;
    return 0;
}

const char *pgmig_conn_copy_data(const struct pgmig_conn *conn, size_t *len)
{
    *len = conn->copy.len;
    return conn->copy.len > 0 ? conn->copy.data : NULL;
}
