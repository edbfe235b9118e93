/*
** ledger.h -- the three tables of the bookkeeping, for the modules that
** write to them: the tracking table, its history and its journal.
*/
#ifndef PGMIG_LEDGER_H
#define PGMIG_LEDGER_H

#include <stddef.h>

#include "base/buf.h"
#include "pgmig.h"

#define PGMIG_NAME_BYTES 63    /* NAMEDATALEN - 1 */
#define PGMIG_HISTORY_FORMAT 3 /* of the history and the journal */

/* How many texts a ledger owns, and how many of them its name gives; a probe
** finds the others. */
enum { PGMIG_LEDGER_TEXTS = 12, PGMIG_LEDGER_NAMES = 3 };

struct pgmig_ledger {
    union {
        struct {
            char *asked;    /* as the caller named it, for messages */
            char *schema;   /* the schema that was given; NULL: none was */
            char *table;    /* the bare name */
            char *home;     /* the schema of all: known after a probe */
            char *tracking; /* quoted, with its schema: likewise */
            char *history;  /* likewise */
            char *journal;
            char *runs;
            char *unfit;   /* settings that a run needs otherwise; NULL */
            char *hidden;  /* one of the tables, whose rows this role may not
                           ** all see; NULL */
            char *path;    /* search_path, where it leads to no schema */
            char *doubted; /* the tables' oids, "{1,2}", until it is known
                           ** whether they may be used; NULL */
        };
        char *texts[PGMIG_LEDGER_TEXTS]; /* the same */
    };
    bool exists;
    bool has_runs;  /* that table is there */
    bool watched;   /* they have triggers */
    int format;     /* of the history; 0: there is none */
    bool journaled; /* the journal is there */
    bool read_only;
    bool on_linux; /* the server runs on Linux */
    bool over_tcp; /* and is reached through TCP, by a pooler or by us */
    bool durable;  /* its commits are, by the session's defaults */
    int digits;    /* versions of so many digits fit its column */
    int patience;  /* how long its requests wait for a lock; ms */
    struct pgmig_layout *layout; /* another tool's table; NULL: our own */
};

_Static_assert(offsetof(struct pgmig_ledger, exists) ==
                   PGMIG_LEDGER_TEXTS * sizeof(char *),
               "all texts are counted");

/* A copy that stays as it is whatever becomes of the ledger; NULL on error. */
struct pgmig_ledger *pgmig_ledger_copy(const struct pgmig_ledger *ledger,
                                       struct pgmig_error *err);

/* Bound the wait for locks of what is asked in a transaction of its own. */
void pgmig_ledger_add_patience(const struct pgmig_ledger *ledger,
                               const struct pgmig_conn *conn,
                               struct pgmig_buf *sql);

/* Fail unless a probe has found out where the tables are, or would be. */
PGMIG_NODISCARD int pgmig_ledger_check(const struct pgmig_ledger *ledger,
                                       struct pgmig_error *err);

/* Commits are durable: raised where the database's default is lower. How many
** commands that takes, for the transaction. */
int pgmig_ledger_add_durable(const struct pgmig_ledger *ledger,
                             struct pgmig_buf *sql);

/* ---- claim.c --------------------------------------------------------- */

/*
** Add the claim of a migration: the INSERT (or DELETE, for DOWN) of its row,
** which yields the server's process id. The primary key makes a second run
** wait, then fail with 23505 (or delete nothing). A repeatable migration has
** no row: a lock of its name takes its place, and 22012 tells that another
** run has applied the same text.
*/
PGMIG_NODISCARD int pgmig_claim_add(const struct pgmig_ledger *ledger,
                                    struct pgmig_conn *conn,
                                    const struct pgmig_job *job,
                                    struct pgmig_buf *sql,
                                    struct pgmig_error *err);

/* How many commands stand before the claim's own. */
int pgmig_claim_commands(const struct pgmig_ledger *ledger,
                         const struct pgmig_job *job);

/* Add a division that fails with 22012 unless the table has the job's row, or
** has it not; a repeatable migration has none. */
PGMIG_NODISCARD int pgmig_claim_add_divisor(const struct pgmig_ledger *ledger,
                                            struct pgmig_conn *conn,
                                            const struct pgmig_job *job,
                                            bool there, struct pgmig_buf *sql,
                                            struct pgmig_error *err);

/* ---- probe.c --------------------------------------------------------- */

/* Add the question for the tables; when the answer is there, note what was
** found, or fail for tables that are not ours. */
PGMIG_NODISCARD int pgmig_probe_add(const struct pgmig_ledger *ledger,
                                    struct pgmig_conn *conn,
                                    struct pgmig_buf *sql,
                                    struct pgmig_error *err);
PGMIG_NODISCARD int pgmig_probe_finish(struct pgmig_ledger *ledger,
                                       struct pgmig_conn *conn,
                                       struct pgmig_error *err);

extern const char pgmig_probe_shape[]; /* of its answer (answer.h) */

/* Add the query for the schemas that have such tables too: { schema, barred =
** this role may not use it }. `used`: only of tables that have had rows. */
PGMIG_NODISCARD int pgmig_probe_add_elsewhere(const struct pgmig_ledger *ledger,
                                              struct pgmig_conn *conn,
                                              bool used, struct pgmig_buf *sql,
                                              struct pgmig_error *err);

/* Add the question whether tables in doubt may be used, and take the answer. */
PGMIG_NODISCARD int pgmig_probe_add_trust(const struct pgmig_ledger *ledger,
                                          const struct pgmig_conn *conn,
                                          struct pgmig_buf *sql);
PGMIG_NODISCARD int pgmig_probe_finish_trust(struct pgmig_ledger *ledger,
                                             struct pgmig_conn *conn,
                                             struct pgmig_error *err);

/* Forget where the tables are. */
void pgmig_probe_forget(struct pgmig_ledger *ledger);

/* ---- history.c ------------------------------------------------------- */

/* Events that say nothing of a migration's text, an array. */
#define PGMIG_PASSING_EVENTS "'{failed,unknown,interrupted,resolved}'"

/* Add what brings the history and the journal to this format. */
void pgmig_history_add_tables(const struct pgmig_ledger *ledger,
                              struct pgmig_buf *sql);

/* Add the row of an event that ends now, with a semicolon. It began with its
** transaction, where `seconds` is 0. */
PGMIG_NODISCARD int pgmig_history_add(const struct pgmig_ledger *ledger,
                                      struct pgmig_conn *conn,
                                      const struct pgmig_entry *entry,
                                      struct pgmig_buf *sql,
                                      struct pgmig_error *err);

/* Let a query also release what advisory locks a migration has left behind. */
void pgmig_history_add_unlock(const struct pgmig_job *job,
                              struct pgmig_buf *sql);

/* The same for a migration that ends; fails with 22012 unless its tracking row
** is there, or for DOWN gone. `begun`: when it began, an expression; NULL.
** Yields how long it took by the server's clock. */
#define PGMIG_SECONDS "pgmig_seconds"
PGMIG_NODISCARD int pgmig_history_add_proven(const struct pgmig_ledger *ledger,
                                             struct pgmig_conn *conn,
                                             const struct pgmig_job *job,
                                             const char *begun,
                                             struct pgmig_buf *sql,
                                             struct pgmig_error *err);

/* Add what lets new events come behind all that there are: a restored or
** replicated history has its rows, and a sequence that has not moved. */
PGMIG_NODISCARD int pgmig_history_add_advance(const struct pgmig_ledger *ledger,
                                              struct pgmig_conn *conn,
                                              struct pgmig_buf *sql,
                                              struct pgmig_error *err);

/* Add queries: all events, for what they say last of each migration; the
** newest `limit` events. */
void pgmig_history_add_marks(const struct pgmig_ledger *ledger,
                             struct pgmig_buf *sql);
void pgmig_history_add_list(const struct pgmig_ledger *ledger,
                            const char *limit, struct pgmig_buf *sql);

#endif
