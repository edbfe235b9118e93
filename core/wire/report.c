/*
** report.c -- what the server says: notices and errors.
**
** It is kept as it is, in the server's language; what it means is read from
** codes (SQLSTATE, the severity that is not translated), never from words. Only
** libpq calls pgmig_report_notice: in the middle of its reading, where nothing
** may be sent or raised.
*/
#include "wire/report.h"

#include <stdlib.h>
#include <string.h>

#include "wire/conn.h"
#include "base/error.h"

#define NOTICES_MAX 1000 /* what nobody reads must not fill the memory */

static char *field(const PGresult *res, int code)
{
    const char *value = PQresultErrorField(res, code);

    return value ? pgmig_strndup(value, strlen(value)) : NULL;
}

/* A field that is a number; 0 when it is not there. */
static size_t number(const PGresult *res, int code)
{
    const char *value = PQresultErrorField(res, code);

    return value ? strtoul(value, NULL, 10) : 0;
}

/* Five characters, always (manual, "PostgreSQL Error Codes"): others are
** none. */
static void copy_state(const PGresult *res, char sqlstate[6])
{
    const char *value = PQresultErrorField(res, PG_DIAG_SQLSTATE);

    sqlstate[0] = '\0';
    if (value != NULL && strlen(value) == 5)
        memcpy(sqlstate, value, 6);
}

/* What the server has said has not all that it always has, or libpq cannot make
** anything of it: nothing that comes behind it can be understood. A connection
** that is lost says odd things of itself, and they are no lie of a server's. */
static void report_odd(struct pgmig_conn *conn, const char *text)
{
    struct pgmig_buf reason = {0};

    if (pgmig_conn_lost(conn)) {
        pgmig_conn_fail(conn);
        return;
    }
    pgmig_buf_addf(&reason, "could not read the server's response: %s", text);
    pgmig_conn_give_up(conn, reason.failed ? "out of memory" : reason.data);
    pgmig_buf_free(&reason);
}

/* Whether a notice is libpq's own, such as that something came out of turn, or
** has no words. */
static bool is_odd(const PGresult *res)
{
    return PQresultErrorField(res, PG_DIAG_SQLSTATE) == NULL ||
           PQresultErrorField(res, PG_DIAG_SEVERITY_NONLOCALIZED) == NULL ||
           PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY) == NULL;
}

/* Whether it says that a statement has touched the transaction: this counts
** also of a notice that is not remembered. */
static void note_warning(struct pgmig_conn *conn, const PGresult *res)
{
    char state[6];

    copy_state(res, state);
    /* active_sql_transaction, no_active_sql_transaction (appendix A) */
    if (strcmp(state, "25001") == 0 || strcmp(state, "25P01") == 0)
        conn->tx_warning = true;
}

/* libpq calls this while it reads: only remember. What cannot be remembered (no
** memory, too many that nobody has taken) is left out. */
void pgmig_report_notice(void *arg, const PGresult *res)
{
    struct pgmig_conn *conn = arg;
    struct pgmig_notice *list;
    struct pgmig_notice *notice;

    if (is_odd(res)) {
        report_odd(conn, PQresultErrorMessage(res));
        return;
    }
    note_warning(conn, res);
    if (conn->notice_count - conn->notice_first >= NOTICES_MAX)
        return;
    list = pgmig_grow(conn->notices, conn->notice_count, sizeof *list);
    if (list == NULL)
        return;
    conn->notices = list;
    notice = &list[conn->notice_count++];
    copy_state(res, notice->sqlstate);
    notice->migration = conn->answering;
    notice->severity = field(res, PG_DIAG_SEVERITY_NONLOCALIZED);
    notice->message = field(res, PG_DIAG_MESSAGE_PRIMARY);
    notice->detail = field(res, PG_DIAG_MESSAGE_DETAIL);
    notice->hint = field(res, PG_DIAG_MESSAGE_HINT);
}

void pgmig_notice_clear(struct pgmig_notice *notice)
{
    free(notice->severity);
    free(notice->message);
    free(notice->detail);
    free(notice->hint);
    *notice = (struct pgmig_notice){0};
}

bool pgmig_conn_has_notice(const struct pgmig_conn *conn)
{
    return conn->notice_count > 0;
}

/* The list is moved up when it is empty or a whole length was taken, not for
** each notice: taking n of them costs n steps. */
bool pgmig_conn_notice(struct pgmig_conn *conn, struct pgmig_notice *out)
{
    if (conn->notice_count == 0)
        return false;
    *out = conn->notices[conn->notice_first++];
    if (conn->notice_first == NOTICES_MAX ||
        conn->notice_first == conn->notice_count) { /* move the rest once */
        conn->notice_count -= conn->notice_first;
        memmove(conn->notices, conn->notices + conn->notice_first,
                conn->notice_count * sizeof *conn->notices);
        conn->notice_first = 0;
    }
    return true;
}

/* Whether what is said ends the session. Poolers say it in one field only, the
** one that servers translate, and in English. An error without any counts as
** fatal. */
static bool is_fatal(const PGresult *res)
{
    const char *severity =
        PQresultErrorField(res, PG_DIAG_SEVERITY_NONLOCALIZED);

    if (severity == NULL)
        severity = PQresultErrorField(res, PG_DIAG_SEVERITY);
    return severity == NULL || strcmp(severity, "ERROR") != 0;
}

/* A statement with a parameter, as $1, which nobody gives: the server says
** protocol_violation, as poolers do when they end a session. The severity tells
** the two apart. */
static bool lacks_parameter(const PGresult *res)
{
    const char *sqlstate = PQresultErrorField(res, PG_DIAG_SQLSTATE);

    return sqlstate != NULL && strcmp(sqlstate, "08P01") == 0 && !is_fatal(res);
}

static enum pgmig_error_kind kind_of(const PGresult *res, const char *sqlstate)
{
    /* lock_not_available; class 08 and 57P01..57P03: the session is gone,
    ** unless a statement tells of another session */
    if (strcmp(sqlstate, "55P03") == 0)
        return PGMIG_E_LOCK;
    if (!is_fatal(res))
        return PGMIG_E_SQL;
    if (strncmp(sqlstate, "08", 2) == 0 || strcmp(sqlstate, "57P01") == 0 ||
        strcmp(sqlstate, "57P02") == 0 || strcmp(sqlstate, "57P03") == 0)
        return PGMIG_E_CONNECT;
    return PGMIG_E_SQL;
}

/* Whether the parser has raised it, which knows the text and nothing else: the
** file of the server's source says so (gram.y, scan.l, parser.c), in every
** language. The folder before it depends on how the server was built. Where a
** proxy leaves the field out, nobody knows. */
static bool is_of_grammar(const PGresult *res)
{
    static const char *const files[] = {"gram.y", "scan.l", "parser.c",
                                        "gram.c", "scan.c"};
    const char *path = PQresultErrorField(res, PG_DIAG_SOURCE_FILE);
    const char *name = path;

    if (path == NULL)
        return false;
    for (; *path != '\0'; path++)
        if (*path == '/' || *path == '\\')
            name = path + 1;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (strcmp(name, files[i]) == 0)
            return true;
    return false;
}

/* libpq makes results of its own for what it cannot read, or when the
** connection is lost: they have a text, and no fields. */
void pgmig_report_result(struct pgmig_conn *conn, const PGresult *res)
{
    struct pgmig_error *err = &conn->error;
    const char *message = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);

    if (message == NULL) { /* libpq has made it, or it is not as it should be */
        report_odd(conn, PQerrorMessage(conn->pg));
        return;
    }
    if (lacks_parameter(res))
        message =
            "statement has parameters, such as $1, but none were supplied";
    pgmig_error_set(err, PGMIG_E_SQL, "%s", message);
    copy_state(res, err->sqlstate);
    err->kind = kind_of(res, err->sqlstate);
    err->detail = field(res, PG_DIAG_MESSAGE_DETAIL);
    err->hint = field(res, PG_DIAG_MESSAGE_HINT);
    err->context = field(res, PG_DIAG_CONTEXT);
    err->query = field(res, PG_DIAG_INTERNAL_QUERY);
    err->query_at = (int)number(res, PG_DIAG_INTERNAL_POSITION);
    conn->error_position = number(res, PG_DIAG_STATEMENT_POSITION);
    conn->error_of_grammar = is_of_grammar(res);
}
