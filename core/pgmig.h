/*
** pgmig.h -- the public interface of libpgmig, the core of pgmig.
**
** libpgmig reads migration files, speaks to PostgreSQL through libpq and
** keeps the tracking table. It holds no global state, never prints, never
** exits and never waits: an operation is started, then stepped, and the
** caller waits for the socket between two steps (pgmig_conn_step).
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

/* What went wrong, as scripts see it: pgmig_error_kind_name() names it. */
enum pgmig_error_kind {
    PGMIG_E_NONE,
    PGMIG_E_USAGE,   /* a bad argument */
    PGMIG_E_PARSE,   /* a migration file that is refused */
    PGMIG_E_NAMING,  /* a version or file name that is refused */
    PGMIG_E_PLAN,    /* the database and the files do not fit together */
    PGMIG_E_CONNECT, /* no connection, or it was lost; nothing was kept */
    PGMIG_E_SQL,     /* the server refused a statement */
    PGMIG_E_LOCK,    /* a lock was not to be had in time */
    PGMIG_E_IO,      /* a file could not be read or written */
    PGMIG_E_UNKNOWN, /* the connection was lost while COMMIT was under way */
    PGMIG_E_MEMORY   /* out of memory */
};

/* One failure. Strings are owned by the struct and may be NULL. */
struct pgmig_error {
    enum pgmig_error_kind kind;
    char *message;    /* one line, no trailing period */
    char *file;       /* the migration file, as it was named */
    char *text;       /* the source line that `line` points at */
    char *detail;     /* the server's DETAIL */
    char *hint;       /* what to do next */
    char *context;    /* the server's CONTEXT */
    char *statement;  /* the statement that failed */
    char *query;      /* what a function or block has built and run in it */
    int query_at;     /* the character in that, from 1; 0: unknown */
    int64_t line;     /* 0: unknown */
    int64_t column;   /* 0: unknown */
    char sqlstate[6]; /* "" when it is not from the server */
    const char *code; /* a word by which programs know it, static; NULL:
                      ** "no_answer" */
};

/* Free what an error owns and zero it; a zeroed error may be cleared. */
void pgmig_error_clear(struct pgmig_error *err);

/* The name of a kind: "parse", "sql", ... */
const char *pgmig_error_kind_name(enum pgmig_error_kind kind);

/* ---- versions -------------------------------------------------------- */

#define PGMIG_VERSION_DIGITS 38 /* as many as NUMERIC(38) holds */

/*
** Bring a version to its one form: digits without leading zeros.
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
struct pgmig_vocabulary; /* the words that structure a file */

/* pgmig's own vocabulary: -- UP, -- DOWN, -- pgmig: ... */
extern const struct pgmig_vocabulary pgmig_vocabulary_default;

/* Read and parse a file. With `stream` one of more than PGMIG_STREAM_BYTES is
** not held, and `words` have to stay valid as long as the script. */
#ifndef PGMIG_STREAM_BYTES
#define PGMIG_STREAM_BYTES 1048576
#endif
PGMIG_NODISCARD struct pgmig_script *
pgmig_script_read(const char *path, const struct pgmig_vocabulary *words,
                  bool stream, struct pgmig_error *err);
void pgmig_script_free(struct pgmig_script *script);

/* ---- connections ----------------------------------------------------- */

struct pgmig_conn;

/* What a step waits for; 0 means that the operation has ended. */
enum pgmig_want { PGMIG_WANT_READ = 1, PGMIG_WANT_WRITE = 2 };

/* A message that the server sent beside its results. */
struct pgmig_notice {
    char *severity;
    char *message;
    char *detail;
    char *hint;
    char sqlstate[6];
    size_t migration; /* whose it is: its index among those of an apply */
};

/*
** Begin to connect; NULL keywords end the lists, as in PQconnectStartParams
** (libpq manual, "Database Connection Control Functions"). A `dbname` may be
** a connection string. Only names that need no lookup connect without a wait
** inside libpq. Step until 0, then ask pgmig_conn_finish.
*/
PGMIG_NODISCARD struct pgmig_conn *pgmig_conn_open(const char *const *keywords,
                                                   const char *const *values,
                                                   struct pgmig_error *err);

/* Close and free; in a forked child only the descriptor is closed. */
void pgmig_conn_close(struct pgmig_conn *conn);

/* Go as far as possible without waiting: a set of enum pgmig_want, or 0. */
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

/* Whether no operation is under way. */
bool pgmig_conn_ended(const struct pgmig_conn *conn);

/* After step returned 0: 0 when the operation succeeded, else its error. */
PGMIG_NODISCARD int pgmig_conn_finish(struct pgmig_conn *conn,
                                      struct pgmig_error *err);

/* The last result of the operation: its size and values. */
int pgmig_conn_rows(const struct pgmig_conn *conn);
int pgmig_conn_columns(const struct pgmig_conn *conn);
const char *pgmig_conn_column_name(const struct pgmig_conn *conn, int column);
unsigned pgmig_conn_column_type(const struct pgmig_conn *conn, int column);
/* NULL is SQL NULL; *len receives the length in bytes. */
const char *pgmig_conn_value(const struct pgmig_conn *conn, int row, int column,
                             size_t *len);
/* The command tag, as `INSERT 0 1`. */
const char *pgmig_conn_tag(const struct pgmig_conn *conn);

/* Take the oldest notice: true and *out (clear it), or false. */
bool pgmig_conn_notice(struct pgmig_conn *conn, struct pgmig_notice *out);
void pgmig_notice_clear(struct pgmig_notice *notice);

/* Ask the server to stop the running statement. A thread waits for the network:
** nothing is done while an earlier request is on its way. */
void pgmig_conn_cancel(struct pgmig_conn *conn);
/* Whether that is still on its way. */
bool pgmig_conn_cancelling(const struct pgmig_conn *conn);

enum pgmig_tx { PGMIG_TX_IDLE, PGMIG_TX_OPEN, PGMIG_TX_FAILED, PGMIG_TX_NONE };
/* Whether a transaction is open; PGMIG_TX_NONE without a connection. */
enum pgmig_tx pgmig_conn_tx(const struct pgmig_conn *conn);
/* The process id that the connection was opened with: behind a pooler the
** pooler's own. */
int pgmig_conn_backend_pid(const struct pgmig_conn *conn);
/* The server process that runs the migration under way; 0: not known. */
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
    PGMIG_LEDGER_PREPARE,   /* create what is missing, upgrade what is old */
    PGMIG_LEDGER_ADVANCE,   /* let events come behind all that there are */
    PGMIG_LEDGER_WIDEN,     /* make room for a long version (`argument`) */
    PGMIG_LEDGER_LIST,      /* the tracking table's rows */
    PGMIG_LEDGER_MARKS,     /* what the history says last of each migration */
    PGMIG_LEDGER_HISTORY,   /* its newest events; `argument`: how many */
    PGMIG_LEDGER_JOURNAL,   /* migrations with transaction=off under way */
    PGMIG_LEDGER_ELSEWHERE, /* schemas with such tables, other than the one that
                            ** counts: { schema, barred = this role may not use
                            ** it }; any `argument`: those that have had rows */
    PGMIG_LEDGER_READ,   /* LIST, MARKS and JOURNAL of those tables that there
                         ** are, as they were at one moment: several results
                         ** (pgmig_conn_next_result) */
    PGMIG_LEDGER_TRUST,  /* find out whether tables in doubt may be used: whose
                         ** they are, what hangs on them, what they hide */
    PGMIG_LEDGER_RECORD, /* see pgmig_ledger_record */
    PGMIG_LEDGER_TAKE    /* see pgmig_ledger_take */
};

/*
** Start an operation on the tables; step the connection, then finish with
** pgmig_ledger_finish. Probe first: the others rely on what it found. What a
** query finds is the connection's last result. LIST yields id, name,
** applied_at (ISO 8601), applied_at_epoch.
*/
PGMIG_NODISCARD int pgmig_ledger_start(struct pgmig_ledger *ledger,
                                       struct pgmig_conn *conn,
                                       enum pgmig_ledger_op op,
                                       const char *argument,
                                       struct pgmig_error *err);
PGMIG_NODISCARD int pgmig_ledger_finish(struct pgmig_ledger *ledger,
                                        struct pgmig_conn *conn,
                                        struct pgmig_error *err);

/* What the history says of a change. Unknown texts may be NULL. */
struct pgmig_entry {
    const char *event;      /* "up", "down", "failed", ... */
    const char *version;    /* pgmig_version_parse; NULL: a repeatable one */
    const char *name;       /* of the migration */
    const char *checksum;   /* of its file; NULL in a job: of what is run */
    const char *host;       /* where the run takes place */
    const char *program;    /* which program, with its version */
    const char *run;        /* a word that no other run has */
    const char *message;    /* an error, a reason */
    const char *applied_at; /* of an adopted one, as SQL reads it */
    const char *key;        /* what another tool calls it in its table */
    const char *digest;     /* of its file, as that tool computes it */
    const char *sqlstate;   /* of a failure, where the server tells */
    const char *detail;     /* likewise */
    const char *file;       /* where it failed; line and column from 1 */
    int64_t line;
    int64_t column;
    double seconds;    /* how long ago it began; 0: with its transaction */
    const char *owner; /* whose the row in the journal is that is changed ... */
    long revision;     /* ... and which of its states that is */
};

/* ---- apply: running migrations --------------------------------------- */

/* Where a run may stop and hand over to the caller; a set of bits. */
enum pgmig_pause {
    PGMIG_PAUSE_NONE = 0,
    PGMIG_PAUSE_OPENED = 1, /* the row is claimed, no statement has run */
    PGMIG_PAUSE_BEFORE = 2, /* a statement is about to be sent */
    PGMIG_PAUSE_AFTER = 4,  /* it succeeded */
    PGMIG_PAUSE_CLOSING = 8 /* all are done, COMMIT comes next */
};

/* What the session had before the run; NULL: its defaults. */
struct pgmig_session {
    const char *user; /* whose rights our own statements have ... */
    const char *role; /* ... and the role that was set */
    /* Commands that take the session back there, without what follows; the
    ** last one is NULL. NULL: to its defaults. */
    const char *const *reset;
    bool keeps_locks;  /* it had advisory locks: else all are released */
    const char *names; /* an array of settings with a dot in their names, which
                       ** the file may make; NULL: none */
};

/* What to run. All pointers must stay valid until pgmig_apply_finish. */
struct pgmig_job {
    const struct pgmig_script *script;
    enum pgmig_direction direction;
    enum pgmig_direction section; /* mostly the same; paired files: UP */
    struct pgmig_entry entry;     /* event NULL: "up" or "down" */
    const char *lock_timeout;     /* default for transactional migrations */
    unsigned pauses;              /* enum pgmig_pause */
    struct pgmig_session session;
    bool plain; /* each request waits for its answer, also where it need not */
    bool watched; /* the bookkeeping's tables may have got triggers that the
                  ** probe has not seen */
    const char *ends_run; /* its run has begun and ends with it; or NULL */
    const char *owner;    /* a word that no other attempt has */
    long revision;        /* of its row in the journal, which it has taken over
                          ** (pgmig_ledger_take); 0: there is none yet */
    /* for transaction=off: */
    size_t done; /* how many statements are done already */
};

enum pgmig_outcome {
    PGMIG_DONE,     /* committed */
    PGMIG_RACED,    /* the claim says that another run was first */
    PGMIG_GIVEN_UP, /* the caller gave up at a pause; rolled back */
    PGMIG_FAILED    /* rolled back; for transaction=off see the error */
};

struct pgmig_apply;

/*
** Start one migration, or several that run in a transaction, have a version,
** are not plain and pause nowhere, one behind the other: begin, claim the
*tracking row, statements, bookkeeping,
** commit; after an error roll back and stop. Step the connection until 0;
** where pgmig_apply_paused names a point, resume and step on; else
** pgmig_apply_finish gives the outcome and frees the run. `jobs` is copied,
** what it points to is not.
*/
PGMIG_NODISCARD struct pgmig_apply *
pgmig_apply_start(struct pgmig_conn *conn, const struct pgmig_ledger *ledger,
                  const struct pgmig_job *jobs, size_t count,
                  struct pgmig_error *err);

/* How many migrations are committed so far, as the server has said. */
size_t pgmig_apply_committed(const struct pgmig_apply *apply);

/* How many may be: their COMMIT is on its way. */
size_t pgmig_apply_committing(const struct pgmig_apply *apply);

/* How long one of those that were sent ahead, and are committed, has taken by
** the server's clock, up to its COMMIT; below 0: not known. */
double pgmig_apply_seconds(const struct pgmig_apply *apply, size_t index);

/* Begin no migration that is not begun yet: the run ends early. */
void pgmig_apply_stop(struct pgmig_apply *apply);

/*
** The point where the run has stopped, PGMIG_PAUSE_NONE when it has ended;
** *statement receives the index of the statement. The connection may be used
** meanwhile: in the migration's transaction.
*/
enum pgmig_pause pgmig_apply_paused(const struct pgmig_apply *apply,
                                    size_t *statement);

/* The transaction of a migration that waits for each answer, as txid_current()
** says it: while it is under way, what the caller does at a pause must leave it
** so. NULL: it has none. */
const char *pgmig_apply_transaction(const struct pgmig_apply *apply);

/* How far a migration is. Bytes are those of its section in the file, from the
** first statement to the end of the last. */
struct pgmig_progress {
    size_t bytes;     /* before the statement under way, and of its COPY data
                      ** what libpq has taken */
    size_t size;      /* of the section */
    size_t done;      /* statements */
    const char *kind; /* of the statement under way; NULL: there is none */
};

/* May be asked at any time before pgmig_apply_finish. */
void pgmig_apply_progress(const struct pgmig_apply *apply,
                          struct pgmig_progress *out);

enum pgmig_resume {
    PGMIG_GO_ON,
    PGMIG_SKIP,    /* at BEFORE: leave this statement out */
    PGMIG_REPLACE, /* at BEFORE: send `sql` in its place */
    PGMIG_GIVE_UP  /* roll back; the outcome is PGMIG_GIVEN_UP */
};

/* Whether the run has ended: only then may it be finished. */
bool pgmig_apply_ended(const struct pgmig_apply *apply);

/* Go on from a pause. */
PGMIG_NODISCARD int pgmig_apply_resume(struct pgmig_apply *apply,
                                       enum pgmig_resume how, const char *sql,
                                       struct pgmig_error *err);

/* What became of the migration that pgmig_apply_committed counts up to; the
** last one's, or PGMIG_DONE of a run that was stopped. */
enum pgmig_outcome pgmig_apply_finish(struct pgmig_apply *apply,
                                      struct pgmig_error *err);
/* Give up a run whose connection is closed without another step. */
void pgmig_apply_free(struct pgmig_apply *apply);

#endif
