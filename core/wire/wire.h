/* wire.h -- connections, beyond what pgmig.h has of them. */
#ifndef PGMIG_WIRE_H
#define PGMIG_WIRE_H

#include "base/base.h"

/*
** The same with variables for libpq alone: names and values in turn, NULL ends
** the list. Those that the process's own environment has win over them. They
** are in it while libpq is called, so other threads must leave it alone.
*/
PGMIG_NODISCARD struct pgmig_conn *
pgmig_conn_open_in(const char *const *environment, const char *const *keywords,
                   const char *const *values, struct pgmig_error *err);

/* The names of the variables that libpq reads: how many; constants. */
size_t pgmig_libpq_variables(const char **names, size_t max);

/* The request that was sent just now is answered in this shape (answer.h), or
** the connection is given up; it is needed until then. */
void pgmig_conn_expect(struct pgmig_conn *conn, const char *shape);
bool pgmig_answer_is_shape(const char *text);

/* Go on to the first, then the next of several results of an operation that has
** them (PGMIG_LEDGER_READ); false when there is none. */
bool pgmig_conn_next_result(struct pgmig_conn *conn);

/* The last result, for who takes all of it: its size; its columns, as many as
** that says, each with its name and its type's oid. */
struct pgmig_column {
    const char *name;
    unsigned type;
};
void pgmig_conn_size(const struct pgmig_conn *conn, int *rows, int *columns);
void pgmig_conn_heading(const struct pgmig_conn *conn,
                        struct pgmig_column *heading);
/* A value of the last result; NULL is SQL NULL. */
struct pgmig_cell {
    const char *text;
    size_t len;
};
/* The values of one of its rows, as many as it has columns. */
void pgmig_conn_row(const struct pgmig_conn *conn, int row,
                    struct pgmig_cell *values);

/* Whether pgmig_conn_notice has one to give. */
bool pgmig_conn_has_notice(const struct pgmig_conn *conn);

/* COPY: the operation ended because the server waits for, or sends, data. */
enum pgmig_copy_way { PGMIG_COPY_NONE, PGMIG_COPY_IN, PGMIG_COPY_OUT };
enum pgmig_copy_way pgmig_conn_copying(const struct pgmig_conn *conn);
/* Send data (an operation). */
PGMIG_NODISCARD int pgmig_conn_copy_put(struct pgmig_conn *conn,
                                        const char *data, size_t len,
                                        struct pgmig_error *err);
/* End the data, or give up with a reason (an operation). */
PGMIG_NODISCARD int pgmig_conn_copy_end(struct pgmig_conn *conn,
                                        const char *reason,
                                        struct pgmig_error *err);
/* Receive data (an operation); then take it: NULL when there is no more. */
PGMIG_NODISCARD int pgmig_conn_copy_get(struct pgmig_conn *conn,
                                        struct pgmig_error *err);
const char *pgmig_conn_copy_data(const struct pgmig_conn *conn, size_t *len);

/* Give up waiting for an answer: the connection counts as lost, and the next
** steps end the operation with `reason`; NULL: nothing came in time, which the
** error's code says too. */
void pgmig_conn_abandon(struct pgmig_conn *conn, const char *reason);

/* Columns that say which process answers: its number, its start and its
** server's, since numbers are used again. */
#define PGMIG_ASK_SERVED                                                      \
    "pg_catalog.pg_backend_pid() AS pid, (SELECT pg_catalog.to_json("         \
    "a.backend_start) OPERATOR(pg_catalog.#>>) '{}' "                         \
    "FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()) AS a)" \
    " AS backend_start, pg_catalog.to_json("                                  \
    "pg_catalog.pg_postmaster_start_time()) OPERATOR(pg_catalog.#>>) '{}' "   \
    "AS server_start"
#define PGMIG_SERVED_SHAPE "pid:int backend_start:text? server_start:text"

/* Tell what process has answered, as pg_backend_pid() says: a pooler's, when it
** is not the one that the connection was opened with. */
void pgmig_conn_served_by(struct pgmig_conn *conn, int pid);
/* Behind a pooler, the application_name of its transactions: no other
** connection has it. */
const char *pgmig_conn_session_tag(const struct pgmig_conn *conn);
/* How the request begins that was sent last; "" in a pipeline. */
const char *pgmig_conn_sent(const struct pgmig_conn *conn);
/* What it is connected to, and as whom, as libpq's parameters; never NULL. The
** texts are the connection's. */
struct pgmig_peer {
    const char *host;
    const char *address; /* "" for a socket's folder */
    const char *port;
    const char *user;
    const char *database;
};
void pgmig_conn_peer(const struct pgmig_conn *conn, struct pgmig_peer *peer);

/* What the connection was made with, as libpq's variables, for a program that
** is to make the same one. A list that ends with a NULL name, to be freed with
** pgmig_variables_free; NULL: no memory. */
struct pgmig_variable {
    const char *name; /* libpq's own constant */
    char *value;
};
struct pgmig_variable *pgmig_conn_variables(const struct pgmig_conn *conn);
void pgmig_variables_free(struct pgmig_variable *list);

/* What tells whether data still goes or comes: how many pieces have, and how
** many bytes the system has taken that have not reached the other side (0
** where it does not say). */
void pgmig_conn_traffic(const struct pgmig_conn *conn, size_t *moved,
                        int *unsent);
/* Whether the connection is gone. */
bool pgmig_conn_lost(const struct pgmig_conn *conn);
/* As 150004 for 15.4. */
int pgmig_conn_server_version(const struct pgmig_conn *conn);
/* libpq's connect_timeout in seconds, from wherever; 0: none. libpq itself
** does not heed it in a connection that is stepped. */
int pgmig_conn_connect_timeout(const struct pgmig_conn *conn);

/* Where a connection would go, NULL for what is not set: hosts, addresses and
** ports are lists with commas, as in libpq's parameters of these names. */
struct pgmig_hosts {
    char *host;
    char *hostaddr;
    char *port;
    char *database;
    char *user;
    char *options;
    char *connect_timeout;
};

/* What libpq makes of keywords, connection string, environment and service
** file; the lists as in pgmig_conn_open_in. No name is looked up. */
PGMIG_NODISCARD int pgmig_hosts_read(const char *const *environment,
                                     const char *const *keywords,
                                     const char *const *values,
                                     struct pgmig_hosts *hosts,
                                     struct pgmig_error *err);
void pgmig_hosts_free(struct pgmig_hosts *hosts);

/* The parameters that a connection string sets, and which of them nobody may
** see. */
struct pgmig_parameter {
    const char *name; /* a constant of libpq's */
    bool secret;
};

/* Read a URL or key words, checked as before connecting: how many parameters,
** at most `max`; -1 where it would be refused. */
PGMIG_NODISCARD int pgmig_connstring_parameters(const char *s,
                                                struct pgmig_parameter *list,
                                                int max,
                                                struct pgmig_error *err);

/* A setting that the server reports (PQparameterStatus), else NULL. */
const char *pgmig_conn_parameter(const struct pgmig_conn *conn,
                                 const char *name);

/* Quote for SQL; malloc, NULL on failure. */
PGMIG_NODISCARD char *pgmig_conn_quote_literal(struct pgmig_conn *conn,
                                               const char *s, size_t len,
                                               struct pgmig_error *err);
PGMIG_NODISCARD char *pgmig_conn_quote_ident(struct pgmig_conn *conn,
                                             const char *s, size_t len,
                                             struct pgmig_error *err);

#endif
