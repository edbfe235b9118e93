/*
** ledger.h -- the tables of the bookkeeping, for the modules that write to
** them: the tracking table, its history and its journal.
*/
#ifndef PGMIG_LEDGER_H
#define PGMIG_LEDGER_H

#include <stddef.h>

#include "ledger/sql.h"

#define PGMIG_NAME_BYTES 63    /* NAMEDATALEN - 1 */
#define PGMIG_HISTORY_FORMAT 3 /* of the history and the journal */

/* How many texts a ledger owns, and how many of them its name gives; a probe
** finds the others. */
enum { PGMIG_LEDGER_TEXTS = 13, PGMIG_LEDGER_NAMES = 3 };

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
            char *backfill; /* its SQL is lua/pgmig/backfill/store.lua's */
            char *unfit;    /* settings that a run needs otherwise; NULL */
            char *hidden;   /* one of the tables, whose rows this role may not
                            ** all see; NULL */
            char *path;     /* search_path, where it leads to no schema */
            char *doubted;  /* the tables' oids, "{1,2}", until it is known
                            ** whether they may be used; NULL */
        };
        char *texts[PGMIG_LEDGER_TEXTS]; /* the same */
    };
    bool exists;
    bool has_runs;     /* that table is there */
    bool has_backfill; /* likewise */
    bool watched;      /* they have triggers */
    int format;        /* of the history; 0: there is none */
    bool journaled;    /* the journal is there */
    bool read_only;    /* the server is a standby */
    bool on_linux;     /* the server runs on Linux */
    bool over_tcp;     /* and is reached through TCP, by a pooler or by us */
    bool durable;      /* its commits are, by the session's defaults */
    int digits;        /* versions of so many digits fit its column */
    int patience;      /* how long its requests wait for a lock; ms */
    struct pgmig_layout *layout; /* another tool's table; NULL: our own */
};

_Static_assert(offsetof(struct pgmig_ledger, exists) ==
                   PGMIG_LEDGER_TEXTS * sizeof(char *),
               "all texts are counted");

/* A copy that stays as it is whatever becomes of the ledger; NULL on error.
** Free it with pgmig_ledger_free. */
struct pgmig_ledger *pgmig_ledger_copy(const struct pgmig_ledger *ledger,
                                       struct pgmig_error *err);

/* Fail unless a probe has found out where the tables are, or would be. */
PGMIG_NODISCARD int pgmig_ledger_check(const struct pgmig_ledger *ledger,
                                       struct pgmig_error *err);

/* What the last probe has found: whether all tables are there, in the format of
** this version; whether the version column has room for a version. */
bool pgmig_ledger_complete(const struct pgmig_ledger *ledger);
bool pgmig_ledger_fits(const struct pgmig_ledger *ledger, const char *version);

/* ---- tracking.c ------------------------------------------------------ */

/* A copy of another tool's table; NULL: out of memory. */
PGMIG_NODISCARD struct pgmig_layout *
pgmig_layout_copy(const struct pgmig_layout *layout);
void pgmig_layout_free(struct pgmig_layout *layout);

/* Whether a table's columns, "a int4,b text", have those that it needs. */
bool pgmig_layout_fits(const struct pgmig_layout *layout, const char *columns);

/* Add a template, with %t the table, %k, %n and %d the entry's key, name and
** digest as literals; `entry` NULL: only the table stands in it. */
void pgmig_layout_add(struct pgmig_sql *s, const char *text,
                      const struct pgmig_entry *entry);

/* Add what makes the table, and what widens its column for a version. */
void pgmig_tracking_add_table(struct pgmig_sql *s);
void pgmig_tracking_add_widening(struct pgmig_sql *s, const char *version);

/* Add the query for all rows: { id, name, applied_at, applied_at_epoch }. */
void pgmig_tracking_add_list(struct pgmig_sql *s);

/* Add what lets a row take the entry's name; what writes it again, as the
** history has it; and the row of a migration that another tool has applied. */
void pgmig_tracking_add_name(struct pgmig_sql *s,
                             const struct pgmig_entry *entry);
void pgmig_tracking_add_lost_row(struct pgmig_sql *s,
                                 const struct pgmig_entry *entry);
void pgmig_tracking_add_adopted(struct pgmig_sql *s,
                                const struct pgmig_entry *entry);

/* ---- claim.c --------------------------------------------------------- */

/*
** Add the claim of a migration: the INSERT (or DELETE, for DOWN) of its row,
** which yields the server's process id. The primary key makes a second run
** wait, then fail with 23505 (or delete nothing). A repeatable migration has
** no row: a lock of its name takes its place, and 22012 tells that another
** run has applied the same text.
*/
void pgmig_claim_add(struct pgmig_sql *s, const struct pgmig_job *job);

/* Add a division that fails with 22012 unless the table has the job's row, or
** has it not; a repeatable migration has none. */
void pgmig_claim_add_divisor(struct pgmig_sql *s, const struct pgmig_job *job,
                             bool there);

/* ---- probe.c --------------------------------------------------------- */

/* Add the question for the tables; when the answer is there, note what was
** found, or fail for tables that are not ours. */
void pgmig_probe_add(struct pgmig_sql *s);
PGMIG_NODISCARD int pgmig_probe_finish(struct pgmig_ledger *ledger,
                                       struct pgmig_conn *conn,
                                       struct pgmig_error *err);

extern const char pgmig_probe_shape[]; /* of its answer (answer.h) */

/* Add the query for the schemas that have such tables too: { schema, barred =
** this role may not use it }. `used`: only of tables that have had rows. */
void pgmig_probe_add_elsewhere(struct pgmig_sql *s, bool used);

/* Add the question whether tables in doubt may be used, and take the answer. */
void pgmig_probe_add_trust(struct pgmig_sql *s);
PGMIG_NODISCARD int pgmig_probe_finish_trust(struct pgmig_ledger *ledger,
                                             struct pgmig_conn *conn,
                                             struct pgmig_error *err);

/* ---- history.c ------------------------------------------------------- */

/* Events that say nothing of a migration's text, an array. */
#define PGMIG_PASSING_EVENTS "'{failed,unknown,interrupted,resolved}'"

/* Add what brings the history and the journal to this format. */
void pgmig_history_add_tables(struct pgmig_sql *s);

/* Add the row of an event that ends now. It began with its
** transaction, where `seconds` is 0. */
void pgmig_history_add(struct pgmig_sql *s, const struct pgmig_entry *entry);

/* Let a query also release what advisory locks a migration has left behind. */
void pgmig_history_add_unlock(struct pgmig_sql *s, const struct pgmig_job *job);

/* The same for a migration that ends; fails with 22012 unless its tracking row
** is there, or for DOWN gone. `journaled`: it has begun when its journal did.
** Yields how long it took by the server's clock. */
#define PGMIG_SECONDS "pgmig_seconds"
void pgmig_history_add_proven(struct pgmig_sql *s, const struct pgmig_job *job,
                              bool journaled);

/* Add what lets new events come behind all that there are: a restored or
** replicated history has its rows, and a sequence that has not moved. */
void pgmig_history_add_advance(struct pgmig_sql *s);

/* Add queries: all events, for what they say last of each migration; the
** newest `limit` events. */
void pgmig_history_add_marks(struct pgmig_sql *s);
void pgmig_history_add_list(struct pgmig_sql *s, const char *limit);

#endif
