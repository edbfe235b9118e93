/*
** pipeline.c -- the limit that a client of libpq could reach: all statements
** sent through one pipeline with one Sync at the end, nothing looked at but
** whether they failed.
**
**     pipeline CONNECTION FILE
**
** FILE has the statements as they are to be sent, each ended by a NUL byte.
** See "Pipeline Mode" in PostgreSQL's manual.
*/
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include <libpq-fe.h>

struct run {
    PGconn *conn;
    FILE *statements;
    bool all_sent; /* the Sync too */
    long sent, answered;
    bool synced; /* the Sync was answered */
};

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static void send_one(struct run *r)
{
    static char *statement;
    static size_t size;
    int ok;

    if (getdelim(&statement, &size, '\0', r->statements) < 0) {
        r->all_sent = true;
        ok = PQpipelineSync(r->conn);
    } else {
        r->sent++;
        ok =
            PQsendQueryParams(r->conn, statement, 0, NULL, NULL, NULL, NULL, 0);
    }
    if (!ok)
        fail("send", PQerrorMessage(r->conn));
}

/* A NULL ends the answer to a statement, and none follows that to the Sync. */
static void take(struct run *r, PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);

    if (result == NULL)
        r->answered++;
    else if (status == PGRES_PIPELINE_SYNC)
        r->synced = true;
    else if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        fail("statement", PQresultErrorMessage(result));
    PQclear(result);
}

static void take_answers(struct run *r)
{
    while (!r->synced && (r->all_sent || r->answered < r->sent) &&
           !PQisBusy(r->conn))
        take(r, PQgetResult(r->conn));
}

/* Sends until the socket takes no more; true when something is left over. */
static bool send_some(struct run *r)
{
    int left = PQflush(r->conn);

    while (left == 0 && !r->all_sent) {
        send_one(r);
        left = PQflush(r->conn);
    }
    if (left < 0)
        fail("send", PQerrorMessage(r->conn));
    return left > 0;
}

static void run_all(struct run *r)
{
    while (!r->synced) {
        struct pollfd set = {.fd = PQsocket(r->conn), .events = POLLIN};

        if (send_some(r))
            set.events |= POLLOUT;
        poll(&set, 1, -1);
        if ((set.revents & ~POLLOUT) != 0 && !PQconsumeInput(r->conn))
            fail("receive", PQerrorMessage(r->conn));
        take_answers(r);
    }
}

static void ignore_notice(void *arg, const PGresult *notice)
{
    (void)arg;
    (void)notice;
}

int main(int argc, char **argv)
{
    struct run r = {0};

    if (argc != 3)
        fail("usage", "pipeline CONNECTION FILE");
    r.statements = fopen(argv[2], "re");
    if (r.statements == NULL)
        fail(argv[2], "cannot be read");
    r.conn = PQconnectdb(argv[1]);
    if (PQstatus(r.conn) != CONNECTION_OK)
        fail("connect", PQerrorMessage(r.conn));
    PQsetNoticeReceiver(r.conn, ignore_notice, NULL);
    if (PQsetnonblocking(r.conn, 1) != 0 || !PQenterPipelineMode(r.conn))
        fail("pipeline", PQerrorMessage(r.conn));
    run_all(&r);
    PQfinish(r.conn);
    fclose(r.statements);
    return 0;
}
