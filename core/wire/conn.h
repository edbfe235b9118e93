/*
** conn.h -- what the modules above the connection may do with it.
**
** An operation is a chain of requests. When the server has answered one,
** `next` is asked: it sends another (true) or ends the operation (false).
*/
#ifndef PGMIG_CONN_H
#define PGMIG_CONN_H

#include <libpq-fe.h>
#include <sys/types.h>

#include "base/buf.h"
#include "wire/wire.h"

/* The column in which a request of ours asks who answers it. */
#define PGMIG_SERVER_PID "pgmig_server_pid"
#define PGMIG_ASK_SERVER "pg_catalog.pg_backend_pid() AS " PGMIG_SERVER_PID

/* The column in which a claim says which transaction is the migration's. */
#define PGMIG_TRANSACTION "pgmig_transaction"
#define PGMIG_ASK_TRANSACTION "pg_catalog.txid_current() AS " PGMIG_TRANSACTION

/* The shapes of answers with them (answer.h). */
#define PGMIG_SERVER_SHAPE "1 " PGMIG_SERVER_PID ":int"
#define PGMIG_SENT_CLAIM_SHAPE "? " PGMIG_SERVER_PID ":int ..."
#define PGMIG_CLAIM_SHAPE \
    "? " PGMIG_SERVER_PID ":int " PGMIG_TRANSACTION ":int ..."

typedef bool pgmig_next(void *ctx, struct pgmig_conn *conn);

/* Hand out a piece of COPY data: 1, 0 when there is no more, -1 when it is not
** to be had, which is the connection's error. */
typedef int pgmig_supply(void *ctx, const char **data, size_t *len);

#define PGMIG_TAG_SIZE 32
/* The least that pg_stat_activity shows of a statement is 99 bytes, or fewer
** where a character would be cut (track_activity_query_size). */
#define PGMIG_SENT_SIZE 97

enum pgmig_phase {
    PGMIG_PHASE_CONNECT,
    PGMIG_PHASE_IDLE,
    PGMIG_PHASE_BUSY,     /* a request is with the server */
    PGMIG_PHASE_COPY_IN,  /* the server waits for data */
    PGMIG_PHASE_COPY_OUT, /* the server sends data */
    PGMIG_PHASE_PUT,      /* data is on its way to the server */
    PGMIG_PHASE_PIPELINE  /* requests and answers are on their way at once */
};

enum { PGMIG_RESULTS = 3 }; /* the most that a request keeps beside the last */

struct pgmig_pipeline;
struct pgmig_cancel;
struct pgmig_environment;

struct pgmig_conn {
    PGconn *pg;
    struct pgmig_environment *environment; /* while it connects */
    pid_t owner;                           /* the process that opened it */
    enum pgmig_phase phase;
    PostgresPollingStatusType polling;
    int server_pid;           /* the server process that answered a claim; 0 */
    bool pooled;              /* a pooler gives each transaction a process */
    bool tx_warning;          /* the server warned about transaction control */
    bool strings_off;         /* standard_conforming_strings is, by default */
    char tag[PGMIG_TAG_SIZE]; /* names its transactions behind a pooler */
    char sent[PGMIG_SENT_SIZE]; /* how the last request begins */

    /* the answer */
    PGresult *result;              /* the last result of the request */
    PGresult *kept[PGMIG_RESULTS]; /* those with rows, where all are asked for,
                                   ** until pgmig_conn_next_result */
    const char *kept_shapes[PGMIG_RESULTS]; /* of those (answer.h) */
    const char *shape; /* of the request's answer (answer.h); NULL */
    int kept_count;
    int results;           /* how many commands of the request succeeded */
    size_t moved;          /* how often data went or came */
    size_t answering;      /* whose answer is read, of several migrations */
    bool keeps;            /* all results are asked for */
    bool discard;          /* rows are thrown away as they come */
    bool refused;          /* no answer is looked at that has come */
    bool copy_more;        /* there may be more of `copy` */
    bool feeding;          /* COPY data is sent */
    struct pgmig_buf copy; /* COPY data that came and is not taken yet */
    pgmig_supply *supply;  /* brings COPY data, when the request has its own */
    const char *feed;      /* the rest of the piece that is being sent */
    size_t feed_len;
    size_t fed;      /* bytes that were */
    char *abandoned; /* why no answer is waited for any more; NULL */
    bool unanswered; /* because none came in time */
    struct pgmig_cancel *cancel; /* the last request to stop; NULL */
    struct pgmig_error error;    /* the first failure of the operation */
    size_t error_position;       /* its character in the statement, from 1; 0 */
    bool error_of_grammar;       /* the server's parser has raised it */
    struct pgmig_notice *notices;
    size_t notice_first; /* those before it were taken */
    size_t notice_count;

    /* the operation */
    struct pgmig_pipeline *pipeline;                /* in that phase */
    void (*drop_pipeline)(struct pgmig_conn *conn); /* frees it */
    pgmig_next *next;
    void *ctx;
    const struct pgmig_ledger *asking; /* whose operation it is; NULL */
    enum pgmig_ledger_op asked;        /* which one */
};

/* Fail in another process than the one that opened it. */
PGMIG_NODISCARD int pgmig_conn_check_process(const struct pgmig_conn *conn,
                                             struct pgmig_error *err);

/* Fail unless the connection is idle, ours and open. */
PGMIG_NODISCARD int pgmig_conn_check_idle(struct pgmig_conn *conn,
                                          struct pgmig_error *err);

/* Begin an operation made of several requests. */
void pgmig_conn_begin(struct pgmig_conn *conn, pgmig_next *next, void *ctx);

/* Send one request of an operation: rows discarded, COPY data from `supply`,
** which gets the operation's context; NULL: there is none. */
PGMIG_NODISCARD int pgmig_conn_request(struct pgmig_conn *conn, const char *sql,
                                       pgmig_supply *supply);

/* Send one request of an operation, SQL of our own, whose last answer has this
** shape (answer.h): its rows are kept. */
PGMIG_NODISCARD int pgmig_conn_ask(struct pgmig_conn *conn, const char *sql,
                                   const char *shape);

/* What the server says cannot be right: nothing that it says is believed any
** more. The operation fails, with the first of its errors, and goes on when
** the connection is lost. `fault`: what is wrong about it. */
void pgmig_conn_refuse(struct pgmig_conn *conn, const char *fault);

/* The same where libpq cannot go on. */
void pgmig_conn_give_up(struct pgmig_conn *conn, const char *reason);

/* Of a connection that was refused: read until it is lost, which is soon.
** Whether it is. */
bool pgmig_conn_drain(struct pgmig_conn *conn);

/* Let libpq read what has come: a failure shows in the results. */
void pgmig_conn_read(struct pgmig_conn *conn);

/* Set the connection's error, kind "connect", from the reason for which it was
** given up, else from libpq's own text. */
void pgmig_conn_fail(struct pgmig_conn *conn);

/* Move the operation's error, if any, to err: -1, else 0. */
int pgmig_conn_take_error(struct pgmig_conn *conn, struct pgmig_error *err);

/* Clear it: the operation goes on without. */
void pgmig_conn_forget_error(struct pgmig_conn *conn);

/* Whether the server counts bytes where others count characters, as it does in
** SQL_ASCII: the places of its errors. */
bool pgmig_conn_counts_bytes(const struct pgmig_conn *conn);

/* Clear the last result, and those that are kept. */
void pgmig_conn_forget_result(struct pgmig_conn *conn);

#endif
