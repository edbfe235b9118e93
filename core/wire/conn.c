/*
** conn.c -- the state of a connection: what it has answered, what is asked of
** libpq about it, and giving it up, when what comes cannot be believed or does
** not come.
**
** What libpq says may repeat a parameter of the connection, so that its values
** are taken out (conceal.c).
*/
#include "wire/conn.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "wire/conceal.h"
#include "wire/refusal.h"

/* After fork() two processes would read from one socket, and each would get a
** part of the other's answers. */
int pgmig_conn_check_process(const struct pgmig_conn *conn,
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
    if (pgmig_conn_check_process(conn, err) != 0)
        return -1;
    if (conn->phase == PGMIG_PHASE_COPY_IN ||
        conn->phase == PGMIG_PHASE_COPY_OUT)
        return pgmig_error_set(err, PGMIG_E_USAGE,
                               "a COPY is in progress on this connection");
    if (conn->phase != PGMIG_PHASE_IDLE)
        return pgmig_error_set(err, PGMIG_E_USAGE,
                               "the connection is busy with another operation");
    return 0;
}

void pgmig_conn_forget_result(struct pgmig_conn *conn)
{
    PQclear(conn->result);
    conn->result = NULL;
    while (conn->kept_count > 0)
        PQclear(conn->kept[--conn->kept_count]);
}

/* ---- its failure ----------------------------------------------------- */

/*
** The length of what matters in libpq's text. While connecting that is all of
** it: each host has its say. Later the first message, with its lines that
** begin with a tab: what comes behind is about the socket that is gone.
*/
static size_t telling(const char *text, bool connecting)
{
    size_t len = strcspn(text, "\n");

    while (text[len] == '\n' && (connecting || text[len + 1] == '\t'))
        len += 1 + strcspn(text + len + 1, "\n");
    while (len > 0 && text[len - 1] == '\n')
        len--;
    return len;
}

/* Why the connection was given up, else libpq's own text: its first line, the
** others as detail. Where nothing can be concealed for want of memory, nothing
** of the text is said. */
void pgmig_conn_fail(struct pgmig_conn *conn)
{
    bool connecting = conn->phase == PGMIG_PHASE_CONNECT;
    char *concealed = pgmig_conceal(conn->pg, PQerrorMessage(conn->pg));
    const char *code = connecting && concealed
                           ? pgmig_refusal_read(conn->pg, concealed)
                           : NULL;
    const char *text = conn->abandoned ? conn->abandoned : concealed;
    size_t first;
    size_t len;

    if (text == NULL || *text == '\0')
        text = "the connection was lost";
    first = strcspn(text, "\n");
    len = telling(text, connecting);
    pgmig_error_set(&conn->error, PGMIG_E_CONNECT, "%.*s", (int)first, text);
    conn->error.code = conn->unanswered ? "no_answer" : code;
    first += strspn(text + first, "\n\t ");
    if (len > first)
        conn->error.detail = pgmig_strndup(text + first, len - first);
    free(concealed);
}

/* Moved, not copied: the connection has none behind it. */
int pgmig_conn_take_error(struct pgmig_conn *conn, struct pgmig_error *err)
{
    if (conn->error.kind == PGMIG_E_NONE)
        return 0;
    pgmig_error_clear(err);
    *err = conn->error;
    conn->error = (struct pgmig_error){0};
    return -1;
}

/* ---- giving a connection up ------------------------------------------ */

bool pgmig_conn_lost(const struct pgmig_conn *conn)
{
    return PQstatus(conn->pg) == CONNECTION_BAD;
}

/* The operation is told as of any lost connection: by its next results. What
** has come before is still read: a socket that is shut down gives what it has,
** then its end. The first reason is the one that is told. */
void pgmig_conn_abandon(struct pgmig_conn *conn, const char *reason)
{
    static const char none[] = "the server did not answer in time";

    if (conn->abandoned == NULL) {
        conn->unanswered = reason == NULL;
        reason = reason ? reason : none;
        conn->abandoned = pgmig_strndup(reason, strlen(reason));
    }
    shutdown(PQsocket(conn->pg), SHUT_RDWR);
}

/* From here on nothing is looked at that comes (refused); no data is sent
** either. */
void pgmig_conn_give_up(struct pgmig_conn *conn, const char *reason)
{
    pgmig_conn_abandon(conn, reason);
    conn->refused = true;
    conn->feeding = false;
    if (conn->error.kind == PGMIG_E_NONE)
        pgmig_conn_fail(conn);
}

/* The hint only where this is the operation's first error: else the one that
** was there before would get it. */
void pgmig_conn_refuse(struct pgmig_conn *conn, const char *fault)
{
    struct pgmig_buf reason = {0};
    bool first = conn->error.kind == PGMIG_E_NONE;

    pgmig_buf_addf(&reason, "unexpected response from the server: %s", fault);
    pgmig_conn_give_up(conn, reason.failed ? fault : reason.data);
    pgmig_buf_free(&reason);
    if (first)
        pgmig_error_hint(&conn->error, "is the server PostgreSQL? a pooler or "
                                       "proxy in between may be the cause");
}

/* What is read is thrown away. Only reading tells libpq that the socket is at
** its end. */
bool pgmig_conn_drain(struct pgmig_conn *conn)
{
    (void)PQconsumeInput(conn->pg);
    return pgmig_conn_lost(conn);
}

/* Counted before libpq takes it: PQconsumeInput does not tell whether anything
** has come. Its failure is not looked at; the results say the same, behind what
** came before it. */
void pgmig_conn_read(struct pgmig_conn *conn)
{
    int waiting = 0;

    if (ioctl(PQsocket(conn->pg), FIONREAD, &waiting) == 0 && waiting > 0)
        conn->moved++;
    (void)PQconsumeInput(conn->pg);
}

/* ---- looking --------------------------------------------------------- */

int pgmig_conn_fd(const struct pgmig_conn *conn)
{
    return PQsocket(conn->pg);
}

bool pgmig_conn_next_result(struct pgmig_conn *conn)
{
    if (conn->kept_count == 0)
        return false;
    PQclear(conn->result);
    conn->result = conn->kept[0];
    conn->kept_count--;
    for (int i = 0; i < conn->kept_count; i++)
        conn->kept[i] = conn->kept[i + 1];
    return true;
}

int pgmig_conn_rows(const struct pgmig_conn *conn)
{
    return PQntuples(conn->result);
}

int pgmig_conn_columns(const struct pgmig_conn *conn)
{
    return PQnfields(conn->result);
}

const char *pgmig_conn_column(const struct pgmig_conn *conn, int column,
                              unsigned *type)
{
    *type = PQftype(conn->result, column);
    return PQfname(conn->result, column);
}

void pgmig_conn_size(const struct pgmig_conn *conn, int *rows, int *columns)
{
    *rows = pgmig_conn_rows(conn);
    *columns = pgmig_conn_columns(conn);
}

void pgmig_conn_heading(const struct pgmig_conn *conn,
                        struct pgmig_column *heading)
{
    for (int i = 0; i < pgmig_conn_columns(conn); i++)
        heading[i].name = pgmig_conn_column(conn, i, &heading[i].type);
}

/* PQgetvalue gives "" for a NULL: the difference is kept. */
const char *pgmig_conn_value(const struct pgmig_conn *conn, int row, int column,
                             size_t *len)
{
    *len = 0;
    if (PQgetisnull(conn->result, row, column))
        return NULL;
    *len = (size_t)PQgetlength(conn->result, row, column);
    return PQgetvalue(conn->result, row, column);
}

void pgmig_conn_row(const struct pgmig_conn *conn, int row,
                    struct pgmig_cell *values)
{
    for (int i = 0; i < PQnfields(conn->result); i++)
        values[i].text = pgmig_conn_value(conn, row, i, &values[i].len);
}

const char *pgmig_conn_tag(const struct pgmig_conn *conn)
{
    return conn->result ? PQcmdStatus(conn->result) : "";
}

enum pgmig_copy_way pgmig_conn_copying(const struct pgmig_conn *conn)
{
    if (conn->phase == PGMIG_PHASE_COPY_IN)
        return PGMIG_COPY_IN;
    return conn->phase == PGMIG_PHASE_COPY_OUT ? PGMIG_COPY_OUT
                                               : PGMIG_COPY_NONE;
}

/* While a request or a pipeline is under way (PQTRANS_ACTIVE) nobody can say:
** that counts as no connection, so that nobody takes it for idle. */
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

int pgmig_conn_backend_pid(const struct pgmig_conn *conn)
{
    return PQbackendPID(conn->pg);
}

int pgmig_conn_server_pid(const struct pgmig_conn *conn)
{
    return conn->server_pid;
}

/* PQbackendPID is what stood in BackendKeyData when the connection was opened:
** a pooler makes that up. */
void pgmig_conn_served_by(struct pgmig_conn *conn, int pid)
{
    conn->server_pid = pid;
    conn->pooled = pid != PQbackendPID(conn->pg);
}

const char *pgmig_conn_session_tag(const struct pgmig_conn *conn)
{
    return conn->tag;
}

const char *pgmig_conn_sent(const struct pgmig_conn *conn)
{
    return conn->sent;
}

static const char *known(const char *text)
{
    return text ? text : "";
}

void pgmig_conn_peer(const struct pgmig_conn *conn, struct pgmig_peer *peer)
{
    *peer = (struct pgmig_peer){.host = known(PQhost(conn->pg)),
                                .address = known(PQhostaddr(conn->pg)),
                                .port = known(PQport(conn->pg)),
                                .user = known(PQuser(conn->pg)),
                                .database = known(PQdb(conn->pg))};
}

static size_t count_of(const PQconninfoOption *options)
{
    size_t n = 0;

    while (options != NULL && options[n].keyword != NULL)
        n++;
    return n;
}

/* A service is left out: what its file says is among the others, and it would
** come before them. */
static bool is_variable(const PQconninfoOption *o)
{
    return o->envvar != NULL && o->val != NULL && *o->val != '\0' &&
           strcmp(o->keyword, "service") != 0;
}

struct pgmig_variable *pgmig_conn_variables(const struct pgmig_conn *conn)
{
    PQconninfoOption *options = PQconninfo(conn->pg);
    size_t count = count_of(options);
    struct pgmig_variable *list = calloc(count + 1, sizeof *list);
    bool complete = options != NULL && list != NULL;
    size_t n = 0;

    for (size_t i = 0; complete && i < count; i++) {
        if (!is_variable(&options[i]))
            continue;
        list[n].value = pgmig_strndup(options[i].val, strlen(options[i].val));
        complete = list[n].value != NULL;
        list[n++].name = options[i].envvar;
    }
    PQconninfoFree(options);
    if (complete)
        return list;
    pgmig_variables_free(list);
    return NULL;
}

void pgmig_variables_free(struct pgmig_variable *list)
{
    for (size_t i = 0; list != NULL && list[i].name != NULL; i++)
        free(list[i].value);
    free(list);
}

/* The bytes in the socket's queue: sent, and not yet taken by the other side. A
** system that does not tell says 0, which means "nothing is stuck". */
void pgmig_conn_traffic(const struct pgmig_conn *conn, size_t *moved,
                        int *unsent)
{
    *moved = conn->moved;
    if (ioctl(PQsocket(conn->pg), TIOCOUTQ, unsent) != 0)
        *unsent = 0;
}

int pgmig_conn_server_version(const struct pgmig_conn *conn)
{
    return PQserverVersion(conn->pg);
}

/* It may come from a service file or the environment, so libpq is asked. Its
** text was checked before (connstring.c). */
int pgmig_conn_connect_timeout(const struct pgmig_conn *conn)
{
    PQconninfoOption *options = PQconninfo(conn->pg);
    int seconds = 0;

    for (PQconninfoOption *o = options; o != NULL && o->keyword; o++)
        if (strcmp(o->keyword, "connect_timeout") == 0 && o->val != NULL)
            seconds = atoi(o->val);
    PQconninfoFree(options);
    return seconds;
}

const char *pgmig_conn_parameter(const struct pgmig_conn *conn,
                                 const char *name)
{
    return PQparameterStatus(conn->pg, name);
}

bool pgmig_conn_counts_bytes(const struct pgmig_conn *conn)
{
    const char *encoding = pgmig_conn_parameter(conn, "server_encoding");

    return encoding != NULL && strcmp(encoding, "SQL_ASCII") == 0;
}

/* ---- quoting --------------------------------------------------------- */

/* What libpq has made is malloc's (but on Windows: libpq manual, PQfreemem);
** NULL, which it returns for text that is invalid in the client's encoding, is
** an error of the caller's. */
static char *quoted(struct pgmig_conn *conn, char *made,
                    struct pgmig_error *err)
{
    if (made == NULL)
        pgmig_error_set(err, PGMIG_E_USAGE, "could not quote the text: %s",
                        PQerrorMessage(conn->pg));
    return made;
}

/* PQescapeLiteral writes E'' where there is a backslash, so that the literal is
** right whatever standard_conforming_strings is; it fails for bytes that are no
** text in the connection's encoding. */
char *pgmig_conn_quote_literal(struct pgmig_conn *conn, const char *s,
                               size_t len, struct pgmig_error *err)
{
    return quoted(conn, PQescapeLiteral(conn->pg, s, len), err);
}

char *pgmig_conn_quote_ident(struct pgmig_conn *conn, const char *s, size_t len,
                             struct pgmig_error *err)
{
    return quoted(conn, PQescapeIdentifier(conn->pg, s, len), err);
}
