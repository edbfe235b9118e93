/*
** syntax.c -- statements that the server parses, and does nothing else with.
**
** A Parse message is enough for that (protocol manual, "Extended Query"): of a
** utility statement, as all DDL is, the server does nothing more. In queries
** and the like it also looks up names, takes locks on what it finds, and says
** of what an earlier migration creates that it does not exist. So every
** statement stands in the body of a function that nobody creates: a body is
** parsed by the same grammar, as text, with the rest of CREATE FUNCTION. One
** body has many statements, which costs the server a fifth of what as many
** messages do. Before PostgreSQL 14, which has no such bodies, a statement is
** the query of a PREPARE, which takes fewer kinds of statements: the others are
** left out.
**
** Of a body that is refused each statement is asked about by itself, and what
** such an envelope is refused for once more without it: so an error is always
** about the statement as it will be sent, and its place is the statement's. An
** error counts when the grammar has raised it, and nothing but the text decides
** about it (is_about_text). Whatever else the server says concerns the attempt:
** the statement is passed by, and running it will tell.
**
** One pipeline has one Sync, behind which the next one begins: so no
** transaction, which a time-out could be about, takes long. Nothing is left of
** all this in the session but an unnamed statement.
*/
#include "engine/syntax.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "text/blame.h"
#include "text/lexer.h"
#include "text/source.h"
#include "wire/pipeline.h"

#define SYNC_BYTES 4194304 /* sent before a Sync */
#define STATEMENT_COST \
    800            /* bytes that a statement counts as, beside its own */
#define ODD_MAX 20 /* other errors, until the attempt is given up */
/* What one body holds at most. */
#define BODY_STATEMENTS 50
#define BODY_BYTES 16384

struct pgmig_syntax {
    struct pgmig_conn *conn;
    struct pgmig_passage *list;
    size_t count;
    struct pgmig_syntax_place here;   /* what is sent next */
    struct pgmig_syntax_place failed; /* what the last pipeline has failed at */
    size_t failed_count;              /* ... how many statements those were */
    bool enveloped; /* ... and whether that was in an envelope */
    size_t singly;  /* so many have an envelope of their own */
    bool exact;     /* `here` is sent without one, and nothing behind it */
    bool alone;
    size_t sent; /* bytes since the last Sync */
    int odd;
    struct pgmig_buf text;
    struct pgmig_error cause; /* why sending could not go on */
};

/* ---- envelopes ------------------------------------------------------- */

/* Nothing of it is ever run; if it were, the function would be gone with the
** session. What ends a statement stands on a line of its own: it may end with a
** comment. */
static const struct envelope {
    const char *before, *between, *behind;
} bare = {"", "", ""},
  body = {"CREATE FUNCTION pg_temp.pgmig() RETURNS pg_catalog.void "
          "LANGUAGE sql BEGIN ATOMIC ",
          "\n; ", "END"},
  prepared = {"PREPARE pgmig AS ", "", ""};

static bool begins(const struct pgmig_statement *st, const char *const *words)
{
    size_t len = strcspn(st->name, " ");

    for (; *words != NULL; words++)
        if (strlen(*words) == len && strncmp(st->name, *words, len) == 0)
            return true;
    return false;
}

/* CREATE TABLE ... AS and CREATE MATERIALIZED VIEW. */
static bool creates_from_query(const char *sql, size_t len)
{
    struct pgmig_words w;

    pgmig_words_init(&w, sql, len, true);
    if (!pgmig_words_accept(&w, "create"))
        return false;
    while (pgmig_words_accept(&w, "global") ||
           pgmig_words_accept(&w, "local") || pgmig_words_accept(&w, "temp") ||
           pgmig_words_accept(&w, "temporary") ||
           pgmig_words_accept(&w, "unlogged"))
        ;
    return (pgmig_words_at(&w, "table") ||
            pgmig_words_at(&w, "materialized")) &&
           pgmig_words_find(&w, "as");
}

/* Before PostgreSQL 14; all of its statements whose parsing looks up names
** (analyze.c, transformStmt). NULL: there is none for it. */
static const struct envelope *old_envelope(const struct pgmig_statement *st,
                                           const char *sql)
{
    static const char *const preparable[] = {"SELECT", "INSERT", "UPDATE",
                                             "DELETE", "WITH",   "VALUES",
                                             "TABLE",  NULL};
    static const char *const others[] = {"EXPLAIN", "DECLARE", "CALL", NULL};

    if (begins(st, preparable))
        return &prepared;
    if (begins(st, others) || creates_from_query(sql, st->end - st->start))
        return NULL;
    return &bare;
}

/* BEGIN and END are no statements of a body (gram.y, TransactionStmtLegacy). */
static const struct envelope *envelope_of(const struct pgmig_syntax *s,
                                          const struct pgmig_statement *st,
                                          const char *sql)
{
    const unsigned transaction = PGMIG_T_TX_BEGIN | PGMIG_T_TX_COMMIT |
                                 PGMIG_T_TX_SET | PGMIG_T_TX_REFUSED;

    if (s->exact || (st->traits & transaction))
        return &bare;
    if (pgmig_conn_server_version(s->conn) >= 140000)
        return &body;
    return old_envelope(st, sql);
}

/* ---- statements ------------------------------------------------------ */

static const struct pgmig_section *section_at(const struct pgmig_syntax *s,
                                              size_t passage)
{
    const struct pgmig_passage *p = &s->list[passage];

    return &p->script->sections[p->section];
}

static const struct pgmig_statement *
statement_at(const struct pgmig_syntax *s,
             const struct pgmig_syntax_place *place)
{
    return &section_at(s, place->passage)->statements[place->statement];
}

static const char *text_at(const struct pgmig_syntax *s,
                           const struct pgmig_syntax_place *place)
{
    return pgmig_source_at(&s->list[place->passage].script->source,
                           statement_at(s, place)->start);
}

/* Go on to a statement that is there: false behind the last one. A streamed
** script has none in memory. */
static bool seek(struct pgmig_syntax *s)
{
    for (; s->here.passage < s->count;
         s->here.passage++, s->here.statement = 0) {
        if (s->list[s->here.passage].script->streamed)
            continue;
        if (s->here.statement < section_at(s, s->here.passage)->statement_count)
            return true;
    }
    return false;
}

/* The envelope of the statement that is next. */
static const struct envelope *envelope_here(const struct pgmig_syntax *s)
{
    return envelope_of(s, statement_at(s, &s->here), text_at(s, &s->here));
}

/* Whether the next statement goes with the `count` that are written. */
static bool goes_along(struct pgmig_syntax *s, const struct envelope *envelope,
                       size_t count)
{
    return envelope == &body && s->singly == 0 && count < BODY_STATEMENTS &&
           s->text.len < BODY_BYTES && seek(s) && envelope_here(s) == envelope;
}

/* Write an envelope with what goes into it; returns how many statements. */
static size_t write_envelope(struct pgmig_syntax *s,
                             const struct envelope *envelope)
{
    size_t count = 0;

    s->text.len = 0;
    pgmig_buf_adds(&s->text, envelope->before);
    do {
        const struct pgmig_statement *st = statement_at(s, &s->here);

        pgmig_buf_add(&s->text, text_at(s, &s->here), st->end - st->start);
        pgmig_buf_adds(&s->text, envelope->between);
        s->here.statement++;
        count++;
    } while (goes_along(s, envelope, count));
    pgmig_buf_adds(&s->text, envelope->behind);
    if (s->singly > 0)
        s->singly--;
    return count;
}

/* The next envelope: false without memory for its text. */
static bool fill(struct pgmig_syntax *s, const struct envelope *envelope,
                 struct pgmig_request *next)
{
    *next = (struct pgmig_request){.parsed = true,
                                   .mark = {.job = s->here.passage,
                                            .at = s->here.statement,
                                            .part = envelope != &bare}};
    next->mark.end = write_envelope(s, envelope);
    next->sql = s->text.data;
    s->sent += s->text.len + next->mark.end * STATEMENT_COST;
    if (!s->text.failed)
        return true;
    pgmig_error_memory(&s->cause);
    return false;
}

/* Some more (pgmig_pipeline_owner): false when the Sync is due. */
static bool feed(void *ctx, struct pgmig_request *next)
{
    struct pgmig_syntax *s = ctx;
    size_t most = s->alone || s->exact ? 1 : SYNC_BYTES;

    while (s->sent < most && seek(s)) {
        const struct envelope *envelope = envelope_here(s);

        if (envelope != NULL)
            return fill(s, envelope, next);
        s->here.statement++;
    }
    return false;
}

static const char *answered(void *ctx, const struct pgmig_mark *mark)
{
    (void)ctx;
    (void)mark;
    return NULL;
}

static void failed(void *ctx, const struct pgmig_mark *mark)
{
    struct pgmig_syntax *s = ctx;

    s->failed = (struct pgmig_syntax_place){mark->job, mark->at};
    s->failed_count = mark->end;
    s->enveloped = mark->part != 0;
}

/* ---- what the server says -------------------------------------------- */

/* All that gram.y and scan.l raise by the text alone (manual, Appendix A):
** syntax_error, feature_not_supported, invalid_parameter_value (the precision
** of a FLOAT), duplicate_object (a modulus given twice), windowing_error,
** reserved_name, invalid_escape_sequence. What is missing depends on settings
** (22P06) or on memory (53, 54). */
static bool is_about_text(const struct pgmig_conn *conn)
{
    static const char *const states[] = {"42601", "0A000", "22023", "42710",
                                         "42P20", "42939", "22025"};

    for (size_t i = 0; i < sizeof states / sizeof *states; i++)
        if (strcmp(conn->error.sqlstate, states[i]) == 0)
            return conn->error_of_grammar;
    return false;
}

/* Whether a literal may end elsewhere by the time that the statement runs: a
** trigger or a function may set standard_conforming_strings before. */
static bool may_read_otherwise(const struct pgmig_syntax *s)
{
    const struct pgmig_statement *st = statement_at(s, &s->failed);
    const char *sql = text_at(s, &s->failed);
    size_t len = st->end - st->start;

    for (size_t i = 0; i + 1 < len; i++)
        if (sql[i] == '\\' && sql[i + 1] == '\'')
            return true;
    return false;
}

/* The connection's error becomes that of the file. Returns what conn.h asks of
** `next`: the operation is over. */
static bool refuse(struct pgmig_syntax *s)
{
    struct pgmig_conn *conn = s->conn;

    conn->error.kind = PGMIG_E_PARSE;
    pgmig_blame_place(&conn->error, s->list[s->failed.passage].script,
                      section_at(s, s->failed.passage)->statements,
                      s->failed.statement, conn->error_position,
                      pgmig_conn_counts_bytes(conn));
    return false;
}

static const struct pgmig_pipeline_owner owner = {feed, answered, failed};

/* Go on in another pipeline, if there is anything left. */
static bool go_on(struct pgmig_syntax *s)
{
    s->sent = 0;
    return seek(s) && pgmig_pipeline_enter(s->conn, &owner, s, &s->cause) == 0;
}

/* One statement was refused: what stands behind it was not parsed. */
static bool judge(struct pgmig_syntax *s)
{
    bool counts = is_about_text(s->conn) && !may_read_otherwise(s);

    if (counts && !s->enveloped)
        return refuse(s);
    pgmig_conn_forget_error(s->conn);
    s->exact = counts;
    if (counts)
        return go_on(s);
    s->here.statement++;
    return ++s->odd < ODD_MAX && go_on(s);
}

/* One of several was. */
static bool ask_singly(struct pgmig_syntax *s)
{
    pgmig_conn_forget_error(s->conn);
    s->singly = s->failed_count;
    return go_on(s);
}

/* The operation's `next` (conn.h): a pipeline is answered, or will not be. */
static bool next(void *ctx, struct pgmig_conn *conn)
{
    struct pgmig_syntax *s = ctx;

    if (conn->error.kind == PGMIG_E_NONE && s->cause.kind != PGMIG_E_NONE) {
        conn->error = s->cause;
        s->cause = (struct pgmig_error){0};
    }
    if (conn->error.kind == PGMIG_E_NONE) {
        s->exact = false;
        return go_on(s);
    }
    if (conn->error.sqlstate[0] == '\0' || pgmig_conn_lost(conn))
        return false;
    s->here = s->failed;
    return s->failed_count > 1 ? ask_singly(s) : judge(s);
}

/* ---- the operation --------------------------------------------------- */

/* A transaction of the caller's would be aborted by a statement that is
** refused. */
static int check_start(struct pgmig_conn *conn, struct pgmig_error *err)
{
    if (pgmig_conn_check_idle(conn, err) != 0)
        return -1;
    if (pgmig_conn_tx(conn) == PGMIG_TX_IDLE)
        return 0;
    return pgmig_error_set(err, PGMIG_E_USAGE,
                           "a transaction is open on this connection");
}

/* Where the session reads backslashes in literals as escapes, it will not when
** the statements run (session.c): so nothing is asked. */
static bool reads_otherwise(const struct pgmig_conn *conn)
{
    const char *standard =
        pgmig_conn_parameter(conn, "standard_conforming_strings");

    return standard == NULL || strcmp(standard, "on") != 0;
}

struct pgmig_syntax *pgmig_syntax_start(struct pgmig_conn *conn,
                                        const struct pgmig_passage *list,
                                        size_t count,
                                        struct pgmig_syntax_place from,
                                        bool alone, struct pgmig_error *err)
{
    struct pgmig_syntax *s;

    if (check_start(conn, err) != 0)
        return NULL;
    s = calloc(1, sizeof *s);
    if (s != NULL)
        s->list = calloc(count + 1, sizeof *s->list);
    if (s == NULL || s->list == NULL) {
        pgmig_syntax_free(s);
        pgmig_error_memory(err);
        return NULL;
    }
    memcpy(s->list, list, count * sizeof *list);
    s->conn = conn;
    s->count = reads_otherwise(conn) ? 0 : count;
    s->here = from;
    s->alone = alone;
    pgmig_conn_begin(conn, next, s);
    (void)go_on(s); /* what fails is told by finish */
    return s;
}

struct pgmig_syntax_place pgmig_syntax_stopped(const struct pgmig_syntax *s)
{
    return s->failed;
}

void pgmig_syntax_free(struct pgmig_syntax *s)
{
    if (s == NULL)
        return;
    pgmig_error_clear(&s->cause);
    pgmig_buf_free(&s->text);
    free(s->list);
    free(s);
}
