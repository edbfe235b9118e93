/*
** pgmig.h -- the public interface of libpgmig, the core of pgmig.
**
** libpgmig reads migration files, talks to PostgreSQL through libpq and
** maintains the tracking table. It has no global state and never prints, exits
** or blocks: an operation is started, then stepped, and the caller waits for
** the socket between two steps (pgmig_conn_step).
**
** Functions that can fail return -1 or NULL and fill the struct pgmig_error
** given as last argument, which must have been zeroed or cleared before.
** All text is UTF-8. Offsets count bytes from 0, lines and columns from 1,
** and a column counts characters.
*/
#ifndef PGMIG_H
#define PGMIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PGMIG_NODISCARD __attribute__((warn_unused_result))
#define PGMIG_PRINTF(f, a) __attribute__((format(printf, f, a)))

/* ---- errors ---------------------------------------------------------- */

/* The kind of an error, by which programs tell errors apart;
** pgmig_error_kind_name() gives its name. */
enum pgmig_error_kind {
    PGMIG_E_NONE,
    PGMIG_E_USAGE,   /* a bad argument */
    PGMIG_E_PARSE,   /* an invalid migration file */
    PGMIG_E_NAMING,  /* an invalid version or file name */
    PGMIG_E_PLAN,    /* the database and the files do not match */
    PGMIG_E_CONNECT, /* no connection, or it was lost; nothing is kept */
    PGMIG_E_SQL,     /* the server reported an error */
    PGMIG_E_LOCK,    /* could not acquire a lock in time */
    PGMIG_E_IO,      /* a file could not be read or written */
    PGMIG_E_UNKNOWN, /* the connection was lost during COMMIT */
    PGMIG_E_MEMORY   /* out of memory */
};

/* One failure. Strings are owned by the struct and may be NULL. */
struct pgmig_error {
    enum pgmig_error_kind kind;
    char *message;   /* one line, no trailing period */
    char *file;      /* path of the migration file, as given */
    char *text;      /* the source line number `line` */
    char *detail;    /* the server's DETAIL */
    char *hint;      /* what to do next */
    char *context;   /* the server's CONTEXT */
    char *statement; /* the statement that failed */
    char *query;     /* the query that a function or block in it executed */
    int query_at;    /* position in `query`, in characters from 1; 0: unknown */
    int64_t line;    /* 0: unknown */
    int64_t column;  /* 0: unknown */
    char sqlstate[6]; /* "" if it is not from the server */
    const char *code; /* identifies it for programs, a static string such
                      ** as "no_answer"; or NULL */
};

/* Free what an error owns and zero it; clearing a zeroed error is allowed. */
void pgmig_error_clear(struct pgmig_error *err);

/* The name of a kind: "parse", "sql", ... */
const char *pgmig_error_kind_name(enum pgmig_error_kind kind);

/* ---- versions -------------------------------------------------------- */

#define PGMIG_VERSION_DIGITS 38 /* as in NUMERIC(38) */

/*
** Convert a version to its canonical form: digits without leading zeros.
** `out` receives at most PGMIG_VERSION_DIGITS digits and a NUL. Returns -1
** (PGMIG_E_NAMING) for anything but 1 to 38 significant digits.
*/
PGMIG_NODISCARD int pgmig_version_parse(const char *digits, size_t len,
                                        char out[PGMIG_VERSION_DIGITS + 1],
                                        struct pgmig_error *err);

/* Compare two parsed versions as numbers: <0, 0, >0. */
int pgmig_version_compare(const char *a, const char *b);

/* ---- scripts: one migration file ------------------------------------- */

enum pgmig_direction { PGMIG_UP, PGMIG_DOWN };

struct pgmig_script;     /* a parsed migration file */
struct pgmig_vocabulary; /* the markers and directives of a format */

/* pgmig's own vocabulary: -- UP, -- DOWN, -- pgmig: ... */
extern const struct pgmig_vocabulary pgmig_vocabulary_default;

/* Read and parse a file. With `stream`, a file of more than PGMIG_STREAM_BYTES
** is not held in memory, and `words` must stay valid as long as the script. */
#ifndef PGMIG_STREAM_BYTES
#define PGMIG_STREAM_BYTES 1048576
#endif
PGMIG_NODISCARD struct pgmig_script *
pgmig_script_read(const char *path, const struct pgmig_vocabulary *words,
                  bool stream, struct pgmig_error *err);
void pgmig_script_free(struct pgmig_script *script);

/* ---- connections ----------------------------------------------------- */

struct pgmig_conn;

/* What a step must wait for; 0 means that the operation has ended. */
enum pgmig_want { PGMIG_WANT_READ = 1, PGMIG_WANT_WRITE = 2 };

/* A message that the server sent in addition to its results. */
struct pgmig_notice {
    char *severity;
    char *message;
    char *detail;
    char *hint;
    char sqlstate[6];
    size_t migration; /* its index among those of the apply */
};

/*
** Start connecting; a NULL keyword ends the lists, as in PQconnectStartParams
** (libpq manual, "Database Connection Control Functions"). A `dbname` may be
** a connection string. libpq blocks while it looks up a host name; addresses
** and sockets need no lookup. Step until 0, then call pgmig_conn_finish.
*/
PGMIG_NODISCARD struct pgmig_conn *pgmig_conn_open(const char *const *keywords,
                                                   const char *const *values,
                                                   struct pgmig_error *err);

/* Close and free; in a forked child only the descriptor is closed. */
void pgmig_conn_close(struct pgmig_conn *conn);

/* Proceed as far as possible without waiting: returns a set of enum pgmig_want,
** or 0. */
PGMIG_NODISCARD unsigned pgmig_conn_step(struct pgmig_conn *conn);

/* The socket to wait for; it may change with every step. -1: none. */
int pgmig_conn_fd(const struct pgmig_conn *conn);

/*
** Start one request: SQL text without parameters may hold several statements
** (simple protocol); with parameters exactly one. A NULL value is SQL NULL.
*/
PGMIG_NODISCARD int pgmig_conn_send(struct pgmig_conn *conn, const char *sql,
                                    size_t len, int nparams,
                                    const char *const *params,
                                    struct pgmig_error *err);

/* Whether no operation is in progress. */
bool pgmig_conn_ended(const struct pgmig_conn *conn);

/* After step returned 0: 0 if the operation succeeded, otherwise -1 and its
** error. */
PGMIG_NODISCARD int pgmig_conn_finish(struct pgmig_conn *conn,
                                      struct pgmig_error *err);

/* The last result of the operation: its size and values. */
int pgmig_conn_rows(const struct pgmig_conn *conn);
int pgmig_conn_columns(const struct pgmig_conn *conn);
/* A column's name; *type receives its type's oid. */
const char *pgmig_conn_column(const struct pgmig_conn *conn, int column,
                              unsigned *type);
/* NULL is SQL NULL; *len receives the length in bytes. */
const char *pgmig_conn_value(const struct pgmig_conn *conn, int row, int column,
                             size_t *len);
/* The command tag, such as `INSERT 0 1`. */
const char *pgmig_conn_tag(const struct pgmig_conn *conn);

/* Remove the oldest notice from the queue: true and *out (clear it), or false
** if there is none. */
bool pgmig_conn_notice(struct pgmig_conn *conn, struct pgmig_notice *out);
void pgmig_notice_clear(struct pgmig_notice *notice);

/* Ask the server to cancel the running statement. A thread waits for the
** network: nothing is done while an earlier request is still being sent. */
void pgmig_conn_cancel(struct pgmig_conn *conn);
/* Whether a cancel request is still being sent. */
bool pgmig_conn_cancelling(const struct pgmig_conn *conn);

enum pgmig_tx { PGMIG_TX_IDLE, PGMIG_TX_OPEN, PGMIG_TX_FAILED, PGMIG_TX_NONE };
/* Whether a transaction is open; PGMIG_TX_NONE without a connection. */
enum pgmig_tx pgmig_conn_tx(const struct pgmig_conn *conn);
/* The process id that the connection was opened with; behind a pooler, one of
** the pooler's own. */
int pgmig_conn_backend_pid(const struct pgmig_conn *conn);
/* The server process that runs the current migration; 0: unknown. */
int pgmig_conn_server_pid(const struct pgmig_conn *conn);

/* ---- ledger: the tracking table -------------------------------------- */

struct pgmig_ledger;

/*
** A ledger for `table`, "name" or "schema.name" of plain identifiers
** (letters, digits, _ and $, at most 63 bytes). Nothing is sent.
*/
PGMIG_NODISCARD struct pgmig_ledger *pgmig_ledger_new(const char *table,
                                                      struct pgmig_error *err);
void pgmig_ledger_free(struct pgmig_ledger *ledger);

enum pgmig_ledger_op {
    PGMIG_LEDGER_PROBE,     /* find the tables and check their columns */
    PGMIG_LEDGER_PREPARE,   /* create missing tables, upgrade old ones */
    PGMIG_LEDGER_ADVANCE,   /* move the history's sequence past all events */
    PGMIG_LEDGER_WIDEN,     /* make room for a long version (`argument`) */
    PGMIG_LEDGER_LIST,      /* the tracking table's rows */
    PGMIG_LEDGER_MARKS,     /* the newest history event of each migration */
    PGMIG_LEDGER_HISTORY,   /* the newest events; `argument`: how many */
    PGMIG_LEDGER_JOURNAL,   /* unfinished migrations with transaction=off */
    PGMIG_LEDGER_ELSEWHERE, /* other schemas with such tables: { schema,
                            ** barred = this role lacks USAGE on it }; with any
                            ** `argument`: only tables that have had rows */
    PGMIG_LEDGER_READ,   /* LIST, MARKS and JOURNAL of the existing tables, in
                         ** one snapshot: several results
                         ** (pgmig_conn_next_result) */
    PGMIG_LEDGER_TRUST,  /* check whether doubtful tables are safe to use: their
                         ** owners, the code that writing to them runs, and
                         ** row-level security */
    PGMIG_LEDGER_RECORD, /* see pgmig_ledger_record */
    PGMIG_LEDGER_TAKE    /* see pgmig_ledger_take */
};

/*
** Start an operation on the tables; step the connection, then finish with
** pgmig_ledger_finish. Probe first: the others rely on what it found. Rows
** are the connection's last result. LIST returns id, name, applied_at
** (ISO 8601), applied_at_epoch.
*/
PGMIG_NODISCARD int pgmig_ledger_start(struct pgmig_ledger *ledger,
                                       struct pgmig_conn *conn,
                                       enum pgmig_ledger_op op,
                                       const char *argument,
                                       struct pgmig_error *err);
PGMIG_NODISCARD int pgmig_ledger_finish(struct pgmig_ledger *ledger,
                                        struct pgmig_conn *conn,
                                        struct pgmig_error *err);

/* What the history records about a change. Unknown texts may be NULL. */
struct pgmig_entry {
    const char *event;    /* "up", "down", "failed", ... */
    const char *version;  /* see pgmig_version_parse; NULL: a repeatable one */
    const char *name;     /* of the migration */
    const char *checksum; /* of its file; NULL in a job: of the script */
    const char *host;     /* the host that the run is on */
    const char *program;  /* the program, with its version */
    const char *run;      /* a unique id of the run */
    const char *message;  /* an error or a reason */
    const char *applied_at; /* of an adopted migration, as SQL text */
    const char *key;        /* its key in another tool's table */
    const char *digest;     /* of its file, as that tool computes it */
    const char *sqlstate;   /* of a failure, if the server reported one */
    const char *detail;     /* likewise */
    const char *file;       /* place of the failure; line and column from 1 */
    int64_t line;
    int64_t column;
    double seconds; /* how long ago it began; 0: when its transaction began */
    const char *owner; /* owner of the journal row to change ... */
    long revision;     /* ... and the revision that row must have */
};

/* ---- apply: running migrations --------------------------------------- */

/* Points where a run pauses and returns control to the caller; a bit set. */
enum pgmig_pause {
    PGMIG_PAUSE_NONE = 0,
    PGMIG_PAUSE_OPENED = 1, /* the row is claimed, no statement has run */
    PGMIG_PAUSE_BEFORE = 2, /* a statement is about to be sent */
    PGMIG_PAUSE_AFTER = 4,  /* it succeeded */
    PGMIG_PAUSE_CLOSING = 8 /* all statements are done, COMMIT is next */
};

/* The state of the session before the run; NULL: its defaults. */
struct pgmig_session {
    const char *user; /* the role whose privileges pgmig's own statements use */
    const char *role; /* the role that was set with SET ROLE */
    /* Commands that restore this state, except for what follows; the last one
    ** is NULL. NULL: restore the defaults. */
    const char *const *reset;
    bool keeps_locks;  /* it held advisory locks: otherwise all are released */
    const char *names; /* an SQL array of the custom settings (with a dot in the
                       ** name) that the file may set; NULL: none */
};

/* A migration to run. All pointers must stay valid until pgmig_apply_finish. */
struct pgmig_job {
    const struct pgmig_script *script;
    enum pgmig_direction direction;
    enum pgmig_direction section; /* usually the same; paired files: UP */
    struct pgmig_entry entry;     /* event NULL: "up" or "down" */
    const char *lock_timeout;     /* default for transactional migrations */
    unsigned pauses;              /* enum pgmig_pause */
    struct pgmig_session session;
    bool plain;   /* wait for the response to each request */
    bool watched; /* triggers may have been added to pgmig's tables since the
                  ** probe */
    const char *ends_run; /* the run that ends with this migration; or NULL */
    const char *const *along; /* commands of the caller's own bookkeeping that
                              ** commit with the tracking row, with a NULL
                              ** behind the last; NULL: none */
    const char *owner;        /* a unique id of this attempt */
    long revision;            /* of its journal row, taken over with
                              ** pgmig_ledger_take; 0: there is no row yet */
    /* for transaction=off: */
    size_t done; /* how many statements are already done */
};

enum pgmig_outcome {
    PGMIG_DONE,     /* committed */
    PGMIG_RACED,    /* another run has already done it */
    PGMIG_GIVEN_UP, /* the caller gave up at a pause; rolled back */
    PGMIG_FAILED    /* rolled back; for transaction=off see the error */
};

struct pgmig_apply;

/*
** Start one migration, or several in sequence if they all run in a transaction,
** have a version, are not `plain` and have no pauses. For each: begin, claim
** the tracking row, run the statements, record the result, commit; after an
** error roll back and stop. Step the connection until 0. If pgmig_apply_paused
** then returns a point, resume and step again; otherwise pgmig_apply_finish
** returns the outcome and frees the run. `jobs` is copied; what it points to
** is not.
*/
PGMIG_NODISCARD struct pgmig_apply *
pgmig_apply_start(struct pgmig_conn *conn, const struct pgmig_ledger *ledger,
                  const struct pgmig_job *jobs, size_t count,
                  struct pgmig_error *err);

/* How many migrations the server has confirmed as committed so far. */
size_t pgmig_apply_committed(const struct pgmig_apply *apply);

/* How many may be committed: their COMMIT has been sent. */
size_t pgmig_apply_committing(const struct pgmig_apply *apply);

/* How long a committed migration that was pipelined took by the server's clock,
** up to its COMMIT; negative: unknown. */
double pgmig_apply_seconds(const struct pgmig_apply *apply, size_t index);

/* Start no further migration: the run ends early. */
void pgmig_apply_stop(struct pgmig_apply *apply);

/*
** The point where the run is paused, PGMIG_PAUSE_NONE if it has ended;
** *statement receives the index of the statement. During a pause, the
** connection may be used: what it runs is in the migration's transaction.
*/
enum pgmig_pause pgmig_apply_paused(const struct pgmig_apply *apply,
                                    size_t *statement);

/* The txid_current() of the transaction of a migration that waits for each
** response: what the caller does at a pause must not end this transaction.
** NULL: there is none. */
const char *pgmig_apply_transaction(const struct pgmig_apply *apply);

/* The progress of a migration. Bytes are those of its section in the file, from
** the first statement to the end of the last. */
struct pgmig_progress {
    size_t bytes;     /* before the current statement, plus the part of its COPY
                      ** data that libpq has accepted */
    size_t size;      /* of the section */
    size_t done;      /* statements */
    const char *kind; /* of the current statement; NULL: there is none */
};

/* May be called at any time before pgmig_apply_finish. */
void pgmig_apply_progress(const struct pgmig_apply *apply,
                          struct pgmig_progress *out);

enum pgmig_resume {
    PGMIG_GO_ON,
    PGMIG_SKIP,    /* at BEFORE: do not send this statement */
    PGMIG_REPLACE, /* at BEFORE: send `sql` instead of it */
    PGMIG_GIVE_UP  /* roll back; the outcome is PGMIG_GIVEN_UP */
};

/* Whether the run has ended: it may be finished only then. */
bool pgmig_apply_ended(const struct pgmig_apply *apply);

/* Continue after a pause. */
PGMIG_NODISCARD int pgmig_apply_resume(struct pgmig_apply *apply,
                                       enum pgmig_resume how, const char *sql,
                                       struct pgmig_error *err);

/* The outcome of the first migration that pgmig_apply_committed does not count,
** or of the last one; PGMIG_DONE for a run that was stopped. */
enum pgmig_outcome pgmig_apply_finish(struct pgmig_apply *apply,
                                      struct pgmig_error *err);
/* Free a run whose connection is closed without another step. */
void pgmig_apply_free(struct pgmig_apply *apply);

#endif
