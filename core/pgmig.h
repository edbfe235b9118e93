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

/* ---- files and directories ------------------------------------------- */

/* The files in a directory, as paths relative to it, in byte order. */
struct pgmig_dir {
    char **names;
    size_t count;
};

/* List `path`, and with `deep` the folders in it; what begins with a dot is
** left out. Free with pgmig_dir_free. */
PGMIG_NODISCARD int pgmig_dir_read(struct pgmig_dir *dir, const char *path,
                                   bool deep, struct pgmig_error *err);
void pgmig_dir_free(struct pgmig_dir *dir);

/* Fail unless `path` is a directory that can be read. */
PGMIG_NODISCARD int pgmig_dir_check(const char *path, struct pgmig_error *err);

/* Create a file that must not exist yet, and its folder where that is
** missing, and write `len` bytes to it. */
PGMIG_NODISCARD int pgmig_file_create(const char *path, const char *text,
                                      size_t len, struct pgmig_error *err);

/* Read a whole file into *text (malloc, NUL behind its *len bytes). */
PGMIG_NODISCARD int pgmig_file_read(const char *path, char **text, size_t *len,
                                    struct pgmig_error *err);

/*
** SHA-256 of a migration's text in hexadecimal. A byte order mark is left
** out and CRLF counts as LF, so that a checkout's line ends do not matter;
** for an LF file it equals what sha256sum prints.
*/
PGMIG_NODISCARD int pgmig_checksum(const char *text, size_t len, char out[65],
                                   struct pgmig_error *err);

/* The same, of a file, which is read piece by piece. */
PGMIG_NODISCARD int pgmig_file_checksum(const char *path, char out[65],
                                        struct pgmig_error *err);

/* Whether two paths lead to one file or folder. */
bool pgmig_file_is_same(const char *path, const char *other);

enum pgmig_comparison { PGMIG_SAME, PGMIG_DIFFERS, PGMIG_UNREADABLE };

/* Compare some files with checksums. */
PGMIG_NODISCARD int pgmig_files_compare(const char *const *paths,
                                        const char *const *checksums,
                                        size_t count,
                                        enum pgmig_comparison *found,
                                        struct pgmig_error *err);

/* What other tools write down of a file: SHA-384 of its bytes (sqlx), or the
** CRC-32 of its lines without their ends, as a signed number (Flyway). */
enum pgmig_digest { PGMIG_DIGEST_SHA384, PGMIG_DIGEST_CRC32 };

PGMIG_NODISCARD int pgmig_digest(enum pgmig_digest kind, const char *text,
                                 size_t len, char out[97],
                                 struct pgmig_error *err);

/* ---- scripts: one migration file ------------------------------------- */

enum pgmig_direction { PGMIG_UP, PGMIG_DOWN };

/* What the engine must know of a statement; a set of bits. */
enum pgmig_trait {
    PGMIG_T_NO_BLOCK = 2,     /* cannot run in a transaction block */
    PGMIG_T_TX_BEGIN = 4,     /* BEGIN, START TRANSACTION */
    PGMIG_T_TX_COMMIT = 8,    /* a plain COMMIT or END */
    PGMIG_T_TX_SET = 16,      /* SET TRANSACTION */
    PGMIG_T_TX_REFUSED = 32,  /* any other transaction control */
    PGMIG_T_COPY_IN = 64,     /* COPY ... FROM STDIN, data follows */
    PGMIG_T_ANY_START = 128,  /* begins with a word that begins statements */
    PGMIG_T_SETTING = 256,    /* prepares the session and does nothing else */
    PGMIG_T_MAY_COMMIT = 512, /* may end the transaction that it runs in */
    PGMIG_T_COPY_OUT = 1024,  /* COPY ... TO STDOUT, data comes */
    PGMIG_T_TX_CHAIN = 2048,  /* ... AND CHAIN */
    PGMIG_T_LO_CALL = 4096,   /* calls functions of large objects, only them */
    PGMIG_T_LO_OPEN = 8192,   /* leaves one more large object open */
    PGMIG_T_LO_CLOSE = 16384, /* ... one fewer */
    PGMIG_T_TX_LO = 32768     /* BEGIN and COMMIT around such calls alone */
};

/* One statement: a range of the file's text. */
struct pgmig_statement {
    size_t start, end;           /* without the final semicolon */
    size_t copy_start, copy_end; /* inline COPY data, else 0, 0 */
    unsigned traits;             /* enum pgmig_trait */
    char kind[32];               /* "CREATE TABLE", "INSERT", ... */
};

/* One `key=value` of a `-- pgmig:` line. */
struct pgmig_directive {
    char *key;
    char *value; /* "" for a bare key */
    size_t offset;
};

/* The statements of one direction. */
struct pgmig_section {
    bool present;
    size_t start; /* where its marker stands; 0 without markers */
    /* of a streamed script only those about transactions, the first and the
    ** last are kept */
    struct pgmig_statement *statements;
    size_t statement_count;
    size_t total;       /* how many of it are run */
    size_t first, last; /* where the first begins, and the last ends */
    struct pgmig_directive *directives;
    size_t directive_count;
    bool transaction; /* false: `-- pgmig: transaction=off` */
    bool wrapped;     /* it has its own BEGIN ... COMMIT, which is left out */
    bool begun;       /* without: its tool begins one, up to the first COMMIT */
    bool unended;     /* ... and ends the last one */
    char begin[96];   /* how its transaction is begun: isolation and mode */
};

/* What a statement does to indexes. */
enum pgmig_index_action {
    PGMIG_INDEX_NONE,
    PGMIG_INDEX_CREATE,
    PGMIG_INDEX_DROP,
    PGMIG_INDEX_REINDEX,       /* of one index */
    PGMIG_INDEX_REINDEX_TABLE, /* of all indexes of a table */
    PGMIG_INDEX_DETACH /* of a partition, concurrently: no index, but settled
                       ** likewise; `name` is the partition's */
};

/* A piece of the statement's text; empty: there is none. */
struct pgmig_range {
    size_t start, end;
};

struct pgmig_index {
    enum pgmig_index_action action;
    bool unique;
    bool concurrently;
    bool optional;            /* IF NOT EXISTS, IF EXISTS */
    struct pgmig_range name;  /* of the index, as it is written */
    struct pgmig_range table; /* of its table, where that is written */
    struct pgmig_range rest;  /* of CREATE INDEX: what stands behind that */
};

/* Read CREATE INDEX, DROP INDEX, REINDEX, or DETACH PARTITION CONCURRENTLY;
** action NONE for any other. */
void pgmig_index_read(const char *text, const struct pgmig_statement *st,
                      struct pgmig_index *out);

/*
** Write a name, with what stands before it and a dot, so that functions of the
** server read it: without comments, and with the characters that its escapes
** (U&"...", UESCAPE) stand for. What has no quotes stays so: the server folds
** its case. `out` has room for all of the range; returns how much is written.
*/
size_t pgmig_ident_read(const char *text, struct pgmig_range name, char *out);

/* The name of an action: "create", ...; NULL for none. */
const char *pgmig_index_action_name(enum pgmig_index_action action);

/* Something worth telling that stops nothing. */
struct pgmig_warning {
    int64_t line, column;
    const char *message;
};

/* Where a byte offset stands in its file. */
struct pgmig_place {
    int64_t line;      /* from 1; lines end with LF or CRLF */
    int64_t column;    /* from 1, in characters; a BOM does not count */
    size_t start, end; /* the line's bytes, without its end */
    size_t before;     /* characters of it in front of `start`: not held */
    size_t offset;     /* that was looked for: the count goes on there */
};

#define PGMIG_SEAL_BYTES 16

/*
** A parsed migration file. A streamed one is not held: it is read again when
** it runs, and has to be what it was.
*/
struct pgmig_script {
    char *path;
    bool streamed;
    const char *text; /* text + offset, from the line `origin` on up to len */
    size_t len;
    struct pgmig_place origin;
    char *owned; /* the whole text; NULL of a streamed one */
    unsigned char seal_key[PGMIG_SEAL_BYTES]; /* of a streamed one: random */
    unsigned char seal[PGMIG_SEAL_BYTES]; /* ... what its bytes make of it */
    const struct pgmig_vocabulary *words; /* how it was read */
    bool marked;                          /* it has a section marker */
    struct pgmig_section sections[2];
    struct pgmig_directive *directives; /* from above the first marker */
    size_t directive_count;
    struct pgmig_warning *warnings;
    size_t warning_count;
};

enum pgmig_marker_kind {
    PGMIG_MARKER_UP,
    PGMIG_MARKER_DOWN,
    PGMIG_MARKER_DIVIDER, /* UP stands above it, DOWN below it */
    PGMIG_MARKER_SETTING, /* says what a directive says: `key`, `value` */
    PGMIG_MARKER_END,     /* ends the statement above it */
    PGMIG_MARKER_IGNORED, /* means nothing here */
    PGMIG_MARKER_REFUSED, /* asks for what cannot be done; `hint`: instead */
    PGMIG_MARKER_FOREIGN  /* another tool's; `tool` says whose */
};

/*
** A marker: a line comment, alone on its line. `text`, in lower case, is
** compared with what follows the two dashes, blanks folded, without case;
** refused ones, and foreign ones with `options`, are recognised by their
** beginning.
*/
struct pgmig_marker {
    const char *text;
    const char *tool;
    const char *key; /* of a setting: a directive and its value */
    const char *value;
    const char *hint;
    enum pgmig_marker_kind kind;
    bool whole_file; /* a setting for both sections, wherever it stands */
    bool first;      /* it counts at the very start of the file only */
    bool options;    /* words may follow: of UP and DOWN, see below */
    bool loose;      /* dashes may stand before it, and anything behind */
    bool anywhere;   /* its tool finds it in any place, as it is written */
};

/* A word behind a marker that says what a directive says. */
struct pgmig_marker_option {
    const char *text; /* in lower case */
    const char *key;
    const char *value;
};

/* How a section runs that does not say it. */
enum pgmig_transaction_rule {
    PGMIG_TRANSACTION_ON,
    PGMIG_TRANSACTION_OFF,
    PGMIG_TRANSACTION_OWN, /* off when it begins or commits by itself */
    PGMIG_TRANSACTION_AUTO /* ... or holds what cannot run in a transaction */
};

enum pgmig_value {
    PGMIG_VALUE_NONE,     /* a bare key */
    PGMIG_VALUE_SWITCH,   /* on or off */
    PGMIG_VALUE_DURATION, /* PostgreSQL's: 500ms, 2s, 1min, 0 */
    PGMIG_VALUE_COUNT,    /* a whole number */
    PGMIG_VALUE_WORDS,    /* names, separated by commas */
    PGMIG_VALUE_REST      /* the rest of the line, free text */
};

/* A key that a `-- pgmig:` line may have. */
struct pgmig_directive_rule {
    const char *key;
    enum pgmig_value value;
};

/* The words that structure a file: the script parser knows none itself. */
struct pgmig_vocabulary {
    const struct pgmig_marker *markers;
    size_t marker_count;
    const char *directive_prefix; /* "pgmig:" */
    const struct pgmig_directive_rule *directives;
    size_t directive_count;
    const struct pgmig_marker_option *options;
    size_t option_count;
    enum pgmig_transaction_rule transaction;
    bool unwrapped; /* its tool begins no transaction for a file */
    bool one_way;   /* what a file's name says of it: all of it goes `way` */
    enum pgmig_direction way;
    bool marked;  /* a file without a section marker is refused */
    bool repeats; /* a section may come in several pieces */
    bool empty;   /* a section without SQL is meant so */
    /* What the tool would replace before it runs a file: text between these
    ** two, which is refused. NULL: nothing. */
    const char *placeholder;
    const char *placeholder_end; /* "": just a name follows */
    /* The line that takes a section out of its transaction, for hints. */
    const char *untransacted;
};

/* pgmig's own vocabulary: -- UP, -- DOWN, -- pgmig: ... */
extern const struct pgmig_vocabulary pgmig_vocabulary_default;

/*
** Parse a file's text: len bytes with a NUL behind them, from malloc. Takes
** ownership of it, also on failure; `path` names the file in errors. Free
** with pgmig_script_free.
*/
PGMIG_NODISCARD struct pgmig_script *
pgmig_script_parse(const char *path, char *text, size_t len,
                   const struct pgmig_vocabulary *words,
                   struct pgmig_error *err);

/* Read and parse a file. With `stream` one of more than PGMIG_STREAM_BYTES is
** not held, and `words` have to stay valid as long as the script. */
#ifndef PGMIG_STREAM_BYTES
#define PGMIG_STREAM_BYTES 1048576
#endif
PGMIG_NODISCARD struct pgmig_script *
pgmig_script_read(const char *path, const struct pgmig_vocabulary *words,
                  bool stream, struct pgmig_error *err);
void pgmig_script_free(struct pgmig_script *script);

/* The value of a section's directive, else the file's, else NULL. */
const char *pgmig_script_directive(const struct pgmig_script *script,
                                   enum pgmig_direction direction,
                                   const char *key);

/* The reason that `irreversible` gives, in either section; NULL: none. */
const char *pgmig_script_irreversible(const struct pgmig_script *script);

/* Whether what is held of its text has a word, in whatever letters. */
bool pgmig_script_mentions(const struct pgmig_script *script, const char *word);

/*
** Find an offset; one behind the end means the end. `place` is zeroed, or
** the answer for a smaller offset, from which the count goes on.
*/
void pgmig_script_locate(const struct pgmig_script *script, size_t offset,
                         struct pgmig_place *place);

/* The text as valid UTF-8, malloc: each byte that is no part of a character
** becomes `prefix` and two hexadecimal digits. NULL without memory. */
PGMIG_NODISCARD char *pgmig_readable(const char *text, size_t len,
                                     const char *prefix);

/* Read a time as PostgreSQL reads one: a number, and us, ms, s, min, h or d,
** or no unit. NULL when it is one; else what is wrong with it, as the end of a
** sentence about what it is for. */
const char *pgmig_duration(const char *s, size_t len, double *ms,
                           bool *has_unit);

/* The same for lock_timeout and the like: whole milliseconds, an int at most,
** and not less than one of them unless it is 0, which means: no limit. */
const char *pgmig_duration_setting(const char *s, size_t len, int *ms,
                                   bool *has_unit);

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

/* Close and free; in a forked child only the descriptor is closed. */
void pgmig_conn_close(struct pgmig_conn *conn);

/* Go as far as possible without waiting: a set of enum pgmig_want, or 0. */
PGMIG_NODISCARD unsigned pgmig_conn_step(struct pgmig_conn *conn);

/* The socket to wait for; it may change with every step. -1: none. */
int pgmig_conn_fd(const struct pgmig_conn *conn);

/* The request that was sent just now is answered in this shape (answer.h), or
** the connection is given up; it is needed until then. */
void pgmig_conn_expect(struct pgmig_conn *conn, const char *shape);
bool pgmig_answer_is_shape(const char *text);

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

/* Go on to the first, then the next of several results of an operation that has
** them (PGMIG_LEDGER_READ); false when there is none. */
bool pgmig_conn_next_result(struct pgmig_conn *conn);

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

/* COPY: the operation ended because the server waits for, or sends, data. */
bool pgmig_conn_copying_in(const struct pgmig_conn *conn);
bool pgmig_conn_copying_out(const struct pgmig_conn *conn);
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

/* Take the oldest notice: true and *out (clear it), or false. */
bool pgmig_conn_notice(struct pgmig_conn *conn, struct pgmig_notice *out);
void pgmig_notice_clear(struct pgmig_notice *notice);

/* Give up waiting for an answer: the connection counts as lost, and the next
** steps end the operation with `reason`. */
void pgmig_conn_abandon(struct pgmig_conn *conn, const char *reason);

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
/* The server that it is connected to, as libpq's parameters: the address "" for
** a socket's folder. */
void pgmig_conn_peer(const struct pgmig_conn *conn, const char **host,
                     const char **address, const char **port);

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

/* ---- ledger: the tracking table -------------------------------------- */

struct pgmig_ledger;

/*
** A ledger for `table`, "name" or "schema.name" of plain identifiers
** (letters, digits, _ and $, at most 63 bytes). Nothing is sent.
*/
PGMIG_NODISCARD struct pgmig_ledger *pgmig_ledger_new(const char *table,
                                                      struct pgmig_error *err);
void pgmig_ledger_free(struct pgmig_ledger *ledger);

/*
** Another tool's tracking table, used in place: SQL, in which %t stands for
** the table, %k for what the tool calls a migration, %n for its name and %d
** for the digest of its file, all three as literals, and %% for a percent
** sign.
*/
struct pgmig_layout {
    const char *columns; /* that it must have: "version varchar,run_on date" */
    const char *key;     /* the column that is unique, unless `locked` */
    const char *create;  /* the table, where it is missing */
    const char *list;    /* a query: key (text), applied_at (timestamptz) */
    const char *claim;   /* the INSERT of a migration's row */
    const char *release; /* the DELETE of it */
    const char *there;   /* a query that has rows when it is applied */
    bool locked; /* no column is unique: a lock of the table takes its place,
                 ** and `claim` inserts nothing where it is applied */
};

/* Let a ledger keep a tool's table, which it was named for. */
PGMIG_NODISCARD int pgmig_ledger_share(struct pgmig_ledger *ledger,
                                       const struct pgmig_layout *layout,
                                       struct pgmig_error *err);

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

/* What is changed together with the event that is recorded. */
enum pgmig_ledger_change {
    PGMIG_CHANGE_NONE,
    PGMIG_CHANGE_NAME, /* the tracking row takes the entry's name */
    PGMIG_CHANGE_ROW,  /* it is written again, as the history has it */
    /* of the journal's row, which must be as `owner` and `revision` say: */
    PGMIG_CHANGE_DONE,   /* the statement under way counts as done */
    PGMIG_CHANGE_REDO,   /* ... as not done */
    PGMIG_CHANGE_RESTART /* forget what is done: begin again */
};

/* Start to record an event, and its change, in a transaction of its own;
** finish with pgmig_ledger_finish. 22012: there is nothing to change. */
PGMIG_NODISCARD int pgmig_ledger_record(struct pgmig_ledger *ledger,
                                        struct pgmig_conn *conn,
                                        enum pgmig_ledger_change change,
                                        const struct pgmig_entry *entry,
                                        struct pgmig_error *err);

/*
** Start to take over the journal's row of a migration, which `entry` names as
** it was read (version, name, owner, revision), for the owner `by`; finish with
** pgmig_ledger_finish. The result is the row as it is now, as LIST of the
** journal has it; no row: it is not as it was read.
*/
PGMIG_NODISCARD int pgmig_ledger_take(struct pgmig_ledger *ledger,
                                      struct pgmig_conn *conn,
                                      const struct pgmig_entry *entry,
                                      const char *by, struct pgmig_error *err);

/* An INVALID index. */
struct pgmig_debris {
    const char *role; /* whose rights it takes; NULL: the session's */
    const char *oid;
    const char *name;      /* qualified, quoted */
    const char *set_aside; /* the name that it gets, which tells the oid; a
                           ** plain one */
};

/*
** Start to give an INVALID index that an attempt has left a name that nobody
** else gives, so that it can be dropped by that; finish with
** pgmig_ledger_finish. It succeeds only where the journal's row is as `entry`
** names it, and the index as it was seen. 22012: another run has taken the row
** over; 2201E: the index is not that one, or not INVALID.
*/
PGMIG_NODISCARD int pgmig_ledger_set_aside(struct pgmig_ledger *ledger,
                                           struct pgmig_conn *conn,
                                           const struct pgmig_entry *entry,
                                           const struct pgmig_debris *index,
                                           struct pgmig_error *err);

/* Start to note that a run begins: its run, host and program, and its direction
** as event; `plan`: a text about what it will do. It ends with its last job
** (ends_run) or with pgmig_ledger_end_run; what is left, PGMIG_LEDGER_JOURNAL
** yields, with state 'run'. Finish with pgmig_ledger_finish. */
PGMIG_NODISCARD int pgmig_ledger_begin_run(struct pgmig_ledger *ledger,
                                           struct pgmig_conn *conn,
                                           const struct pgmig_entry *entry,
                                           const char *plan,
                                           struct pgmig_error *err);
PGMIG_NODISCARD int pgmig_ledger_end_run(struct pgmig_ledger *ledger,
                                         struct pgmig_conn *conn,
                                         const char *run,
                                         struct pgmig_error *err);

/* Start to record migrations that another tool has applied: their rows and an
** event for each, in one transaction; finish with pgmig_ledger_finish. */
PGMIG_NODISCARD int pgmig_ledger_adopt(struct pgmig_ledger *ledger,
                                       struct pgmig_conn *conn,
                                       const struct pgmig_entry *entries,
                                       size_t count, struct pgmig_error *err);

/* What the last probe found: the tracking table. */
bool pgmig_ledger_exists(const struct pgmig_ledger *ledger);
/* All tables, in the format of this version. */
bool pgmig_ledger_complete(const struct pgmig_ledger *ledger);
/* Whether the journal is there. */
bool pgmig_ledger_journaled(const struct pgmig_ledger *ledger);
/* The format of the history; 0: there is none. */
int pgmig_ledger_format(const struct pgmig_ledger *ledger);
/* The tracking table's quoted name with its schema; NULL: no schema. */
const char *pgmig_ledger_qualified(const struct pgmig_ledger *ledger);
/* The settings of the session under which a run may not do its work, "a,b": it
** would be ended for its time, or its transactions be others than it means.
*NULL:
** there are none. */
const char *pgmig_ledger_unfit(const struct pgmig_ledger *ledger);
/* Whether there is doubt about whose the tables are: nothing is done with them
** before PGMIG_LEDGER_TRUST has been asked. */
bool pgmig_ledger_doubted(const struct pgmig_ledger *ledger);
/* A table of which row-level security may hide rows from this role; NULL. */
const char *pgmig_ledger_hidden(const struct pgmig_ledger *ledger);

/*
** An SQL expression: what speaks against using the tables whose oids are in an
** array, an SQL expression itself: whose they are, and what hangs on them. It
** yields NULL when nothing does, else a text for `pgmig_trust_refuse`, which
** sets the error and returns -1. To be freed with free(); NULL: out of memory.
*/
PGMIG_NODISCARD char *pgmig_trust_sql(const char *tables);
int pgmig_trust_refuse(const char *objection, struct pgmig_error *err);
/* How long what the ledger asks in transactions of its own may wait for a lock:
** milliseconds, 5000 unless said otherwise. */
void pgmig_ledger_set_patience(struct pgmig_ledger *ledger, int milliseconds);
/* Whether the server is a standby. */
bool pgmig_ledger_read_only(const struct pgmig_ledger *ledger);
/* Whether the version column has room for a version. */
bool pgmig_ledger_fits(const struct pgmig_ledger *ledger, const char *version);

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

/*
** Whether a job's requests can be on their way at once, with those of other
** such jobs: it runs in a transaction, has a version, is not plain, and pauses
** nowhere.
*/
bool pgmig_job_pipelined(const struct pgmig_job *job);

enum pgmig_outcome {
    PGMIG_DONE,     /* committed */
    PGMIG_RACED,    /* the claim says that another run was first */
    PGMIG_GIVEN_UP, /* the caller gave up at a pause; rolled back */
    PGMIG_FAILED    /* rolled back; for transaction=off see the error */
};

struct pgmig_apply;

/*
** Start one migration, or several for which pgmig_job_pipelined holds, one
** behind the other: begin, claim the tracking row, statements, bookkeeping,
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
